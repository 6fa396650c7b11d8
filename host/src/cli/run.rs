//! `askem run`: one active-learning experiment.

mod estimate;
mod observer;
mod tensorboard;

use std::path::PathBuf;
use std::time::Duration;

pub(super) use self::estimate::Memory;
use self::estimate::estimate;
use self::observer::RunObserver;
use self::tensorboard::TensorBoard;
use super::inputs::refuse_inputs_in;
use super::options::{DataArgs, ExperimentArgs, Given, OpenData, open_data};
use super::processes::{available_memory, stop_with_parent};
use super::progress::{catch_interrupt, human_bytes, human_time};
use super::warnings::mirrored;
use super::{Common, say};
use crate::compute::executor::Executor;
use crate::data::pool::{PatchReader, Scaling, draw_pool};
use crate::error::{Error, Result};
use crate::learning::annotator::SimulatedAnnotator;
use crate::learning::protocol::{self, Config, Data, Record, Test, known_patches};
use crate::network::model::Model;
use crate::network::weights::{self, TrainedNetwork};
use crate::results::report;
use crate::results::run_dir::{
    DataIdentity, DataSource, Longer, Resolved, RunDir, Standing, compare_length,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How patches are chosen: random, entropy, least_confidence, bald, k_means, core_set, full (every label of the pool); beyond the
    /// paper mutual_information, power_entropy, power_bald, clasp, entropy_core_set, typiclust, badge; as a yardstick fg_random,
    /// which reads labels that nobody has given yet [default: entropy]
    #[arg(long, value_name = "NAME", help_heading = "Experiment")]
    strategy: Option<String>,
    #[command(flatten)]
    job: Job,
}

/// How long a run of a comparison waits for the one before in its directory.
const PATIENCE: Duration = Duration::from_secs(600);

/// What every experiment's command line says.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Job {
    #[command(flatten)]
    pub(super) data: DataArgs,
    #[command(flatten)]
    pub(super) experiment: ExperimentArgs,
    /// Settings from a TOML file, such as a run's config.toml; options override it.
    #[arg(long, value_name = "FILE", help_heading = "Experiment")]
    config: Option<PathBuf>,
    /// Where results go.
    #[arg(long, value_name = "DIR", default_value = "askem-run")]
    out: PathBuf,
    /// Go on with the run that lies in --out; with more --iterations also with one that has ended.
    #[arg(long, conflicts_with = "force")]
    resume: bool,
    /// Overwrite the run that lies in --out.
    #[arg(long)]
    force: bool,
    /// Write losses, the learning curve and a segmentation for TensorBoard into OUT/tensorboard; a run that has the folder goes on there.
    #[arg(long)]
    tensorboard: bool,
}

pub(super) fn execute(args: &Args, common: &Common) -> Result<()> {
    let mut job = args.job.clone();
    job.experiment.strategy.clone_from(&args.strategy);
    job.execute(common)
}

impl Job {
    /// Runs the experiment, or goes on with it.
    pub(super) fn execute(&self, common: &Common) -> Result<()> {
        common.validate()?;
        let (source, config) = self.settings()?;
        refuse_inputs_in(&source, &RunDir::outputs(&self.out))?;
        let mut open = open_data(&source, &config)?;
        open.train_region.require_patch(config.patch, "training")?;
        let pool = draw_pool(&open.train_region, config.patch, config.pool, config.seed)?;
        known_patches(&config, &SimulatedAnnotator::new(&open.train_labels), &pool)?;
        open.warnings.extend(mirrored(&open.test_region, config.patch, "the test region"));
        let scalings = open.scalings(&source)?;
        let executor = common.open_device()?;

        // Of a comparison that was killed a run may still be saving its state there.
        let patience = if stop_with_parent() { PATIENCE } else { Duration::ZERO };
        let mut dir = RunDir::open(&self.out, self.resume, self.force, patience)?;
        let regions = [
            (&open.train_raw, open.train_labels.inner(), &open.train_region),
            (&open.test_raw, open.test_labels.inner(), &open.test_region),
        ];
        let device = executor.name();
        let resolved = Resolved {
            askem: env!("CARGO_PKG_VERSION").into(),
            device: device.clone(),
            data: source.clone(),
            experiment: config.clone(),
        };
        dir.set_origin(resolved.clone(), DataIdentity::of(&regions)?);
        let standing = if self.force { Standing::default() } else { dir.standing()? };
        catch_interrupt();
        let model = Model::new(executor, config.net, config.patch)?;
        let run = Run { job: self, json: common.json, resolved, scalings, dir };
        run.execute(model, open, standing)
    }

    /// Whether it says what to train on, or goes on with a run that knows.
    pub(super) fn names_data(&self) -> bool {
        let data = &self.data;
        let given = data.raw.is_some() || data.dataset.is_some() || data.phantom_shape.is_some();
        given || self.config.is_some() || self.resume
    }

    /// Whether it says nothing but which run to go on with.
    pub(super) fn only_resumes(&self) -> bool {
        self.resume && self.given() == Given::default()
    }

    fn given(&self) -> Given {
        Given {
            config_file: self.config.clone(),
            data: self.data.clone(),
            experiment: self.experiment.clone(),
        }
    }

    /// All settings, known to be good before anything is written.
    fn settings(&self) -> Result<(DataSource, Config)> {
        let given = self.given();
        let stored = if self.resume { RunDir::peek(&self.out)? } else { None };
        let Some(stored) = stored else {
            if self.only_resumes() {
                return Err(Error::Usage(format!(
                    "{}: there is no run to resume; start one without --resume",
                    self.out.display()
                )));
            }
            return given.resolve();
        };
        stored.experiment.validate()?;
        let there = (stored.data, stored.experiment);
        let wanted = match given.only_iterations() {
            Some(iterations) => (there.0.clone(), Config { iterations, ..there.1.clone() }),
            None if given == Given::default() => return Ok(there),
            None => given.resolve()?,
        };
        let length = compare_length(&wanted.1, &there.1);
        let (long, short) = (wanted.1.iterations, there.1.iterations);
        let why = match length {
            _ if wanted.0 != there.0 => OTHER_SETTINGS.into(),
            Longer::Same | Longer::Yes => {
                wanted.1.validate()?;
                return Ok(wanted);
            }
            Longer::Fewer => format!(
                "has {short} iterations, and --iterations {long} would take back what is done; \
                 give more, or resume it with --resume and --out alone"
            ),
            Longer::PlansAhead => format!(
                "has the strategy {}, for which the number of iterations decides what happens in \
                 each: it is not the beginning of one with --iterations {long}; start that one in \
                 another --out",
                there.1.strategy
            ),
            Longer::Other => OTHER_SETTINGS.into(),
        };
        Err(Error::Usage(format!("{}: the run there {why}", self.out.display())))
    }
}

const OTHER_SETTINGS: &str = "was started with other settings (see its config.toml); resume it \
    with --resume and --out alone, or let it go on longer with --resume and --iterations";

struct Run<'a> {
    job: &'a Job,
    json: bool,
    resolved: Resolved,
    /// Of the training's images and of the test's.
    scalings: [Scaling; 2],
    dir: RunDir,
}

impl Run<'_> {
    fn execute(self, mut model: Model, open: OpenData, standing: Standing) -> Result<()> {
        let config = &self.resolved.experiment;
        let Standing { progress, is_finished, notes } = standing;
        let (train_region, test_region) = (open.train_region, open.test_region);
        let context = config.net.context;
        let [scaling, of_test] = self.scalings;
        let train = PatchReader::with_context(open.train_raw, train_region, scaling, context);
        let test = PatchReader::with_context(open.test_raw, test_region, of_test, context);
        let annotator = SimulatedAnnotator::new(&open.train_labels);
        for note in notes.iter().chain(&open.warnings) {
            note!("askem: note: {note}");
        }
        let done = progress.records.len();
        self.announce(model.executor(), &train, &test, done)?;
        if done <= self.resolved.last_iteration() {
            let wanted = config.batch_size;
            let (batch, _) = model.prepare_training(wanted, wanted, config.augment.warps())?;
            if batch < wanted {
                note!(
                    "askem: note: {} can't hold a training step of {wanted} patches, and takes {batch} at a time",
                    self.resolved.device
                );
            }
            let seconds = estimate(&mut model, config, &test, &progress.records)?;
            let most = if config.early_stopping.is_some() { "at most " } else { "" };
            note!("Estimated time: {most}{}", human_time(seconds));
        }
        // From here on the run is known to fit.
        if self.job.force {
            self.dir.clear()?;
        }
        if !is_finished {
            self.dir.take_end_back()?;
        }
        // Before the settings: a journal that ends too early is made longer, whatever they say.
        self.dir.cut_journal()?;
        self.dir.write_config(&self.resolved)?;
        let data = Data {
            train: &train,
            annotator: &annotator,
            test: Some(Test { reader: &test, labels: &open.test_labels }),
        };
        let board =
            TensorBoard::open(self.dir.path(), self.job.tensorboard, &progress, |record| {
                config.epochs_of_record(record)
            })?;
        let mut observer =
            RunObserver::new(&self.dir, config, &test, &open.test_labels, self.json, board);
        if !self.json {
            observer.table_head()?;
            for record in &progress.records {
                observer.table_row(record)?;
            }
        }
        let outcome = match is_finished {
            true => Ok(progress.records),
            false => protocol::run(config, &data, &mut model, progress, &mut observer),
        };
        let segmentation = observer.finish();
        let records = match outcome {
            Err(Error::Interrupted(_)) => {
                return Err(Error::Interrupted(format!(
                    "interrupted; the state is saved. Go on with: askem run --out {} --resume",
                    self.job.out.display()
                )));
            }
            other => other?,
        };
        segmentation?;
        if !is_finished {
            let trained = TrainedNetwork {
                net: config.net,
                weights: model.weights()?,
                patch: config.patch,
                scaling,
            };
            weights::save(&self.dir.file("weights.safetensors"), &trained)?;
        }
        self.say_classes(records.last())?;
        self.draw_curve(&records)?;
        report::write_page_of(&self.job.out)?;
        if !self.json {
            let out = self.job.out.display();
            say(format_args!(
                "\nResults in {out}: report.html, journal.jsonl, weights.safetensors (each iteration's in weights/),\n\
                 curve.png, segmentation.tif, and segmentation.png (one section; errors in colour)"
            ))?;
        }
        Ok(())
    }

    /// Says how each class did, where there are more than two.
    fn say_classes(&self, last: Option<&Record>) -> Result<()> {
        let indices = last.and_then(|record| record.class_jaccard.as_ref());
        let Some(indices) = indices.filter(|_| !self.json) else { return Ok(()) };
        let show = |index: &Option<f64>| index.map_or("not there".into(), |j| format!("{j:.3}"));
        let of_class = |(class, index)| format!("class {class} {}", show(index));
        let of_classes: Vec<String> = (1..).zip(indices).map(of_class).collect();
        say(format_args!("Jaccard index of each class: {}", of_classes.join(", ")))
    }

    /// Says what will be done, with which memory, on standard error.
    fn announce(
        &self,
        executor: &dyn Executor,
        train: &PatchReader,
        test: &PatchReader,
        done: usize,
    ) -> Result<()> {
        let Resolved { data: source, experiment: config, device, .. } = &self.resolved;
        let name = match &source.raw {
            Some(path) => path.display().to_string(),
            None => {
                let [z, y, x] = source.phantom_shape.unwrap_or_default();
                format!("built-in phantom, {z} x {y} x {x}")
            }
        };
        let size = |reader: &PatchReader| {
            let r = &reader.region;
            format!("{} x {} x {}", r.z.len(), r.height(), r.width())
        };
        note!("Data:     {name}; trains on {}, tests on {}", size(train), size(test));
        note!(
            "Network:  width {}, {} parameters, patches of {} x {}",
            config.net.width,
            config.net.parameter_count(),
            config.patch,
            config.patch
        );
        note!("Device:   {device}");
        let memory = Memory::of(config, executor, &train.region, &test.region)?;
        note!(
            "Memory:   network {}, labelled patches {}, sections {}",
            human_bytes(memory.network),
            human_bytes(memory.patches),
            human_bytes(memory.sections)
        );
        if let (Some(_), Some(free)) = (executor.threads(), available_memory())
            && memory.total() > free
        {
            return Err(Error::TooLarge(format!(
                "the run would take {} and {} are free; lower --batch-size, --width, --patch or --pool",
                human_bytes(memory.total()),
                human_bytes(free)
            )));
        }
        if done > 0 {
            note!("Resuming after iteration {}", done - 1);
        }
        Ok(())
    }

    fn draw_curve(&self, records: &[Record]) -> Result<()> {
        let points = records.iter().map(|r| (r.labelled as f64, r.jaccard_or_nan())).collect();
        let curve = report::Curve::new(self.resolved.experiment.strategy.clone(), points);
        report::learning_curve(
            &[curve],
            "Jaccard index of the test region",
            None,
            &self.dir.file("curve.svg"),
            &self.dir.file("curve.png"),
        )
    }
}
