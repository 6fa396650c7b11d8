//! How long each step of a plan takes on the device.

use std::time::Instant;

use askem_kernels::{Call, conv2d};

use super::{Dispatch, GpuExecutor, Prepared};
use crate::compute::cost;
use crate::compute::device::checks;
use crate::compute::executor::{Executor, PlanId};
use crate::compute::plan::{PlanBuilder, Step};
use crate::error::{Error, Result};

/// One step's time and what it cost.
#[derive(Clone, Copy, Debug)]
pub struct StepTime {
    /// `op::pass`.
    pub name: &'static str,
    /// Seconds on the device.
    pub seconds: f64,
    /// See [`cost::flops`].
    pub flops: f64,
    /// See [`cost::bytes`].
    pub bytes: usize,
}

/// What a device reaches at best, as measured on it.
#[derive(Clone, Copy, Debug)]
pub struct Peaks {
    /// Bytes read and written each second by a copy from buffer to buffer.
    pub bytes_per_second: f64,
    /// Operations each second of a large matrix product: the faster of a wide 1x1 and a wide 3x3 convolution of our own.
    pub flops_per_second: f64,
}

impl GpuExecutor {
    /// Runs a section with the clock on: a pass for each step, which costs time of its own between steps, so that times say where
    /// time goes rather than how much it is.
    ///
    /// # Errors
    /// If the device has no timestamp queries, or fails.
    pub fn profile(&mut self, id: PlanId, section: &str) -> Result<Vec<StepTime>> {
        self.connection.check()?;
        if !self.has_clock() {
            return Err(Error::Device(format!(
                "{} can't time single steps (no timestamp queries)",
                self.connection.name
            )));
        }
        let prepared = self.prepared(id);
        checks::section(&prepared.plan, section)?;
        let position = prepared.plan.sections.iter().position(|s| s.name == section);
        let position = position.expect("the section exists");
        let dispatches = prepared.sections[position].clone();
        let seconds = self.seconds_on_device(&dispatches)?;
        let Prepared { plan, halves, .. } = self.prepared(id);
        let steps = &plan.sections[position].steps;
        let step = |(step, seconds): (&Step, f64)| StepTime {
            name: step.call.signature().name,
            seconds,
            flops: cost::flops(&step.call),
            bytes: cost::bytes(step, halves),
        };
        Ok(steps.iter().zip(seconds).map(step).collect())
    }

    /// Whether the device can time single dispatches.
    pub(super) fn has_clock(&self) -> bool {
        self.connection.device.features().contains(wgpu::Features::TIMESTAMP_QUERY)
    }

    /// Runs dispatches and returns the seconds that each took, on a device that [has a clock](Self::has_clock).
    pub(super) fn seconds_on_device(&mut self, dispatches: &[Dispatch]) -> Result<Vec<f64>> {
        let count = dispatches.len() as u32;
        let device = &self.connection.device;
        let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("step times"),
            ty: wgpu::QueryType::Timestamp,
            count: 2 * count,
        });
        let resolved = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("step times"),
            size: u64::from(count) * 16,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let mut encoder = device.create_command_encoder(&Default::default());
        for (dispatch, i) in dispatches.iter().zip(0..) {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: None,
                timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                    query_set: &queries,
                    beginning_of_pass_write_index: Some(2 * i),
                    end_of_pass_write_index: Some(2 * i + 1),
                }),
            });
            dispatch.record(&mut pass);
        }
        encoder.resolve_query_set(&queries, 0..2 * count, &resolved, 0);
        self.submit(encoder.finish())?;
        let words = self.fetch(&resolved, 0, count as usize * 4)?;
        let period = f64::from(self.connection.queue.get_timestamp_period()) * 1e-9;
        let ticks = |word: &[u32]| u64::from(word[0]) | u64::from(word[1]) << 32;
        let seconds =
            |words: &[u32]| ticks(&words[2..]).saturating_sub(ticks(&words[..2])) as f64 * period;
        Ok(words.chunks_exact(4).map(seconds).collect())
    }

    /// Measures a copy and a matrix product, each the best of several.
    ///
    /// # Errors
    /// If the device fails.
    pub fn peaks(&mut self) -> Result<Peaks> {
        Ok(Peaks { bytes_per_second: self.copy_speed()?, flops_per_second: self.product_speed()? })
    }

    fn copy_speed(&mut self) -> Result<f64> {
        let limits = &self.connection.limits;
        let bytes: u64 =
            (256 << 20).min(limits.max_buffer_size).min(limits.max_storage_buffer_binding_size);
        let words = (bytes / 4) as usize;
        let usage = wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let [from, to] = ["copy from", "copy to"].map(|name| self.new_buffer(name, bytes, usage));
        self.connection.check()?;
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            let clock = Instant::now();
            let mut encoder = self.connection.device.create_command_encoder(&Default::default());
            // Several to a submission, since waiting costs time too.
            for _ in 0..4 {
                encoder.copy_buffer_to_buffer(&from, 0, &to, 0, words as u64 * 4);
            }
            let index = self.connection.queue.submit([encoder.finish()]);
            self.connection.wait(Some(index))?;
            best = best.min(clock.elapsed().as_secs_f64() / 4.0);
        }
        Ok(2.0 * words as f64 * 4.0 / best)
    }

    /// Of wide convolutions of both kinds, with a batch that doubles until they take long enough to be timed.
    fn product_speed(&mut self) -> Result<f64> {
        let mut best: f64 = 0.0;
        for kernel in [1, 3] {
            for n in [1, 2, 4, 8, 16] {
                let (c_in, c_out, h, w) = (128, 128, 64, 64);
                let p = conv2d::Params { n, c_in, c_out, h, w, kernel, has_bias: 0 };
                let call = Call::Conv2dForward(p);
                let seconds = self.seconds_of(call)?;
                best = best.max(cost::flops(&call) / seconds);
                if seconds > 0.02 {
                    break;
                }
            }
        }
        Ok(best)
    }

    /// The best time of several runs of a call, on zeros.
    fn seconds_of(&mut self, call: Call) -> Result<f64> {
        let signature = call.signature();
        let mut b = PlanBuilder::new(signature.name, "run");
        let [reads, writes] = [signature.reads, signature.writes].map(|buffers| {
            let views = buffers.iter().map(|(name, _)| b.kept(name, call.len(name)));
            views.collect::<Vec<_>>()
        });
        b.step(call, &reads, &writes);
        let id = self.prepare(b.build())?;
        let mut best = f64::INFINITY;
        for _ in 0..4 {
            let clock = Instant::now();
            self.run(id, "run")?;
            self.connection.wait(None)?;
            best = best.min(clock.elapsed().as_secs_f64());
        }
        self.release(id);
        Ok(best)
    }
}
