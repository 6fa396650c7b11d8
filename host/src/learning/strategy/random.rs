//! Random sampling: the baseline.

use askem_kernels::rng::{Purpose, sample_without_replacement, stream};

use super::{Candidates, Needs, Pick, Strategy};
use crate::error::Result;
use crate::learning::geometry::Geometry;

/// Patches drawn uniformly.
#[derive(Clone, Copy, Debug)]
pub struct Random;

impl Strategy for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn select(
        &self,
        candidates: &Candidates<'_>,
        k: usize,
        _: &mut dyn Geometry,
    ) -> Result<Vec<Pick>> {
        let mut rng = stream(candidates.seed, Purpose::Strategy, candidates.iteration, 0);
        let mut indices = candidates.indices.to_vec();
        let drawn = sample_without_replacement(&mut rng, &mut indices, k);
        Ok(drawn.iter().map(|&index| Pick { index, score: None }).collect())
    }
}
