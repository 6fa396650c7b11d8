use proptest::prelude::*;

use super::*;
use crate::Call;
use crate::tolerance::testing::{Buffer, check_fast, draw};
use crate::tolerance::{compare_gradient, finite_difference};

#[test]
fn known_values() {
    let p = Params { len: 4 };
    let mut y = [f32::NAN; 4];
    forward(&p, &[-1.0, 0.0, 2.0, -0.0], &mut y).unwrap();
    assert_eq!(y, [0.0, 0.0, 2.0, 0.0]);
    let mut dx = [f32::NAN; 4];
    backward_input(&p, &y, &[1.0, 2.0, 3.0, 4.0], &mut dx).unwrap();
    assert_eq!(dx, [0.0, 0.0, 3.0, 0.0]);
}

#[test]
fn gradients_agree_with_finite_differences() {
    let p = Params { len: 6 };
    let (mut x, dy) = ([-2.0, -0.5, 0.5, 1.0, -0.1, 0.1], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let output = |x: &[f64]| {
        let mut y = [0.0; 6];
        forward(&p, x, &mut y).unwrap();
        y
    };
    let mut dx = [0.0; 6];
    backward_input(&p, &output(&x), &dy, &mut dx).unwrap();
    let loss = |x: &[f64]| output(x).iter().zip(&dy).map(|(y, dy)| y * dy).sum();
    let want: Vec<f64> = (0..6).map(|i| finite_difference(&mut x, i, loss)).collect();
    compare_gradient(&dx, &want).unwrap();
}

#[test]
fn senseless_sizes_and_wrong_lengths_are_refused() {
    let refused = forward::<f32>(&Params { len: 0 }, &[], &mut []);
    assert!(matches!(refused, Err(Error::Params { op: "relu", .. })));
    let refused = forward(&Params { len: 2 }, &[0.0; 2], &mut [0.0]);
    assert!(matches!(refused, Err(Error::Length { buffer: "y", expected: 2, got: 1, .. })));
}

fn check(len: u32, seed: u64) {
    let float = |i| Buffer::Float(draw(seed + i, len as usize, -1.0..1.0));
    let p = Params { len };
    let unset = [Buffer::unset(len)];
    let y = check_fast(Call::ReluForward(p), &[float(0)], &unset);
    check_fast(Call::ReluBackwardInput(p), &[y[0].clone(), float(1)], &unset);
}

#[test]
fn fast_agrees_over_several_pieces() {
    check(40_000, 3);
    crate::simd::testing::on_every_level(|| check(77, 4));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn fast_agrees(len in 1u32..300, seed: u64) {
        check(len, seed >> 1);
    }
}
