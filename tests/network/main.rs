//! The whole network on both executors against the references in f64.
//!
//! Forward, every gradient and three Adam steps with dropout, all outputs of the forward plan, and dropout
//! passes: of both norms, both kinds of dropout, one and several samples, square and other patches.
//! `ASKEM_TEST_ADAPTER` picks the adapter by a part of its name; without one the tests fail. `ASKEM_CASES` below 8 takes
//! fewer networks of each norm.

#[path = "../shared/adapter.rs"]
mod adapter;
mod case;
#[path = "../shared/compare.rs"]
mod compare;
mod faults;

#[path = "../shared/memory.rs"]
mod memory;
mod precisions;
#[path = "../shared/run_plan.rs"]
mod run_plan;
#[path = "../shared/settings.rs"]
mod settings;
mod slices;

use std::sync::{Mutex, OnceLock, PoisonError};

use askem::compute::cpu::CpuExecutor;
use askem::compute::executor::Executor;
use askem::compute::gpu::GpuExecutor;
use askem::compute::plan::Plan;
use askem::network::unet::{Norm, Output};

use case::{Answers, Case, STEPS, references, well_defined};
use compare::{Tensor, compare};
use run_plan::{OnDevice, RunPlan};
use settings::number;

/// One GPU device and one thread pool for all tests of the process.
fn with_executors(mut act: impl FnMut(&mut dyn Executor)) {
    static EXECUTORS: OnceLock<Mutex<(GpuExecutor, CpuExecutor)>> = OnceLock::new();
    let executors = EXECUTORS.get_or_init(|| {
        let cpu = CpuExecutor::new(Some(2)).expect("two threads start");
        Mutex::new((adapter::open("network"), cpu))
    });
    // A failed test leaves the executors as they were.
    let mut executors = executors.lock().unwrap_or_else(PoisonError::into_inner);
    act(&mut executors.0);
    act(&mut executors.1);
}

/// Runs a plan on both executors and compares all tensors.
fn agree(
    case: &Case,
    plan: &Plan,
    answers: &Answers,
    act: impl Fn(&mut dyn RunPlan) -> Vec<Tensor>,
) {
    let allowed = compare::allowed(&answers.plain, &answers.exact);
    with_executors(|executor| {
        let device = executor.name();
        let got = act(&mut OnDevice::new(executor, plan.clone(), &case.label()));
        match compare(&got, &answers.exact, &allowed) {
            Ok(worst) => eprintln!(
                "{} on {device}: {} tensors, worst {} (used {:.3})",
                case.label(),
                got.len(),
                worst.name,
                worst.used
            ),
            Err(what) => panic!("{} on {device}:\n{what}", case.label()),
        }
    });
}

/// All networks, or fewer where that is asked for.
fn cases(norm: Norm) -> Vec<Case> {
    let count = number("ASKEM_CASES", 8);
    assert!(count > 0, "ASKEM_CASES=0 tests nothing");
    Case::some(norm, count as usize)
}

fn training(norm: Norm) {
    for case in cases(norm) {
        let (case, answers) = well_defined(case);
        let plan = case.training_plan();
        agree(&case, &plan.plan, &answers, |run| case.train(run, &plan));
    }
}

fn scoring(norm: Norm) {
    use Output::{EmbeddingFlat, EmbeddingMean, Entropy, LeastConfidence, Probabilities};
    for case in cases(norm) {
        // Embeddings alone take a plan without a decoder.
        for outputs in [
            &[EmbeddingFlat, Entropy, Probabilities, LeastConfidence, EmbeddingMean][..],
            &[EmbeddingMean, EmbeddingFlat],
            &[LeastConfidence],
        ] {
            let plan = case.forward_plan(outputs);
            let answers = references(&plan.plan, |run| case.forward(run, &plan));
            agree(&case, &plan.plan, &answers, |run| case.forward(run, &plan));
        }
        for stacked in [1, STEPS] {
            let plan = case.mc_plan(stacked);
            let answers = references(&plan.plan, |run| case.mc_dropout(run, &plan));
            agree(&case, &plan.plan, &answers, |run| case.mc_dropout(run, &plan));
        }
    }
}

#[test]
fn statistics_measured_for_batch_norm() {
    for case in cases(Norm::Batch) {
        for dropout in [false, true] {
            let plan = case.statistics_plan(dropout);
            assert_eq!(plan.keys.is_some(), dropout);
            let answers = references(&plan.plan, |run| case.measure(run, &plan));
            agree(&case, &plan.plan, &answers, |run| case.measure(run, &plan));
        }
    }
}

#[test]
fn training_with_batch_norm() {
    training(Norm::Batch);
}

#[test]
fn training_with_instance_norm() {
    training(Norm::Instance);
}

#[test]
fn scoring_with_batch_norm() {
    scoring(Norm::Batch);
}

#[test]
fn scoring_with_instance_norm() {
    scoring(Norm::Instance);
}
