//! Batches for devices that can't hold them.

use std::ops::ControlFlow;

use super::*;
use crate::compute::cpu::CpuExecutor;
use crate::compute::plan::Plan;
use crate::learning::train::{Augment, Dataset, Progress, Schedule, TrainOptions, train};
use crate::network::unet::{AdamOptions, mc_plan, training_plan_of};

/// A processor that takes no plan of more bytes.
struct Small {
    inner: CpuExecutor,
    most: usize,
    score_batch: usize,
    stacks: bool,
    prepared: usize,
    released: usize,
}

/// What counts: all but the network itself.
fn bytes(plan: &Plan) -> usize {
    let labelled = plan.buffers.iter().filter(|buffer| buffer.name.starts_with("label"));
    plan.memory().own + labelled.map(|buffer| 4 * buffer.len).sum::<usize>()
}

impl Executor for Small {
    fn name(&self) -> String {
        format!("small, {} of {} plans released", self.released, self.prepared)
    }
    fn prepare(&mut self, plan: Plan) -> Result<PlanId> {
        if bytes(&plan) > self.most {
            return Err(Error::TooLarge(plan.name));
        }
        self.prepared += 1;
        self.inner.prepare(plan)
    }
    fn plan(&self, id: PlanId) -> &Plan {
        self.inner.plan(id)
    }
    fn release(&mut self, id: PlanId) {
        self.released += 1;
        self.inner.release(id);
    }
    fn write(&mut self, id: PlanId, buffer: BufferId, data: &[u32]) -> Result<()> {
        self.inner.write(id, buffer, data)
    }
    fn read(&mut self, id: PlanId, buffer: BufferId, data: &mut [u32]) -> Result<()> {
        self.inner.read(id, buffer, data)
    }
    fn run(&mut self, id: PlanId, section: &str) -> Result<()> {
        self.inner.run(id, section)
    }
    fn score_batch(&self) -> usize {
        self.score_batch
    }
    fn stacks_passes(&self) -> bool {
        self.stacks
    }
}

const PATCH: usize = 32;
/// Not a multiple of any smaller batch.
const PATCHES: usize = 15;

fn net() -> UNet {
    UNet { width: 2, ..UNet::paper() }
}

fn model(most: usize) -> Model {
    model_of(most, SCORE_BATCH, false)
}

fn model_of(most: usize, score_batch: usize, stacks: bool) -> Model {
    let inner = CpuExecutor::new(Some(1)).expect("a thread starts");
    let executor = Small { inner, most, score_batch, stacks, prepared: 0, released: 0 };
    let mut model = Model::new(Box::new(executor), net(), PATCH).expect("the state fits");
    model.set_weights(&net().init(3)).expect("weights can be written");
    model
}

fn image() -> Vec<f32> {
    (0..PATCHES * PATCH * PATCH).map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0).collect()
}

fn scores(model: &mut Model) -> (Vec<Vec<f32>>, McScores) {
    let outputs = [Output::Entropy, Output::EmbeddingMean, Output::Probabilities];
    let found = model.forward(&image(), &outputs).expect("some batch fits");
    let keys: Vec<Vec<u64>> =
        (0..3).map(|t| (0..PATCHES as u64).map(|i| 100 * t + i).collect()).collect();
    (found, model.mc_dropout(&image(), &keys).expect("some batch fits"))
}

/// Mean and variance, channel by channel, of the first unit's convolution.
fn first_moments(weights: &Weights, x: &[f32]) -> Vec<[f64; 2]> {
    let entry = net().parameters().get("enc0.0.conv.weight").expect("it is there").clone();
    let filters = &weights.parameters[entry.offset..][..entry.len()];
    let moments = |filter: &[f32]| {
        let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
        for image in x.chunks(PATCH * PATCH) {
            let at = |y: usize, x: usize| match (y.checked_sub(1), x.checked_sub(1)) {
                (Some(y), Some(x)) if y < PATCH && x < PATCH => f64::from(image[y * PATCH + x]),
                _ => 0.0,
            };
            for (y, x) in (0..PATCH).flat_map(|y| (0..PATCH).map(move |x| (y, x))) {
                let z: f64 = (0..9).map(|k| f64::from(filter[k]) * at(y + k / 3, x + k % 3)).sum();
                (sum, squares, count) = (sum + z, squares + z * z, count + 1.0);
            }
        }
        let mean = sum / count;
        [mean, squares / count - mean * mean]
    };
    filters.chunks(9).map(moments).collect()
}

#[test]
fn forgotten_weights_half_a_patch_and_missing_keys_are_refused() {
    let net = UNet { width: 2, context: 1, ..UNet::paper() };
    let mut model = Model::new(Box::new(CpuExecutor::new(Some(1)).unwrap()), net, 16).unwrap();
    let whole = 3 * 256;
    let why = model.forward(&vec![0.0; whole], &[Output::Entropy]).unwrap_err().to_string();
    assert!(why.contains("no weights"), "{why}");
    let other = UNet { width: 3, ..net }.init(1);
    assert!(model.set_weights(&other).unwrap_err().to_string().contains("not those"));
    model.set_weights(&net.init(1)).unwrap();
    for len in [0, 128, 256, whole + 1] {
        let x = vec![0.0; len];
        let why = model.forward(&x, &[Output::Entropy]).unwrap_err().to_string();
        assert!(why.contains(&format!("{len} values")) && why.contains("768"), "{why}");
        assert!(model.mc_dropout(&x, &[vec![7]]).is_err(), "{len}");
    }
    let x = vec![0.0; 2 * whole];
    assert!(model.mc_dropout(&x, &[vec![7, 8], vec![9]]).is_err());
    assert_eq!(model.mc_dropout(&x, &[vec![7, 8], vec![9, 1]]).unwrap().entropy.len(), 2);
}

#[test]
fn measured_statistics_are_those_of_all_patches() {
    let mut model = model(usize::MAX);
    let before = model.weights().unwrap();
    // More than are normalised together, and not a multiple.
    let x: Vec<f32> = image().into_iter().chain(image().into_iter().map(|v| 0.5 - v)).collect();
    model.measure_statistics(&x, None).unwrap();
    let after = model.weights().unwrap();
    assert_eq!(before.parameters, after.parameters);
    let bank = net().statistics();
    let [mean, var] = ["mean", "var"].map(|what| {
        let entry = bank.get(&format!("enc0.0.norm.running_{what}")).expect("it is there");
        after.statistics[entry.offset..][..entry.len()].to_vec()
    });
    for (channel, [want_mean, want_var]) in first_moments(&after, &x).into_iter().enumerate() {
        let near = |got: f32, want: f64| (f64::from(got) - want).abs() < 1e-3 * (1.0 + want.abs());
        assert!(near(mean[channel], want_mean), "{} {want_mean}", mean[channel]);
        assert!(near(var[channel], want_var), "{} {want_var}", var[channel]);
    }
    // Again, they are the same bits; under dropout, others.
    model.measure_statistics(&x, None).unwrap();
    assert_eq!(model.weights().unwrap(), after);
    let keys: Vec<u64> = (0..2 * PATCHES as u64).collect();
    model.measure_statistics(&x, Some(&keys)).unwrap();
    let dropped = model.statistics().unwrap();
    let deep = bank.get("dec3.1.norm.running_var").expect("it is there").offset;
    assert_ne!(dropped[deep], after.statistics[deep]);
    model.set_statistics(&after.statistics).unwrap();
    assert_eq!(model.weights().unwrap(), after);
}

#[test]
fn a_batch_that_does_not_fit_is_cut_and_gives_the_same_scores() {
    let mut whole = model(usize::MAX);
    let want = scores(&mut whole);
    assert_eq!(whole.score_batch, SCORE_BATCH);
    assert_eq!(want.0[0].len(), PATCHES);
    let memory = |n: usize| bytes(&mc_plan(&net(), n, PATCH, PATCH, 3).plan);
    // Forward plans are smaller than those under dropout: the first is cut again.
    for (most, batch) in [(memory(8), 8), (memory(2), 2), (memory(1), 1)] {
        let mut small = model(most);
        assert_eq!(scores(&mut small), want, "at most {most} bytes");
        assert_eq!(small.score_batch, batch);
        // Plans of earlier sizes are gone: three are left, of which one holds the state.
        let name = small.device_name();
        let counts: Vec<usize> = name.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [released, prepared] = counts[..] else { panic!("{name}") };
        assert!(prepared - released <= 3, "{name}");
        // What was prepared is used again.
        assert_eq!(scores(&mut small), want);
    }
}

#[test]
fn a_device_says_how_many_patches_it_likes() {
    let want = scores(&mut model(usize::MAX));
    for score_batch in [1, 4, 64] {
        let mut model = model_of(usize::MAX, score_batch, false);
        assert_eq!(model.score_batch(), score_batch);
        assert_eq!(scores(&mut model), want);
        // Plans for few patches and for many: 15, 30, 80 = 64 + 16.
        for copies in [2, 5] {
            let x = vec![image(); copies].concat();
            let x = &x[..(PATCHES * copies).min(80) * PATCH * PATCH];
            let found = model.forward(x, &[Output::Entropy]).expect("it fits").remove(0);
            let repeated = want.0[0].iter().cycle().take(x.len() / PATCH / PATCH);
            assert!(found.iter().eq(repeated), "{score_batch}");
        }
    }
}

#[test]
fn stacked_passes_give_the_same_scores() {
    let sizes = [(10, 64, [10, 8]), (10, 16, [10, 1]), (7, 4, [1, 4]), (6, 4, [3, 1])];
    let stacks = model_of(usize::MAX, 1, true);
    for (passes, samples, want) in sizes {
        assert_eq!(mc_batch(&*stacks.executor, passes, samples), want, "{passes} of {samples}");
    }
    for passes in [1, 3, 5, 6] {
        let key = |pass: usize, i: usize| (100 * pass + i) as u64;
        let keys: Vec<Vec<u64>> =
            (0..passes).map(|pass| (0..PATCHES).map(|i| key(pass, i)).collect()).collect();
        let want = model(usize::MAX).mc_dropout(&image(), &keys).expect("it fits");
        for samples in [1, 2, 4, 16, 64] {
            let mut stacks = model_of(usize::MAX, samples, true);
            let found = stacks.mc_dropout(&image(), &keys).expect("it fits");
            assert_eq!(found, want, "{passes} passes, {samples} samples at once");
            // Another image in the same plan.
            let other: Vec<f32> = image().into_iter().rev().collect();
            let found = stacks.mc_dropout(&other, &keys).expect("it fits");
            assert_eq!(found, model(usize::MAX).mc_dropout(&other, &keys).expect("it fits"));
        }
    }
}

#[test]
fn work_may_start_before_earlier_results_are_taken() {
    let mut model = model(usize::MAX);
    let (first, second) = (image(), image().into_iter().map(|v| -v).collect::<Vec<_>>());
    let outputs = [Output::Entropy];
    let want = [&first, &second].map(|x| model.forward(x, &outputs).expect("it fits"));
    let started = [&first, &second].map(|x| model.start_forward(x, &outputs).expect("it fits"));
    assert_eq!(started.map(|work| model.finish(work).expect("it is done")), want);
    assert_ne!(want[0], want[1]);
}

/// Bytes of a step that takes `n` of so many patches.
fn of_step(patches: usize, n: usize) -> usize {
    bytes(&training_plan_of(&net(), patches, [n, PATCH, PATCH], AdamOptions::default(), false).plan)
}

#[test]
fn a_training_step_that_does_not_fit_is_cut() {
    for (most, wanted, fits) in [
        (usize::MAX, 15, (15, true)),
        // 16 would be room for more.
        (of_step(15, 15), 15, (15, true)),
        (of_step(15, 15) - 1, 15, (8, true)),
        (of_step(4, 4), 15, (4, false)),
        (of_step(1, 1), 7, (1, false)),
        (of_step(15, 1), 0, (1, true)),
    ] {
        let mut model = model(most);
        assert_eq!(model.prepare_training(15, wanted, false).expect("one fits"), fits, "{most}");
        let batch = fits.0;
        let labels = vec![0; batch * PATCH * PATCH];
        model.load_patches(&image()[..batch * PATCH * PATCH], &labels).expect("there is room");
        let sites = vec![Site::default(); batch];
        model.train_step(&sites, None, &vec![0; batch], &[1.0, 1.0], [1e-3, 1.0]).expect("it fits");
        assert!(model.loss().expect("it was computed").is_finite());
    }
    let error = model(of_step(1, 1) - 1).prepare_training(15, 4, false).expect_err("nothing fits");
    assert!(matches!(error, Error::TooLarge(_)), "{error}");
}

#[test]
fn patches_that_do_not_fit_all_at_once_train_alike() {
    let pixels = PATCH * PATCH;
    let mut data = Dataset::new(PATCH);
    for (i, x) in image().chunks(pixels).enumerate() {
        let labels: Vec<u8> = (0..pixels).map(|p| [0, 1, 255][(i * p / 5) % 3]).collect();
        data.push(x, &labels);
    }
    let options = TrainOptions {
        epochs: 2,
        lr: 1e-2,
        later_lr: None,
        schedule: Schedule::Constant,
        foreground_share: 0.0,
        batch_size: 4,
        class_weights: vec![1.0, 2.0],
        augment: Augment { flips: true, turns: true, ..Augment::default() },
        seed: 5,
        iteration: 0,
    };
    let trained = |most: usize, all_fit: bool| {
        let mut model = model(most);
        assert_eq!(model.prepare_training(PATCHES, 4, false).expect("it fits"), (4, all_fit));
        let observe = &mut |_: &mut Model, _: Progress<'_>| Ok(ControlFlow::Continue(()));
        train(&mut model, &data, &options, None, None, observe).expect("it trains");
        model.weights().expect("they can be read")
    };
    assert_eq!(trained(usize::MAX, true), trained(of_step(4, 4), false));

    let observe = &mut |_: &mut Model, _: Progress<'_>| Ok(ControlFlow::Continue(()));
    let nothing = Dataset::new(PATCH);
    let refused = train(&mut model(usize::MAX), &nothing, &options, None, None, observe);
    assert!(matches!(refused, Err(Error::Input(_))), "an epoch of no steps never ends");
}

#[test]
fn what_never_fits_is_an_error() {
    let mut small = model(1000);
    let error = small.forward(&image(), &[Output::Entropy]).expect_err("nothing fits");
    assert!(matches!(error, Error::TooLarge(_)), "{error}");
    assert_eq!(small.score_batch, 1);
}

#[test]
fn a_device_that_holds_no_large_window_gets_smaller_ones() {
    let whole = plan_bytes([512, 512]);
    let mut model = model(whole - 1);
    let longest = model.longest_window();
    assert!(longest > 1024, "{longest}");
    let mut tried = Vec::new();
    let side = loop {
        let side = model.longest_window();
        tried.push(side);
        if model.prepare_window([side, side]).expect("it is asked for less") {
            break side;
        }
    };
    assert!((256..512).contains(&side) && side.is_multiple_of(16), "{tried:?}");
    assert!(tried.windows(2).all(|pair| pair[1] < pair[0]), "{tried:?}");
    let x = vec![0.5; side * side];
    assert!(model.start_window(&x[1..]).is_err(), "a pixel is missing");
    let started = model.start_window(&x).expect("it fits");
    let p = model.finish(started).expect("it is computed").remove(0);
    assert_eq!(p.len(), 2 * side * side);
    assert!(p.iter().all(|p| p.is_finite()));

    // There is a least size, below which the device is to blame.
    let mut model = self::model(plan_bytes([256, 256]) - 1);
    let refused = loop {
        let side = model.longest_window();
        match model.prepare_window([side, side]) {
            Ok(ready) => assert!(!ready),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::TooLarge(_)), "{refused}");
}

/// What counts of a window's plan.
fn plan_bytes([height, width]: [usize; 2]) -> usize {
    bytes(&forward_plan(&net(), 1, height, width, &[Output::Probabilities]).plan)
}
