use proptest::prelude::*;

use super::*;
use crate::Call;
use crate::tolerance::compare_law;
use crate::tolerance::testing::{Buffer, check_fast, convert, draw};

fn params(
    n: u32,
    [c_in, c_a, c_out]: [u32; 3],
    [h, w]: [u32; 2],
    [kernel, slices]: [u32; 2],
) -> Params {
    Params { n, c_in, c_a, c_out, h, w, kernel, slices }
}

#[test]
fn slices_add_up_to_the_convolution_and_its_gradient() {
    for (c_a, kernel, slices) in [(5, 3, 1), (2, 3, 3), (3, 1, 4), (5, 3, 4)] {
        let p = params(2, [5, c_a, 4], [4, 3], [kernel, slices]);
        let joined = conv2d_joined::Params { n: 2, c_in: 5, c_a, c_out: 4, h: 4, w: 3, kernel };
        let drawn = |seed, buffer| -> Vec<f64> { convert(&draw(seed, p.len(buffer), -1.0..2.0)) };
        let (x, weight, dy) = (drawn(1, "x"), drawn(2, "weight"), drawn(3, "dy"));
        let unset = |buffer| vec![f64::NAN; p.len(buffer)];
        let (mut partials, mut got, mut want) = (unset("y_partials"), unset("y"), unset("y"));
        forward(&p, &x, &weight, &mut partials).unwrap();
        sum_forward(&p, &partials, &mut got).unwrap();
        conv2d_joined::forward(&joined, &x, &weight, &mut want).unwrap();
        compare_law(&got, &want, 1e2).unwrap();
        let (mut partials, mut got, mut want) = (unset("dx_partials"), unset("dx"), unset("dx"));
        backward_input(&p, &dy, &weight, &mut partials).unwrap();
        sum_backward_input(&p, &partials, &mut got).unwrap();
        conv2d_joined::backward_input(&joined, &dy, &weight, &mut want).unwrap();
        compare_law(&got, &want, 1e2).unwrap();
    }
}

#[test]
fn every_channel_is_in_one_slice() {
    for slices in 1..=7 {
        let all: Vec<usize> = (0..slices).flat_map(|t| channels_of(t, slices, 7)).collect();
        assert_eq!(all, (0..7).collect::<Vec<_>>());
        assert!((0..slices).all(|t| !channels_of(t, slices, 7).is_empty()));
    }
}

#[test]
fn senseless_parameters_and_wrong_lengths_are_refused() {
    let good = params(1, [2, 1, 3], [1, 1], [1, 2]);
    for bad in [
        Params { slices: 0, ..good },
        Params { slices: 3, ..good },
        Params { c_a: 0, ..good },
        Params { kernel: 2, ..good },
        Params { c_in: 1 << 16, ..good },
    ] {
        let refused = sum_forward::<f32>(&bad, &[], &mut []);
        assert!(
            matches!(refused, Err(Error::Params { op: "conv2d_split_channels", .. })),
            "{bad:?}"
        );
    }
    let refused = sum_forward(&good, &[0.0; 6], &mut [0.0; 2]);
    assert!(matches!(refused, Err(Error::Length { buffer: "y", expected: 3, got: 2, .. })));
}

fn check(p: Params, seed: u64) {
    let float = |buffer, i| Buffer::Float(draw(seed + i, p.len(buffer), -1.0..2.0));
    let unset = |buffer| [Buffer::unset(p.len(buffer) as u32)];
    let reads = [float("x", 0), float("weight", 1)];
    let y = check_fast(Call::Conv2dSplitChannelsForward(p), &reads, &unset("y_partials"));
    check_fast(Call::Conv2dSplitChannelsSumForward(p), &y, &unset("y"));
    let reads = [float("dy", 2), float("weight", 1)];
    let dx = check_fast(Call::Conv2dSplitChannelsBackwardInput(p), &reads, &unset("dx_partials"));
    check_fast(Call::Conv2dSplitChannelsSumBackwardInput(p), &dx, &unset("dx"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn fast_agrees(
        n in 1u32..3, c_in in 1u32..9, c_out in 1u32..9, sides in [1u32..7, 1u32..7],
        kernel in prop::sample::select(&[1u32, 3][..]), seed: u64,
    ) {
        let (c_a, slices) = (1 + seed as u32 % c_in, 1 + (seed >> 32) as u32 % c_in.min(c_out));
        check(params(n, [c_in, c_a, c_out], sides, [kernel, slices]), seed >> 1);
    }
}
