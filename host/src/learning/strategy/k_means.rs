//! K-means sampling: one patch from each of `k` clusters, the one closest to its centroid
//! (section 2 of arXiv 1911.05548).

use super::{Candidates, Needs, Pick, Strategy};
use crate::error::Result;
use crate::learning::geometry::Geometry;

/// The patches closest to the centroids of clusters of the unlabelled patches.
#[derive(Clone, Copy, Debug)]
pub struct KMeans;

impl Strategy for KMeans {
    fn name(&self) -> &'static str {
        "k_means"
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
        let k = k.min(candidates.indices.len());
        if k == 0 {
            return Ok(Vec::new());
        }
        let seed = candidates.seed ^ candidates.iteration.rotate_left(32);
        let clusters = geometry.k_means(candidates.embeddings, k, seed)?;
        let mut order: Vec<usize> = (0..candidates.indices.len()).collect();
        order.sort_by(|&a, &b| clusters.sq_dist[a].total_cmp(&clusters.sq_dist[b]));
        // The closest of each cluster; should clusters be empty, the closest of the others' rest.
        let mut taken = vec![false; k];
        let (mut picks, mut rest) = (Vec::new(), Vec::new());
        for i in order {
            let cluster = clusters.assignment[i] as usize;
            let list = if taken[cluster] { &mut rest } else { &mut picks };
            list.push(i);
            taken[cluster] = true;
        }
        picks.extend(rest);
        picks.truncate(k);
        let pick =
            |i: usize| Pick { index: candidates.indices[i], score: Some(clusters.sq_dist[i]) };
        Ok(picks.into_iter().map(pick).collect())
    }
}
