//! One dimension of a dispatch holds 65,535 workgroups; larger grids are folded, and each shader unfolds them.

use std::collections::BTreeSet;

use askem::compute::device::trial::Style;
use askem_kernels::{
    Call, SIGNATURES, bald, batch_norm, batch_norm_relu, batch_norm_split, concat_channels,
    conv_transpose2d, conv2d, conv2d_joined, conv2d_norm_relu, conv2d_split_channels,
    conv2d_statistics, crop, cross_entropy, dropout, entropy, global_avg_pool2d, instance_norm,
    k_means, least_confidence, max_pool2d, patch_sum, relu, segmentation_head, softmax, warp,
};

use crate::harness;

/// More samples, channels or rows than one dimension holds; a prime, so that no fold is even.
const MANY: u32 = 65_543;

/// Calls with more than 65,535 workgroups, each of which has little to do.
fn folded() -> Vec<Call> {
    let (n, c, hw) = (MANY, 1, 2);
    let mut calls = Vec::new();

    let p = conv2d::Params { n, c_in: 1, c_out: 1, h: 1, w: 1, kernel: 1, has_bias: 0 };
    calls.extend([Call::Conv2dForward(p), Call::Conv2dBackwardInput(p)]);
    let (c_in, c_a, c_out, h, w, kernel, mask) = (1, 1, 1, 1, 1, 1, 1);
    let joined = conv2d_joined::Params { n, c_in, c_a, c_out, h, w, kernel };
    calls.extend([Call::Conv2dJoinedForward(joined), Call::Conv2dJoinedBackwardInput(joined)]);
    let (two, slices) = (2, 2);
    let split =
        conv2d_split_channels::Params { n, c_in: two, c_a, c_out: two, h, w, kernel, slices };
    calls.extend([
        Call::Conv2dSplitChannelsForward(split),
        Call::Conv2dSplitChannelsBackwardInput(split),
    ]);
    let eps = 1e-3;
    let unit = conv2d_norm_relu::Params { n, c_in, c_a, c_out, h, w, kernel, mask, eps };
    calls.push(Call::Conv2dNormReluForwardEval(unit));
    let momentum = 0.1;
    let counted = conv2d_statistics::Params { n, c_in, c_a, c_out, h, w, kernel, eps, momentum };
    calls.push(Call::Conv2dStatisticsForward(counted));
    let wide = conv2d_statistics::Params { n: 2, c_out: MANY, ..counted };
    calls.extend([Call::Conv2dStatisticsMerge(wide), Call::Conv2dStatisticsMergePlanes(wide)]);
    calls.push(Call::Conv2dBackwardBias(conv2d::Params { n: 1, c_out: MANY, ..p }));
    let p = conv_transpose2d::Params { n, c_in: 1, c_out: 1, h: 1, w: 1 };
    calls.extend([Call::ConvTranspose2dForward(p), Call::ConvTranspose2dBackwardInput(p)]);
    let wide = conv_transpose2d::Params { n: 1, c_out: MANY, ..p };
    calls.push(Call::ConvTranspose2dBackwardBias(wide));
    let p = max_pool2d::Params { n, c, h: 2, w: 2 };
    calls.extend([Call::MaxPool2dForward(p), Call::MaxPool2dBackwardInput(p)]);
    let p = batch_norm::Params { n: 1, c: MANY, hw, eps: 1e-3, momentum: 0.1 };
    calls.extend([
        Call::BatchNormStatistics(p),
        Call::BatchNormForward(p),
        Call::BatchNormForwardEval(p),
        Call::BatchNormBackwardWeight(p),
        Call::BatchNormBackwardInput(p),
    ]);
    let p = batch_norm_relu::Params { n: 1, c: MANY, hw, mask: 1, scale: 1.25, affine: 1 };
    calls.extend([
        Call::BatchNormReluForward(p),
        Call::BatchNormReluBackwardWeight(p),
        Call::BatchNormReluBackwardInput(p),
    ]);
    let (eps, momentum, scale) = (1e-3, 0.1, 1.25);
    let p = batch_norm_split::Params { n: 1, c: MANY, hw, slices: 2, eps, momentum, scale };
    calls.extend([Call::BatchNormSplitStatistics(p), Call::BatchNormSplitBackwardWeight(p)]);
    let p = instance_norm::Params { n, c, hw, eps: 1e-3 };
    calls.extend([
        Call::InstanceNormStatistics(p),
        Call::InstanceNormForward(p),
        Call::InstanceNormBackwardStatistics(p),
        Call::InstanceNormBackwardInput(p),
    ]);
    let (threshold, scale) = (1 << 31, 2.0);
    let p = dropout::Params { n, c, hw, element: 0, layer: 3, threshold, scale };
    calls.extend([Call::DropoutForward(p), Call::DropoutBackwardInput(p)]);
    let p = concat_channels::Params { n: MANY / 2, c_a: 2, c_b: 1, hw };
    calls.extend([Call::ConcatChannelsForward(p), Call::ConcatChannelsBackwardInput(p)]);
    let p = crop::Params { n: MANY, h: 1, w: 3, depth: 2, height: 3, width: 5 };
    calls.extend([Call::CropImages(p), Call::CropLabels(p)]);
    let p = warp::Params { n: MANY, c: 1, h: 3, w: 2 };
    calls.extend([Call::WarpImages(p), Call::WarpLabels(p)]);
    let p = softmax::Params { n, c: 2, hw };
    calls.extend([Call::SoftmaxForward(p), Call::SoftmaxBackwardInput(p)]);
    let p = cross_entropy::Params { n, c: 2, hw, ignore_label: 255 };
    calls.push(Call::CrossEntropyBackwardInput(p));

    calls.push(Call::EntropyForward(entropy::Params { n, c, hw }));
    calls.push(Call::LeastConfidenceForward(least_confidence::Params { n, c, hw }));
    let p = bald::Params { n, c: 2, hw, passes: 2, stacked: 1 };
    calls.extend([
        Call::BaldAccumulate(p),
        Call::BaldEntropyOfMean(p),
        Call::BaldMutualInformation(p),
    ]);
    let p = segmentation_head::Params { n, stacked: 1, c, classes: 2, hw };
    calls.extend([
        Call::SegmentationHeadEntropy(p),
        Call::SegmentationHeadLeastConfidence(p),
        Call::SegmentationHeadAccumulate(p),
    ]);
    calls.push(Call::PatchSumForward(patch_sum::Params { n, hw }));
    calls.push(Call::GlobalAvgPool2dForward(global_avg_pool2d::Params { n, c, hw }));
    calls.push(Call::KMeansUpdate(k_means::Params { rows: 3, k: MANY, dim: 1 }));
    calls.push(Call::ReluForward(relu::Params { len: 256 * MANY }));
    calls
}

#[test]
fn more_workgroups_than_one_dimension_holds() {
    for call in folded() {
        let [x, y, z] = askem_wgsl::launch(&call).workgroups;
        assert!(x.max(y).max(z) <= 65_535 && x * y * z > 65_535, "{call:?}: {x} x {y} x {z}");
        assert_eq!(harness::check(call, Style::Normal, 0), Ok(true), "{call:?}");
    }
}

/// What is too much work above, or never more than one workgroup, is known by name, and unfolds its grid by the same function.
#[test]
fn every_pass_unfolds_its_grid() {
    let tested: BTreeSet<_> = folded().iter().map(|call| call.signature().name).collect();
    let others: Vec<_> =
        SIGNATURES.iter().filter(|signature| !tested.contains(signature.name)).collect();
    let single = [
        "cross_entropy::reduce",
        "k_means_plus_plus::draw",
        "k_means::check_convergence",
        "confusion::forward",
    ];
    for signature in &others {
        let (_, entry) = askem_wgsl::find(signature.op, signature.pass).expect("it has a shader");
        let unfolds = entry.forms[0].source(&[]).contains("linear_group(group, groups)");
        let alone = single.contains(&signature.name);
        assert!(unfolds != alone, "{}", signature.name);
    }
    let names: Vec<_> = others.iter().map(|signature| signature.name).collect();
    assert_eq!(
        names,
        [
            "conv2d::backward_weight",
            "conv2d_split_channels::sum_forward",
            "conv2d_split_channels::sum_backward_input",
            "conv2d_split_k::backward_weight",
            "conv2d_split_k::reduce",
            "conv_transpose2d::backward_weight",
            "conv_transpose2d_split_k::backward_weight",
            "conv_transpose2d_split_k::reduce",
            "batch_norm_split::merge",
            "batch_norm_split::merge_backward_weight",
            "relu::backward_input",
            "dropout::mask",
            "dropout_masks::draw",
            "cross_entropy::forward",
            "cross_entropy::reduce",
            "adam::update",
            "pairwise_sq_dist::forward",
            "min_sq_dist::forward",
            "k_center_greedy::add_center",
            "k_means_plus_plus::measure",
            "k_means_plus_plus::draw",
            "k_means::assign",
            "k_means::check_convergence",
            "confusion::forward",
            "allclose::count",
        ]
    );
}
