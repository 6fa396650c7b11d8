use proptest::prelude::*;

use super::*;
use crate::Call;
use crate::tolerance::testing::{Buffer, check_fast, convert, draw};
use crate::tolerance::{compare_gradient, compare_law, finite_difference};
use crate::{batch_norm, instance_norm};

fn params([n, c, hw]: [u32; 3], mask: u32) -> Params {
    Params { n, c, hw, mask, scale: if mask == 0 { 1.0 } else { 1.25 }, affine: 1 }
}

fn mask_of(p: &Params, seed: u64) -> Vec<f32> {
    draw(seed, p.len("mask"), 0.0..1.0)
        .into_iter()
        .map(|u| if u < 0.3 { 0.0 } else { p.scale })
        .collect()
}

/// Mean and reciprocal deviation.
fn statistics_of(p: &Params, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let c = p.c as usize;
    let (mut mean, mut rstd) = (vec![0.0; c], vec![0.0; c]);
    let p = batch_norm::Params { n: p.n, c: p.c, hw: p.hw, eps: 1e-5, momentum: 0.0 };
    let (mut running, mut var) = (vec![0.0; c], vec![0.0; c]);
    batch_norm::statistics(&p, x, &mut mean, &mut rstd, &mut running, &mut var).unwrap();
    (mean, rstd)
}

#[test]
fn a_known_unit() {
    let p = Params { scale: 2.0, ..params([1, 2, 2], 1) };
    let mut y = [f64::NAN; 4];
    let x = [3.0, 0.0, 3.0, 0.0];
    forward(&p, &x, &[1.0, 1.0], &[0.5, 0.5], &[2.0, 2.0], &[1.0, 1.0], &[2.0, 0.0], &mut y)
        .unwrap();
    assert_eq!(y, [6.0, 0.0, 0.0, 0.0]);
    let (mut dweight, mut dbias, mut k) = ([f64::NAN; 2], [f64::NAN; 2], [f64::NAN; 8]);
    let (mean, rstd) = ([1.0, 1.0], [0.5, 0.5]);
    backward_weight(&p, &x, &y, &[5.0; 4], &mean, &rstd, &mut dweight, &mut dbias, &mut k).unwrap();
    assert_eq!((dweight, dbias), ([10.0, 0.0], [10.0, 0.0]));
    assert_eq!(k, [1.0, 0.5, 5.0, 5.0, 1.0, 0.5, 0.0, 0.0]);
}

#[test]
fn gradients_agree_with_finite_differences() {
    for (size, kind) in [([2, 3, 5], 0), ([2, 2, 7], 1), ([3, 2, 4], 2)] {
        let p = params(size, kind);
        let drawn = |seed, buffer| convert(&draw(seed, p.len(buffer), -1.0..2.0));
        let (mut x, dy): (Vec<f64>, Vec<f64>) = (drawn(1, "x"), drawn(2, "dy"));
        let (mut weight, mut bias): (Vec<f64>, Vec<f64>) = (drawn(3, "weight"), drawn(4, "bias"));
        let mask: Vec<f64> = convert(&mask_of(&p, 5));
        let output = |x: &[f64], weight: &[f64], bias: &[f64]| {
            let (mean, rstd) = statistics_of(&p, x);
            let mut y = vec![0.0; x.len()];
            forward(&p, x, &mean, &rstd, weight, bias, &mask, &mut y).unwrap();
            y
        };
        let loss = |x: &[f64], weight: &[f64], bias: &[f64]| -> f64 {
            output(x, weight, bias).iter().zip(&dy).map(|(y, dy)| y * dy).sum()
        };
        let y = output(&x, &weight, &bias);
        assert!(y.iter().all(|&y| y == 0.0 || y > 1e-3), "no kink near: {y:?}");
        let (mean, rstd) = statistics_of(&p, &x);
        let (mut dweight, mut dbias) = (vec![0.0; weight.len()], vec![0.0; bias.len()]);
        let (mut k, mut dx) = (vec![0.0; p.len("coefficients")], vec![0.0; x.len()]);
        backward_weight(&p, &x, &y, &dy, &mean, &rstd, &mut dweight, &mut dbias, &mut k).unwrap();
        backward_input(&p, &x, &y, &dy, &k, &weight, &mut dx).unwrap();
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
fn without_dropout_it_is_batch_norm_and_relu() {
    let p = params([2, 3, 4], 0);
    let b = batch_norm::Params { n: 2, c: 3, hw: 4, eps: 1e-5, momentum: 0.0 };
    let x: Vec<f64> = convert(&draw(1, p.len("x"), -1.0..2.0));
    let (mean, rstd) = statistics_of(&p, &x);
    let (weight, bias) = ([0.5, 2.0, -1.0], [0.1, 0.0, -0.2]);
    let (mut want, mut got) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    batch_norm::forward(&b, &x, &mean, &rstd, &weight, &bias, &mut want).unwrap();
    want.iter_mut().for_each(|y| *y = y.max(0.0));
    forward(&p, &x, &mean, &rstd, &weight, &bias, &[f64::NAN], &mut got).unwrap();
    compare_law(&got, &want, 1.0).unwrap();
}

#[test]
fn planes_without_weights_are_instance_norm_and_relu() {
    let instance = instance_norm::Params { n: 2, c: 3, hw: 5, eps: 1e-5 };
    let p = Params { affine: 0, ..params([1, 6, 5], 0) };
    let x: Vec<f64> = convert(&draw(1, p.len("x"), -1.0..2.0));
    let dy: Vec<f64> = convert(&draw(2, p.len("x"), -1.0..2.0));
    let [mut mean, mut rstd, mut sum_dy, mut sum_dy_xhat, mut dweight, mut dbias] =
        [(); 6].map(|()| vec![f64::NAN; 6]);
    let [mut y, mut want, mut dx, mut want_dx] = [(); 4].map(|()| vec![f64::NAN; x.len()]);
    instance_norm::statistics(&instance, &x, &mut mean, &mut rstd).unwrap();
    instance_norm::forward(&instance, &x, &mean, &rstd, &mut want).unwrap();
    want.iter_mut().for_each(|y| *y = y.max(0.0));
    let unused = [f64::NAN];
    forward(&p, &x, &mean, &rstd, &unused, &unused, &unused, &mut y).unwrap();
    compare_law(&y, &want, 1.0).unwrap();

    let mut k = vec![f64::NAN; p.len("coefficients")];
    backward_weight(&p, &x, &y, &dy, &mean, &rstd, &mut dweight, &mut dbias, &mut k).unwrap();
    backward_input(&p, &x, &y, &dy, &k, &unused, &mut dx).unwrap();
    let g: Vec<f64> = dy.iter().zip(&y).map(|(dy, &y)| if y > 0.0 { *dy } else { 0.0 }).collect();
    let sums = (&mut sum_dy, &mut sum_dy_xhat);
    instance_norm::backward_statistics(&instance, &x, &g, &mean, &rstd, sums.0, sums.1).unwrap();
    instance_norm::backward_input(
        &instance,
        &x,
        &g,
        &mean,
        &rstd,
        &sum_dy,
        &sum_dy_xhat,
        &mut want_dx,
    )
    .unwrap();
    compare_law(&dx, &want_dx, 1e1).unwrap();
    compare_law(&dbias, &sum_dy, 1e1).unwrap();
    compare_law(&dweight, &sum_dy_xhat, 1e1).unwrap();
}

#[test]
fn senseless_parameters_and_wrong_lengths_are_refused() {
    let good = params([1, 2, 1], 1);
    for bad in [
        params([0, 1, 1], 0),
        Params { mask: 3, ..good },
        Params { affine: 2, ..good },
        Params { scale: 0.0, ..good },
        Params { scale: f32::NAN, ..good },
    ] {
        let refused = backward_input::<f32>(&bad, &[], &[], &[], &[], &[], &mut []);
        assert!(matches!(refused, Err(Error::Params { op: "batch_norm_relu", .. })), "{bad:?}");
    }
    let refused =
        backward_input(&good, &[0.0; 2], &[0.0; 2], &[0.0; 2], &[0.0; 7], &[0.0; 2], &mut [0.0; 2]);
    assert!(matches!(
        refused,
        Err(Error::Length { buffer: "coefficients", expected: 8, got: 7, .. })
    ));
}

/// All fast passes against the tracked references.
fn check(p: Params, seed: u64) {
    let float = |buffer, i| Buffer::Float(draw(seed + i, p.len(buffer), -1.0..2.0));
    let (mean, weight, bias) = (float("mean", 1), float("weight", 2), float("bias", 3));
    let rstd = Buffer::Float(draw(seed + 4, p.c as usize, 0.1..2.0));
    let mask = Buffer::Float(mask_of(&p, seed + 5));
    let unset = |buffer| Buffer::unset(p.len(buffer) as u32);
    let (x, dy) = (float("x", 6), float("dy", 7));
    let reads = [x.clone(), mean.clone(), rstd.clone(), weight.clone(), bias, mask];
    let y = check_fast(Call::BatchNormReluForward(p), &reads, &[unset("y")])[0].clone();
    let reads = [x.clone(), y.clone(), dy.clone(), mean, rstd];
    let writes = [unset("dweight"), unset("dbias"), unset("coefficients")];
    let k = check_fast(Call::BatchNormReluBackwardWeight(p), &reads, &writes)[2].clone();
    check_fast(Call::BatchNormReluBackwardInput(p), &[x, y, dy, k, weight], &[unset("dx")]);
}

#[test]
fn fast_agrees_on_large_planes() {
    check(params([2, 3, 20_000], 1), 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn fast_agrees(
        size in [1u32..4, 1u32..6, 1u32..70], mask in 0u32..3, affine in 0u32..2, seed: u64,
    ) {
        check(Params { affine, ..params(size, mask) }, seed >> 1);
    }
}
