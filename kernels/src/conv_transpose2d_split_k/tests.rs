use proptest::prelude::*;

use super::*;
use crate::Call;
use crate::tolerance::compare_law;
use crate::tolerance::testing::{Buffer, check_fast, convert, draw};

fn params(n: u32, [c_in, c_out]: [u32; 2], [h, w]: [u32; 2], slices: u32) -> Params {
    let p = Params { n, c_in, c_out, h, w, slices: 1 };
    Params { slices: slices.clamp(1, p.chunks()), ..p }
}

#[test]
fn slices_add_up_to_the_gradient_of_conv_transpose2d() {
    for slices in [1, 3, 6] {
        let p = params(2, [3, 2], [13, 11], slices);
        assert_eq!(p.slices, slices);
        let x: Vec<f64> = convert(&draw(1, p.len("x"), -1.0..2.0));
        let dy: Vec<f64> = convert(&draw(2, p.len("dy"), -1.0..2.0));
        let mut partials = vec![f64::NAN; p.len("partials")];
        let (mut got, mut want) = (vec![f64::NAN; 24], vec![f64::NAN; 24]);
        backward_weight(&p, &x, &dy, &mut partials).unwrap();
        reduce(&p, &partials, &mut got).unwrap();
        conv_transpose2d::backward_weight(&p.conv(), &x, &dy, &mut want).unwrap();
        compare_law(&got, &want, 1e3).unwrap();
    }
}

#[test]
fn senseless_parameters_and_wrong_lengths_are_refused() {
    let good = params(2, [1, 1], [9, 8], 4);
    for bad in [
        Params { slices: 0, ..good },
        Params { slices: 5, ..good },
        Params { h: 0, ..good },
        Params { n: 1 << 17, slices: 1 << 16, ..good },
    ] {
        let refused = reduce::<f32>(&bad, &[], &mut []);
        let expected = matches!(refused, Err(Error::Params { op: "conv_transpose2d_split_k", .. }));
        assert!(expected, "{bad:?}");
    }
    let refused = reduce(&good, &[0.0; 16], &mut [0.0; 3]);
    assert!(matches!(refused, Err(Error::Length { buffer: "dweight", expected: 4, got: 3, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn fast_agrees(
        n in 1u32..3, channels in [1u32..5, 1u32..5], sides in [1u32..12, 1u32..12],
        slices in 1u32..6, seed: u64,
    ) {
        let p = params(n, channels, sides, slices);
        let float = |buffer, i| Buffer::Float(draw((seed >> 1) + i, p.len(buffer), -1.0..2.0));
        let unset = |buffer| [Buffer::unset(p.len(buffer) as u32)];
        let call = Call::ConvTranspose2dSplitKBackwardWeight(p);
        let partials = check_fast(call, &[float("x", 0), float("dy", 1)], &unset("partials"));
        check_fast(Call::ConvTranspose2dSplitKReduce(p), &partials, &unset("dweight"));
    }
}
