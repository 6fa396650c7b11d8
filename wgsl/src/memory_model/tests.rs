//! Modules made by hand. `tests/platforms` has those of every shader for matrix units.

use super::conform;

const HEAD: [u32; 5] = [0x0723_0203, 0x0001_0600, 0, 100, 0];
const VULKAN: u32 = 3;

/// Ids of [`module`].
mod id {
    pub(super) const WORD: u32 = 1;
    pub(super) const SEMANTICS: u32 = 5;
    pub(super) const WORKGROUP: u32 = 10;
    pub(super) const STORAGE: u32 = 11;
    pub(super) const PRIVATE: u32 = 12;
    pub(super) const VOID: u32 = 2;
    pub(super) const STRIDE: u32 = 4;
    pub(super) const MATRIX: u32 = 30;
    pub(super) const POINTER_TO_WORKGROUP: u32 = 20;
    pub(super) const FRESH: u32 = 50;
}

/// An instruction.
fn op(opcode: u32, operands: &[u32]) -> Vec<u32> {
    let mut words = vec![(operands.len() as u32 + 1) << 16 | opcode];
    words.extend(operands);
    words
}

/// A module with a variable of workgroup memory, a storage buffer and a private variable, and this
/// body.
fn module_of(model: u32, semantics: u32, body: &[Vec<u32>]) -> Vec<u32> {
    let head = [
        op(17, &[1]),
        op(14, &[0, model]),
        op(21, &[id::WORD, 32, 0]),
        op(19, &[id::VOID]),
        op(33, &[3, id::VOID]),
        op(32, &[id::POINTER_TO_WORKGROUP, 4, id::WORD]),
        op(32, &[21, 12, id::WORD]),
        op(32, &[22, 6, id::WORD]),
        op(43, &[id::WORD, id::STRIDE, 16]),
        op(43, &[id::WORD, id::SEMANTICS, semantics]),
        op(43, &[id::WORD, 6, 2]),
        op(59, &[id::POINTER_TO_WORKGROUP, id::WORKGROUP, 4]),
        op(59, &[21, id::STORAGE, 12]),
        op(59, &[22, id::PRIVATE, 6]),
        op(4456, &[id::MATRIX, id::WORD, 6, id::STRIDE, id::STRIDE, 6]),
        op(54, &[id::VOID, 7, 0, 3]),
        op(248, &[8]),
    ];
    let foot = [op(253, &[]), op(56, &[])];
    let all = head.iter().chain(body).chain(&foot);
    HEAD.into_iter().chain(all.flatten().copied()).collect()
}

/// Of Vulkan's memory model, with naga's semantics of a barrier: an order for workgroup memory.
fn module(body: &[Vec<u32>]) -> Vec<u32> {
    module_of(VULKAN, 0x108, body)
}

/// What instructions with these numbers are in the result, in their order.
fn results(body: &[Vec<u32>], opcode: u32) -> Vec<Vec<u32>> {
    let words = conform(&module(body)).expect("all is understood");
    let mut found = Vec::new();
    let mut rest = &words[5..];
    while !rest.is_empty() {
        let (one, after) = rest.split_at((rest[0] >> 16) as usize);
        if one[0] & 0xffff == opcode {
            found.push(one.to_vec());
        }
        rest = after;
    }
    found
}

#[test]
fn shared_memory_is_not_private() {
    let load = |variable: u32| op(61, &[id::WORD, id::FRESH, variable]);
    let marked = |variable: u32| op(61, &[id::WORD, id::FRESH, variable, 0x20]);
    let body = [load(id::WORKGROUP), load(id::STORAGE), load(id::PRIVATE)];
    let expected = [marked(id::WORKGROUP), marked(id::STORAGE), load(id::PRIVATE)];
    assert_eq!(results(&body, 61), expected);
    let body = [id::WORKGROUP, id::STORAGE, id::PRIVATE].map(|to| op(62, &[to, id::STRIDE]));
    let expected = [
        op(62, &[id::WORKGROUP, id::STRIDE, 0x20]),
        op(62, &[id::STORAGE, id::STRIDE, 0x20]),
        op(62, &[id::PRIVATE, id::STRIDE]),
    ];
    assert_eq!(results(&body, 62), expected);
}

#[test]
fn matrices_are_not_private() {
    let body = [
        op(4457, &[id::MATRIX, id::FRESH, id::WORKGROUP, 6, id::STRIDE]),
        op(4457, &[id::MATRIX, id::FRESH + 1, id::WORKGROUP, 6, id::STRIDE, 0x2, 16]),
        op(4458, &[id::WORKGROUP, id::FRESH, 6, id::STRIDE]),
        op(4458, &[id::STORAGE, id::FRESH, 6, id::STRIDE, 0x1]),
    ];
    let expected = [
        op(4457, &[id::MATRIX, id::FRESH, id::WORKGROUP, 6, id::STRIDE, 0x20]),
        op(4457, &[id::MATRIX, id::FRESH + 1, id::WORKGROUP, 6, id::STRIDE, 0x22, 16]),
    ];
    assert_eq!(results(&body, 4457), expected);
    let expected = [
        op(4458, &[id::WORKGROUP, id::FRESH, 6, id::STRIDE, 0x20]),
        op(4458, &[id::STORAGE, id::FRESH, 6, id::STRIDE, 0x21]),
    ];
    assert_eq!(results(&body, 4458), expected);
    // Without a stride there is no place for a memory operand.
    let short = op(4457, &[id::MATRIX, id::FRESH, id::WORKGROUP, 6]);
    assert!(conform(&module(&[short])).is_err());
}

#[test]
fn operands_that_are_there_stay() {
    // Volatile and aligned to 4; made visible to the workgroup, whose scope is constant 6.
    let body = [
        op(61, &[id::WORD, id::FRESH, id::WORKGROUP, 0x3, 4]),
        op(61, &[id::WORD, id::FRESH + 1, id::WORKGROUP, 0x30, 6]),
    ];
    let expected = [op(61, &[id::WORD, id::FRESH, id::WORKGROUP, 0x23, 4]), body[1].clone()];
    assert_eq!(results(&body, 61), expected);
}

#[test]
fn pointers_are_followed() {
    for opcode in [65, 66, 83] {
        let to = id::FRESH;
        let body = [
            op(opcode, &[id::POINTER_TO_WORKGROUP, to, id::WORKGROUP]),
            op(61, &[id::WORD, to + 1, to]),
        ];
        assert_eq!(results(&body, 61), [op(61, &[id::WORD, to + 1, to, 0x20])], "{opcode}");
    }
    let to = id::FRESH;
    let body = [
        op(253, &[]),
        op(56, &[]),
        op(54, &[id::VOID, to + 1, 0, 3]),
        op(55, &[id::POINTER_TO_WORKGROUP, to]),
        op(248, &[to + 2]),
        op(62, &[to, id::STRIDE]),
    ];
    assert_eq!(results(&body, 62), [op(62, &[to, id::STRIDE, 0x20])]);
}

#[test]
fn barriers_make_available_and_visible() {
    let barrier = op(224, &[6, 6, id::SEMANTICS]);
    let body = [barrier.clone(), op(225, &[6, id::SEMANTICS]), barrier];
    // One constant more, after the old one, for all of them.
    let new = HEAD[3];
    assert_eq!(results(&body, 224), vec![op(224, &[6, 6, new]); 2]);
    assert_eq!(results(&body, 225), [op(225, &[6, new])]);
    let constants = results(&body, 43);
    assert_eq!(constants.len(), 4);
    assert_eq!(constants[1], op(43, &[id::WORD, id::SEMANTICS, 0x108]));
    assert_eq!(constants[2], op(43, &[id::WORD, new, 0x6108]));
    let once = conform(&module(&body)).expect("all is understood");
    assert_eq!(once[3], new + 1);
    assert_eq!(conform(&once).expect("all is understood"), once);
}

#[test]
fn barriers_that_order_nothing_stay() {
    let words = module_of(VULKAN, 0, &[op(224, &[6, 6, id::SEMANTICS])]);
    assert_eq!(conform(&words), Ok(words));
}

#[test]
fn the_former_memory_model_stays() {
    let body =
        [op(61, &[id::WORD, id::FRESH, id::WORKGROUP]), op(63, &[id::WORKGROUP, id::STORAGE])];
    let words = module_of(1, 0x108, &body);
    assert_eq!(conform(&words), Ok(words));
}

#[test]
fn what_is_not_understood_is_refused() {
    let fresh = id::FRESH;
    let pointer = id::POINTER_TO_WORKGROUP;
    for (what, body) in [
        ("a copy of memory", vec![op(63, &[id::WORKGROUP, id::STORAGE])]),
        ("a sized copy of memory", vec![op(64, &[id::WORKGROUP, id::STORAGE, id::STRIDE])]),
        ("an atomic", vec![op(234, &[id::WORD, fresh, id::WORKGROUP, 6, id::SEMANTICS, 6])]),
        ("arithmetic of pointers", vec![op(67, &[pointer, fresh, id::WORKGROUP, 6])]),
        ("a choice of pointers", vec![op(169, &[pointer, fresh, 6, id::WORKGROUP, id::WORKGROUP])]),
        ("a pointer by block", vec![op(245, &[pointer, fresh, id::WORKGROUP, 8])]),
        ("a pointer out of memory", vec![op(61, &[pointer, fresh, id::PRIVATE])]),
        ("a pointer from nowhere", vec![op(61, &[id::WORD, fresh, fresh + 1])]),
        ("semantics from nowhere", vec![op(224, &[6, 6, fresh])]),
        ("an id beyond the bound", vec![op(61, &[id::WORD, fresh, HEAD[3]])]),
        ("an instruction of none", vec![op(9999, &[])]),
        ("a short load", vec![op(61, &[id::WORD, fresh])]),
        ("a short barrier", vec![op(224, &[6])]),
        ("storage class", vec![op(32, &[fresh, 5349, id::WORD])]),
        ("a buffer as a uniform", vec![op(71, &[fresh, 3])]),
        ("instructions of OpenCL", vec![op(11, &[fresh, 0x6e65_704f, 0x732e_4c43, 0x0000_6474])]),
        ("a fraction through a pointer", vec![op(12, &[id::WORD, fresh, fresh, 35, fresh, fresh])]),
    ] {
        let error = conform(&module(&body)).expect_err(what);
        assert!(error.starts_with("SPIR-V instruction"), "{what}: {error}");
    }
    for semantics in [0x102, 0x104, 0x110, 0x8] {
        let words = module_of(VULKAN, semantics, &[op(225, &[6, id::SEMANTICS])]);
        assert!(conform(&words).is_err(), "{semantics:#x}");
    }
    let error = conform(&module_of(2, 0x108, &[])).expect_err("OpenCL's memory model");
    assert!(error.contains("memory model 2"), "{error}");
}

#[test]
fn words_that_are_no_module_are_refused() {
    let body = [op(61, &[id::WORD, id::FRESH, id::WORKGROUP]), op(224, &[6, 6, id::SEMANTICS])];
    let words = module(&body);
    // Cut within an instruction, or before the memory model.
    let mut boundaries = vec![5];
    while let Some(&first) = words.get(boundaries[boundaries.len() - 1]) {
        boundaries.push(boundaries[boundaries.len() - 1] + (first >> 16) as usize);
    }
    for len in 0..words.len() {
        let is_whole = boundaries[2..].contains(&len);
        assert_eq!(conform(&words[..len]).is_ok(), is_whole, "{len}");
    }
    // A length of none, one beyond the end, and other magic.
    for (place, word) in [(5, 17), (5, 0xffff_0011), (0, 0x0302_2307)] {
        let mut words = words.clone();
        words[place] = word;
        assert!(conform(&words).is_err(), "{place}");
    }
    // Whatever a word is, there is an answer.
    for place in 0..words.len() {
        for word in [0, 1, 12, HEAD[3], 0x0001_0000, 0x0003_000b, 0xffff_ffff, words[place] ^ 1] {
            let mut words = words.clone();
            words[place] = word;
            let _ = conform(&words);
        }
    }
    // The last id.
    let mut words = words;
    words[3] = u32::MAX;
    assert!(conform(&words).is_err());
}
