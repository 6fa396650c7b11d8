use proptest::prelude::*;

use super::*;
use crate::Call;
use crate::tolerance::compare_law;
use crate::tolerance::testing::{Buffer, check_fast, convert, draw};

fn params(n: u32, [c_in, c_out]: [u32; 2], [h, w]: [u32; 2], kernel: u32, slices: u32) -> Params {
    let p = Params { n, c_in, c_a: c_in, c_out, h, w, kernel, slices: 1 };
    Params { slices: slices.clamp(1, p.bands()), ..p }
}

#[test]
fn slices_cover_the_bands_in_order() {
    for slices in 1..=12 {
        let p = params(3, [1, 1], [27, 1], 3, slices);
        assert_eq!(p.bands(), 12);
        let bands: Vec<usize> = (0..slices as usize).flat_map(|s| p.bands_of(s)).collect();
        assert_eq!(bands, (0..12).collect::<Vec<_>>());
    }
    let p = params(2, [1, 1], [27, 1], 3, 1);
    assert_eq!(p.rows_of(3), (0, 24..27));
    assert_eq!(p.rows_of(4), (1, 0..8));
}

#[test]
fn slices_add_up_to_the_gradient_of_conv2d() {
    for (kernel, slices) in [(3, 1), (3, 4), (1, 3), (3, 6)] {
        let p = params(2, [3, 2], [17, 5], kernel, slices);
        let x = convert(&draw(1, p.len("x"), -1.0..2.0));
        let dy = convert(&draw(2, p.len("dy"), -1.0..2.0));
        let mut partials = vec![f64::NAN; p.len("partials")];
        let mut got = vec![f64::NAN; p.len("dweight")];
        backward_weight(&p, &x, &dy, &mut partials).unwrap();
        reduce(&p, &partials, &mut got).unwrap();
        let mut want = vec![f64::NAN; got.len()];
        conv2d::backward_weight(&p.conv(), &x, &dy, &mut want).unwrap();
        compare_law(&got, &want, 1e3).unwrap();
    }
}

#[test]
fn joined_inputs_are_those_of_concat_channels() {
    let p = Params { c_a: 1, ..params(2, [3, 2], [9, 2], 3, 3) };
    let concat = crate::concat_channels::Params { n: 2, c_a: 1, c_b: 2, hw: 18 };
    let x: Vec<f64> = convert(&draw(1, p.len("x"), -1.0..2.0));
    let dy: Vec<f64> = convert(&draw(2, p.len("dy"), -1.0..2.0));
    let (a, b) = x.split_at(2 * 18);
    let mut whole = vec![0.0; x.len()];
    crate::concat_channels::forward(&concat, a, b, &mut whole).unwrap();
    let (mut got, mut want) = (vec![0.0; p.len("partials")], vec![0.0; p.len("partials")]);
    backward_weight(&p, &x, &dy, &mut got).unwrap();
    backward_weight(&Params { c_a: 3, ..p }, &whole, &dy, &mut want).unwrap();
    assert_eq!(got, want);
}

#[test]
fn senseless_parameters_and_wrong_lengths_are_refused() {
    let good = params(2, [1, 1], [9, 2], 3, 4);
    for bad in [
        Params { slices: 0, ..good },
        Params { slices: 5, ..good },
        Params { kernel: 2, ..good },
        Params { c_a: 0, ..good },
        Params { c_a: 2, ..good },
        Params { h: 0, ..good },
        Params { n: 1 << 17, slices: 1 << 16, ..good },
    ] {
        let refused = reduce::<f32>(&bad, &[], &mut []);
        assert!(matches!(refused, Err(Error::Params { op: "conv2d_split_k", .. })), "{bad:?}");
    }
    let refused = reduce(&good, &[0.0; 36], &mut [0.0; 8]);
    assert!(matches!(refused, Err(Error::Length { buffer: "dweight", expected: 9, got: 8, .. })));
}

fn check(p: Params, seed: u64) {
    let float = |buffer, i| Buffer::Float(draw(seed + i, p.len(buffer), -1.0..2.0));
    let unset = |buffer| Buffer::unset(p.len(buffer) as u32);
    let reads = [float("x", 0), float("dy", 1)];
    let partials = check_fast(Call::Conv2dSplitKBackwardWeight(p), &reads, &[unset("partials")]);
    check_fast(Call::Conv2dSplitKReduce(p), &partials, &[unset("dweight")]);
}

#[test]
fn fast_agrees_over_several_pieces() {
    check(params(1, [48, 40], [8, 3], 3, 1), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn fast_agrees(
        n in 1u32..3, channels in [1u32..5, 1u32..5], sides in [1u32..20, 1u32..10],
        kernel in prop::sample::select(&[1u32, 3][..]), slices in 1u32..9, seed: u64,
    ) {
        let p = params(n, channels, sides, kernel, slices);
        check(Params { c_a: 1 + seed as u32 % p.c_in, ..p }, seed >> 1);
    }
}
