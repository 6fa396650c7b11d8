//! What a race between lanes would do, one number of a million that is twice as large, is seen wherever forms are judged.

use askem::compute::device::trial::{self, Style, Trial, Verdict};
use askem::compute::executor::Executor;
use askem::compute::gpu::{GpuExecutor, Tuning};
use askem::compute::plan::PlanBuilder;
use askem::compute::precision::Precision;
use askem_kernels::{Call, conv2d};
use askem_wgsl::entry_of;

use crate::adapter;

/// A convolution of a million numbers, through several tiles one after another.
fn million() -> Call {
    let (n, c_in, c_out, h, w) = (4, 36, 16, 128, 128);
    let call = Call::Conv2dForward(conv2d::Params { n, c_in, c_out, h, w, kernel: 1, has_bias: 0 });
    assert_eq!(call.len("y"), 1 << 20);
    call
}

/// The device in each precision that it has.
fn devices() -> Vec<(Precision, GpuExecutor)> {
    let open = |precision| Some((precision, adapter::open_at("races", precision).ok()?));
    Precision::ALL.into_iter().filter_map(open).collect()
}

/// The first form, which says what is right, and the last one: of each size of matrices where a device may have matrix units, so
/// that one of them is its own.
fn spoiled_forms(precision: Precision) -> Vec<usize> {
    let forms = entry_of(&million()).1.forms;
    let last = |side| forms.iter().rposition(|form| form.side == side && !form.is_winograd);
    let last: Vec<_> = match precision {
        Precision::Tensor => vec![last(Some(8)), last(Some(16))],
        Precision::F32 | Precision::F16 => vec![last(None)],
    };
    [Some(0)].into_iter().chain(last).flatten().collect()
}

fn names(gpu: &GpuExecutor) -> Vec<String> {
    gpu.left_out().into_iter().map(|out| out.form).collect()
}

#[test]
fn the_self_test_leaves_out_a_form_that_doubles_one_number_of_a_million() {
    for (precision, mut gpu) in devices() {
        gpu.test_large(&million()).expect("it runs");
        assert!(gpu.left_out().is_empty(), "{precision}: {:?}", gpu.left_out());
        let mut found = 0;
        for form in spoiled_forms(precision) {
            let mut gpu = adapter::open_at("races", precision).expect("it opened before");
            gpu.spoil("conv2d::forward", form);
            gpu.test_large(&million()).expect("it runs");
            let Some(out) = gpu.left_out().pop() else { continue };
            let name = format!("conv2d::forward/{}", entry_of(&million()).1.forms[form].name());
            assert_eq!(names(&gpu), [name], "{precision}, form {form}");
            // Of the first form two of its own runs differ, in what each has doubled.
            let count = if form == 0 { " 2 of 1048576 numbers" } else { " 1 of 1048576 numbers" };
            assert!(out.why.contains(count), "{}", out.why);
            found += 1;
        }
        assert_eq!(found, 2, "{precision}: the first form, and another");
    }
}

#[test]
fn tuning_leaves_it_out_and_plans_run_without_it() {
    for (precision, mut gpu) in devices() {
        let call = million();
        let plan = || {
            let mut b = PlanBuilder::new("million", "run");
            let [x, weight, bias] =
                ["x", "weight", "bias"].map(|name| b.kept(name, call.len(name)));
            let y = b.kept("y", call.len("y"));
            b.step(call, &[x, weight, bias], &[y]);
            b.build()
        };
        gpu.tune_with(Tuning::default());
        gpu.spoil("conv2d::forward", 1);
        // On a busy machine slices may be measured to be faster, and the pass is not in the plan then.
        gpu.set_slices(Some(1));
        let id = gpu.prepare(plan()).expect("it fits");
        gpu.release(id);
        let name = format!("conv2d::forward/{}", entry_of(&call).1.forms[1].name());
        let tuning = gpu.tuning().expect("it is on");
        assert_eq!(names(&gpu), [name], "{precision}: {tuning:?}");
        let choice = tuning.choices().find(|choice| choice.pass == "conv2d::forward");
        let choice = choice.expect("it was measured");
        assert!(choice.seconds.iter().all(|&(form, _)| form != 1), "{choice:?}");
        assert!(choice.seconds.len() > 1, "{choice:?}");
        // What is left computes what the reference does.
        let small =
            conv2d::Params { n: 1, c_in: 20, c_out: 18, h: 9, w: 11, kernel: 1, has_bias: 1 };
        let trial = Trial::draw(Call::Conv2dForward(small), Style::Normal, 1).at(gpu.precision());
        for number in 0..4 {
            gpu.set_form(Some(number));
            let outputs = trial::run(&mut gpu, std::slice::from_ref(&trial)).expect("it runs");
            let verdict = trial.judge(&outputs[0]);
            assert!(matches!(verdict, Verdict::Agrees(_)), "{precision}: {verdict:?}");
        }
    }
}

#[test]
fn a_device_is_given_up_where_the_only_form_of_a_pass_races() {
    let mut gpu = adapter::open("races");
    let p = askem_kernels::relu::Params { len: 1 << 20 };
    gpu.spoil("relu::forward", 0);
    gpu.test_large(&Call::ReluForward(p)).expect("the device itself works");
    assert_eq!(names(&gpu), ["relu::forward/plain"]);
    // A plan that needs it is refused, and says why.
    let trial = Trial::draw(Call::ReluForward(p), Style::Normal, 1);
    let error = trial::run(&mut gpu, &[trial]).expect_err("there is no other form").to_string();
    for part in ["relu::forward", "are not those of the run before"] {
        assert!(error.contains(part), "{error}");
    }
}
