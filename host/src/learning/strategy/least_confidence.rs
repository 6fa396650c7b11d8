//! Least confidence sampling: eq. 2 of arXiv 1911.05548.

use super::{Candidates, Criterion, Needs, Pick, Strategy, best};
use crate::error::Result;
use crate::learning::geometry::Geometry;

/// The patches with the smallest sum of largest probabilities.
#[derive(Clone, Copy, Debug)]
pub struct LeastConfidence;

impl Strategy for LeastConfidence {
    fn name(&self) -> &'static str {
        "least_confidence"
    }

    fn needs(&self) -> Needs {
        Needs::scores(Criterion::LeastConfidence)
    }

    fn select(
        &self,
        candidates: &Candidates<'_>,
        k: usize,
        _: &mut dyn Geometry,
    ) -> Result<Vec<Pick>> {
        best(candidates, k, false)
    }
}
