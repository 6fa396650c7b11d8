//! How the parameters of every op are drawn: small, odd, and around the sizes of tiles and workgroups.

use std::ops::RangeInclusive;

use askem_kernels::{
    adam, allclose, bald, batch_norm, batch_norm_relu, batch_norm_split, concat_channels,
    confusion, conv_transpose2d, conv_transpose2d_split_k, conv2d, conv2d_joined, conv2d_norm_relu,
    conv2d_split_channels, conv2d_split_k, conv2d_statistics, crop, cross_entropy, dropout,
    dropout_masks, entropy, global_avg_pool2d, instance_norm, k_center_greedy, k_means,
    k_means_plus_plus, least_confidence, max_pool2d, min_sq_dist, pairwise_sq_dist, patch_sum,
    relu, segmentation_head, softmax, warp,
};
use proptest::prelude::*;

fn small() -> RangeInclusive<u32> {
    1..=4
}

/// Channels: one, powers of two, and their neighbours.
fn channels() -> impl Strategy<Value = u32> {
    prop_oneof![1..=5u32, prop::sample::select(&[7, 8, 9, 15, 16, 17, 31, 32, 33][..])]
}

/// Rows and columns of an image, mostly not equal.
fn side() -> impl Strategy<Value = u32> {
    prop_oneof![1..=9u32, prop::sample::select(&[15, 16, 17, 31, 32, 33][..])]
}

/// Elements in a row: one, workgroup sizes and blocks, and their neighbours.
fn length() -> impl Strategy<Value = u32> {
    prop_oneof![
        1..=70u32,
        prop::sample::select(&[127, 128, 129, 255, 256, 257, 1023, 1024, 1025, 2049][..])
    ]
}

/// `n`, `c` and `hw` of an op on planes.
fn planes() -> impl Strategy<Value = [u32; 3]> {
    (small(), channels(), length()).prop_map(|(n, c, hw)| [n, c, hw])
}

/// `n`, `c` and `hw` of an op on the few channels of a classification.
fn classes() -> impl Strategy<Value = [u32; 3]> {
    (small(), 1..=6u32, length()).prop_map(|(n, c, hw)| [n, c, hw])
}

pub(crate) fn conv2d() -> impl Strategy<Value = conv2d::Params> {
    let kernel = prop::sample::select(&[1, 3][..]);
    (small(), channels(), channels(), side(), side(), kernel, 0..=1u32).prop_map(
        |(n, c_in, c_out, h, w, kernel, has_bias)| conv2d::Params {
            n,
            c_in,
            c_out,
            h,
            w,
            kernel,
            has_bias,
        },
    )
}

/// A convolution, and channels of the first of its two inputs.
fn joined() -> impl Strategy<Value = (conv2d::Params, u32)> {
    conv2d().prop_flat_map(|conv| (Just(conv), 1..=conv.c_in))
}

pub(crate) fn conv2d_joined() -> impl Strategy<Value = conv2d_joined::Params> {
    joined().prop_map(|(conv, c_a)| {
        let conv2d::Params { n, c_in, c_out, h, w, kernel, .. } = conv;
        conv2d_joined::Params { n, c_in, c_a, c_out, h, w, kernel }
    })
}

pub(crate) fn conv2d_split_channels() -> impl Strategy<Value = conv2d_split_channels::Params> {
    (joined(), 1..=9u32).prop_map(|((conv, c_a), slices)| {
        let conv2d::Params { n, c_in, c_out, h, w, kernel, .. } = conv;
        let slices = slices.min(c_in).min(c_out);
        conv2d_split_channels::Params { n, c_in, c_a, c_out, h, w, kernel, slices }
    })
}

pub(crate) fn conv2d_split_k() -> impl Strategy<Value = conv2d_split_k::Params> {
    (joined(), 1..=9u32).prop_map(|((conv, c_a), slices)| {
        let conv2d::Params { n, c_in, c_out, h, w, kernel, .. } = conv;
        let p = conv2d_split_k::Params { n, c_in, c_a, c_out, h, w, kernel, slices };
        conv2d_split_k::Params { slices: slices.min(p.bands()), ..p }
    })
}

pub(crate) fn conv2d_statistics() -> impl Strategy<Value = conv2d_statistics::Params> {
    (joined(), eps(), momentum()).prop_map(|((conv, c_a), eps, momentum)| {
        let conv2d::Params { n, c_in, c_out, h, w, kernel, .. } = conv;
        conv2d_statistics::Params { n, c_in, c_a, c_out, h, w, kernel, eps, momentum }
    })
}

pub(crate) fn conv2d_norm_relu() -> impl Strategy<Value = conv2d_norm_relu::Params> {
    (joined(), 0..=2u32, eps()).prop_map(|((conv, c_a), mask, eps)| {
        let conv2d::Params { n, c_in, c_out, h, w, kernel, .. } = conv;
        conv2d_norm_relu::Params { n, c_in, c_a, c_out, h, w, kernel, mask, eps }
    })
}

pub(crate) fn conv_transpose2d() -> impl Strategy<Value = conv_transpose2d::Params> {
    (small(), channels(), channels(), side(), side())
        .prop_map(|(n, c_in, c_out, h, w)| conv_transpose2d::Params { n, c_in, c_out, h, w })
}

pub(crate) fn conv_transpose2d_split_k() -> impl Strategy<Value = conv_transpose2d_split_k::Params>
{
    (conv_transpose2d(), 1..=9u32).prop_map(|(conv, slices)| {
        let conv_transpose2d::Params { n, c_in, c_out, h, w } = conv;
        let p = conv_transpose2d_split_k::Params { n, c_in, c_out, h, w, slices };
        conv_transpose2d_split_k::Params { slices: slices.min(p.chunks()), ..p }
    })
}

pub(crate) fn max_pool2d() -> impl Strategy<Value = max_pool2d::Params> {
    (small(), channels(), side(), side()).prop_map(|(n, c, h, w)| max_pool2d::Params {
        n,
        c,
        h: h + 1,
        w: w + 1,
    })
}

fn eps() -> impl Strategy<Value = f32> {
    prop::sample::select(&[1e-5, 1e-3, 1.0][..])
}

fn momentum() -> impl Strategy<Value = f32> {
    prop::sample::select(&[0.0, 0.1, 1.0][..])
}

pub(crate) fn batch_norm() -> impl Strategy<Value = batch_norm::Params> {
    (planes(), eps(), momentum()).prop_map(|([n, c, hw], eps, momentum)| batch_norm::Params {
        n,
        c,
        hw,
        eps,
        momentum,
    })
}

pub(crate) fn batch_norm_relu() -> impl Strategy<Value = batch_norm_relu::Params> {
    (planes(), 0..=2u32, 0..=1u32).prop_map(|([n, c, hw], mask, affine)| {
        let scale = if mask == 0 { 1.0 } else { 1.25 };
        batch_norm_relu::Params { n, c, hw, mask, scale, affine }
    })
}

pub(crate) fn batch_norm_split() -> impl Strategy<Value = batch_norm_split::Params> {
    (batch_norm(), 1..=9u32).prop_map(|(norm, slices)| {
        let batch_norm::Params { n, c, hw, eps, momentum } = norm;
        let slices = slices.min(n * hw);
        batch_norm_split::Params { n, c, hw, slices, eps, momentum, scale: 1.25 }
    })
}

pub(crate) fn instance_norm() -> impl Strategy<Value = instance_norm::Params> {
    (planes(), eps()).prop_map(|([n, c, hw], eps)| instance_norm::Params { n, c, hw, eps })
}

fn threshold() -> impl Strategy<Value = u32> {
    prop_oneof![any::<u32>(), prop::sample::select(&[0, 1, 1 << 30, u32::MAX][..])]
}

pub(crate) fn dropout() -> impl Strategy<Value = dropout::Params> {
    (planes(), 0..=1u32, any::<u32>(), threshold()).prop_map(
        |([n, c, hw], element, layer, threshold)| {
            let scale = 1.25;
            dropout::Params { n, c, hw, element, layer, threshold, scale }
        },
    )
}

pub(crate) fn dropout_masks() -> impl Strategy<Value = dropout_masks::Params> {
    let layers = prop::collection::vec((any::<u32>(), length()), 1..=dropout_masks::MAX_LAYERS);
    (small(), layers, threshold())
        .prop_map(|(n, layers, threshold)| dropout_masks::Params::new(n, threshold, 1.25, &layers))
}

pub(crate) fn concat_channels() -> impl Strategy<Value = concat_channels::Params> {
    (small(), channels(), channels(), length())
        .prop_map(|(n, c_a, c_b, hw)| concat_channels::Params { n, c_a, c_b, hw })
}

pub(crate) fn cross_entropy() -> impl Strategy<Value = cross_entropy::Params> {
    (classes(), prop::sample::select(&[0, 1, 255, u32::MAX][..]))
        .prop_map(|([n, c, hw], ignore_label)| cross_entropy::Params { n, c, hw, ignore_label })
}

pub(crate) fn adam() -> impl Strategy<Value = adam::Params> {
    (length(), 0.0..1.0f32, 0.0..1.0f32, prop::sample::select(&[1e-8, 1e-3][..]))
        .prop_map(|(len, beta1, beta2, eps)| adam::Params { len, beta1, beta2, eps })
}

pub(crate) fn bald() -> impl Strategy<Value = bald::Params> {
    (classes(), 1..=10u32, small()).prop_map(|([n, c, hw], passes, stacked)| bald::Params {
        n,
        c,
        hw,
        passes,
        stacked,
    })
}

pub(crate) fn pairwise_sq_dist() -> impl Strategy<Value = pairwise_sq_dist::Params> {
    (side(), side(), length()).prop_map(|(rows_a, rows_b, dim)| pairwise_sq_dist::Params {
        rows_a,
        rows_b,
        dim,
    })
}

pub(crate) fn min_sq_dist() -> impl Strategy<Value = min_sq_dist::Params> {
    // Fewer coordinates than 64 are compared by differences, more by products.
    let dim = prop_oneof![2 => side(), 1 => prop::sample::select(&[63, 64, 65, 130, 257][..])];
    (length(), side(), dim).prop_map(|(rows, centers, dim)| min_sq_dist::Params {
        rows,
        centers,
        dim,
    })
}

pub(crate) fn k_center_greedy() -> impl Strategy<Value = k_center_greedy::Params> {
    // The last two have more rows than blocks of one tile hold.
    let rows = prop_oneof![9 => length(), 1 => prop::sample::select(&[16_384, 16_385, 33_003][..])];
    (rows, side(), 1..=20u32)
        .prop_map(|(rows, dim, picks)| (rows, dim, picks.min(rows)))
        .prop_map(|(rows, dim, capacity)| k_center_greedy::Params { rows, dim, capacity })
}

pub(crate) fn k_means_plus_plus() -> impl Strategy<Value = k_means_plus_plus::Params> {
    // The last has more blocks than a workgroup has lanes.
    let rows = prop_oneof![9 => length(), 1 => prop::sample::select(&[16_384, 16_385, 33_003][..])];
    (rows, 1..=5u32, side(), prop_oneof![9 => 1..=9u32, 1 => 16..=16u32])
        .prop_map(|(rows, k, dim, trials)| k_means_plus_plus::Params { rows, k, dim, trials })
}

pub(crate) fn k_means() -> impl Strategy<Value = k_means::Params> {
    // Movements are summed over tiles of 64 coordinates.
    let dim = prop_oneof![4 => side(), 1 => prop::sample::select(&[63, 64, 65, 130][..])];
    (length(), side(), dim).prop_map(|(rows, k, dim)| k_means::Params { rows, k, dim })
}

pub(crate) fn confusion() -> impl Strategy<Value = confusion::Params> {
    (length(), prop::sample::select(&[2, 255, u32::MAX][..]), 0.0..1.0f32).prop_map(
        |(len, ignore_label, threshold)| confusion::Params { len, ignore_label, threshold },
    )
}

pub(crate) fn allclose() -> impl Strategy<Value = allclose::Params> {
    let atol = prop::sample::select(&[0.0, 0.125, 1e-3][..]);
    let rtol = prop::sample::select(&[0.0, 0.25, 1.0 / 128.0][..]);
    (1..=9u32, length(), 1..=9u32, atol, rtol).prop_map(|(times, len, slices, atol, rtol)| {
        let len = times * len;
        allclose::Params { len, slices: slices.min(len), atol, rtol }
    })
}

pub(crate) fn crop() -> impl Strategy<Value = crop::Params> {
    (small(), side(), side(), small(), side(), side())
        .prop_map(|(n, h, w, depth, height, width)| crop::Params { n, h, w, depth, height, width })
}

pub(crate) fn warp() -> impl Strategy<Value = warp::Params> {
    (small(), small(), side(), side()).prop_map(|(n, c, h, w)| warp::Params { n, c, h, w })
}

pub(crate) fn relu() -> impl Strategy<Value = relu::Params> {
    (1..=9u32, length()).prop_map(|(times, len)| relu::Params { len: times * len })
}

pub(crate) fn softmax() -> impl Strategy<Value = softmax::Params> {
    classes().prop_map(|[n, c, hw]| softmax::Params { n, c, hw })
}

pub(crate) fn entropy() -> impl Strategy<Value = entropy::Params> {
    classes().prop_map(|[n, c, hw]| entropy::Params { n, c, hw })
}

pub(crate) fn least_confidence() -> impl Strategy<Value = least_confidence::Params> {
    classes().prop_map(|[n, c, hw]| least_confidence::Params { n, c, hw })
}

pub(crate) fn segmentation_head() -> impl Strategy<Value = segmentation_head::Params> {
    (small(), small(), channels(), 1..=8u32, length()).prop_map(|(n, stacked, c, classes, hw)| {
        segmentation_head::Params { n, stacked, c, classes, hw }
    })
}

pub(crate) fn patch_sum() -> impl Strategy<Value = patch_sum::Params> {
    (small(), length()).prop_map(|(n, hw)| patch_sum::Params { n, hw })
}

pub(crate) fn global_avg_pool2d() -> impl Strategy<Value = global_avg_pool2d::Params> {
    planes().prop_map(|[n, c, hw]| global_avg_pool2d::Params { n, c, hw })
}
