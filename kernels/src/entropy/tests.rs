use super::*;
use crate::Call;
use crate::tolerance::testing::{Buffer, check_fast, draw};
use crate::tolerance::{Tracked, compare, compare_exact, compare_law};
use proptest::prelude::*;

#[test]
fn certainty_has_no_entropy_and_doubt_the_most() {
    let p = Params { n: 1, c: 3, hw: 2 };
    let third = 1.0 / 3.0;
    let mut map = [f64::NAN; 2];
    forward(&p, &[0.0, third, 1.0, third, 0.0, third], &mut map).unwrap();
    compare_law(&map, &[0.0, libm::log(3.0)], 1.0).unwrap();
    let mut map = [f32::NAN; 2];
    fast::forward(&p, &[0.0, 0.0, 1.0, 0.0, 0.0, 1.0], &mut map).unwrap();
    compare_exact(&map, &[0.0, 0.0]).unwrap();
}

#[test]
fn ln_is_as_accurate_as_a_device_has_to_be() {
    // From `TINY` on, below which no argument ever lies.
    let mut x = TINY;
    while x < f32::MAX / 2.0 {
        compare(&[fast::ln(x)], &[Tracked::leaf(f64::from(x)).ln()]).unwrap();
        x *= 1.0001;
    }
    // Where the logarithm is small it has to be so exactly, although a device may do worse.
    for i in -1000i32..1000 {
        let x = 1.0 + i as f32 * f32::EPSILON;
        let want = libm::log(f64::from(x));
        let error = (f64::from(fast::ln(x)) - want).abs();
        assert!(error <= crate::tolerance::LN_ULP * crate::tolerance::ULP * want.abs(), "{x}");
    }
    assert_eq!(fast::ln(1.0), 0.0);
}

proptest! {
    #[test]
    fn fast_agrees(n in 1u32..3, c in 1u32..5, hw in 1u32..5000, seed: u64) {
        let params = Params { n, c, hw };
        let mut p = draw(seed, params.len("p"), 0.0..1.0);
        p.iter_mut().step_by(3).for_each(|p| *p *= 1e-20);
        p.iter_mut().step_by(11).for_each(|p| *p = 0.0);
        check_fast(Call::EntropyForward(params), &[Buffer::Float(p)], &[Buffer::unset(n * hw)]);
    }
}
