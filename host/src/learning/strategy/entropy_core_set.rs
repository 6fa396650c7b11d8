//! Uncertainty, then diversity: the hybrid that arXiv 1911.05548 names as future work.

use super::{Candidates, Criterion, Needs, Pick, Strategy, best};
use crate::error::Result;
use crate::learning::geometry::{Geometry, Points};

/// The shortlist has so many patches for each that is wanted.
const SHORTLIST: usize = 5;

/// Of the most uncertain patches those that lie farthest from everything labelled and from each other.
///
/// The shortlist is the `5 k` patches with the largest entropy; k-center greedy chooses among them, from the labelled patches on.
#[derive(Clone, Copy, Debug)]
pub struct EntropyCoreSet;

impl Strategy for EntropyCoreSet {
    fn name(&self) -> &'static str {
        "entropy_core_set"
    }

    fn needs(&self) -> Needs {
        Needs { embeddings: true, ..Needs::scores(Criterion::Entropy) }
    }

    fn select(
        &self,
        candidates: &Candidates<'_>,
        k: usize,
        geometry: &mut dyn Geometry,
    ) -> Result<Vec<Pick>> {
        let shortlist = best(candidates, SHORTLIST * k, true)?;
        let dim = candidates.embeddings.dim;
        let mut values = Vec::with_capacity(shortlist.len() * dim);
        for pick in &shortlist {
            let at = candidates.indices.partition_point(|&index| index < pick.index);
            values.extend_from_slice(&candidates.embeddings.values[at * dim..][..dim]);
        }
        let points = Points { values: &values, dim };
        let picks =
            geometry.k_center_greedy(points, candidates.labelled, k.min(shortlist.len()))?;
        Ok(picks.into_iter().map(|(row, _)| shortlist[row]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::cpu::CpuExecutor;
    use crate::learning::geometry::DeviceGeometry;

    #[test]
    fn certain_patches_are_out_however_far_they_lie() {
        let indices: Vec<usize> = (0..12).map(|i| 2 * i).collect();
        // The ten most uncertain lie at 0 to 9, the certain ones far away.
        let scores: Vec<f32> = (0..12).map(|i| if i < 10 { 5.0 + i as f32 } else { 1.0 }).collect();
        let values: Vec<f32> = (0..12).map(|i| if i < 10 { i as f32 } else { 1e3 }).collect();
        let candidates = Candidates {
            scores: &scores,
            embeddings: Points { values: &values, dim: 1 },
            labelled: Points { values: &[0.0], dim: 1 },
            ..Candidates::new(&indices)
        };
        let mut executor = CpuExecutor::new(Some(1)).unwrap();
        let mut geometry = DeviceGeometry::new(&mut executor);
        let picks = EntropyCoreSet.select(&candidates, 2, &mut geometry).unwrap();
        // 9 is farthest from 0; of the rest 4 and 5 are equally far from 0 and 9, and the more uncertain comes first.
        let got: Vec<_> = picks.iter().map(|pick| (pick.index, pick.score)).collect();
        assert_eq!(got, [(18, Some(14.0)), (10, Some(10.0))]);
    }
}
