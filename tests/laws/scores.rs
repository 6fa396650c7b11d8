//! What scores and sums obey, whatever their input.

use askem_kernels::rng::{Purpose, stream, uniform};
use askem_kernels::tolerance::{LAW, compare_law};
use askem_kernels::{Call, bald, entropy, global_avg_pool2d, least_confidence, patch_sum, softmax};
use proptest::prelude::*;

use crate::env::{Env, dot};

fn logits(seed: u64, len: usize, range: f64) -> Vec<f64> {
    let mut rng = stream(seed, Purpose::Test, 0, 0);
    (0..len).map(|_| range * (2.0 * uniform(&mut rng) - 1.0)).collect()
}

/// Softmax of random logits, in an environment with what follows from it.
fn scored(n: u32, c: u32, hw: u32, values: Vec<f64>) -> Env {
    let mut env = Env::default();
    env.set("logits", values);
    let score = Call::EntropyForward(entropy::Params { n, c, hw });
    env.run(&[Call::SoftmaxForward(softmax::Params { n, c, hw }), score]);
    env
}

proptest! {
    #[test]
    fn probabilities_are_between_zero_and_one_and_sum_to_one(
        n in 1u32..3, c in 1u32..6, hw in 1u32..9, seed: u64, range in 0.0f64..800.0,
    ) {
        let env = scored(n, c, hw, logits(seed, (n * c * hw) as usize, range));
        let p = env.get("p");
        prop_assert!(p.iter().all(|p| (0.0..=1.0 + LAW).contains(p)));
        let (c, hw) = (c as usize, hw as usize);
        for sample in p.chunks(c * hw) {
            for i in 0..hw {
                let sum: f64 = sample.iter().skip(i).step_by(hw).sum();
                prop_assert!(compare_law(&[sum], &[1.0], 1.0).is_ok(), "{sum}");
            }
        }
    }

    /// 0 <= entropy <= ln c, whatever the order of the classes.
    #[test]
    fn entropy_has_its_bounds_and_knows_no_order(
        n in 1u32..3, c in 1u32..6, hw in 1u32..9, seed: u64, range in 0.0f64..30.0,
    ) {
        let values = logits(seed, (n * c * hw) as usize, range);
        let env = scored(n, c, hw, values.clone());
        let most = f64::from(c).ln();
        for &entropy in env.get("map") {
            prop_assert!((-LAW..=most + LAW).contains(&entropy), "{entropy}");
        }
        let turned = values.chunks((c * hw) as usize).flat_map(|sample| {
            sample.chunks(hw as usize).rev().flatten().copied().collect::<Vec<_>>()
        });
        let turned = scored(n, c, hw, turned.collect());
        prop_assert!(compare_law(turned.get("map"), env.get("map"), 1.0).is_ok());
    }

    /// 1 / c <= the largest probability <= 1, and it is one of them.
    #[test]
    fn confidence_is_the_largest_probability(
        n in 1u32..3, c in 1u32..6, hw in 1u32..9, seed: u64, range in 0.0f64..30.0,
    ) {
        let mut env = scored(n, c, hw, logits(seed, (n * c * hw) as usize, range));
        env.run(&[Call::LeastConfidenceForward(least_confidence::Params { n, c, hw })]);
        let (c, hw) = (c as usize, hw as usize);
        for (sample, map) in env.get("p").chunks(c * hw).zip(env.get("map").chunks(hw)) {
            for (i, &largest) in map.iter().enumerate() {
                let of_pixel: Vec<f64> = sample.iter().skip(i).step_by(hw).copied().collect();
                prop_assert!(of_pixel.contains(&largest));
                prop_assert!(of_pixel.iter().all(|&p| p <= largest));
                prop_assert!((1.0 / c as f64 - LAW..=1.0 + LAW).contains(&largest));
            }
        }
    }

    /// 0 <= mutual information <= entropy of the mean <= ln c; passes that agree tell nothing.
    #[test]
    fn bald_has_its_bounds(
        n in 1u32..3, c in 1u32..6, hw in 1u32..9, passes in 1u32..6, seed: u64, range in 0.0f64..30.0,
    ) {
        let params = bald::Params { n, c, hw, passes, stacked: 1 };
        let len = (n * c * hw) as usize;
        for agree in [false, true] {
            let (mut sum_p, mut sum_entropy) = (vec![0.0; len], vec![0.0; (n * hw) as usize]);
            for pass in 0..u64::from(passes) {
                let seed = if agree { seed } else { seed.wrapping_add(pass) };
                let env = scored(n, c, hw, logits(seed, len, range));
                sum_p.iter_mut().zip(env.get("p")).for_each(|(sum, p)| *sum += p);
                sum_entropy.iter_mut().zip(env.get("map")).for_each(|(sum, e)| *sum += e);
            }
            let mut env = Env::default();
            env.set("sum_p", sum_p);
            env.set("sum_entropy", sum_entropy);
            env.run(&[Call::BaldEntropyOfMean(params)]);
            let entropy = env.get("map").to_vec();
            env.run(&[Call::BaldMutualInformation(params)]);
            let most = f64::from(c).ln() + LAW;
            for (&information, &entropy) in env.get("map").iter().zip(&entropy) {
                prop_assert!((0.0..=entropy.max(0.0) + LAW).contains(&information));
                prop_assert!(entropy <= most);
                prop_assert!(!agree || information <= 10.0 * LAW, "{information}");
            }
        }
    }
}

/// These two have no backward pass; their transposes are written out here.
#[test]
fn sums_and_means_are_linear() {
    let p = global_avg_pool2d::Params { n: 2, c: 3, hw: 7 };
    let calls = [Call::GlobalAvgPool2dForward(p)];
    let mut env = Env::drawn(&calls);
    env.run(&calls);
    let d: Vec<f64> = (0..6).map(|i| f64::from(i * i) - 4.5).collect();
    let spread: Vec<f64> = d.iter().flat_map(|d| [d / 7.0; 7]).collect();
    compare_law(&[dot(env.get("y"), &d)], &[dot(env.get("x"), &spread)], 100.0)
        .unwrap_or_else(|mismatch| panic!("global_avg_pool2d: {mismatch}"));

    let p = patch_sum::Params { n: 3, hw: 11 };
    let calls = [Call::PatchSumForward(p)];
    let mut env = Env::drawn(&calls);
    env.run(&calls);
    let d = [0.5, -3.0, 2.0];
    let spread: Vec<f64> = d.iter().flat_map(|d| [*d; 11]).collect();
    compare_law(&[dot(env.get("score"), &d)], &[dot(env.get("map"), &spread)], 100.0)
        .unwrap_or_else(|mismatch| panic!("patch_sum: {mismatch}"));
}
