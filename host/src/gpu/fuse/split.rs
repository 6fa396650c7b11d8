//! Sums in slices where there are fewer tiles than the device has room for: gradients of few filters in slices of the rows, small images in
//! slices of the channels, and what a norm sums over few channels in slices of these.

use askem_kernels::{
    Call, batch_norm, batch_norm_relu, batch_norm_split, conv_transpose2d,
    conv_transpose2d_split_k, conv2d, conv2d_joined, conv2d_split_channels, conv2d_split_k,
};
use askem_wgsl::launch;

use crate::plan::{PlanBuilder, View};

/// Workgroups that keep a large GPU busy: a few on each of its some hundred cores.
const BUSY: u32 = 512;

/// Below so many workgroups most of a large GPU's cores would have nothing to do.
const FEW: u32 = 128;
/// Channels of a slice, at least: adding slices costs as much as a few channels do.
const CHANNELS: u32 = 16;

/// Elements of a channel's slice, at least: eight for each lane.
const ELEMENTS: u32 = 2048;

/// How a norm's channel is cut, if it is worth it.
fn channel_slices(n: u32, c: u32, hw: u32) -> Option<u32> {
    let slices = (BUSY / c).min(n * hw / ELEMENTS);
    (slices >= 2).then_some(slices)
}

/// Appends the statistics of a batch.
pub(super) fn statistics(
    builder: &mut PlanBuilder,
    p: batch_norm::Params,
    reads: &[View],
    writes: &[View],
) {
    let batch_norm::Params { n, c, hw, eps, momentum } = p;
    let Some(slices) = channel_slices(n, c, hw) else {
        builder.step(Call::BatchNormStatistics(p), reads, writes);
        return;
    };
    let p = batch_norm_split::Params { n, c, hw, slices, eps, momentum, scale: 1.0 };
    let call = Call::BatchNormSplitStatistics(p);
    let partials = builder.transient("partial statistics", call.len("partials"));
    builder.step(call, reads, &[partials]);
    builder.step(Call::BatchNormSplitMerge(p), &[partials], writes);
}

/// Appends the gradients of a norm's weight and bias through ReLU and dropout; reads and writes are those of
/// `batch_norm_relu::backward_weight`.
pub(super) fn norm_backward_weight(
    builder: &mut PlanBuilder,
    p: batch_norm_relu::Params,
    reads: &[View; 5],
    writes: &[View; 3],
) {
    let batch_norm_relu::Params { n, c, hw, scale, .. } = p;
    let Some(slices) = channel_slices(n, c, hw) else {
        builder.step(Call::BatchNormReluBackwardWeight(p), reads, writes);
        return;
    };
    // These passes use neither the eps nor the momentum.
    let p = batch_norm_split::Params { n, c, hw, slices, eps: 1.0, momentum: 0.0, scale };
    let call = Call::BatchNormSplitBackwardWeight(p);
    let partials = builder.transient("partial gradients", call.len("dpartials"));
    builder.step(call, reads, &[partials]);
    let [_, _, _, mean, rstd] = *reads;
    builder.step(Call::BatchNormSplitMergeBackwardWeight(p), &[partials, mean, rstd], writes);
}

/// Appends the gradient of a transposed convolution's filters.
pub(super) fn transposed_backward_weight(
    builder: &mut PlanBuilder,
    p: conv_transpose2d::Params,
    reads: &[View],
    writes: &[View],
) {
    let whole = Call::ConvTranspose2dBackwardWeight(p);
    let tiles: u32 = launch(&whole).workgroups.iter().product();
    let conv_transpose2d::Params { n, c_in, c_out, h, w } = p;
    let p = conv_transpose2d_split_k::Params { n, c_in, c_out, h, w, slices: 1 };
    let slices = (BUSY / tiles).min(p.chunks());
    if slices < 2 {
        builder.step(whole, reads, writes);
        return;
    }
    let p = conv_transpose2d_split_k::Params { slices, ..p };
    let call = Call::ConvTranspose2dSplitKBackwardWeight(p);
    let partials = builder.transient("partial gradients", call.len("partials"));
    builder.step(call, reads, &[partials]);
    builder.step(Call::ConvTranspose2dSplitKReduce(p), &[partials], writes);
}

/// How a convolution or the gradient of its input, whose joined form this is, is cut, if it is worth slices.
pub(super) fn conv_slices(call: &Call) -> Option<conv2d_split_channels::Params> {
    let (p, channels) = match *call {
        Call::Conv2dJoinedForward(p) => (p, p.c_in),
        Call::Conv2dJoinedBackwardInput(p) => (p, p.c_out),
        _ => return None,
    };
    let tiles: u32 = launch(call).workgroups.iter().product();
    let slices = (BUSY / 2 / tiles).min(channels / CHANNELS).min(p.c_in).min(p.c_out);
    let conv2d_joined::Params { n, c_in, c_a, c_out, h, w, kernel } = p;
    let p = conv2d_split_channels::Params { n, c_in, c_a, c_out, h, w, kernel, slices };
    (tiles < FEW && slices >= 2).then_some(p)
}

/// Appends such a convolution in slices, or nothing where it is not worth them.
pub(super) fn over_channels(
    builder: &mut PlanBuilder,
    call: &Call,
    reads: &[View],
    writes: &[View],
) -> bool {
    let Some(p) = conv_slices(call) else { return false };
    let (call, sum, partials) = match call {
        Call::Conv2dJoinedForward(_) => (
            Call::Conv2dSplitChannelsForward(p),
            Call::Conv2dSplitChannelsSumForward(p),
            "y_partials",
        ),
        _ => (
            Call::Conv2dSplitChannelsBackwardInput(p),
            Call::Conv2dSplitChannelsSumBackwardInput(p),
            "dx_partials",
        ),
    };
    let view = builder.transient(partials, call.len(partials));
    builder.step(call, &reads[..2], &[view]);
    builder.step(sum, &[view], writes);
    true
}

/// Appends the gradient of a convolution's filters, of joined inputs if `c_a` is less than all input channels.
pub(super) fn backward_weight(
    builder: &mut PlanBuilder,
    p: conv2d::Params,
    c_a: u32,
    reads: &[View],
    writes: &[View],
) {
    let tiles: u32 = launch(&Call::Conv2dBackwardWeight(p)).workgroups.iter().product();
    let conv2d::Params { n, c_in, c_out, h, w, kernel, .. } = p;
    let whole = conv2d_split_k::Params { n, c_in, c_a, c_out, h, w, kernel, slices: 1 };
    let slices = (BUSY / tiles).clamp(1, whole.bands());
    if slices == 1 && c_a == c_in {
        builder.step(Call::Conv2dBackwardWeight(p), reads, writes);
        return;
    }
    let params = conv2d_split_k::Params { slices, ..whole };
    let call = Call::Conv2dSplitKBackwardWeight(params);
    let partials = builder.transient("partial gradients", call.len("partials"));
    builder.step(call, reads, &[partials]);
    builder.step(Call::Conv2dSplitKReduce(params), &[partials], writes);
}
