//! Whether a device computes what the references define, on small data.
//!
//! Drivers have bugs that no test of ours on another machine can show. So each device computes
//! every pass once on small data before it is used. The parity tests are the thorough form.

use askem_kernels::Call;
use askem_kernels::{
    adam, allclose, bald, batch_norm, batch_norm_relu, batch_norm_split, concat_channels,
    confusion, conv_transpose2d, conv_transpose2d_split_k, conv2d, conv2d_joined, conv2d_norm_relu,
    conv2d_split_channels, conv2d_split_k, conv2d_statistics, crop, cross_entropy, dropout,
    dropout_masks, entropy, global_avg_pool2d, instance_norm, k_center_greedy, k_means,
    k_means_plus_plus, least_confidence, max_pool2d, min_sq_dist, pairwise_sq_dist, patch_sum,
    relu, segmentation_head, softmax,
};

use crate::device::trial::{self, Style, Trial, Verdict};
use crate::error::{Error, Result};
use crate::executor::Executor;
#[cfg(feature = "files")]
use crate::gpu::cache::Kind;
use crate::gpu::pipelines::Wanted;
use crate::gpu::{GpuExecutor, LeftOutForm};

/// Computes every pass on small data and compares with the references.
///
/// # Errors
/// [`Error::Device`] that names the first pass that is wrong, and how.
pub fn run(executor: &mut dyn Executor) -> Result<()> {
    run_calls(executor, calls())
}

impl GpuExecutor {
    /// Tests every form in which the device can run a pass, and leaves out those that are wrong. What an earlier start found of the
    /// same device, driver and build of the program counts, unless it is to be tested `again`.
    ///
    /// On small data each form is compared with the reference. On hardware, where races between lanes show only on large data,
    /// every number of about a million is compared besides, with those of the first form and with those of the same form's other runs.
    ///
    /// # Errors
    /// [`Error::Device`] where a pass has no form left that is right, or the precision none that makes it what it is; and where
    /// the device fails.
    pub fn self_test(&mut self, again: bool) -> Result<()> {
        if let Some(verdict) = self.kept_verdict().filter(|_| !again) {
            verdict.left_out.iter().for_each(|form| {
                self.left_out.insert_by_name(form);
            });
            return verdict.refused.map_or(Ok(()), |what| {
                Err(Error::Device(format!(
                    "{what} (so it was found before; askem devices tests it again)"
                )))
            });
        }
        self.test_small()?;
        if !self.is_software() {
            for call in large() {
                self.test_large(&call)?;
            }
        }
        let outcome = self.check_left();
        self.keep_verdict(outcome.as_ref().err());
        self.connection.keep_pipelines();
        outcome
    }

    /// Whether each pass has a form left.
    pub(super) fn check_left(&self) -> Result<()> {
        self.left_out.check(&self.connection.name, self.precision, self.connection.side)
    }

    /// From now on does without a form, for the reason given.
    ///
    /// # Errors
    /// [`Error::Device`] if there is no other that computes the same.
    pub(super) fn leave_out(&mut self, call: &Call, form: usize, what: String) -> Result<()> {
        self.left_out.insert(call.signature().name, form, what);
        let outcome = self.check_left();
        self.keep_verdict(outcome.as_ref().err());
        outcome
    }

    /// Compares every form with the reference, on small data.
    fn test_small(&mut self) -> Result<()> {
        let calls: Vec<Call> = calls().into_iter().chain(several_tiles()).collect();
        self.compile_forms(&calls)?;
        let mut wrong = Vec::new();
        for number in 0.. {
            let with_form = |call: &&Call| self.forms_of(call).len() > number;
            let calls: Vec<Call> = calls.iter().filter(with_form).copied().collect();
            if calls.is_empty() {
                break;
            }
            self.set_form(Some(number));
            let faults = faults(self, &calls);
            self.set_form(None);
            wrong.extend(faults?.into_iter().map(|(call, what)| {
                let form = self.forms_of(&call)[number];
                (call.signature().name, form, what)
            }));
        }
        // Only now, since forms are numbered among those that are left.
        for (pass, form, what) in wrong {
            self.left_out.insert(pass, form, what);
        }
        Ok(())
    }

    /// Compiles all forms of calls at once, so that no thread of the processor waits for the slowest of a few.
    fn compile_forms(&mut self, calls: &[Call]) -> Result<()> {
        let mut wanted = Vec::new();
        for call in calls {
            let halves = self.likely_halves(call);
            wanted.extend(self.forms_of(call).into_iter().map(|form| Wanted {
                call: *call,
                form,
                is_specialised: false,
                halves: halves.clone(),
            }));
        }
        self.pipelines.compile(&self.connection, &wanted)
    }

    /// Compares every number of a large result among the forms of a call, and among the runs of each; leaves out those that differ.
    ///
    /// # Errors
    /// If the device fails.
    pub fn test_large(&mut self, call: &Call) -> Result<()> {
        let halves = self.likely_halves(call);
        let mut contest = match self.contest(call, &halves) {
            Ok(contest) => contest,
            // Such a small device is tested on small data.
            Err(Error::TooLarge(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut wrong = Vec::new();
        for form in self.forms_of(call) {
            let contestant = match self.contestant(&contest, form, false) {
                Ok(contestant) => contestant,
                Err(Error::Device(what)) => {
                    self.connection.check()?;
                    wrong.push((form, what));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let what =
                self.judge(&mut contest, &contestant, 0..LARGE_RUNS, |gpu, dispatches, _| {
                    gpu.run_dispatches(dispatches)
                })?;
            wrong.extend(what.map(|what| (form, what)));
        }
        for (form, what) in wrong {
            self.left_out.insert(call.signature().name, form, what);
        }
        Ok(())
    }
}

/// Runs of each form on large data.
const LARGE_RUNS: usize = 4;

/// What a self-test found, as it is kept.
#[derive(Debug, Default)]
struct KeptVerdict {
    left_out: Vec<LeftOutForm>,
    /// Why the device is of no use in this precision, if it is of none.
    refused: Option<String>,
}

#[cfg(feature = "files")]
impl GpuExecutor {
    fn kept_verdict(&self) -> Option<KeptVerdict> {
        let bytes = self.connection.cache.read(Kind::SelfTest)?;
        let kept: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
        let text = |value: &serde_json::Value| Some(value.as_str()?.to_owned());
        let form = |value: &serde_json::Value| {
            Some(LeftOutForm { form: text(&value["form"])?, why: text(&value["why"])? })
        };
        let left_out: Option<Vec<_>> = kept["left_out"].as_array()?.iter().map(form).collect();
        let refused = &kept["refused"];
        if !refused.is_null() && !refused.is_string() {
            return None;
        }
        Some(KeptVerdict { left_out: left_out?, refused: text(refused) })
    }

    fn keep_verdict(&self, refused: Option<&Error>) {
        // What a test spoils is not the device's fault.
        if self.overrides.spoiled.is_some() {
            return;
        }
        let form = |out: LeftOutForm| serde_json::json!({ "form": out.form, "why": out.why });
        let left_out: Vec<_> = self.left_out().into_iter().map(form).collect();
        let device = self.connection.cache.device();
        let refused = refused.map(ToString::to_string);
        let kept =
            serde_json::json!({ "device": device, "left_out": left_out, "refused": refused });
        self.connection.cache.write(Kind::SelfTest, kept.to_string().as_bytes());
    }
}

/// Without files every start tests.
#[cfg(not(feature = "files"))]
impl GpuExecutor {
    fn kept_verdict(&self) -> Option<KeptVerdict> {
        None
    }

    fn keep_verdict(&self, _: Option<&Error>) {}
}

fn run_calls(executor: &mut dyn Executor, calls: Vec<Call>) -> Result<()> {
    let trials = trials(executor, &calls);
    let outputs = trial::run(executor, &trials)?;
    for (trial, written) in trials.iter().zip(&outputs) {
        if let Some(what) = fault(trial, written) {
            return Err(Error::Device(format!("{} fails the self-test: {what}", executor.name())));
        }
    }
    Ok(())
}

fn trials(executor: &dyn Executor, calls: &[Call]) -> Vec<Trial> {
    let precision = executor.precision();
    let trial = |(&call, seed)| Trial::draw(call, Style::Normal, seed).at(precision);
    calls.iter().zip(0..).map(trial).collect()
}

/// What is wrong with the outputs of a trial.
fn fault(trial: &Trial, written: &[Option<Vec<u32>>]) -> Option<String> {
    match trial.judge(written) {
        Verdict::Agrees(_) => None,
        Verdict::Differs(what) => Some(what),
        Verdict::Unbounded => Some(format!("{:?}: the test proves nothing", trial.call)),
    }
}

/// Runs the calls in one plan, twice, and finds those that are wrong, or not the same both times, and what is wrong with them.
fn faults(executor: &mut GpuExecutor, calls: &[Call]) -> Result<Vec<(Call, String)>> {
    let trials = trials(executor, calls);
    let both = trial::run(executor, &trials).and_then(|first| {
        let second = trial::run(executor, &trials)?;
        Ok([first, second])
    });
    let [first, second] = match both {
        Ok(both) => both,
        // One that the driver refuses spoils them all: each alone then.
        Err(Error::Device(what)) if calls.len() == 1 => {
            executor.connection.check()?;
            return Ok(vec![(calls[0], what)]);
        }
        Err(Error::Device(_)) => {
            executor.connection.check()?;
            let mut wrong = Vec::new();
            for call in calls {
                wrong.extend(faults(executor, std::slice::from_ref(call))?);
            }
            return Ok(wrong);
        }
        Err(error) => return Err(error),
    };
    let mut wrong = Vec::new();
    for ((trial, first), second) in trials.iter().zip(&first).zip(&second) {
        let differs = || {
            let name = trial.call.signature().name;
            (first != second).then(|| format!("{name}: two runs give different results"))
        };
        wrong.extend(fault(trial, first).or_else(differs).map(|what| (trial.call, what)));
    }
    Ok(wrong)
}

/// Calls of a million numbers or more, of every pass that has several forms.
fn large() -> Vec<Call> {
    let (n, c_in, c_a, c_out, h, w, kernel) = (8, 48, 16, 32, 64, 64, 3);
    let (eps, momentum) = (1e-5, 0.1);
    let conv = conv2d::Params { n, c_in, c_out, h, w, kernel, has_bias: 0 };
    let joined = conv2d_joined::Params { n, c_in, c_a, c_out, h, w, kernel };
    let split = conv2d_split_channels::Params { n, c_in, c_a, c_out, h, w, kernel, slices: 2 };
    let split_k = conv2d_split_k::Params { n, c_in, c_a, c_out, h, w, kernel, slices: 64 };
    let statistics = conv2d_statistics::Params { n, c_in, c_a, c_out, h, w, kernel, eps, momentum };
    let unit = conv2d_norm_relu::Params { n, c_in, c_a, c_out, h, w, kernel, mask: 1, eps };
    let up = conv_transpose2d::Params { n, c_in: c_out, c_out: c_in, h, w };
    let slices = 64;
    let up_split_k = conv_transpose2d_split_k::Params { n, c_in: c_out, c_out: c_in, h, w, slices };
    vec![
        Call::Conv2dForward(conv),
        Call::Conv2dBackwardInput(conv),
        Call::Conv2dBackwardWeight(conv),
        Call::Conv2dJoinedForward(joined),
        Call::Conv2dJoinedBackwardInput(joined),
        Call::Conv2dSplitChannelsForward(split),
        Call::Conv2dSplitChannelsBackwardInput(split),
        Call::Conv2dSplitKBackwardWeight(split_k),
        Call::Conv2dStatisticsForward(statistics),
        Call::Conv2dNormReluForwardEval(unit),
        Call::ConvTranspose2dForward(up),
        Call::ConvTranspose2dBackwardInput(up),
        Call::ConvTranspose2dBackwardWeight(up),
        Call::ConvTranspose2dSplitKBackwardWeight(up_split_k),
    ]
}

/// Convolutions of so many channels that they go through several tiles one after another, which shows whether staging is
/// synchronised, and that Winograd's algorithm computes them.
fn several_tiles() -> Vec<Call> {
    let p = conv2d::Params { n: 1, c_in: 36, c_out: 18, h: 11, w: 17, kernel: 3, has_bias: 0 };
    let conv2d::Params { n, c_in, c_out, h, w, kernel, .. } = p;
    let eps = 1e-5;
    let unit = conv2d_norm_relu::Params { n, c_in, c_a: 20, c_out, h, w, kernel, mask: 1, eps };
    let up = conv_transpose2d::Params { n, c_in, c_out, h, w };
    let c_a = 20;
    let joined = conv2d_joined::Params { n, c_in, c_a, c_out, h, w, kernel };
    let statistics =
        conv2d_statistics::Params { n, c_in, c_a, c_out, h, w, kernel, eps, momentum: 0.1 };
    let slices =
        conv2d_split_channels::Params { n, c_in, c_a, c_out: c_in, h, w, kernel, slices: 2 };
    vec![
        Call::Conv2dForward(p),
        Call::Conv2dBackwardInput(conv2d::Params { c_in: c_out, c_out: c_in, ..p }),
        Call::Conv2dJoinedForward(joined),
        Call::Conv2dJoinedBackwardInput(joined),
        Call::Conv2dStatisticsForward(statistics),
        Call::Conv2dSplitChannelsForward(slices),
        Call::Conv2dSplitChannelsBackwardInput(slices),
        Call::Conv2dBackwardWeight(p),
        Call::Conv2dNormReluForwardEval(unit),
        Call::ConvTranspose2dForward(up),
        Call::ConvTranspose2dBackwardInput(up),
        Call::ConvTranspose2dBackwardWeight(up),
    ]
}

/// Every pass at least once, on sizes that are odd and fill no tile.
fn calls() -> Vec<Call> {
    let (n, c, h, w) = (2, 3, 5, 7);
    let hw = h * w;
    let mut calls = Vec::new();

    for (kernel, has_bias) in [(3, 1), (1, 0)] {
        let p = conv2d::Params { n, c_in: c, c_out: 5, h, w, kernel, has_bias };
        calls.extend([
            Call::Conv2dForward(p),
            Call::Conv2dBackwardInput(p),
            Call::Conv2dBackwardWeight(p),
            Call::Conv2dBackwardBias(p),
        ]);
    }
    let p = conv_transpose2d::Params { n, c_in: 5, c_out: c, h, w };
    calls.extend([
        Call::ConvTranspose2dForward(p),
        Call::ConvTranspose2dBackwardInput(p),
        Call::ConvTranspose2dBackwardWeight(p),
        Call::ConvTranspose2dBackwardBias(p),
    ]);
    let p = max_pool2d::Params { n, c, h, w };
    calls.extend([Call::MaxPool2dForward(p), Call::MaxPool2dBackwardInput(p)]);
    let p = batch_norm::Params { n, c, hw, eps: 1e-5, momentum: 0.1 };
    calls.extend([
        Call::BatchNormStatistics(p),
        Call::BatchNormForward(p),
        Call::BatchNormForwardEval(p),
        Call::BatchNormBackwardWeight(p),
        Call::BatchNormBackwardInput(p),
    ]);
    for mask in [0, 1, 2] {
        let affine = mask % 2;
        let p = batch_norm_relu::Params { n, c, hw, mask, scale: 1.25, affine };
        calls.extend([
            Call::BatchNormReluForward(p),
            Call::BatchNormReluBackwardWeight(p),
            Call::BatchNormReluBackwardInput(p),
        ]);
        let (c_in, c_a, c_out) = (c, c - mask, 5);
        let p = conv2d_norm_relu::Params { n, c_in, c_a, c_out, h, w, kernel: 3, mask, eps: 1e-5 };
        calls.push(Call::Conv2dNormReluForwardEval(p));
    }
    let p = conv2d_joined::Params { n, c_in: c, c_a: 1, c_out: 5, h, w, kernel: 3 };
    calls.extend([Call::Conv2dJoinedForward(p), Call::Conv2dJoinedBackwardInput(p)]);
    let (c_in, c_a, c_out) = (c, 1, 5);
    let p = conv2d_split_channels::Params { n, c_in, c_a, c_out, h, w, kernel: 3, slices: 2 };
    calls.extend([
        Call::Conv2dSplitChannelsForward(p),
        Call::Conv2dSplitChannelsSumForward(p),
        Call::Conv2dSplitChannelsBackwardInput(p),
        Call::Conv2dSplitChannelsSumBackwardInput(p),
    ]);
    let p = conv2d_split_k::Params { n, c_in: c, c_a: 1, c_out: 5, h: 9, w, kernel: 3, slices: 3 };
    calls.extend([Call::Conv2dSplitKBackwardWeight(p), Call::Conv2dSplitKReduce(p)]);
    let (eps, momentum, scale) = (1e-5, 0.1, 1.25);
    let p = batch_norm_split::Params { n, c, hw, slices: 4, eps, momentum, scale };
    calls.extend([
        Call::BatchNormSplitStatistics(p),
        Call::BatchNormSplitMerge(p),
        Call::BatchNormSplitBackwardWeight(p),
        Call::BatchNormSplitMergeBackwardWeight(p),
    ]);
    let p =
        conv2d_statistics::Params { n, c_in, c_a, c_out, h: 9, w: 11, kernel: 3, eps, momentum };
    calls.extend([
        Call::Conv2dStatisticsForward(p),
        Call::Conv2dStatisticsMerge(p),
        Call::Conv2dStatisticsMergePlanes(p),
    ]);
    let p = conv_transpose2d_split_k::Params { n, c_in: 5, c_out: c, h: 9, w: 11, slices: 3 };
    calls.extend([
        Call::ConvTranspose2dSplitKBackwardWeight(p),
        Call::ConvTranspose2dSplitKReduce(p),
    ]);
    let p = instance_norm::Params { n, c, hw, eps: 1e-5 };
    calls.extend([
        Call::InstanceNormStatistics(p),
        Call::InstanceNormForward(p),
        Call::InstanceNormBackwardStatistics(p),
        Call::InstanceNormBackwardInput(p),
    ]);
    let p = relu::Params { len: 301 };
    calls.extend([Call::ReluForward(p), Call::ReluBackwardInput(p)]);
    for element in [0, 1] {
        let p =
            dropout::Params { n, c, hw, element, layer: 4, threshold: 1 << 30, scale: 4.0 / 3.0 };
        calls.extend([
            Call::DropoutMask(p),
            Call::DropoutForward(p),
            Call::DropoutBackwardInput(p),
        ]);
    }
    let layers = [(4, c), (0, 70), (17, 300)];
    calls.push(Call::DropoutMasksDraw(dropout_masks::Params::new(n, 1 << 30, 4.0 / 3.0, &layers)));
    let p = concat_channels::Params { n, c_a: c, c_b: 2, hw };
    calls.extend([Call::ConcatChannelsForward(p), Call::ConcatChannelsBackwardInput(p)]);
    let p = softmax::Params { n, c, hw };
    calls.extend([Call::SoftmaxForward(p), Call::SoftmaxBackwardInput(p)]);
    let p = cross_entropy::Params { n, c, hw: 700, ignore_label: 255 };
    calls.extend([
        Call::CrossEntropyForward(p),
        Call::CrossEntropyReduce(p),
        Call::CrossEntropyBackwardInput(p),
    ]);
    calls.push(Call::AdamUpdate(adam::Params { len: 301, beta1: 0.9, beta2: 0.999, eps: 1e-8 }));

    let p = crop::Params { n, h: 19, w: 23, depth: 3, height: 29, width: 31 };
    calls.extend([Call::CropImages(p), Call::CropLabels(p)]);
    calls.push(Call::EntropyForward(entropy::Params { n, c, hw }));
    calls.push(Call::LeastConfidenceForward(least_confidence::Params { n, c, hw }));
    let p = bald::Params { n, c, hw, passes: 4, stacked: 2 };
    calls.extend([
        Call::BaldAccumulate(p),
        Call::BaldEntropyOfMean(p),
        Call::BaldMutualInformation(p),
    ]);
    let p = segmentation_head::Params { n, stacked: 2, c: 5, classes: c, hw: 301 };
    calls.extend([
        Call::SegmentationHeadEntropy(p),
        Call::SegmentationHeadLeastConfidence(p),
        Call::SegmentationHeadAccumulate(p),
    ]);
    calls.push(Call::PatchSumForward(patch_sum::Params { n, hw: 301 }));
    calls.push(Call::GlobalAvgPool2dForward(global_avg_pool2d::Params { n, c, hw: 301 }));

    let p = pairwise_sq_dist::Params { rows_a: 9, rows_b: 19, dim: 133 };
    calls.push(Call::PairwiseSqDistForward(p));
    calls.push(Call::MinSqDistForward(min_sq_dist::Params { rows: 19, centers: 9, dim: 133 }));
    let p = k_center_greedy::Params { rows: 301, dim: 5, capacity: 8 };
    calls.push(Call::KCenterGreedyAddCenter(p));
    let p = k_means_plus_plus::Params { rows: 301, k: 3, dim: 5, trials: 5 };
    calls.extend([Call::KMeansPlusPlusMeasure(p), Call::KMeansPlusPlusDraw(p)]);
    let p = k_means::Params { rows: 67, k: 5, dim: 9 };
    calls.extend([Call::KMeansAssign(p), Call::KMeansUpdate(p), Call::KMeansCheckConvergence(p)]);

    let p = confusion::Params { len: 301, ignore_label: 255, threshold: 0.5 };
    calls.push(Call::ConfusionForward(p));
    let p = allclose::Params { len: 3001, slices: 4, atol: 0.01, rtol: 0.0078125 };
    calls.push(Call::AllcloseCount(p));
    calls
}

#[cfg(test)]
mod tests {
    use askem_kernels::SIGNATURES;

    use super::*;
    use crate::cpu::CpuExecutor;

    #[test]
    fn every_pass_is_tested() {
        let tested: Vec<_> = calls().iter().map(|call| call.signature().name).collect();
        for signature in SIGNATURES {
            assert!(tested.contains(&signature.name), "{} is not in the self-test", signature.name);
        }
    }

    #[test]
    fn every_pass_with_several_forms_is_tested_on_large_data() {
        let large: Vec<_> = large().iter().map(|call| call.signature().name).collect();
        for signature in SIGNATURES {
            let (_, entry) = askem_wgsl::find(signature.op, signature.pass).expect("a shader");
            let is_large = large.contains(&signature.name);
            assert_eq!(is_large, entry.forms.len() > 1, "{}", signature.name);
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
        fn prepare(&mut self, plan: crate::plan::Plan) -> Result<crate::executor::PlanId> {
            self.0.prepare(plan)
        }
        fn plan(&self, id: crate::executor::PlanId) -> &crate::plan::Plan {
            self.0.plan(id)
        }
        fn release(&mut self, id: crate::executor::PlanId) {
            self.0.release(id);
        }
        fn write(
            &mut self,
            id: crate::executor::PlanId,
            buffer: crate::plan::BufferId,
            data: &[u32],
        ) -> Result<()> {
            self.0.write(id, buffer, data)
        }
        fn read(
            &mut self,
            id: crate::executor::PlanId,
            buffer: crate::plan::BufferId,
            data: &mut [u32],
        ) -> Result<()> {
            self.0.read(id, buffer, data)?;
            if self.0.plan(id).buffers[buffer.index()].name.contains("conv2d::forward: y") {
                let middle = data.len() / 2;
                data[middle] ^= 1 << 16;
            }
            Ok(())
        }
        fn run(&mut self, id: crate::executor::PlanId, section: &str) -> Result<()> {
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
