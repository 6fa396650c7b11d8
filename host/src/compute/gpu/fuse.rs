//! Writes a plan anew with fewer and wider steps.
//!
//! A GPU is held up by memory and by dispatches, so what a unit of the network does to a map after its convolution is done in
//! one pass, and in evaluation within the convolution, which in training leaves the statistics of what it writes; maps that are to
//! be joined are written joined, and masks of channels drawn at once. And it has many cores: gradients of few filters are summed in
//! slices of the rows. What the plan leaves in kept and shared buffers stays, up to rounding.

mod join;
mod masks;
pub(super) mod split;

use std::collections::HashMap;

use askem_kernels::{
    Call, batch_norm_relu, conv2d_joined, conv2d_norm_relu, conv2d_statistics, dropout, patch_sum,
    segmentation_head,
};

use crate::compute::device::Cores;
use crate::compute::plan::{BufferId, Plan, PlanBuilder, Step, Storage, View};
use join::{as_joined, without_bias};

/// In how many slices something is summed that [`split`] can cut; 1 is whole.
pub(super) type Slices<'a> = dyn Fn(&Call) -> u32 + 'a;

/// The plan as a GPU runs it of which nothing is known.
pub fn fuse(plan: Plan) -> Plan {
    fuse_with(plan, &|whole| split::likely(whole, Cores::DEFAULT.count))
}

/// The plan as a GPU runs it.
pub(super) fn fuse_with(plan: Plan, slices: &Slices<'_>) -> Plan {
    let plan = masks::draw_at_once(join::join(plan, slices));
    let mut readers: HashMap<BufferId, usize> = HashMap::new();
    for step in plan.sections.iter().flat_map(|section| &section.steps) {
        for read in &step.reads {
            *readers.entry(read.buffer).or_insert(0) += 1;
        }
    }
    let (builder, sections) = plan.take_apart();
    let mut fuser = Fuser { builder, readers, slices };
    for section in sections {
        fuser.builder.section(section.name);
        let mut steps = &section.steps[..];
        while !steps.is_empty() {
            let taken = fuser
                .evaluated_unit(steps)
                .or_else(|| fuser.convolution_with_statistics(steps))
                .or_else(|| fuser.normalised_unit(steps))
                .or_else(|| fuser.unit_backward(steps))
                .or_else(|| fuser.head(steps))
                .or_else(|| fuser.split(steps));
            let taken = taken.unwrap_or_else(|| {
                fuser.builder.step(steps[0].call, &steps[0].reads, &steps[0].writes);
                1
            });
            steps = &steps[taken..];
        }
    }
    fuser.builder.build()
}

struct Fuser<'a> {
    builder: PlanBuilder,
    /// How many steps of the plan read a buffer.
    readers: HashMap<BufferId, usize>,
    slices: &'a Slices<'a>,
}

/// The dropout of a unit, if it has one: how many steps it is, the one that draws the mask unless it was drawn before, the mask, and
/// what comes out.
struct Dropped<'a> {
    steps: usize,
    draw: Option<&'a Step>,
    mask: Option<(View, dropout::Params)>,
    output: View,
}

impl Dropped<'_> {
    /// 0, 1 or 2, as the fused operations have it.
    fn kind(&self) -> u32 {
        self.mask.map_or(0, |(_, p)| 1 + p.element)
    }

    fn scale(&self) -> f32 {
        self.mask.map_or(1.0, |(_, p)| p.scale)
    }

    /// The mask, or one element that nobody reads.
    fn mask_or(&self, unused: View) -> View {
        self.mask.map_or(View { len: 1, ..unused }, |(mask, _)| mask)
    }
}

impl Fuser<'_> {
    /// Whether a map is read once and then forgotten, so that nobody misses it.
    fn is_passing(&self, view: View) -> bool {
        self.builder.storage(view.buffer) == Storage::Transient
            && self.readers.get(&view.buffer) == Some(&1)
    }

    /// The dropout that follows on `input`, or none.
    fn dropped<'a>(&self, steps: &'a [Step], input: View) -> Dropped<'a> {
        let draw = steps.first().filter(|step| matches!(step.call, Call::DropoutMask(_)));
        let before = usize::from(draw.is_some());
        if let Some(apply) = steps.get(before)
            && let Call::DropoutForward(p) = apply.call
            && let [x, mask] = apply.reads[..]
            && x == input
            && draw.is_none_or(|draw| draw.writes[0] == mask)
            && self.is_passing(apply.writes[0])
        {
            let (steps, output) = (before + 1, apply.writes[0]);
            return Dropped { steps, draw, mask: Some((mask, p)), output };
        }
        Dropped { steps: 0, draw: None, mask: None, output: input }
    }

    /// Normalisation's output, then dropout, then ReLU: what they read and write, and the number of steps after the
    /// normalisation.
    fn tail<'a>(&self, steps: &'a [Step], normed: View) -> Option<(Dropped<'a>, View, usize)> {
        let dropped = self.dropped(steps, normed);
        let relu = steps.get(dropped.steps)?;
        let fits = matches!(relu.call, Call::ReluForward(_)) && relu.reads[0] == dropped.output;
        (fits && self.is_passing(normed)).then(|| {
            let steps = dropped.steps + 1;
            (dropped, relu.writes[0], steps)
        })
    }

    fn draw_mask(&mut self, dropped: &Dropped<'_>) {
        if let Some(draw) = dropped.draw {
            self.builder.step(draw.call, &draw.reads, &draw.writes);
        }
    }

    /// Convolution, normalisation by running statistics, dropout, ReLU.
    fn evaluated_unit(&mut self, steps: &[Step]) -> Option<usize> {
        let [conv, norm, rest @ ..] = steps else { return None };
        let c = without_bias(&conv.call)?;
        let Call::BatchNormForwardEval(b) = norm.call else { return None };
        let v = conv.writes[0];
        if norm.reads[0] != v || !self.is_passing(v) {
            return None;
        }
        let (dropped, y, taken) = self.tail(rest, norm.writes[0])?;
        self.draw_mask(&dropped);
        let conv2d_joined::Params { n, c_in, c_a, c_out, h, w, kernel } = c;
        let (mask, eps) = (dropped.kind(), b.eps);
        let params = conv2d_norm_relu::Params { n, c_in, c_a, c_out, h, w, kernel, mask, eps };
        let unused = norm.reads[4];
        let mut reads = vec![conv.reads[0], conv.reads[1]];
        reads.extend(&norm.reads[1..]);
        reads.push(dropped.mask_or(unused));
        self.builder.step(Call::Conv2dNormReluForwardEval(params), &reads, &[y]);
        Some(2 + taken)
    }

    /// Convolution, and the statistics of its output, unless so few workgroups would do that it is better cut in slices.
    fn convolution_with_statistics(&mut self, steps: &[Step]) -> Option<usize> {
        let [conv, statistics, ..] = steps else { return None };
        let c = without_bias(&conv.call)?;
        let (eps, momentum) = match statistics.call {
            Call::BatchNormStatistics(b) => (b.eps, b.momentum),
            Call::InstanceNormStatistics(i) => (i.eps, 0.0),
            _ => return None,
        };
        let y = conv.writes[0];
        let is_cut = (self.slices)(&Call::Conv2dJoinedForward(c)) > 1;
        if statistics.reads[0] != y || is_cut {
            return None;
        }
        let conv2d_joined::Params { n, c_in, c_a, c_out, h, w, kernel } = c;
        let p = conv2d_statistics::Params { n, c_in, c_a, c_out, h, w, kernel, eps, momentum };
        let call = Call::Conv2dStatisticsForward(p);
        let partials = self.builder.transient("partial statistics", call.len("partials"));
        self.builder.step(call, &conv.reads[..2], &[y, partials]);
        let merge = match statistics.call {
            Call::BatchNormStatistics(_) => Call::Conv2dStatisticsMerge(p),
            _ => Call::Conv2dStatisticsMergePlanes(p),
        };
        self.builder.step(merge, &[partials], &statistics.writes);
        Some(2)
    }

    /// Normalisation by statistics of its input, dropout, ReLU.
    fn normalised_unit(&mut self, steps: &[Step]) -> Option<usize> {
        let [norm, rest @ ..] = steps else { return None };
        let [n, c, hw, affine] = match norm.call {
            Call::BatchNormForward(b) => [b.n, b.c, b.hw, 1],
            Call::InstanceNormForward(i) => [1, i.n * i.c, i.hw, 0],
            _ => return None,
        };
        let (dropped, y, taken) = self.tail(rest, norm.writes[0])?;
        self.draw_mask(&dropped);
        let (mask, scale) = (dropped.kind(), dropped.scale());
        let params = batch_norm_relu::Params { n, c, hw, mask, scale, affine };
        let unused = View { len: 1, ..norm.reads[1] };
        let mut reads = norm.reads.clone();
        reads.resize(5, unused);
        reads.push(dropped.mask_or(unused));
        self.builder.step(Call::BatchNormReluForward(params), &reads, &[y]);
        Some(1 + taken)
    }

    /// The way back through ReLU, dropout and normalisation.
    fn unit_backward(&mut self, steps: &[Step]) -> Option<usize> {
        let [relu, rest @ ..] = steps else { return None };
        let Call::ReluBackwardInput(_) = relu.call else { return None };
        let (y, dy) = (relu.reads[0], relu.reads[1]);
        let mut g = relu.writes[0];
        let (mut scale, mut element, mut before) = (1.0, 0, 0);
        if let [drop, ..] = rest
            && let Call::DropoutBackwardInput(p) = drop.call
        {
            if drop.reads[0] != g || !self.is_passing(g) {
                return None;
            }
            (scale, element, before, g) = (p.scale, 1 + p.element, 1, drop.writes[0]);
        }
        let [weight, input, ..] = &rest[before..] else { return None };
        // The sizes, the gradients of weight and bias, and the weight: instance norm has a sum in place of each gradient.
        let ([n, c, hw, affine], [dweight, dbias], norm_weight) = match (weight.call, input.call) {
            (Call::BatchNormBackwardWeight(b), Call::BatchNormBackwardInput(_)) => {
                ([b.n, b.c, b.hw, 1], [weight.writes[0], weight.writes[1]], input.reads[4])
            }
            (Call::InstanceNormBackwardStatistics(i), Call::InstanceNormBackwardInput(_)) => {
                let unused = View { len: 1, ..weight.reads[2] };
                ([1, i.n * i.c, i.hw, 0], [weight.writes[1], weight.writes[0]], unused)
            }
            _ => return None,
        };
        // Both passes of the normalisation read the gradient.
        let forgotten = self.builder.storage(g.buffer) == Storage::Transient
            && self.readers.get(&g.buffer) == Some(&2);
        if weight.reads[1] != g || input.reads[1] != g || !forgotten {
            return None;
        }
        let params = batch_norm_relu::Params { n, c, hw, mask: element, scale, affine };
        let x = weight.reads[0];
        let call = Call::BatchNormReluBackwardWeight(params);
        let coefficients = self.builder.transient("coefficients", call.len("coefficients"));
        let reads = [x, y, dy, weight.reads[2], weight.reads[3]];
        let writes = [dweight, dbias, coefficients];
        split::append(&mut self.builder, &call, (self.slices)(&call), &reads, &writes);
        let reads = [x, y, dy, coefficients, norm_weight];
        self.builder.step(Call::BatchNormReluBackwardInput(params), &reads, &[input.writes[0]]);
        Some(before + 3)
    }

    /// The convolution to classes, softmax, and what is made of the probabilities where they are not wanted themselves.
    fn head(&mut self, steps: &[Step]) -> Option<usize> {
        let [conv, softmax, score, rest @ ..] = steps else { return None };
        let (Call::Conv2dForward(c), Call::SoftmaxForward(_)) = (conv.call, softmax.call) else {
            return None;
        };
        let (logits, p) = (conv.writes[0], softmax.writes[0]);
        let fits = c.kernel == 1 && c.has_bias == 1 && c.c_out <= segmentation_head::MAX_CLASSES;
        let passes = self.is_passing(logits) && self.is_passing(p);
        if !(fits && passes && softmax.reads[0] == logits && score.reads[0] == p) {
            return None;
        }
        let params = segmentation_head::Params {
            n: c.n,
            stacked: 1,
            c: c.c_in,
            classes: c.c_out,
            hw: c.h * c.w,
        };
        let call = match score.call {
            Call::BaldAccumulate(p) => {
                let (n, stacked) = (p.n, p.stacked);
                let params = segmentation_head::Params { n, stacked, ..params };
                let call = Call::SegmentationHeadAccumulate(params);
                self.builder.step(call, &conv.reads, &score.writes);
                return Some(3);
            }
            Call::EntropyForward(_) => Call::SegmentationHeadEntropy(params),
            Call::LeastConfidenceForward(_) => Call::SegmentationHeadLeastConfidence(params),
            _ => return None,
        };
        let map = score.writes[0];
        let sum = rest.first().filter(|sum| sum.reads[0] == map && self.is_passing(map))?;
        let Call::PatchSumForward(_) = sum.call else { return None };
        let partials = self.builder.transient("partial scores", call.len("partials"));
        self.builder.step(call, &conv.reads, &[partials]);
        let blocks = patch_sum::Params { n: c.n, hw: params.blocks() };
        self.builder.step(Call::PatchSumForward(blocks), &[partials], &sum.writes);
        Some(4)
    }

    /// What is summed in slices.
    fn split(&mut self, steps: &[Step]) -> Option<usize> {
        let Step { call, reads, writes } = &steps[0];
        let whole = match *call {
            Call::Conv2dForward(p) if p.has_bias == 0 => Call::Conv2dJoinedForward(as_joined(p)),
            Call::Conv2dBackwardInput(p) => Call::Conv2dJoinedBackwardInput(as_joined(p)),
            Call::Conv2dBackwardWeight(p) => split::backward_weight(p, p.c_in),
            Call::Conv2dJoinedForward(_)
            | Call::Conv2dJoinedBackwardInput(_)
            | Call::ConvTranspose2dBackwardWeight(_)
            | Call::BatchNormStatistics(_) => *call,
            _ => return None,
        };
        let slices = (self.slices)(&whole);
        if slices == 1 {
            return None;
        }
        split::append(&mut self.builder, &whole, slices, reads, writes);
        Some(1)
    }
}

#[cfg(test)]
mod tests {
    use askem_wgsl::launch;

    use super::*;
    use crate::network::unet::{AdamOptions, DropoutKind, Norm, Output, UNet};
    use crate::network::unet::{forward_plan, mc_plan, training_plan};

    fn count(plan: &Plan, op: &str) -> usize {
        let steps = plan.sections.iter().flat_map(|section| &section.steps);
        steps.filter(|step| step.call.signature().op == op).count()
    }

    fn net(norm: Norm, dropout: f32, dropout_kind: DropoutKind) -> UNet {
        UNet { width: 4, norm, dropout, dropout_kind, ..UNet::paper() }
    }

    #[test]
    fn every_unit_of_batch_norm_is_fused() {
        // Masks that are drawn alone, and steps that draw several.
        for (dropout, kind, masks) in [
            (0.0, DropoutKind::Channel, (0, 0)),
            (0.25, DropoutKind::Channel, (0, 1)),
            (0.25, DropoutKind::Element, (18, 0)),
        ] {
            let net = net(Norm::Batch, dropout, kind);
            let plan = fuse(training_plan(&net, 2, 32, 32, AdamOptions::default()).plan);
            assert_eq!(count(&plan, "relu"), 0);
            assert_eq!(count(&plan, "batch_norm_relu"), 3 * 18);
            // Statistics: two passes with a convolution, or one where that is cut in slices, of which the six deepest are wide
            // enough.
            assert_eq!((count(&plan, "conv2d_statistics"), count(&plan, "batch_norm")), (24, 6));
            assert_eq!((count(&plan, "dropout"), count(&plan, "dropout_masks")), masks);

            let plan = fuse(forward_plan(&net, 2, 32, 32, &[Output::Entropy]).plan);
            assert_eq!((count(&plan, "conv2d_norm_relu"), count(&plan, "conv2d")), (18, 0));
            assert_eq!(count(&plan, "relu") + count(&plan, "batch_norm"), 0);
            assert_eq!((count(&plan, "segmentation_head"), count(&plan, "softmax")), (1, 0));
            let plan = fuse(mc_plan(&net, 2, 32, 32, 3).plan);
            assert_eq!((count(&plan, "conv2d_norm_relu"), count(&plan, "relu")), (18, 0));
            assert_eq!((count(&plan, "dropout"), count(&plan, "dropout_masks")), masks);
            assert_eq!((count(&plan, "segmentation_head"), count(&plan, "softmax")), (1, 0));
        }
    }

    #[test]
    fn statistics_are_of_the_convolution_right_before() {
        let net = net(Norm::Batch, 0.0, DropoutKind::Channel);
        let plan = training_plan(&net, 2, 32, 32, AdamOptions::default()).plan;
        let mut other = plan.clone();
        // The first statistics are of another map of the same size.
        let steps = &mut other.sections[0].steps;
        let at = |steps: &[Step], name| {
            steps.iter().position(|step| step.call.signature().name == name).expect("it is there")
        };
        let relu = at(steps, "relu::forward");
        let statistics = at(steps, "batch_norm::statistics");
        steps[statistics].reads[0] = steps[relu].writes[0];
        assert_eq!(
            count(&fuse(other), "conv2d_statistics"),
            count(&fuse(plan), "conv2d_statistics") - 2
        );
    }

    #[test]
    fn every_unit_of_instance_norm_is_fused() {
        for (dropout, kind) in [
            (0.0, DropoutKind::Channel),
            (0.25, DropoutKind::Channel),
            (0.25, DropoutKind::Element),
        ] {
            let net = net(Norm::Instance, dropout, kind);
            let training = training_plan(&net, 2, 32, 32, AdamOptions::default()).plan;
            let passes = mc_plan(&net, 2, 32, 32, 3).plan;
            let scores = forward_plan(&net, 2, 32, 32, &[Output::Entropy]).plan;
            for (plan, of_unit) in [(training, 3), (passes, 1), (scores, 1)] {
                let plan = fuse(plan);
                assert_eq!(count(&plan, "relu"), 0);
                assert_eq!(count(&plan, "batch_norm_relu"), of_unit * 18);
                let statistics = (count(&plan, "conv2d_statistics"), count(&plan, "instance_norm"));
                assert_eq!(statistics, (24, 6));
            }
        }
    }

    #[test]
    fn nothing_is_copied_to_be_joined() {
        for norm in [Norm::Batch, Norm::Instance] {
            let net = net(norm, 0.25, DropoutKind::Channel);
            let training = training_plan(&net, 2, 32, 32, AdamOptions::default()).plan;
            let forward = forward_plan(&net, 2, 32, 32, &[Output::Entropy]).plan;
            for plan in [training, forward] {
                assert_eq!(count(&plan, "concat_channels") % 4, 0);
                assert_eq!(count(&fuse(plan), "concat_channels"), 0);
            }
        }
        // 24 channels of 2 x 2 pixels end where no view may begin: these are copied as before.
        let odd = UNet { width: 3, ..UNet::paper() };
        let plan = fuse(forward_plan(&odd, 1, 16, 16, &[Output::Entropy]).plan);
        assert_eq!(count(&plan, "concat_channels"), 1);
    }

    #[test]
    fn what_the_host_reads_is_still_written() {
        let net = net(Norm::Batch, 0.0, DropoutKind::Channel);
        let before = forward_plan(&net, 2, 32, 32, &[Output::EmbeddingFlat]);
        let plan = fuse(before.plan);
        let (_, bottleneck) = before.outputs[0];
        let steps = plan.sections.iter().flat_map(|section| &section.steps);
        assert!(steps.flat_map(|step| &step.writes).any(|view| view.buffer == bottleneck));
    }

    #[test]
    fn probabilities_that_are_wanted_are_written() {
        let net = net(Norm::Batch, 0.0, DropoutKind::Channel);
        for outputs in [
            &[Output::Entropy, Output::Probabilities][..],
            &[Output::Entropy, Output::LeastConfidence],
            &[Output::Probabilities],
        ] {
            let plan = fuse(forward_plan(&net, 2, 32, 32, outputs).plan);
            assert_eq!((count(&plan, "segmentation_head"), count(&plan, "softmax")), (0, 1));
        }
        let plan = fuse(forward_plan(&net, 2, 32, 32, &[Output::LeastConfidence]).plan);
        assert_eq!((count(&plan, "segmentation_head"), count(&plan, "softmax")), (1, 0));
    }

    #[test]
    fn a_map_that_others_read_is_not_fused_away() {
        let net = net(Norm::Batch, 0.0, DropoutKind::Channel);
        let mut plan = forward_plan(&net, 2, 32, 32, &[Output::Entropy]).plan;
        // The first convolution's output is read once more.
        let steps = &mut plan.sections[0].steps;
        let extra = Step { writes: vec![steps[2].writes[0]], ..steps[2].clone() };
        let extra = Step { reads: vec![steps[0].writes[0]], ..extra };
        steps.insert(3, extra);
        assert_eq!(count(&fuse(plan), "conv2d_norm_relu"), 17);
    }

    #[test]
    fn memory_hardly_grows() {
        for (dropout, kind) in [
            (0.0, DropoutKind::Channel),
            (0.25, DropoutKind::Channel),
            (0.25, DropoutKind::Element),
        ] {
            let net = net(Norm::Batch, dropout, kind);
            for plan in [
                training_plan(&net, 4, 64, 64, AdamOptions::default()).plan,
                forward_plan(&net, 4, 64, 64, &[Output::Probabilities]).plan,
                mc_plan(&net, 4, 64, 64, 3).plan,
            ] {
                let before = plan.memory();
                let after = fuse(plan).memory();
                assert_eq!(after.shared, before.shared);
                // Slices take some.
                assert!(10 * after.own <= 11 * before.own, "{after:?} {before:?}");
            }
        }
    }

    #[test]
    fn small_work_is_cut_in_slices() {
        let net = UNet { width: 16, ..UNet::paper() };
        let plan = fuse(training_plan(&net, 4, 128, 128, AdamOptions::default()).plan);
        let steps = plan.sections.iter().flat_map(|section| &section.steps);
        let mut tiles = Vec::new();
        for step in steps {
            let name = step.call.signature().name;
            // Whoever reads maps; slices are few, and so is what joins them.
            let reads_maps = ["conv", "batch_norm"].iter().any(|op| name.starts_with(op))
                && !["reduce", "bias", "merge"].iter().any(|pass| name.contains(pass));
            if reads_maps {
                tiles.push((launch(&step.call).workgroups.iter().product::<u32>(), name));
            }
        }
        assert!(tiles.len() > 7 * 18, "{tiles:?}");
        assert!(tiles.iter().all(|&(tiles, _)| tiles >= 32), "{tiles:?}");
    }
}
