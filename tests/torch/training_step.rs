//! One whole training step of the network against PyTorch: loss, gradients, parameters and running statistics
//! after Adam, and logits of an evaluation after it.
//!
//! Weights, images, labels, keys and masks follow from formulas that make_fixtures.py has as well, in its own
//! words: the masks' generator is written a second time there.

use askem::compute::cpu::CpuExecutor;
use askem::compute::plan::BufferId;
use askem::network::unet::{
    AdamOptions, Bank, DropoutKind, ForwardPlan, IGNORE_LABEL, Norm, Output, Parameter,
    TrainingPlan, UNet, forward_plan, training_plan,
};
use askem_kernels::rng::mix64;
use askem_kernels::tolerance::LAW;
use askem_kernels::{Real, adam};

use crate::compare::{self, Tensor, compare};
use crate::expose::expose;
use crate::fixtures::Fixtures;
use crate::run_plan::{ByReference, OnDevice, RunPlan};

const BATCH: usize = 3;
const SIDE: usize = 32;
const CLASSES: usize = 3;
const LEARNING_RATE: f64 = 1e-3;
/// Elements that are stored of each tensor, and of the logits.
const STORED: usize = 9;
const STORED_LOGITS: usize = 200;

/// 64 bits that depend on a name (FNV-1a) and an index.
fn named_bits(name: &str, index: usize) -> u64 {
    let hash = |key: u64, byte: u8| (key ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let key = name.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
    mix64(key.wrapping_add((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// Numbers in `[low, high)` from 24 bits each, rounded to f32.
fn named(name: &str, len: usize, low: f64, high: f64) -> impl Iterator<Item = f64> {
    let unit = |i| (named_bits(name, i) >> 40) as f64 / f64::from(1u32 << 24);
    let unit: Vec<f64> = (0..len).map(unit).collect();
    unit.into_iter().map(move |u| f64::from((low + (high - low) * u) as f32))
}

fn fill(bank: &Bank) -> Vec<f64> {
    let mut values = vec![0.0; bank.len];
    for entry in &bank.entries {
        let Parameter { name, shape, offset, .. } = entry;
        let (low, high) = if name.ends_with("running_var") || name.ends_with("norm.weight") {
            (0.5, 1.5)
        } else if shape.len() == 4 {
            let inputs = if name.ends_with("up.weight") { &shape[..1] } else { &shape[1..] };
            let bound = (6.0 / inputs.iter().product::<usize>() as f64).sqrt();
            (-bound, bound)
        } else {
            (-0.5, 0.5)
        };
        let target = &mut values[*offset..offset + entry.len()];
        for (target, value) in target.iter_mut().zip(named(name, entry.len(), low, high)) {
            *target = value;
        }
    }
    values
}

/// What is stored of a tensor: elements spread over it, and the sum of its squares.
fn few(name: String, values: &[f64], count: usize) -> [Tensor; 2] {
    let count = count.min(values.len());
    let kept = (0..count).map(|k| values[k * values.len() / count]).collect();
    let squares = values.iter().map(|v| v * v).sum();
    let squares = Tensor { name: format!("{name}, sum of squares"), values: vec![squares] };
    [Tensor { name, values: kept }, squares]
}

/// The parts of a bank in the order of the fixture's names.
fn few_of_bank(group: &str, names: &[&str], bank: &Bank, values: &[f64]) -> Vec<Tensor> {
    assert_eq!(names.len(), bank.entries.len(), "the script has all of the {group}");
    let tensors = names.iter().flat_map(|name| {
        let entry = bank.get(name).unwrap_or_else(|| panic!("the network has no {name}"));
        let values = &values[entry.offset..entry.offset + entry.len()];
        few(format!("{group}/{name}"), values, STORED)
    });
    tensors.collect()
}

fn net(norm: Norm) -> UNet {
    let dropout_kind = match norm {
        Norm::Batch => DropoutKind::Channel,
        Norm::Instance => DropoutKind::Element,
    };
    UNet { width: 2, classes: CLASSES, context: 0, norm, dropout: 0.25, dropout_kind }
}

/// A network after the step.
struct Trained {
    parameters: Vec<f64>,
    statistics: Option<Vec<f64>>,
    tensors: Vec<Tensor>,
}

fn image() -> Vec<f64> {
    named("x", BATCH * SIDE * SIDE, -2.0, 2.0).collect()
}

fn train_plan(net: &UNet) -> TrainingPlan {
    training_plan(net, BATCH, SIDE, SIDE, AdamOptions::default())
}

fn train(
    net: &UNet,
    fixtures: &Fixtures,
    plan: &TrainingPlan,
    adam_step: [f64; 2],
    run: &mut dyn RunPlan,
) -> Trained {
    let (parameters, statistics) = (net.parameters(), net.statistics());
    run.write(plan.banks.parameters, &fill(&parameters));
    if let Some(buffer) = plan.banks.statistics {
        run.write(buffer, &fill(&statistics));
    }
    run.write(plan.images, &image());
    let sites: Vec<u32> = (0..BATCH as u32).flat_map(|z| [z, 0, 0, 0]).collect();
    run.write_uint(plan.sites, &sites);
    let label = |i| match (named_bits("labels", i) % (CLASSES as u64 + 1)) as u32 {
        label if label == CLASSES as u32 => IGNORE_LABEL,
        label => label,
    };
    let labels: Vec<u32> = (0..BATCH * SIDE * SIDE).map(label).collect();
    let word = |four: &[u32]| four.iter().rev().fold(0, |word, label| word << 8 | label);
    run.write_uint(plan.labels, &labels.chunks(4).map(word).collect::<Vec<_>>());
    run.write(plan.class_weights, &[0.5, 1.25, 2.0]);
    run.write(plan.step, &adam_step);
    let keys = (0..BATCH).map(|i| named_bits("keys", i));
    let keys: Vec<u32> = keys.flat_map(|k| [k as u32, (k >> 32) as u32]).collect();
    run.write_uint(plan.keys.expect("dropout is on"), &keys);
    run.run("step");

    let loss = run.read(plan.loss)[..1].to_vec();
    let mut tensors = vec![Tensor { name: "loss/loss".into(), values: loss }];
    let names = fixtures.names("parameters");
    let gradients = run.read(plan.banks.gradients.expect("training has gradients"));
    tensors.extend(few_of_bank("gradients", &names, &parameters, &gradients));
    let after = run.read(plan.banks.parameters);
    tensors.extend(few_of_bank("parameters", &names, &parameters, &after));
    let running = plan.banks.statistics.map(|buffer| run.read(buffer));
    let of_statistics = running.as_deref().unwrap_or_default();
    let names = fixtures.names("statistics");
    tensors.extend(few_of_bank("statistics", &names, &statistics, of_statistics));
    Trained { parameters: after, statistics: running, tensors }
}

fn evaluation_plan(net: &UNet) -> (ForwardPlan, BufferId) {
    let mut plan = forward_plan(net, BATCH, SIDE, SIDE, &[Output::Probabilities]);
    let logits = expose(&mut plan.plan, "logits");
    (plan, logits)
}

/// The tensors of the step, and the trained network's logits.
fn evaluate(
    trained: Trained,
    (plan, logits): &(ForwardPlan, BufferId),
    run: &mut dyn RunPlan,
) -> Vec<Tensor> {
    run.write(plan.banks.parameters, &trained.parameters);
    if let (Some(buffer), Some(running)) = (plan.banks.statistics, &trained.statistics) {
        run.write(buffer, running);
    }
    run.write(plan.x, &image());
    run.run("forward");
    let mut tensors = trained.tensors;
    tensors.extend(few("logits/logits".into(), &run.read(*logits), STORED_LOGITS));
    tensors
}

/// Step and evaluation by the references.
fn by_reference<T: Real>(norm: Norm, fixtures: &Fixtures, adam_step: [f64; 2]) -> Vec<Tensor> {
    let net = net(norm);
    let plan = train_plan(&net);
    let mut run = ByReference::<T>::new(plan.plan.clone());
    let trained = train(&net, fixtures, &plan, adam_step, &mut run);
    let evaluation = evaluation_plan(&net);
    evaluate(trained, &evaluation, &mut ByReference::<T>::new(evaluation.0.plan.clone()))
}

/// Step and evaluation by the CPU executor.
fn by_cpu(norm: Norm, fixtures: &Fixtures, adam_step: [f64; 2]) -> Vec<Tensor> {
    let net = net(norm);
    let mut cpu = CpuExecutor::new(Some(2)).expect("two threads start");
    let plan = train_plan(&net);
    let mut run = OnDevice::new(&mut cpu, plan.plan.clone(), "train");
    let trained = train(&net, fixtures, &plan, adam_step, &mut run);
    drop(run);
    let evaluation = evaluation_plan(&net);
    let plan = evaluation.0.plan.clone();
    evaluate(trained, &evaluation, &mut OnDevice::new(&mut cpu, plan, "evaluate"))
}

/// The stored values in the form of `like`.
fn stored(fixtures: &Fixtures, like: &[Tensor]) -> Vec<Tensor> {
    let mut left: Vec<(&str, &[f64])> = ["loss", "gradients", "parameters", "statistics", "logits"]
        .map(|group| (group, fixtures.get(group).floats()))
        .into();
    let tensors = like.iter().map(|tensor| {
        let group = tensor.name.split('/').next().expect("one part");
        let (_, values) = left.iter_mut().find(|(g, _)| *g == group).expect("it is stored");
        let (head, tail) = values.split_at(tensor.values.len());
        *values = tail;
        Tensor { name: tensor.name.clone(), values: head.to_vec() }
    });
    let tensors = tensors.collect();
    assert!(left.iter().all(|(_, rest)| rest.is_empty()), "all that is stored is compared");
    tensors
}

fn training_step(norm: Norm, file: &str) {
    let fixtures = Fixtures::open(file);
    let p = adam::Params { len: 1, beta1: 0.9, beta2: 0.999, eps: 1e-8 };
    let [beta1, beta2] = [p.beta1, p.beta2].map(f64::from);
    let in_f64 = [LEARNING_RATE / (1.0 - beta1), 1.0 / (1.0 - beta2).sqrt()];
    let exact = by_reference::<f64>(norm, &fixtures, in_f64);
    let torch = stored(&fixtures, &exact);
    let scales = torch.iter().map(|t| t.values.iter().fold(0.0f64, |a, v| a.max(v.abs())));
    // What holds for laws holds here, normalisations and all; a constant that is off in f32's last bit does not pass.
    let close: Vec<f64> = scales.map(|scale| LAW * scale).collect();
    let worst = compare(&exact, &torch, &close).unwrap_or_else(|e| panic!("f64 reference:\n{e}"));
    eprintln!("{file}: f64 reference, worst {} (used {:.3})", worst.name, worst.used);

    // What computes in f32 may be as far off as f32 is. Steps that are wrong must not widen what is allowed.
    let in_f32 = in_f64.map(|step| f64::from(step as f32));
    let allowed = compare::allowed(&by_reference::<f32>(norm, &fixtures, in_f32), &torch);
    let got = by_cpu(norm, &fixtures, adam::step(&p, LEARNING_RATE, 1).map(f64::from));
    let worst = compare(&got, &torch, &allowed).unwrap_or_else(|e| panic!("CPU executor:\n{e}"));
    eprintln!("{file}: CPU executor, worst {} (used {:.3})", worst.name, worst.used);
}

#[test]
fn training_step_with_batch_norm() {
    training_step(Norm::Batch, "unet_batch.safetensors");
}

#[test]
fn training_step_with_instance_norm() {
    training_step(Norm::Instance, "unet_instance.safetensors");
}
