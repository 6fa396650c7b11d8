//! Every form of every pass in every precision: shapes of tiles, buffers of f16, matrix units; and with sizes as constants.
//!
//! The other tests run each pass in the form that its sizes choose, in f32. What a driver does not offer is refused by name, and
//! that is what the test then holds; `./test.sh` runs these on drivers that offer all.

use std::cell::RefCell;

use askem::compute::device::trial::{self, Style, Trial, Verdict};
use askem::compute::executor::Executor;
use askem::compute::gpu::GpuExecutor;
use askem::compute::plan::ALIGNMENT;
use askem::compute::precision::Precision;
use askem_kernels::{
    Call, SIGNATURES, conv_transpose2d, conv_transpose2d_split_k, conv2d, conv2d_joined,
    conv2d_norm_relu, conv2d_split_channels, conv2d_statistics,
};

use crate::passes::for_each_pass;
use crate::settings::number;
use crate::{adapter, harness, params};

/// Runs one pass in one form on drawn data.
fn check(gpu: &mut GpuExecutor, call: Call, style: Style, seed: u64) -> Result<bool, String> {
    let trial = Trial::draw(call, style, seed).at(gpu.precision());
    let outputs = trial::run(gpu, std::slice::from_ref(&trial)).map_err(|e| e.to_string())?;
    match trial.judge(&outputs[0]) {
        Verdict::Agrees(_) => Ok(true),
        Verdict::Unbounded => Ok(false),
        Verdict::Differs(what) => Err(what),
    }
}

/// Runs the passes that have this form, and in f16 those that may store it; returns their names.
fn run_form(gpu: &RefCell<GpuExecutor>, form: usize) -> Vec<&'static str> {
    let precision = gpu.borrow().precision();
    let with_form = gpu.borrow().passes_with_form(form);
    let stores = |name: &str| {
        let signature = SIGNATURES.iter().find(|s| s.name == name).expect("a pass has a name");
        let (_, entry) = askem_wgsl::find(signature.op, signature.pass).expect("it has a shader");
        entry.stored().next().is_some()
    };
    // What has one form and stores f32 is the same as everywhere.
    let mut names = with_form;
    names.retain(|name| form > 0 || (precision != Precision::F32 && stores(name)));
    run_passes(gpu, form, &names, number("ASKEM_CASES", 128).div_ceil(4));
    names
}

/// Runs these passes in one form.
fn run_passes(gpu: &RefCell<GpuExecutor>, form: usize, names: &[&'static str], cases: u32) {
    let precision = gpu.borrow().precision();
    gpu.borrow_mut().set_form(Some(form));
    macro_rules! run {
        ($( $op:ident => { $($pass:ident: $call:ident),* $(,)? } )*) => {$($(
            let name = concat!(stringify!($op), "::", stringify!($pass));
            if names.contains(&name) {
                harness::cases(name, cases, params::$op(), |p, style, seed| {
                    check(&mut gpu.borrow_mut(), Call::$call(p), style, seed)
                        .map_err(|what| format!("form {form} in {precision}: {what}"))
                });
            }
        )*)*};
    }
    for_each_pass!(run);
}

/// `None` where the adapter does not have the precision, and says so.
fn open(precision: Precision) -> Option<RefCell<GpuExecutor>> {
    match adapter::open_at("tiers", precision) {
        Ok(mut gpu) => {
            gpu.set_slack(ALIGNMENT);
            Some(RefCell::new(gpu))
        }
        Err(error) => {
            let text = error.to_string();
            let reason = ["has no", &format!("--precision {precision} needs")];
            assert!(reason.iter().all(|part| text.contains(part)), "{text}");
            None
        }
    }
}

fn run_all(precision: Precision) -> Option<Vec<&'static str>> {
    let gpu = open(precision)?;
    let mut names = Vec::new();
    for form in 0.. {
        if gpu.borrow().passes_with_form(form).is_empty() {
            break;
        }
        names.extend(run_form(&gpu, form));
    }
    Some(names)
}

#[test]
fn shapes_of_tiles() {
    let names = run_all(Precision::F32).expect("every device has f32");
    for pass in ["conv2d::forward", "conv2d_norm_relu::forward_eval", "conv2d::backward_input"] {
        assert_eq!(names.iter().filter(|name| **name == pass).count(), 4, "{names:?}");
    }
}

/// Winograd's forms compute only what sums over many channels, which few of the draws above do.
#[test]
fn winograd() {
    let mut gpu = adapter::open_at("tiers", Precision::F32).expect("every device has f32");
    gpu.set_slack(ALIGNMENT);
    let mut computed = 0;
    // Samples, both numbers of channels, rows and columns: less than a cell of 8 x 8, parts of cells, and more tiles than one.
    for (seed, [n, c_in, c_out, h, w]) in (0..).zip([
        [1, 16, 16, 4, 4],
        [3, 17, 33, 5, 6],
        [1, 40, 31, 8, 8],
        [2, 33, 18, 7, 16],
        [1, 16, 48, 17, 9],
        [3, 64, 20, 9, 23],
    ]) {
        let (kernel, eps, momentum) = (3, 1e-5, 0.1);
        let (c_a, slices) = (c_in / 2, c_in.min(c_out) / 16);
        let conv = conv2d::Params { n, c_in, c_out, h, w, kernel, has_bias: 1 };
        let joined = conv2d_joined::Params { n, c_in, c_a, c_out, h, w, kernel };
        let split = conv2d_split_channels::Params { n, c_in, c_a, c_out, h, w, kernel, slices };
        let unit = conv2d_norm_relu::Params { n, c_in, c_a, c_out, h, w, kernel, mask: 1, eps };
        let statistics =
            conv2d_statistics::Params { n, c_in, c_a, c_out, h, w, kernel, eps, momentum };
        for call in [
            Call::Conv2dForward(conv),
            Call::Conv2dBackwardInput(conv),
            Call::Conv2dJoinedForward(joined),
            Call::Conv2dJoinedBackwardInput(joined),
            Call::Conv2dSplitChannelsForward(split),
            Call::Conv2dSplitChannelsBackwardInput(split),
            Call::Conv2dNormReluForwardEval(unit),
            Call::Conv2dStatisticsForward(statistics),
        ] {
            let forms = askem_wgsl::entry_of(&call).1.forms;
            // In f32 a device runs all forms but those for matrix units, which are the last.
            for (number, _) in forms.iter().enumerate().filter(|(_, form)| form.is_winograd) {
                gpu.set_form(Some(number));
                for style in Style::ALL {
                    match check(&mut gpu, call, style, seed) {
                        Ok(proved) => computed += usize::from(proved),
                        Err(what) => panic!("{call:?}, {style:?}, form {number}: {what}"),
                    }
                }
            }
        }
    }
    assert!(computed > 300, "{computed}");
}

#[test]
fn f16_storage() {
    let Some(names) = run_all(Precision::F16) else { return };
    for pass in
        ["conv2d_norm_relu::forward_eval", "max_pool2d::forward", "segmentation_head::entropy"]
    {
        assert!(names.contains(&pass), "{names:?}");
    }
}

#[test]
fn matrix_units() {
    let Some(names) = run_all(Precision::Tensor) else { return };
    // Shapes of tiles and forms for matrix units; the first form counts where it stores f16.
    for (pass, forms) in [
        ("conv2d_norm_relu::forward_eval", 7),
        ("conv2d_joined::backward_input", 6),
        ("conv_transpose2d::forward", 3),
        ("conv_transpose2d::backward_input", 2),
        ("conv2d_split_k::backward_weight", 2),
        ("conv_transpose2d_split_k::backward_weight", 2),
    ] {
        assert_eq!(names.iter().filter(|name| **name == pass).count(), forms, "{pass}: {names:?}");
    }
}

/// Matrix units get modules that conform to Vulkan's memory model, unless told otherwise.
#[test]
fn modules_conform_to_their_memory_model() {
    let Some(gpu) = open(Precision::Tensor) else { return };
    let (name, (_, entry)) =
        ("conv2d::forward", askem_wgsl::find("conv2d", "forward").expect("it is there"));
    let forms = (0..).take_while(|&form| gpu.borrow().passes_with_form(form).contains(&name));
    let forms = forms.count();
    let for_matrices = forms - entry.forms.iter().filter(|form| form.side.is_none()).count();
    let mut gpu = gpu.into_inner();
    let p = conv2d::Params { n: 1, c_in: 20, c_out: 9, h: 9, w: 17, kernel: 3, has_bias: 1 };
    for form in 0..forms {
        gpu.set_form(Some(form));
        assert_eq!(check(&mut gpu, Call::Conv2dForward(p), Style::Normal, 0), Ok(true), "{form}");
    }
    let is_plain = std::env::var("ASKEM_MEMORY_MODEL").is_ok_and(|model| model == "plain");
    let conforming = gpu.conforming_modules();
    if is_plain || cfg!(target_vendor = "apple") {
        assert_eq!(conforming, 0);
    } else {
        assert!(for_matrices > 0);
        assert_eq!(conforming, for_matrices);
    }
}

/// Convolutions in modules that have the sizes as constants: each case is a module of its own, so that there are few.
#[test]
fn sizes_as_constants() {
    for precision in Precision::ALL {
        let Some(gpu) = open(precision) else { continue };
        gpu.borrow_mut().set_specialised(Some(true));
        for form in 0.. {
            let mut names = gpu.borrow().passes_with_form(form);
            if names.is_empty() {
                break;
            }
            names.retain(|name| name.starts_with("conv"));
            run_passes(&gpu, form, &names, number("ASKEM_CASES", 128).div_ceil(16));
        }
    }
}

/// They hold for all batch sizes, which share them.
#[test]
fn batches_share_modules() {
    let mut gpu = adapter::open("tiers");
    gpu.set_specialised(Some(true));
    for n in [2, 1, 5] {
        let p = conv2d::Params { n, c_in: 5, c_out: 19, h: 9, w: 20, kernel: 3, has_bias: 1 };
        for call in
            [Call::Conv2dForward(p), Call::Conv2dBackwardInput(p), Call::Conv2dBackwardWeight(p)]
        {
            assert_eq!(check(&mut gpu, call, Style::Normal, 0), Ok(true), "{call:?}");
        }
    }
}

/// Numbers beyond f16 become its largest, in memory and as factors, and gradients that f16 could not tell from zero are not lost.
#[test]
fn f16_saturates_and_gradients_are_scaled() {
    use askem::compute::plan::PlanBuilder;

    for precision in [Precision::F16, Precision::Tensor] {
        let Ok(mut gpu) = adapter::open_at("tiers", precision) else { continue };
        let p = conv2d::Params { n: 4, c_in: 16, c_out: 16, h: 64, w: 64, kernel: 1, has_bias: 0 };
        let mut b = PlanBuilder::new("saturation", "run");
        let call = Call::Conv2dForward(p);
        let [x, weight, bias] = ["x", "weight", "bias"].map(|name| b.kept(name, call.len(name)));
        let y = b.kept("y", call.len("y"));
        b.step(call, &[x, weight, bias], &[y]);
        let call = Call::Conv2dBackwardInput(p);
        let [dy, dx] = ["dy", "dx"].map(|name| b.kept(name, call.len(name)));
        b.step(call, &[dy, weight], &[dx]);
        let id = gpu.prepare(b.build()).expect("it fits");
        let fill = |len: usize, value: f32| vec![value.to_bits(); len];
        // 16 products of a thousand and a hundred; gradients far below f16's smallest number.
        gpu.write(id, x.buffer, &fill(x.len, 1000.0)).expect("it is written");
        gpu.write(id, weight.buffer, &fill(weight.len, 100.0)).expect("it is written");
        gpu.write(id, dy.buffer, &fill(dy.len, 1e-9)).expect("it is written");
        gpu.run(id, "run").expect("it runs");
        let mut got = vec![0; y.len];
        gpu.read(id, y.buffer, &mut got).expect("it is read");
        assert!(got.iter().all(|&word| f32::from_bits(word) == 65504.0), "{precision}");
        // A network that has diverged is not hidden: one pixel that is no number, in all channels of its sample.
        let mut spoiled = fill(x.len, 1.0);
        spoiled[5] = f32::NAN.to_bits();
        gpu.write(id, x.buffer, &spoiled).expect("it is written");
        gpu.run(id, "run").expect("it runs");
        gpu.read(id, y.buffer, &mut got).expect("it is read");
        let (pixels, of_sample) = (64 * 64, 16 * 64 * 64);
        for (i, &word) in got.iter().enumerate() {
            let is_spoiled = i < of_sample && i % pixels == 5;
            assert_eq!(f32::from_bits(word).is_nan(), is_spoiled, "{precision}: {i}");
        }
        let mut got = vec![0; dx.len];
        gpu.read(id, dx.buffer, &mut got).expect("it is read");
        let off = |&word: &u32| (f32::from_bits(word) / 1.6e-6 - 1.0).abs();
        let worst = got.iter().map(off).fold(0.0, f32::max);
        assert!(worst < 0.01, "{precision}: {worst}");
    }
}

/// Gradients that f16 could not tell from zero are not lost in any product with them.
#[test]
fn tiny_gradients_reach_matrix_units() {
    let Ok(mut gpu) = adapter::open_at("tiers", Precision::Tensor) else { return };
    let (n, c_in, c_out, h, w) = (4, 16, 16, 32, 32);
    let conv = conv2d::Params { n, c_in, c_out, h, w, kernel: 3, has_bias: 0 };
    let up = conv_transpose2d::Params { n, c_in, c_out, h, w };
    let slices = conv_transpose2d_split_k::Params { n, c_in, c_out, h, w, slices: 3 };
    for call in [
        Call::Conv2dBackwardInput(conv),
        Call::Conv2dBackwardWeight(conv),
        Call::ConvTranspose2dBackwardInput(up),
        Call::ConvTranspose2dBackwardWeight(up),
        Call::ConvTranspose2dSplitKBackwardWeight(slices),
    ] {
        let mut trial = Trial::draw(call, Style::Normal, 0).at(Precision::Tensor);
        let mut reads = trial.reads.iter_mut().zip(call.signature().reads);
        let (dy, _) = reads.find(|(_, (name, _))| *name == "dy").expect("it reads dy");
        // The least that f16 has is 2^-24.
        dy.fill(2.0_f32.powi(-30).to_bits());
        let outputs = trial::run(&mut gpu, std::slice::from_ref(&trial)).expect("it runs");
        let verdict = trial.judge(&outputs[0]);
        assert!(matches!(verdict, Verdict::Agrees(_)), "{call:?}: {verdict:?}");
    }
}

/// What is measured before it is chosen has the same results in every form, gradients as small as a large batch makes them
/// included.
#[test]
fn matrix_units_agree_where_forms_are_measured() {
    use askem::compute::gpu::Tuning;
    use askem::network::unet::{AdamOptions, Output, UNet, forward_plan, training_plan};

    let Ok(mut gpu) = adapter::open_at("tiers", Precision::Tensor) else { return };
    gpu.tune_with(Tuning::default());
    let net = UNet { width: 8, ..UNet::paper() };
    let training = training_plan(&net, 8, 64, 64, AdamOptions::default()).plan;
    // A driver that lists another size takes minutes to compile those of 16 rows for the sizes of a training.
    let is_whole = std::env::var_os("ASKEM_TEST_MATRIX_SIDE").is_none();
    if is_whole {
        gpu.prepare(training.clone()).expect("it fits");
    }
    gpu.prepare(forward_plan(&net, 8, 64, 64, &[Output::Entropy]).plan).expect("it fits");
    let choices: Vec<_> = gpu.tuning().expect("it is on").choices().collect();
    assert!(choices.len() > if is_whole { 45 } else { 15 }, "{choices:?}");
    assert!(choices.iter().any(|choice| choice.pass == "conv2d_norm_relu::forward_eval"));
    for choice in choices {
        assert!(choice.seconds.iter().all(|(_, s)| s.is_finite()), "{choice:?}");
        assert!(choice.seconds.iter().any(|&(form, _)| form == choice.form()));
        assert!(choice.specialised_seconds.is_none_or(f64::is_finite), "{choice:?}");
    }
    // The convolutions of the plan itself, for their sizes alone.
    let tuning = gpu.tuning().expect("it is on");
    let specialised = tuning.choices().filter(|choice| choice.specialised_seconds.is_some());
    assert!(specialised.count() > if is_whole { 45 } else { 15 }, "{tuning:?}");
    assert!(gpu.left_out().is_empty(), "{:?}", gpu.left_out());
    if !is_whole {
        return;
    }
    // What is summed whole or in slices was measured in every number of them.
    let cut = gpu.slices_choices(&training);
    assert!(cut.len() > 20, "{cut:?}");
    for choice in cut {
        assert!(choice.seconds.len() > 1 && choice.seconds.iter().all(|(_, s)| s.is_finite()));
        assert!(choice.seconds.iter().any(|&(slices, _)| slices == choice.slices()));
    }
}
