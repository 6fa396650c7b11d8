//! The executor that computes on the processor's cores.
//!
//! A network's plan is lowered when it is prepared: neighbouring steps are fused and maps between them lie channels
//! last. Other plans run step by step.

mod arena;
mod fused;
mod lower;

use std::collections::HashMap;
use std::mem;

use askem_kernels::{Arg, ArgMut, Element, SIGNATURES};

use crate::compute::device::checks;
use crate::compute::executor::{Executor, PlanId};
use crate::compute::plan::{self, BufferId, Plan, Step, Storage, View};
use crate::error::{Error, Result};
use arena::carve;
use fused::Context;
use lower::{Lowered, Op};

/// Runs plans with the fast CPU forms of the kernels, on threads of its own.
///
/// All memory is `f32`; a buffer of `u32` is a view of the same words.
#[derive(Debug)]
pub struct CpuExecutor {
    pool: rayon::ThreadPool,
    /// Indices into `shared` by name.
    names: HashMap<String, usize>,
    shared: Vec<Vec<f32>>,
    /// How often each shared buffer has changed.
    changes: Vec<u64>,
    plans: Vec<Option<Prepared>>,
}

#[derive(Debug)]
struct Prepared {
    plan: Plan,
    /// The home of every buffer of the plan; `None` where no step uses a transient one.
    places: Vec<Option<Place>>,
    slots: Vec<Vec<f32>>,
    lowered: Option<Network>,
    /// Shared buffers that running the plan changes.
    changed: Vec<usize>,
}

/// A plan that is a network, with the memory of its maps.
#[derive(Debug)]
struct Network {
    plan: Lowered,
    arena: Vec<f32>,
    /// Whether the image has changed since the last run.
    image_changed: bool,
    /// The weights' changes at the last run.
    weights: Option<u64>,
}

/// What has not changed since the last run of a plan.
#[derive(Clone, Copy, Debug)]
struct Versions {
    image: bool,
    weights: bool,
}

/// Where a buffer's memory is.
#[derive(Clone, Copy, Debug)]
enum Place {
    Shared(usize),
    Slot(usize),
}

/// The most buffers that any pass reads or writes.
const MAX_READS: usize = most(false);
const MAX_WRITES: usize = most(true);

const fn most(writes: bool) -> usize {
    let (mut i, mut most) = (0, 0);
    while i < SIGNATURES.len() {
        let n = if writes { SIGNATURES[i].writes.len() } else { SIGNATURES[i].reads.len() };
        if n > most {
            most = n;
        }
        i += 1;
    }
    most
}

impl CpuExecutor {
    /// An executor with so many threads; `None` takes as many as the processor runs at once.
    ///
    /// # Errors
    /// If the system refuses the threads.
    pub fn new(threads: Option<usize>) -> Result<Self> {
        let threads = threads.unwrap_or(0);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("askem-{i}"))
            .build()
            .map_err(|error| Error::Device(format!("cannot start {threads} threads: {error}")))?;
        Ok(Self {
            pool,
            names: HashMap::new(),
            shared: Vec::new(),
            changes: Vec::new(),
            plans: Vec::new(),
        })
    }

    fn prepared(&self, id: PlanId) -> &Prepared {
        self.plans[id.0].as_ref().expect("the plan is not released")
    }

    /// The memory of a buffer that the host may touch, cut to `len` elements.
    fn host_slice(&mut self, id: PlanId, buffer: BufferId, len: usize) -> Result<&mut [f32]> {
        let prepared = self.plans[id.0].as_mut().expect("the plan is not released");
        checks::host_access(&prepared.plan, buffer, len)?;
        let memory = match prepared.places[buffer.index()] {
            Some(Place::Shared(i)) => &mut self.shared[i],
            Some(Place::Slot(i)) => &mut prepared.slots[i],
            None => unreachable!("only transient buffers have no place"),
        };
        Ok(&mut memory[..len])
    }
}

impl Executor for CpuExecutor {
    fn name(&self) -> String {
        match self.pool.current_num_threads() {
            1 => "cpu (1 thread)".into(),
            n => format!("cpu ({n} threads)"),
        }
    }

    fn memory(&self, plan: &Plan) -> plan::Memory {
        needed(plan, lower::lower(plan).as_ref())
    }

    fn prepare(&mut self, plan: Plan) -> Result<PlanId> {
        let lowered = lower::lower(&plan);
        let memory = needed(&plan, lowered.as_ref());
        let refuse = || {
            Error::Device(format!(
                "{}: {} MiB of memory are not available; a smaller batch or patch needs less",
                plan.name,
                (memory.own + memory.shared) >> 20
            ))
        };
        // Only asks; the zeroed pages below cost nothing until they are used.
        Vec::<u8>::new().try_reserve_exact(memory.own + memory.shared).map_err(|_| refuse())?;
        let mut places = Vec::with_capacity(plan.buffers.len());
        for buffer in &plan.buffers {
            places.push(match buffer.storage {
                Storage::Shared => match self.names.get(&buffer.name) {
                    Some(&i) => {
                        checks::same_length(&plan, &buffer.name, buffer.len, self.shared[i].len())?;
                        Some(Place::Shared(i))
                    }
                    None => {
                        self.names.insert(buffer.name.clone(), self.shared.len());
                        self.shared.push(vec![0.0; buffer.len]);
                        self.changes.push(0);
                        Some(Place::Shared(self.shared.len() - 1))
                    }
                },
                Storage::Kept | Storage::Transient => buffer.slot.map(Place::Slot),
            });
        }
        let slots = slot_sizes(&plan, lowered.as_ref()).into_iter().map(|len| vec![0.0; len]);
        let slots = slots.collect();
        let network = lowered.map(|plan| Network {
            arena: vec![0.0; plan.places.len],
            plan,
            image_changed: true,
            weights: None,
        });
        let mut changed: Vec<usize> = Vec::new();
        for write in plan.sections.iter().flat_map(|s| &s.steps).flat_map(|step| &step.writes) {
            if let Some(Place::Shared(i)) = places[write.buffer.index()]
                && !changed.contains(&i)
            {
                changed.push(i);
            }
        }
        self.plans.push(Some(Prepared { plan, places, slots, lowered: network, changed }));
        Ok(PlanId(self.plans.len() - 1))
    }

    fn plan(&self, id: PlanId) -> &Plan {
        &self.prepared(id).plan
    }

    fn release(&mut self, id: PlanId) {
        let Self { names, shared, plans, .. } = self;
        plans[id.0] = None;
        names.retain(|name, &mut i| {
            let stays = plans.iter().flatten().any(|prepared| prepared.plan.shares(name));
            if !stays {
                shared[i] = Vec::new();
            }
            stays
        });
    }

    fn write(&mut self, id: PlanId, buffer: BufferId, data: &[u32]) -> Result<()> {
        let memory = self.host_slice(id, buffer, data.len())?;
        bytemuck::cast_slice_mut(memory).copy_from_slice(data);
        let prepared = self.plans[id.0].as_mut().expect("the plan is not released");
        match prepared.places[buffer.index()] {
            Some(Place::Shared(i)) => self.changes[i] += 1,
            _ => {
                if let Some(network) = &mut prepared.lowered
                    && network.plan.image == Some(buffer)
                {
                    network.image_changed = true;
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, id: PlanId, buffer: BufferId, data: &mut [u32]) -> Result<()> {
        let memory = self.host_slice(id, buffer, data.len())?;
        data.copy_from_slice(bytemuck::cast_slice(memory));
        Ok(())
    }

    fn run(&mut self, id: PlanId, section: &str) -> Result<()> {
        let Self { pool, shared, changes, plans, .. } = self;
        let Prepared { plan, places, slots, lowered, changed } =
            plans[id.0].as_mut().expect("the plan is not released");
        let steps = checks::section(plan, section)?;
        let result = match lowered {
            None => pool.install(|| {
                let mut run = |step| run_step(step, places, shared, slots);
                steps.steps.iter().try_for_each(&mut run)
            }),
            Some(network) => {
                let index = plan.sections.iter().position(|s| s.name == section);
                let mut memory = Memory { places, shared, slots };
                pool.install(|| network.run(index.expect("checked above"), changes, &mut memory))
            }
        };
        for &i in &*changed {
            changes[i] += 1;
        }
        result
    }

    fn threads(&self) -> Option<&rayon::ThreadPool> {
        Some(&self.pool)
    }
}

impl Network {
    fn run(&mut self, section: usize, changes: &[u64], memory: &mut Memory<'_>) -> Result<()> {
        let version = self.plan.weights.iter().map(|&buffer| match memory.places[buffer.index()] {
            Some(Place::Shared(i)) => changes[i],
            _ => 0,
        });
        let version = version.sum();
        let ops = &self.plan.sections[section];
        let fresh = Versions { image: !self.image_changed, weights: self.weights == Some(version) };
        let mut ran = false;
        for op in ops {
            match op {
                Op::Plain(step) => run_step(step, memory.places, memory.shared, memory.slots)?,
                Op::Fused(fused) => {
                    ran = true;
                    let (arena, places) = (&mut self.arena[..], &self.plan.places);
                    fused.run(&mut Context { arena, places, memory, fresh });
                }
            }
        }
        if ran {
            (self.image_changed, self.weights) = (false, Some(version));
        }
        Ok(())
    }
}

/// The plan's buffers, as fused steps see them.
struct Memory<'a> {
    places: &'a [Option<Place>],
    shared: &'a mut [Vec<f32>],
    slots: &'a mut [Vec<f32>],
}

impl Memory<'_> {
    /// What a view shows.
    fn read(&self, view: View) -> &[f32] {
        let words = match self.places[view.buffer.index()] {
            Some(Place::Shared(i)) => &self.shared[i],
            Some(Place::Slot(i)) => &self.slots[i],
            None => unreachable!("a buffer that a step uses has a place"),
        };
        &words[view.offset..view.offset + view.len]
    }

    /// Lets `act` write views of one buffer, and read all others.
    fn write<const N: usize>(
        &mut self,
        views: [View; N],
        act: impl FnOnce(&Memory<'_>, [&mut [f32]; N]),
    ) {
        let buffer = views[0].buffer;
        assert!(views.iter().all(|view| view.buffer == buffer), "views of one buffer");
        let place = self.places[buffer.index()];
        let mut taken = mem::take(memory(place, self.shared, self.slots));
        act(self, carve(&mut taken, views.map(|view| view.offset..view.offset + view.len)));
        *memory(place, self.shared, self.slots) = taken;
    }
}

/// Bytes of a plan that runs like this.
fn needed(plan: &Plan, lowered: Option<&Lowered>) -> plan::Memory {
    let arena = lowered.map_or(0, |lowered| lowered.places.len);
    let own = slot_sizes(plan, lowered).iter().sum::<usize>() + arena;
    plan::Memory { own: own * 4, ..plan.memory() }
}

/// Elements of each slot: none where only fused steps would have used it.
fn slot_sizes(plan: &Plan, lowered: Option<&Lowered>) -> Vec<usize> {
    let Some(lowered) = lowered else { return plan.slots.clone() };
    let used = lower::used_buffers(&lowered.sections, plan.buffers.len());
    let mut sizes = vec![0; plan.slots.len()];
    for (buffer, used) in plan.buffers.iter().zip(used) {
        if let Some(slot) = buffer.slot
            && (used || buffer.storage == Storage::Kept)
        {
            sizes[slot] = sizes[slot].max(buffer.len);
        }
    }
    sizes
}

fn memory<'a>(
    place: Option<Place>,
    shared: &'a mut [Vec<f32>],
    slots: &'a mut [Vec<f32>],
) -> &'a mut Vec<f32> {
    match place.expect("a buffer that a step uses has a place") {
        Place::Shared(i) => &mut shared[i],
        Place::Slot(i) => &mut slots[i],
    }
}

fn run_step(
    step: &Step,
    places: &[Option<Place>],
    shared: &mut [Vec<f32>],
    slots: &mut [Vec<f32>],
) -> Result<()> {
    let signature = step.call.signature();
    let (n_reads, n_writes) = (step.reads.len(), step.writes.len());
    // A buffer belongs to the first write into it.
    let owns = |i: usize| step.writes[..i].iter().all(|v| v.buffer != step.writes[i].buffer);
    // The written buffers leave the storage, so that the others can be borrowed for reading.
    let mut taken: [Vec<f32>; MAX_WRITES] = Default::default();
    for i in (0..n_writes).filter(|&i| owns(i)) {
        taken[i] = mem::take(memory(places[step.writes[i].buffer.index()], shared, slots));
    }

    let mut reads = [Arg::Float(&[]); MAX_READS];
    for (i, view) in step.reads.iter().enumerate() {
        let words = match places[view.buffer.index()] {
            Some(Place::Shared(place)) => &shared[place],
            Some(Place::Slot(place)) => &slots[place],
            None => unreachable!("a buffer that a step uses has a place"),
        };
        let words = &words[view.offset..view.offset + view.len];
        reads[i] = match signature.reads[i].1 {
            Element::Float => Arg::Float(words),
            Element::Uint => Arg::Uint(bytemuck::cast_slice(words)),
        };
    }

    let mut writes: [ArgMut<'_, f32>; MAX_WRITES] = std::array::from_fn(|_| ArgMut::Float(&mut []));
    for (first, buffer) in taken.iter_mut().enumerate().take(n_writes).filter(|&(i, _)| owns(i)) {
        // Several writes into one buffer are cut off it in ascending order. One that overlaps
        // its neighbour stays empty, and the kernel refuses it.
        let (mut rest, mut cut) = (buffer.as_mut_slice(), 0);
        let home = step.writes[first].buffer;
        let next = |cut: usize| {
            (0..n_writes)
                .filter(|&i| step.writes[i].buffer == home && step.writes[i].offset >= cut)
                .min_by_key(|&i| step.writes[i].offset)
        };
        while let Some(i) = next(cut) {
            let view = step.writes[i];
            let (_, tail) = rest.split_at_mut(view.offset - cut);
            let (words, tail) = tail.split_at_mut(view.len);
            (rest, cut) = (tail, view.offset + view.len.max(1));
            writes[i] = match signature.writes[i].1 {
                Element::Float => ArgMut::Float(words),
                Element::Uint => ArgMut::Uint(bytemuck::cast_slice_mut(words)),
            };
        }
    }

    let result = step.call.fast(&reads[..n_reads], &mut writes[..n_writes]);
    for i in (0..n_writes).filter(|&i| owns(i)) {
        *memory(places[step.writes[i].buffer.index()], shared, slots) = mem::take(&mut taken[i]);
    }
    Ok(result?)
}
