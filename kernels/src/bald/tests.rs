use super::*;
use crate::Call;
use crate::softmax;
use crate::tolerance::testing::{Buffer, check_fast, convert, draw};
use crate::tolerance::{LAW, compare_law};
use proptest::prelude::*;

fn predictions(params: &Params, seed: u64, range: f64) -> Vec<f32> {
    let logits = draw(seed, params.len("p"), -range..range);
    let mut p = vec![0.0; logits.len()];
    let sizes = softmax::Params { n: params.n * params.stacked, c: params.c, hw: params.hw };
    softmax::forward(&sizes, &logits, &mut p).unwrap();
    p
}

/// The entropy of the mean and the mutual information after all passes.
fn scores(params: &Params, pass: impl Fn(u32) -> Vec<f64>) -> (Vec<f64>, Vec<f64>) {
    let (mut sum_p, mut sum_entropy) =
        (vec![0.0; params.len("sum_p")], vec![0.0; params.len("map")]);
    for t in 0..params.passes {
        accumulate(params, &pass(t), &mut sum_p, &mut sum_entropy).unwrap();
    }
    let (mut entropy, mut information) =
        (vec![f64::NAN; sum_entropy.len()], vec![f64::NAN; sum_entropy.len()]);
    entropy_of_mean(params, &sum_p, &mut entropy).unwrap();
    mutual_information(params, &sum_p, &sum_entropy, &mut information).unwrap();
    (entropy, information)
}

#[test]
fn passes_that_agree_tell_nothing() {
    let params = Params { n: 1, c: 3, hw: 6, passes: 4, stacked: 1 };
    let p: Vec<f64> = convert(&predictions(&params, 5, 3.0));
    let (_, information) = scores(&params, |_| p.clone());
    compare_law(&information, &[0.0; 6], 1.0).unwrap();
}

#[test]
fn certain_passes_that_disagree_tell_all() {
    let params = Params { n: 1, c: 2, hw: 1, passes: 2, stacked: 1 };
    let (entropy, information) =
        scores(&params, |t| if t == 0 { vec![1.0, 0.0] } else { vec![0.0, 1.0] });
    compare_law(&entropy, &[core::f64::consts::LN_2], 1.0).unwrap();
    compare_law(&information, &[core::f64::consts::LN_2], 1.0).unwrap();
}

proptest! {
    /// 0 <= mutual information <= entropy of the mean <= ln c.
    #[test]
    fn information_is_at_most_the_entropy(
        n in 1u32..3, c in 1u32..5, hw in 1u32..20, passes in 1u32..9, seed: u64, range in 0.1f64..30.0,
    ) {
        let params = Params { n, c, hw, passes, stacked: 1 };
        let (entropy, information) =
            scores(&params, |t| convert(&predictions(&params, seed ^ u64::from(t), range)));
        // Predictions are rounded to f32, so that they sum to 1 within a few 1e-7.
        let slack = LAW + f64::from(c) * crate::tolerance::gamma(8);
        for (&entropy, &information) in entropy.iter().zip(&information) {
            prop_assert!(information >= 0.0);
            prop_assert!(information <= entropy + slack);
            prop_assert!(entropy <= libm::log(f64::from(c)) + slack);
        }
    }

    /// Passes that are added at once make the same sums as the same passes one after another.
    #[test]
    fn stacking_changes_nothing(
        n in 1u32..3, c in 1u32..4, hw in 1u32..50, stacked in 1u32..5, seed: u64,
    ) {
        let params = Params { n, c, hw, passes: stacked, stacked };
        let single = Params { stacked: 1, ..params };
        let p = predictions(&params, seed, 6.0);
        let zeros = || [vec![0.0; params.len("sum_p")], vec![0.0; params.len("map")]];
        let ([mut sum_p, mut sum_entropy], [mut want_p, mut want_entropy]) = (zeros(), zeros());
        accumulate(&params, &p, &mut sum_p, &mut sum_entropy).unwrap();
        for p in p.chunks(single.len("p")) {
            accumulate(&single, p, &mut want_p, &mut want_entropy).unwrap();
        }
        prop_assert_eq!((sum_p, sum_entropy), (want_p, want_entropy));
    }

    #[test]
    fn fast_agrees(
        n in 1u32..3, c in 1u32..4, hw in 1u32..5000, passes in 1u32..4, stacked in 1u32..4, seed: u64,
    ) {
        let params = Params { n, c, hw, passes, stacked };
        let mut sums = vec![
            Buffer::Float(vec![0.0; params.len("sum_p")]),
            Buffer::Float(vec![0.0; params.len("map")]),
        ];
        for t in 0..passes {
            let p = Buffer::Float(predictions(&params, seed ^ u64::from(t), 6.0));
            sums = check_fast(Call::BaldAccumulate(params), &[p], &sums);
        }
        let map = [Buffer::unset(n * hw)];
        check_fast(Call::BaldEntropyOfMean(params), &sums[..1], &map);
        let got = check_fast(Call::BaldMutualInformation(params), &sums, &map);
        prop_assert!(got[0].floats().iter().all(|&x| x >= 0.0));
    }
}
