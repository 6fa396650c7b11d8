//! The executor that computes on a GPU: all wgpu code of the project is below this module.

mod adapter;
mod connection;
mod fuse;
mod pipelines;
mod profile;
pub mod self_test;
#[cfg(test)]
mod tests;
mod trusted;

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU64;

use wgpu::{BindGroupEntry, BindingResource, BufferBinding, BufferUsages};

pub use adapter::{Adapter, adapters};
use connection::Connection;
pub use fuse::fuse;
use pipelines::{Pass, Pipelines};
pub use profile::{Peaks, StepTime};

use crate::device::checks;
use crate::error::{Error, Result};
use crate::executor::{Executor, PlanId};
use crate::plan::{BufferId, Memory, Plan, Step, Storage, View};

/// Runs of a section that may wait on the device. More would only hold memory.
const MAX_IN_FLIGHT: usize = 3;

/// Runs plans with the shaders of `askem-wgsl`.
#[derive(Debug)]
pub struct GpuExecutor {
    connection: Connection,
    pipelines: Pipelines,
    shared: HashMap<String, wgpu::Buffer>,
    plans: Vec<Option<Prepared>>,
    /// Where results wait for the host; grows to the largest that was read.
    staging: Option<wgpu::Buffer>,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
    /// Elements that bindings reach beyond their views.
    slack: usize,
}

#[derive(Debug)]
struct Prepared {
    plan: Plan,
    /// The memory of every buffer of the plan; `None` where no step uses a transient one.
    buffers: Vec<Option<wgpu::Buffer>>,
    /// The dispatches of every section.
    sections: Vec<Vec<Dispatch>>,
}

/// A step as the device takes it.
#[derive(Debug)]
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
    /// If its driver refuses.
    pub fn new(adapter: &Adapter) -> Result<Self> {
        Ok(Self {
            connection: Connection::open(adapter)?,
            pipelines: Pipelines::default(),
            shared: HashMap::new(),
            plans: Vec::new(),
            staging: None,
            in_flight: VecDeque::new(),
            slack: 0,
        })
    }

    /// From now on plans are bound so that shaders reach so many elements beyond each view.
    ///
    /// For tests: where bindings end with their views, many drivers drop a stray write and answer
    /// a stray read with zero, so that a shader which leaves its buffers looks right.
    pub fn set_slack(&mut self, elements: usize) {
        self.slack = elements;
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
    fn check_limits(&self, plan: &Plan) -> Result<()> {
        let limits = &self.connection.limits;
        let refuse = |what: &str, elements: usize, limit: u64| {
            let bytes = elements as u64 * 4;
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
        for buffer in &plan.buffers {
            refuse(&buffer.name, buffer.len, limits.max_buffer_size)?;
        }
        for step in plan.sections.iter().flat_map(|section| &section.steps) {
            for view in step.reads.iter().chain(&step.writes) {
                let name = &plan.buffers[view.buffer.index()].name;
                refuse(name, view.len, limits.max_storage_buffer_binding_size)?;
            }
        }
        Ok(())
    }

    fn new_buffer(&self, label: &str, len: usize, usage: BufferUsages) -> wgpu::Buffer {
        self.connection.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            // The smallest buffer that can be bound holds one element.
            size: len.max(1) as u64 * 4,
            usage,
            mapped_at_creation: false,
        })
    }

    /// The memory of all buffers; makes what does not exist yet.
    fn allocate(&mut self, plan: &Plan) -> Result<Vec<Option<wgpu::Buffer>>> {
        const USAGE: BufferUsages =
            BufferUsages::STORAGE.union(BufferUsages::COPY_SRC).union(BufferUsages::COPY_DST);
        for buffer in plan.buffers.iter().filter(|b| b.storage == Storage::Shared) {
            match self.shared.get(&buffer.name) {
                Some(exists) => {
                    let len = (exists.size() / 4) as usize;
                    checks::same_length(plan, &buffer.name, buffer.len, len)?;
                }
                None => {
                    let made = self.new_buffer(&buffer.name, buffer.len, USAGE);
                    self.connection.check()?;
                    self.shared.insert(buffer.name.clone(), made);
                }
            }
        }
        let slots: Vec<_> = plan
            .slots
            .iter()
            .enumerate()
            .map(|(i, &len)| self.new_buffer(&format!("{} slot {i}", plan.name), len, USAGE))
            .collect();
        self.connection.check()?;
        let memory = |buffer: &crate::plan::Buffer| match buffer.storage {
            Storage::Shared => self.shared.get(&buffer.name).cloned(),
            Storage::Kept | Storage::Transient => buffer.slot.map(|slot| slots[slot].clone()),
        };
        Ok(plan.buffers.iter().map(memory).collect())
    }

    /// Binds every step to its pipeline, its parameters and its buffers.
    fn bind(
        &mut self,
        plan: &Plan,
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
        let params =
            self.new_buffer(&format!("{} params", plan.name), bytes.len().div_ceil(4), usage);
        self.connection.queue.write_buffer(&params, 0, &bytes);

        let mut offsets = offsets.into_iter();
        let mut sections = Vec::with_capacity(plan.sections.len());
        for section in &plan.sections {
            let mut dispatches = Vec::with_capacity(section.steps.len());
            for step in &section.steps {
                let (pass, workgroups) = self.pipelines.get(&self.connection, &step.call)?;
                let offset = offsets.next().expect("one for every step");
                let bindings = self.bind_step(step, &pass, (&params, offset), buffers);
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
        buffers: &[Option<wgpu::Buffer>],
    ) -> wgpu::BindGroup {
        let binding = |view: &View| {
            let buffer = buffers[view.buffer.index()].as_ref();
            let buffer = buffer.expect("a buffer that a step uses has memory");
            let offset = view.offset as u64 * 4;
            let size = ((view.len + self.slack) as u64 * 4).min(buffer.size() - offset);
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

    /// Submits, and waits until not too much is under way.
    fn submit(&mut self, commands: wgpu::CommandBuffer) -> Result<()> {
        self.in_flight.push_back(self.connection.queue.submit([commands]));
        if self.in_flight.len() > MAX_IN_FLIGHT {
            let oldest = self.in_flight.pop_front();
            self.connection.wait(oldest)?;
        }
        self.connection.check()
    }

    /// Reads the start of a buffer, after all that was submitted before.
    fn fetch(&mut self, memory: &wgpu::Buffer, data: &mut [u32]) -> Result<()> {
        let bytes = data.len() as u64 * 4;
        let staging = match self.staging.take() {
            Some(staging) if staging.size() >= bytes => staging,
            _ => {
                let usage = BufferUsages::MAP_READ | BufferUsages::COPY_DST;
                self.new_buffer("staging", data.len(), usage)
            }
        };
        let mut encoder = self.connection.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(memory, 0, &staging, 0, bytes);
        self.connection.queue.submit([encoder.finish()]);
        // Refused commands leave the buffer as it was: say so before its bytes are taken for data.
        self.connection.check()?;
        let (send, receive) = std::sync::mpsc::channel();
        staging.slice(..bytes).map_async(wgpu::MapMode::Read, move |mapped| {
            // The receiver is gone only if waiting failed, which says more.
            let _ = send.send(mapped);
        });
        self.in_flight.clear();
        self.connection.wait(None)?;
        let unreadable = |error: &dyn std::fmt::Display| {
            Error::Device(format!("{}: cannot read results: {error}", self.connection.name))
        };
        receive.recv().map_err(|e| unreadable(&e))?.map_err(|e| unreadable(&e))?;
        let mapped = staging.slice(..bytes).get_mapped_range().map_err(|e| unreadable(&e))?;
        bytemuck::cast_slice_mut(data).copy_from_slice(&mapped);
        drop(mapped);
        staging.unmap();
        self.staging = Some(staging);
        self.connection.check()
    }
}

impl Executor for GpuExecutor {
    fn name(&self) -> String {
        self.connection.name.clone()
    }

    fn memory(&self, plan: &Plan) -> Memory {
        fuse(plan.clone()).memory()
    }

    fn prepare(&mut self, plan: Plan) -> Result<PlanId> {
        self.connection.check()?;
        let plan = fuse(plan);
        self.check_limits(&plan)?;
        let named = |error| match error {
            Error::Device(text) => Error::Device(format!("{}: {text}", plan.name)),
            Error::TooLarge(text) => Error::TooLarge(format!("{}: {text}", plan.name)),
            error => error,
        };
        let buffers = self.allocate(&plan).map_err(named)?;
        let sections = self.bind(&plan, &buffers).map_err(named)?;
        self.plans.push(Some(Prepared { plan, buffers, sections }));
        Ok(PlanId(self.plans.len() - 1))
    }

    fn plan(&self, id: PlanId) -> &Plan {
        &self.prepared(id).plan
    }

    fn release(&mut self, id: PlanId) {
        self.plans[id.0] = None;
        // The memory is free only once nothing runs in it. A fault shows in the next call.
        self.in_flight.clear();
        let _ = self.connection.wait(None);
    }

    fn write(&mut self, id: PlanId, buffer: BufferId, data: &[u32]) -> Result<()> {
        let memory = self.host_buffer(id, buffer, data.len())?;
        self.connection.queue.write_buffer(memory, 0, bytemuck::cast_slice(data));
        self.connection.check()
    }

    fn read(&mut self, id: PlanId, buffer: BufferId, data: &mut [u32]) -> Result<()> {
        let memory = self.host_buffer(id, buffer, data.len())?.clone();
        if data.is_empty() { Ok(()) } else { self.fetch(&memory, data) }
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
