//! The whole network in f16 and on matrix units, against the references in f64.
//!
//! Rounding to f16 takes other branches at ReLUs and pools here and there, and training goes apart from there: no bound of practical
//! use follows from the number of roundings. What such a computation can reach is measured instead: the f64 reference runs the same plan
//! on a network and images that were rounded to f16, and results may be farther from f64 than that is by a factor, not more.

use askem::compute::plan::BufferId;
use askem::compute::precision::Precision;
use askem::network::unet::{DropoutKind, Norm, Output, UNet};

use crate::adapter;
use crate::case::{Case, STEPS, references};
use crate::compare::Tensor;
use crate::run_plan::{ByReference, OnDevice, RunPlan};

/// How much farther from f64 a result may be. Maps are rounded too, and not only what comes in.
const FACTOR: f64 = 4.0;
/// What each result is granted, relative to its size: some roundings of f16.
const SPARE: f64 = 5e-4;

/// Runs a plan on numbers that were rounded to f16.
struct Rounded<'a>(&'a mut dyn RunPlan);

impl RunPlan for Rounded<'_> {
    fn write(&mut self, buffer: BufferId, values: &[f64]) {
        let rounded: Vec<f64> = values.iter().map(|&v| half::f16::from_f64(v).to_f64()).collect();
        self.0.write(buffer, &rounded);
    }
    fn write_uint(&mut self, buffer: BufferId, values: &[u32]) {
        self.0.write_uint(buffer, values);
    }
    fn read(&mut self, buffer: BufferId) -> Vec<f64> {
        self.0.read(buffer)
    }
    fn run(&mut self, section: &str) {
        self.0.run(section);
    }
}

/// What stands before `/` in the name; a loss is a number of another size than the gradients of its step.
fn group(tensor: &Tensor) -> &str {
    if tensor.name.ends_with("/loss") {
        return &tensor.name;
    }
    tensor.name.split('/').next().expect("a split has one part")
}

/// The distance from f64, relative to the tensors' length, of all tensors of a group together.
fn distance(of: &str, got: &[Tensor], exact: &[Tensor]) -> f64 {
    let mut sums = [0.0, 0.0];
    for (got, exact) in got.iter().zip(exact).filter(|(got, _)| group(got) == of) {
        assert_eq!((&got.name, got.values.len()), (&exact.name, exact.values.len()));
        for (got, exact) in got.values.iter().zip(&exact.values) {
            sums[0] += (got - exact).powi(2);
            sums[1] += exact.powi(2);
        }
    }
    assert!(sums[1] > 0.0, "{of}: nothing to compare");
    (sums[0] / sums[1]).sqrt()
}

/// Runs a plan on the device and by the references, and compares.
fn near(
    what: &str,
    mut on_device: OnDevice<'_>,
    plan: &askem::compute::plan::Plan,
    act: impl Fn(&mut dyn RunPlan) -> Vec<Tensor>,
) {
    let got = act(&mut on_device);
    drop(on_device);
    let exact = references(plan, |run| act(run)).exact;
    let rounded = act(&mut Rounded(&mut ByReference::<f64>::new(plan.clone())));
    let mut groups: Vec<&str> = got.iter().map(group).collect();
    groups.dedup();
    assert!(!groups.is_empty(), "{what}: nothing to compare");
    for of in groups {
        let (off, of_rounding) = (distance(of, &got, &exact), distance(of, &rounded, &exact));
        eprintln!("{what}: {of}: {off:.6}, rounded alone {of_rounding:.6}");
        // NaN is not near.
        assert!(off <= FACTOR * of_rounding + SPARE, "{what}: {of}: {off}, allowed {of_rounding}");
        // Exactly the results of f32 would mean that nothing was rounded.
        assert!(off > 1e-6 || of.ends_with("/loss"), "{what}: {of}: {off}");
    }
}

fn network_in(precision: Precision) {
    // A driver that has it not is tested for that in tests/parity.
    let Ok(mut gpu) = adapter::open_at("network", precision) else { return };
    for (norm, dropout_kind) in
        [(Norm::Batch, DropoutKind::Channel), (Norm::Instance, DropoutKind::Element)]
    {
        // Wide enough for matrix units.
        let net = UNet { width: 8, classes: 2, context: 0, norm, dropout: 0.25, dropout_kind };
        let case = Case { net, n: 2, h: 32, w: 32, seed: 0, warped: false };
        let what = format!("{} in {precision}", case.label());
        let outputs = [Output::Probabilities, Output::Entropy, Output::EmbeddingMean];
        for outputs in [&outputs[..], &outputs[1..2]] {
            let plan = case.forward_plan(outputs);
            let run = OnDevice::new(&mut gpu, plan.plan.clone(), &what);
            near(&what, run, &plan.plan, |run| case.forward(run, &plan));
        }
        let plan = case.mc_plan(STEPS);
        let run = OnDevice::new(&mut gpu, plan.plan.clone(), &what);
        near(&what, run, &plan.plan, |run| case.mc_dropout(run, &plan));
        let plan = case.training_plan();
        let run = OnDevice::new(&mut gpu, plan.plan.clone(), &what);
        near(&what, run, &plan.plan, |run| case.train(run, &plan));
    }
}

#[test]
fn training_and_scoring_in_f16() {
    network_in(Precision::F16);
}

#[test]
fn training_and_scoring_on_matrix_units() {
    network_in(Precision::Tensor);
}
