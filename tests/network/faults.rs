//! The comparison of networks sees faults: each of these is one, and each has to be found.

use askem::compute::cpu::CpuExecutor;
use askem::compute::plan::{Plan, Step};
use askem::network::unet::{DropoutKind, Norm, UNet};
use askem_kernels::Call;

use crate::case::{Case, well_defined};
use crate::compare::{self, Tensor, compare};
use crate::run_plan::OnDevice;

fn case(norm: Norm) -> Case {
    let dropout_kind = DropoutKind::Channel;
    let net = UNet { width: 2, classes: 2, context: 0, norm, dropout: 0.25, dropout_kind };
    Case { net, n: 3, h: 32, w: 32, seed: 0, warped: false }
}

/// Trains with a plan that `spoil` has changed, and expects that the comparison says so.
fn found(norm: Norm, what: &str, spoil: impl Fn(&mut Plan)) {
    let (case, answers) = well_defined(case(norm));
    let allowed = compare::allowed(&answers.plain, &answers.exact);
    let plan = case.training_plan();
    let mut cpu = CpuExecutor::new(Some(2)).expect("two threads start");
    let mut train = |plan_: &Plan, label: &str| {
        let got = case.train(&mut OnDevice::new(&mut cpu, plan_.clone(), label), &plan);
        compare(&got, &answers.exact, &allowed)
    };
    train(&plan.plan, "right").expect("the right plan agrees");
    let mut wrong = plan.plan.clone();
    spoil(&mut wrong);
    let error = train(&wrong, "wrong").expect_err(what);
    eprintln!(
        "{what}: {} tensors differ, such as {}",
        error.lines().count(),
        error.lines().next().unwrap_or("")
    );
}

/// Changes the `number`-th step of the pass `name`.
fn change(plan: &mut Plan, name: &str, number: usize, act: impl Fn(&mut Step)) {
    let steps = plan.sections.iter_mut().flat_map(|section| &mut section.steps);
    let mut of_pass = steps.filter(|step| step.call.signature().name == name);
    act(of_pass.nth(number).expect("the plan has the step"));
}

#[test]
fn a_mask_of_another_layer() {
    found(Norm::Batch, "a mask of another layer", |plan| {
        change(plan, "dropout::mask", 7, |step| {
            if let Call::DropoutMask(p) = &mut step.call {
                p.layer += 1;
            }
        });
    });
}

#[test]
fn a_skip_in_the_wrong_order() {
    found(Norm::Instance, "a skip in the wrong order", |plan| {
        change(plan, "concat_channels::forward", 1, |step| step.reads.swap(0, 1));
    });
}

#[test]
fn another_eps() {
    found(Norm::Instance, "another eps", |plan| {
        change(plan, "instance_norm::statistics", 4, |step| {
            if let Call::InstanceNormStatistics(p) = &mut step.call {
                p.eps = 1e-3;
            }
        });
    });
}

#[test]
fn another_momentum() {
    found(Norm::Batch, "another momentum", |plan| {
        change(plan, "batch_norm::statistics", 17, |step| {
            if let Call::BatchNormStatistics(p) = &mut step.call {
                p.momentum *= 1.01;
            }
        });
    });
}

#[test]
fn another_decay_in_adam() {
    found(Norm::Batch, "another decay in Adam", |plan| {
        change(plan, "adam::update", 0, |step| {
            if let Call::AdamUpdate(p) = &mut step.call {
                p.beta2 = 0.9991;
            }
        });
    });
}

#[test]
fn a_pool_without_gradient() {
    found(Norm::Batch, "a pool without gradient", |plan| {
        let steps = &mut plan.sections[0].steps;
        let name = "max_pool2d::backward_input";
        let at = steps.iter().position(|step| step.call.signature().name == name);
        steps.remove(at.expect("the plan has the step"));
    });
}

/// One element of one tensor, by a hundredth of the tensor's largest. Most tensors show far less: see the medians.
#[test]
fn one_element() {
    for norm in [Norm::Batch, Norm::Instance] {
        let (_, answers) = well_defined(case(norm));
        let allowed = compare::allowed(&answers.plain, &answers.exact);
        // The f32 reference stands for a device that is right.
        compare(&answers.plain, &answers.exact, &allowed).expect("within its own error");
        let mut shares: Vec<f64> = answers
            .exact
            .iter()
            .zip(&allowed)
            .filter(|(tensor, _)| tensor.name.starts_with("step"))
            .map(|(tensor, allowed)| allowed / tensor.scale())
            .collect();
        shares.sort_by(f64::total_cmp);
        let (median, most) = (shares[shares.len() / 2], shares[shares.len() - 1]);
        eprintln!("{norm:?} norm: gradients may be off by {median:e} (median), {most:e} (most)");
        assert!(median < 1e-3 && most < 0.1, "the comparison has become too weak");
        for wanted in ["step 1/enc1.0.conv.weight", "step 2/head.weight", "step 3/dec2.up.weight"] {
            let at = answers.exact.iter().position(|t| t.name == wanted).expect("it is compared");
            let largest = answers.exact[at].values.iter().fold(0.0f64, |a, v| a.max(v.abs()));
            let spoilt = |change: &dyn Fn(&mut f64)| {
                let mut got: Vec<Tensor> = answers.plain.clone();
                change(got[at].values.last_mut().expect("a tensor has elements"));
                compare(&got, &answers.exact, &allowed).expect_err(wanted)
            };
            let error = spoilt(&|value| *value += 1e-2 * largest);
            assert!(error.contains(wanted) && error.lines().count() == 1, "{error}");
            for strange in [f64::NAN, f64::INFINITY] {
                assert!(spoilt(&|value| *value = strange).contains(wanted));
            }
        }
    }
}

#[test]
#[should_panic(expected = "number of elements")]
fn another_length() {
    let tensor = |len| vec![Tensor { name: "step 1/loss".into(), values: vec![1.0; len] }];
    let _ = compare(&tensor(2), &tensor(3), &[1.0]);
}

#[test]
#[should_panic(expected = "number of tensors")]
fn a_missing_tensor() {
    let tensor = Tensor { name: "step 1/loss".into(), values: vec![1.0] };
    let _ = compare(&[], &[tensor], &[1.0]);
}

#[test]
#[should_panic(expected = "nothing to compare")]
fn nothing_at_all() {
    let _ = compare(&[], &[], &[]);
}

#[test]
fn a_zero_that_is_none() {
    let tensor = |value| vec![Tensor { name: "step 1/loss".into(), values: vec![value] }];
    compare(&tensor(0.0), &tensor(0.0), &[0.0]).expect("zero is zero");
    for wrong in [1e-300, -1e-300, f64::NAN, f64::NEG_INFINITY] {
        assert!(compare(&tensor(wrong), &tensor(0.0), &[0.0]).is_err(), "{wrong}");
    }
}
