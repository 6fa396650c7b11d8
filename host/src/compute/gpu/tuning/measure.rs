//! Measures the forms of a pass.

use std::time::Instant;

use askem_kernels::Call;

use super::super::agreement::{Contest, Contestant};
use super::super::{Dispatch, GpuExecutor};
use super::{Choice, key};
use crate::error::{Error, Result};

/// Runs of a form that may be the fastest, of which the fastest counts: what disturbs a run only makes it slower.
const RUNS: usize = 5;

/// A form whose first timed run takes so many times the fastest form's is not run again.
const HOPELESS: f64 = 1.5;

impl GpuExecutor {
    /// Seconds of each form in which a call can run, with these buffers of f16, but for those that are `known`.
    ///
    /// A form whose results are others than those of the first form, or others each time, is left out from then on, for all calls.
    pub(in crate::compute::gpu) fn measure(
        &mut self,
        call: &Call,
        halves: &[&'static str],
        known: Option<Choice>,
    ) -> Result<Choice> {
        let mut contest = self.contest(call, halves)?;
        let mut choice = known.unwrap_or_else(|| Choice {
            pass: call.signature().name.into(),
            call: key(call, halves),
            seconds: Vec::new(),
            specialised_seconds: None,
        });
        for form in self.forms_of(call) {
            // The first form is always run: it says what is right.
            let is_known = choice.seconds.iter().any(|&(known, _)| known == form);
            if is_known && contest.has_first() {
                continue;
            }
            match self.time(&mut contest, form, false, choice.seconds_for_all_sizes())? {
                Ok(seconds) if !is_known => choice.seconds.push((form, seconds)),
                Ok(_) => {}
                Err(what) => self.leave_out(call, form, what)?,
            }
        }
        Ok(choice)
    }

    /// Seconds of a form in a module that has the call's sizes as constants; infinite where its results are others than those of the
    /// first form, or the driver refuses the module.
    pub(in crate::compute::gpu) fn measure_specialised(
        &mut self,
        call: &Call,
        halves: &[&'static str],
        choice: &Choice,
    ) -> Result<f64> {
        let mut contest = self.contest(call, halves)?;
        let forms = self.forms_of(call);
        let first = forms[0];
        let fastest = choice.seconds_for_all_sizes();
        if let Err(what) = self.time(&mut contest, first, false, 0.0)? {
            self.leave_out(call, first, what)?;
            return Ok(f64::INFINITY);
        }
        let form = choice.fastest_of(&forms).unwrap_or(first);
        Ok(self.time(&mut contest, form, true, fastest)?.unwrap_or(f64::INFINITY))
    }

    /// Seconds of the call in a form, or what is wrong with it; one that is slower than `fastest` beyond hope is run only twice.
    fn time(
        &mut self,
        contest: &mut Contest,
        form: usize,
        specialised: bool,
        fastest: f64,
    ) -> Result<std::result::Result<f64, String>> {
        let contestant = match self.contestant(contest, form, specialised) {
            Ok(contestant) => contestant,
            // The driver does not compile it. One that is lost fails the next call too.
            Err(Error::Device(what)) => {
                self.connection.check()?;
                return Ok(Err(what));
            }
            Err(error) => return Err(error),
        };
        let first = match self.fastest_run(contest, &contestant, 1)? {
            Ok(first) if first <= HOPELESS * fastest => first,
            other => return Ok(other),
        };
        let rest = self.fastest_run(contest, &contestant, RUNS - 1)?;
        Ok(rest.map(|rest| first.min(rest)))
    }

    /// Seconds of the fastest of so many runs, after one that is not timed; or what is wrong with the form.
    fn fastest_run(
        &mut self,
        contest: &mut Contest,
        contestant: &Contestant,
        runs: usize,
    ) -> Result<std::result::Result<f64, String>> {
        let mut best = f64::INFINITY;
        let wrong = self.judge(contest, contestant, 0..=runs, |gpu, dispatches, number| {
            let seconds = gpu.clock(dispatches)?[0];
            if number > 0 {
                best = best.min(seconds);
            }
            Ok(())
        })?;
        Ok(wrong.map_or(Ok(best), Err))
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
