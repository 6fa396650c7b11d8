//! Class-stratified, power-noised predictive entropy: a share of the batch for each class, and noise that fades.
//!
//! Source: the idea of ClaSP PE (Lüth et al., "Finally Outshining the Random Baseline: A Simple and Effective Solution for Active Learning in 3D Biomedical
//! Imaging", arXiv 2601.13677). There, queries are regions of 3D volumes; here they are patches of a pool, so the parts are defined for patches:
//! - The score of a class is the sum of the entropies of those pixels of a patch that the network gives to the class.
//! - Two thirds of the batch are divided among the classes, the rarer one (foreground) first, each by its own score; the others are chosen by the sum.
//! - Noise is that of power acquisition; its `beta` grows from 1 to 100 over the iterations, evenly in its logarithm.

use super::noise::noisy;
use super::{Candidates, Needs, Pick, Strategy};
use crate::error::Result;
use crate::learning::geometry::Geometry;

/// `beta` at the first and at the last choice.
const BETA: [f64; 2] = [1.0, 100.0];

/// Entropy, stratified by predicted class, with fading noise.
#[derive(Clone, Copy, Debug)]
pub struct Clasp;

impl Clasp {
    fn beta(candidates: &Candidates<'_>) -> f64 {
        let last = candidates.iterations.saturating_sub(1).max(1) as f64;
        let progress = (candidates.iteration as f64 / last).min(1.0);
        BETA[0] * (BETA[1] / BETA[0]).powf(progress)
    }
}

impl Strategy for Clasp {
    fn name(&self) -> &'static str {
        "clasp"
    }

    fn needs(&self) -> Needs {
        Needs { class_entropy: true, ..Needs::default() }
    }

    fn plans_ahead(&self) -> bool {
        true
    }

    fn select(
        &self,
        candidates: &Candidates<'_>,
        k: usize,
        _: &mut dyn Geometry,
    ) -> Result<Vec<Pick>> {
        let beta = Self::beta(candidates);
        let of = |score: &dyn Fn(&[f32; 2]) -> f32| -> Vec<f32> {
            candidates.class_entropy.iter().map(score).collect()
        };
        let stratum = k / 3;
        let parts = [
            (of(&|sums| sums[1]), stratum),
            (of(&|sums| sums[0]), stratum),
            (of(&|sums| sums[0] + sums[1]), k - 2 * stratum),
        ];
        let mut picks: Vec<Pick> = Vec::with_capacity(k);
        for (scores, share) in parts {
            let wanted = (picks.len() + share).min(candidates.indices.len());
            for pick in noisy(candidates, &scores, beta, candidates.indices.len())? {
                if picks.len() == wanted {
                    break;
                }
                if !picks.iter().any(|taken| taken.index == pick.index) {
                    picks.push(pick);
                }
            }
        }
        Ok(picks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::cpu::CpuExecutor;
    use crate::learning::geometry::DeviceGeometry;

    #[test]
    fn each_class_has_its_share() {
        let indices: Vec<usize> = (0..9).collect();
        // Foreground is uncertain in three patches only, background far more in the others.
        let sums: Vec<[f32; 2]> = (0..9)
            .map(|i| if i < 3 { [0.1, 1.0 + i as f32] } else { [50.0 + i as f32, 0.0] })
            .collect();
        let candidates = Candidates {
            class_entropy: &sums,
            iteration: 3,
            iterations: 4,
            ..Candidates::new(&indices)
        };
        let mut executor = CpuExecutor::new(Some(1)).unwrap();
        let mut geometry = DeviceGeometry::new(&mut executor);
        let mut select = |k| -> Vec<usize> {
            let picks = Clasp.select(&candidates, k, &mut geometry).unwrap();
            picks.iter().map(|pick| pick.index).collect()
        };
        let picks = select(6);
        assert_eq!(picks[..2], [2, 1], "the foreground's stratum by its entropy");
        assert!(picks[2..].iter().all(|&index| index >= 3), "{picks:?}");
        assert_eq!(select(20).len(), 9);
    }

    #[test]
    fn noise_fades() {
        let beta = |iteration, iterations| {
            Clasp::beta(&Candidates { iteration, iterations, ..Candidates::new(&[]) })
        };
        assert_eq!((beta(0, 25), beta(24, 25), beta(0, 1)), (1.0, 100.0, 1.0));
        assert!((beta(12, 25) - 10.0).abs() < 1e-9);
    }
}
