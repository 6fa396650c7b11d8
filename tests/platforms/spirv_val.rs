//! Khronos' validator on the SPIR-V.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use askem_wgsl::memory_model::conform;
use naga::valid::Capabilities;

use crate::modules;
use crate::tools::tool;

/// What naga 30 is known for: it decorates arrays and structs with strides and offsets wherever they lie, also in
/// workgroup memory and in variables of functions, where there is no layout and drivers ignore them.
const MEANINGLESS_LAYOUT: &str = "VUID-StandaloneSpirv-None-10684";

/// The complaint, if there is one. The validator stops at its first.
fn complaint(words: &[u32], environment: &str, file: &Path) -> Option<String> {
    fs::write(file, bytemuck::cast_slice(words)).expect("the module is written");
    let output = Command::new(tool("spirv-val"))
        .args(["--target-env", environment])
        .arg(file)
        .output()
        .expect("spirv-val starts");
    if output.status.success() {
        return None;
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(text(&output.stderr) + &text(&output.stdout))
}

/// Opcode and operands of every instruction, with the words before the first.
pub(crate) fn instructions(words: &[u32]) -> (&[u32], Vec<&[u32]>) {
    let (head, mut rest) = words.split_at(5);
    let mut instructions = Vec::new();
    while !rest.is_empty() {
        let (one, after) = rest.split_at((rest[0] >> 16) as usize);
        instructions.push(one);
        rest = after;
    }
    (head, instructions)
}

/// The module without the strides and offsets of types that lie in memory without a layout and nowhere else.
fn without_meaningless_layouts(words: &[u32]) -> Vec<u32> {
    const DECORATE: u32 = 71;
    const MEMBER_DECORATE: u32 = 72;
    const ARRAY_STRIDE: u32 = 6;
    const OFFSET: u32 = 35;
    const TYPE_ARRAY: u32 = 28;
    const TYPE_RUNTIME_ARRAY: u32 = 29;
    const TYPE_STRUCT: u32 = 30;
    const TYPE_POINTER: u32 = 32;
    // Workgroup, Private, Function.
    const WITHOUT_LAYOUT: [u32; 3] = [4, 6, 7];
    let (head, instructions) = instructions(words);
    let opcode = |i: &[u32]| i[0] & 0xffff;
    let mut parts: HashMap<u32, Vec<u32>> = HashMap::new();
    for i in &instructions {
        match opcode(i) {
            TYPE_ARRAY | TYPE_RUNTIME_ARRAY => parts.insert(i[1], vec![i[2]]),
            TYPE_STRUCT => parts.insert(i[1], i[2..].to_vec()),
            _ => None,
        };
    }
    // Types that pointers into memory with or without a layout reach.
    let reached = |layout: bool| {
        let pointers = instructions.iter().filter(|i| opcode(i) == TYPE_POINTER);
        let mut open: Vec<u32> =
            pointers.filter(|i| WITHOUT_LAYOUT.contains(&i[2]) != layout).map(|i| i[3]).collect();
        let mut reached = HashSet::new();
        while let Some(ty) = open.pop() {
            if reached.insert(ty) {
                open.extend(parts.get(&ty).into_iter().flatten());
            }
        }
        reached
    };
    let (without, with) = (reached(false), reached(true));
    let meaningless = |i: &[u32]| {
        let lays_out = (opcode(i) == DECORATE && i[2] == ARRAY_STRIDE)
            || (opcode(i) == MEMBER_DECORATE && i[3] == OFFSET);
        lays_out && without.contains(&i[1]) && !with.contains(&i[1])
    };
    let kept = instructions.iter().filter(|i| !meaningless(i));
    head.iter().copied().chain(kept.flat_map(|i| i.iter().copied())).collect()
}

/// Whether a module is valid only without its meaningless layouts.
///
/// # Panics
/// If it is not valid without them either.
fn is_known(words: &[u32], name: &str, environment: &str, file: &Path) -> bool {
    let Some(text) = complaint(words, environment, file) else { return false };
    assert!(text.contains(MEANINGLESS_LAYOUT), "{name}: {text}");
    // The validator has looked no further. Without what it names, all has to be right.
    let text = complaint(&without_meaningless_layouts(words), environment, file);
    assert_eq!(text, None, "{name}, without meaningless layouts");
    true
}

#[test]
fn every_module_is_valid() {
    let folder = tempfile::tempdir().expect("a folder for the modules");
    let file = folder.path().join("module.spv");
    let (mut checked, mut known) = (0, 0);
    for candidate in modules::all() {
        for vulkan in candidate.vulkans() {
            let name = format!("{} for {}", candidate.name, vulkan.name);
            let plain = candidate.spirv(vulkan);
            known += usize::from(is_known(&plain, &name, vulkan.name, &file));
            checked += 1;
            // As they are handed over.
            if candidate.needs(Capabilities::COOPERATIVE_MATRIX) {
                let words = conform(&plain).unwrap_or_else(|error| panic!("{name}: {error}"));
                let name = format!("{name}, conforming");
                known += usize::from(is_known(&words, &name, vulkan.name, &file));
                checked += 1;
            }
        }
    }
    eprintln!("{checked} modules are valid, {known} of them without their meaningless layouts");
}

/// The validator, and the way it is called here, sees what is wrong.
#[test]
fn an_invalid_module_is_refused() {
    let folder = tempfile::tempdir().expect("a folder for the modules");
    let file = folder.path().join("module.spv");
    let candidates = modules::shaders();
    let relu = candidates.iter().find(|c| c.name == "relu::forward").expect("it is in the table");
    let vulkan = relu.vulkans().last().expect("there is one");
    let words = relu.spirv(vulkan);
    assert_eq!(complaint(&words, vulkan.name, &file), None);

    // Buffers that are bound nowhere.
    const DECORATE: u32 = 71;
    const BINDING: u32 = 33;
    let (head, instructions) = instructions(&words);
    let bound = |i: &&[u32]| i[0] & 0xffff == DECORATE && i[2] == BINDING;
    let unbound = instructions.iter().filter(|i| !bound(i)).flat_map(|i| i.iter().copied());
    let unbound: Vec<u32> = head.iter().copied().chain(unbound).collect();
    let text = complaint(&unbound, vulkan.name, &file).expect("no buffer has a binding");
    assert!(text.contains("VUID"), "{text}");

    // Newer than the environment.
    let text = complaint(&words, "vulkan1.0", &file).expect("Vulkan 1.0 has no SPIR-V 1.6");
    assert!(text.contains("version"), "{text}");
    // Cut off in the middle of an instruction.
    assert!(complaint(&words[..words.len() - 2], vulkan.name, &file).is_some());
}
