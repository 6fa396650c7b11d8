use proptest::prelude::*;

use super::*;
use crate::Call;
use crate::tolerance::testing::{Buffer, check_fast, convert, draw};
use crate::tolerance::{compare_gradient, compare_law, finite_difference};

fn params([n, c, hw]: [u32; 3]) -> Params {
    Params { n, c, hw, eps: 1e-5, momentum: 0.1 }
}

fn drawn(p: &Params, seed: u64, buffer: &str) -> Vec<f64> {
    convert(&draw(seed, p.len(buffer), -1.0..2.0))
}

/// Mean and reciprocal deviation.
fn statistics_of(p: &Params, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let c = p.c as usize;
    let (mut mean, mut rstd) = (vec![0.0; c], vec![0.0; c]);
    statistics(p, x, &mut mean, &mut rstd, &mut vec![0.0; c], &mut vec![0.0; c]).unwrap();
    (mean, rstd)
}

#[test]
fn a_known_batch() {
    let p = Params { eps: 3.0, momentum: 0.25, ..params([2, 1, 1]) };
    let (mut mean, mut rstd, mut running_mean, mut running_var) = ([0.0], [0.0], [4.0], [4.0]);
    statistics(&p, &[1.0, 3.0], &mut mean, &mut rstd, &mut running_mean, &mut running_var).unwrap();
    assert_eq!((mean, rstd), ([2.0], [0.5]));
    // Three quarters of the old, a quarter of the mean 2 and of the unbiased variance 2.
    assert_eq!((running_mean, running_var), ([3.5], [3.5]));
    let mut y = [0.0; 2];
    forward(&p, &[1.0, 3.0], &mean, &rstd, &[10.0], &[1.0], &mut y).unwrap();
    assert_eq!(y, [-4.0, 6.0]);
    forward_eval(&p, &[0.0, 1.0], &[1.0], &[1.0], &[10.0], &[1.0], &mut y).unwrap();
    assert_eq!(y, [-4.0, 1.0]);
}

#[test]
fn a_single_number_keeps_its_biased_variance() {
    let p = params([1, 1, 1]);
    let (mut mean, mut rstd, mut running_mean, mut running_var) = ([0.0], [0.0], [0.0], [1.0]);
    statistics(&p, &[5.0f64], &mut mean, &mut rstd, &mut running_mean, &mut running_var).unwrap();
    assert_eq!(mean, [5.0]);
    assert!((running_var[0] - 0.9).abs() < f64::from(f32::EPSILON));
}

#[test]
fn outputs_have_mean_zero_and_variance_one() {
    let p = Params { eps: 1e-12, ..params([3, 4, 5]) };
    let x = drawn(&p, 1, "x");
    let (mean, rstd) = statistics_of(&p, &x);
    let mut y = vec![0.0; x.len()];
    forward(&p, &x, &mean, &rstd, &[1.0; 4], &[0.0; 4], &mut y).unwrap();
    let (mean, rstd) = statistics_of(&p, &y);
    // The eps is not negligible in this comparison; undo it.
    let var: Vec<f64> = rstd.iter().map(|r| 1.0 / (r * r)).collect();
    compare_law(&mean, &[0.0; 4], 1.0).unwrap();
    compare_law(&var, &[1.0; 4], 1e3).unwrap();
}

#[test]
fn gradients_agree_with_finite_differences() {
    for size in [[2, 3, 5], [1, 2, 7], [4, 1, 1]] {
        let p = params(size);
        let (mut x, dy) = (drawn(&p, 1, "x"), drawn(&p, 2, "dy"));
        let (mut weight, mut bias) = (drawn(&p, 3, "weight"), drawn(&p, 4, "bias"));
        let loss = |x: &[f64], weight: &[f64], bias: &[f64]| -> f64 {
            let (mean, rstd) = statistics_of(&p, x);
            let mut y = vec![0.0; x.len()];
            forward(&p, x, &mean, &rstd, weight, bias, &mut y).unwrap();
            y.iter().zip(&dy).map(|(y, dy)| y * dy).sum()
        };
        let (mean, rstd) = statistics_of(&p, &x);
        let (mut dweight, mut dbias) = (vec![0.0; weight.len()], vec![0.0; bias.len()]);
        let mut dx = vec![0.0; x.len()];
        backward_weight(&p, &x, &dy, &mean, &rstd, &mut dweight, &mut dbias).unwrap();
        backward_input(&p, &x, &dy, &mean, &rstd, &weight, &dweight, &dbias, &mut dx).unwrap();
        let want: Vec<f64> = (0..x.len())
            .map(|i| finite_difference(&mut x, i, |x| loss(x, &weight, &bias)))
            .collect();
        compare_gradient(&dx, &want).unwrap();
        let want: Vec<f64> = (0..weight.len())
            .map(|i| finite_difference(&mut weight, i, |weight| loss(&x, weight, &bias)))
            .collect();
        compare_gradient(&dweight, &want).unwrap();
        let want: Vec<f64> = (0..bias.len())
            .map(|i| finite_difference(&mut bias, i, |bias| loss(&x, &weight, bias)))
            .collect();
        compare_gradient(&dbias, &want).unwrap();
    }
}

#[test]
fn senseless_parameters_and_wrong_lengths_are_refused() {
    for bad in [
        params([0, 1, 1]),
        Params { eps: 0.0, ..params([1; 3]) },
        Params { eps: f32::NAN, ..params([1; 3]) },
        Params { momentum: 1.5, ..params([1; 3]) },
    ] {
        let refused = forward(&bad, &[0.0], &[0.0], &[0.0], &[0.0], &[0.0], &mut [0.0]);
        assert!(matches!(refused, Err(Error::Params { op: "batch_norm", .. })), "{bad:?}");
    }
    let p = params([1, 2, 1]);
    let refused = forward(&p, &[0.0; 2], &[0.0; 2], &[0.0], &[0.0; 2], &[0.0; 2], &mut [0.0; 2]);
    assert!(matches!(refused, Err(Error::Length { buffer: "rstd", expected: 2, got: 1, .. })));
}

/// All fast passes against the tracked references.
fn check(p: Params, seed: u64) {
    let float = |buffer, i| Buffer::Float(draw(seed + i, p.len(buffer), -1.0..2.0));
    let var = Buffer::Float(draw(seed + 9, p.c as usize, 0.1..2.0));
    let (x, dy, weight, bias) =
        (float("x", 0), float("dy", 1), float("weight", 2), float("bias", 3));
    let unset = |buffer| Buffer::unset(p.len(buffer) as u32);
    let running = [unset("mean"), unset("rstd"), bias.clone(), var.clone()];
    let found = check_fast(Call::BatchNormStatistics(p), core::slice::from_ref(&x), &running);
    let (mean, rstd) = (found[0].clone(), found[1].clone());
    let (x, y) = (|| x.clone(), [unset("y")]);
    let reads = [x(), mean.clone(), rstd.clone(), weight.clone(), bias.clone()];
    check_fast(Call::BatchNormForward(p), &reads, &y);
    let reads = [x(), mean.clone(), var, weight.clone(), bias];
    check_fast(Call::BatchNormForwardEval(p), &reads, &y);
    let reads = [x(), dy.clone(), mean.clone(), rstd.clone()];
    let found =
        check_fast(Call::BatchNormBackwardWeight(p), &reads, &[unset("dweight"), unset("dbias")]);
    let reads = [x(), dy, mean, rstd, weight, found[0].clone(), found[1].clone()];
    check_fast(Call::BatchNormBackwardInput(p), &reads, &[unset("dx")]);
}

#[test]
fn fast_agrees_on_large_planes() {
    check(params([2, 3, 20_000]), 5);
    crate::simd::testing::on_every_level(|| check(params([3, 2, 77]), 6));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn fast_agrees(n in 1u32..5, c in 1u32..9, hw in 1u32..200, seed: u64) {
        // A variance near zero, as of one number, has no bound of its error without a larger eps.
        check(Params { eps: 0.1, ..params([n, c, hw]) }, seed >> 1);
    }
}
