//! Whole experiments: the same form on both devices, the seed's effect, full supervision.

use askem::data::pool::{draw_pool, read_labels};
use askem::learning::protocol::{Config, InitialStrategy, Progress, Record, Unobserved};
use askem::learning::strategy::NAMES;
use askem::network::model::Model;

use crate::world::{Outcome, PATCH, SEED, World, cpu, gpu, timeless, tiny};

/// What must be so whatever the device.
fn check(config: &Config, records: &[Record], world: &World) {
    let full = config.strategy == "full";
    assert_eq!(records.len(), if full { 1 } else { config.iterations + 1 });
    let pool = draw_pool(&world.train.region, PATCH, config.pool, config.seed).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for (i, record) in records.iter().enumerate() {
        assert_eq!((record.iteration, record.seed), (i, config.seed));
        assert_eq!(record.strategy, config.strategy);
        let labelled = if full { config.pool } else { config.initial + i * config.query };
        assert_eq!(record.labelled, labelled);
        assert!(record.loss.is_finite() && record.loss > 0.0, "{record:?}");
        for share in [record.jaccard.unwrap(), record.labelled_foreground] {
            assert!((0.0..=1.0).contains(&share), "{record:?}");
        }
        let last = i + 1 == records.len();
        assert_eq!(record.picked.len(), if last { 0 } else { config.query });
        for pick in &record.picked {
            let at = pool[pick.index];
            assert_eq!((at.z, at.y, at.x), (pick.z, pick.y, pick.x));
            assert!(seen.insert(pick.index), "{} is picked twice", pick.index);
            let by_chance = ["random", "fg_random"].contains(&config.strategy.as_str());
            assert_eq!(pick.score.is_none(), by_chance);
        }
    }
}

#[test]
fn both_devices_keep_journals_of_one_form() {
    let world = World::phantom();
    let executor = gpu("both_devices_keep_journals_of_one_form");
    let mut model = Model::new(executor, tiny("random").net, PATCH).unwrap();
    // Those beyond the paper ask the devices for nothing new but classes apart.
    for strategy in NAMES[..7].iter().chain(&["clasp"]).copied() {
        let config = tiny(strategy);
        let on_cpu = world.run_on_cpu(&config, &mut Unobserved);
        let on_gpu = world.run(&config, &mut model, Progress::default(), &mut Unobserved);
        check(&config, &on_cpu.records, &world);
        check(&config, &on_gpu, &world);
        // The seed decides what is labelled first, whatever the device.
        let first = |records: &[Record]| records[0].labelled_foreground;
        assert_eq!(first(&on_cpu.records), first(&on_gpu));
        let form = |records: &[Record]| -> Vec<Vec<String>> {
            let keys = |record| {
                let value = serde_json::to_value(record).unwrap();
                value.as_object().unwrap().keys().cloned().collect()
            };
            records.iter().map(keys).collect()
        };
        assert_eq!(form(&on_cpu.records), form(&on_gpu));
        if strategy == "bald" {
            let weights = model.weights().unwrap();
            let again = world.run(&config, &mut model, Progress::default(), &mut Unobserved);
            assert_eq!(timeless(again), timeless(on_gpu), "the same seed, the same device");
            assert_eq!(model.weights().unwrap(), weights);
        }
    }
}

#[test]
fn the_seed_decides_everything() {
    let world = World::phantom();
    let run = |config: &Config, threads: usize| {
        let mut model = Model::new(cpu(threads), config.net, PATCH).unwrap();
        let records = world.run(config, &mut model, Progress::default(), &mut Unobserved);
        Outcome { records: timeless(records), weights: model.weights().unwrap() }
    };
    for strategy in NAMES {
        let config = tiny(strategy);
        let first = run(&config, 1);
        assert_eq!(first, run(&config, 2), "{strategy}");
        let other = run(&Config { seed: SEED + 1, ..config }, 2);
        assert_ne!(first.weights, other.weights, "{strategy}");
        assert_ne!(first.records[0].loss, other.records[0].loss, "{strategy}");
        if strategy != "full" {
            assert_ne!(first.records[0].picked, other.records[0].picked, "{strategy}");
        }
    }
}

/// The strategies share everything up to their first choice.
#[test]
fn strategies_start_from_the_same_network() {
    let world = World::phantom();
    let starts: Vec<Record> = NAMES
        .into_iter()
        .filter(|&strategy| strategy != "full")
        .map(|strategy| world.run_on_cpu(&tiny(strategy), &mut Unobserved).records.remove(0))
        .collect();
    for start in &starts {
        let first = &starts[0];
        assert_eq!((start.loss, start.jaccard), (first.loss, first.jaccard), "{start:?}");
        assert_eq!(start.labelled_foreground, first.labelled_foreground, "{start:?}");
    }
}

#[test]
fn full_supervision_is_one_line_with_all_labels() {
    let world = World::phantom();
    let config = tiny("full");
    let outcome = world.run_on_cpu(&config, &mut Unobserved);
    check(&config, &outcome.records, &world);
    let pool = draw_pool(&world.train.region, PATCH, config.pool, SEED).unwrap();
    let labels: Vec<u8> =
        pool.iter().flat_map(|&at| read_labels(&world.train_labels, at, PATCH).unwrap()).collect();
    let foreground = labels.iter().filter(|&&l| l == 1).count();
    assert!(foreground > 0 && labels.len() == config.pool * PATCH * PATCH);
    let share = foreground as f64 / labels.len() as f64;
    assert_eq!(outcome.records[0].labelled_foreground, share);
    // As many patches pass through training as in the other strategies together:
    // 2 epochs of 4, then 1 of 8 and 1 of 12, in whole epochs of 20.
    assert_eq!((config.sample_steps(), config.full_epochs()), (28, 2));
    let longer = Config { full_epochs: Some(3), ..config };
    assert_eq!(longer.full_epochs(), 3);
    assert_ne!(world.run_on_cpu(&longer, &mut Unobserved).weights, outcome.weights);
}

#[test]
fn a_run_goes_on_from_its_records() {
    let world = World::phantom();
    let config = tiny("core_set");
    let whole = world.run_on_cpu(&config, &mut Unobserved);
    // The first part, with the state that an observer keeps.
    let mut kept = Kept::default();
    world.run_on_cpu(&config, &mut kept);
    assert_eq!(kept.states.len(), 3);
    for done in 1..=2 {
        let mut model = Model::new(cpu(2), config.net, PATCH).unwrap();
        let progress = Progress {
            records: whole.records[..done].to_vec(),
            checkpoint: Some((done - 1, kept.states[done - 1].clone())),
            before: None,
        };
        let records = world.run(&config, &mut model, progress, &mut Unobserved);
        assert_eq!(timeless(records), whole.records, "after {done}");
        assert_eq!(model.weights().unwrap(), whole.weights, "after {done}");
    }
}

/// Keeps the state after each training.
#[derive(Default)]
struct Kept {
    states: Vec<askem::learning::train::TrainState>,
}

impl askem::learning::protocol::Observer for Kept {
    fn checkpoint(
        &mut self,
        at: usize,
        state: &askem::learning::train::TrainState,
    ) -> askem::Result<()> {
        assert_eq!(at, self.states.len());
        self.states.push(state.clone());
        Ok(())
    }
}

#[test]
fn a_typical_start_differs_and_its_journal_says_which() {
    let world = World::phantom();
    let config = Config { initial_strategy: InitialStrategy::Typiclust, ..tiny("entropy") };
    let mut kept = Kept::default();
    let whole = world.run_on_cpu(&config, &mut kept);
    check(&config, &whole.records, &world);
    let initial = whole.records[0].initial.clone().expect("the first line names them");
    assert_eq!(initial.len(), config.initial);
    assert!(whole.records[1..].iter().all(|record| record.initial.is_none()));
    let pool = draw_pool(&world.train.region, PATCH, config.pool, SEED).unwrap();
    let labels = |&i: &usize| read_labels(&world.train_labels, pool[i], PATCH).unwrap();
    let labels: Vec<u8> = initial.iter().flat_map(labels).collect();
    let share = labels.iter().filter(|&&l| l == 1).count() as f64 / labels.len() as f64;
    assert_eq!(whole.records[0].labelled_foreground, share);
    let random = world.run_on_cpu(&tiny("entropy"), &mut Unobserved);
    assert!(random.records[0].initial.is_none());
    assert_ne!(random.records[0].loss, whole.records[0].loss);
    // It goes on with the patches that the journal names, not with others.
    let go_on = |records: Vec<Record>| {
        let mut model = Model::new(cpu(1), config.net, PATCH).unwrap();
        let progress =
            Progress { records, checkpoint: Some((0, kept.states[0].clone())), before: None };
        world.try_run(&config, &mut model, progress, &mut Unobserved).map(timeless)
    };
    let first = whole.records[..1].to_vec();
    assert_eq!(go_on(first.clone()).unwrap(), whole.records);
    for wrong in [vec![], vec![initial[0], initial[0]], vec![pool.len()]] {
        let mut changed = first.clone();
        changed[0].initial = Some(wrong);
        let message = go_on(changed).unwrap_err().to_string();
        assert!(message.contains("iteration 0"), "{message}");
    }
}
