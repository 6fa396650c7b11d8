//! A small phantom, networks trained on it, and the devices.

use std::slice::from_ref;
use std::sync::{Arc, OnceLock};

use askem::compute::cpu::CpuExecutor;
use askem::compute::executor::Executor;
use askem::data::phantom::Phantom;
use askem::data::pool::{PatchReader, Region, Scaling};
use askem::data::volume::{CachedLabels, LabelVolume, Volume};
use askem::learning::annotator::SimulatedAnnotator;
use askem::learning::protocol::{self, Config, Data, Observer, Progress, Record, Seconds, Test};
use askem::learning::train::TrainState;
use askem::network::model::Model;
use askem::network::unet::{Norm, UNet, Weights};
use askem_kernels::tolerance::gamma;

pub(crate) const SHAPE: [usize; 3] = [2, 96, 96];
/// Under this seed the phantom has foreground in both halves.
pub(crate) const SEED: u64 = 10;
pub(crate) const PATCH: usize = 32;

/// A tiny experiment.
pub(crate) fn tiny(strategy: &str) -> Config {
    Config {
        strategy: strategy.into(),
        seed: SEED,
        initial: 4,
        pool: 20,
        query: 4,
        iterations: 2,
        epochs: 2,
        finetune_epochs: 1,
        patch: PATCH,
        mc_passes: 3,
        net: net(Norm::Batch),
        ..Config::paper()
    }
}

pub(crate) fn net(norm: Norm) -> UNet {
    UNet { width: 2, norm, ..UNet::paper() }
}

/// Images and labels of an experiment, trained on the first half of the rows.
pub(crate) struct World {
    pub(crate) train: PatchReader,
    pub(crate) test: PatchReader,
    pub(crate) train_labels: CachedLabels,
    pub(crate) test_labels: CachedLabels,
}

impl World {
    /// The phantom.
    pub(crate) fn phantom() -> Self {
        let pair = || Phantom::pair(SHAPE, SEED).expect("the phantom can be made");
        Self::new(Arc::from(pair().raw), || pair().labels)
    }

    /// Other images or labels.
    pub(crate) fn new(raw: Arc<dyn Volume>, labels: impl Fn() -> LabelVolume) -> Self {
        let (first, second) = Region::split_y(raw.shape());
        let scaling = Scaling::measure(&*raw, &first).expect("the images are not flat");
        Self {
            train: PatchReader::new(Arc::clone(&raw), first, scaling),
            test: PatchReader::new(raw, second, scaling),
            train_labels: CachedLabels::new(labels(), 2),
            test_labels: CachedLabels::new(labels(), 2),
        }
    }

    /// Carries out an experiment, from the start or from `progress`.
    pub(crate) fn run(
        &self,
        config: &Config,
        model: &mut Model,
        progress: Progress,
        observer: &mut dyn Observer,
    ) -> Vec<Record> {
        self.try_run(config, model, progress, observer).expect("the experiment runs")
    }

    /// The same, or why not.
    pub(crate) fn try_run(
        &self,
        config: &Config,
        model: &mut Model,
        progress: Progress,
        observer: &mut dyn Observer,
    ) -> askem::Result<Vec<Record>> {
        let annotator = SimulatedAnnotator::new(&self.train_labels);
        let data = Data {
            train: from_ref(&self.train),
            annotator: &annotator,
            test: &[Test { reader: &self.test, labels: &self.test_labels }],
        };
        protocol::run(config, &data, model, progress, observer)
    }

    /// Carries out an experiment on the processor; returns the last weights too.
    pub(crate) fn run_on_cpu(&self, config: &Config, observer: &mut dyn Observer) -> Outcome {
        let mut model = Model::new(cpu(2), config.net, config.patch).expect("a network");
        let records = self.run(config, &mut model, Progress::default(), observer);
        Outcome { records: timeless(records), weights: model.weights().expect("weights") }
    }
}

/// What an experiment leaves, without times.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) records: Vec<Record>,
    pub(crate) weights: Weights,
}

/// Records without what differs from run to run.
pub(crate) fn timeless(records: Vec<Record>) -> Vec<Record> {
    records.into_iter().map(|r| Record { seconds: Seconds::default(), ..r }).collect()
}

/// A short training's state on the processor, the same for every caller.
pub(crate) fn trained(norm: Norm) -> &'static TrainState {
    static STATES: [OnceLock<TrainState>; 2] = [OnceLock::new(), OnceLock::new()];
    STATES[usize::from(norm == Norm::Instance)].get_or_init(|| {
        // Long enough for scores that differ from patch to patch.
        let config =
            Config { iterations: 0, initial: 12, epochs: 60, net: net(norm), ..tiny("random") };
        let mut model = Model::new(cpu(2), config.net, PATCH).expect("a network");
        let unobserved = &mut protocol::Unobserved;
        World::phantom().run(&config, &mut model, Progress::default(), unobserved);
        TrainState {
            epochs_done: config.epochs,
            weights: model.weights().expect("weights"),
            moments: model.moments().expect("moments"),
            loss: 1.0,
            best: None,
        }
    })
}

pub(crate) fn cpu(threads: usize) -> Box<dyn Executor> {
    Box::new(CpuExecutor::new(Some(threads)).expect("threads start"))
}

/// The GPU that tests run on; says for which test.
pub(crate) fn gpu(test: &str) -> Box<dyn Executor> {
    Box::new(crate::adapter::open(test))
}

/// How far two devices may differ in a number of this magnitude that a whole network computes:
/// as far as all its sums taken one after another.
pub(crate) fn allowed(net: &UNet, magnitude: f64) -> f64 {
    let parameters = net.parameters();
    let terms = parameters.entries.iter().filter(|entry| entry.shape.len() == 4).map(|entry| {
        // OIHW, or IOHW where the kernel is that of a transposed convolution.
        let inputs = if entry.name.contains(".up.") { entry.shape[0] } else { entry.shape[1] };
        inputs * entry.shape[2] * entry.shape[3]
    });
    // A patch's mean, variance and score are sums over its pixels.
    let terms = terms.sum::<usize>() + 3 * PATCH * PATCH;
    gamma(u32::try_from(terms).expect("a small network")) * magnitude
}

/// Fails unless the numbers agree; a number that is none agrees with nothing.
pub(crate) fn assert_close(what: &str, got: &[f32], want: &[f32], allowed: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    assert!(!want.is_empty(), "{what}: nothing to compare");
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let difference = (f64::from(got) - f64::from(want)).abs();
        assert!(
            difference <= allowed,
            "{what} {i}: {got} and {want} differ by {difference:.3e}, allowed are {allowed:.3e}"
        );
    }
}
