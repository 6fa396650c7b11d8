//! What trains, in which order and how it is changed: each training is compared with plain ones,
//! whose patches are turned and put in order by hand.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::slice::from_ref;

use askem::data::pool::{Position, draw_pool, read_labels};
use askem::learning::annotator::{Annotator, SimulatedAnnotator};
use askem::learning::protocol::{self, Config, Data, Observer, Progress, Record};
use askem::learning::train::{Augment, Dataset, Losses, Schedule, TrainOptions, TrainState, train};
use askem::network::model::{Model, Moments};
use askem::network::unet::{Norm, UNet, Weights};

use crate::world::{PATCH, SEED, World, cpu, net, tiny};

/// What an observer sees of each epoch and each network.
#[derive(Default)]
struct Seen {
    states: Vec<TrainState>,
    losses: Vec<(usize, Losses)>,
    networks: Vec<Weights>,
}

impl Observer for Seen {
    fn wants_checkpoint(&self) -> bool {
        true
    }

    fn checkpoint(&mut self, _: usize, state: &TrainState) -> askem::Result<()> {
        self.states.push(state.clone());
        Ok(())
    }

    fn epoch_done(&mut self, iteration: usize, _: usize, losses: Losses) -> askem::Result<()> {
        self.losses.push((iteration, losses));
        Ok(())
    }

    fn network(&mut self, _: usize, weights: &Weights) -> askem::Result<()> {
        self.networks.push(weights.clone());
        Ok(())
    }
}

/// An experiment that is judged nowhere.
fn run(
    world: &World,
    config: &Config,
    annotator: &dyn Annotator,
    progress: Progress,
) -> (Vec<Record>, Seen) {
    let data = Data { train: from_ref(&world.train), annotator, test: &[] };
    let mut model = Model::new(cpu(2), config.net, PATCH).unwrap();
    let mut seen = Seen::default();
    let records = protocol::run(config, &data, &mut model, progress, &mut seen).unwrap();
    (records, seen)
}

#[test]
fn full_supervision_takes_the_second_rate_after_half_of_its_epochs() {
    let world = World::phantom();
    let annotator = SimulatedAnnotator::new(&world.train_labels);
    let states = |lr: f64, finetune_lr: f64, progress: Progress| {
        let config = Config { full_epochs: Some(4), lr, finetune_lr, ..tiny("full") };
        run(&world, &config, &annotator, progress).1.states
    };
    let both = states(1e-3, 5e-4, Progress::default());
    assert_eq!(both.iter().map(|state| state.epochs_done).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let first = states(1e-3, 1e-3, Progress::default());
    for epoch in 0..4 {
        let are_same = both[epoch].weights == first[epoch].weights;
        assert_eq!(are_same, epoch < 2, "after {} of 4 epochs", epoch + 1);
    }
    // From there on it trains as one that has never had another rate.
    let progress = Progress { checkpoint: Some((0, both[1].clone())), ..Progress::default() };
    let second = states(5e-4, 5e-4, progress);
    assert_eq!(second.last().unwrap().weights, both[3].weights);
}

#[test]
fn later_trainings_have_rates_and_epochs_of_their_own() {
    let world = World::phantom();
    let annotator = SimulatedAnnotator::new(&world.train_labels);
    let seen = |lr: f64, finetune_lr: f64| {
        let config = Config { epochs: 3, finetune_epochs: 2, lr, finetune_lr, ..tiny("random") };
        run(&world, &config, &annotator, Progress::default()).1
    };
    let both = seen(1e-3, 5e-4);
    let epochs: Vec<usize> = both.losses.iter().map(|(iteration, _)| *iteration).collect();
    assert_eq!(epochs, [0, 0, 0, 1, 1, 2, 2]);
    let (first, second) = (seen(1e-3, 1e-3), seen(5e-4, 5e-4));
    assert!(both.networks[0] == first.networks[0], "the first training has the first rate");
    assert!(both.networks[0] != second.networks[0], "the rates make no difference");
    assert!(both.networks[1] != first.networks[1], "the second training has the second rate");
}

/// Says that one half of each patch is foreground: the left one, but in one patch the right one.
struct Halves {
    turned: Option<Position>,
}

impl Annotator for Halves {
    fn annotate(&self, at: Position, patch: usize) -> askem::Result<Vec<u8>> {
        let is_left = self.turned != Some(at);
        Ok((0..patch * patch).map(|i| u8::from((i % patch < patch / 2) == is_left)).collect())
    }
}

#[test]
fn what_is_held_out_trains_nothing() {
    let world = World::phantom();
    let config = Config {
        initial: 8,
        iterations: 0,
        epochs: 2,
        early_stopping: Some(5),
        holdout: 0.25,
        ..tiny("random")
    };
    // The network after an epoch with its moments, since Adam's first step takes no more than signs of gradients, and
    // the loss on what is held out.
    let after_an_epoch = |turned: Option<Position>| {
        let (records, seen) = run(&world, &config, &Halves { turned }, Progress::default());
        assert_eq!(records[0].labelled, 8);
        let state = &seen.states[0];
        assert_eq!(state.epochs_done, 1);
        let trained = (state.weights.clone(), state.moments.clone());
        (trained, seen.losses[0].1.held_out.unwrap())
    };
    let (trained, loss) = after_an_epoch(None);
    let pool = draw_pool(&world.train.region, PATCH, config.pool, SEED).unwrap();
    let labelled = protocol::labelled(&config, &pool, &[]).unwrap().unwrap();
    assert_eq!(labelled.len(), 8);
    let mut held_out = 0;
    for index in labelled {
        let (other, other_loss) = after_an_epoch(Some(pool[index]));
        if other == trained {
            held_out += 1;
            assert_ne!(other_loss, loss, "patch {index} counts nowhere");
        }
    }
    assert_eq!(held_out, 2, "a quarter of 8 patches is held out, the others train");
}

/// A patch of the phantom with its labels.
fn patch(world: &World, number: usize) -> (Vec<f32>, Vec<u8>) {
    let at = draw_pool(&world.train.region, PATCH, 20, SEED).unwrap()[number];
    let mut x = Vec::new();
    world.train.read(at, PATCH, &mut x).unwrap();
    (x, read_labels(&world.train_labels, at, PATCH).unwrap())
}

fn dataset(patches: &[&(Vec<f32>, Vec<u8>)]) -> Dataset {
    let mut data = Dataset::new(PATCH);
    patches.iter().for_each(|(x, labels)| data.push(x, labels));
    data
}

/// The columns in reverse order where it is `mirrored`, then so many quarter turns.
fn moved<T: Copy>(values: &[T], mirrored: bool, turns: usize) -> Vec<T> {
    let at = |values: &[T], y: usize, x: usize| values[y * PATCH + x];
    let each = |of: &dyn Fn(usize, usize) -> T| -> Vec<T> {
        (0..PATCH * PATCH).map(|i| of(i / PATCH, i % PATCH)).collect()
    };
    let mut values = values.to_vec();
    if mirrored {
        values = each(&|y, x| at(&values, y, PATCH - 1 - x));
    }
    for _ in 0..turns {
        values = each(&|y, x| at(&values, x, PATCH - 1 - y));
    }
    values
}

/// Which training it is.
#[derive(Clone, Copy, Debug)]
struct Which {
    seed: u64,
    iteration: u64,
    /// Epochs that were done before it.
    epoch: usize,
}

const FIRST: Which = Which { seed: 0, iteration: 0, epoch: 0 };

/// A network that is trained for an epoch from the same weights, again and again.
struct Trainer {
    model: Model,
    start: TrainState,
}

impl Trainer {
    fn new(net: UNet) -> Self {
        let mut model = Model::new(cpu(1), net, PATCH).unwrap();
        model.set_weights(&net.init(SEED)).unwrap();
        model.clear_moments().unwrap();
        let start = TrainState::of(&mut model, 0, 1.0, None).unwrap();
        Self { model, start }
    }

    /// An epoch from a state on; the state after it.
    fn epoch(
        &mut self,
        data: &Dataset,
        which: Which,
        augment: Augment,
        batch_size: usize,
        from: &TrainState,
    ) -> TrainState {
        let options = TrainOptions {
            epochs: which.epoch + 1,
            lr: 1e-3,
            later_lr: None,
            schedule: Schedule::Constant,
            foreground_share: 0.0,
            batch_size,
            class_weights: vec![1.0, 1.0],
            augment,
            seed: which.seed,
            iteration: which.iteration,
        };
        let from = TrainState { epochs_done: which.epoch, ..from.clone() };
        let (done, loss, _) =
            train(&mut self.model, data, &options, None, Some(&from), &mut |_, _| {
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        assert_eq!(done, which.epoch + 1);
        TrainState::of(&mut self.model, done, loss, None).unwrap()
    }

    /// Adam's memory after an epoch from the start on, which is that of its gradients.
    fn moments(&mut self, data: &Dataset, which: Which, augment: Augment) -> Moments {
        let start = self.start.clone();
        self.epoch(data, which, augment, 4, &start).moments
    }
}

/// Trainings that differ in their seed, in the iteration, and in the epoch alone.
fn all_kinds(count: u64) -> [(&'static str, Vec<Which>); 3] {
    let of = |which: &dyn Fn(u64) -> Which| -> Vec<Which> { (0..count).map(which).collect() };
    [
        ("seed", of(&|seed| Which { seed, ..FIRST })),
        ("iteration", of(&|iteration| Which { iteration, ..FIRST })),
        ("epoch", of(&|epoch| Which { epoch: epoch as usize, ..FIRST })),
    ]
}

#[test]
fn patches_are_turned_and_mirrored_in_all_ways_that_are_allowed() {
    let world = World::phantom();
    let (x, labels) = patch(&world, 0);
    let mut trainer = Trainer::new(UNet { dropout: 0.0, ..net(Norm::Batch) });
    let mut plain = Vec::new();
    for mirrored in [false, true] {
        for turns in 0..4 {
            let by_hand = (moved(&x, mirrored, turns), moved(&labels, mirrored, turns));
            plain.push(trainer.moments(&dataset(&[&by_hand]), FIRST, Augment::default()));
        }
    }
    for (i, a) in plain.iter().enumerate() {
        assert!(plain[..i].iter().all(|b| a != b), "the network does not tell {i} from others");
    }
    let data = dataset(&[&(x, labels)]);
    let mut drawn = |augment: Augment, which: &[Which]| -> BTreeSet<usize> {
        let number = |&which: &Which| {
            let moments = trainer.moments(&data, which, augment);
            plain.iter().position(|other| *other == moments).expect("one of the eight")
        };
        which.iter().map(number).collect()
    };
    let only = |flips, turns| Augment { flips, turns, ..Augment::default() };
    for (of, which) in all_kinds(64) {
        let found = drawn(only(true, true), &which);
        assert!(found.iter().copied().eq(0..8), "by {of}: {found:?}");
    }
    let (_, seeds) = &all_kinds(48)[0];
    assert!(drawn(only(false, true), seeds).into_iter().eq(0..4), "turns alone");
    assert!(drawn(only(true, false), seeds).into_iter().eq([0, 4]), "mirrors alone");
    assert!(drawn(only(false, false), seeds).into_iter().eq([0]), "nothing");
}

#[test]
fn patches_come_in_another_order_each_time() {
    let world = World::phantom();
    let [a, b] = [0, 7].map(|number| patch(&world, number));
    let mut trainer = Trainer::new(UNet { dropout: 0.0, ..net(Norm::Batch) });
    let [only_a, only_b, both] = [dataset(&[&a]), dataset(&[&b]), dataset(&[&a, &b])];
    let none = Augment::default();
    for (of, all) in all_kinds(14) {
        let mut orders = BTreeSet::new();
        for which in all {
            let start = trainer.start.clone();
            let got = trainer.epoch(&both, which, none, 1, &start).moments;
            // An epoch of one patch is one step, so that two of them are as many as one of both.
            let mut in_order = |[first, second]: [&Dataset; 2]| {
                let steps = 2 * which.epoch;
                let between =
                    trainer.epoch(first, Which { epoch: steps, ..which }, none, 1, &start);
                let second_step = Which { epoch: steps + 1, ..which };
                trainer.epoch(second, second_step, none, 1, &between).moments
            };
            let forth = in_order([&only_a, &only_b]);
            let back = in_order([&only_b, &only_a]);
            assert!(forth != back && (got == forth || got == back), "{which:?}");
            orders.insert(got == forth);
        }
        assert_eq!(orders.len(), 2, "by {of} the order is always the same");
    }
}

#[test]
fn each_patch_has_a_dropout_mask_of_its_own_each_time() {
    let world = World::phantom();
    let patch = patch(&world, 0);
    // Without statistics over the batch, a loss is the mean of those of the patches.
    let mut trainer = Trainer::new(net(Norm::Instance));
    let start = trainer.start.clone();
    let (one, two) = (dataset(&[&patch]), dataset(&[&patch, &patch]));
    let mut loss = |data: &Dataset, which: Which| {
        trainer.epoch(data, which, Augment::default(), 4, &start).loss
    };
    let first = loss(&one, FIRST);
    assert_eq!(loss(&one, FIRST), first);
    for (of, all) in all_kinds(4) {
        for which in &all[1..] {
            let other = loss(&one, *which);
            assert!((other - first).abs() > 1e-4, "by {of} the mask is the same: {first}");
        }
    }
    let of_two = loss(&two, FIRST);
    assert!((of_two - first).abs() > 1e-4, "both patches have the same mask: {first}, {of_two}");
}

/// Says that the upper left quarter of every patch is foreground.
struct Corner;

impl Annotator for Corner {
    fn annotate(&self, _: Position, patch: usize) -> askem::Result<Vec<u8>> {
        let is_inside = |i: usize| i / patch < patch / 2 && i % patch < patch / 2;
        Ok((0..patch * patch).map(|i| u8::from(is_inside(i))).collect())
    }
}

#[test]
fn each_patch_is_labelled_in_a_place_of_its_own() {
    let world = World::phantom();
    let config = Config {
        label_share: 0.25,
        initial: 1,
        query: 1,
        iterations: 5,
        epochs: 1,
        ..tiny("random")
    };
    let data = Data { train: from_ref(&world.train), annotator: &Corner, test: &[] };
    let mut model = Model::new(cpu(2), config.net, PATCH).unwrap();
    let unobserved = &mut protocol::Unobserved;
    let records =
        protocol::run(&config, &data, &mut model, Progress::default(), unobserved).unwrap();
    let (mut before, mut overlaps) = (0, Vec::new());
    for (round, record) in records.iter().enumerate() {
        let pixels = (PATCH * PATCH / 4 * (round + 1)) as u64;
        assert_eq!(record.labelled_pixels, Some(pixels));
        let foreground = (record.labelled_foreground * pixels as f64).round() as u64;
        overlaps.push(foreground - before);
        before = foreground;
    }
    overlaps.sort_unstable();
    overlaps.dedup();
    assert!(overlaps.len() >= 3, "six squares lie at the same place: {overlaps:?}");
}
