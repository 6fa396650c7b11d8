//! Random sampling that knows where the foreground is: a yardstick for experiments, since it reads labels that nobody has given yet.
//!
//! Source: the baseline "Random 66 % FG" of nnActive (Lüth et al., "nnActive: A Framework for Evaluation of Active Learning in 3D Biomedical
//! Segmentation"), with patches of a pool in place of new ones: where two thirds of its queries are centred on foreground, here they
//! are drawn in proportion to their share of foreground.

use askem_kernels::rng::{Purpose, sample_without_replacement, stream, uniform};

use super::{Candidates, Needs, Pick, Strategy};
use crate::error::Result;
use crate::learning::geometry::Geometry;

/// Two thirds of the patches in proportion to their true foreground, the others uniformly.
#[derive(Clone, Copy, Debug)]
pub struct FgRandom;

impl Strategy for FgRandom {
    fn name(&self) -> &'static str {
        "fg_random"
    }

    fn needs(&self) -> Needs {
        Needs { labels: true, ..Needs::default() }
    }

    fn select(
        &self,
        candidates: &Candidates<'_>,
        k: usize,
        _: &mut dyn Geometry,
    ) -> Result<Vec<Pick>> {
        let mut rng = stream(candidates.seed, Purpose::Strategy, candidates.iteration, 0);
        let mut left: Vec<(usize, f64)> = candidates
            .indices
            .iter()
            .zip(candidates.foreground)
            .map(|(&index, &share)| (index, f64::from(share)))
            .collect();
        let k = k.min(left.len());
        let mut picks = Vec::with_capacity(k);
        while picks.len() < (2 * k).div_ceil(3) {
            let total: f64 = left.iter().map(|(_, share)| share).sum();
            if total <= 0.0 {
                break;
            }
            let mut place = uniform(&mut rng) * total;
            let hit = left.iter().position(|(_, share)| {
                place -= share;
                place < 0.0
            });
            // Rounding may leave a place beyond the last.
            let last = left.iter().rposition(|(_, share)| *share > 0.0);
            let Some(at) = hit.or(last) else { break };
            picks.push(left.remove(at).0);
        }
        let mut rest: Vec<usize> = left.into_iter().map(|(index, _)| index).collect();
        let wanted = k - picks.len();
        picks.extend_from_slice(sample_without_replacement(&mut rng, &mut rest, wanted));
        Ok(picks.into_iter().map(|index| Pick { index, score: None }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::cpu::CpuExecutor;
    use crate::learning::geometry::DeviceGeometry;

    #[test]
    fn two_thirds_have_foreground_where_there_is_enough() {
        let indices: Vec<usize> = (0..100).collect();
        let foreground: Vec<f32> = (0..100).map(|i| if i < 10 { 0.3 } else { 0.0 }).collect();
        let mut executor = CpuExecutor::new(Some(1)).unwrap();
        let mut geometry = DeviceGeometry::new(&mut executor);
        let mut select = |foreground: &[f32], k, seed| {
            let candidates = Candidates { foreground, seed, ..Candidates::new(&indices) };
            let picks = FgRandom.select(&candidates, k, &mut geometry).unwrap();
            let mut chosen: Vec<usize> = picks.iter().map(|pick| pick.index).collect();
            chosen.sort_unstable();
            chosen.dedup();
            assert_eq!(chosen.len(), k.min(100), "a patch came twice");
            chosen.iter().filter(|&&index| index < 10).count()
        };
        for seed in 0..20 {
            assert!(select(&foreground, 12, seed) >= 8, "seed {seed}");
        }
        // All foreground is taken, and without any it is random.
        assert_eq!(select(&foreground, 30, 0), 10);
        assert!(select(&[0.0; 100], 12, 0) < 8);
        assert_eq!(select(&foreground, 200, 0), 10);
    }
}
