//! `askem run`: one active-learning experiment.

mod estimate;
mod observer;
mod tensorboard;

use std::path::PathBuf;

pub(super) use self::estimate::Memory;
use self::estimate::estimate;
use self::observer::RunObserver;
use self::tensorboard::TensorBoard;
use super::options::{DataArgs, ExperimentArgs, Given, OpenData, open_data};
use super::progress::{catch_interrupt, human_bytes, human_time};
use super::{Common, say};
use crate::annotator::SimulatedAnnotator;
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::model::Model;
use crate::pool::{PatchReader, Scaling, draw_pool};
use crate::protocol::{self, Config, Data, Progress, Record};
use crate::report;
use crate::run_dir::{DataSource, Resolved, RunDir};
use crate::weights::{self, TrainedNetwork};

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
    /// Go on with the run that lies in --out.
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
        let open = open_data(&source, config.seed)?;
        open.train_region.require_patch(config.patch, "training")?;
        open.test_region.require_patch(config.patch, "test")?;
        draw_pool(&open.train_region, config.patch, config.pool, config.seed)?;
        let scaling = Scaling::measure(&*open.train_raw, &open.train_region)?;
        let executor = common.open_device()?;

        let dir = RunDir::open(&self.out, self.resume, self.force)?;
        let progress = dir.progress()?;
        catch_interrupt();
        let device = executor.name();
        dir.write_config(&Resolved {
            askem: env!("CARGO_PKG_VERSION").into(),
            device: device.clone(),
            data: source.clone(),
            experiment: config.clone(),
        })?;
        let model = Model::new(executor, config.net, config.patch)?;
        let run = Run { job: self, json: common.json, source, config, scaling, dir, device };
        run.execute(model, open, progress)
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
        let stored = (stored.data, stored.experiment);
        if given != Given::default() && given.resolve()? != stored {
            return Err(Error::Usage(format!(
                "{}: the run there was started with other settings (see its config.toml); resume it with --resume and --out alone",
                self.out.display()
            )));
        }
        Ok(stored)
    }
}

struct Run<'a> {
    job: &'a Job,
    json: bool,
    source: DataSource,
    config: Config,
    scaling: Scaling,
    dir: RunDir,
    device: String,
}

impl Run<'_> {
    fn execute(self, mut model: Model, open: OpenData, progress: Progress) -> Result<()> {
        let config = &self.config;
        let (train_region, test_region) = (open.train_region, open.test_region);
        let train = PatchReader::new(open.train_raw, train_region, self.scaling);
        let test = PatchReader::new(open.test_raw, test_region, self.scaling);
        let annotator = SimulatedAnnotator::new(&open.train_labels);
        for warning in &open.warnings {
            eprintln!("askem: note: {warning}");
        }
        let done = progress.records.len();
        self.announce(model.executor(), &train, &test, done)?;
        let last = if config.strategy == "full" { 0 } else { config.iterations };
        if done <= last {
            let wanted = config.batch_size;
            let (batch, _) = model.prepare_training(wanted, wanted)?;
            if batch < wanted {
                eprintln!(
                    "askem: note: {} can't hold a training step of {wanted} patches, and takes {batch} at a time",
                    self.device
                );
            }
            let seconds = estimate(&mut model, config, &test, &progress.records)?;
            let most = if config.early_stopping.is_some() { "at most " } else { "" };
            eprintln!("Estimated time: {most}{}", human_time(seconds));
        }
        let data = Data {
            train: &train,
            annotator: &annotator,
            test: &test,
            test_labels: &open.test_labels,
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
        let all_done = done > last && self.dir.file("weights.safetensors").exists();
        let outcome = protocol::run(config, &data, &mut model, progress, &mut observer);
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
        if !all_done {
            let trained = TrainedNetwork {
                net: config.net,
                weights: model.weights()?,
                patch: config.patch,
                scaling: self.scaling,
            };
            weights::save(&self.dir.file("weights.safetensors"), &trained)?;
        }
        self.draw_curve(&records)?;
        report::write_page_of(&self.job.out)?;
        if !self.json {
            let out = self.job.out.display();
            say(format_args!(
                "\nResults in {out}: report.html, journal.jsonl, weights.safetensors, curve.png,\nsegmentation.tif, and segmentation.png (one section; errors in colour)"
            ))?;
        }
        Ok(())
    }

    /// Says what will be done, with which memory, on standard error.
    fn announce(
        &self,
        executor: &dyn Executor,
        train: &PatchReader,
        test: &PatchReader,
        done: usize,
    ) -> Result<()> {
        let config = &self.config;
        let name = match &self.source.raw {
            Some(path) => path.display().to_string(),
            None => {
                let [z, y, x] = self.source.phantom_shape.unwrap_or_default();
                format!("built-in phantom, {z} x {y} x {x}")
            }
        };
        let size = |reader: &PatchReader| {
            let r = &reader.region;
            format!("{} x {} x {}", r.z.len(), r.height(), r.width())
        };
        eprintln!("Data:     {name}; trains on {}, tests on {}", size(train), size(test));
        eprintln!(
            "Network:  width {}, {} parameters, patches of {} x {}",
            config.net.width,
            config.net.parameter_count(),
            config.patch,
            config.patch
        );
        eprintln!("Device:   {}", self.device);
        let memory = Memory::of(config, executor, &train.region, &test.region)?;
        eprintln!(
            "Memory:   network {}, labelled patches {}, sections {}",
            human_bytes(memory.network),
            human_bytes(memory.patches),
            human_bytes(memory.sections)
        );
        if done > 0 {
            eprintln!("Resuming after iteration {}", done - 1);
        }
        Ok(())
    }

    fn draw_curve(&self, records: &[Record]) -> Result<()> {
        let points = records.iter().map(|r| (r.labelled as f64, r.jaccard)).collect();
        let curve = report::Curve::new(self.config.strategy.clone(), points);
        report::learning_curve(
            &[curve],
            "Jaccard index of the test region",
            None,
            &self.dir.file("curve.svg"),
            &self.dir.file("curve.png"),
        )
    }
}
