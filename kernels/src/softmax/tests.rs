use super::*;
use crate::Call;
use crate::tolerance::testing::{Buffer, check_fast, convert, draw};
use crate::tolerance::{
    Tracked, compare, compare_exact, compare_gradient, compare_law, finite_difference,
};
use proptest::prelude::*;

const P: Params = Params { n: 2, c: 3, hw: 5 };

#[test]
fn probabilities_sum_to_one_and_ignore_a_common_shift() {
    let logits: Vec<f64> = convert(&draw(0, P.len("p"), -9.0..9.0));
    let shifted: Vec<f64> = logits.iter().map(|x| x + 100.0).collect();
    let (mut p, mut same) = (vec![f64::NAN; logits.len()], vec![f64::NAN; logits.len()]);
    forward(&P, &logits, &mut p).unwrap();
    forward(&P, &shifted, &mut same).unwrap();
    compare_law(&same, &p, 100.0).unwrap();
    for s in 0..2 {
        for i in 0..5 {
            let sum: f64 = (0..3).map(|ch| p[(s * 3 + ch) * 5 + i]).sum();
            compare_law(&[sum], &[1.0], 1.0).unwrap();
        }
    }
}

#[test]
fn large_logits_do_not_overflow() {
    let p = Params { n: 1, c: 2, hw: 3 };
    let logits = [1e4, -1e4, 3e38, -1e4, 1e4, 3e38];
    let want = [1.0, 0.0, 0.5, 0.0, 1.0, 0.5];
    let mut got = [f32::NAN; 6];
    forward(&p, &logits, &mut got).unwrap();
    compare_exact(&got, &want).unwrap();
    fast::forward(&p, &logits, &mut got).unwrap();
    compare_exact(&got, &want).unwrap();
}

#[test]
fn gradient_is_that_of_finite_differences() {
    let mut logits: Vec<f64> = convert(&draw(1, P.len("p"), -2.0..2.0));
    let dp: Vec<f64> = convert(&draw(2, P.len("p"), -1.0..1.0));
    let mut p = vec![0.0; logits.len()];
    forward(&P, &logits, &mut p).unwrap();
    let mut got = vec![f64::NAN; logits.len()];
    backward_input(&P, &p, &dp, &mut got).unwrap();
    let loss = |logits: &[f64]| {
        let mut p = vec![0.0; logits.len()];
        forward(&P, logits, &mut p).unwrap();
        p.iter().zip(&dp).map(|(p, dp)| p * dp).sum()
    };
    let want: Vec<f64> =
        (0..logits.len()).map(|i| finite_difference(&mut logits, i, loss)).collect();
    compare_gradient(&got, &want).unwrap();
}

#[test]
fn exp_is_as_accurate_as_a_device_has_to_be() {
    let mut worst = 0.0f64;
    for i in -880_000..=880_000 {
        let x = i as f32 * 1e-4;
        let at = compare(&[fast::exp(x)], &[Tracked::leaf(f64::from(x)).exp()]).unwrap();
        worst = worst.max(at.used);
        // Two ULP, as its description says.
        let want = libm::exp(f64::from(x));
        let error = (f64::from(fast::exp(x)) - want).abs();
        assert!(x < -87.0 || error <= 2.0 * crate::tolerance::ULP * want, "{x}");
    }
    assert!(worst <= 1.0);
    assert_eq!(fast::exp(0.0), 1.0);
    assert_eq!(fast::exp(-1e30), 0.0);
    assert_eq!(fast::exp(f32::MIN), 0.0);
}

#[test]
fn wrong_lengths_and_sizes_are_refused() {
    let mut out = [0.0; 30];
    let wrong = Error::Length { pass: "softmax::forward", buffer: "logits", expected: 30, got: 29 };
    assert_eq!(forward(&P, &[0.0; 29], &mut out), Err(wrong));
    assert_eq!(fast::forward(&P, &[0.0; 29], &mut out), Err(wrong));
    assert!(forward(&Params { c: 0, ..P }, &[], &mut [0.0; 0]).is_err());
    let huge = Params { n: u32::MAX, c: u32::MAX, hw: u32::MAX };
    assert!(forward(&huge, &[0.0; 30], &mut out).is_err());
}

proptest! {
    #[test]
    fn fast_agrees(n in 1u32..3, c in 1u32..5, hw in 1u32..5000, seed: u64, range in 0.1f64..50.0) {
        let params = Params { n, c, hw };
        let len = params.len("p");
        let logits = draw(seed, len, -range..range);
        let unset = [Buffer::unset(len as u32)];
        let p = check_fast(Call::SoftmaxForward(params), &[Buffer::Float(logits)], &unset).remove(0);
        let dp = Buffer::Float(draw(!seed, len, -1.0..1.0));
        check_fast(Call::SoftmaxBackwardInput(params), &[p, dp], &unset);
    }
}
