//! A trial: one call on drawn data, run by an executor and judged by the reference.
//!
//! Self-tests of devices and the parity tests are made of trials.

mod draw;
mod drawn;
mod judge;

use askem_kernels::{Call, Element};
use askem_wgsl::entry_of;

pub use judge::Verdict;

use crate::compute::executor::Executor;
use crate::compute::plan::{ALIGNMENT, PlanBuilder, View};
use crate::compute::precision::Precision;
use crate::error::Result;

/// What the numbers of a trial look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Between -2 and 2.
    Normal,
    /// Around 100, where differences cancel.
    Offset,
    /// Around 1e-12, whose squares are still normal numbers.
    Tiny,
    /// All the same.
    Constant,
    /// Few small integers, so that many are equal and sums are exact.
    Ties,
}

impl Style {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Normal, Self::Offset, Self::Tiny, Self::Constant, Self::Ties];
}

/// One call with the contents of its buffers, as four-byte words.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The pass and its parameters.
    pub call: Call,
    /// How the numbers were drawn.
    pub style: Style,
    /// In what numbers the pass is to be computed.
    pub precision: Precision,
    /// In the order of the signature.
    pub reads: Vec<Vec<u32>>,
    /// What the written buffers hold before the run: numbers where the pass updates them,
    /// else [`NAN_BITS`].
    pub writes: Vec<Vec<u32>>,
}

/// A NaN with a recognisable payload, which f16 keeps; as an integer it is far beyond every index.
pub const NAN_BITS: u32 = 0x7fc0_c000;

/// Fills what lies around the views of a trial. A NaN too, so that results which depend on it show.
const GUARD_BITS: u32 = 0x7fc0_a000;

impl Trial {
    /// Draws the buffers of a call. The same arguments give the same bits.
    pub fn draw(call: Call, style: Style, seed: u64) -> Self {
        let signature = call.signature();
        let contents = |name: &str| draw::words(&call, name, style, seed);
        let writes = signature.writes.iter().map(|&(name, _)| {
            if updates(signature.name, name) {
                contents(name)
            } else {
                vec![NAN_BITS; call.len(name)]
            }
        });
        Self {
            call,
            style,
            precision: Precision::F32,
            reads: signature.reads.iter().map(|&(name, _)| contents(name)).collect(),
            writes: writes.collect(),
        }
    }
}

impl Trial {
    /// The same for a device of this precision: its numbers are such that rounding them to f16 changes nothing.
    #[must_use]
    pub fn at(mut self, precision: Precision) -> Self {
        self.precision = precision;
        if precision == Precision::F32 {
            return self;
        }
        let signature = self.call.signature();
        let scale = gradient_scale(&self.call);
        let reads = self.reads.iter_mut().zip(signature.reads);
        for (words, &(name, element)) in reads.chain(self.writes.iter_mut().zip(signature.writes)) {
            if element == Element::Uint {
                continue;
            }
            // Shaders multiply gradients by this before they round them.
            let scale = if name == "dy" { scale } else { 1.0 };
            for word in words.iter_mut().filter(|word| **word != NAN_BITS) {
                let rounded = half::f16::from_f32(f32::from_bits(*word)).to_f32();
                *word = (rounded / scale).to_bits();
            }
        }
        self
    }

    /// Whether an output lies in memory as f16.
    fn is_half(&self, output: &str) -> bool {
        let (_, entry) = entry_of(&self.call);
        self.precision != Precision::F32 && entry.stored().any(|stored| stored == output)
    }
}

/// What the shaders for matrix units multiply the gradients of a convolution's output by; 1 for other passes.
pub(crate) fn gradient_scale(call: &Call) -> f32 {
    let pixels = match call {
        Call::Conv2dBackwardInput(p) | Call::Conv2dBackwardWeight(p) => p.n * p.h * p.w,
        Call::Conv2dJoinedBackwardInput(p) => p.n * p.h * p.w,
        Call::Conv2dSplitChannelsBackwardInput(p) => p.n * p.h * p.w,
        Call::Conv2dSplitKBackwardWeight(p) => p.n * p.h * p.w,
        Call::ConvTranspose2dBackwardInput(p) | Call::ConvTranspose2dBackwardWeight(p) => {
            4 * p.n * p.h * p.w
        }
        Call::ConvTranspose2dSplitKBackwardWeight(p) => 4 * p.n * p.h * p.w,
        _ => 1,
    };
    (1_u32 << pixels.ilog2()) as f32
}

/// Whether a pass reads the old contents of a buffer that it writes, or leaves a part of them.
fn updates(pass: &str, buffer: &str) -> bool {
    matches!(
        (pass, buffer),
        ("max_pool2d::backward_input", "dx")
            | (
                "batch_norm::statistics" | "batch_norm_split::merge" | "conv2d_statistics::merge",
                "running_mean" | "running_var"
            )
            | ("adam::update", _)
            | ("bald::accumulate" | "segmentation_head::accumulate", _)
            | ("k_center_greedy::add_center", "sq_dist" | "picks")
            | ("k_means_plus_plus::measure", "nearest" | "trial_sq_dist")
            | ("k_means_plus_plus::draw", _)
            | ("k_means::assign", "assignment")
            | ("k_means::update", "centroids")
            | ("k_means::check_convergence", _)
    )
}

/// Runs the trials as one plan and returns what each wrote, in the order of its signature.
///
/// Every buffer is a view into a larger one that is filled with guards. `None` in place of a
/// buffer means that its guards are gone.
///
/// # Errors
/// What the executor reports.
pub fn run(executor: &mut dyn Executor, trials: &[Trial]) -> Result<Vec<Vec<Option<Vec<u32>>>>> {
    let mut plan = PlanBuilder::new("trials", "run");
    let mut views: Vec<(Vec<View>, Vec<View>)> = Vec::new();
    for (number, trial) in trials.iter().enumerate() {
        let signature = trial.call.signature();
        let mut place = |i: usize, (name, element): (&str, Element)| {
            let len = trial.call.len(name);
            let label = format!("{number} {}: {name}", signature.name);
            // Some views start at an offset, as weights do in their common buffer.
            let offset = (number + i) % 3 * ALIGNMENT;
            let whole = match element {
                Element::Float => plan.kept(&label, offset + len + ALIGNMENT),
                Element::Uint => plan.kept_uint(&label, offset + len + ALIGNMENT),
            };
            View { offset, len, ..whole }
        };
        let reads: Vec<View> =
            signature.reads.iter().enumerate().map(|(i, &b)| place(i, b)).collect();
        let writes: Vec<View> =
            signature.writes.iter().enumerate().map(|(i, &b)| place(i + 1, b)).collect();
        plan.step(trial.call, &reads, &writes);
        views.push((reads, writes));
    }
    let id = executor.prepare(plan.build())?;
    let outputs = run_prepared(executor, id, trials, &views);
    executor.release(id);
    outputs
}

fn run_prepared(
    executor: &mut dyn Executor,
    id: crate::compute::executor::PlanId,
    trials: &[Trial],
    views: &[(Vec<View>, Vec<View>)],
) -> Result<Vec<Vec<Option<Vec<u32>>>>> {
    let mut words = Vec::new();
    for (trial, (reads, writes)) in trials.iter().zip(views) {
        let contents = trial.reads.iter().chain(&trial.writes);
        for (view, contents) in reads.iter().chain(writes).zip(contents) {
            words.clear();
            words.resize(view.offset, GUARD_BITS);
            words.extend_from_slice(contents);
            words.resize(view.offset + view.len + ALIGNMENT, GUARD_BITS);
            executor.write(id, view.buffer, &words)?;
        }
    }
    executor.run(id, "run")?;
    let mut outputs = Vec::with_capacity(trials.len());
    for (_, writes) in views {
        let mut written = Vec::with_capacity(writes.len());
        for view in writes {
            words.clear();
            words.resize(view.offset + view.len + ALIGNMENT, 0);
            executor.read(id, view.buffer, &mut words)?;
            let (head, rest) = words.split_at(view.offset);
            let (data, tail) = rest.split_at(view.len);
            let whole = head.iter().chain(tail).all(|&word| word == GUARD_BITS);
            written.push(whole.then(|| data.to_vec()));
        }
        outputs.push(written);
    }
    Ok(outputs)
}
