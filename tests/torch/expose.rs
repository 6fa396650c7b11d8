//! Lets the host see what a plan keeps to itself.

use askem::compute::plan::{BufferId, Plan, Storage};
use askem_kernels::Element;

/// Lets the host read a buffer that the plan needs only within a run.
pub(crate) fn expose(plan: &mut Plan, name: &str) -> BufferId {
    let found = plan.buffers.iter().position(|b| b.name == name);
    let index = found.unwrap_or_else(|| panic!("{} has no buffer `{name}`", plan.name));
    let (len, slot) = (plan.buffers[index].len, plan.slots.len());
    plan.slots.push(len);
    let buffer = &mut plan.buffers[index];
    (buffer.storage, buffer.slot) = (Storage::Kept, Some(slot));
    assert_eq!(buffer.element, Element::Float);
    let uses = plan.sections.iter().flat_map(|s| &s.steps).flat_map(|s| &s.writes);
    let mut of_buffer = uses.map(|view| view.buffer).filter(|b| b.index() == index);
    of_buffer.next().expect("a step writes the buffer")
}
