//! Leaves out the copies that join maps: what would be copied is written where it belongs.
//!
//! The joined map then has one part behind the other, in place of the channels of each sample side by side, and the convolutions
//! that read it, or write its gradient, know that.

use std::collections::HashMap;

use askem_kernels::{Call, conv2d, conv2d_joined};

use super::{Slices, split};
use crate::compute::plan::{ALIGNMENT, BufferId, Plan, PlanBuilder, Step, Storage, View};

/// The plan without the copies that can be left out.
pub(super) fn join(plan: Plan, slices: &Slices<'_>) -> Plan {
    let joins = Joins::find(&plan);
    let (mut builder, sections) = plan.take_apart();
    for section in sections {
        builder.section(section.name);
        for step in section.steps {
            joins.rewrite(&step, slices, &mut builder);
        }
    }
    builder.build()
}

/// Which maps are parts of which.
#[derive(Default)]
struct Joins {
    /// Where a part lies: the joined buffer, and how many elements lie before.
    parts: HashMap<BufferId, (BufferId, usize)>,
    /// Channels of the first part.
    first: HashMap<BufferId, u32>,
}

/// The joined map and its parts, and the channels of both parts.
fn parts_of(step: &Step) -> Option<(View, [View; 2], [u32; 2])> {
    match step.call {
        Call::ConcatChannelsForward(p) => {
            Some((step.writes[0], [step.reads[0], step.reads[1]], [p.c_a, p.c_b]))
        }
        Call::ConcatChannelsBackwardInput(p) => {
            Some((step.reads[0], [step.writes[0], step.writes[1]], [p.c_a, p.c_b]))
        }
        _ => None,
    }
}

impl Joins {
    fn find(plan: &Plan) -> Self {
        let steps: Vec<&Step> = plan.sections.iter().flat_map(|section| &section.steps).collect();
        let mut joins = Self::default();
        for step in &steps {
            let Some((whole, parts, channels)) = parts_of(step) else { continue };
            if fits(plan, &steps, whole, parts, channels)
                && parts.iter().all(|part| !joins.parts.contains_key(&part.buffer))
            {
                joins.parts.insert(parts[0].buffer, (whole.buffer, 0));
                joins.parts.insert(parts[1].buffer, (whole.buffer, parts[0].len));
                joins.first.insert(whole.buffer, channels[0]);
            }
        }
        joins
    }

    /// Where a view lies now.
    fn place(&self, view: View) -> View {
        match self.parts.get(&view.buffer) {
            Some(&(buffer, before)) => View { buffer, offset: before + view.offset, ..view },
            None => view,
        }
    }

    fn rewrite(&self, step: &Step, slices: &Slices<'_>, builder: &mut PlanBuilder) {
        if let Some((whole, ..)) = parts_of(step)
            && self.first.contains_key(&whole.buffer)
        {
            return;
        }
        let [reads, writes] = [&step.reads, &step.writes]
            .map(|views| views.iter().map(|&view| self.place(view)).collect::<Vec<_>>());
        let first = |view: View| self.first.get(&view.buffer).copied();
        let joined = |p, c_a| conv2d_joined::Params { c_a, ..as_joined(p) };
        match step.call {
            Call::Conv2dForward(p) if let Some(c_a) = first(step.reads[0]) => {
                builder.step(Call::Conv2dJoinedForward(joined(p, c_a)), &reads[..2], &writes);
            }
            Call::Conv2dBackwardInput(p) if let Some(c_a) = first(step.writes[0]) => {
                builder.step(Call::Conv2dJoinedBackwardInput(joined(p, c_a)), &reads, &writes);
            }
            Call::Conv2dBackwardWeight(p) if let Some(c_a) = first(step.reads[0]) => {
                let whole = split::backward_weight(p, c_a);
                split::append(builder, &whole, slices(&whole), &reads, &writes);
            }
            call => builder.step(call, &reads, &writes),
        }
    }
}

/// Whether two maps can lie in the joined one from the start.
fn fits(plan: &Plan, steps: &[&Step], whole: View, parts: [View; 2], channels: [u32; 2]) -> bool {
    let [a, b] = parts.map(|part| part.buffer);
    let passes = [whole, parts[0], parts[1]].iter().all(|view| {
        let buffer = &plan.buffers[view.buffer.index()];
        buffer.storage == Storage::Transient && view.offset == 0 && view.len == buffer.len
    });
    let c_in = channels[0] + channels[1];
    passes
        && a != b
        && parts[0].len.is_multiple_of(ALIGNMENT)
        && steps.iter().all(|step| {
            let touches = |views: &[View], buffers: &[BufferId]| {
                views.iter().any(|view| buffers.contains(&view.buffer))
            };
            let all = [whole.buffer, a, b];
            if parts_of(step).is_some_and(|(other, ..)| other == whole) {
                return true;
            }
            // A buffer can't be read and written at once, even in different places.
            let apart = !(touches(&step.reads, &all) && touches(&step.writes, &all));
            let uses_whole =
                touches(&step.reads, &[whole.buffer]) || touches(&step.writes, &[whole.buffer]);
            let knows = match step.call {
                Call::Conv2dForward(p) => {
                    step.reads[0] == whole && p.c_in == c_in && p.has_bias == 0
                }
                Call::Conv2dBackwardWeight(p) => step.reads[0] == whole && p.c_in == c_in,
                Call::Conv2dBackwardInput(p) => step.writes[0] == whole && p.c_in == c_in,
                _ => false,
            };
            apart && (knows || !uses_whole)
        })
}

/// A convolution without bias, of one input or two.
pub(super) fn without_bias(call: &Call) -> Option<conv2d_joined::Params> {
    match *call {
        Call::Conv2dForward(p) if p.has_bias == 0 => Some(as_joined(p)),
        Call::Conv2dJoinedForward(p) => Some(p),
        _ => None,
    }
}

/// A convolution of one input as one of two, the second of which is empty.
pub(super) fn as_joined(p: conv2d::Params) -> conv2d_joined::Params {
    let conv2d::Params { n, c_in, c_out, h, w, kernel, .. } = p;
    conv2d_joined::Params { n, c_in, c_a: c_in, c_out, h, w, kernel }
}
