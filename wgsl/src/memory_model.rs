//! SPIR-V that keeps to the memory model which it declares.
//!
//! naga 30 declares Vulkan's memory model in modules with cooperative matrices, and writes the rest
//! as for the model before it (gfx-rs/wgpu#8805): accesses to memory are private to an invocation,
//! and barriers make nothing available or visible. A driver that takes such a module by its word
//! may let an invocation read old numbers after a barrier. [`conform`] writes into the module what
//! its shader means:
//! - accesses to workgroup memory and to storage buffers are not private (`NonPrivatePointer`);
//! - a barrier makes what was written before it available, and visible to what follows
//!   (`MakeAvailable`, `MakeVisible`).
//!
//! The numbers are those of the SPIR-V specification 1.6 and of `SPV_KHR_cooperative_matrix`.

use std::borrow::Cow;
use std::collections::HashMap;

const MAGIC: u32 = 0x0723_0203;
/// Magic number, version, generator, bound of the ids, zero.
const HEAD: usize = 5;
const BOUND: usize = 3;

mod op {
    pub(super) const EXT_INST_IMPORT: u32 = 11;
    pub(super) const EXT_INST: u32 = 12;
    pub(super) const MEMORY_MODEL: u32 = 14;
    pub(super) const TYPE_INT: u32 = 21;
    pub(super) const TYPE_POINTER: u32 = 32;
    pub(super) const CONSTANT: u32 = 43;
    pub(super) const FUNCTION_PARAMETER: u32 = 55;
    pub(super) const VARIABLE: u32 = 59;
    pub(super) const LOAD: u32 = 61;
    pub(super) const STORE: u32 = 62;
    pub(super) const ACCESS_CHAIN: u32 = 65;
    pub(super) const IN_BOUNDS_ACCESS_CHAIN: u32 = 66;
    pub(super) const DECORATE: u32 = 71;
    pub(super) const COPY_OBJECT: u32 = 83;
    pub(super) const CONTROL_BARRIER: u32 = 224;
    pub(super) const MEMORY_BARRIER: u32 = 225;
    pub(super) const COOPERATIVE_MATRIX_LOAD: u32 = 4457;
    pub(super) const COOPERATIVE_MATRIX_STORE: u32 = 4458;
}

const GLSL450: u32 = 1;
const VULKAN: u32 = 3;

/// A memory operand.
const NON_PRIVATE_POINTER: u32 = 0x20;
/// Memory semantics.
const ACQUIRE_RELEASE: u32 = 0x8;
const ORDERS: u32 = 0x1e;
const STORAGE_CLASSES: u32 = 0x1fc0;
const MAKE_AVAILABLE_AND_VISIBLE: u32 = 0x2000 | 0x4000;

/// The decoration of storage buffers before SPIR-V 1.3, whose storage class was that of uniforms.
const BUFFER_BLOCK: u32 = 3;
/// The extended instructions that naga uses, and those of them that reach memory: `Modf`, `Frexp`
/// and interpolation.
const GLSL_INSTRUCTIONS: &[u8] = b"GLSL.std.450";
const THROUGH_POINTERS: [u32; 5] = [35, 51, 76, 77, 78];

/// What an instruction has to do with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing, and its result, if it has one, is no value.
    Structure,
    /// Nothing, and it has a value, which may not be a pointer.
    Value,
    /// It passes on or makes what may be a pointer.
    Pointer,
    /// It reads or writes through a pointer in the word `pointer`; memory operands may begin at the
    /// word `operands`.
    Access { pointer: usize, operands: usize },
    /// It orders memory by the semantics in this word.
    Barrier { semantics: usize },
}

/// What instructions with this number do, if that is known. All that is not listed is refused:
/// copies of memory, atomics, images, pointers out of arithmetic and what comes in later versions.
fn kind(opcode: u32) -> Option<Kind> {
    Some(match opcode {
        op::LOAD => Kind::Access { pointer: 3, operands: 4 },
        op::STORE => Kind::Access { pointer: 1, operands: 3 },
        op::COOPERATIVE_MATRIX_LOAD => Kind::Access { pointer: 3, operands: 6 },
        op::COOPERATIVE_MATRIX_STORE => Kind::Access { pointer: 1, operands: 5 },
        op::CONTROL_BARRIER => Kind::Barrier { semantics: 3 },
        op::MEMORY_BARRIER => Kind::Barrier { semantics: 2 },
        op::VARIABLE
        | op::FUNCTION_PARAMETER
        | op::ACCESS_CHAIN
        | op::IN_BOUNDS_ACCESS_CHAIN
        | op::COPY_OBJECT => Kind::Pointer,
        // Names, the head of the module, decorations.
        0 | 2..=8 | 10 | 11 | 14..=17 | 71..=75 | 317 | 330..=332
        // Types.
        | 19..=30 | 32 | 33 | 4456
        // Functions, labels, branches.
        | 54 | 56 | 246..=255 => Kind::Structure,
        // Undefined values, constants, extended instructions, calls, lengths of arrays.
        1 | 12 | 41..=46 | 57 | 68
        // Parts of vectors and structs.
        | 77..=82 | 84 | 400
        // Conversions, arithmetic, comparisons, bits, values by the block that was left.
        | 109..=116 | 118 | 119 | 124 | 126..=152 | 154..=191 | 194..=205 | 245
        // Subgroups; products of cooperative matrices and their length.
        | 333..=366 | 4459 | 4460 => Kind::Value,
        _ => return None,
    })
}

/// Whether invocations share memory of a storage class and write to it; `None` for classes that are
/// not known here.
fn is_shared(class: u32) -> Option<bool> {
    match class {
        // Workgroup, StorageBuffer.
        4 | 12 => Some(true),
        // UniformConstant, Input, Uniform, Output, Private, Function, PushConstant.
        0..=3 | 6 | 7 | 9 => Some(false),
        _ => None,
    }
}

/// An instruction, with its place for messages.
#[derive(Clone, Copy)]
struct Instruction<'a> {
    words: &'a [u32],
    /// Words before it.
    place: usize,
    bound: u32,
}

impl Instruction<'_> {
    fn opcode(&self) -> u32 {
        self.words[0] & 0xffff
    }

    fn error(&self, what: &str) -> String {
        format!("SPIR-V instruction {} at word {}: {what}", self.opcode(), self.place)
    }

    /// A word after the first.
    fn operand(&self, index: usize) -> Result<u32, String> {
        let word = self.words.get(index).copied();
        word.ok_or_else(|| self.error("it ends before its operands do"))
    }

    /// A word that is an id.
    fn id(&self, index: usize) -> Result<u32, String> {
        let id = self.operand(index)?;
        if id == 0 || id >= self.bound {
            return Err(self.error(&format!("id {id} is not below the bound {}", self.bound)));
        }
        Ok(id)
    }

    /// The same instruction with one more memory operand in the mask at this word.
    fn with_memory_operand(&self, mask: usize, bit: u32) -> Result<Vec<u32>, String> {
        let mut words = self.words.to_vec();
        match words.len() {
            len if len > mask => words[mask] |= bit,
            len if len == mask => {
                words.push(bit);
                words[0] += 1 << 16;
            }
            _ => return Err(self.error("it ends before its memory operands could begin")),
        }
        Ok(words)
    }
}

/// The instructions of a module.
fn instructions(words: &[u32]) -> Result<Vec<Instruction<'_>>, String> {
    if words.len() < HEAD || words[0] != MAGIC {
        return Err(format!("{} words that are no SPIR-V module", words.len()));
    }
    let bound = words[BOUND];
    let mut found = Vec::new();
    let mut place = HEAD;
    while let Some(&first) = words.get(place) {
        let len = (first >> 16) as usize;
        let rest = &words[place..];
        if len == 0 || len > rest.len() {
            return Err(format!(
                "SPIR-V instruction {} at word {place} has {len} words of {} that are left",
                first & 0xffff,
                rest.len()
            ));
        }
        found.push(Instruction { words: &rest[..len], place, bound });
        place += len;
    }
    Ok(found)
}

/// What is known of a module's ids so far, and what is new.
#[derive(Default)]
struct Known {
    /// The storage classes of types of pointers.
    pointer_types: HashMap<u32, u32>,
    /// The storage classes of pointers.
    pointers: HashMap<u32, u32>,
    /// The types of integers of 32 bits.
    words: Vec<u32>,
    /// The constants of those types.
    constants: HashMap<u32, u32>,
    /// Constants that come after others, by the other's id, with their value.
    added: HashMap<u32, (u32, u32)>,
}

impl Known {
    /// Notes what an instruction says of its result.
    fn learn(&mut self, i: &Instruction<'_>, kind: Kind) -> Result<(), String> {
        match i.opcode() {
            op::TYPE_POINTER => {
                let class = i.operand(2)?;
                if is_shared(class).is_none() {
                    return Err(i.error(&format!("storage class {class} is not understood")));
                }
                self.pointer_types.insert(i.id(1)?, class);
            }
            op::TYPE_INT if i.operand(2)? == 32 => self.words.push(i.id(1)?),
            op::CONSTANT if self.words.contains(&i.id(1)?) => {
                self.constants.insert(i.id(2)?, i.operand(3)?);
            }
            op::DECORATE if i.operand(2)? == BUFFER_BLOCK => {
                return Err(i.error("a storage buffer in the storage class of uniforms"));
            }
            op::EXT_INST_IMPORT => {
                let name = i.words[1..].iter().skip(1).flat_map(|word| word.to_le_bytes());
                if !name.take_while(|&byte| byte != 0).eq(GLSL_INSTRUCTIONS.iter().copied()) {
                    return Err(i.error("extended instructions that are not understood"));
                }
            }
            op::EXT_INST if THROUGH_POINTERS.contains(&i.operand(4)?) => {
                return Err(i.error("an extended instruction that reaches memory"));
            }
            _ => {}
        }
        let is_load = matches!(i.opcode(), op::LOAD | op::COOPERATIVE_MATRIX_LOAD);
        let class = match kind {
            Kind::Pointer | Kind::Value => self.pointer_types.get(&i.id(1)?),
            Kind::Access { .. } if is_load => self.pointer_types.get(&i.id(1)?),
            _ => None,
        };
        match class {
            Some(&class) if kind == Kind::Pointer => {
                self.pointers.insert(i.id(2)?, class);
            }
            Some(_) => return Err(i.error("it makes a pointer in a way that is not understood")),
            None => {}
        }
        Ok(())
    }

    /// The instruction as the memory model wants it.
    fn rewrite<'a>(
        &mut self,
        i: &Instruction<'a>,
        kind: Kind,
        bound: &mut u32,
    ) -> Result<Cow<'a, [u32]>, String> {
        match kind {
            Kind::Access { pointer, operands } => {
                let class = self.pointers.get(&i.id(pointer)?);
                let class = class.ok_or_else(|| i.error("its pointer is of unknown origin"))?;
                if is_shared(*class) == Some(true) {
                    return Ok(i.with_memory_operand(operands, NON_PRIVATE_POINTER)?.into());
                }
            }
            Kind::Barrier { semantics } => {
                let id = i.id(semantics)?;
                let known = self.constants.get(&id);
                let value = *known.ok_or_else(|| i.error("its semantics are no known constant"))?;
                if value & ORDERS == 0
                    || value & MAKE_AVAILABLE_AND_VISIBLE == MAKE_AVAILABLE_AND_VISIBLE
                {
                    return Ok(i.words.into());
                }
                if value & ORDERS != ACQUIRE_RELEASE || value & STORAGE_CLASSES == 0 {
                    return Err(i.error(&format!("semantics {value:#x} are not understood")));
                }
                let value = value | MAKE_AVAILABLE_AND_VISIBLE;
                let added = match self.added.get(&id) {
                    Some(&(added, _)) => added,
                    None => {
                        let added = *bound;
                        *bound = added.checked_add(1).ok_or_else(|| i.error("no id is left"))?;
                        self.added.insert(id, (added, value));
                        added
                    }
                };
                let mut words = i.words.to_vec();
                words[semantics] = added;
                return Ok(words.into());
            }
            Kind::Structure | Kind::Value | Kind::Pointer => {}
        }
        Ok(i.words.into())
    }
}

/// A module that keeps to Vulkan's memory model if it declares it; a module of the model before it
/// comes back as it is. Applied twice it does no more than once.
///
/// # Errors
/// A text that names the instruction, if the words are no module of SPIR-V, or if something in it
/// may touch memory in a way that is not understood here.
pub fn conform(words: &[u32]) -> Result<Vec<u32>, String> {
    let instructions = instructions(words)?;
    let model = instructions.iter().find(|i| i.opcode() == op::MEMORY_MODEL);
    match model.ok_or("a SPIR-V module without a memory model")?.operand(2)? {
        GLSL450 => return Ok(words.to_vec()),
        VULKAN => {}
        other => return Err(format!("SPIR-V memory model {other} is not understood")),
    }
    let mut known = Known::default();
    let mut bound = words[BOUND];
    let mut rewritten = Vec::with_capacity(instructions.len());
    for i in &instructions {
        let kind = kind(i.opcode());
        let kind = kind.ok_or_else(|| i.error("what it does to memory is not understood"))?;
        known.learn(i, kind)?;
        rewritten.push(known.rewrite(i, kind, &mut bound)?);
    }
    let mut out = words[..HEAD].to_vec();
    out[BOUND] = bound;
    for (i, words) in instructions.iter().zip(rewritten) {
        out.extend_from_slice(&words);
        if i.opcode() != op::CONSTANT {
            continue;
        }
        if let Some(&(id, value)) = known.added.get(&i.id(2)?) {
            out.extend([4 << 16 | op::CONSTANT, words[1], id, value]);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
