use proptest::prelude::*;

use super::*;
use crate::Call;
use crate::concat_channels;
use crate::tolerance::compare_law;
use crate::tolerance::testing::{Buffer, check_fast, convert, draw};

fn params(n: u32, [c_in, c_a, c_out]: [u32; 3], [h, w]: [u32; 2], kernel: u32) -> Params {
    Params { n, c_in, c_a, c_out, h, w, kernel }
}

#[test]
fn it_is_a_convolution_of_what_concat_channels_joins() {
    let p = params(2, [5, 2, 3], [4, 3], 3);
    let hw = 12;
    let concat = concat_channels::Params { n: 2, c_a: 2, c_b: 3, hw };
    let x: Vec<f64> = convert(&draw(1, p.len("x"), -1.0..2.0));
    let weight: Vec<f64> = convert(&draw(2, p.len("weight"), -1.0..2.0));
    let dy: Vec<f64> = convert(&draw(3, p.len("dy"), -1.0..2.0));
    let (a, b) = x.split_at(2 * 2 * 12);
    let mut whole = vec![0.0; x.len()];
    concat_channels::forward(&concat, a, b, &mut whole).unwrap();
    let (mut want, mut got) = (vec![0.0; p.len("y")], vec![0.0; p.len("y")]);
    conv2d::forward(&p.conv(), &whole, &weight, &[0.0], &mut want).unwrap();
    forward(&p, &x, &weight, &mut got).unwrap();
    compare_law(&got, &want, 1.0).unwrap();

    let (mut dwhole, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    conv2d::backward_input(&p.conv(), &dy, &weight, &mut dwhole).unwrap();
    backward_input(&p, &dy, &weight, &mut dx).unwrap();
    let mut want = vec![0.0; x.len()];
    let (da, db) = want.split_at_mut(2 * 2 * 12);
    concat_channels::backward_input(&concat, &dwhole, da, db).unwrap();
    compare_law(&dx, &want, 1.0).unwrap();
}

#[test]
fn senseless_parameters_and_wrong_lengths_are_refused() {
    let good = params(1, [2, 1, 1], [1, 1], 1);
    for bad in [
        Params { c_a: 0, ..good },
        Params { c_a: 3, ..good },
        Params { kernel: 2, ..good },
        Params { n: 0, ..good },
    ] {
        let refused = forward(&bad, &[0.0; 2], &[0.0; 2], &mut [0.0]);
        assert!(matches!(refused, Err(Error::Params { op: "conv2d_joined", .. })), "{bad:?}");
    }
    let refused = forward(&good, &[0.0; 3], &[0.0; 2], &mut [0.0]);
    assert!(matches!(refused, Err(Error::Length { buffer: "x", expected: 2, got: 3, .. })));
}

fn check(p: Params, seed: u64) {
    let float = |buffer, i| Buffer::Float(draw(seed + i, p.len(buffer), -1.0..2.0));
    let unset = |buffer| [Buffer::unset(p.len(buffer) as u32)];
    check_fast(Call::Conv2dJoinedForward(p), &[float("x", 0), float("weight", 1)], &unset("y"));
    let reads = [float("dy", 2), float("weight", 1)];
    check_fast(Call::Conv2dJoinedBackwardInput(p), &reads, &unset("dx"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn fast_agrees(
        n in 1u32..4, c_in in 1u32..9, first in 0.0f64..1.0, c_out in 1u32..6,
        sides in [1u32..9, 1u32..9], kernel in prop::sample::select(&[1u32, 3][..]), seed: u64,
    ) {
        let c_a = 1 + (first * f64::from(c_in)) as u32;
        check(params(n, [c_in, c_a, c_out], sides, kernel), seed >> 1);
    }
}
