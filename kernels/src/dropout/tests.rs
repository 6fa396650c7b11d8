use proptest::prelude::*;

use super::*;
use crate::Call;
use crate::tolerance::testing::{Buffer, check_fast, draw, draw_below};
use crate::tolerance::{compare_exact, compare_law};

/// A rate of one half.
const HALF: u32 = 1 << 31;

fn params([n, c, hw, element]: [u32; 4]) -> Params {
    Params { n, c, hw, element, layer: 3, threshold: HALF, scale: 2.0 }
}

fn drawn_mask(p: &Params, keys: &[u32]) -> Vec<f32> {
    let mut drawn = vec![f32::NAN; p.len("mask")];
    mask(p, keys, &mut drawn).unwrap();
    drawn
}

#[test]
fn masks_follow_their_streams() {
    let p = params([2, 3, 100, 1]);
    let keys = [1, 2, 3, 4];
    let drawn = drawn_mask(&p, &keys);
    // The second block of the second sample.
    let mut stream = mask_stream(3 | 4 << 32, 3, 1);
    for &value in &drawn[300 + MASK_BLOCK..] {
        assert_eq!(value, if stream.next_u32() >= HALF { 2.0 } else { 0.0 });
    }
    // A sample's mask does not depend on its neighbours or its place.
    let alone = drawn_mask(&Params { n: 1, ..p }, &keys[2..]);
    compare_exact(&alone, &drawn[300..]).unwrap();
    // Another layer draws another mask.
    assert_ne!(drawn_mask(&Params { layer: 4, ..p }, &keys), drawn);
}

#[test]
fn masks_keep_the_share_that_was_asked_for() {
    let rate = 0.25;
    let threshold = (rate * f64::from(u32::MAX)) as u32;
    let p = Params { threshold, scale: 1.0, ..params([1, 1, 100_000, 1]) };
    let kept = drawn_mask(&p, &[5, 6]).iter().filter(|&&value| value == 1.0).count() as f64;
    // Five standard deviations.
    let deviation = (1e5 * rate * (1.0 - rate)).sqrt();
    assert!((kept - 1e5 * (1.0 - rate)).abs() < 5.0 * deviation, "{kept} kept");
    let all = Params { threshold: 0, ..params([1, 5, 9, 0]) };
    assert_eq!(drawn_mask(&all, &[5, 6]), [2.0; 5]);
}

#[test]
fn channels_are_dropped_whole() {
    let p = params([1, 2, 3, 0]);
    let mut y = [f32::NAN; 6];
    forward(&p, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[0.0, 2.0], &mut y).unwrap();
    assert_eq!(y, [0.0, 0.0, 0.0, 8.0, 10.0, 12.0]);
}

#[test]
fn the_backward_pass_is_adjoint_to_the_forward_pass() {
    let p = params([2, 3, 5, 0]);
    let number = |i: usize| (i * 7 % 11) as f64 - 5.0;
    let (x, dy): (Vec<f64>, Vec<f64>) = (0..30).map(|i| (number(i), number(i + 3))).unzip();
    let drawn: Vec<f64> = drawn_mask(&p, &[1, 2, 3, 4]).iter().map(|&x| x.into()).collect();
    let (mut y, mut dx) = (vec![0.0; 30], vec![0.0; 30]);
    forward(&p, &x, &drawn, &mut y).unwrap();
    backward_input(&p, &dy, &drawn, &mut dx).unwrap();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    compare_law(&[dot(&x, &dx)], &[dot(&y, &dy)], 1e3).unwrap();
}

#[test]
fn senseless_parameters_and_wrong_lengths_are_refused() {
    for bad in [[0, 1, 1, 0], [1, 1, 1, 2]] {
        let refused = forward(&params(bad), &[0.0], &[0.0], &mut [0.0]);
        assert!(matches!(refused, Err(Error::Params { op: "dropout", .. })), "{bad:?}");
    }
    let refused = forward(&params([1, 1, 2, 0]), &[0.0; 2], &[0.0; 2], &mut [0.0; 2]);
    assert!(matches!(refused, Err(Error::Length { buffer: "mask", expected: 1, got: 2, .. })));
}

/// All fast passes against the references.
fn check(p: Params, seed: u64) {
    let keys = draw_below(seed, p.len("keys"), u32::MAX);
    let unset = |buffer| [Buffer::unset(p.len(buffer) as u32)];
    let drawn =
        check_fast(Call::DropoutMask(p), &[Buffer::Uint(keys.clone())], &unset("mask")).remove(0);
    compare_exact(drawn.floats(), &drawn_mask(&p, &keys)).unwrap();
    let x = Buffer::Float(draw(seed, p.len("x"), -1.0..1.0));
    check_fast(Call::DropoutForward(p), &[x.clone(), drawn.clone()], &unset("y"));
    check_fast(Call::DropoutBackwardInput(p), &[x, drawn], &unset("dx"));
}

#[test]
fn fast_agrees_over_several_pieces() {
    check(params([2, 3, 9_000, 0]), 1);
    check(params([2, 3, 9_000, 1]), 2);
    crate::simd::testing::on_every_level(|| check(params([2, 3, 90, 1]), 3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn fast_agrees(
        n in 1u32..4, c in 1u32..9, hw in 1u32..200, element in 0u32..2, layer: u32,
        threshold: u32, seed: u64,
    ) {
        check(Params { layer, threshold, scale: 1.5, ..params([n, c, hw, element]) }, seed >> 1);
    }
}
