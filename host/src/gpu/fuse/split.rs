//! Sums in slices where there are fewer tiles than the device has room for: gradients of few filters in slices of the rows, small images in
//! slices of the channels.

use askem_kernels::{Call, conv2d, conv2d_joined, conv2d_split_channels, conv2d_split_k};
use askem_wgsl::launch;

use crate::plan::{PlanBuilder, View};

/// Workgroups that keep a large GPU busy: a few on each of its some hundred cores.
const BUSY: u32 = 512;

/// Below so many workgroups most of a large GPU's cores would have nothing to do.
const FEW: u32 = 128;
/// Channels of a slice, at least: adding slices costs as much as a few channels do.
const CHANNELS: u32 = 16;

/// Appends a convolution or the gradient of its input, whose joined form this is, if it is worth slices.
pub(super) fn over_channels(
    builder: &mut PlanBuilder,
    call: &Call,
    reads: &[View],
    writes: &[View],
) -> bool {
    let (p, channels) = match *call {
        Call::Conv2dJoinedForward(p) => (p, p.c_in),
        Call::Conv2dJoinedBackwardInput(p) => (p, p.c_out),
        _ => return false,
    };
    let tiles: u32 = launch(call).workgroups.iter().product();
    let slices = (BUSY / 2 / tiles).min(channels / CHANNELS).min(p.c_in).min(p.c_out);
    if tiles >= FEW || slices < 2 {
        return false;
    }
    let conv2d_joined::Params { n, c_in, c_a, c_out, h, w, kernel } = p;
    let p = conv2d_split_channels::Params { n, c_in, c_a, c_out, h, w, kernel, slices };
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
