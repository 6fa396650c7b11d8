//! Which buffers of a plan hold f16, and what follows for their sizes and contents.

use askem_kernels::Element;
use askem_wgsl::entry_of;
use half::f16;
use half::slice::HalfFloatSliceExt as _;

use crate::compute::plan::{Plan, Step, Storage};

/// For each buffer of a [fused](super::fuse()) plan whether it can hold f16: whether every pass that reads or writes it has a form for that, and
/// no view begins where a buffer of f16 cannot be bound (`alignment` in bytes). Shared buffers, such as weights, stay f32.
pub fn halves(plan: &Plan, alignment: u32) -> Vec<bool> {
    let mut halves: Vec<bool> = plan
        .buffers
        .iter()
        .map(|b| b.element == Element::Float && b.storage != Storage::Shared)
        .collect();
    let mut used = vec![false; halves.len()];
    for step in plan.sections.iter().flat_map(|section| &section.steps) {
        let (_, entry) = entry_of(&step.call);
        for (view, binding) in step.reads.iter().chain(&step.writes).zip(entry.bindings) {
            let buffer = view.buffer.index();
            used[buffer] = true;
            let is_aligned = (view.offset * 2).is_multiple_of(alignment as usize);
            halves[buffer] &= binding.may_hold_f16 && is_aligned;
        }
    }
    halves.iter().zip(used).map(|(&half, used)| half && used).collect()
}

/// Bytes of so many elements; buffers end with whole words.
pub(super) fn bytes_of(elements: usize, is_half: bool) -> u64 {
    let bytes = elements as u64 * if is_half { 2 } else { 4 };
    bytes.next_multiple_of(4)
}

/// The names of a step's buffers of f16.
pub(super) fn names_of_halves(step: &Step, halves: &[bool]) -> Vec<&'static str> {
    let views = step.reads.iter().chain(&step.writes).zip(entry_of(&step.call).1.bindings);
    let half = views.filter(|(view, _)| halves[view.buffer.index()]);
    half.map(|(_, binding)| binding.name).collect()
}

/// Bytes of each slot of a plan: as many as the largest buffer in it takes.
pub(super) fn slot_bytes(plan: &Plan, halves: &[bool]) -> Vec<u64> {
    let mut slots = vec![0; plan.slots.len()];
    for (buffer, &is_half) in plan.buffers.iter().zip(halves) {
        if let Some(slot) = buffer.slot {
            slots[slot] = bytes_of(buffer.len, is_half).max(slots[slot]);
        }
    }
    slots
}

/// Numbers that are converted at a time.
const CHUNK: usize = 1024;

/// Gives `take` words of f32 as f16, two to a word, piece by piece with the number of its first word; what is beyond f16's largest becomes
/// the largest, as in the shaders.
pub(super) fn pack(words: &[u32], mut take: impl FnMut(usize, &[u32])) {
    let largest = f16::MAX.to_f32();
    let (mut within, mut packed) = ([0.0; CHUNK], [0_u32; CHUNK / 2]);
    for (number, from) in words.chunks(CHUNK).enumerate() {
        for (within, &word) in within.iter_mut().zip(from) {
            *within = f32::from_bits(word).clamp(-largest, largest);
        }
        // The half beyond an odd number of them.
        within[from.len()..].fill(0.0);
        let halves: &mut [f16] = bytemuck::cast_slice_mut(&mut packed);
        halves.convert_from_f32_slice(&within);
        take(number * (CHUNK / 2), &packed[..from.len().div_ceil(2)]);
    }
}

/// All that [`pack`] gives.
pub(super) fn packed(words: &[u32]) -> Vec<u32> {
    let mut all = Vec::with_capacity(words.len().div_ceil(2));
    pack(words, |_, piece| all.extend_from_slice(piece));
    all
}

/// The words of f32 that [`pack`] made f16 of.
pub(super) fn unpack(packed: &[u32], words: &mut [u32]) {
    let halves: &[f16] = bytemuck::cast_slice(packed);
    halves[..words.len()].convert_to_f32_slice(bytemuck::cast_slice_mut(words));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_pass_through_f16() {
        let through = |value: f32| {
            let mut back = [0];
            unpack(&packed(&[value.to_bits()]), &mut back);
            f32::from_bits(back[0])
        };
        for exact in [0.0, -0.0, 1.0, -2.5, 65504.0, 6.103_515_6e-5, 5.960_464_5e-8] {
            assert_eq!(through(exact).to_bits(), exact.to_bits());
        }
        assert_eq!(through(1.0 + 1.0 / 4096.0), 1.0);
        assert_eq!((through(1e6), through(-1e6)), (65504.0, -65504.0));
        assert!(through(f32::NAN).is_nan());
        for len in [1, 2, 3, CHUNK, CHUNK + 1, 3 * CHUNK + 7] {
            let words: Vec<u32> = (0..len).map(|i| (i as f32 / 4.0).to_bits()).collect();
            let mut back = vec![7; len];
            unpack(&packed(&words), &mut back);
            let mut next = 0;
            pack(&words, |first, piece| {
                assert_eq!(first, next);
                next += piece.len();
            });
            assert_eq!(next, len.div_ceil(2));
            // 11 bits hold the quarters up to 512.
            assert_eq!(back[..len.min(2048)], words[..len.min(2048)]);
        }
    }
}
