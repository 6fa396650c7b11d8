//! Sums in slices where there are fewer tiles than the device has room for: gradients of few filters in slices of the rows, small images in
//! slices of the channels, and what a norm sums over few channels in slices of these.
//!
//! What can be cut is named by the call that does it whole. Of these, `Conv2dSplitKBackwardWeight` in one slice is the gradient of any
//! convolution's filters, and a joined convolution stands for one with one input too.

use askem_kernels::{
    Call, batch_norm, batch_norm_relu, batch_norm_split, conv_transpose2d,
    conv_transpose2d_split_k, conv2d, conv2d_joined, conv2d_split_channels, conv2d_split_k,
};
use askem_wgsl::launch;

use crate::compute::device::Cores;
use crate::compute::plan::{PlanBuilder, View};

/// Workgroups on each core that keep a GPU busy.
const BUSY: u32 = 4;

/// Channels of a slice, at least: adding slices costs as much as a few channels do.
const CHANNELS: u32 = 16;

/// Elements of a channel's slice, at least: eight for each lane.
const ELEMENTS: u32 = 2048;

/// The gradient of a convolution's filters, whole; of joined inputs if `c_a` is less than all input channels.
pub(super) fn backward_weight(p: conv2d::Params, c_a: u32) -> Call {
    let conv2d::Params { n, c_in, c_out, h, w, kernel, .. } = p;
    let slices = 1;
    Call::Conv2dSplitKBackwardWeight(conv2d_split_k::Params {
        n,
        c_in,
        c_a,
        c_out,
        h,
        w,
        kernel,
        slices,
    })
}

fn transposed(p: conv_transpose2d::Params, slices: u32) -> conv_transpose2d_split_k::Params {
    let conv_transpose2d::Params { n, c_in, c_out, h, w } = p;
    conv_transpose2d_split_k::Params { n, c_in, c_out, h, w, slices }
}

fn over_channels(p: conv2d_joined::Params, slices: u32) -> conv2d_split_channels::Params {
    let conv2d_joined::Params { n, c_in, c_a, c_out, h, w, kernel } = p;
    conv2d_split_channels::Params { n, c_in, c_a, c_out, h, w, kernel, slices }
}

/// The most slices; 1 where nothing can be cut.
pub(in crate::compute::gpu) fn most(whole: &Call) -> u32 {
    let most = match whole {
        Call::Conv2dJoinedForward(p) => (p.c_in / CHANNELS).min(p.c_out),
        Call::Conv2dJoinedBackwardInput(p) => (p.c_out / CHANNELS).min(p.c_in),
        Call::Conv2dSplitKBackwardWeight(p) => p.bands(),
        Call::ConvTranspose2dBackwardWeight(p) => transposed(*p, 1).chunks(),
        Call::BatchNormStatistics(p) => p.n * p.hw / ELEMENTS,
        Call::BatchNormReluBackwardWeight(p) => p.n * p.hw / ELEMENTS,
        _ => 1,
    };
    most.max(1)
}

/// Workgroups of the whole.
fn tiles(whole: &Call) -> u32 {
    let call = calls(whole, 1)[0];
    let call = match call {
        // Of joined inputs: as many as where they are not.
        Call::Conv2dSplitKBackwardWeight(p) => calls(&backward_weight_of(&p), 1)[0],
        call => call,
    };
    launch(&call).workgroups.iter().product()
}

fn backward_weight_of(p: &conv2d_split_k::Params) -> Call {
    Call::Conv2dSplitKBackwardWeight(conv2d_split_k::Params { c_a: p.c_in, slices: 1, ..*p })
}

/// Slices that are likely the fastest on so many cores, before anything was measured; 1 where it is not worth it.
pub(in crate::compute::gpu) fn likely(whole: &Call, cores: u32) -> u32 {
    let (tiles, busy) = (tiles(whole), BUSY * cores);
    let wanted = match whole {
        // Each core has something to do.
        Call::Conv2dJoinedForward(_) | Call::Conv2dJoinedBackwardInput(_) if tiles >= cores => 1,
        Call::Conv2dJoinedForward(_) | Call::Conv2dJoinedBackwardInput(_) => busy / 2 / tiles,
        // Of few filters: a workgroup has twice as much to do, and slices take memory.
        Call::Conv2dSplitKBackwardWeight(_) | Call::ConvTranspose2dBackwardWeight(_) => {
            busy / 2 / tiles
        }
        _ => busy / tiles,
    };
    wanted.clamp(1, most(whole))
}

/// Numbers of slices that are worth a measurement, in rising order: one where the device is busy with the whole.
pub(in crate::compute::gpu) fn candidates(whole: &Call, cores: u32) -> Vec<u32> {
    let likely = likely(whole, cores);
    // What is known of cores may be wrong: on few of them as much is measured as on many.
    if tiles(whole) >= 2 * BUSY * cores.max(Cores::DEFAULT.count) {
        return vec![likely];
    }
    let mut candidates = vec![1, likely / 2, likely, 2 * likely];
    candidates.retain(|slices| (1..=most(whole)).contains(slices));
    candidates.dedup();
    candidates
}

/// The calls that do the work in so many slices: one that does it whole, or one that leaves partial sums and one that joins them.
pub(in crate::compute::gpu) fn calls(whole: &Call, slices: u32) -> Vec<Call> {
    match *whole {
        Call::Conv2dSplitKBackwardWeight(p) if slices == 1 && p.c_a == p.c_in => {
            let conv2d_split_k::Params { n, c_in, c_out, h, w, kernel, .. } = p;
            let p = conv2d::Params { n, c_in, c_out, h, w, kernel, has_bias: 0 };
            vec![Call::Conv2dBackwardWeight(p)]
        }
        Call::Conv2dSplitKBackwardWeight(p) => {
            let p = conv2d_split_k::Params { slices, ..p };
            vec![Call::Conv2dSplitKBackwardWeight(p), Call::Conv2dSplitKReduce(p)]
        }
        _ if slices == 1 => vec![*whole],
        Call::Conv2dJoinedForward(p) => {
            let p = over_channels(p, slices);
            vec![Call::Conv2dSplitChannelsForward(p), Call::Conv2dSplitChannelsSumForward(p)]
        }
        Call::Conv2dJoinedBackwardInput(p) => {
            let p = over_channels(p, slices);
            let sum = Call::Conv2dSplitChannelsSumBackwardInput(p);
            vec![Call::Conv2dSplitChannelsBackwardInput(p), sum]
        }
        Call::ConvTranspose2dBackwardWeight(p) => {
            let p = transposed(p, slices);
            vec![Call::ConvTranspose2dSplitKBackwardWeight(p), Call::ConvTranspose2dSplitKReduce(p)]
        }
        Call::BatchNormStatistics(p) => {
            let batch_norm::Params { n, c, hw, eps, momentum } = p;
            let p = batch_norm_split::Params { n, c, hw, slices, eps, momentum, scale: 1.0 };
            vec![Call::BatchNormSplitStatistics(p), Call::BatchNormSplitMerge(p)]
        }
        Call::BatchNormReluBackwardWeight(p) => {
            let batch_norm_relu::Params { n, c, hw, scale, .. } = p;
            // These passes use neither the eps nor the momentum.
            let p = batch_norm_split::Params { n, c, hw, slices, eps: 1.0, momentum: 0.0, scale };
            vec![Call::BatchNormSplitBackwardWeight(p), Call::BatchNormSplitMergeBackwardWeight(p)]
        }
        call => unreachable!("{call:?} is never cut"),
    }
}

/// Appends the work in so many slices; reads and writes are those of the whole.
pub(super) fn append(
    builder: &mut PlanBuilder,
    whole: &Call,
    slices: u32,
    reads: &[View],
    writes: &[View],
) {
    let calls = calls(whole, slices);
    let [cut, join] = calls[..] else {
        builder.step(calls[0], reads, writes);
        return;
    };
    let name = cut.signature().writes[0].0;
    let partials = builder.transient(name, cut.len(name));
    builder.step(cut, &reads[..cut.signature().reads.len()], &[partials]);
    let mut joined = vec![partials];
    if let Call::BatchNormSplitMergeBackwardWeight(_) = join {
        // The statistics.
        joined.extend(&reads[3..]);
    }
    builder.step(join, &joined, writes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_lie_around_the_likely_number() {
        let conv = |n, c, side| {
            let (h, w) = (side, side);
            Call::Conv2dJoinedForward(conv2d_joined::Params {
                n,
                c_in: c,
                c_a: c,
                c_out: c,
                h,
                w,
                kernel: 3,
            })
        };
        let found = |call: &Call, cores| (likely(call, cores), candidates(call, cores));
        // 32 tiles, 16 channels to a slice at least; tiles enough; more than enough.
        assert_eq!(found(&conv(4, 256, 8), 128), (8, vec![1, 4, 8, 16]));
        assert_eq!(found(&conv(4, 64, 64), 128), (1, vec![1, 2]));
        assert_eq!(candidates(&conv(20, 64, 128), 128), [1]);
        assert_eq!(candidates(&conv(1, 16, 8), 128), [1]);
        // More cores want more slices, and few none.
        assert_eq!(found(&conv(4, 256, 8), 304), (16, vec![1, 8, 16]));
        assert_eq!(found(&conv(4, 256, 8), 58), (3, vec![1, 3, 6]));
        assert_eq!(found(&conv(4, 256, 8), 2), (1, vec![1, 2]));
        assert_eq!(likely(&conv(4, 64, 64), 304), 2);
        let filters = backward_weight(
            conv2d::Params { n: 4, c_in: 16, c_out: 16, h: 128, w: 128, kernel: 3, has_bias: 0 },
            16,
        );
        assert_eq!(calls(&filters, 1).len(), 1);
        for slices in candidates(&filters, 128) {
            for call in calls(&filters, slices) {
                call.validate().expect("every candidate can be computed");
            }
        }
        // Joined inputs are always read by the pass for slices.
        let Call::Conv2dSplitKBackwardWeight(p) = filters else { unreachable!() };
        let joined = Call::Conv2dSplitKBackwardWeight(conv2d_split_k::Params { c_a: 8, ..p });
        assert_eq!(calls(&joined, 1).len(), 2);
        assert_eq!(likely(&joined, 128), likely(&filters, 128));
        assert!(
            likely(&filters, 2) <= likely(&filters, 40)
                && likely(&filters, 40) < likely(&filters, 132)
        );
    }
}
