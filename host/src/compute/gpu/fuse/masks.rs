//! Draws the masks of dropped channels at once: each by itself is a dispatch with almost nothing to do.
//!
//! Masks of elements stay where they are: they are as large as maps, and would all be in memory at the same time.

use std::collections::HashMap;

use askem_kernels::{Call, dropout, dropout_masks};

use crate::compute::plan::{ALIGNMENT, BufferId, Plan, PlanBuilder, Step, Storage, View};

const _: () = assert!(dropout_masks::ALIGNMENT.is_multiple_of(ALIGNMENT));

/// The plan with one step at the start of a section for all masks of channels that it draws by the same keys and the same law.
pub(super) fn draw_at_once(plan: Plan) -> Plan {
    let masks = masks(&plan);
    let (mut builder, sections) = plan.take_apart();
    // Where the masks lie that are drawn with others.
    let mut places: HashMap<BufferId, View> = HashMap::new();
    for section in sections {
        builder.section(section.name);
        let drawn = section.steps.iter().filter_map(|step| masks.get(&step.writes[0].buffer));
        let mut left: Vec<&Mask> = drawn.collect();
        while let Some(&first) = left.first() {
            let alike;
            (alike, left) = left.into_iter().partition(|mask| mask.law() == first.law());
            for alike in alike.chunks(dropout_masks::MAX_LAYERS) {
                draw(alike, &mut builder, &mut places);
            }
        }
        for step in &section.steps {
            if places.contains_key(&step.writes[0].buffer) {
                continue;
            }
            let place = |view: &View| places.get(&view.buffer).copied().unwrap_or(*view);
            let reads: Vec<View> = step.reads.iter().map(place).collect();
            builder.step(step.call, &reads, &step.writes);
        }
    }
    builder.build()
}

/// A mask of channels that may be drawn earlier and elsewhere.
struct Mask {
    params: dropout::Params,
    keys: View,
    view: View,
}

impl Mask {
    /// What masks have in common that are drawn at once: keys, of as many samples, threshold and scale.
    fn law(&self) -> (View, u32, u32) {
        (self.keys, self.params.threshold, self.params.scale.to_bits())
    }
}

/// By the buffers that they fill.
fn masks(plan: &Plan) -> HashMap<BufferId, Mask> {
    let steps = || plan.sections.iter().flat_map(|section| &section.steps);
    let mut writers: HashMap<BufferId, usize> = HashMap::new();
    for write in steps().flat_map(|step| &step.writes) {
        *writers.entry(write.buffer).or_insert(0) += 1;
    }
    let mask = |step: &Step| {
        let Call::DropoutMask(params) = step.call else { return None };
        let (keys, view) = (step.reads[0], step.writes[0]);
        let buffer = &plan.buffers[view.buffer.index()];
        let moves = params.element == 0
            && buffer.storage == Storage::Transient
            && buffer.len == view.len
            && writers[&view.buffer] == 1
            && !writers.contains_key(&keys.buffer);
        moves.then_some((view.buffer, Mask { params, keys, view }))
    };
    steps().filter_map(mask).collect()
}

/// Appends the step that draws these masks, unless there is but one, which may stay where it is.
fn draw(masks: &[&Mask], builder: &mut PlanBuilder, places: &mut HashMap<BufferId, View>) {
    if masks.len() < 2 {
        return;
    }
    let dropout::Params { n, threshold, scale, .. } = masks[0].params;
    let layers: Vec<_> = masks.iter().map(|mask| (mask.params.layer, mask.params.c)).collect();
    let params = dropout_masks::Params::new(n, threshold, scale, &layers);
    let call = Call::DropoutMasksDraw(params);
    let all = builder.transient("masks", call.len("masks"));
    builder.step(call, &[masks[0].keys], &[all]);
    for (i, mask) in masks.iter().enumerate() {
        let place = params.place(i);
        places.insert(mask.view.buffer, View { offset: place.start, len: place.len(), ..all });
    }
}

#[cfg(test)]
mod tests {
    use askem_kernels::{max_pool2d, relu};

    use super::*;
    use crate::compute::gpu::fuse;
    use crate::network::unet::{AdamOptions, DropoutKind, Norm, UNet, training_plan};

    /// A mask's call for the layer of this number.
    fn call(layer: u32) -> Call {
        let (n, c, hw, threshold, scale) = (3, 1 + layer, 10, 1 << 30, 1.25);
        Call::DropoutMask(dropout::Params { n, c, hw, element: 0, layer, threshold, scale })
    }

    /// Appends the step that draws a mask, and one that reads it.
    fn layer(builder: &mut PlanBuilder, call: Call, keys: View, mask: View) {
        builder.step(call, &[keys], &[mask]);
        let y = builder.kept("y", mask.len);
        builder.step(Call::ReluForward(relu::Params { len: mask.len as u32 }), &[mask], &[y]);
    }

    fn names(plan: &Plan) -> Vec<&'static str> {
        let steps = plan.sections.iter().flat_map(|section| &section.steps);
        steps.map(|step| step.call.signature().name).collect()
    }

    #[test]
    fn readers_find_their_masks() {
        let mut builder = PlanBuilder::new("plan", "first");
        let keys = builder.kept_uint("keys", 6);
        // One more than a step draws.
        for number in 0..dropout_masks::MAX_LAYERS as u32 + 1 {
            let mask = builder.transient("mask", call(number).len("mask"));
            layer(&mut builder, call(number), keys, mask);
        }
        let plan = draw_at_once(builder.build());
        let steps = &plan.sections[0].steps;
        let Call::DropoutMasksDraw(p) = steps[0].call else { panic!("{:?}", steps[0].call) };
        let readers = steps[1..].iter().filter(|step| matches!(step.call, Call::ReluForward(_)));
        for (i, reader) in readers.enumerate() {
            let mask = reader.reads[0];
            if i < dropout_masks::MAX_LAYERS {
                assert_eq!((p.layer[i], p.c[i]), (i as u32, 1 + i as u32));
                assert_eq!(mask.buffer, steps[0].writes[0].buffer);
                assert_eq!(mask.offset..mask.offset + mask.len, p.place(i));
            } else {
                assert_eq!(mask, steps[steps.len() - 2].writes[0]);
            }
        }
        assert_eq!(names(&plan).iter().filter(|name| **name == "dropout::mask").count(), 1);
    }

    #[test]
    fn what_differs_or_is_seen_stays_alone() {
        let mut builder = PlanBuilder::new("plan", "first");
        let (keys, others) = (builder.kept_uint("keys", 6), builder.kept_uint("others", 6));
        let draw = |call: Call, keys, builder: &mut PlanBuilder| {
            let mask = builder.transient("mask", call.len("mask"));
            layer(builder, call, keys, mask);
        };
        draw(call(0), keys, &mut builder);
        draw(call(1), others, &mut builder);
        let Call::DropoutMask(p) = call(2) else { unreachable!("it is one") };
        for other in [
            dropout::Params { element: 1, ..p },
            dropout::Params { threshold: 1, ..p },
            dropout::Params { scale: 2.0, ..p },
        ] {
            draw(Call::DropoutMask(other), keys, &mut builder);
        }
        // The host reads this one.
        let kept = builder.kept("mask", call(3).len("mask"));
        layer(&mut builder, call(3), keys, kept);
        // This one is drawn again.
        let twice = builder.transient("mask", call(4).len("mask"));
        layer(&mut builder, call(4), keys, twice);
        layer(&mut builder, call(4), keys, twice);
        // These keys come from within the plan.
        let p = max_pool2d::Params { n: 1, c: 6, h: 2, w: 2 };
        let (x, y) = (builder.kept("x", 24), builder.kept("y", 6));
        let made = builder.kept_uint("made", 6);
        builder.step(Call::MaxPool2dForward(p), &[x], &[y, made]);
        for number in 6..8 {
            draw(call(number), made, &mut builder);
        }
        builder.section("second");
        draw(call(5), keys, &mut builder);
        let plan = builder.build();
        assert_eq!(names(&draw_at_once(plan.clone())), names(&plan));
    }

    #[test]
    fn units_of_instance_norm_read_views_too() {
        let net = UNet { width: 4, norm: Norm::Instance, dropout: 0.25, ..UNet::paper() };
        for (kind, at_once) in [(DropoutKind::Channel, 1), (DropoutKind::Element, 0)] {
            let net = UNet { dropout_kind: kind, ..net };
            let plan = fuse(training_plan(&net, 2, 32, 32, AdamOptions::default()).plan);
            let count = |name| names(&plan).iter().filter(|other| **other == name).count();
            assert_eq!(count("dropout_masks::draw"), at_once);
            assert_eq!(count("dropout::mask"), 18 * (1 - at_once));
            assert_eq!(count("dropout::forward") + count("dropout::backward_input"), 0);
        }
    }
}
