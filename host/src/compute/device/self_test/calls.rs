//! What the self-test computes.

use askem_kernels::Call;
use askem_kernels::{
    adam, allclose, bald, batch_norm, batch_norm_relu, batch_norm_split, concat_channels,
    confusion, conv_transpose2d, conv_transpose2d_split_k, conv2d, conv2d_joined, conv2d_norm_relu,
    conv2d_split_channels, conv2d_split_k, conv2d_statistics, crop, cross_entropy, dropout,
    dropout_masks, entropy, global_avg_pool2d, instance_norm, k_center_greedy, k_means,
    k_means_plus_plus, least_confidence, max_pool2d, min_sq_dist, pairwise_sq_dist, patch_sum,
    relu, segmentation_head, softmax, warp,
};

/// Every pass at least once, on sizes that are odd and fill no tile.
pub(super) fn calls() -> Vec<Call> {
    let (n, c, h, w) = (2, 3, 5, 7);
    let hw = h * w;
    let mut calls = Vec::new();

    for (kernel, has_bias) in [(3, 1), (1, 0)] {
        let p = conv2d::Params { n, c_in: c, c_out: 5, h, w, kernel, has_bias };
        calls.extend([
            Call::Conv2dForward(p),
            Call::Conv2dBackwardInput(p),
            Call::Conv2dBackwardWeight(p),
            Call::Conv2dBackwardBias(p),
        ]);
    }
    let p = conv_transpose2d::Params { n, c_in: 5, c_out: c, h, w };
    calls.extend([
        Call::ConvTranspose2dForward(p),
        Call::ConvTranspose2dBackwardInput(p),
        Call::ConvTranspose2dBackwardWeight(p),
        Call::ConvTranspose2dBackwardBias(p),
    ]);
    let p = max_pool2d::Params { n, c, h, w };
    calls.extend([Call::MaxPool2dForward(p), Call::MaxPool2dBackwardInput(p)]);
    let p = batch_norm::Params { n, c, hw, eps: 1e-5, momentum: 0.1 };
    calls.extend([
        Call::BatchNormStatistics(p),
        Call::BatchNormForward(p),
        Call::BatchNormForwardEval(p),
        Call::BatchNormBackwardWeight(p),
        Call::BatchNormBackwardInput(p),
    ]);
    for mask in [0, 1, 2] {
        let affine = mask % 2;
        let p = batch_norm_relu::Params { n, c, hw, mask, scale: 1.25, affine };
        calls.extend([
            Call::BatchNormReluForward(p),
            Call::BatchNormReluBackwardWeight(p),
            Call::BatchNormReluBackwardInput(p),
        ]);
        let (c_in, c_a, c_out) = (c, c - mask, 5);
        let p = conv2d_norm_relu::Params { n, c_in, c_a, c_out, h, w, kernel: 3, mask, eps: 1e-5 };
        calls.push(Call::Conv2dNormReluForwardEval(p));
    }
    let p = conv2d_joined::Params { n, c_in: c, c_a: 1, c_out: 5, h, w, kernel: 3 };
    calls.extend([Call::Conv2dJoinedForward(p), Call::Conv2dJoinedBackwardInput(p)]);
    let (c_in, c_a, c_out) = (c, 1, 5);
    let p = conv2d_split_channels::Params { n, c_in, c_a, c_out, h, w, kernel: 3, slices: 2 };
    calls.extend([
        Call::Conv2dSplitChannelsForward(p),
        Call::Conv2dSplitChannelsSumForward(p),
        Call::Conv2dSplitChannelsBackwardInput(p),
        Call::Conv2dSplitChannelsSumBackwardInput(p),
    ]);
    let p = conv2d_split_k::Params { n, c_in: c, c_a: 1, c_out: 5, h: 9, w, kernel: 3, slices: 3 };
    calls.extend([Call::Conv2dSplitKBackwardWeight(p), Call::Conv2dSplitKReduce(p)]);
    let (eps, momentum, scale) = (1e-5, 0.1, 1.25);
    let p = batch_norm_split::Params { n, c, hw, slices: 4, eps, momentum, scale };
    calls.extend([
        Call::BatchNormSplitStatistics(p),
        Call::BatchNormSplitMerge(p),
        Call::BatchNormSplitBackwardWeight(p),
        Call::BatchNormSplitMergeBackwardWeight(p),
    ]);
    let p =
        conv2d_statistics::Params { n, c_in, c_a, c_out, h: 9, w: 11, kernel: 3, eps, momentum };
    calls.extend([
        Call::Conv2dStatisticsForward(p),
        Call::Conv2dStatisticsMerge(p),
        Call::Conv2dStatisticsMergePlanes(p),
    ]);
    let p = conv_transpose2d_split_k::Params { n, c_in: 5, c_out: c, h: 9, w: 11, slices: 3 };
    calls.extend([
        Call::ConvTranspose2dSplitKBackwardWeight(p),
        Call::ConvTranspose2dSplitKReduce(p),
    ]);
    let p = instance_norm::Params { n, c, hw, eps: 1e-5 };
    calls.extend([
        Call::InstanceNormStatistics(p),
        Call::InstanceNormForward(p),
        Call::InstanceNormBackwardStatistics(p),
        Call::InstanceNormBackwardInput(p),
    ]);
    let p = relu::Params { len: 301 };
    calls.extend([Call::ReluForward(p), Call::ReluBackwardInput(p)]);
    for element in [0, 1] {
        let p =
            dropout::Params { n, c, hw, element, layer: 4, threshold: 1 << 30, scale: 4.0 / 3.0 };
        calls.extend([
            Call::DropoutMask(p),
            Call::DropoutForward(p),
            Call::DropoutBackwardInput(p),
        ]);
    }
    let layers = [(4, c), (0, 70), (17, 300)];
    calls.push(Call::DropoutMasksDraw(dropout_masks::Params::new(n, 1 << 30, 4.0 / 3.0, &layers)));
    let p = concat_channels::Params { n, c_a: c, c_b: 2, hw };
    calls.extend([Call::ConcatChannelsForward(p), Call::ConcatChannelsBackwardInput(p)]);
    let p = softmax::Params { n, c, hw };
    calls.extend([Call::SoftmaxForward(p), Call::SoftmaxBackwardInput(p)]);
    let p = cross_entropy::Params { n, c, hw: 700, ignore_label: 255 };
    calls.extend([
        Call::CrossEntropyForward(p),
        Call::CrossEntropyReduce(p),
        Call::CrossEntropyBackwardInput(p),
    ]);
    calls.push(Call::AdamUpdate(adam::Params { len: 301, beta1: 0.9, beta2: 0.999, eps: 1e-8 }));

    let p = crop::Params { n, h: 19, w: 23, depth: 3, height: 29, width: 31 };
    calls.extend([Call::CropImages(p), Call::CropLabels(p)]);
    let p = warp::Params { n, c, h: 19, w: 23 };
    calls.extend([Call::WarpImages(p), Call::WarpLabels(p)]);
    calls.push(Call::EntropyForward(entropy::Params { n, c, hw }));
    calls.push(Call::LeastConfidenceForward(least_confidence::Params { n, c, hw }));
    let p = bald::Params { n, c, hw, passes: 4, stacked: 2 };
    calls.extend([
        Call::BaldAccumulate(p),
        Call::BaldEntropyOfMean(p),
        Call::BaldMutualInformation(p),
    ]);
    let p = segmentation_head::Params { n, stacked: 2, c: 5, classes: c, hw: 301 };
    calls.extend([
        Call::SegmentationHeadEntropy(p),
        Call::SegmentationHeadLeastConfidence(p),
        Call::SegmentationHeadAccumulate(p),
    ]);
    calls.push(Call::PatchSumForward(patch_sum::Params { n, hw: 301 }));
    calls.push(Call::GlobalAvgPool2dForward(global_avg_pool2d::Params { n, c, hw: 301 }));

    let p = pairwise_sq_dist::Params { rows_a: 9, rows_b: 19, dim: 133 };
    calls.push(Call::PairwiseSqDistForward(p));
    calls.push(Call::MinSqDistForward(min_sq_dist::Params { rows: 19, centers: 9, dim: 133 }));
    let p = k_center_greedy::Params { rows: 301, dim: 5, capacity: 8 };
    calls.push(Call::KCenterGreedyAddCenter(p));
    let p = k_means_plus_plus::Params { rows: 301, k: 3, dim: 5, trials: 5 };
    calls.extend([Call::KMeansPlusPlusMeasure(p), Call::KMeansPlusPlusDraw(p)]);
    let p = k_means::Params { rows: 67, k: 5, dim: 9 };
    calls.extend([Call::KMeansAssign(p), Call::KMeansUpdate(p), Call::KMeansCheckConvergence(p)]);

    let p = confusion::Params { len: 301, ignore_label: 255, threshold: 0.5 };
    calls.push(Call::ConfusionForward(p));
    let p = allclose::Params { len: 3001, slices: 4, atol: 0.01, rtol: 0.0078125 };
    calls.push(Call::AllcloseCount(p));
    calls
}
