//! Core set: k-center greedy in embedding space (Sener and Savarese, arXiv 1708.00489).

use super::{Candidates, Needs, Pick, Strategy};
use crate::error::Result;
use crate::learning::geometry::Geometry;

/// The patches farthest from everything labelled and picked so far.
#[derive(Clone, Copy, Debug)]
pub struct CoreSet;

impl Strategy for CoreSet {
    fn name(&self) -> &'static str {
        "core_set"
    }

    fn needs(&self) -> Needs {
        Needs { embeddings: true, ..Needs::default() }
    }

    fn select(
        &self,
        candidates: &Candidates<'_>,
        k: usize,
        geometry: &mut dyn Geometry,
    ) -> Result<Vec<Pick>> {
        let picks = geometry.k_center_greedy(candidates.embeddings, candidates.labelled, k)?;
        Ok(picks
            .into_iter()
            .map(|(i, sq_dist)| Pick { index: candidates.indices[i], score: Some(sq_dist) })
            .collect())
    }
}
