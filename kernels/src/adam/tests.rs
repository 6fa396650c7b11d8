use super::*;
use crate::Call;
use crate::tolerance::testing::{Buffer, check_fast, draw};
use crate::tolerance::{compare_exact, compare_law};
use proptest::prelude::*;

const P: Params = Params { len: 1, beta1: 0.9, beta2: 0.999, eps: 1e-8 };

#[test]
fn the_first_update_goes_by_the_learning_rate() {
    // From m = v = 0 both corrections cancel: the step is lr g / (|g| + eps).
    for g in [3.0, -0.25, 1e-3] {
        let step = step(&P, 0.01, 1).map(f64::from);
        let (mut param, mut m, mut v) = ([1.0], [0.0], [0.0]);
        update(&P, &[g], &step, &mut param, &mut m, &mut v).unwrap();
        // `step` is rounded to f32 once, which is far below the law's own digits times 1e6.
        compare_law(&param, &[1.0 - 0.01 * g / (f64::abs(g) + 1e-8)], 1e4).unwrap();
    }
}

#[test]
fn it_finds_the_minimum_of_a_parabola() {
    let (mut param, mut m, mut v) = ([5.0f64], [0.0], [0.0]);
    for t in 1..=2000 {
        let step = step(&P, 0.05, t).map(f64::from);
        let grad = [2.0 * (param[0] - 1.5)];
        update(&P, &grad, &step, &mut param, &mut m, &mut v).unwrap();
    }
    assert!((param[0] - 1.5).abs() < 1e-3, "{param:?}");
}

#[test]
fn constants_that_make_no_sense_are_refused() {
    for p in [
        Params { len: 0, ..P },
        Params { beta1: 1.0, ..P },
        Params { beta2: -0.1, ..P },
        Params { eps: 0.0, ..P },
        Params { eps: f32::NAN, ..P },
    ] {
        assert!(p.validate().is_err(), "{p:?}");
    }
}

proptest! {
    #[test]
    fn fast_agrees(len in 1u32..40_000, t in 1u32..1000, seed: u64) {
        let p = Params { len, ..P };
        let step = step(&p, 1e-3, t);
        let draw = |i, range| draw(seed ^ i, len as usize, range);
        let grad = draw(1, -1.0..1.0);
        let (param, m, v) = (draw(2, -1.0..1.0), draw(3, -0.1..0.1), draw(4, 0.0..0.1));
        let (mut param2, mut m2, mut v2) = (param.clone(), m.clone(), v.clone());
        update(&p, &grad, &step, &mut param2, &mut m2, &mut v2).unwrap();
        let got = check_fast(
            Call::AdamUpdate(p),
            &[Buffer::Float(grad), Buffer::Float(step.to_vec())],
            &[Buffer::Float(param), Buffer::Float(m), Buffer::Float(v)],
        );
        compare_exact(got[0].floats(), &param2).unwrap();
        compare_exact(got[1].floats(), &m2).unwrap();
        compare_exact(got[2].floats(), &v2).unwrap();
    }
}
