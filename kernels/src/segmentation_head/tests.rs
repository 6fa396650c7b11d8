use proptest::prelude::*;

use super::*;
use crate::Call;
use crate::tolerance::compare_law;
use crate::tolerance::testing::{Buffer, check_fast, convert, draw};
use crate::{bald, conv2d, entropy, least_confidence, softmax};

fn drawn(p: &Params, seed: u64, buffer: &str) -> Vec<f64> {
    convert(&draw(seed, p.len(buffer), -2.0..2.0))
}

/// The probabilities, by the single operations.
fn probabilities(p: &Params, x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let conv = conv2d::Params {
        n: p.n * p.stacked,
        c_in: p.c,
        c_out: p.classes,
        h: 1,
        w: p.hw,
        kernel: 1,
        has_bias: 1,
    };
    let mut logits = vec![0.0; p.samples() * (p.classes * p.hw) as usize];
    conv2d::forward(&conv, x, weight, bias, &mut logits).unwrap();
    let mut probabilities = vec![0.0; logits.len()];
    let sizes = softmax::Params { n: p.n * p.stacked, c: p.classes, hw: p.hw };
    softmax::forward(&sizes, &logits, &mut probabilities).unwrap();
    probabilities
}

#[test]
fn it_is_convolution_softmax_and_score() {
    for classes in [1, 2, 5, 8] {
        let p = Params { n: 2, stacked: 3, c: 3, classes, hw: 300 };
        let (x, weight, bias) = (drawn(&p, 1, "x"), drawn(&p, 2, "weight"), drawn(&p, 3, "bias"));
        let each = probabilities(&p, &x, &weight, &bias);
        let blocks = |map: &[f64]| -> Vec<f64> {
            map.chunks(300).flat_map(|patch| patch.chunks(256)).map(|b| b.iter().sum()).collect()
        };
        let mut map = vec![0.0; 6 * 300];
        let mut got = vec![f64::NAN; p.len("partials")];
        let sizes = entropy::Params { n: 6, c: classes, hw: 300 };
        entropy::forward(&sizes, &each, &mut map).unwrap();
        entropy(&p, &x, &weight, &bias, &mut got).unwrap();
        compare_law(&got, &blocks(&map), 1e3).unwrap();

        let sizes = least_confidence::Params { n: 6, c: classes, hw: 300 };
        least_confidence::forward(&sizes, &each, &mut map).unwrap();
        least_confidence(&p, &x, &weight, &bias, &mut got).unwrap();
        compare_law(&got, &blocks(&map), 1e3).unwrap();

        let (mut sum_p, mut sum_h) = (drawn(&p, 4, "sum_p"), drawn(&p, 5, "sum_entropy"));
        let (mut want_p, mut want_h) = (sum_p.clone(), sum_h.clone());
        let sizes = bald::Params { n: 2, c: classes, hw: 300, passes: 3, stacked: 3 };
        bald::accumulate(&sizes, &each, &mut want_p, &mut want_h).unwrap();
        accumulate(&p, &x, &weight, &bias, &mut sum_p, &mut sum_h).unwrap();
        compare_law(&sum_p, &want_p, 1e1).unwrap();
        compare_law(&sum_h, &want_h, 1e1).unwrap();
    }
}

#[test]
fn senseless_sizes_and_wrong_lengths_are_refused() {
    let good = Params { n: 1, stacked: 1, c: 2, classes: 2, hw: 257 };
    for bad in
        [Params { classes: 9, ..good }, Params { c: 0, ..good }, Params { stacked: 0, ..good }]
    {
        let refused = entropy::<f32>(&bad, &[], &[], &[], &mut []);
        assert!(matches!(refused, Err(Error::Params { op: "segmentation_head", .. })), "{bad:?}");
    }
    let refused = entropy(&good, &[0.0; 514], &[0.0; 4], &[0.0; 2], &mut [0.0]);
    assert!(matches!(refused, Err(Error::Length { buffer: "partials", expected: 2, got: 1, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn fast_agrees(
        n in 1u32..3, stacked in 1u32..4, c in 1u32..9, classes in 1u32..=8, hw in 1u32..600, seed: u64,
    ) {
        let p = Params { n, stacked, c, classes, hw };
        let float = |buffer, i| Buffer::Float(draw((seed >> 1) + i, p.len(buffer), -1.0..2.0));
        let reads = [float("x", 0), float("weight", 1), float("bias", 2)];
        let unset = [Buffer::unset(p.len("partials") as u32)];
        check_fast(Call::SegmentationHeadEntropy(p), &reads, &unset);
        check_fast(Call::SegmentationHeadLeastConfidence(p), &reads, &unset);
        let sums = [float("sum_p", 3), float("sum_entropy", 4)];
        check_fast(Call::SegmentationHeadAccumulate(p), &reads, &sums);
    }
}
