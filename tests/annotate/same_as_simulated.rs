//! A person who paints the truth gets what a simulated annotator gets.

use std::collections::HashMap;
use std::slice::from_ref;
use std::sync::Arc;

use askem::compute::cpu::CpuExecutor;
use askem::data::phantom::Phantom;
use askem::data::pool::{PatchReader, Position, Region, Scaling};
use askem::data::volume::{CachedLabels, Volume};
use askem::error::Result;
use askem::learning::annotator::{Annotator, SimulatedAnnotator};
use askem::learning::protocol::{self, Config, Data, Observer, Progress, Record, Seconds};
use askem::network::model::Model;
use askem::network::unet::{UNet, Weights};

/// Answers with the truth, in its own time.
struct Person(HashMap<Position, Vec<u8>>);

impl Annotator for Person {
    fn annotate(&self, at: Position, patch: usize) -> Result<Vec<u8>> {
        Ok(self.0.get(&at).cloned().unwrap_or_else(|| vec![255; patch * patch]))
    }

    fn answers_at_once(&self) -> bool {
        false
    }
}

/// Keeps the network of each round.
#[derive(Default)]
struct Kept(Vec<Weights>);

impl Observer for Kept {
    fn network(&mut self, _: usize, weights: &Weights) -> Result<()> {
        self.0.push(weights.clone());
        Ok(())
    }
}

fn model(config: &Config) -> Model {
    let executor = Box::new(CpuExecutor::new(Some(2)).unwrap());
    Model::new(executor, config.net, config.patch).unwrap()
}

/// A phantom to train on, and its labels.
fn phantom() -> (PatchReader, CachedLabels) {
    let shape = [3, 128, 128];
    let pair = Phantom::pair(shape, 10).unwrap();
    let raw: Arc<dyn Volume> = Arc::from(pair.raw);
    let region = Region::whole(shape);
    let scaling = Scaling::measure(&*raw, &region).unwrap();
    (PatchReader::new(raw, region, scaling), CachedLabels::new(pair.labels, 2))
}

#[test]
fn rounds_with_a_person_are_those_of_the_protocol() {
    let (train, labels) = phantom();
    for strategy in ["entropy", "bald", "core_set"] {
        let config = Config {
            strategy: strategy.into(),
            seed: 3,
            initial: 6,
            pool: 40,
            query: 3,
            iterations: 2,
            max_steps: Some(20),
            statistics_patches: 8,
            mc_passes: 2,
            patch: 32,
            net: UNet { width: 4, ..Config::lab().net },
            ..Config::lab()
        };
        let truth = SimulatedAnnotator::new(&labels);
        let data = Data { train: from_ref(&train), annotator: &truth, test: &[] };
        let mut simulated = Kept::default();
        let want =
            protocol::run(&config, &data, &mut model(&config), Progress::default(), &mut simulated)
                .unwrap();

        let pool = askem::data::pool::draw_pool(&train.region, 32, 40, 3).unwrap();
        let all = pool.iter().map(|&at| (at, truth.annotate(at, 32).unwrap())).collect();
        let person = Person(all);
        let data = Data { train: from_ref(&train), annotator: &person, test: &[] };
        let mut kept = Kept::default();
        let mut records: Vec<Record> = Vec::new();
        for round in 0..=config.iterations {
            // Each round in a process of its own, as it were.
            let before = kept.0.last().cloned();
            let progress = Progress { records, checkpoint: None, before };
            records =
                protocol::run(&config, &data, &mut model(&config), progress, &mut kept).unwrap();
            assert_eq!(records.len(), round + 1, "it waits for labels");
        }
        let plain = |records: &[Record]| -> Vec<Record> {
            let seconds = Seconds::default();
            let of = |r: &Record| Record { seconds, ..r.clone() };
            records.iter().map(of).collect()
        };
        assert_eq!(plain(&records), plain(&want), "{strategy}");
        assert!(kept.0 == simulated.0, "{strategy}: the same bits");
        assert!(
            records[1..].iter().all(|r| r.unseen_jaccard.is_some() && r.changed_pixels.is_some())
        );
    }
}

#[test]
fn what_nobody_has_labelled_yet_trains_nothing() {
    let (train, labels) = phantom();
    let config = Config {
        initial: 6,
        pool: 40,
        query: 3,
        iterations: 2,
        max_steps: Some(10),
        statistics_patches: 8,
        patch: 32,
        net: UNet { width: 4, ..Config::lab().net },
        ..Config::lab()
    };
    let pool = askem::data::pool::draw_pool(&train.region, 32, 40, 0).unwrap();
    let first = protocol::labelled(&config, &pool, &[]).unwrap().unwrap();
    let truth = SimulatedAnnotator::new(&labels);
    let some = first[..2].iter().map(|&i| (pool[i], truth.annotate(pool[i], 32).unwrap()));
    let person = Person(some.collect());
    let data = Data { train: from_ref(&train), annotator: &person, test: &[] };
    let mut kept = Kept::default();
    let records =
        protocol::run(&config, &data, &mut model(&config), Progress::default(), &mut kept).unwrap();
    assert_eq!((records[0].labelled, records[0].labelled_pixels), (2, Some(2 * 32 * 32)));
    let nobody = Person(HashMap::new());
    let data = Data { train: from_ref(&train), annotator: &nobody, test: &[] };
    let error = protocol::run(&config, &data, &mut model(&config), Progress::default(), &mut kept);
    assert!(error.unwrap_err().to_string().contains("label a patch first"));
}
