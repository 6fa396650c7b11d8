//! Uncertain and different at once: k-means++ on embeddings as long as their patches are uncertain.
//!
//! Source: Ash, Zhang, Krishnamurthy, Langford and Agarwal, "Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds" (arXiv
//! 1906.03671). There a point is the gradient of the last layer for the label that the network holds likeliest: the features times
//! the error of the prediction. For a patch of pixels that would be a sum over positions; here it is the product of two numbers per patch
//! that are there already, the bottleneck and the entropy.

use askem_kernels::rng::{Purpose, stream, uniform};

use super::{Candidates, Criterion, Needs, Pick, Strategy, require_finite};
use crate::error::Result;
use crate::learning::geometry::Geometry;

/// Patches drawn by k-means++ among embeddings that are multiplied by their entropy.
///
/// The first is the longest; each other is drawn in proportion to the squared distance to the nearest one before. A pick's score is its
/// entropy.
#[derive(Clone, Copy, Debug)]
pub struct Badge;

impl Strategy for Badge {
    fn name(&self) -> &'static str {
        "badge"
    }

    fn needs(&self) -> Needs {
        Needs { embeddings: true, ..Needs::scores(Criterion::Entropy) }
    }

    fn select(
        &self,
        candidates: &Candidates<'_>,
        k: usize,
        _: &mut dyn Geometry,
    ) -> Result<Vec<Pick>> {
        require_finite(candidates, candidates.scores)?;
        let count = candidates.indices.len();
        let points: Vec<Vec<f64>> = (0..count)
            .map(|i| {
                let entropy = f64::from(candidates.scores[i]);
                candidates.embeddings.row(i).iter().map(|&v| entropy * f64::from(v)).collect()
            })
            .collect();
        let sq_dist =
            |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
        let mut rng = stream(candidates.seed, Purpose::Strategy, candidates.iteration, 0);
        // Before the first pick the distance to the origin; the longest, not a draw.
        let mut nearest: Vec<f64> = points.iter().map(|p| p.iter().map(|v| v * v).sum()).collect();
        let mut picks: Vec<usize> = Vec::new();
        let mut free = vec![true; count];
        while picks.len() < k.min(count) {
            let weights = || (0..count).filter(|&i| free[i]).map(|i| (i, nearest[i]));
            let total: f64 = weights().map(|(_, weight)| weight).sum();
            let drawn = if picks.is_empty() {
                // The first of equals.
                weights().rev().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i)
            } else {
                let mut rest = uniform(&mut rng) * total;
                let passed = |&(_, weight): &(usize, f64)| {
                    rest -= weight;
                    rest < 0.0
                };
                weights().find(passed).map(|(i, _)| i)
            };
            // Where all that is left lies on picks, or rounding has eaten the rest: the first that is left.
            let Some(pick) = drawn.or_else(|| free.iter().position(|&free| free)) else { break };
            free[pick] = false;
            picks.push(pick);
            for (i, point) in points.iter().enumerate() {
                let distance = sq_dist(point, &points[pick]);
                nearest[i] = if picks.len() == 1 { distance } else { nearest[i].min(distance) };
            }
        }
        let pick =
            |i: usize| Pick { index: candidates.indices[i], score: Some(candidates.scores[i]) };
        Ok(picks.into_iter().map(pick).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::cpu::CpuExecutor;
    use crate::learning::geometry::{DeviceGeometry, Points};

    fn pick(scores: &[f32], embeddings: &[f32], k: usize, seed: u64) -> Vec<usize> {
        let indices: Vec<usize> = (0..scores.len()).map(|i| 10 + i).collect();
        let embeddings = Points { values: embeddings, dim: 2 };
        let candidates = Candidates { scores, embeddings, seed, ..Candidates::new(&indices) };
        let mut executor = CpuExecutor::new(Some(1)).unwrap();
        let picks = Badge.select(&candidates, k, &mut DeviceGeometry::new(&mut executor)).unwrap();
        picks.iter().map(|pick| pick.index).collect()
    }

    #[test]
    fn the_longest_comes_first_and_draws_follow_squared_distances() {
        // Three points on a line at 4, 0 (certain) and 3 times the embedding (1, 0): after 4 the weights are 16 and 1.
        let (scores, embeddings) = ([4.0, 0.0, 3.0], [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
        let rounds = 2000;
        let mut far = 0;
        for seed in 0..rounds {
            let picks = pick(&scores, &embeddings, 2, seed);
            assert_eq!(picks[0], 10);
            far += u64::from(picks[1] == 11);
        }
        let (share, expected) = (far as f64 / rounds as f64, 16.0 / 17.0);
        let deviation = (expected * (1.0 - expected) / rounds as f64).sqrt();
        assert!((share - expected).abs() < 5.0 * deviation, "{share} where {expected} is due");
    }

    #[test]
    fn copies_are_picked_when_nothing_else_is_left() {
        let mut picks = pick(&[1.0; 4], &[1.0; 8], 9, 3);
        assert_eq!(picks[0], 10, "the first of equals");
        picks.sort_unstable();
        assert_eq!(picks, [10, 11, 12, 13]);
    }
}
