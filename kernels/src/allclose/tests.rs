use super::*;
use crate::Call;
use crate::tolerance::testing::{Buffer, check_fast, draw};
use proptest::prelude::*;

#[test]
fn one_number_that_is_twice_as_large_is_found_where_it_is() {
    let want: Vec<f32> = (0..1000).map(|i| 1.0 + i as f32).collect();
    let params = Params { len: 1000, slices: 3, atol: 0.5, rtol: 1.0 / 128.0 };
    let mut got = want.clone();
    got[700] *= 2.0;
    // Close, and not equal.
    got[3] += 0.25;
    for form in [count::<f32>, fast::count] {
        let mut counts = [77; 9];
        form(&params, &got, &want, &mut counts).unwrap();
        // Slices of 334 numbers.
        assert_eq!(counts, [1, 0, 1000, 0, 0, 1000, 1, 1, 700]);
    }
}

#[test]
fn the_bound_itself_is_close_and_zeros_are_equal() {
    let params = Params { len: 4, slices: 1, atol: 1.0, rtol: 0.25 };
    let want = [4.0f32, 4.0, -4.0, 0.0];
    let got = [6.0f32, 6.000_001, -1.5, -0.0];
    let mut counts = [0; 3];
    count(&params, &got, &want, &mut counts).unwrap();
    assert_eq!(counts, [3, 2, 1]);
}

#[test]
fn what_is_no_number_is_never_close() {
    let params = Params { len: 1, slices: 1, atol: 1e30, rtol: 0.5 };
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    for value in odd {
        for [got, want] in [[value, value], [value, 1.0], [1.0, value]] {
            let mut counts = [0; 3];
            count(&params, &[got], &[want], &mut counts).unwrap();
            assert_eq!(counts, [1, 1, 0], "{got} {want}");
        }
    }
}

#[test]
fn sizes_and_tolerances_that_make_no_sense_are_refused() {
    let params = Params { len: 9, slices: 2, atol: 0.0, rtol: 0.0 };
    assert_eq!(params.validate(), Ok(()));
    for wrong in [
        Params { len: 0, ..params },
        Params { slices: 0, ..params },
        Params { slices: 10, ..params },
        Params { atol: -1.0, ..params },
        Params { atol: f32::NAN, ..params },
        Params { rtol: 0.3, ..params },
        Params { rtol: -0.5, ..params },
        Params { rtol: f32::INFINITY, ..params },
    ] {
        assert!(wrong.validate().is_err(), "{wrong:?}");
    }
}

proptest! {
    #[test]
    fn fast_counts_the_same(len in 1u32..3000, slices in 1u32..9, seed: u64) {
        let params = Params { len, slices: slices.min(len), atol: 0.125, rtol: 0.25 };
        let got = draw(seed, len as usize, -1.0..1.0);
        let want = draw(seed ^ 1, len as usize, -1.0..1.0);
        // By the definition, in f64 and over all slices.
        let pairs = || got.iter().zip(&want).map(|(&g, &w)| (f64::from(g), f64::from(w)));
        let far = |(g, w): (f64, f64)| (g - w).abs() > 0.125 + 0.25 * w.abs();
        let reads = [Buffer::Float(got.clone()), Buffer::Float(want.clone())];
        let unset = [Buffer::Uint(vec![7; 3 * params.slices as usize])];
        let counts = check_fast(Call::AllcloseCount(params), &reads, &unset);
        let counts = counts[0].uints();
        let sum = |column: usize| counts.iter().skip(column).step_by(3).sum::<u32>();
        prop_assert_eq!(sum(0) as usize, pairs().filter(|(g, w)| g != w).count());
        prop_assert_eq!(sum(1) as usize, pairs().filter(|&pair| far(pair)).count());
        let first = counts.iter().skip(2).step_by(3).min().copied();
        let wanted = pairs().position(far).map_or(len, |i| i as u32);
        prop_assert_eq!(first, Some(wanted));
    }
}
