//! Bayesian active learning by disagreement, with dropout as the posterior: eq. 3 of arXiv 1911.05548.

use super::{Candidates, Criterion, Needs, Pick, Strategy, best};
use crate::error::Result;
use crate::learning::geometry::Geometry;

/// The patches with the largest score over dropout passes.
#[derive(Clone, Copy, Debug)]
pub struct Bald {
    /// [`Criterion::BaldEntropy`] as in the paper, or [`Criterion::MutualInformation`].
    pub criterion: Criterion,
}

impl Strategy for Bald {
    fn name(&self) -> &'static str {
        "bald"
    }

    fn needs(&self) -> Needs {
        Needs::scores(self.criterion)
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
