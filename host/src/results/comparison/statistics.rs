//! Tests of paired differences, a seed each.

use askem_kernels::rng::{Purpose, below, stream};
use serde::Serialize;

/// Seeds up to which all signs are counted; beyond, [`DRAWS`] of them are drawn.
const EXACT: usize = 16;
const DRAWS: u32 = 100_000;

/// The paired differences of a strategy from random in one number of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Test {
    /// Mean over the seeds: above 0 the strategy is better.
    pub difference: f64,
    /// Two-sided, of [`sign_flip_p`].
    pub p: f64,
    /// The same after [`holm`] over the strategies that are compared.
    pub corrected: f64,
}

impl Test {
    /// Not yet corrected.
    pub(super) fn of(differences: &[f64]) -> Self {
        let difference = differences.iter().sum::<f64>() / differences.len() as f64;
        let p = sign_flip_p(differences);
        Self { difference, p, corrected: p }
    }
}

/// Two-sided p-value of paired differences: the share of all choices of signs whose sum is as far
/// from 0 as the one that was seen, or farther.
///
/// If a strategy did nothing, each seed could as well have had the opposite difference. Up to 16
/// seeds all choices are counted. With more, 100,000 are drawn from a fixed stream and the one that
/// was seen is counted among them, so that p is never 0. Without differences it is 1.
pub fn sign_flip_p(differences: &[f64]) -> f64 {
    let observed = differences.iter().sum::<f64>().abs();
    // Sums that differ by rounding alone are equal.
    let bound = observed - 1e-12 * differences.iter().map(|d| d.abs()).sum::<f64>();
    let is_as_far = |flipped: &mut dyn FnMut(usize) -> bool| {
        let signed = |(i, d): (usize, &f64)| if flipped(i) { -d } else { *d };
        differences.iter().enumerate().map(signed).sum::<f64>().abs() >= bound
    };
    if differences.len() <= EXACT {
        let all = 1_u32 << differences.len();
        let as_far = (0..all).filter(|signs| is_as_far(&mut |i| signs >> i & 1 == 1)).count();
        return as_far as f64 / f64::from(all);
    }
    let mut rng = stream(0, Purpose::Strategy, 1, 0);
    let as_far = (0..DRAWS).filter(|_| is_as_far(&mut |_| below(&mut rng, 2) == 1)).count();
    (as_far + 1) as f64 / f64::from(DRAWS + 1)
}

/// Holm's correction: p-values of as many hypotheses, so that the chance of one false claim among
/// all of them stays below the level.
///
/// Source: S. Holm, "A simple sequentially rejective multiple test procedure" (1979).
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut corrected = vec![0.0; p.len()];
    let mut least = 0.0_f64;
    for (rank, &i) in order.iter().enumerate() {
        least = least.max(((p.len() - rank) as f64 * p[i]).min(1.0));
        corrected[i] = least;
    }
    corrected
}
