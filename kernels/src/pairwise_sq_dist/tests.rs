use super::*;
use crate::Call;
use crate::tolerance::testing::{Buffer, check_fast, draw};
use proptest::prelude::*;

#[test]
fn distances_are_symmetric_and_zero_to_oneself() {
    let p = Params { rows_a: 7, rows_b: 7, dim: 37 };
    let a = draw(0, 7 * 37, -1.0..1.0);
    let mut sq_dist = [f32::NAN; 49];
    for form in [forward, fast::forward] {
        form(&p, &a, &a, &mut sq_dist).unwrap();
        for i in 0..7 {
            assert_eq!(sq_dist[i * 8], 0.0);
            for j in 0..i {
                assert!(sq_dist[i * 7 + j] > 0.0);
                assert_eq!(sq_dist[i * 7 + j], sq_dist[j * 7 + i]);
            }
        }
    }
}

/// The law that the expanded form breaks: far from the origin distances stay as they are.
#[test]
fn a_common_shift_changes_nothing() {
    let p = Params { rows_a: 1, rows_b: 1, dim: 3 };
    let mut sq_dist = [f32::NAN];
    let shift = 4096.0;
    fast::forward(&p, &[shift, shift, shift], &[shift + 0.5, shift, shift - 0.25], &mut sq_dist)
        .unwrap();
    assert_eq!(sq_dist, [0.3125]);
}

proptest! {
    #[test]
    fn fast_agrees(rows_a in 1u32..9, rows_b in 1u32..9, dim in 1u32..70, seed: u64, at in 0.0f64..100.0) {
        let p = Params { rows_a, rows_b, dim };
        let a = draw(seed, p.len("a"), at - 1.0..at + 1.0);
        let b = draw(!seed, p.len("b"), at - 1.0..at + 1.0);
        let reads = [Buffer::Float(a), Buffer::Float(b)];
        check_fast(Call::PairwiseSqDistForward(p), &reads, &[Buffer::unset(rows_a * rows_b)]);
    }
}
