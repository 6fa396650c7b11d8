use proptest::prelude::*;

use super::*;
use crate::Call;
use crate::tolerance::testing::{Buffer, check_fast, convert, draw};
use crate::tolerance::{compare_gradient, compare_law, finite_difference};

fn params([n, c_in, c_out, h, w, kernel, has_bias]: [u32; 7]) -> Params {
    Params { n, c_in, c_out, h, w, kernel, has_bias }
}

/// Sizes with edges in every direction, unequal so that exchanged ones show.
const SIZES: [[u32; 7]; 4] =
    [[2, 3, 4, 5, 6, 3, 1], [1, 2, 3, 4, 7, 1, 0], [2, 1, 2, 1, 1, 3, 0], [1, 2, 1, 3, 1, 3, 1]];

fn drawn(p: &Params, seed: u64, buffer: &str) -> Vec<f64> {
    convert(&draw(seed, p.len(buffer), -1.0..1.0))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn a_known_image() {
    let p = params([1, 1, 1, 2, 3, 3, 1]);
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    // Only the centre and its right neighbour.
    let weight = [0.0, 0.0, 0.0, 0.0, 10.0, 1.0, 0.0, 0.0, 0.0];
    let mut y = [0.0; 6];
    forward(&p, &x, &weight, &[100.0], &mut y).unwrap();
    assert_eq!(y, [112.0, 123.0, 130.0, 145.0, 156.0, 160.0]);
}

#[test]
fn the_backward_passes_are_adjoint_to_the_forward_pass() {
    for size in SIZES {
        let p = Params { has_bias: 0, ..params(size) };
        let (x, weight, dy) = (drawn(&p, 1, "x"), drawn(&p, 2, "weight"), drawn(&p, 3, "dy"));
        let mut y = vec![0.0; dy.len()];
        forward(&p, &x, &weight, &[f64::NAN], &mut y).unwrap();
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
        let mut dbias = vec![0.0; p.len("dbias")];
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
        if p.has_bias == 1 {
            let want: Vec<f64> = (0..bias.len())
                .map(|i| finite_difference(&mut bias, i, |bias| loss(&x, &weight, bias)))
                .collect();
            compare_gradient(&dbias, &want).unwrap();
        }
    }
}

#[test]
fn senseless_sizes_and_wrong_lengths_are_refused() {
    for bad in [[0, 1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 2, 0], [1, 1, 1, 1, 1, 1, 2]] {
        let refused = forward(&params(bad), &[0.0], &[0.0], &[0.0], &mut [0.0]);
        assert!(matches!(refused, Err(Error::Params { op: "conv2d", .. })), "{bad:?}");
    }
    let p = params([1, 1, 2, 1, 1, 1, 1]);
    let refused = forward(&p, &[0.0], &[0.0; 2], &[0.0], &mut [0.0; 2]);
    assert!(matches!(refused, Err(Error::Length { buffer: "bias", expected: 2, got: 1, .. })));
}

/// All fast passes against the tracked references.
fn check(p: Params, seed: u64) {
    let float = |buffer, i| Buffer::Float(draw(seed + i, p.len(buffer), -1.0..1.0));
    let (x, weight, bias, dy) =
        (float("x", 0), float("weight", 1), float("bias", 2), float("dy", 3));
    let unset = |buffer| [Buffer::unset(p.len(buffer) as u32)];
    check_fast(Call::Conv2dForward(p), &[x.clone(), weight.clone(), bias], &unset("y"));
    check_fast(Call::Conv2dBackwardInput(p), &[dy.clone(), weight], &unset("dx"));
    check_fast(Call::Conv2dBackwardWeight(p), &[x, dy.clone()], &unset("dweight"));
    check_fast(Call::Conv2dBackwardBias(p), &[dy], &unset("dbias"));
}

#[test]
fn fast_agrees_where_tiles_and_bands_end() {
    // Several bands with a short last one; whole and broken blocks of channels; one row or column;
    // whole vectors of a 1x1 filter, which are read in place.
    for size in [
        [1, 3, 17, 70, 130, 3, 0],
        [3, 17, 9, 33, 15, 3, 1],
        [2, 5, 8, 1, 40, 3, 1],
        [2, 5, 8, 40, 1, 3, 1],
        [5, 48, 3, 8, 8, 3, 0],
        [2, 16, 2, 16, 16, 1, 1],
        [2, 7, 11, 9, 5, 1, 0],
    ] {
        check(params(size), 7);
    }
}

/// The same bits from any number of threads, from buffers used before too.
#[cfg(feature = "rayon")]
#[test]
fn fast_does_not_depend_on_the_number_of_threads() {
    let p = params([3, 20, 24, 40, 36, 3, 0]);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let random = |seed, buffer| draw(seed, p.len(buffer), -1.0..1.0);
            let (x, weight, dy) = (random(1, "x"), random(2, "weight"), random(3, "dy"));
            let mut y = vec![f32::NAN; dy.len()];
            let (mut dx, mut dw) = (vec![f32::NAN; x.len()], vec![f32::NAN; weight.len()]);
            let mut db = vec![f32::NAN; p.len("dbias")];
            for _ in 0..2 {
                fast::forward(&p, &x, &weight, &[0.0], &mut y).unwrap();
                fast::backward_input(&p, &dy, &weight, &mut dx).unwrap();
                fast::backward_weight(&p, &x, &dy, &mut dw).unwrap();
                fast::backward_bias(&p, &dy, &mut db).unwrap();
            }
            [y, dx, dw, db].concat().iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(5));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn fast_agrees(
        n in 1u32..4, c_in in 1u32..20, c_out in 1u32..20, h in 1u32..20, w in 1u32..20,
        three: bool, has_bias in 0u32..2, seed: u64,
    ) {
        let kernel = if three { 3 } else { 1 };
        check(params([n, c_in, c_out, h, w, kernel, has_bias]), seed >> 1);
    }
}

#[test]
fn fast_agrees_with_all_instructions() {
    crate::simd::testing::on_every_level(|| {
        for size in [[2, 3, 17, 9, 70, 3, 1], [1, 9, 5, 12, 11, 3, 0], [1, 16, 3, 8, 8, 1, 1]] {
            check(params(size), 7);
        }
    });
}
