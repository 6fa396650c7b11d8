use super::*;
use crate::Call;
use crate::tolerance::testing::{Buffer, check_fast, draw, draw_below};
use proptest::prelude::*;

#[test]
fn each_pixel_is_counted_once_and_ignored_ones_never() {
    let params = Params { len: 7, ignore_label: 255, threshold: 0.5 };
    let p = [0.9, 0.8, 0.2, 0.1, 0.5, 0.9, 0.1];
    let labels = [1, 0, 1, 0, 2, 255, 255];
    for form in [forward::<f32>, fast::forward] {
        let mut counts = [77; 4];
        form(&params, &p, &labels, &mut counts).unwrap();
        // 0.5 is not above the threshold.
        assert_eq!(counts, [1, 1, 2, 1]);
    }
}

#[test]
fn scores_are_those_of_their_definitions() {
    let mut counts = Counts::default();
    counts.add([2, 1, 0, 7]);
    counts.add([1, 1, 2, 9]);
    assert_eq!(counts.true_negative, 16);
    assert_eq!(counts.jaccard(), 3.0 / 7.0);
    assert_eq!(counts.dice(), 6.0 / 10.0);
    assert_eq!(counts.precision(), 3.0 / 5.0);
    assert_eq!(counts.recall(), 3.0 / 5.0);
    let (jaccard, dice) = (counts.jaccard(), counts.dice());
    crate::tolerance::compare_law(&[dice], &[2.0 * jaccard / (1.0 + jaccard)], 1.0).unwrap();
}

#[test]
fn nothing_there_and_nothing_predicted_is_perfect() {
    let empty = Counts { true_negative: 5, ..Counts::default() };
    let all = |c: Counts| [c.jaccard(), c.dice(), c.precision(), c.recall()];
    assert_eq!(all(empty), [1.0; 4]);
    assert_eq!(all(Counts { false_positive: 1, ..empty }), [0.0, 0.0, 0.0, 1.0]);
    assert_eq!(all(Counts { false_negative: 1, ..empty }), [0.0, 0.0, 1.0, 0.0]);
    assert_eq!(all(Counts { true_positive: 1, ..empty }), [1.0; 4]);
}

proptest! {
    #[test]
    fn fast_counts_the_same(len in 1u32..100_000, seed: u64, threshold in 0.0f32..1.0) {
        let params = Params { len, ignore_label: 2, threshold };
        let p = draw(seed, len as usize, 0.0..1.0);
        let labels = draw_below(seed, len as usize, 3);
        let mut counts = [0; 4];
        forward(&params, &p, &labels, &mut counts).unwrap();
        let kept = labels.iter().filter(|&&label| label != 2).count() as u32;
        prop_assert_eq!(counts.iter().sum::<u32>(), kept);
        let reads = [Buffer::Float(p), Buffer::Uint(labels)];
        let unset = [Buffer::Uint(vec![7; 4])];
        let got = check_fast(Call::ConfusionForward(params), &reads, &unset);
        prop_assert_eq!(got[0].uints(), &counts[..]);
    }
}
