use proptest::prelude::*;

use super::*;
use crate::Call;
use crate::tolerance::testing::{Buffer, check_fast, draw};

#[test]
fn parts_are_joined_sample_by_sample_and_split_again() {
    let p = Params { n: 2, c_a: 1, c_b: 2, hw: 2 };
    let (a, b) = ([1, 2, 3, 4].map(f64::from), [5, 6, 7, 8, 9, 10, 11, 12].map(f64::from));
    let mut y = [0.0; 12];
    forward(&p, &a, &b, &mut y).unwrap();
    assert_eq!(y, [1, 2, 5, 6, 7, 8, 3, 4, 9, 10, 11, 12].map(f64::from));
    let (mut da, mut db) = ([0.0; 4], [0.0; 8]);
    backward_input(&p, &y, &mut da, &mut db).unwrap();
    assert_eq!((da, db), (a, b));
}

#[test]
fn senseless_sizes_and_wrong_lengths_are_refused() {
    let p = Params { n: 1, c_a: 0, c_b: 1, hw: 1 };
    let refused = forward(&p, &[], &[0.0], &mut [0.0]);
    assert!(matches!(refused, Err(Error::Params { op: "concat_channels", .. })));
    let p = Params { n: 1, c_a: 1, c_b: 1, hw: 1 };
    let refused = forward(&p, &[0.0], &[0.0], &mut [0.0]);
    assert!(matches!(refused, Err(Error::Length { buffer: "y", expected: 2, got: 1, .. })));
}

/// All fast passes against the references.
fn check(p: Params, seed: u64) {
    let float = |buffer, i| Buffer::Float(draw(seed + i, p.len(buffer), -1.0..1.0));
    let unset = |buffer| Buffer::unset(p.len(buffer) as u32);
    check_fast(Call::ConcatChannelsForward(p), &[float("a", 0), float("b", 1)], &[unset("y")]);
    let outputs = [unset("da"), unset("db")];
    check_fast(Call::ConcatChannelsBackwardInput(p), &[float("dy", 2)], &outputs);
}

#[test]
fn fast_agrees_over_several_pieces() {
    check(Params { n: 2, c_a: 3, c_b: 2, hw: 9_000 }, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn fast_agrees(n in 1u32..4, c_a in 1u32..6, c_b in 1u32..6, hw in 1u32..100, seed: u64) {
        check(Params { n, c_a, c_b, hw }, seed >> 1);
    }
}
