//! Whether a device computes what the references define, on small data.

mod calls;

use askem_kernels::Call;

use self::calls::calls;
use crate::compute::device::trial::{self, Style, Trial, Verdict};
use crate::compute::executor::Executor;
use crate::error::{Error, Result};

/// Computes every pass on small data and compares with the references.
///
/// # Errors
/// [`Error::Device`] that names the first pass that is wrong, and how.
pub fn run(executor: &mut dyn Executor) -> Result<()> {
    let trials = trials(executor, &calls());
    let outputs = trial::run(executor, &trials)?;
    for (trial, written) in trials.iter().zip(&outputs) {
        if let Some(what) = fault(trial, written) {
            return Err(Error::Device(format!("{} fails the self-test: {what}", executor.name())));
        }
    }
    Ok(())
}

/// One call of every pass.
#[cfg(feature = "gpu")]
pub(crate) fn small() -> Vec<Call> {
    calls()
}

/// A trial of each call.
pub(crate) fn trials(executor: &dyn Executor, calls: &[Call]) -> Vec<Trial> {
    let precision = executor.precision();
    let trial = |(&call, seed)| Trial::draw(call, Style::Normal, seed).at(precision);
    calls.iter().zip(0..).map(trial).collect()
}

/// What is wrong with the outputs of a trial.
pub(crate) fn fault(trial: &Trial, written: &[Option<Vec<u32>>]) -> Option<String> {
    match trial.judge(written) {
        Verdict::Agrees(_) => None,
        Verdict::Differs(what) => Some(what),
        Verdict::Unbounded => Some(format!("{:?}: the test proves nothing", trial.call)),
    }
}

#[cfg(test)]
mod tests {
    use askem_kernels::SIGNATURES;

    use super::*;
    use crate::compute::cpu::CpuExecutor;

    #[test]
    fn every_pass_is_tested() {
        let tested: Vec<_> = calls().iter().map(|call| call.signature().name).collect();
        for signature in SIGNATURES {
            assert!(tested.contains(&signature.name), "{} is not in the self-test", signature.name);
        }
    }

    #[test]
    fn the_cpu_executor_passes() {
        let mut executor = CpuExecutor::new(Some(2)).expect("two threads start");
        run(&mut executor).expect("the fast forms agree with the references");
    }

    /// An executor that computes correctly and then spoils one bit of the results.
    struct Spoiler(CpuExecutor);

    impl Executor for Spoiler {
        fn name(&self) -> String {
            "spoiler".into()
        }
        fn prepare(
            &mut self,
            plan: crate::compute::plan::Plan,
        ) -> Result<crate::compute::executor::PlanId> {
            self.0.prepare(plan)
        }
        fn plan(&self, id: crate::compute::executor::PlanId) -> &crate::compute::plan::Plan {
            self.0.plan(id)
        }
        fn release(&mut self, id: crate::compute::executor::PlanId) {
            self.0.release(id);
        }
        fn write(
            &mut self,
            id: crate::compute::executor::PlanId,
            buffer: crate::compute::plan::BufferId,
            data: &[u32],
        ) -> Result<()> {
            self.0.write(id, buffer, data)
        }
        fn read(
            &mut self,
            id: crate::compute::executor::PlanId,
            buffer: crate::compute::plan::BufferId,
            data: &mut [u32],
        ) -> Result<()> {
            self.0.read(id, buffer, data)?;
            if self.0.plan(id).buffers[buffer.index()].name.contains("conv2d::forward: y") {
                let middle = data.len() / 2;
                data[middle] ^= 1 << 16;
            }
            Ok(())
        }
        fn run(&mut self, id: crate::compute::executor::PlanId, section: &str) -> Result<()> {
            self.0.run(id, section)
        }
    }

    #[test]
    fn a_wrong_result_is_found_and_named() {
        let mut executor = Spoiler(CpuExecutor::new(Some(1)).expect("a thread starts"));
        let error = run(&mut executor).expect_err("a spoiled result fails").to_string();
        assert!(error.contains("conv2d::forward: y"), "{error}");
    }
}
