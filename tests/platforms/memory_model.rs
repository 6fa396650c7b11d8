//! Modules for matrix units keep to Vulkan's memory model when they are handed over.

use std::collections::HashMap;

use askem_wgsl::memory_model::conform;
use naga::valid::Capabilities;

use crate::modules::{self, Candidate};
use crate::spirv_val::instructions;

/// How many accesses to shared memory and barriers a module has, and how many of them say that they
/// concern other invocations.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    accesses: usize,
    marked_accesses: usize,
    barriers: usize,
    marked_barriers: usize,
}

/// Reads a module apart from the code that writes it.
fn count(words: &[u32]) -> Counts {
    const WORKGROUP: u32 = 4;
    const STORAGE_BUFFER: u32 = 12;
    const NON_PRIVATE_POINTER: u32 = 0x20;
    // Acquire and release, workgroup memory, available, visible.
    const SEMANTICS: u32 = 0x8 | 0x100 | 0x2000 | 0x4000;
    let (_, instructions) = instructions(words);
    let mut classes = HashMap::new();
    let mut pointers = HashMap::new();
    let mut constants = HashMap::new();
    let mut counts = Counts::default();
    for i in instructions {
        // The pointer, and what precedes memory operands.
        let (pointer, before) = match i[0] & 0xffff {
            32 => {
                classes.insert(i[1], i[2]);
                continue;
            }
            43 => {
                constants.insert(i[2], i[3]);
                continue;
            }
            55 | 59 | 65 | 66 | 83 => {
                if let Some(&class) = classes.get(&i[1]) {
                    pointers.insert(i[2], class);
                }
                continue;
            }
            224 => {
                counts.barriers += 1;
                let is_marked = constants[&i[3]] & SEMANTICS == SEMANTICS;
                counts.marked_barriers += usize::from(is_marked);
                continue;
            }
            // Load, store, of a number and of a matrix.
            61 => (i[3], 4),
            62 => (i[1], 3),
            4457 => (i[3], 6),
            4458 => (i[1], 5),
            _ => continue,
        };
        let is_marked = i.get(before).is_some_and(|mask| mask & NON_PRIVATE_POINTER != 0);
        if matches!(pointers[&pointer], WORKGROUP | STORAGE_BUFFER) {
            counts.accesses += 1;
            counts.marked_accesses += usize::from(is_marked);
        } else {
            assert!(!is_marked, "{i:?}");
        }
    }
    counts
}

/// With the instructions, and the words that are more.
fn check(candidate: &Candidate, plain: &[u32]) {
    let name = &candidate.name;
    let conforming = conform(plain).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (before, after) = (count(plain), count(&conforming));
    assert!(before.accesses > 0, "{name}");
    assert_eq!((before.marked_accesses, before.marked_barriers), (0, 0), "{name}: {before:?}");
    let all =
        Counts { marked_accesses: before.accesses, marked_barriers: before.barriers, ..before };
    assert_eq!(after, all, "{name}");
    assert_eq!(conform(&conforming).as_ref(), Ok(&conforming), "{name}");
    // A memory operand for each access and a constant for the barriers: nothing else.
    let more = after.accesses + if after.barriers > 0 { 4 } else { 0 };
    assert_eq!(conforming.len(), plain.len() + more, "{name}");
}

#[test]
fn modules_with_matrices_conform() {
    let (mut checked, mut synchronised) = (0, 0);
    for candidate in modules::all() {
        for vulkan in candidate.vulkans() {
            let words = candidate.spirv(vulkan);
            if candidate.needs(Capabilities::COOPERATIVE_MATRIX) {
                check(&candidate, &words);
                checked += 1;
                synchronised += usize::from(count(&words).barriers > 0);
            } else {
                // Of the former model, with all that it may hold.
                assert_eq!(conform(&words), Ok(words), "{}", candidate.name);
            }
        }
    }
    let mut forms = 0;
    for entry in askem_wgsl::SHADERS.iter().flat_map(|shader| shader.entries) {
        let sources = if entry.stored().next().is_some() { 2 } else { 1 };
        forms += sources * entry.forms.iter().filter(|form| form.side.is_some()).count();
    }
    // Two probes without barriers; for two versions of Vulkan.
    assert!(forms > 0);
    assert_eq!((checked, synchronised), (2 * (forms + 2), 2 * forms));
}
