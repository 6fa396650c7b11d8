use proptest::prelude::*;

use super::*;
use crate::tolerance::testing::{Buffer, check_fast, convert, draw};
use crate::tolerance::{compare_gradient, compare_law, finite_difference};
use crate::{Call, batch_norm};

fn params([n, c, hw]: [u32; 3]) -> Params {
    Params { n, c, hw, eps: 1e-5 }
}

fn drawn(p: &Params, seed: u64, buffer: &str) -> Vec<f64> {
    convert(&draw(seed, p.len(buffer), -1.0..2.0))
}

fn statistics_of(p: &Params, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (mut mean, mut rstd) = (vec![0.0; p.len("mean")], vec![0.0; p.len("rstd")]);
    statistics(p, x, &mut mean, &mut rstd).unwrap();
    (mean, rstd)
}

#[test]
fn a_known_plane() {
    let p = Params { eps: 3.0, ..params([1, 2, 2]) };
    let x = [1.0, 3.0, 5.0, 5.0];
    let (mean, rstd) = statistics_of(&p, &x);
    assert_eq!((&mean[..], rstd[0]), (&[2.0, 5.0][..], 0.5));
    let mut y = [0.0; 4];
    forward(&p, &x, &mean, &rstd, &mut y).unwrap();
    assert_eq!(y, [-0.5, 0.5, 0.0, 0.0]);
}

#[test]
fn it_is_a_batch_norm_of_each_plane_alone() {
    let p = params([2, 3, 5]);
    let x = drawn(&p, 1, "x");
    let (mean, rstd) = statistics_of(&p, &x);
    let mut y = vec![0.0; x.len()];
    forward(&p, &x, &mean, &rstd, &mut y).unwrap();
    let q = batch_norm::Params { n: 1, c: 6, hw: 5, eps: p.eps, momentum: 0.0 };
    let (mut mean, mut rstd) = ([0.0; 6], [0.0; 6]);
    batch_norm::statistics(&q, &x, &mut mean, &mut rstd, &mut [0.0; 6], &mut [0.0; 6]).unwrap();
    let mut want = vec![0.0; x.len()];
    batch_norm::forward(&q, &x, &mean, &rstd, &[1.0; 6], &[0.0; 6], &mut want).unwrap();
    compare_law(&y, &want, 1.0).unwrap();
}

#[test]
fn gradients_agree_with_finite_differences() {
    for size in [[2, 3, 5], [1, 1, 7]] {
        let p = params(size);
        let (mut x, dy) = (drawn(&p, 1, "x"), drawn(&p, 2, "dy"));
        let loss = |x: &[f64]| -> f64 {
            let (mean, rstd) = statistics_of(&p, x);
            let mut y = vec![0.0; x.len()];
            forward(&p, x, &mean, &rstd, &mut y).unwrap();
            y.iter().zip(&dy).map(|(y, dy)| y * dy).sum()
        };
        let (mean, rstd) = statistics_of(&p, &x);
        let (mut plain, mut with_xhat) = (vec![0.0; mean.len()], vec![0.0; mean.len()]);
        let mut dx = vec![0.0; x.len()];
        backward_statistics(&p, &x, &dy, &mean, &rstd, &mut plain, &mut with_xhat).unwrap();
        backward_input(&p, &x, &dy, &mean, &rstd, &plain, &with_xhat, &mut dx).unwrap();
        let want: Vec<f64> = (0..x.len()).map(|i| finite_difference(&mut x, i, loss)).collect();
        compare_gradient(&dx, &want).unwrap();
    }
}

#[test]
fn senseless_parameters_and_wrong_lengths_are_refused() {
    for bad in [params([1, 0, 1]), Params { eps: -1.0, ..params([1; 3]) }] {
        let refused = statistics(&bad, &[0.0], &mut [0.0], &mut [0.0]);
        assert!(matches!(refused, Err(Error::Params { op: "instance_norm", .. })), "{bad:?}");
    }
    let refused = statistics(&params([2, 1, 1]), &[0.0; 2], &mut [0.0; 2], &mut [0.0]);
    assert!(matches!(refused, Err(Error::Length { buffer: "rstd", expected: 2, got: 1, .. })));
}

/// All fast passes against the tracked references.
fn check(p: Params, seed: u64) {
    let float = |buffer, i| Buffer::Float(draw(seed + i, p.len(buffer), -1.0..2.0));
    let (x, dy) = (float("x", 0), float("dy", 1));
    let unset = |buffer| Buffer::unset(p.len(buffer) as u32);
    let outputs = [unset("mean"), unset("rstd")];
    let found = check_fast(Call::InstanceNormStatistics(p), core::slice::from_ref(&x), &outputs);
    let [mean, rstd] = [found[0].clone(), found[1].clone()];
    let reads = [x.clone(), mean.clone(), rstd.clone()];
    check_fast(Call::InstanceNormForward(p), &reads, &[unset("y")]);
    let reads = [x.clone(), dy.clone(), mean.clone(), rstd.clone()];
    let found = check_fast(Call::InstanceNormBackwardStatistics(p), &reads, &outputs);
    let reads = [x, dy, mean, rstd, found[0].clone(), found[1].clone()];
    check_fast(Call::InstanceNormBackwardInput(p), &reads, &[unset("dx")]);
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
