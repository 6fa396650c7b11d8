//! What steps cost: arithmetic, and memory that has to be moved.

use askem_kernels::{Call, conv_transpose2d, conv2d};

use crate::compute::plan::{Step, View};

/// Additions and multiplications of a pass whose arithmetic counts: convolutions and distances. Others are bound by memory,
/// and have 0.
pub fn flops(call: &Call) -> f64 {
    let product = |sizes: &[u32]| 2.0 * sizes.iter().map(|&size| f64::from(size)).product::<f64>();
    match call {
        Call::Conv2dForward(p) | Call::Conv2dBackwardInput(p) | Call::Conv2dBackwardWeight(p) => {
            let conv2d::Params { n, c_in, c_out, h, w, kernel, .. } = *p;
            product(&[n, c_in, c_out, h, w, kernel, kernel])
        }
        Call::Conv2dJoinedForward(p) | Call::Conv2dJoinedBackwardInput(p) => {
            product(&[p.n, p.c_in, p.c_out, p.h, p.w, p.kernel, p.kernel])
        }
        Call::Conv2dSplitChannelsForward(p) | Call::Conv2dSplitChannelsBackwardInput(p) => {
            product(&[p.n, p.c_in, p.c_out, p.h, p.w, p.kernel, p.kernel])
        }
        Call::Conv2dStatisticsForward(p) => {
            product(&[p.n, p.c_in, p.c_out, p.h, p.w, p.kernel, p.kernel])
        }
        Call::Conv2dNormReluForwardEval(p) => {
            product(&[p.n, p.c_in, p.c_out, p.h, p.w, p.kernel, p.kernel])
        }
        Call::Conv2dSplitKBackwardWeight(p) => {
            product(&[p.n, p.c_in, p.c_out, p.h, p.w, p.kernel, p.kernel])
        }
        Call::ConvTranspose2dForward(p)
        | Call::ConvTranspose2dBackwardInput(p)
        | Call::ConvTranspose2dBackwardWeight(p) => {
            let conv_transpose2d::Params { n, c_in, c_out, h, w } = *p;
            product(&[n, c_in, c_out, h, w, 4])
        }
        Call::SegmentationHeadEntropy(p)
        | Call::SegmentationHeadLeastConfidence(p)
        | Call::SegmentationHeadAccumulate(p) => product(&[p.stacked, p.n, p.c, p.classes, p.hw]),
        Call::ConvTranspose2dSplitKBackwardWeight(p) => {
            product(&[p.n, p.c_in, p.c_out, p.h, p.w, 4])
        }
        Call::PairwiseSqDistForward(p) => product(&[p.rows_a, p.rows_b, p.dim]),
        Call::MinSqDistForward(p) => product(&[p.rows, p.centers, p.dim]),
        Call::KMeansPlusPlusMeasure(p) => product(&[p.rows, p.trials, p.dim]),
        Call::KMeansAssign(p) => product(&[p.rows, p.k, p.dim]),
        _ => 0.0,
    }
}

/// Bytes that a step reads and writes if it touches each element of its buffers once. `halves` says which buffers of its plan hold
/// f16 (see [`gpu::halves`](crate::compute::gpu::halves)); those that it leaves out hold f32.
pub fn bytes(step: &Step, halves: &[bool]) -> usize {
    let is_half = |view: &View| halves.get(view.buffer.index()).copied().unwrap_or(false);
    let views = step.reads.iter().chain(&step.writes);
    views.map(|view| view.len * if is_half(view) { 2 } else { 4 }).sum()
}

#[cfg(test)]
#[cfg(feature = "gpu")]
mod tests {
    use super::*;
    use crate::compute::gpu::fuse;
    use crate::network::unet::{AdamOptions, Output, UNet, forward_plan, training_plan};

    #[test]
    fn the_steps_of_a_network_add_up_to_its_flops() {
        let net = UNet::paper();
        let sum = |plan: crate::compute::plan::Plan| -> f64 {
            let steps = plan.sections.into_iter().flat_map(|section| section.steps);
            steps.map(|step| flops(&step.call)).sum()
        };
        let forward = || forward_plan(&net, 2, 64, 64, &[Output::Probabilities]).plan;
        let want = 2.0 * net.forward_flops(64);
        assert_eq!((sum(forward()), sum(fuse(forward()))), (want, want));
        // Forward, and twice as much back, but for the gradient of the image.
        let training = || training_plan(&net, 2, 64, 64, AdamOptions::default()).plan;
        let image = 2.0 * 2.0 * 9.0 * 16.0 * 64.0 * 64.0;
        assert_eq!(sum(training()), 3.0 * want - image);
        assert_eq!(sum(fuse(training())), 3.0 * want - image);
    }
}
