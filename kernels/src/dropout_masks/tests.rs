use proptest::prelude::*;

use super::*;
use crate::Call;
use crate::rng::{Rng, mask_stream};
use crate::tolerance::compare_exact;
use crate::tolerance::testing::{Buffer, check_fast, draw_below};

fn drawn(p: &Params, keys: &[u32]) -> Vec<f32> {
    let mut masks = vec![f32::NAN; p.len("masks")];
    draw(p, keys, &mut masks).unwrap();
    masks
}

#[test]
fn masks_follow_their_streams_from_multiples_of_64_on() {
    // 9, 192 and 771 values.
    let p = Params::new(3, 1 << 31, 2.0, &[(7, 3), (2, 64), (9, 257)]);
    let masks = drawn(&p, &[1, 2, 3, 4, 5, 6]);
    assert_eq!(masks.len(), 64 + 192 + 832);
    let follows = |start: usize, key: u64, layer, block, len: usize| {
        let mut stream = mask_stream(key, layer, block);
        for (i, &value) in masks[start..start + len].iter().enumerate() {
            let expected = if stream.next_u32() >= 1 << 31 { 2.0 } else { 0.0 };
            assert_eq!(value, expected, "layer {layer}, block {block}, element {i}");
        }
    };
    for (s, key) in [1 | 2 << 32, 3 | 4 << 32, 5 | 6 << 32].into_iter().enumerate() {
        follows(3 * s, key, 7, 0, 3);
        follows(64 + 64 * s, key, 2, 0, 64);
        follows(256 + 257 * s, key, 9, 0, 256);
        follows(256 + 257 * s + 256, key, 9, 1, 1);
    }
    assert!(masks[9..64].iter().chain(&masks[256 + 771..]).all(|&value| value == 0.0));
}

#[test]
fn senseless_parameters_and_wrong_lengths_are_refused() {
    let good = Params::new(1, 0, 2.0, &[(0, 3); MAX_LAYERS]);
    let mut without_channels = good;
    without_channels.c[1] = 0;
    for bad in [
        Params { n: 0, ..good },
        Params { layers: 0, ..good },
        Params { layers: 1 + MAX_LAYERS as u32, ..good },
        without_channels,
    ] {
        let refused = draw::<f32>(&bad, &[], &mut []);
        assert!(matches!(refused, Err(Error::Params { op: "dropout_masks", .. })), "{bad:?}");
    }
    // Nobody asks for the second layer.
    drawn(&Params { layers: 1, ..without_channels }, &[1, 2]);
    let refused = draw(&Params::new(1, 0, 2.0, &[(0, 3)]), &[1, 2], &mut [0.0; 3]);
    assert!(matches!(refused, Err(Error::Length { buffer: "masks", expected: 64, got: 3, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn each_layers_mask_is_that_drawn_alone(
        n in 1u32..5, threshold: u32, seed: u64,
        layers in prop::collection::vec((any::<u32>(), 1u32..600), 1..=MAX_LAYERS),
    ) {
        let p = Params::new(n, threshold, 2.0, &layers);
        let keys = draw_below(seed, p.len("keys"), u32::MAX);
        let masks = drawn(&p, &keys);
        let mut rest = &masks[..];
        for &(layer, c) in &layers {
            let alone = dropout::Params { n, c, hw: 7, element: 0, layer, threshold, scale: 2.0 };
            let mut mask = vec![f32::NAN; alone.len("mask")];
            dropout::mask(&alone, &keys, &mut mask).unwrap();
            mask.resize(mask.len().next_multiple_of(64), 0.0);
            let (first, behind) = rest.split_at(mask.len());
            compare_exact(first, &mask).unwrap();
            rest = behind;
        }
        assert!(rest.is_empty());
        let unset = [Buffer::unset(p.len("masks") as u32)];
        let fast = check_fast(Call::DropoutMasksDraw(p), &[Buffer::Uint(keys)], &unset);
        compare_exact(fast[0].floats(), &masks).unwrap();
    }
}
