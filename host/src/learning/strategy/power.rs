//! Power acquisition: scores with noise (Kirsch et al., "Stochastic Batch Acquisition", arXiv 2106.12059).

use super::noise::noisy;
use super::{Candidates, Criterion, Needs, Pick, Strategy};
use crate::error::Result;
use crate::learning::geometry::Geometry;

/// The source's coldness: draws in proportion to the score itself.
const BETA: f64 = 1.0;

/// Patches drawn without replacement in proportion to a score.
#[derive(Clone, Copy, Debug)]
pub struct Power {
    /// `power_entropy` or `power_bald`.
    name: &'static str,
    criterion: Criterion,
}

impl Power {
    /// In proportion to the entropy.
    pub const ENTROPY: Self = Self { name: "power_entropy", criterion: Criterion::Entropy };
    /// In proportion to the mutual information, which the source calls PowerBALD.
    pub const BALD: Self = Self { name: "power_bald", criterion: Criterion::MutualInformation };
}

impl Strategy for Power {
    fn name(&self) -> &'static str {
        self.name
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
        noisy(candidates, candidates.scores, BETA, k)
    }
}
