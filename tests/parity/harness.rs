//! Runs trials on the GPU and on the processor.

use std::fmt::Debug;
use std::sync::{Mutex, OnceLock, PoisonError};

use askem::compute::cpu::CpuExecutor;
use askem::compute::device::trial::{self, Style, Trial, Verdict};
use askem::compute::executor::Executor;
use askem::compute::gpu::GpuExecutor;
use askem::compute::plan::ALIGNMENT;
use askem_kernels::Call;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::adapter;
use crate::settings::number;

/// One GPU device and one thread pool for all tests of the process.
struct Executors {
    gpu: GpuExecutor,
    cpu: CpuExecutor,
}

fn executors() -> &'static Mutex<Executors> {
    static EXECUTORS: OnceLock<Mutex<Executors>> = OnceLock::new();
    EXECUTORS.get_or_init(|| {
        let mut gpu = adapter::open("parity");
        gpu.set_slack(ALIGNMENT);
        let cpu = CpuExecutor::new(Some(2)).expect("two threads start");
        Mutex::new(Executors { gpu, cpu })
    })
}

/// Runs one trial on both executors. `Ok(false)` where the data prove nothing.
pub(crate) fn check(call: Call, style: Style, seed: u64) -> Result<bool, String> {
    let trial = Trial::draw(call, style, seed);
    let mut proved = Ok(true);
    with_executors(|executor| {
        if !matches!(proved, Ok(true)) {
            return;
        }
        let outputs = trial::run(executor, std::slice::from_ref(&trial));
        proved = match outputs.map(|outputs| trial.judge(&outputs[0])) {
            Ok(Verdict::Agrees(_)) => Ok(true),
            Ok(Verdict::Unbounded) => Ok(false),
            Ok(Verdict::Differs(what)) => Err(format!("{}: {what}", executor.name())),
            Err(error) => Err(format!("{}: {error}", executor.name())),
        };
    });
    proved
}

/// Does the same on the GPU and on the processor, and lets no other test in between.
pub(crate) fn with_executors(mut act: impl FnMut(&mut dyn Executor)) {
    // A failed test leaves the executors as they were.
    let mut executors = executors().lock().unwrap_or_else(PoisonError::into_inner);
    act(&mut executors.gpu);
    act(&mut executors.cpu);
}

/// Does it on the GPU alone.
pub(crate) fn with_gpu(act: impl FnOnce(&mut dyn Executor)) {
    act(&mut executors().lock().unwrap_or_else(PoisonError::into_inner).gpu);
}

/// Checks a pass on drawn parameters and data.
pub(crate) fn parity<P: Debug>(
    pass: &str,
    params: impl Strategy<Value = P>,
    call: impl Fn(P) -> Call,
) {
    let check = |params, style, seed| check(call(params), style, seed);
    cases(pass, number("ASKEM_CASES", 128), params, check);
}

/// The same with a check of one's own, which says `Ok(false)` where the data prove nothing.
pub(crate) fn cases<P: Debug>(
    pass: &str,
    cases: u32,
    params: impl Strategy<Value = P>,
    check: impl Fn(P, Style, u64) -> Result<bool, String>,
) {
    assert!(cases > 0, "ASKEM_CASES=0 tests nothing");
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&number("ASKEM_SEED", 0).to_le_bytes());
    // Every pass has its own sequence.
    seed[4..].iter_mut().zip(pass.bytes()).for_each(|(seed, byte)| *seed = byte);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let case = (params, prop::sample::select(&Style::ALL[..]), any::<u64>());
    let result = TestRunner::new_with_rng(config, rng).run(&case, |(params, style, seed)| {
        match check(params, style, seed) {
            Ok(true) => Ok(()),
            Ok(false) => Err(TestCaseError::reject("ill-conditioned data")),
            Err(what) => Err(TestCaseError::fail(what)),
        }
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(what, (params, style, seed))) => {
            panic!("{pass}: {what}\nreplay: {params:?}, Style::{style:?}, seed {seed}")
        }
        Err(error) => panic!("{pass}: {error}"),
    }
}
