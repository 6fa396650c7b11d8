//! Which forms of its shaders a GPU computes right.
//!
//! Drivers have bugs that no test of ours on another machine can show. So each GPU computes
//! every form of every pass once before it is used. The parity tests are the thorough form.

mod calls;
mod verdict;

use askem_kernels::Call;

use self::calls::{large, several_tiles};
use crate::compute::device::self_test::{fault, small, trials};
use crate::compute::device::trial;
use crate::compute::gpu::GpuExecutor;
use crate::compute::gpu::pipelines::Wanted;
use crate::error::{Error, Result};

impl GpuExecutor {
    /// Tests every form in which the device can run a pass, and leaves out those that are wrong. What an earlier start found of the
    /// same device, driver and build of the program counts, unless it is to be tested `again`.
    ///
    /// On small data each form is compared with the reference. On hardware, where races between lanes show only on large data,
    /// every number of about a million is compared besides, with those of the first form and with those of the same form's other runs.
    ///
    /// # Errors
    /// [`Error::Device`] where a pass has no form left that is right, or the precision none that makes it what it is; and where
    /// the device fails.
    pub fn self_test(&mut self, again: bool) -> Result<()> {
        if let Some(verdict) = self.kept_verdict().filter(|_| !again) {
            verdict.left_out.iter().for_each(|form| {
                self.left_out.insert_by_name(form);
            });
            return verdict.refused.map_or(Ok(()), |what| {
                Err(Error::Device(format!(
                    "{what} (so it was found before; askem devices tests it again)"
                )))
            });
        }
        self.test_small()?;
        if !self.is_software() {
            for call in large() {
                self.test_large(&call)?;
            }
        }
        let outcome = self.check_left();
        self.keep_verdict(outcome.as_ref().err());
        self.connection.keep_pipelines();
        outcome
    }

    /// Compares every form with the reference, on small data.
    fn test_small(&mut self) -> Result<()> {
        let calls: Vec<Call> = small().into_iter().chain(several_tiles()).collect();
        self.compile_forms(&calls)?;
        let mut wrong = Vec::new();
        for number in 0.. {
            let with_form = |call: &&Call| self.forms_of(call).len() > number;
            let calls: Vec<Call> = calls.iter().filter(with_form).copied().collect();
            if calls.is_empty() {
                break;
            }
            self.set_form(Some(number));
            let faults = faults(self, &calls);
            self.set_form(None);
            wrong.extend(faults?.into_iter().map(|(call, what)| {
                let form = self.forms_of(&call)[number];
                (call.signature().name, form, what)
            }));
        }
        // Only now, since forms are numbered among those that are left.
        for (pass, form, what) in wrong {
            self.left_out.insert(pass, form, what);
        }
        Ok(())
    }

    /// Compiles all forms of calls at once, so that no thread of the processor waits for the slowest of a few.
    fn compile_forms(&mut self, calls: &[Call]) -> Result<()> {
        let mut wanted = Vec::new();
        for call in calls {
            let halves = self.likely_halves(call);
            wanted.extend(self.forms_of(call).into_iter().map(|form| Wanted {
                call: *call,
                form,
                is_specialised: false,
                halves: halves.clone(),
            }));
        }
        self.pipelines.compile(&self.connection, &wanted)
    }

    /// Compares every number of a large result among the forms of a call, and among the runs of each; leaves out those that differ.
    ///
    /// # Errors
    /// If the device fails.
    pub fn test_large(&mut self, call: &Call) -> Result<()> {
        let halves = self.likely_halves(call);
        let mut contest = match self.contest(call, &halves) {
            Ok(contest) => contest,
            // Such a small device is tested on small data.
            Err(Error::TooLarge(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut wrong = Vec::new();
        for form in self.forms_of(call) {
            let contestant = match self.contestant(&contest, form, false) {
                Ok(contestant) => contestant,
                Err(Error::Device(what)) => {
                    self.connection.check()?;
                    wrong.push((form, what));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let what =
                self.judge(&mut contest, &contestant, 0..LARGE_RUNS, |gpu, dispatches, _| {
                    gpu.run_dispatches(dispatches)
                })?;
            wrong.extend(what.map(|what| (form, what)));
        }
        for (form, what) in wrong {
            self.left_out.insert(call.signature().name, form, what);
        }
        Ok(())
    }
}

/// Runs of each form on large data.
const LARGE_RUNS: usize = 4;

/// Runs the calls in one plan, twice, and finds those that are wrong, or not the same both times, and what is wrong with them.
fn faults(executor: &mut GpuExecutor, calls: &[Call]) -> Result<Vec<(Call, String)>> {
    let trials = trials(executor, calls);
    let both = trial::run(executor, &trials).and_then(|first| {
        let second = trial::run(executor, &trials)?;
        Ok([first, second])
    });
    let [first, second] = match both {
        Ok(both) => both,
        // One that the driver refuses spoils them all: each alone then.
        Err(Error::Device(what)) if calls.len() == 1 => {
            executor.connection.check()?;
            return Ok(vec![(calls[0], what)]);
        }
        Err(Error::Device(_)) => {
            executor.connection.check()?;
            let mut wrong = Vec::new();
            for call in calls {
                wrong.extend(faults(executor, std::slice::from_ref(call))?);
            }
            return Ok(wrong);
        }
        Err(error) => return Err(error),
    };
    let mut wrong = Vec::new();
    for ((trial, first), second) in trials.iter().zip(&first).zip(&second) {
        let differs = || {
            let name = trial.call.signature().name;
            (first != second).then(|| format!("{name}: two runs give different results"))
        };
        wrong.extend(fault(trial, first).or_else(differs).map(|what| (trial.call, what)));
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use askem_kernels::SIGNATURES;

    use super::*;

    #[test]
    fn every_pass_with_several_forms_is_tested_on_large_data() {
        let large: Vec<_> = large().iter().map(|call| call.signature().name).collect();
        for signature in SIGNATURES {
            let (_, entry) = askem_wgsl::find(signature.op, signature.pass).expect("a shader");
            let is_large = large.contains(&signature.name);
            assert_eq!(is_large, entry.forms.len() > 1, "{}", signature.name);
        }
    }
}
