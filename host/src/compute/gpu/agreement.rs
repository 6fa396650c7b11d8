//! Whether the forms of a call compute the same, number by number, and each the same bits every
//! time.
//!
//! A race between lanes spoils few numbers of many, at places that change from run to run: no
//! sum over all of them shows it. So every number of a result is compared on the device, with
//! that of the first form and with that of the same form's run before.

use askem_kernels::rng::{Purpose, below, normal, stream};
use askem_kernels::{Call, Element, allclose};

use super::{Dispatch, GpuExecutor, bytes_of, halve};
use crate::compute::device::trial::gradient_scale;
use crate::compute::plan::{Plan, PlanBuilder};
use crate::error::Result;

/// Different numbers that are drawn; larger buffers repeat them.
const DRAWN: usize = 1 << 16;

/// How far a number of a form may lie from that of the first, as a part of the result's root mean
/// square, and of the number besides. Factors of f16 are off by less than a five-hundredth in
/// millions of numbers, and a sum that is doubled by itself.
const CLOSE: f32 = 1.0 / 128.0;

/// Parts of a result that are counted apart from each other.
const SLICES: u32 = 1024;

/// A call on drawn numbers, whose forms are judged one after another.
pub(super) struct Contest {
    call: Call,
    /// Its only step is the call.
    plan: Plan,
    is_half: Vec<bool>,
    buffers: Vec<Option<wgpu::Buffer>>,
    /// What the first form wrote, and what the form at hand wrote in its first run; for each result.
    first: Vec<wgpu::Buffer>,
    before: Vec<wgpu::Buffer>,
    /// How far numbers may lie from the first form's; for each result, once it is known.
    atol: Vec<f32>,
}

impl Contest {
    /// Whether a form has said what is right.
    pub(super) fn has_first(&self) -> bool {
        !self.first.is_empty()
    }
}

/// A form of a call that is ready to run.
pub(super) struct Contestant {
    dispatches: Vec<Dispatch>,
    form: usize,
    name: String,
}

impl GpuExecutor {
    /// Draws the numbers of a call with these buffers of f16.
    pub(super) fn contest(&mut self, call: &Call, halves: &[&'static str]) -> Result<Contest> {
        let (plan, is_half) = plan_of(call, halves);
        self.check_limits(&plan, &is_half)?;
        let buffers = self.allocate(&plan, &is_half)?;
        let reads = call.signature().reads.len();
        for (i, memory) in buffers.iter().take(reads).enumerate() {
            let memory = memory.as_ref().expect("kept buffers have memory");
            let words = draw(call, &plan.buffers[i].name, i as u64);
            let words = if is_half[i] { halve::packed(&words) } else { words };
            self.connection.queue.write_buffer(memory, 0, bytemuck::cast_slice(&words));
        }
        let (first, before, atol) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Contest { call: *call, plan, is_half, buffers, first, before, atol })
    }

    /// Makes a form ready.
    pub(super) fn contestant(
        &mut self,
        contest: &Contest,
        form: usize,
        specialised: bool,
    ) -> Result<Contestant> {
        let forms = self.forms_of(&contest.call);
        let number = forms.iter().position(|&usable| usable == form);
        let before = self.overrides;
        (self.overrides.form, self.overrides.specialised) = (number, Some(specialised));
        let bound = self.bind(&contest.plan, &contest.is_half, &contest.buffers);
        self.overrides = before;
        let dispatches = bound?.swap_remove(0);
        let (_, entry) = askem_wgsl::entry_of(&contest.call);
        let mut name = super::left_out::name(contest.call.signature().name, entry, form);
        if specialised {
            name += ", specialised";
        }
        Ok(Contestant { dispatches, form, name })
    }

    /// Runs a form once for each item of `runs`, as it says, and judges what it writes; `Some` says
    /// what is wrong with it. The first contestant of a contest says what is right.
    pub(super) fn judge<T>(
        &mut self,
        contest: &mut Contest,
        contestant: &Contestant,
        runs: impl IntoIterator<Item = T>,
        mut run: impl FnMut(&mut Self, &[Dispatch], T) -> Result<()>,
    ) -> Result<Option<String>> {
        let is_first = !contest.has_first();
        for (number, item) in runs.into_iter().enumerate() {
            self.clear_results(contest);
            run(self, &contestant.dispatches, item)?;
            self.spoil_result(contest, contestant, number)?;
            if !contest.has_first() {
                contest.first = self.copies_of_results(contest);
                contest.atol = self.tolerances(contest)?;
            }
            let wrong = if number == 0 {
                contest.before = self.copies_of_results(contest);
                self.compare(contest, true)?
            } else {
                self.compare(contest, false)?
            };
            if let Some(what) = wrong {
                if is_first {
                    // The next one says what is right.
                    contest.first.clear();
                }
                return Ok(Some(format!("{} on {:?}: {what}", contestant.name, contest.call)));
            }
        }
        Ok(None)
    }

    /// The buffers that the call writes, by their numbers in the plan.
    fn results(contest: &Contest) -> std::ops::Range<usize> {
        contest.call.signature().reads.len()..contest.plan.buffers.len()
    }

    /// Fills the results with zeros, so that what a run leaves out is not what another has written.
    fn clear_results(&mut self, contest: &Contest) {
        let mut encoder = self.connection.device.create_command_encoder(&Default::default());
        for i in Self::results(contest) {
            let memory = contest.buffers[i].as_ref().expect("kept buffers have memory");
            encoder.clear_buffer(memory, 0, None);
        }
        self.connection.queue.submit([encoder.finish()]);
    }

    fn copies_of_results(&mut self, contest: &Contest) -> Vec<wgpu::Buffer> {
        let mut encoder = self.connection.device.create_command_encoder(&Default::default());
        let copies = Self::results(contest).map(|i| {
            let memory = contest.buffers[i].as_ref().expect("kept buffers have memory");
            let copy = self.new_buffer("results before", memory.size(), memory.usage());
            encoder.copy_buffer_to_buffer(memory, 0, &copy, 0, memory.size());
            copy
        });
        let copies = copies.collect();
        self.connection.queue.submit([encoder.finish()]);
        copies
    }

    /// How far numbers may lie from those of the first form.
    fn tolerances(&mut self, contest: &Contest) -> Result<Vec<f32>> {
        let mut atol = Vec::new();
        for (i, memory) in Self::results(contest).zip(&contest.first) {
            let len = contest.plan.buffers[i].len.min(DRAWN);
            let values = self.values(memory, 0, len, contest.is_half[i])?;
            let squares: f64 = values.iter().map(|&value| f64::from(value).powi(2)).sum();
            let bound = (squares / len as f64).sqrt() as f32 * CLOSE;
            // What is not finite is found by the comparison.
            atol.push(if bound.is_finite() { bound } else { 0.0 });
        }
        Ok(atol)
    }

    /// Numbers of a buffer from `first` on, which is even.
    fn values(
        &mut self,
        memory: &wgpu::Buffer,
        first: usize,
        len: usize,
        is_half: bool,
    ) -> Result<Vec<f32>> {
        let words_to = |len| (bytes_of(len, is_half) / 4) as usize;
        let words = self.fetch(memory, words_to(first), words_to(len))?;
        let mut all = words;
        if is_half {
            let packed = std::mem::replace(&mut all, vec![0; len]);
            halve::unpack(&packed, &mut all);
        }
        Ok(all.into_iter().map(f32::from_bits).collect())
    }

    /// What is wrong with the results: those that are not close to the first form's, or not equal to
    /// those of the same form's first run.
    fn compare(&mut self, contest: &Contest, with_first_form: bool) -> Result<Option<String>> {
        let wants = if with_first_form { &contest.first } else { &contest.before };
        for ((i, want), &atol) in Self::results(contest).zip(wants).zip(&contest.atol) {
            let (buffer, is_half) = (&contest.plan.buffers[i], contest.is_half[i]);
            let got = contest.buffers[i].clone().expect("kept buffers have memory");
            let tolerances = if with_first_form { [atol, CLOSE] } else { [0.0; 2] };
            let (wrong, first) = self.differences(buffer.len, tolerances, &got, want, is_half)?;
            if wrong == 0 {
                continue;
            }
            let even = first / 2 * 2;
            let count = 2.min(buffer.len - even);
            let at = |values: Vec<f32>| values[first - even];
            let [got, want] = [
                at(self.values(&got, even, count, is_half)?),
                at(self.values(want, even, count, is_half)?),
            ];
            let from = if with_first_form {
                "are not close to those of the first form"
            } else {
                "are not those of the run before"
            };
            return Ok(Some(format!(
                "{}: {wrong} of {} numbers {from}; number {first} is {got} and was {want}",
                buffer.name, buffer.len
            )));
        }
        Ok(None)
    }

    /// How many numbers of two buffers are not close, and the first of them.
    fn differences(
        &mut self,
        len: usize,
        [atol, rtol]: [f32; 2],
        got: &wgpu::Buffer,
        want: &wgpu::Buffer,
        is_half: bool,
    ) -> Result<(u64, usize)> {
        let slices = SLICES.min(len as u32);
        let call = Call::AllcloseCount(allclose::Params { len: len as u32, slices, atol, rtol });
        let halves: &[&str] = if is_half { &["got", "want"] } else { &[] };
        let (plan, is_half) = plan_of(&call, halves);
        let mut buffers = vec![Some(got.clone()), Some(want.clone())];
        let counts = self.allocate(&counts_of(&call), &[false])?.swap_remove(0);
        buffers.push(counts.clone());
        let before = std::mem::take(&mut self.overrides);
        let bound = self.bind(&plan, &is_half, &buffers);
        self.overrides = before;
        let mut encoder = self.connection.device.create_command_encoder(&Default::default());
        bound?[0][0].record(&mut encoder.begin_compute_pass(&Default::default()));
        self.submit(encoder.finish())?;
        let counts = counts.expect("kept buffers have memory");
        let counts = self.fetch(&counts, 0, 3 * slices as usize)?;
        let column = |number: usize| counts.iter().skip(number).step_by(3);
        let wrong = column(1).map(|&count| u64::from(count)).sum();
        Ok((wrong, column(2).copied().min().unwrap_or(0) as usize))
    }

    /// Doubles a number of the results, if a test asks for it.
    fn spoil_result(
        &mut self,
        contest: &Contest,
        contestant: &Contestant,
        run: usize,
    ) -> Result<()> {
        let (pass, form) = (contest.call.signature().name, contestant.form);
        if self.overrides.spoiled != Some((pass, form)) {
            return Ok(());
        }
        let i = Self::results(contest).start;
        let memory = contest.buffers[i].clone().expect("kept buffers have memory");
        let (len, is_half) = (contest.plan.buffers[i].len, contest.is_half[i]);
        let mut rng = stream(run as u64, Purpose::Test, len as u64, 0);
        // One that is large enough to be missed: zeros stay as they are.
        for _ in 0..1000 {
            let even = below(&mut rng, len as u64 / 2) as usize * 2;
            let mut pair = self.values(&memory, even, 2, is_half)?;
            if pair[0].abs() > 8.0 * contest.atol.first().copied().unwrap_or(0.0) {
                pair[0] *= 2.0;
                let words: Vec<u32> = pair.iter().map(|value| value.to_bits()).collect();
                let words = if is_half { halve::packed(&words) } else { words };
                let offset = bytes_of(even, is_half);
                self.connection.queue.write_buffer(&memory, offset, bytemuck::cast_slice(&words));
                return Ok(());
            }
        }
        Ok(())
    }
}

/// The call alone in a plan, all of whose buffers are kept, in the order of the signature; and which
/// of them hold f16.
fn plan_of(call: &Call, halves: &[&str]) -> (Plan, Vec<bool>) {
    let signature = call.signature();
    let mut b = PlanBuilder::new(format!("contest of {}", signature.name), "run");
    let [reads, writes] = [signature.reads, signature.writes].map(|buffers| {
        let views = buffers.iter().map(|&(name, element)| match element {
            Element::Float => b.kept(name, call.len(name)),
            Element::Uint => b.kept_uint(name, call.len(name)),
        });
        views.collect::<Vec<_>>()
    });
    b.step(*call, &reads, &writes);
    let plan = b.build();
    let is_half = plan.buffers.iter().map(|buffer| halves.contains(&&*buffer.name)).collect();
    (plan, is_half)
}

/// A plan of nothing but the buffer of a comparison's counts.
fn counts_of(call: &Call) -> Plan {
    let mut b = PlanBuilder::new("counts", "run");
    b.kept_uint("counts", call.len("counts"));
    b.build()
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
