//! `askem run`: one active-learning experiment.

mod estimate;
mod observer;
mod tensorboard;

use std::path::PathBuf;
use std::time::Duration;

use clap::Arg;

pub(super) use self::estimate::Memory;
use self::estimate::{Estimate, estimate};
use self::observer::RunObserver;
use self::tensorboard::TensorBoard;
use super::experiment_data::{ExperimentData, LabelledRegion, open_data};
use super::inputs::refuse_inputs_in;
use super::options::{DataArgs, ExperimentArgs, Given, Settings};
use super::processes::{available_memory, stop_with_parent};
use super::progress::{catch_interrupt, human_bytes, human_time};
use super::{Common, say};
use crate::compute::executor::Executor;
use crate::data::pool::{PatchReader, Scaling};
use crate::data::volume::Region;
use crate::error::{Error, Result};
use crate::learning::protocol::{self, Config, Data, Record, Test, known_patches};
use crate::learning::train::TrainState;
use crate::network::model::{Model, Moments};
use crate::network::weights::{self, TrainedNetwork};
use crate::results::report;
use crate::results::run_dir::{
    DataSource, Extents, Longer, Resolved, RunDir, Standing, compare_length,
};

#[derive(Debug, clap::Args)]
#[command(mut_args(in_short_help))]
pub(super) struct Args {
    #[command(flatten)]
    job: Job,
    /// How patches are chosen: random, entropy, least_confidence, bald, k_means, core_set, full (every label of the pool); beyond the
    /// paper mutual_information, power_entropy, power_bald, clasp, entropy_core_set, typiclust, badge; as a yardstick fg_random,
    /// which reads labels that nobody has given yet [default: entropy]
    #[arg(long, value_name = "NAME", help_heading = "Experiment")]
    strategy: Option<String>,
}

/// What `-h` shows of an experiment's options; `--help` has them all.
const SHORT: [&str; 17] = [
    "raw",
    "labels",
    "test_raw",
    "test_labels",
    "classes",
    "strategy",
    "strategies",
    "seeds",
    "preset",
    "initial",
    "query",
    "iterations",
    "epochs",
    "holdout",
    "weights",
    "out",
    "resume",
];

/// Leaves an option out of the short help, unless it is one that most people need.
pub(super) fn in_short_help(arg: Arg) -> Arg {
    let is_short = SHORT.contains(&arg.get_id().as_str());
    arg.hide_short_help(!is_short)
}

/// Seconds beyond which a run says what would be shorter.
const LONG: f64 = 2.0 * 3600.0;

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
    #[arg(long, value_name = "DIR", default_value = "askem-run", help_heading = "Results")]
    out: PathBuf,
    /// Go on with the run that lies in --out; with more --iterations also with one that has ended.
    #[arg(long, conflicts_with = "force", help_heading = "Results")]
    resume: bool,
    /// Overwrite the run that lies in --out.
    #[arg(long, help_heading = "Results")]
    force: bool,
    /// Write losses, the learning curve and a segmentation for TensorBoard into OUT/tensorboard; a run that has the folder goes on there.
    #[arg(long, help_heading = "Results")]
    tensorboard: bool,
    /// Set by `train`: all labels that are given train.
    #[arg(skip)]
    for_training: bool,
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
        let Settings { source, mut config, pool_is_given } = self.settings()?;
        refuse_inputs_in(&source, &RunDir::outputs(&self.out))?;
        let mut open = open_data(&source, &config)?;
        open.require_patch(config.patch)?;
        if !pool_is_given || config.tiles {
            open.fit_pool(&mut config)?;
        }
        known_patches(&config, &open.annotator(), &open.pool(&config)?)?;
        open.warnings.extend(open.mirrored(config.patch));
        let scalings = open.scalings(&source)?;
        let executor = common.open_device()?;

        // Of a comparison that was killed a run may still be saving its state there.
        let patience = if stop_with_parent() { PATIENCE } else { Duration::ZERO };
        let mut dir = RunDir::open(&self.out, self.resume, self.force, patience)?;
        let device = executor.name();
        let resolved = Resolved {
            askem: env!("CARGO_PKG_VERSION").into(),
            device: device.clone(),
            data: source.clone(),
            experiment: config.clone(),
        };
        dir.set_origin(resolved.clone(), open.identity()?);
        let standing = if self.force { Standing::default() } else { dir.standing()? };
        catch_interrupt();
        let model = Model::new(executor, config.net, config.patch)?;
        let run = Run { job: self, json: common.json, resolved, scalings, dir };
        run.execute(model, open, standing)
    }

    /// Makes it a training on all labels that are given, but those of a share that is held out, of the
    /// second half of --split or of a test volume.
    ///
    /// # Errors
    /// [`Error::Usage`] if the share is none, or more than one of these is given.
    pub(super) fn train_on_all(&mut self) -> Result<()> {
        self.for_training = true;
        let share = self.experiment.holdout.take();
        let apart = !self.data.test_raw.is_empty() || self.data.split.is_some();
        self.data.test_share = match share {
            Some(_) if apart => {
                return Err(Error::Usage(
                    "--holdout: --test-raw or --split says already what judges; give one of them"
                        .into(),
                ));
            }
            Some(share) if !(share > 0.0 && share < 1.0) => {
                return Err(Error::Usage(format!(
                    "--holdout {share}: give a number between 0 and 1"
                )));
            }
            None if apart || self.config.is_some() => None,
            share => Some(share.unwrap_or(0.0)),
        };
        Ok(())
    }

    /// Whether it says what to train on, or goes on with a run that knows.
    pub(super) fn names_data(&self) -> bool {
        let data = &self.data;
        let given = !data.raw.is_empty() || data.dataset.is_some() || data.phantom_shape.is_some();
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
            for_training: self.for_training,
        }
    }

    /// All settings, known to be good before anything is written.
    fn settings(&self) -> Result<Settings> {
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
        let there = Settings {
            source: stored.data,
            config: stored.experiment,
            // By now it is known how many patches there are.
            pool_is_given: true,
        };
        let mut wanted = match given.only_iterations() {
            Some(iterations) => {
                let config = Config { iterations, ..there.config.clone() };
                Settings { config, ..there.clone() }
            }
            None if given == Given::default() => return Ok(there),
            None => given.resolve()?,
        };
        if !wanted.pool_is_given || wanted.config.tiles {
            wanted.config.pool = wanted.config.pool.min(there.config.pool);
        }
        let length = compare_length(&wanted.config, &there.config);
        let (long, short) = (wanted.config.iterations, there.config.iterations);
        let why = match length {
            _ if wanted.source != there.source => OTHER_SETTINGS.into(),
            Longer::Same | Longer::Yes => {
                wanted.config.validate()?;
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
                there.config.strategy
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
    /// Of the training's volumes and of the test's.
    scalings: [Vec<Scaling>; 2],
    dir: RunDir,
}

impl Run<'_> {
    fn execute(self, mut model: Model, open: ExperimentData, standing: Standing) -> Result<()> {
        let config = &self.resolved.experiment;
        let Standing { mut progress, is_finished, notes } = standing;
        if progress.records.is_empty() && progress.checkpoint.is_none() {
            progress.checkpoint = self.beginning()?.map(|state| (0, state));
        }
        let readers = |parts: &[LabelledRegion], scalings: &[Scaling]| -> Vec<PatchReader> {
            let reader =
                |(part, &scaling): (&LabelledRegion, _)| part.reader(scaling, config.net.context);
            parts.iter().zip(scalings).map(reader).collect()
        };
        let [of_train, of_test] = &self.scalings;
        let (train, test_readers) = (readers(&open.train, of_train), readers(&open.test, of_test));
        let labels = open.test.iter().map(|part| &part.labels);
        let test: Vec<Test<'_>> = test_readers
            .iter()
            .zip(labels)
            .map(|(reader, labels)| Test { reader, labels })
            .collect();
        let annotator = open.annotator();
        let (net, patch, normalise) = (config.net, config.patch, open.normalise());
        let (scaling, voxel_nm) = (of_train[0], train[0].voxel_nm());
        let trained =
            |weights| TrainedNetwork { net, weights, patch, scaling, normalise, voxel_nm };
        for note in notes.iter().chain(&open.warnings) {
            note!("askem: note: {note}");
        }
        let done = progress.records.len();
        self.announce(model.executor(), &open, done)?;
        let mut foreseen = Estimate::default();
        if done <= self.resolved.last_iteration() {
            let wanted = config.batch_size;
            let (batch, _) = model.prepare_training(wanted, wanted, config.augment.warps())?;
            if batch < wanted {
                note!(
                    "askem: note: {} can't hold a training step of {wanted} patches, and takes {batch} at a time",
                    self.resolved.device
                );
            }
            foreseen = estimate(&mut model, config, &test, &progress.records)?;
            let most = if config.early_stopping.is_some() { "at most " } else { "" };
            tell!("Estimated time: {most}{}", human_time(foreseen.total()));
            if foreseen.total() > LONG {
                note!(
                    "askem: note: sooner there with --preset quick, fewer --iterations or --epochs, or a \
                     smaller --pool; Ctrl-C saves the state, and --resume goes on"
                );
            }
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
        Extents::of(&train, &test_readers).write(self.dir.path())?;
        let data = Data { train: &train, annotator: &annotator, test: &test };
        let board =
            TensorBoard::open(self.dir.path(), self.job.tensorboard, &progress, |record| {
                config.epochs_of_record(record)
            })?;
        let mut observer =
            RunObserver::new(&self.dir, config, &test, &trained, self.json, board, foreseen);
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
            let trained = trained(model.weights()?);
            weights::save(&self.dir.file("weights.safetensors"), &trained)?;
        }
        self.say_parts(records.last())?;
        self.draw_curve(&records)?;
        report::write_page_of(&self.job.out)?;
        if !self.json {
            let out = self.job.out.display();
            let curve = if test.is_empty() { "" } else { "curve.png, " };
            let segmentation = match test.len() {
                0 => "and no segmentation (askem predict --run makes one of any volume)",
                1 => "segmentation.tif, and segmentation.png (one section; errors in colour)",
                _ => {
                    "and segmentations/ (of each test volume; a .png is one section, errors in colour)"
                }
            };
            say(format_args!(
                "\nResults in {out}: report.html, journal.jsonl, weights.safetensors (each iteration's in weights/),\n\
                 {curve}{segmentation}"
            ))?;
        }
        Ok(())
    }

    /// The state of a training that begins with a network.
    fn beginning(&self) -> Result<Option<TrainState>> {
        let Some(path) = &self.resolved.data.weights else { return Ok(None) };
        let weights = weights::load(path)?.weights;
        let none = vec![0.0; weights.parameters.len()];
        let moments = Moments { first: none.clone(), second: none };
        Ok(Some(TrainState { epochs_done: 0, weights, moments, loss: f32::NAN, best: None }))
    }

    /// Says how each class did, where there are more than two, and how each of several test volumes.
    fn say_parts(&self, last: Option<&Record>) -> Result<()> {
        let of_volumes = last.and_then(|record| record.volume_jaccard.as_ref());
        if let Some(indices) = of_volumes.filter(|_| !self.json) {
            let DataSource { raw, test_raw, .. } = &self.resolved.data;
            let paths = if test_raw.is_empty() { raw } else { test_raw };
            say("Jaccard index of each test volume:")?;
            for (path, jaccard) in paths.iter().zip(indices) {
                say(format_args!("  {jaccard:.3}  {}", path.display()))?;
            }
        }
        let indices = last.and_then(|record| record.class_jaccard.as_ref());
        let Some(indices) = indices.filter(|_| !self.json) else { return Ok(()) };
        let show = |index: &Option<f64>| index.map_or("not there".into(), |j| format!("{j:.3}"));
        let of_class = |(class, index)| format!("class {class} {}", show(index));
        let of_classes: Vec<String> = (1..).zip(indices).map(of_class).collect();
        say(format_args!("Jaccard index of each class: {}", of_classes.join(", ")))
    }

    /// Says what will be done, with which memory, on standard error.
    fn announce(&self, executor: &dyn Executor, open: &ExperimentData, done: usize) -> Result<()> {
        let Resolved { data: source, experiment: config, device, .. } = &self.resolved;
        let (train, test) = (open.train_regions(), open.test_regions());
        let name = match &source.raw[..] {
            [path] => path.display().to_string(),
            [] => {
                let [z, y, x] = source.phantom_shape.unwrap_or_default();
                format!("built-in phantom, {z} x {y} x {x}")
            }
            several => format!("{} volumes", several.len()),
        };
        let size = |r: &&Region| format!("{} x {} x {}", r.z.len(), r.height(), r.width());
        let sizes = |all: &[&Region]| all.iter().map(size).collect::<Vec<_>>().join(", ");
        let tests = match &test[..] {
            [] => "nothing; --holdout SHARE keeps some labels to judge by".into(),
            test => sizes(test),
        };
        tell!("Data:     {name}; trains on {}, tests on {tests}", sizes(&train));
        tell!(
            "Network:  width {}, {} parameters, patches of {} x {}",
            config.net.width,
            config.net.parameter_count(),
            config.patch,
            config.patch
        );
        tell!("Device:   {device}");
        let memory = Memory::of(config, executor, open)?;
        tell!(
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
            tell!("Resuming after iteration {}", done - 1);
        }
        Ok(())
    }

    fn draw_curve(&self, records: &[Record]) -> Result<()> {
        if records.iter().all(|record| record.jaccard.is_none()) {
            return Ok(());
        }
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
