use proptest::prelude::*;

use super::*;
use crate::Call;
use crate::tolerance::testing::{Buffer, check_fast, convert, draw};
use crate::tolerance::{compare_gradient, compare_law, finite_difference};

fn params([n, c_in, c_out, h, w]: [u32; 5]) -> Params {
    Params { n, c_in, c_out, h, w }
}

const SIZES: [[u32; 5]; 3] = [[2, 3, 4, 5, 6], [1, 2, 1, 1, 3], [1, 1, 2, 2, 1]];

fn drawn(p: &Params, seed: u64, buffer: &str) -> Vec<f64> {
    convert(&draw(seed, p.len(buffer), -1.0..1.0))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn a_known_image() {
    let p = params([1, 1, 1, 1, 2]);
    let mut y = [0.0; 8];
    forward(&p, &[1.0, 10.0], &[1.0, 2.0, 3.0, 4.0], &[0.5], &mut y).unwrap();
    assert_eq!(y, [1.5, 2.5, 10.5, 20.5, 3.5, 4.5, 30.5, 40.5]);
}

#[test]
fn the_backward_passes_are_adjoint_to_the_forward_pass() {
    for size in SIZES {
        let p = params(size);
        let (x, weight, dy) = (drawn(&p, 1, "x"), drawn(&p, 2, "weight"), drawn(&p, 3, "dy"));
        let mut y = vec![0.0; dy.len()];
        forward(&p, &x, &weight, &vec![0.0; p.len("bias")], &mut y).unwrap();
        let (mut dx, mut dweight) = (vec![0.0; x.len()], vec![0.0; weight.len()]);
        backward_input(&p, &dy, &weight, &mut dx).unwrap();
        backward_weight(&p, &x, &dy, &mut dweight).unwrap();
        let (want, scale) = (dot(&y, &dy), dot(&y, &y).sqrt() * dot(&dy, &dy).sqrt());
        compare_law(&[dot(&x, &dx), dot(&weight, &dweight)], &[want, want], scale).unwrap();
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    for size in SIZES {
        let p = params(size);
        let (mut x, mut weight) = (drawn(&p, 1, "x"), drawn(&p, 2, "weight"));
        let (mut bias, dy) = (drawn(&p, 3, "bias"), drawn(&p, 4, "dy"));
        let loss = |x: &[f64], weight: &[f64], bias: &[f64]| {
            let mut y = vec![0.0; dy.len()];
            forward(&p, x, weight, bias, &mut y).unwrap();
            dot(&y, &dy)
        };
        let (mut dx, mut dweight) = (vec![0.0; x.len()], vec![0.0; weight.len()]);
        let mut dbias = vec![0.0; bias.len()];
        backward_input(&p, &dy, &weight, &mut dx).unwrap();
        backward_weight(&p, &x, &dy, &mut dweight).unwrap();
        backward_bias(&p, &dy, &mut dbias).unwrap();
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
fn senseless_sizes_and_wrong_lengths_are_refused() {
    let refused = forward(&params([1, 0, 1, 1, 1]), &[0.0], &[0.0], &[0.0], &mut [0.0]);
    assert!(matches!(refused, Err(Error::Params { op: "conv_transpose2d", .. })));
    let refused = forward(&params([1; 5]), &[0.0], &[0.0; 4], &[0.0], &mut [0.0]);
    assert!(matches!(refused, Err(Error::Length { buffer: "y", expected: 4, got: 1, .. })));
}

/// All fast passes against the tracked references.
fn check(p: Params, seed: u64) {
    let float = |buffer, i| Buffer::Float(draw(seed + i, p.len(buffer), -1.0..1.0));
    let (x, weight, bias, dy) =
        (float("x", 0), float("weight", 1), float("bias", 2), float("dy", 3));
    let unset = |buffer| [Buffer::unset(p.len(buffer) as u32)];
    check_fast(Call::ConvTranspose2dForward(p), &[x.clone(), weight.clone(), bias], &unset("y"));
    check_fast(Call::ConvTranspose2dBackwardInput(p), &[dy.clone(), weight], &unset("dx"));
    check_fast(Call::ConvTranspose2dBackwardWeight(p), &[x, dy.clone()], &unset("dweight"));
    check_fast(Call::ConvTranspose2dBackwardBias(p), &[dy], &unset("dbias"));
}

#[test]
fn fast_agrees_where_tiles_and_bands_end() {
    for size in [[1, 3, 5, 70, 66], [2, 9, 16, 16, 16], [3, 16, 1, 8, 8], [1, 33, 3, 1, 50]] {
        check(params(size), 7);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn fast_agrees(
        n in 1u32..4, c_in in 1u32..20, c_out in 1u32..12, h in 1u32..16, w in 1u32..16, seed: u64,
    ) {
        check(params([n, c_in, c_out, h, w]), seed >> 1);
    }
}

#[test]
fn fast_agrees_with_all_instructions() {
    crate::simd::testing::on_every_level(|| {
        for size in [[2, 3, 5, 9, 70], [1, 16, 3, 8, 8]] {
            check(params(size), 7);
        }
    });
}
