use super::*;

fn one(got: f32, want: Tracked) -> Result<Worst, Mismatch> {
    compare(&[got], &[want])
}

/// A number that counts two spare roundings: 1 within 2 u.
const ONE: Tracked = Tracked::ONE;

#[test]
fn equal_numbers_pass_and_use_nothing() {
    assert_eq!(one(1.0, ONE).unwrap().used, 0.0);
    assert_eq!(one(-0.0, Tracked::ZERO).unwrap().used, 0.0);
}

#[test]
fn the_bound_is_a_bound() {
    let step = f32::EPSILON;
    assert!(one(1.0 + step, ONE).is_ok());
    let Err(Mismatch::Outside(worst)) = one(1.0 + 2.0 * step, ONE) else { panic!() };
    assert!(worst.used > 1.9 && worst.used < 2.1);
}

#[test]
fn nan_fails_and_is_the_worst() {
    assert!(matches!(one(f32::NAN, ONE), Err(Mismatch::Outside(_))));
    let got = [9.0, f32::NAN, 9.0, f32::NAN];
    let Err(Mismatch::Outside(worst)) = compare(&got, &[ONE; 4]) else { panic!() };
    assert_eq!(worst.index, 1);
    assert!(worst.used.is_nan());
}

#[test]
fn infinities_fail() {
    assert!(matches!(one(f32::INFINITY, ONE), Err(Mismatch::Outside(_))));
    assert!(matches!(one(f32::NEG_INFINITY, ONE), Err(Mismatch::Outside(_))));
    let infinite = Tracked::leaf(f64::INFINITY);
    assert_eq!(one(f32::INFINITY, infinite), Err(Mismatch::Unbounded { index: 0 }));
    assert_eq!(one(1.0, Tracked::leaf(f64::NAN)), Err(Mismatch::Unbounded { index: 0 }));
}

#[test]
fn a_reference_without_a_bound_fails() {
    assert_eq!(one(0.0, Tracked::ZERO.ln()), Err(Mismatch::Unbounded { index: 0 }));
    // A divisor that is all cancellation, exactly 1 in f64.
    let big = Tracked::leaf(1e10) * Tracked::leaf(1.0);
    let lost = (big + ONE) - big;
    assert_eq!(one(1.0, ONE / lost), Err(Mismatch::Unbounded { index: 0 }));
    let endless = Tracked { terms: u32::MAX, ..ONE };
    assert_eq!(one(1.0, endless), Err(Mismatch::Unbounded { index: 0 }));
}

#[test]
fn an_expected_zero_is_a_zero() {
    assert!(one(1e-30, Tracked::ZERO).is_err());
    assert!(one(-1e-30, Tracked::ZERO).is_err());
    // A subnormal number may be flushed, so it may also come.
    assert!(one(1e-39, Tracked::ZERO).is_ok());
    assert!(one(0.0, Tracked::leaf(f64::from(1e-39f32))).is_ok());
    assert!(one(0.0, Tracked::leaf(1e-30)).is_err());
}

#[test]
fn lengths_are_compared_first() {
    assert_eq!(compare(&[f32::NAN], &[]), Err(Mismatch::Length { got: 1, want: 0 }));
    assert_eq!(compare(&[], &[ONE]), Err(Mismatch::Length { got: 0, want: 1 }));
    assert_eq!(compare_exact(&[1], &[1, 2]), Err(Differs::Length { got: 1, want: 2 }));
}

#[test]
fn nothing_proves_nothing() {
    assert_eq!(compare(&[], &[]), Err(Mismatch::Empty));
    assert_eq!(compare_exact::<f32>(&[], &[]), Err(Differs::Empty));
    assert_eq!(compare_gradient(&[0.0], &[0.0]), Err(Mismatch::Empty));
    assert_eq!(compare_gradient(&[], &[]), Err(Mismatch::Empty));
}

#[test]
fn exact_means_exact() {
    assert_eq!(compare_exact(&[0.0f32, 1.0], &[-0.0, 1.0]), Ok(()));
    let next = 1.0 + f32::EPSILON;
    let differs = compare_exact(&[1.0, next], &[1.0, 1.0]);
    assert_eq!(differs, Err(Differs::At { index: 1, got: next, want: 1.0 }));
    assert!(compare_exact(&[f32::NAN], &[f32::NAN]).is_err());
}

#[test]
fn gradients_are_relative_to_the_largest() {
    assert!(compare_gradient(&[1.0, 1e-7], &[1.0, 0.0]).is_ok());
    assert!(compare_gradient(&[1.0, 2e-6], &[1.0, 0.0]).is_err());
    assert!(compare_gradient(&[f64::NAN, 0.0], &[1.0, 0.0]).is_err());
    assert!(compare_law(&[1.0 + 1e-11], &[1.0], 1.0).is_err());
}

#[test]
fn the_worst_is_reported_when_all_is_well_too() {
    let got = [1.0, 1.0 + f32::EPSILON, 1.0];
    let worst = compare(&got, &[ONE; 3]).unwrap();
    assert_eq!(worst.index, 1);
    assert!(worst.used > 0.9 && worst.used <= 1.0);
}

#[test]
fn finite_differences_know_polynomials() {
    let mut x = [0.7, -0.3];
    let slope = finite_difference(&mut x, 1, |x| x[0] * x[1] * x[1] * x[1]);
    compare_gradient(&[0.7 * 3.0 * 0.09], &[slope]).unwrap();
    assert_eq!(x, [0.7, -0.3]);
}

/// Every order of summation of f32 stays within the bound, also where everything cancels.
#[test]
fn sums_stay_within_the_bound_in_any_order() {
    use crate::rng::{Purpose, normal, shuffle, stream};
    let mut rng = stream(0, Purpose::Test, 0, 0);
    for _ in 0..200 {
        let mut x = [0.0f32; 65];
        for (i, x) in x.iter_mut().enumerate() {
            *x = (normal(&mut rng) * libm::pow(10.0, (i % 7) as f64)) as f32;
        }
        x[64] = -x[..64].iter().sum::<f32>();
        let mut want = Tracked::ZERO;
        for x in x {
            want += Tracked::leaf(f64::from(x));
        }
        shuffle(&mut rng, &mut x);
        one(x.iter().sum(), want).unwrap();
    }
}

/// Chains of operations in f32 stay within the bound, and the bound is of use.
#[test]
fn f32_runs_of_expressions_stay_within_the_bound() {
    fn expression<T: Real>(x: [T; 3]) -> [T; 7] {
        let [a, b, c] = x;
        let softmax = (a - b).exp() / ((a - b).exp() + (c - b).exp());
        let entropy = -(softmax * softmax.max(T::from_f64(1e-30)).ln());
        let norm = T::ONE / (a * a + b * b + c).sqrt();
        let adam = a / ((b * b).sqrt() + T::from_f64(1e-8));
        [softmax, entropy, norm, adam, (c * c).ln(), (a - b) * (a - b), (a * b - c).max(T::ZERO)]
    }
    use crate::rng::{Purpose, stream, uniform};
    let mut rng = stream(1, Purpose::Test, 0, 0);
    for _ in 0..20_000 {
        let x: [f32; 3] = core::array::from_fn(|_| (0.01 + 5.0 * uniform(&mut rng)) as f32);
        let want = expression(x.map(|x| Tracked::leaf(f64::from(x))));
        compare(&expression(x), &want).unwrap();
        // A thousandth more is never allowed.
        for (got, want) in expression(x).into_iter().zip(want) {
            assert!(want.value == 0.0 || one(got + 1e-3 * (1.0 + got.abs()), want).is_err());
        }
    }
}

#[test]
fn inexact_constants_count_as_roundings() {
    assert_eq!(Tracked::leaf(0.1).terms, 1);
    assert_eq!(Tracked::leaf(f64::from(0.1f32)).terms, 0);
    assert_eq!((Tracked::ZERO + ONE).terms, 0);
    assert_eq!((ONE + ONE + ONE).terms, 2);
    assert_eq!((ONE * ONE + ONE).terms, 2);
}

#[test]
fn a_close_maximum_is_as_uncertain_as_both() {
    let exact = ONE;
    let rough = Tracked { value: 1.0 - 1e-7, magnitude: 5.0, terms: 3 };
    assert_eq!((exact.max(rough).magnitude, exact.max(rough).terms), (5.0, 3));
    let far = Tracked { value: 0.5, ..rough };
    assert_eq!((exact.max(far).magnitude, exact.max(far).terms), (1.0, 0));
}
