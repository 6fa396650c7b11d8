//! The executor that computes on a GPU: all wgpu code of the project is below this module.

mod adapter;
mod agreement;
mod cache;
mod cards;
mod connection;
mod forms;
mod fuse;
mod halve;
mod left_out;
mod overrides;
mod pipelines;
mod profile;
mod readback;
mod self_test;
mod spirv;
#[cfg(test)]
mod tests;
mod trusted;
mod tuning;

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU64;
use std::sync::atomic::Ordering;

use askem_wgsl::launch_form;
use wgpu::{BindGroupEntry, BindingResource, BufferBinding, BufferUsages};

pub use adapter::{Adapter, adapters};
use connection::Connection;
pub use fuse::fuse;
pub use halve::halves;
use halve::{bytes_of, names_of_halves, slot_bytes};
use left_out::LeftOut;
use overrides::Overrides;
use pipelines::{Pass, Pipelines, Wanted};
pub use profile::{Peaks, StepTime};
use readback::Copy;
pub use tuning::{Choice, SlicesChoice, Tuning};

use crate::compute::device::{Cores, Warn, checks};
use crate::compute::executor::{Executor, PlanId, Reading, SCORE_BATCH};
use crate::compute::plan::{BufferId, Memory, Plan, Step, Storage, View};
use crate::compute::precision::Precision;
use crate::error::{Error, Result};

/// Refuses variables of the environment that make no sense, before a device is chosen: where one is chosen for the user, what they ask of
/// it must not pass for its fault.
///
/// # Errors
/// [`Error::Usage`] that says what is wrong with `ASKEM_FORMS` or `ASKEM_MEMORY_MODEL`.
pub(crate) fn check_environment() -> Result<()> {
    LeftOut::of_environment()?;
    spirv::is_wanted().map(drop)
}

/// Runs of a section that may wait on the device. More would only hold memory.
const MAX_IN_FLIGHT: usize = 3;

/// Patches per batch on hardware, which has many more cores than a processor and waits for the host after each. Where a batch does
/// not fit, [`Model`](crate::network::model::Model) takes smaller ones.
const HARDWARE_SCORE_BATCH: usize = 64;

/// Threads that read patches for hardware, at most: each reads and scales about a gigavoxel a second. One core is left to who feeds the
/// device.
const READING_THREADS: usize = 4;

/// Runs plans with the shaders of `askem-wgsl`.
#[derive(Debug)]
pub struct GpuExecutor {
    connection: Connection,
    precision: Precision,
    pipelines: Pipelines,
    shared: HashMap<String, wgpu::Buffer>,
    plans: Vec<Option<Prepared>>,
    /// Where results wait for the host, as far as it is free.
    staging: Vec<wgpu::Buffer>,
    /// Copies that nobody has waited for, with the elements and whether they are f16.
    copies: HashMap<u64, (Copy, usize, bool)>,
    next_copy: u64,
    is_software: bool,
    score_batch: usize,
    reading_threads: usize,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
    overrides: Overrides,
    /// Forms that are not in use.
    left_out: LeftOut,
    /// Who is told of those that turn out wrong.
    warn: Warn,
    /// What was measured of forms, where plans are tuned.
    tuning: Option<Tuning>,
}

#[derive(Debug)]
struct Prepared {
    plan: Plan,
    /// Whether a buffer holds f16.
    halves: Vec<bool>,
    /// The memory of every buffer of the plan; `None` where no step uses a transient one.
    buffers: Vec<Option<wgpu::Buffer>>,
    /// The dispatches of every section.
    sections: Vec<Vec<Dispatch>>,
}

/// A step as the device takes it.
#[derive(Clone, Debug)]
struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroup,
    workgroups: [u32; 3],
}

impl Dispatch {
    fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        let [x, y, z] = self.workgroups;
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bindings, &[]);
        pass.dispatch_workgroups(x, y, z);
    }
}

impl GpuExecutor {
    /// Opens an adapter.
    ///
    /// # Errors
    /// If it does not have the precision, or its driver refuses.
    pub fn new(adapter: &Adapter, precision: Precision) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (score_batch, reading_threads) = match adapter.is_software() {
            true => (SCORE_BATCH, 1),
            false => (HARDWARE_SCORE_BATCH, (cores - 1).clamp(1, READING_THREADS)),
        };
        let left_out = LeftOut::of_environment()?;
        let connection = Connection::open(adapter, precision)?;
        left_out.check(&connection.name, precision, connection.side)?;
        Ok(Self {
            connection,
            precision,
            pipelines: Pipelines::default(),
            shared: HashMap::new(),
            plans: Vec::new(),
            staging: Vec::new(),
            copies: HashMap::new(),
            next_copy: 0,
            is_software: adapter.is_software(),
            score_batch,
            reading_threads,
            in_flight: VecDeque::new(),
            overrides: Overrides::default(),
            left_out,
            warn: |_| {},
            tuning: None,
        })
    }

    /// Pipelines that were compiled since the device was opened.
    pub fn pipelines(&self) -> usize {
        self.pipelines.count()
    }

    /// Whether the driver computes on the processor.
    fn is_software(&self) -> bool {
        self.is_software
    }

    /// The cores that the device is taken to have.
    pub fn cores(&self) -> Cores {
        self.connection.cores
    }

    /// How many modules for matrix units went to the driver with what Vulkan's memory model wants in
    /// them, which wgpu's translation leaves out; none on other backends and where
    /// `ASKEM_MEMORY_MODEL` is `plain`.
    pub fn conforming_modules(&self) -> usize {
        self.connection.conforming_modules.load(Ordering::Relaxed)
    }

    /// Whether buffers of a plan hold f16.
    fn halves(&self, plan: &Plan) -> Vec<bool> {
        match self.precision {
            Precision::F32 => vec![false; plan.buffers.len()],
            Precision::F16 | Precision::Tensor => {
                let limits = &self.connection.limits;
                halves(plan, limits.min_storage_buffer_offset_alignment)
            }
        }
    }

    fn prepared(&self, id: PlanId) -> &Prepared {
        self.plans[id.0].as_ref().expect("the plan is not released")
    }

    /// A buffer that the host may touch.
    fn host_buffer(&self, id: PlanId, buffer: BufferId, len: usize) -> Result<&wgpu::Buffer> {
        let prepared = self.prepared(id);
        checks::host_access(&prepared.plan, buffer, len)?;
        let found = prepared.buffers[buffer.index()].as_ref();
        Ok(found.expect("only transient buffers have no memory"))
    }

    /// Refuses what the device cannot hold in one piece.
    fn check_limits(&self, plan: &Plan, halves: &[bool]) -> Result<()> {
        let limits = &self.connection.limits;
        let refuse = |what: &str, bytes: u64, limit: u64| {
            if bytes <= limit {
                return Ok(());
            }
            Err(Error::TooLarge(format!(
                "{}: `{what}` takes {} MiB where {} holds at most {} MiB in one buffer; cut the \
                 batch or the patch's area to {} % or less, or take --device cpu",
                plan.name,
                bytes.div_ceil(1 << 20),
                self.connection.name,
                limit >> 20,
                (limit as f64 / bytes as f64 * 100.0).floor()
            )))
        };
        for (buffer, &is_half) in plan.buffers.iter().zip(halves) {
            refuse(&buffer.name, bytes_of(buffer.len, is_half), limits.max_buffer_size)?;
        }
        for step in plan.sections.iter().flat_map(|section| &section.steps) {
            for view in step.reads.iter().chain(&step.writes) {
                let name = &plan.buffers[view.buffer.index()].name;
                let bytes = bytes_of(view.len, halves[view.buffer.index()]);
                refuse(name, bytes, limits.max_storage_buffer_binding_size)?;
            }
        }
        Ok(())
    }

    fn new_buffer(&self, label: &str, bytes: u64, usage: BufferUsages) -> wgpu::Buffer {
        self.connection.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            // The smallest buffer that can be bound holds one element.
            size: bytes.max(4),
            usage,
            mapped_at_creation: false,
        })
    }

    /// The memory of all buffers; makes what does not exist yet.
    fn allocate(&mut self, plan: &Plan, halves: &[bool]) -> Result<Vec<Option<wgpu::Buffer>>> {
        const USAGE: BufferUsages =
            BufferUsages::STORAGE.union(BufferUsages::COPY_SRC).union(BufferUsages::COPY_DST);
        for buffer in plan.buffers.iter().filter(|b| b.storage == Storage::Shared) {
            match self.shared.get(&buffer.name) {
                Some(exists) => {
                    let len = (exists.size() / 4) as usize;
                    checks::same_length(plan, &buffer.name, buffer.len, len)?;
                }
                None => {
                    let made = self.new_buffer(&buffer.name, bytes_of(buffer.len, false), USAGE);
                    self.connection.check()?;
                    self.shared.insert(buffer.name.clone(), made);
                }
            }
        }
        let slots: Vec<_> = slot_bytes(plan, halves)
            .into_iter()
            .enumerate()
            .map(|(i, bytes)| self.new_buffer(&format!("{} slot {i}", plan.name), bytes, USAGE))
            .collect();
        self.connection.check()?;
        let memory = |buffer: &crate::compute::plan::Buffer| match buffer.storage {
            Storage::Shared => self.shared.get(&buffer.name).cloned(),
            Storage::Kept | Storage::Transient => buffer.slot.map(|slot| slots[slot].clone()),
        };
        Ok(plan.buffers.iter().map(memory).collect())
    }

    /// Binds every step to its pipeline, its parameters and its buffers.
    fn bind(
        &mut self,
        plan: &Plan,
        halves: &[bool],
        buffers: &[Option<wgpu::Buffer>],
    ) -> Result<Vec<Vec<Dispatch>>> {
        let stride = self.connection.limits.min_uniform_buffer_offset_alignment as usize;
        let steps = || plan.sections.iter().flat_map(|section| &section.steps);
        let mut bytes = Vec::new();
        let mut offsets = Vec::new();
        for step in steps() {
            bytes.resize(bytes.len().next_multiple_of(stride), 0);
            offsets.push(bytes.len() as u64);
            bytes.extend_from_slice(step.call.params());
        }
        let usage = BufferUsages::UNIFORM | BufferUsages::COPY_DST;
        let params = self.new_buffer(&format!("{} params", plan.name), bytes.len() as u64, usage);
        self.connection.queue.write_buffer(&params, 0, &bytes);

        let wanted = |step: &Step| {
            let halves = names_of_halves(step, halves);
            let (form, is_specialised) = self.form_of(&step.call, &halves)?;
            Ok(Wanted { call: step.call, form, is_specialised, halves })
        };
        let wanted: Vec<Wanted> = steps().map(wanted).collect::<Result<_>>()?;
        let passes = self.pipelines.get(&self.connection, &wanted)?;
        let mut next = passes.into_iter().zip(&wanted).zip(offsets);
        let mut sections = Vec::with_capacity(plan.sections.len());
        for section in &plan.sections {
            let mut dispatches = Vec::with_capacity(section.steps.len());
            for step in &section.steps {
                let ((pass, wanted), offset) = next.next().expect("one for every step");
                let bindings = self.bind_step(step, &pass, (&params, offset), halves, buffers);
                let workgroups = launch_form(&step.call, wanted.form).workgroups;
                dispatches.push(Dispatch { pipeline: pass.pipeline, bindings, workgroups });
            }
            sections.push(dispatches);
        }
        self.connection.check()?;
        Ok(sections)
    }

    fn bind_step(
        &self,
        step: &Step,
        pass: &Pass,
        (params, offset): (&wgpu::Buffer, u64),
        halves: &[bool],
        buffers: &[Option<wgpu::Buffer>],
    ) -> wgpu::BindGroup {
        let binding = |view: &View| {
            let buffer = buffers[view.buffer.index()].as_ref();
            let buffer = buffer.expect("a buffer that a step uses has memory");
            let is_half = halves[view.buffer.index()];
            let offset = bytes_of(view.offset, is_half);
            let size =
                bytes_of(view.len + self.overrides.slack, is_half).min(buffer.size() - offset);
            BindingResource::Buffer(BufferBinding { buffer, offset, size: NonZeroU64::new(size) })
        };
        let size = NonZeroU64::new(step.call.params().len() as u64);
        let params = BindingResource::Buffer(BufferBinding { buffer: params, offset, size });
        let storage = step.reads.iter().chain(&step.writes).map(binding);
        let entries: Vec<_> = std::iter::once(params)
            .chain(storage)
            .zip(0..)
            .map(|(resource, binding)| BindGroupEntry { binding, resource })
            .collect();
        self.connection.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(step.call.signature().name),
            layout: &pass.layout,
            entries: &entries,
        })
    }

    /// Runs dispatches one after another.
    fn run_dispatches(&mut self, dispatches: &[Dispatch]) -> Result<()> {
        let mut encoder = self.connection.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        dispatches.iter().for_each(|dispatch| dispatch.record(&mut pass));
        drop(pass);
        self.submit(encoder.finish())
    }

    /// Submits, and waits until not too much is under way.
    fn submit(&mut self, commands: wgpu::CommandBuffer) -> Result<()> {
        self.in_flight.push_back(self.connection.queue.submit([commands]));
        if self.in_flight.len() > MAX_IN_FLIGHT {
            let oldest = self.in_flight.pop_front();
            self.connection.wait(oldest)?;
        }
        self.connection.check()
    }
}

impl Drop for GpuExecutor {
    fn drop(&mut self) {
        if self.pipelines() > 0 {
            self.connection.keep_pipelines();
        }
    }
}

impl Executor for GpuExecutor {
    fn name(&self) -> String {
        match self.precision {
            Precision::F32 => self.connection.name.clone(),
            precision => format!("{} in {precision}", self.connection.name),
        }
    }

    fn precision(&self) -> Precision {
        self.precision
    }

    fn memory(&self, plan: &Plan) -> Memory {
        let plan = self.fused(plan.clone());
        let own = slot_bytes(&plan, &self.halves(&plan)).iter().sum::<u64>() as usize;
        Memory { own, ..plan.memory() }
    }

    fn prepare(&mut self, plan: Plan) -> Result<PlanId> {
        self.connection.check()?;
        let name = plan.name.clone();
        let named = |error| match error {
            Error::Device(text) => Error::Device(format!("{name}: {text}")),
            Error::TooLarge(text) => Error::TooLarge(format!("{name}: {text}")),
            error => error,
        };
        self.measure_slices(&plan).map_err(named)?;
        let plan = self.fused(plan);
        let halves = self.halves(&plan);
        self.check_limits(&plan, &halves)?;
        self.measure_new(&plan, &halves).map_err(named)?;
        let buffers = self.allocate(&plan, &halves).map_err(named)?;
        let sections = self.bind(&plan, &halves, &buffers).map_err(named)?;
        self.plans.push(Some(Prepared { plan, halves, buffers, sections }));
        Ok(PlanId(self.plans.len() - 1))
    }

    fn plan(&self, id: PlanId) -> &Plan {
        &self.prepared(id).plan
    }

    fn release(&mut self, id: PlanId) {
        let Self { shared, plans, .. } = self;
        plans[id.0] = None;
        shared.retain(|name, _| plans.iter().flatten().any(|prepared| prepared.plan.shares(name)));
        // The memory is free only once nothing runs in it. A fault shows in the next call.
        self.in_flight.clear();
        let _ = self.connection.wait(None);
    }

    fn write(&mut self, id: PlanId, buffer: BufferId, data: &[u32]) -> Result<()> {
        let memory = self.host_buffer(id, buffer, data.len())?;
        let queue = &self.connection.queue;
        if self.prepared(id).halves[buffer.index()] {
            let size = NonZeroU64::new(bytes_of(data.len(), true));
            // Where there is none, the check below says why.
            if let Some(mut to) = size.and_then(|size| queue.write_buffer_with(memory, 0, size)) {
                halve::pack(data, |first, words| {
                    let bytes: &[u8] = bytemuck::cast_slice(words);
                    to.slice(4 * first..4 * first + bytes.len()).copy_from_slice(bytes);
                });
            }
        } else {
            queue.write_buffer(memory, 0, bytemuck::cast_slice(data));
        }
        self.connection.check()
    }

    fn read(&mut self, id: PlanId, buffer: BufferId, data: &mut [u32]) -> Result<()> {
        let reading = self.start_read(id, buffer, data.len())?;
        data.copy_from_slice(&self.finish_read(reading)?);
        Ok(())
    }

    fn start_read(&mut self, id: PlanId, buffer: BufferId, len: usize) -> Result<Reading> {
        let memory = self.host_buffer(id, buffer, len)?.clone();
        if len == 0 {
            return Ok(Reading::done(Vec::new()));
        }
        let is_half = self.prepared(id).halves[buffer.index()];
        let copy = self.start_copy(&memory, (bytes_of(len, is_half) / 4) as usize)?;
        let number = self.next_copy;
        self.next_copy += 1;
        self.copies.insert(number, (copy, len, is_half));
        Ok(Reading { words: Vec::new(), number: Some(number) })
    }

    fn finish_read(&mut self, reading: Reading) -> Result<Vec<u32>> {
        let started = reading.number.and_then(|number| self.copies.remove(&number));
        let Some((copy, len, is_half)) = started else { return Ok(reading.words) };
        let words = self.finish_copy(copy)?;
        if !is_half {
            return Ok(words);
        }
        let mut all = vec![0; len];
        halve::unpack(&words, &mut all);
        Ok(all)
    }

    fn clear(&mut self, id: PlanId, buffer: BufferId) -> Result<()> {
        let memory = self.host_buffer(id, buffer, 0)?.clone();
        let mut encoder = self.connection.device.create_command_encoder(&Default::default());
        encoder.clear_buffer(&memory, 0, None);
        self.submit(encoder.finish())
    }

    fn score_batch(&self) -> usize {
        self.score_batch
    }

    fn reading_threads(&self) -> usize {
        self.reading_threads
    }

    fn stacks_passes(&self) -> bool {
        true
    }

    fn run(&mut self, id: PlanId, section: &str) -> Result<()> {
        self.connection.check()?;
        let prepared = self.prepared(id);
        checks::section(&prepared.plan, section)?;
        let position = prepared.plan.sections.iter().position(|s| s.name == section);
        let dispatches = &prepared.sections[position.expect("the section exists")];
        let mut encoder = self
            .connection
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some(section) });
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some(section),
            timestamp_writes: None,
        });
        for dispatch in dispatches {
            dispatch.record(&mut pass);
        }
        drop(pass);
        self.submit(encoder.finish())
    }
}
