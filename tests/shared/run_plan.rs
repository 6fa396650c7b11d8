//! Runs plans: on an executor, or by the references at any precision.

use askem::compute::executor::{Executor, PlanId};
use askem::compute::plan::{BufferId, Plan, Storage};
use askem_kernels::{Call, Real, max_pool2d};

use crate::memory::{self, Memory};

/// Who runs a plan; numbers pass as `f64`, which holds those of every precision.
pub(crate) trait RunPlan {
    fn write(&mut self, buffer: BufferId, values: &[f64]);
    fn write_uint(&mut self, buffer: BufferId, values: &[u32]);
    fn read(&mut self, buffer: BufferId) -> Vec<f64>;
    fn run(&mut self, section: &str);
}

/// A plan on an executor.
pub(crate) struct OnDevice<'a> {
    executor: &'a mut dyn Executor,
    id: PlanId,
}

impl<'a> OnDevice<'a> {
    /// Prepares a plan. Its shared buffers are its own: those of other plans have other lengths.
    pub(crate) fn new(executor: &'a mut dyn Executor, mut plan: Plan, label: &str) -> Self {
        for buffer in plan.buffers.iter_mut().filter(|b| b.storage == Storage::Shared) {
            buffer.name = format!("{label}: {}", buffer.name);
        }
        let id = executor.prepare(plan).expect("the device holds a small plan");
        Self { executor, id }
    }
}

impl RunPlan for OnDevice<'_> {
    fn write(&mut self, buffer: BufferId, values: &[f64]) {
        let values: Vec<u32> = values.iter().map(|&v| (v as f32).to_bits()).collect();
        self.write_uint(buffer, &values);
    }

    fn write_uint(&mut self, buffer: BufferId, values: &[u32]) {
        self.executor.write(self.id, buffer, values).expect("the host may write");
    }

    fn read(&mut self, buffer: BufferId) -> Vec<f64> {
        let len = self.executor.plan(self.id).buffers[buffer.index()].len;
        let mut words = vec![0; len];
        self.executor.read(self.id, buffer, &mut words).expect("the host may read");
        words.iter().map(|&w| f64::from(f32::from_bits(w))).collect()
    }

    fn run(&mut self, section: &str) {
        self.executor.run(self.id, section).expect("the section runs");
    }
}

impl Drop for OnDevice<'_> {
    fn drop(&mut self) {
        self.executor.release(self.id);
    }
}

impl<T: Real> Memory<T> {
    fn part(&self, offset: usize, len: usize) -> Self {
        match self {
            Self::Float(values) => Self::Float(values[offset..offset + len].to_vec()),
            Self::Uint(values) => Self::Uint(values[offset..offset + len].to_vec()),
        }
    }

    fn set_part(&mut self, offset: usize, part: &Self) {
        match (self, part) {
            (Self::Float(to), Self::Float(from)) => {
                to[offset..offset + from.len()].copy_from_slice(from);
            }
            (Self::Uint(to), Self::Uint(from)) => {
                to[offset..offset + from.len()].copy_from_slice(from);
            }
            _ => panic!("numbers and integers do not mix"),
        }
    }
}

/// A plan that the references compute. Every buffer has memory of its own, which is garbage until a
/// step writes it, so that errors in the plan's memory show as well.
pub(crate) struct ByReference<T> {
    plan: Plan,
    buffers: Vec<Memory<T>>,
    /// The arguments of every ReLU, and the leads of the maxima of every pool, in order.
    pub(crate) branches: Vec<Vec<f64>>,
}

impl<T: Real> ByReference<T> {
    pub(crate) fn new(plan: Plan) -> Self {
        let memory = |b: &askem::compute::plan::Buffer| match b.storage {
            Storage::Transient => Memory::garbage(b.element, b.len),
            Storage::Kept | Storage::Shared => Memory::zeros(b.element, b.len),
        };
        let buffers = plan.buffers.iter().map(memory).collect();
        Self { plan, buffers, branches: Vec::new() }
    }
}

impl<T: Real> RunPlan for ByReference<T> {
    fn write(&mut self, buffer: BufferId, values: &[f64]) {
        let values = Memory::Float(values.iter().map(|&v| T::from_f64(v)).collect());
        self.buffers[buffer.index()].set_part(0, &values);
    }

    fn write_uint(&mut self, buffer: BufferId, values: &[u32]) {
        self.buffers[buffer.index()].set_part(0, &Memory::Uint(values.to_vec()));
    }

    fn read(&mut self, buffer: BufferId) -> Vec<f64> {
        self.buffers[buffer.index()].floats().iter().map(|v| v.to_f64()).collect()
    }

    fn run(&mut self, section: &str) {
        for buffer in 0..self.plan.buffers.len() {
            let about = &self.plan.buffers[buffer];
            // A transient buffer that two sections share carries over.
            if about.storage == Storage::Transient && self.plan.sections.len() == 1 {
                self.buffers[buffer] = Memory::garbage(about.element, about.len);
            }
        }
        for step in &self.plan.section(section).expect("the plan has the section").steps {
            let load = |views: &[askem::compute::plan::View]| -> Vec<Memory<T>> {
                let load = |v: &askem::compute::plan::View| {
                    self.buffers[v.buffer.index()].part(v.offset, v.len)
                };
                views.iter().map(load).collect()
            };
            let (reads, mut writes) = (load(&step.reads), load(&step.writes));
            memory::reference(&step.call, &reads, &mut writes).expect("a plan's call is right");
            for (view, written) in step.writes.iter().zip(&writes) {
                self.buffers[view.buffer.index()].set_part(view.offset, written);
            }
            match step.call {
                Call::ReluForward(_) => {
                    self.branches.push(reads[0].floats().iter().map(|v| v.to_f64()).collect());
                }
                Call::MaxPool2dForward(p) => self.branches.push(leads(&p, reads[0].floats())),
                _ => {}
            }
        }
    }
}

/// By how much the maximum of every window leads its other values; zero for those that are equal to it.
fn leads<T: Real>(p: &max_pool2d::Params, x: &[T]) -> Vec<f64> {
    let [h, w] = [p.h, p.w].map(|size| size as usize);
    let mut leads = Vec::new();
    for plane in x.chunks(h * w) {
        for window in (0..h / 2).flat_map(|y| (0..w / 2).map(move |x| 2 * y * w + 2 * x)) {
            let values = [0, 1, w, w + 1].map(|i| plane[window + i].to_f64());
            let top = values.iter().fold(f64::MIN, |a, &b| a.max(b));
            leads.extend(values.map(|v| top - v));
        }
    }
    leads
}
