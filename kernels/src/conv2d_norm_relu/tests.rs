use proptest::prelude::*;

use super::*;
use crate::tolerance::compare_law;
use crate::tolerance::testing::{Buffer, check_fast, convert, draw};
use crate::{Call, batch_norm, dropout, relu};

fn params(n: u32, [c_in, c_out]: [u32; 2], [h, w]: [u32; 2], kernel: u32, mask: u32) -> Params {
    Params { n, c_in, c_a: c_in, c_out, h, w, kernel, mask, eps: 1e-5 }
}

#[test]
fn a_known_unit() {
    let p = Params { eps: 3.0, ..params(1, [1, 2], [1, 2], 1, 1) };
    let mut y = [f64::NAN; 4];
    let (mean, var) = ([1.0, 1.0], [1.0, 1.0]);
    let (norm_weight, norm_bias) = ([2.0, 2.0], [1.0, 1.0]);
    let x = [3.0, -3.0];
    let mask = [2.0, 0.0];
    forward_eval(&p, &x, &[1.0, 1.0], &mean, &var, &norm_weight, &norm_bias, &mask, &mut y)
        .unwrap();
    // Two times (3 - 1) / 2 * 2 + 1; below zero; dropped.
    assert_eq!(y, [6.0, 0.0, 0.0, 0.0]);
}

#[test]
fn it_is_the_single_operations_one_after_another() {
    for kind in [0, 1, 2] {
        let p = params(2, [3, 2], [4, 5], 3, kind);
        let drawn = |seed, buffer| -> Vec<f64> { convert(&draw(seed, p.len(buffer), -1.0..2.0)) };
        let (x, weight) = (drawn(1, "x"), drawn(2, "weight"));
        let (mean, norm_weight, norm_bias) =
            (drawn(3, "running_mean"), drawn(4, "norm_weight"), drawn(5, "norm_bias"));
        let var: Vec<f64> = convert(&draw(6, 2, 0.1..2.0));
        let keep = |u: f32| if u < 0.3 { 0.0 } else { 1.25 };
        let mask: Vec<f64> = draw(7, p.len("mask"), 0.0..1.0).into_iter().map(keep).collect();
        let mut got = vec![f64::NAN; p.len("y")];
        forward_eval(&p, &x, &weight, &mean, &var, &norm_weight, &norm_bias, &mask, &mut got)
            .unwrap();

        let (mut v, mut normed) = (vec![0.0; got.len()], vec![0.0; got.len()]);
        conv2d::forward(&p.conv(), &x, &weight, &[0.0], &mut v).unwrap();
        let norm = batch_norm::Params { n: 2, c: 2, hw: 20, eps: p.eps, momentum: 0.0 };
        batch_norm::forward_eval(&norm, &v, &mean, &var, &norm_weight, &norm_bias, &mut normed)
            .unwrap();
        if kind > 0 {
            let (element, threshold, scale) = (kind - 1, 0, 1.25);
            let drop = dropout::Params { n: 2, c: 2, hw: 20, element, layer: 0, threshold, scale };
            dropout::forward(&drop, &normed, &mask, &mut v).unwrap();
        } else {
            v.copy_from_slice(&normed);
        }
        let mut want = vec![0.0; got.len()];
        relu::forward(&relu::Params { len: 80 }, &v, &mut want).unwrap();
        compare_law(&got, &want, 10.0).unwrap();
    }
}

#[test]
fn senseless_parameters_and_wrong_lengths_are_refused() {
    let good = params(1, [1, 2], [1, 1], 3, 0);
    let call = |p: &Params, mask: &[f32], y: &mut [f32]| {
        forward_eval(p, &[0.0], &[0.0; 18], &[0.0; 2], &[1.0; 2], &[0.0; 2], &[0.0; 2], mask, y)
    };
    for bad in [
        Params { n: 0, ..good },
        Params { kernel: 2, ..good },
        Params { c_a: 2, ..good },
        Params { mask: 3, ..good },
        Params { eps: 0.0, ..good },
    ] {
        let refused = call(&bad, &[0.0], &mut [0.0; 2]);
        assert!(matches!(refused, Err(Error::Params { op: "conv2d_norm_relu", .. })), "{bad:?}");
    }
    let refused = call(&good, &[0.0; 2], &mut [0.0; 2]);
    assert!(matches!(refused, Err(Error::Length { buffer: "mask", expected: 1, got: 2, .. })));
    let refused = call(&good, &[0.0], &mut [0.0; 3]);
    assert!(matches!(refused, Err(Error::Length { buffer: "y", expected: 2, got: 3, .. })));
}

fn check_all(p: Params, seed: u64) {
    let float = |buffer, i| Buffer::Float(draw(seed + i, p.len(buffer), -1.0..2.0));
    let keep = |u: f32| if u < 0.3 { 0.0 } else { 1.25 };
    let mask = draw(seed, p.len("mask"), 0.0..1.0).into_iter().map(keep).collect();
    let reads = [
        float("x", 1),
        float("weight", 2),
        float("running_mean", 3),
        Buffer::Float(draw(seed + 4, p.c_out as usize, 0.1..2.0)),
        float("norm_weight", 5),
        float("norm_bias", 6),
        Buffer::Float(mask),
    ];
    check_fast(Call::Conv2dNormReluForwardEval(p), &reads, &[Buffer::unset(p.len("y") as u32)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn fast_agrees(
        n in 1u32..3, channels in [1u32..9, 1u32..9], sides in [1u32..12, 1u32..12],
        kernel in prop::sample::select(&[1u32, 3][..]), mask in 0u32..3, seed: u64,
    ) {
        let p = params(n, channels, sides, kernel, mask);
        check_all(Params { c_a: 1 + seed as u32 % p.c_in, ..p }, seed >> 1);
    }
}
