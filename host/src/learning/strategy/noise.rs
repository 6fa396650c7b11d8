//! Noise on scores, which spreads a batch: the best patches of one moment resemble each other, and a little luck keeps them apart.
//!
//! Source: Kirsch, Farquhar, Atighehchian, Jesson, Branchaud-Charron and Gal, "Stochastic Batch Acquisition" (arXiv 2106.12059): the k largest of
//! `log score + Gumbel noise of scale 1 / beta` are a draw without replacement in proportion to `score^beta`.

use askem_kernels::rng::{Purpose, stream, uniform};

use super::{Candidates, Pick, require_finite};
use crate::error::Result;

/// Scores below count as this, so that their logarithm is a number.
const TINY: f64 = 1e-30;

/// The noise of a patch: standard Gumbel, the same however often and beside whichever other patches it is asked for.
fn gumbel(seed: u64, iteration: u64, index: usize) -> f64 {
    // 0 is the stream of draws that belong to no patch.
    let mut rng = stream(seed, Purpose::Strategy, iteration, 1 + index as u64);
    -(-uniform(&mut rng).max(f64::MIN_POSITIVE).ln()).ln()
}

/// The `k` candidates with the largest noisy scores, best first. Picks carry the scores without noise.
///
/// # Errors
/// If a score is not a number.
pub(super) fn noisy(
    candidates: &Candidates<'_>,
    scores: &[f32],
    beta: f64,
    k: usize,
) -> Result<Vec<Pick>> {
    require_finite(candidates, scores)?;
    let noisy = |i: usize| {
        let noise = gumbel(candidates.seed, candidates.iteration, candidates.indices[i]);
        f64::from(scores[i]).max(TINY).ln() + noise / beta
    };
    let mut order: Vec<(usize, f64)> = (0..scores.len()).map(|i| (i, noisy(i))).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let pick =
        |&(i, _): &(usize, f64)| Pick { index: candidates.indices[i], score: Some(scores[i]) };
    Ok(order.iter().take(k).map(pick).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn draws_are_in_proportion_to_the_power_of_the_score() {
        let (indices, scores) = ([4, 7, 9], [1.0, 2.0, 5.0]);
        let mut first: HashMap<usize, f64> = HashMap::new();
        let rounds = 20_000;
        for seed in 0..rounds {
            let candidates = Candidates { seed, ..Candidates::new(&indices) };
            *first.entry(noisy(&candidates, &scores, 1.0, 1).unwrap()[0].index).or_default() += 1.0;
        }
        for (index, score) in indices.iter().zip(scores) {
            let share = first[index] / rounds as f64;
            let expected = f64::from(score) / 8.0;
            // Five standard deviations.
            let allowed = 5.0 * (expected * (1.0 - expected) / rounds as f64).sqrt();
            assert!((share - expected).abs() < allowed, "{index}: {share} for {expected}");
        }
    }

    #[test]
    fn little_noise_leaves_the_order_and_zeros_are_last() {
        let (indices, scores) = ([1, 2, 3, 4], [0.0, 3.0, 1.0, 2.0]);
        let candidates = Candidates::new(&indices);
        let picks = noisy(&candidates, &scores, 1e6, 9).unwrap();
        let order: Vec<_> = picks.iter().map(|pick| (pick.index, pick.score.unwrap())).collect();
        assert_eq!(order, [(2, 3.0), (4, 2.0), (3, 1.0), (1, 0.0)]);
        assert!(noisy(&candidates, &[f32::NAN; 4], 1.0, 1).is_err());
    }

    #[test]
    fn a_patchs_noise_is_its_own() {
        let all = [10, 11, 12, 13, 14, 15];
        let scores = [1.0; 6];
        let order: Vec<usize> = noisy(&Candidates::new(&all), &scores, 1.0, 6)
            .unwrap()
            .iter()
            .map(|pick| pick.index)
            .collect();
        let rest: Vec<usize> = all.into_iter().filter(|&index| index != order[0]).collect();
        let again = noisy(&Candidates::new(&rest), &scores[1..], 1.0, 6).unwrap();
        assert!(again.iter().map(|pick| &pick.index).eq(&order[1..]));
    }
}
