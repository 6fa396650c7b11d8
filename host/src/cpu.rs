//! The executor that computes on the processor's cores.

use std::collections::HashMap;
use std::mem;

use askem_kernels::{Arg, ArgMut, Element, SIGNATURES};

use crate::device::checks;
use crate::error::{Error, Result};
use crate::executor::{Executor, PlanId};
use crate::plan::{BufferId, Plan, Step, Storage};

/// Runs plans with the fast CPU forms of the kernels, on threads of its own.
///
/// All memory is `f32`; a buffer of `u32` is a view of the same words.
#[derive(Debug)]
pub struct CpuExecutor {
    pool: rayon::ThreadPool,
    /// Indices into `shared` by name.
    names: HashMap<String, usize>,
    shared: Vec<Vec<f32>>,
    plans: Vec<Option<Prepared>>,
}

#[derive(Debug)]
struct Prepared {
    plan: Plan,
    /// The home of every buffer of the plan; `None` where no step uses a transient one.
    places: Vec<Option<Place>>,
    slots: Vec<Vec<f32>>,
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
        Ok(Self { pool, names: HashMap::new(), shared: Vec::new(), plans: Vec::new() })
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

    fn prepare(&mut self, plan: Plan) -> Result<PlanId> {
        let memory = plan.memory();
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
                        Some(Place::Shared(self.shared.len() - 1))
                    }
                },
                Storage::Kept | Storage::Transient => buffer.slot.map(Place::Slot),
            });
        }
        let slots = plan.slots.iter().map(|&len| vec![0.0; len]).collect();
        self.plans.push(Some(Prepared { plan, places, slots }));
        Ok(PlanId(self.plans.len() - 1))
    }

    fn plan(&self, id: PlanId) -> &Plan {
        &self.prepared(id).plan
    }

    fn release(&mut self, id: PlanId) {
        self.plans[id.0] = None;
    }

    fn write(&mut self, id: PlanId, buffer: BufferId, data: &[u32]) -> Result<()> {
        let memory = self.host_slice(id, buffer, data.len())?;
        bytemuck::cast_slice_mut(memory).copy_from_slice(data);
        Ok(())
    }

    fn read(&mut self, id: PlanId, buffer: BufferId, data: &mut [u32]) -> Result<()> {
        let memory = self.host_slice(id, buffer, data.len())?;
        data.copy_from_slice(bytemuck::cast_slice(memory));
        Ok(())
    }

    fn run(&mut self, id: PlanId, section: &str) -> Result<()> {
        let Self { pool, shared, plans, .. } = self;
        let Prepared { plan, places, slots } =
            plans[id.0].as_mut().expect("the plan is not released");
        let section = checks::section(plan, section)?;
        pool.install(|| {
            section.steps.iter().try_for_each(|step| run_step(step, places, shared, slots))
        })
    }

    fn threads(&self) -> Option<&rayon::ThreadPool> {
        Some(&self.pool)
    }
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
