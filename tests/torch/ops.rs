//! Every pass of every op against values that PyTorch computed.

use std::collections::BTreeSet;

use askem_kernels::confusion::Counts;
use askem_kernels::tolerance::{Tracked, compare, compare_exact, compare_law};
use askem_kernels::{
    Call, Element, Real, SIGNATURES, adam, bald, batch_norm, concat_channels, confusion,
    conv_transpose2d, conv2d, conv2d_joined, crop, cross_entropy, dropout, entropy,
    global_avg_pool2d, instance_norm, k_center_greedy, k_means, least_confidence, max_pool2d,
    min_sq_dist, pairwise_sq_dist, patch_sum, relu, softmax, warp,
};

use crate::fixtures::{Fixtures, Stored};
use crate::memory::{self, Memory};

/// Constants of make_fixtures.py.
const EPS: f32 = 1e-3;
const MOMENTUM: f32 = 0.1;
const LEARNING_RATE: f64 = 1e-3;

/// Operations that do at once, or in slices, what the others do one after another. No values are stored for them: their unit tests
/// compare them with those others, and tests/laws with finite differences. And `allclose`, which
/// only counts: its unit tests hold every number that it may write.
const COMPOSED: [&str; 11] = [
    "allclose",
    "batch_norm_relu",
    "batch_norm_split",
    "conv2d_norm_relu",
    "conv2d_split_channels",
    "conv2d_split_k",
    "conv2d_statistics",
    "conv_transpose2d_split_k",
    "dropout_masks",
    "k_means_plus_plus",
    "segmentation_head",
];

/// The contents of a call's buffers at a precision: inputs, and outputs as they are before the call.
fn buffers<T: Real>(fixtures: &Fixtures, case: &str, call: &Call) -> [Vec<Memory<T>>; 2] {
    let signature = call.signature();
    let read = |&(name, _): &(&str, Element)| fixtures.get(&format!("{case}/{name}")).memory();
    let write = |&(name, element): &(&str, Element)| match fixtures
        .find(&format!("{case}/{name}.before"))
    {
        Some(before) => before.memory(),
        None => Memory::garbage(element, call.len(name)),
    };
    [signature.reads.iter().map(read).collect(), signature.writes.iter().map(write).collect()]
}

/// What the reference at a precision writes.
fn by_reference<T: Real>(fixtures: &Fixtures, case: &str, call: &Call) -> Vec<Memory<T>> {
    let [reads, mut writes] = buffers(fixtures, case, call);
    memory::reference(call, &reads, &mut writes).unwrap_or_else(|e| panic!("{case}: {e}"));
    writes
}

/// What the fast form writes.
fn by_fast_form(fixtures: &Fixtures, case: &str, call: &Call) -> Vec<Memory<f32>> {
    let [reads, mut writes] = buffers(fixtures, case, call);
    let reads: Vec<_> = reads.iter().map(Memory::arg).collect();
    let mut args: Vec<_> = writes.iter_mut().map(Memory::arg_mut).collect();
    call.fast(&reads, &mut args).unwrap_or_else(|e| panic!("{case}: {e}"));
    drop(args);
    writes
}

/// One output against PyTorch's: in f64 as closely as f64 can be, in f32 within what the tracked reference says an
/// f32 computation may be off, exactly where it says that nothing is rounded.
fn check_output(
    stored: &Stored,
    exact: &Memory<f64>,
    tracked: &Memory<Tracked>,
    singles: [&Memory<f32>; 2],
) -> Result<(), String> {
    let (Memory::Float(exact), Memory::Float(tracked)) = (exact, tracked) else {
        for got in singles.map(|single| match single {
            Memory::Uint(got) => got,
            Memory::Float(_) => panic!("forms write the same kinds of buffers"),
        }) {
            compare_exact(got, stored.uints()).map_err(|e| e.to_string())?;
        }
        let Memory::Uint(exact) = exact else { panic!("forms write the same kinds of buffers") };
        return compare_exact(exact, stored.uints()).map_err(|e| e.to_string());
    };
    let scale = tracked.iter().fold(0.0f64, |a, t| a.max(t.magnitude));
    compare_law(exact, stored.floats(), scale).map_err(|e| format!("f64 reference: {e}"))?;
    // The value is PyTorch's; the reference only says how far from it f32 may be.
    let values = tracked.iter().zip(stored.floats());
    let want: Vec<_> = values.map(|(&t, &value)| Tracked { value, ..t }).collect();
    let rounded = want.iter().any(|t| t.terms > 0);
    for (form, got) in ["f32 reference", "fast form"].into_iter().zip(singles) {
        let got = got.floats();
        if rounded {
            compare(got, &want).map_err(|e| format!("{form}: {e}"))?;
        } else {
            let want: Vec<f32> = stored.floats().iter().map(|&v| v as f32).collect();
            compare_exact(got, &want).map_err(|e| format!("{form}: {e}"))?;
        }
    }
    Ok(())
}

/// All outputs of a pass.
fn check(fixtures: &Fixtures, case: &str, call: Call) -> Result<(), String> {
    let signature = call.signature();
    let exact = by_reference::<f64>(fixtures, case, &call);
    let tracked = by_reference::<Tracked>(fixtures, case, &call);
    let plain = by_reference::<f32>(fixtures, case, &call);
    let fast = by_fast_form(fixtures, case, &call);
    for (i, (name, _)) in signature.writes.iter().enumerate() {
        let stored = fixtures.get(&format!("{case}/{name}"));
        check_output(stored, &exact[i], &tracked[i], [&plain[i], &fast[i]])
            .map_err(|what| format!("{case}, {}: {name}: {what}", signature.name))?;
    }
    Ok(())
}

/// Every stored case with its call; the parameters are the stored tensors' shapes.
fn calls(f: &Fixtures) -> Vec<(String, Call)> {
    let mut calls: Vec<(String, Call)> = Vec::new();
    let mut add = |case: &str, of_case: &[Call]| {
        calls.extend(of_case.iter().map(|&call| (case.to_owned(), call)));
    };
    let planes = |name: &str| {
        let [n, c, h, w] = f.shape(name);
        [n, c, h * w]
    };

    for case in ["conv2d.3x3", "conv2d.1x1", "conv2d.no_bias"] {
        let [n, c_in, h, w] = f.shape(&format!("{case}/x"));
        let [c_out, _, kernel, _] = f.shape(&format!("{case}/weight"));
        let has_bias = u32::from(case != "conv2d.no_bias");
        let p = conv2d::Params { n, c_in, c_out, h, w, kernel, has_bias };
        add(case, &[Call::Conv2dForward(p)]);
        // One input is one whose second part is empty.
        let joined = conv2d_joined::Params { n, c_in, c_a: c_in, c_out, h, w, kernel };
        if has_bias == 0 {
            add(case, &[Call::Conv2dJoinedForward(joined)]);
        } else {
            add(case, &[Call::Conv2dJoinedBackwardInput(joined)]);
            let backward = [
                Call::Conv2dBackwardInput(p),
                Call::Conv2dBackwardWeight(p),
                Call::Conv2dBackwardBias(p),
            ];
            add(case, &backward);
        }
    }
    let [n, c_in, h, w] = f.shape("conv_transpose2d/x");
    let [_, c_out, _, _] = f.shape("conv_transpose2d/weight");
    let p = conv_transpose2d::Params { n, c_in, c_out, h, w };
    let passes = [
        Call::ConvTranspose2dForward(p),
        Call::ConvTranspose2dBackwardInput(p),
        Call::ConvTranspose2dBackwardWeight(p),
        Call::ConvTranspose2dBackwardBias(p),
    ];
    add("conv_transpose2d", &passes);

    let [n, c, h, w] = f.shape("max_pool2d/x");
    let p = max_pool2d::Params { n, c, h, w };
    add("max_pool2d", &[Call::MaxPool2dForward(p), Call::MaxPool2dBackwardInput(p)]);
    let [n, c, hw] = planes("global_avg_pool2d/x");
    let p = global_avg_pool2d::Params { n, c, hw };
    add("global_avg_pool2d", &[Call::GlobalAvgPool2dForward(p)]);

    let batch_norm = |name: &str| {
        let [n, c, hw] = planes(name);
        batch_norm::Params { n, c, hw, eps: EPS, momentum: MOMENTUM }
    };
    let p = batch_norm("batch_norm/x");
    let passes = [
        Call::BatchNormStatistics(p),
        Call::BatchNormForward(p),
        Call::BatchNormBackwardWeight(p),
        Call::BatchNormBackwardInput(p),
    ];
    add("batch_norm", &passes);
    add("batch_norm.eval", &[Call::BatchNormForwardEval(batch_norm("batch_norm.eval/x"))]);
    let [n, c, hw] = planes("instance_norm/x");
    let p = instance_norm::Params { n, c, hw, eps: EPS };
    let passes = [
        Call::InstanceNormStatistics(p),
        Call::InstanceNormForward(p),
        Call::InstanceNormBackwardStatistics(p),
        Call::InstanceNormBackwardInput(p),
    ];
    add("instance_norm", &passes);

    let [len] = f.shape("relu/x");
    let p = relu::Params { len };
    add("relu", &[Call::ReluForward(p), Call::ReluBackwardInput(p)]);
    for (case, element) in [("dropout.channel", 0), ("dropout.element", 1)] {
        let [n, c, hw] = planes(&format!("{case}/x"));
        // The mask is given; what would draw it does not matter.
        let p = dropout::Params { n, c, hw, element, layer: 0, threshold: 0, scale: 0.0 };
        add(case, &[Call::DropoutForward(p), Call::DropoutBackwardInput(p)]);
    }
    let ([n, c_a, hw], [_, c_b, _]) = (planes("concat_channels/a"), planes("concat_channels/b"));
    let p = concat_channels::Params { n, c_a, c_b, hw };
    let passes = [Call::ConcatChannelsForward(p), Call::ConcatChannelsBackwardInput(p)];
    add("concat_channels", &passes);

    let ([depth, height, width], [n, h, w]) = (f.shape("crop/sections"), f.shape("crop/x"));
    let p = crop::Params { n, h, w, depth, height, width };
    add("crop", &[Call::CropImages(p), Call::CropLabels(p)]);

    let [n, c, h, w] = f.shape("warp/x");
    let p = warp::Params { n, c, h, w };
    add("warp", &[Call::WarpImages(p), Call::WarpLabels(p)]);

    let [n, c, hw] = planes("softmax/logits");
    let p = softmax::Params { n, c, hw };
    add("softmax", &[Call::SoftmaxForward(p), Call::SoftmaxBackwardInput(p)]);
    let [n, c, hw] = planes("cross_entropy/logits");
    let p = cross_entropy::Params { n, c, hw, ignore_label: 255 };
    let passes = [
        Call::CrossEntropyForward(p),
        Call::CrossEntropyReduce(p),
        Call::CrossEntropyBackwardInput(p),
    ];
    add("cross_entropy", &passes);
    for case in ["adam.1", "adam.2", "adam.3"] {
        let [len] = f.shape(&format!("{case}/grad"));
        add(case, &[Call::AdamUpdate(adam_params(len))]);
    }

    let [n, c, hw] = planes("entropy/p");
    add("entropy", &[Call::EntropyForward(entropy::Params { n, c, hw })]);
    let [n, c, hw] = planes("least_confidence/p");
    let p = least_confidence::Params { n, c, hw };
    add("least_confidence", &[Call::LeastConfidenceForward(p)]);
    let [n, c, hw] = planes("bald/p");
    let p = bald::Params { n, c, hw, passes: 7, stacked: 1 };
    add("bald", &[Call::BaldAccumulate(p)]);
    add("bald.entropy_of_mean", &[Call::BaldEntropyOfMean(p)]);
    add("bald.mutual_information", &[Call::BaldMutualInformation(p)]);
    let [n, h, w] = f.shape("patch_sum/map");
    add("patch_sum", &[Call::PatchSumForward(patch_sum::Params { n, hw: h * w })]);
    let [len] = f.shape("confusion/p");
    let p = confusion::Params { len, ignore_label: 255, threshold: 0.5 };
    add("confusion", &[Call::ConfusionForward(p)]);

    let ([rows_a, dim], [rows_b, _]) =
        (f.shape("pairwise_sq_dist/a"), f.shape("pairwise_sq_dist/b"));
    let p = pairwise_sq_dist::Params { rows_a, rows_b, dim };
    add("pairwise_sq_dist", &[Call::PairwiseSqDistForward(p)]);
    let ([rows, dim], [centers, _]) =
        (f.shape("min_sq_dist/points"), f.shape("min_sq_dist/centers"));
    let p = min_sq_dist::Params { rows, centers, dim };
    add("min_sq_dist", &[Call::MinSqDistForward(p)]);
    let k_means = |case: &str| {
        let ([rows, dim], [k, _]) =
            (f.shape(&format!("{case}/points")), f.shape(&format!("{case}/centroids")));
        k_means::Params { rows, k, dim }
    };
    add("k_means.assign", &[Call::KMeansAssign(k_means("k_means.assign"))]);
    add("k_means.update", &[Call::KMeansUpdate(k_means("k_means.update"))]);
    let p = k_means("k_means.update");
    add("k_means.check_convergence", &[Call::KMeansCheckConvergence(p)]);
    let case = "k_center_greedy.add_center";
    let ([rows, dim], [capacity]) =
        (f.shape(&format!("{case}/points")), f.shape(&format!("{case}/picks")));
    let p = k_center_greedy::Params { rows, dim, capacity: capacity - 1 };
    add(case, &[Call::KCenterGreedyAddCenter(p)]);
    calls
}

fn adam_params(len: u32) -> adam::Params {
    adam::Params { len, beta1: 0.9, beta2: 0.999, eps: 1e-8 }
}

#[test]
fn every_op_agrees_with_pytorch() {
    let fixtures = Fixtures::open("ops.safetensors");
    let failed: Vec<String> = calls(&fixtures)
        .into_iter()
        .filter_map(|(case, call)| check(&fixtures, &case, call).err())
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// No pass is left out but those of [`COMPOSED`] and the mask's draw, which PyTorch makes in its own way; tests/torch/training_step.rs
/// compares it with a second implementation.
#[test]
fn every_pass_and_every_stored_case_is_used() {
    let fixtures = Fixtures::open("ops.safetensors");
    let calls = calls(&fixtures);
    let mut used: BTreeSet<_> = calls.iter().map(|(_, call)| call.signature().name).collect();
    used.insert("dropout::mask");
    let stored = SIGNATURES.iter().filter(|s| !COMPOSED.contains(&s.op));
    assert_eq!(used, stored.map(|s| s.name).collect());
    let cases: BTreeSet<_> = calls.iter().map(|(case, _)| case.as_str()).collect();
    let stored = fixtures.all().map(|name| name.split('/').next().expect("one part"));
    assert_eq!(cases, stored.collect());
}

/// Adam's two numbers of each step, which the host computes.
#[test]
fn adams_step_sizes_are_pytorchs() {
    let fixtures = Fixtures::open("ops.safetensors");
    for t in 1..=3 {
        let want = fixtures.get(&format!("adam.{t}/step")).floats();
        let want: Vec<f32> = want.iter().map(|&v| v as f32).collect();
        assert_eq!(adam::step(&adam_params(1), LEARNING_RATE, t)[..], want);
    }
}

#[test]
fn jaccard_and_dice_are_those_of_plain_sums() {
    let fixtures = Fixtures::open("ops.safetensors");
    let mut counts = Counts::default();
    let stored = fixtures.get("confusion/counts").uints();
    counts.add(stored.try_into().expect("four counts"));
    let want = ["confusion/jaccard", "confusion/dice"].map(|name| fixtures.get(name).floats()[0]);
    // The script divides in f32.
    assert_eq!([counts.jaccard(), counts.dice()].map(|v| v as f32), want.map(|v| v as f32));
}

/// The check itself: one element that is a little off has to be found, in each form.
#[test]
fn a_wrong_element_is_found() {
    let fixtures = Fixtures::open("ops.safetensors");
    for (case, call) in calls(&fixtures) {
        let signature = call.signature();
        for (i, &(name, element)) in signature.writes.iter().enumerate() {
            if element == Element::Uint {
                continue;
            }
            let stored = fixtures.get(&format!("{case}/{name}"));
            let exact = by_reference::<f64>(&fixtures, &case, &call);
            let tracked = by_reference::<Tracked>(&fixtures, &case, &call);
            let plain = by_reference::<f32>(&fixtures, &case, &call);
            let judge = |exact: &Memory<f64>, plain: &Memory<f32>, fast: &Memory<f32>| {
                check_output(stored, exact, &tracked[i], [plain, fast])
            };
            judge(&exact[i], &plain[i], &plain[i]).expect("the references agree");
            let last = stored.len() - 1;
            let largest = stored.floats().iter().fold(0.0f64, |a, v| a.max(v.abs()));
            for off in [largest / 1e3, f64::NAN] {
                let (mut wrong, mut wrong_plain) = (exact[i].clone(), plain[i].clone());
                if let (Memory::Float(w), Memory::Float(p)) = (&mut wrong, &mut wrong_plain) {
                    w[last] += off;
                    p[last] += off as f32;
                }
                let at = format!("{case}: {name} off by {off}");
                judge(&wrong, &plain[i], &plain[i]).expect_err(&at);
                judge(&exact[i], &wrong_plain, &plain[i]).expect_err(&at);
                judge(&exact[i], &plain[i], &wrong_plain).expect_err(&at);
            }
        }
    }
}
