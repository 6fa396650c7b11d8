//! Measures the forms of a pass.

use std::time::Instant;

use askem_kernels::rng::{Purpose, normal, stream};
use askem_kernels::{Call, Element};

use super::super::{Dispatch, GpuExecutor, bytes_of, halve};
use super::{Choice, key};
use crate::device::trial::gradient_scale;
use crate::error::{Error, Result};
use crate::plan::{Plan, PlanBuilder};

/// Runs of each form, of which the fastest counts: what disturbs a run only makes it slower.
const RUNS: usize = 5;

/// Numbers of each result that are compared: the first patches' of large ones. Sizes decide little there, and all forms pass the
/// self-test besides.
const COMPARED: usize = 1 << 20;

/// Different numbers that are drawn; larger buffers repeat them.
const DRAWN: usize = 1 << 16;

/// How far the results of a form may lie from those of the first, relative to their length. A wrong sum is off by about 1;
/// factors of f16 by less than a thousandth.
const MOST_OFF: f64 = 0.01;

impl GpuExecutor {
    /// Seconds of each form in which a call can run, with these buffers of f16, unless they are `known`; and, if `specialise`, of the fastest
    /// in a module that has the sizes as constants. Infinite where the results are others than those of the first form, or the driver
    /// refuses such a module.
    pub(in crate::gpu) fn measure(
        &mut self,
        call: &Call,
        halves: &[&'static str],
        specialise: bool,
        known: Option<Choice>,
    ) -> Result<Choice> {
        let (plan, is_half) = plan_of(call, halves);
        self.check_limits(&plan, &is_half)?;
        let buffers = self.allocate(&plan, &is_half)?;
        for (i, memory) in buffers.iter().take(call.signature().reads.len()).enumerate() {
            let memory = memory.as_ref().expect("kept buffers have memory");
            let words = draw(call, &plan.buffers[i].name, i as u64);
            let words = if is_half[i] { halve::packed(&words) } else { words };
            self.connection.queue.write_buffer(memory, 0, bytemuck::cast_slice(&words));
        }
        let mut bench = Bench { plan, is_half, buffers, first: None };
        let forms = self.forms_of(call);
        let mut choice = match known {
            // What was chosen by these seconds, such as a number of slices, stays. The first form says what is right.
            Some(choice) => {
                self.time(&mut bench, 0, false)?;
                choice
            }
            None => {
                let mut seconds = Vec::new();
                for (number, &form) in forms.iter().enumerate() {
                    seconds.push((form, self.time(&mut bench, number, false)?));
                }
                let (pass, call) = (call.signature().name.into(), key(call, halves));
                Choice { pass, call, seconds, specialised_seconds: None }
            }
        };
        let number = forms.iter().position(|&form| form == choice.form());
        if let Some(number) = number.filter(|_| specialise) {
            choice.specialised_seconds = Some(match self.time(&mut bench, number, true) {
                // A driver that does not compile it does without. One that is lost fails the next call too.
                Err(Error::Device(_)) => f64::INFINITY,
                seconds => seconds?,
            });
        }
        Ok(choice)
    }

    /// Seconds of the call in the form of this number, of those that the device can run; infinite where the results are others than those
    /// of the first time.
    fn time(&mut self, bench: &mut Bench, number: usize, specialised: bool) -> Result<f64> {
        let before = self.overrides;
        (self.overrides.form, self.overrides.specialised) = (Some(number), Some(specialised));
        let bound = self.bind(&bench.plan, &bench.is_half, &bench.buffers);
        self.overrides = before;
        let dispatches = bound?.swap_remove(0);
        self.clock(&dispatches)?;
        let results = self.results(bench)?;
        let first = bench.first.get_or_insert_with(|| results.clone());
        // NaN is far off.
        let agrees = off(&results, first) <= MOST_OFF;
        let mut best = f64::INFINITY;
        for _ in 0..if agrees { RUNS } else { 0 } {
            best = best.min(self.clock(&dispatches)?[0]);
        }
        Ok(best)
    }

    /// The numbers of each result that are compared.
    fn results(&mut self, bench: &Bench) -> Result<Vec<f64>> {
        let mut results = Vec::new();
        let reads = bench.plan.sections[0].steps[0].reads.len();
        for i in reads..bench.plan.buffers.len() {
            let memory = bench.buffers[i].clone().expect("kept buffers have memory");
            let len = bench.plan.buffers[i].len.min(COMPARED);
            let mut words = self.fetch(&memory, (bytes_of(len, bench.is_half[i]) / 4) as usize)?;
            if bench.is_half[i] {
                let mut all = vec![0; len];
                halve::unpack(&words, &mut all);
                words = all;
            }
            results.extend(words.into_iter().map(|word| f64::from(f32::from_bits(word))));
        }
        Ok(results)
    }

    /// Seconds of each dispatch: on the device's clock, or on the host's where the device has none.
    fn clock(&mut self, dispatches: &[Dispatch]) -> Result<Vec<f64>> {
        if self.has_clock() {
            return self.seconds_on_device(dispatches);
        }
        let mut seconds = Vec::new();
        for dispatch in dispatches {
            let clock = Instant::now();
            let mut encoder = self.connection.device.create_command_encoder(&Default::default());
            dispatch.record(&mut encoder.begin_compute_pass(&Default::default()));
            self.submit(encoder.finish())?;
            self.connection.wait(None)?;
            seconds.push(clock.elapsed().as_secs_f64());
        }
        Ok(seconds)
    }
}

/// A call that is measured.
struct Bench {
    /// Its only step is the call.
    plan: Plan,
    is_half: Vec<bool>,
    buffers: Vec<Option<wgpu::Buffer>>,
    /// The results of the first form.
    first: Option<Vec<f64>>,
}

/// The call alone in a plan, all of whose buffers are kept, in the order of the signature; and which of them hold f16.
fn plan_of(call: &Call, halves: &[&str]) -> (Plan, Vec<bool>) {
    let signature = call.signature();
    let mut b = PlanBuilder::new(format!("tuning of {}", signature.name), "run");
    let [reads, writes] = [signature.reads, signature.writes].map(|buffers| {
        let views = buffers.iter().map(|&(name, element)| {
            assert_eq!(element, Element::Float, "{}: only numbers are drawn", signature.name);
            b.kept(name, call.len(name))
        });
        views.collect::<Vec<_>>()
    });
    b.step(*call, &reads, &writes);
    let plan = b.build();
    let is_half = plan.buffers.iter().map(|buffer| halves.contains(&&*buffer.name)).collect();
    (plan, is_half)
}

/// Numbers such as a network has.
fn draw(call: &Call, buffer: &str, part: u64) -> Vec<u32> {
    let mut rng = stream(0, Purpose::Test, part, 0);
    let len = call.len(buffer);
    let mut number = || {
        let number = normal(&mut rng) as f32;
        match buffer {
            // As small as a mean makes them, which the shaders for matrix units count on.
            "dy" => number / gradient_scale(call),
            "running_var" => 0.5 + number.abs(),
            // Squares are among them.
            "partials" => number.abs(),
            _ => number,
        }
    };
    let drawn: Vec<u32> = (0..len.min(DRAWN)).map(|_| number().to_bits()).collect();
    drawn.iter().copied().cycle().take(len).collect()
}

/// The distance of results from others, relative to the length of those.
fn off(got: &[f64], want: &[f64]) -> f64 {
    let length = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let distance = length(&mut got.iter().zip(want).map(|(got, want)| got - want));
    distance / length(&mut want.iter().copied())
}
