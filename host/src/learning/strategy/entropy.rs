//! Maximum entropy sampling: eq. 1 of arXiv 1911.05548.

use super::{Candidates, Criterion, Needs, Pick, Strategy, best};
use crate::error::Result;
use crate::learning::geometry::Geometry;

/// The patches with the largest entropy.
#[derive(Clone, Copy, Debug)]
pub struct Entropy;

impl Strategy for Entropy {
    fn name(&self) -> &'static str {
        "entropy"
    }

    fn needs(&self) -> Needs {
        Needs::scores(Criterion::Entropy)
    }

    fn select(
        &self,
        candidates: &Candidates<'_>,
        k: usize,
        _: &mut dyn Geometry,
    ) -> Result<Vec<Pick>> {
        best(candidates, k, true)
    }
}
