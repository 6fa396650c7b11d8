//! A computation as data: steps over named buffers, with one memory plan.
//!
//! A [`Plan`] lists calls of kernels in order. It is built once for fixed shapes and
//! run many times by an [`Executor`](crate::compute::executor::Executor). Buffers that are never needed at the
//! same time share a slot of memory.

use askem_kernels::{Call, Element};

/// One buffer of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BufferId(u32);

impl BufferId {
    /// The position in [`Plan::buffers`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a buffer lives and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Belongs to the executor: all plans that name it share it, and it lasts as long as one of them. Starts as zeros.
    Shared,
    /// Written by the host before a run, or read by it after one, or carried from one run to
    /// the next. Starts as zeros.
    Kept,
    /// Needed between its first write and its last read within one run.
    Transient,
}

/// What a plan knows of a buffer.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// The name; identifies shared buffers across plans.
    pub name: String,
    /// Elements, four bytes each.
    pub len: usize,
    /// What it holds.
    pub element: Element,
    /// Where it lives.
    pub storage: Storage,
    /// The slot of a kept or transient buffer, an index into [`Plan::slots`].
    pub slot: Option<usize>,
}

/// A contiguous part of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The buffer.
    pub buffer: BufferId,
    /// First element. A multiple of [`ALIGNMENT`] unless it is 0.
    pub offset: usize,
    /// Number of elements.
    pub len: usize,
}

/// Views start at multiples of so many elements: devices bind at multiples of 256 bytes.
pub const ALIGNMENT: usize = 64;

/// One call with its buffers.
#[derive(Clone, Debug)]
pub struct Step {
    /// The pass and its parameters.
    pub call: Call,
    /// In the order of the pass's signature.
    pub reads: Vec<View>,
    /// In the order of the pass's signature.
    pub writes: Vec<View>,
}

/// Steps that run together, under a name.
#[derive(Clone, Debug)]
pub struct Section {
    /// What to ask the executor for.
    pub name: &'static str,
    /// In order.
    pub steps: Vec<Step>,
}

/// A computation for fixed shapes. Made by [`PlanBuilder`].
#[derive(Clone, Debug)]
pub struct Plan {
    /// For messages and labels.
    pub name: String,
    /// All buffers.
    pub buffers: Vec<Buffer>,
    /// In the order in which they were opened.
    pub sections: Vec<Section>,
    /// Elements of each slot.
    pub slots: Vec<usize>,
}

/// Bytes that a plan needs on its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Buffers shared with other plans.
    pub shared: usize,
    /// The plan's own slots.
    pub own: usize,
}

impl Plan {
    /// Bytes that the plan needs, known before anything is allocated.
    pub fn memory(&self) -> Memory {
        let shared =
            self.buffers.iter().filter(|b| b.storage == Storage::Shared).map(|b| b.len * 4).sum();
        Memory { shared, own: self.slots.iter().sum::<usize>() * 4 }
    }

    /// A builder with the plan's buffers and no sections, and the sections, whose steps are to be written anew.
    pub fn take_apart(self) -> (PlanBuilder, Vec<Section>) {
        let Self { name, mut buffers, sections, .. } = self;
        buffers.iter_mut().for_each(|buffer| buffer.slot = None);
        (PlanBuilder { name, buffers, sections: Vec::new() }, sections)
    }

    /// The section with this name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|s| s.name == name)
    }

    /// Whether it names this shared buffer.
    pub fn shares(&self, name: &str) -> bool {
        self.buffers.iter().any(|b| b.storage == Storage::Shared && b.name == name)
    }

    /// Bytes of the largest single buffer, which a device's binding limit must hold.
    pub fn largest_buffer(&self) -> usize {
        let shared = self.buffers.iter().map(|b| b.len).max().unwrap_or(0);
        shared.max(self.slots.iter().copied().max().unwrap_or(0)) * 4
    }
}

/// Collects buffers and steps, checks them, and plans the memory.
#[derive(Debug)]
pub struct PlanBuilder {
    name: String,
    buffers: Vec<Buffer>,
    sections: Vec<Section>,
}

impl PlanBuilder {
    /// An empty plan with one open section.
    pub fn new(name: impl Into<String>, first_section: &'static str) -> Self {
        Self {
            name: name.into(),
            buffers: Vec::new(),
            sections: vec![Section { name: first_section, steps: Vec::new() }],
        }
    }

    /// Where a buffer lives and for how long.
    pub fn storage(&self, buffer: BufferId) -> Storage {
        self.buffers[buffer.index()].storage
    }

    /// Opens a new section; later steps go there.
    pub fn section(&mut self, name: &'static str) {
        self.sections.push(Section { name, steps: Vec::new() });
    }

    fn buffer(&mut self, name: String, len: usize, element: Element, storage: Storage) -> View {
        let id = BufferId(u32::try_from(self.buffers.len()).expect("fewer than 2^32 buffers"));
        self.buffers.push(Buffer { name, len, element, storage, slot: None });
        View { buffer: id, offset: 0, len }
    }

    /// A float buffer that plans share, the same one each time its name is given.
    pub fn shared(&mut self, name: &str, len: usize) -> View {
        self.shared_of(name, len, Element::Float)
    }

    /// The same with `u32` elements.
    pub fn shared_uint(&mut self, name: &str, len: usize) -> View {
        self.shared_of(name, len, Element::Uint)
    }

    fn shared_of(&mut self, name: &str, len: usize, element: Element) -> View {
        let found =
            self.buffers.iter().position(|b| b.storage == Storage::Shared && b.name == name);
        match found {
            Some(i) => {
                assert_eq!(self.buffers[i].len, len, "shared buffer {name} has one length");
                View { buffer: BufferId(i as u32), offset: 0, len }
            }
            None => self.buffer(name.into(), len, element, Storage::Shared),
        }
    }

    /// A float buffer that the host writes or reads, or that lasts from run to run.
    pub fn kept(&mut self, name: &str, len: usize) -> View {
        self.buffer(name.into(), len, Element::Float, Storage::Kept)
    }

    /// The same with `u32` elements.
    pub fn kept_uint(&mut self, name: &str, len: usize) -> View {
        self.buffer(name.into(), len, Element::Uint, Storage::Kept)
    }

    /// A float buffer that is needed only within a run.
    pub fn transient(&mut self, name: impl Into<String>, len: usize) -> View {
        self.buffer(name.into(), len, Element::Float, Storage::Transient)
    }

    /// The same with `u32` elements.
    pub fn transient_uint(&mut self, name: impl Into<String>, len: usize) -> View {
        self.buffer(name.into(), len, Element::Uint, Storage::Transient)
    }

    /// Appends a call to the open section.
    ///
    /// # Panics
    /// If the views do not fit the call's signature: a mistake of whoever builds the plan.
    pub fn step(&mut self, call: Call, reads: &[View], writes: &[View]) {
        let signature = call.signature();
        for (given, wanted) in [(reads, signature.reads), (writes, signature.writes)] {
            assert_eq!(given.len(), wanted.len(), "{}: number of buffers", signature.name);
            for (view, &(name, element)) in given.iter().zip(wanted) {
                let buffer = &self.buffers[view.buffer.index()];
                let place = format!("{}: {name} = {}", signature.name, buffer.name);
                assert_eq!(view.len, call.len(name), "{place}: elements");
                assert_eq!(buffer.element, element, "{place}: type");
                assert!(view.offset + view.len <= buffer.len, "{place}: within the buffer");
                assert_eq!(view.offset % ALIGNMENT, 0, "{place}: alignment");
            }
        }
        for write in writes {
            assert!(
                reads.iter().all(|read| read.buffer != write.buffer),
                "{}: a buffer is read and written in one call",
                signature.name
            );
        }
        if let Err(error) = call.validate() {
            panic!("{error}");
        }
        let section = self.sections.last_mut().expect("a section is open");
        section.steps.push(Step { call, reads: reads.to_vec(), writes: writes.to_vec() });
    }

    /// Plans the memory and returns the finished plan.
    pub fn build(mut self) -> Plan {
        let slots = self.assign_slots();
        Plan { name: self.name, buffers: self.buffers, sections: self.sections, slots }
    }

    /// Gives every kept buffer a slot of its own, and transient ones a slot that is free
    /// from their first to their last use; the best-fitting one, so that the arena stays small.
    fn assign_slots(&mut self) -> Vec<usize> {
        let mut first = vec![usize::MAX; self.buffers.len()];
        let mut last = vec![0; self.buffers.len()];
        let mut home = vec![None; self.buffers.len()];
        let mut crosses = vec![false; self.buffers.len()];
        let steps: Vec<(usize, Vec<usize>)> = self
            .sections
            .iter()
            .enumerate()
            .flat_map(|(s, section)| {
                section.steps.iter().map(move |step| {
                    let used = step.reads.iter().chain(&step.writes);
                    (s, used.map(|v| v.buffer.index()).collect())
                })
            })
            .collect();
        for (time, (section, used)) in steps.iter().enumerate() {
            for &b in used {
                first[b] = first[b].min(time);
                last[b] = time;
                crosses[b] |= *home[b].get_or_insert(*section) != *section;
            }
        }
        let mut slots: Vec<usize> = Vec::new();
        for (b, buffer) in self.buffers.iter_mut().enumerate() {
            let own = match buffer.storage {
                Storage::Shared => false,
                Storage::Kept => true,
                Storage::Transient => crosses[b],
            };
            if own {
                buffer.slot = Some(slots.len());
                slots.push(buffer.len);
            }
        }
        let mut free: Vec<usize> = Vec::new();
        for (time, (_, used)) in steps.iter().enumerate() {
            for &b in used {
                let buffer = &mut self.buffers[b];
                if buffer.storage == Storage::Shared || buffer.slot.is_some() {
                    continue;
                }
                // The smallest free slot that is large enough, else the largest one, grown.
                let best = (0..free.len()).min_by_key(|&i| {
                    let size = slots[free[i]];
                    (size < buffer.len, size.abs_diff(buffer.len))
                });
                let slot = match best {
                    Some(i) => free.swap_remove(i),
                    None => {
                        slots.push(0);
                        slots.len() - 1
                    }
                };
                slots[slot] = slots[slot].max(buffer.len);
                buffer.slot = Some(slot);
            }
            for (i, &b) in used.iter().enumerate() {
                let buffer = &self.buffers[b];
                let transient = buffer.storage == Storage::Transient && !crosses[b];
                if transient && last[b] == time && !used[..i].contains(&b) {
                    free.push(buffer.slot.expect("assigned at its first use"));
                }
            }
        }
        slots
    }
}
