//! Sums the filters' gradients in slices of the rows, where there are fewer tiles of filters than the device has room for.

use askem_kernels::{Call, conv2d, conv2d_split_k};
use askem_wgsl::launch;

use crate::plan::{PlanBuilder, View};

/// Workgroups that keep a large GPU busy: a few on each of its some hundred cores.
const BUSY: u32 = 512;

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
