//! The shaders in a browser: headless Chromium computes them with WebGPU, and the results equal the reference.
//!
//! The page (`page.js`) obeys an executor ([`browser`]) over loopback, so that it is judged as every other device is.
//! The browser's compiler and its checks are not naga's and wgpu's. `ASKEM_CASES` is the number of cases per pass
//! (default 6), `ASKEM_SEED` draws others. `./test.sh` installs the browser; without one the tests fail.

mod browser;
#[path = "../network/case.rs"]
mod case;
#[path = "../shared/compare.rs"]
mod compare;
#[path = "../shared/memory.rs"]
mod memory;
#[path = "../shared/params.rs"]
mod params;
#[path = "../shared/passes.rs"]
mod passes;
#[path = "../shared/run_plan.rs"]
mod run_plan;
mod server;
#[path = "../shared/settings.rs"]
mod settings;
#[path = "../shared/tools.rs"]
mod tools;

use std::io::{self, Write as _};

use askem::compute::device::trial::{self, Style, Trial, Verdict};
use askem::compute::executor::Executor as _;
use askem::compute::plan::{ALIGNMENT, Plan};
use askem::network::unet::{Norm, Output};
use askem_kernels::Call;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use browser::Browser;
use case::{Answers, Case, STEPS, references, well_defined};
use compare::{Tensor, compare};
use passes::for_each_pass;
use run_plan::{OnDevice, RunPlan};
use settings::number;

/// Past the capture of output, so that a passing run says it too.
fn say(text: &str) {
    // A message that is not seen changes nothing.
    writeln!(io::stderr(), "{text}").ok();
}

/// `cases` calls of a pass, with parameters as in tests/parity.
fn draw<P>(cases: u32, strategy: impl Strategy<Value = P>, call: impl Fn(P) -> Call) -> Vec<Call> {
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&number("ASKEM_SEED", 0).to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut one = || strategy.new_tree(&mut runner).expect("parameters are drawn").current();
    (0..cases).map(|_| call(one())).collect()
}

/// Calls of every pass.
fn drawn(cases: u32) -> Vec<Vec<Call>> {
    macro_rules! draw_all {
        ($( $op:ident => { $($pass:ident: $call:ident),* $(,)? } )*) => {
            vec![$($(draw(cases, params::$op(), Call::$call)),*),*]
        };
    }
    for_each_pass!(draw_all)
}

#[test]
fn every_pass_in_a_browser() {
    let mut browser = Browser::open(ALIGNMENT);
    say(&format!("browser: passes on {}", browser.name()));
    let cases = number("ASKEM_CASES", 6);
    assert!(cases > 0, "ASKEM_CASES=0 tests nothing");
    let mut failed = Vec::new();
    let mut agreed = 0;
    for calls in drawn(cases) {
        let name = calls[0].signature().name;
        let trials: Vec<Trial> = calls
            .into_iter()
            .zip(0..)
            .map(|(call, i)| Trial::draw(call, Style::ALL[i % Style::ALL.len()], i as u64))
            .collect();
        let outputs = trial::run(&mut browser, &trials);
        let outputs = outputs.unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut proved = 0;
        for (trial, written) in trials.iter().zip(&outputs) {
            match trial.judge(written) {
                Verdict::Agrees(_) => proved += 1,
                // The data prove nothing; others have to.
                Verdict::Unbounded => {}
                Verdict::Differs(what) => {
                    failed.push(format!("{what}\n{:?}, Style::{:?}", trial.call, trial.style));
                }
            }
        }
        if proved == 0 {
            failed.push(format!("{name}: no case proves anything"));
        }
        agreed += proved;
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    say(&format!("browser: {agreed} cases agree"));
}

/// Whether a plan of a network gives what the references do.
fn agree(
    browser: &mut Browser,
    case: &Case,
    plan: &Plan,
    answers: &Answers,
    act: impl Fn(&mut dyn RunPlan) -> Vec<Tensor>,
) {
    let allowed = compare::allowed(&answers.plain, &answers.exact);
    let got = act(&mut OnDevice::new(browser, plan.clone(), &case.label()));
    let worst = compare(&got, &answers.exact, &allowed)
        .unwrap_or_else(|what| panic!("{} in a browser:\n{what}", case.label()));
    let (label, tensors) = (case.label(), got.len());
    say(&format!("browser: {label}: {tensors} tensors, worst {} ({:.3})", worst.name, worst.used));
}

/// Three steps of training with dropout, a pass without it, passes with it, and batch norm's statistics.
#[test]
fn networks_in_a_browser() {
    let mut browser = Browser::open(0);
    say(&format!("browser: networks on {}", browser.name()));
    let browser = &mut browser;
    for norm in [Norm::Batch, Norm::Instance] {
        let (case, answers) = well_defined(Case::some(norm, 1)[0]);
        let plan = case.training_plan();
        agree(browser, &case, &plan.plan, &answers, |run| case.train(run, &plan));
        let plan = case.forward_plan(&[Output::Entropy, Output::EmbeddingMean]);
        let answers = references(&plan.plan, |run| case.forward(run, &plan));
        agree(browser, &case, &plan.plan, &answers, |run| case.forward(run, &plan));
        let plan = case.mc_plan(STEPS);
        let answers = references(&plan.plan, |run| case.mc_dropout(run, &plan));
        agree(browser, &case, &plan.plan, &answers, |run| case.mc_dropout(run, &plan));
        if norm == Norm::Batch {
            let plan = case.statistics_plan(true);
            let answers = references(&plan.plan, |run| case.measure(run, &plan));
            agree(browser, &case, &plan.plan, &answers, |run| case.measure(run, &plan));
        }
    }
}
