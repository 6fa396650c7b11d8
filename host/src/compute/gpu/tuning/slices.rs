//! In how many slices sums are fastest here, by what was measured of the calls that do them.

use std::cell::RefCell;
use std::collections::BTreeMap;

use askem_kernels::{Call, batch_norm, conv2d_statistics};
use askem_wgsl::entry_of;

use super::super::fuse::{fuse_with, split};
use super::super::{GpuExecutor, Precision};
use crate::compute::plan::Plan;
use crate::error::Result;

/// The choice for something that is summed whole or in slices.
#[derive(Clone, Debug, PartialEq)]
pub struct SlicesChoice {
    /// The call that does it whole.
    pub whole: Call,
    /// Seconds in each number of slices that was measured.
    pub seconds: Vec<(u32, f64)>,
}

impl SlicesChoice {
    /// The fastest number of slices.
    pub fn slices(&self) -> u32 {
        let fastest = self.seconds.iter().min_by(|a, b| a.1.total_cmp(&b.1));
        fastest.map_or(1, |&(slices, _)| slices)
    }
}

impl GpuExecutor {
    /// The plan as it runs here.
    pub(in crate::compute::gpu) fn fused(&self, plan: Plan) -> Plan {
        fuse_with(plan, &|whole| self.slices_of(whole))
    }

    fn slices_of(&self, whole: &Call) -> u32 {
        if let Some(slices) = self.overrides.slices {
            return slices.min(split::most(whole));
        }
        let measured = self.slices_choice(whole);
        measured.map_or_else(|| split::likely(whole, self.cores().count), |choice| choice.slices())
    }

    /// What was measured, if it was for all numbers of slices.
    fn slices_choice(&self, whole: &Call) -> Option<SlicesChoice> {
        let tuning = self.tuning.as_ref()?;
        let seconds_of = |call: &Call| {
            Some(tuning.get(call, &self.likely_halves(call))?.seconds_for_all_sizes())
        };
        let seconds = |slices| {
            let each: Option<Vec<f64>> =
                work(whole, slices, self.cores().count).iter().map(seconds_of).collect();
            Some((slices, each?.iter().sum()))
        };
        let seconds: Option<Vec<_>> =
            split::candidates(whole, self.cores().count).into_iter().map(seconds).collect();
        seconds.map(|seconds| SlicesChoice { whole: *whole, seconds })
    }

    /// The choices for a plan, where there are any, if plans are [tuned](Self::tune).
    pub fn slices_choices(&self, plan: &Plan) -> Vec<SlicesChoice> {
        let choices = wholes(plan, self.cores().count)
            .into_iter()
            .filter_map(|whole| self.slices_choice(&whole));
        choices.filter(|choice| choice.seconds.len() > 1).collect()
    }

    /// Measures what in a plan can be cut in slices, and is new.
    pub(in crate::compute::gpu) fn measure_slices(&mut self, plan: &Plan) -> Result<()> {
        if self.tuning.is_none() {
            return Ok(());
        }
        let mut calls = Vec::new();
        for whole in wholes(plan, self.cores().count) {
            let candidates = split::candidates(&whole, self.cores().count);
            if candidates.len() > 1 {
                calls.extend(
                    candidates
                        .into_iter()
                        .flat_map(|slices| work(&whole, slices, self.cores().count)),
                );
            }
        }
        let with_halves = |call: Call| (call, self.likely_halves(&call));
        let calls = calls.into_iter().map(with_halves).collect();
        self.measure_missing(calls, false)
    }

    /// The buffers of f16 where a plan's maps are: all that can be.
    pub(in crate::compute::gpu) fn likely_halves(&self, call: &Call) -> Vec<&'static str> {
        match self.precision {
            Precision::F32 => Vec::new(),
            Precision::F16 | Precision::Tensor => entry_of(call).1.stored().collect(),
        }
    }
}

/// What a plan would sum in slices.
fn wholes(plan: &Plan, cores: u32) -> Vec<Call> {
    let asked = RefCell::new(BTreeMap::new());
    fuse_with(plan.clone(), &|whole| {
        asked.borrow_mut().insert(format!("{whole:?}"), *whole);
        split::likely(whole, cores)
    });
    asked.into_inner().into_values().collect()
}

/// The calls whose time counts: those that do the work and, of a convolution, those that make the statistics of its output, which is the
/// convolution itself where it is whole.
fn work(whole: &Call, slices: u32, cores: u32) -> Vec<Call> {
    let Call::Conv2dJoinedForward(p) = *whole else { return split::calls(whole, slices) };
    let (n, c_out, h, w) = (p.n, p.c_out, p.h, p.w);
    // Of no consequence for the time.
    let (eps, momentum) = (1e-5, 0.1);
    if slices == 1 {
        let (c_in, c_a, kernel) = (p.c_in, p.c_a, p.kernel);
        let p = conv2d_statistics::Params { n, c_in, c_a, c_out, h, w, kernel, eps, momentum };
        return vec![Call::Conv2dStatisticsForward(p), Call::Conv2dStatisticsMerge(p)];
    }
    let p = batch_norm::Params { n, c: c_out, hw: h * w, eps, momentum };
    let statistics = Call::BatchNormStatistics(p);
    let mut calls = split::calls(whole, slices);
    calls.extend(split::calls(&statistics, split::likely(&statistics, cores)));
    calls
}
