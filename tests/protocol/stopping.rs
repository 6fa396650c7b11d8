//! Early stopping and the budget in steps.

use std::ops::ControlFlow;

use askem::data::pool::draw_pool;
use askem::learning::annotator::{Annotator, SimulatedAnnotator};
use askem::learning::protocol::{Config, Observer, Progress, Unobserved};
use askem::learning::train::{
    Augment, Dataset, EarlyStopping, Schedule, TrainOptions, TrainState, train,
};
use askem::network::model::Model;
use askem::network::unet::Output;

use crate::world::{PATCH, SEED, World, cpu, gpu, timeless, tiny};

const PATIENCE: usize = 3;

fn stopping(strategy: &str) -> Config {
    Config {
        initial: 8,
        epochs: 40,
        finetune_epochs: 30,
        early_stopping: Some(PATIENCE),
        holdout: 0.25,
        lr: 1e-2,
        ..tiny(strategy)
    }
}

/// A short training with all that matters switched on.
fn train_options() -> TrainOptions {
    TrainOptions {
        epochs: 4,
        lr: 1e-3,
        later_lr: None,
        schedule: Schedule::Constant,
        foreground_share: 0.0,
        batch_size: 4,
        class_weights: vec![1.0, 3.0],
        augment: Augment { flips: true, turns: true, ..Augment::default() },
        seed: SEED,
        iteration: 0,
    }
}

/// Keeps the state after each epoch.
#[derive(Default)]
struct EveryEpoch {
    states: Vec<(usize, TrainState)>,
}

impl Observer for EveryEpoch {
    fn wants_checkpoint(&self) -> bool {
        true
    }

    fn checkpoint(&mut self, at: usize, state: &TrainState) -> askem::Result<()> {
        self.states.push((at, state.clone()));
        Ok(())
    }
}

#[test]
fn a_training_stops_when_patience_is_over_and_takes_the_best_network() {
    let world = World::phantom();
    let config = stopping("random");
    let mut seen = EveryEpoch::default();
    let outcome = world.run_on_cpu(&config, &mut seen);
    let mut stopped = 0;
    for record in &outcome.records {
        let (epochs, best) = (record.epochs.unwrap(), record.best.unwrap());
        let most = config.epochs_of(record.iteration, record.labelled);
        assert!(epochs == most || epochs == best.epoch + PATIENCE, "{record:?}");
        stopped += usize::from(epochs < most);
        let of = |(at, _): &&(usize, TrainState)| *at == record.iteration;
        let last = &seen.states.iter().rfind(of).unwrap().1;
        assert_eq!(last.epochs_done, epochs);
        let kept = last.best.as_ref().unwrap();
        assert_eq!((kept.epoch, f64::from(kept.loss)), (best.epoch, best.held_out_loss));
        assert_eq!(last.weights, kept.weights, "the best network goes on");
        // The state after the best epoch is the one that was taken.
        let at_best =
            |(at, s): &&(usize, TrainState)| *at == record.iteration && s.epochs_done == best.epoch;
        assert_eq!(seen.states.iter().find(at_best).unwrap().1.weights, kept.weights);
    }
    assert!(stopped > 0, "no training stopped early: {:?}", outcome.records);
    assert_eq!(outcome.weights, seen.states.last().unwrap().1.weights);
}

#[test]
fn it_goes_on_from_any_epoch() {
    let world = World::phantom();
    let config = Config { epochs: 12, finetune_epochs: 8, ..stopping("entropy") };
    let mut seen = EveryEpoch::default();
    let whole = world.run_on_cpu(&config, &mut seen);
    let of = |iteration: usize| move |(at, _): &&(usize, TrainState)| *at == iteration;
    for (at, state) in seen.states.clone() {
        let mut model = Model::new(cpu(2), config.net, PATCH).unwrap();
        let place = format!("iteration {at}, {} epochs", state.epochs_done);
        let records = whole.records[..at].to_vec();
        let before = at.checked_sub(1).and_then(|before| seen.states.iter().rfind(of(before)));
        let before = before.map(|(_, state)| state.weights.clone());
        let progress = Progress { records, checkpoint: Some((at, state)), before };
        let records = world.run(&config, &mut model, progress, &mut Unobserved);
        assert_eq!(timeless(records), whole.records, "{place}");
        assert_eq!(model.weights().unwrap(), whole.weights, "{place}");
    }
}

#[test]
fn the_held_out_loss_is_that_of_the_network_without_dropout() {
    let world = World::phantom();
    let config = tiny("random");
    let pool = draw_pool(&world.train.region, PATCH, 20, SEED).unwrap();
    let annotator = SimulatedAnnotator::new(&world.train_labels);
    let set = |numbers: std::ops::Range<usize>| {
        let mut set = Dataset::new(PATCH);
        let mut all = (Vec::new(), Vec::new());
        for &at in &pool[numbers] {
            let mut x = Vec::new();
            world.train.read(at, PATCH, &mut x).unwrap();
            let mut labels = annotator.annotate(at, PATCH).unwrap();
            // Some pixels count nowhere.
            labels[..40].fill(255);
            set.push(&x, &labels);
            all.0.extend(x);
            all.1.extend(labels);
        }
        (set, all)
    };
    let ((training, _), (held_out, (x, labels))) = (set(0..6), set(6..20));
    let options = train_options();
    let on_gpu = gpu("the_held_out_loss_is_that_of_the_network_without_dropout");
    for (executor, measured_on) in [(cpu(2), &x[..]), (on_gpu, &[])] {
        let mut model = Model::new(executor, config.net, PATCH).unwrap();
        model.set_weights(&config.net.init(SEED)).unwrap();
        let mut losses = Vec::new();
        let stopping = EarlyStopping { patience: 10, held_out: &held_out, measured_on };
        train(&mut model, &training, &options, Some(stopping), None, &mut |model, step| {
            if let Some(ended) = step.losses {
                if !measured_on.is_empty() {
                    let used = model.statistics()?;
                    model.measure_statistics(measured_on, None)?;
                    assert_eq!(used, model.statistics()?, "measured before the look");
                }
                let p = model.forward(&x, &[Output::Probabilities])?.remove(0);
                let (mut sum, mut weights) = (0.0, 0.0);
                for (i, &label) in labels.iter().enumerate().filter(|(_, label)| **label != 255) {
                    let (sample, pixel) = (i / (PATCH * PATCH), i % (PATCH * PATCH));
                    let class = usize::from(label);
                    let weight = f64::from(options.class_weights[class]);
                    let p = p[(2 * sample + class) * PATCH * PATCH + pixel];
                    sum -= weight * f64::from(p).ln();
                    weights += weight;
                }
                losses.push((sum / weights) as f32);
                let [got, want] = [ended.held_out.unwrap(), losses[losses.len() - 1]];
                assert!((got - want).abs() <= 1e-6 * want, "{got}, {want}");
                let best = step.best.expect("there is a best network");
                let least = losses.iter().copied().fold(f32::INFINITY, f32::min);
                assert!((best.loss - least).abs() <= 1e-6 * least, "{} {losses:?}", best.loss);
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        assert_eq!(losses.len(), options.epochs);
    }
}

#[test]
fn held_out_patches_without_labels_are_refused() {
    let mut model = Model::new(cpu(1), tiny("random").net, PATCH).unwrap();
    model.set_weights(&model.net().init(SEED)).unwrap();
    let pixels = PATCH * PATCH;
    let [mut training, mut held_out] = [(); 2].map(|()| Dataset::new(PATCH));
    training.push(&vec![0.5; pixels], &vec![1; pixels]);
    held_out.push(&vec![0.5; pixels], &vec![255; pixels]);
    let stopping = EarlyStopping { patience: 1, held_out: &held_out, measured_on: &[] };
    let outcome =
        train(&mut model, &training, &train_options(), Some(stopping), None, &mut |_, _| {
            Ok(ControlFlow::Continue(()))
        });
    let message = outcome.unwrap_err().to_string();
    assert!(message.contains("--holdout"), "{message}");
}

#[test]
fn a_budget_in_steps_ends_a_training() {
    let world = World::phantom();
    let config = Config { epochs: 20, finetune_epochs: 20, max_steps: Some(6), ..tiny("random") };
    let outcome = world.run_on_cpu(&config, &mut Unobserved);
    // 4, 8 and 12 patches are 1, 2 and 3 steps an epoch.
    let epochs: Vec<usize> = outcome.records.iter().map(|r| r.epochs.unwrap()).collect();
    assert_eq!(epochs, [6, 3, 2]);
    assert!(outcome.records.iter().all(|record| record.best.is_none()));
}
