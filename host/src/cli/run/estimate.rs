//! What a run will need: memory and time.

use std::time::{Duration, Instant};

use askem_kernels::crop::Site;
use askem_kernels::warp::Transform;

use crate::cli::experiment_data::{ExperimentData, LabelledRegion};
use crate::compute::executor::Executor;
use crate::error::Result;
use crate::learning::predict::window_shape;
use crate::learning::protocol::{Config, Phase, Record, Test};
use crate::learning::strategy::{self, Criterion};
use crate::network::model::{Model, longest_window, mc_batch, window_bytes};
use crate::network::unet::{AdamOptions, Output, forward_plan, mc_plan_of, training_plan_of};

/// Bytes that a run holds at most.
pub(in crate::cli) struct Memory {
    pub(super) network: usize,
    pub(super) patches: usize,
    pub(super) sections: usize,
}

impl Memory {
    /// All of it.
    pub(in crate::cli) fn total(&self) -> usize {
        self.network + self.patches + self.sections
    }

    pub(in crate::cli) fn of(
        config: &Config,
        executor: &dyn Executor,
        data: &ExperimentData,
    ) -> Result<Self> {
        let (net, patch) = (&config.net, config.patch);
        let full = config.strategy == "full";
        let labelled =
            if full { config.pool } else { config.initial + config.iterations * config.query };
        let sizes = [config.batch_size, patch, patch];
        let adam = AdamOptions::default();
        let steps = training_plan_of(
            net,
            labelled.next_power_of_two(),
            sizes,
            adam,
            config.augment.warps(),
        );
        let training = executor.memory(&steps.plan);
        // The last batch of an epoch may be smaller and has a plan of its own.
        let partial = if labelled.is_multiple_of(config.batch_size) { 0 } else { training.own };
        let probabilities = [Output::Probabilities];
        let batch = executor.score_batch();
        let forward = forward_plan(net, batch, patch, patch, &probabilities);
        let forward = executor.memory(&forward.plan).own;
        let looks = if config.held_out(labelled) > 0 { forward } else { 0 };
        let longest = longest_window(executor, net);
        let window = |test: &LabelledRegion| {
            let [_, height, width] = test.raw.shape();
            let (shape, _) = window_shape([height, width], &test.region, net, patch, longest);
            window_bytes(executor, net, shape)
        };
        let evaluation = data.test.iter().map(window).max().unwrap_or(0);
        let criterion = config.bald.criterion();
        let needs = strategy::by_name(&config.strategy, criterion)?.needs();
        let scoring = if needs.scores.is_some_and(Criterion::is_under_dropout) {
            let [stacked, n] = mc_batch(executor, config.mc_passes, batch);
            let passes = mc_plan_of(net, stacked, [n, patch, patch], config.mc_passes);
            executor.memory(&passes.plan).own
        } else if needs.passes(1) > 0 {
            forward
        } else {
            0
        };
        let section_of = |part: &LabelledRegion| part.region.x.end * part.region.y.end;
        let kept: usize = data.train.iter().chain(&data.test).map(section_of).sum();
        let segmented = data.test.iter().map(section_of).max().unwrap_or(0);
        Ok(Self {
            network: training.shared + training.own + partial + looks + evaluation + scoring,
            patches: labelled * patch * patch * (4 * net.sections() + 1),
            // Two sections of images and labels per region, the sections that the network sees
            // beside them, and the probabilities of one.
            sections: (2 * 5 + 8 * net.context) * kept + 8 * segmented,
        })
    }
}

/// The phases of the rest of a run, with the seconds that each will take at most.
#[derive(Debug, Default)]
pub(super) struct Estimate {
    phases: Vec<(usize, Phase, f64)>,
}

impl Estimate {
    fn add(&mut self, iteration: usize, phase: Phase, seconds: f64) {
        self.phases.push((iteration, phase, seconds));
    }

    /// Seconds of all.
    pub(super) fn total(&self) -> f64 {
        self.phases.iter().map(|(.., seconds)| seconds).sum()
    }

    /// Seconds of all that come before a phase, and of that phase.
    pub(super) fn of(&self, iteration: usize, phase: Phase) -> (f64, f64) {
        let earlier = |&&(at, ..): &&(usize, Phase, f64)| at < iteration;
        let start = self.phases.iter().filter(earlier).map(|(.., seconds)| seconds).sum();
        let mut before = start;
        for &(_, which, seconds) in self.phases.iter().filter(|&&(at, ..)| at == iteration) {
            if which == phase {
                return (before, seconds);
            }
            before += seconds;
        }
        // What is not foreseen, such as scores for the first patches, takes no time.
        (start, 0.0)
    }
}

/// What the rest of a run will take at most, from a short probe on zeros.
pub(super) fn estimate(
    model: &mut Model,
    config: &Config,
    test: &[Test<'_>],
    records: &[Record],
) -> Result<Estimate> {
    // Times do not hang on them, and whoever trains sets others.
    model.set_weights(&model.net().init(config.seed))?;
    let pixels = config.patch * config.patch;
    let sample = model.sample_len();
    let warped = config.augment.warps();
    let (batch, _) = model.prepare_training(config.batch_size, config.batch_size, warped)?;
    model.load_patches(&vec![0.0; batch * sample], &vec![0; batch * pixels])?;
    let time = |work: &mut dyn FnMut() -> Result<()>| -> Result<f64> {
        work()?;
        let (clock, mut rounds) = (Instant::now(), 0);
        while rounds < 2 || clock.elapsed() < Duration::from_millis(300) {
            work()?;
            rounds += 1;
        }
        Ok(clock.elapsed().as_secs_f64() / f64::from(rounds))
    };
    let sites = vec![Site::default(); batch];
    let transforms = vec![Transform::default(); batch];
    let transforms = warped.then_some(&transforms[..]);
    let step = time(&mut || {
        model.train_step(&sites, transforms, &vec![0; batch], &config.class_weights, [0.0, 1.0])?;
        model.loss().map(drop)
    })?;
    let score_batch = model.score_batch();
    let x = vec![0.0; score_batch * sample];
    let forward = time(&mut || model.forward(&x, &[Output::Probabilities]).map(drop))?;
    let (per_sample, per_window) = (step / batch as f64, forward / score_batch as f64);

    let (longest, net) = (model.longest_window(), *model.net());
    let pixels_of = |test: &Test<'_>| {
        let region = &test.reader.region;
        let [_, rows, columns] = test.reader.shape();
        let ([height, width], windows) =
            window_shape([rows, columns], region, &net, config.patch, longest);
        region.z.len() * windows * height * width
    };
    let evaluated = test.iter().map(pixels_of).sum::<usize>() as f64;
    let evaluation = evaluated / pixels as f64 * per_window;
    let strategy = strategy::by_name(&config.strategy, config.bald.criterion())?;
    let per_scored = per_window * strategy.needs().passes(config.mc_passes) as f64;
    let mut estimate = Estimate::default();
    if strategy.labels_everything() {
        let samples = config.full_epochs() * (config.pool - config.held_out(config.pool));
        estimate.add(0, Phase::Train, samples as f64 * per_sample);
        estimate.add(0, Phase::Evaluate, evaluation);
        return Ok(estimate);
    }
    for iteration in records.len()..=config.iterations {
        let labelled = config.initial + iteration * config.query;
        let epochs = config.epochs_of(iteration, labelled);
        let (trained, held_out) = (labelled - config.held_out(labelled), config.held_out(labelled));
        // A look at the held-out patches takes whole batches.
        let looks = (held_out.div_ceil(score_batch) * score_batch * epochs) as f64;
        let seconds = (trained * epochs) as f64 * per_sample + looks * per_window;
        estimate.add(iteration, Phase::Train, seconds);
        estimate.add(iteration, Phase::Evaluate, evaluation);
        if iteration < config.iterations && per_scored > 0.0 {
            estimate.add(iteration, Phase::Score, config.pool as f64 * per_scored);
        }
    }
    Ok(estimate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_follow_one_another() {
        let mut estimate = Estimate::default();
        for iteration in 2..4 {
            estimate.add(iteration, Phase::Train, 10.0);
            estimate.add(iteration, Phase::Evaluate, 4.0);
        }
        estimate.add(2, Phase::Score, 1.0);
        assert_eq!(estimate.total(), 29.0);
        assert_eq!(estimate.of(2, Phase::Train), (0.0, 10.0));
        assert_eq!(estimate.of(2, Phase::Score), (14.0, 1.0));
        assert_eq!(estimate.of(3, Phase::Evaluate), (25.0, 4.0));
        assert_eq!(estimate.of(3, Phase::Score), (15.0, 0.0));
        assert_eq!(Estimate::default().of(0, Phase::Train), (0.0, 0.0));
    }
}
