//! `askem run`: one active-learning experiment.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::options::{DataArgs, ExperimentArgs, Given, OpenData, open_data};
use super::progress::{Bar, catch_interrupt, human_bytes, human_time, interrupted, title};
use super::{Common, say, say_json};
use crate::annotator::SimulatedAnnotator;
use crate::error::{Error, Result};
use crate::executor::Executor;
use crate::model::{Model, SCORE_BATCH};
use crate::pool::{PatchReader, Scaling, draw_pool};
use crate::predict::windows_per_section;
use crate::protocol::{self, Config, Data, FirstChoice, Observer, Phase, Progress, Record};
use crate::report::{self, Details};
use crate::run_dir::{DataSource, Resolved, RunDir};
use crate::strategy::{self, Criterion};
use crate::train::TrainState;
use crate::unet::{AdamOptions, Output, forward_plan, mc_plan, training_plan};
use crate::volume::{CachedLabels, Section, TiffStackWriter};
use crate::weights::{self, TrainedNetwork};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How patches are chosen: random, entropy, least_confidence, bald, k_means, core_set, full (every label of the pool); beyond the
    /// paper mutual_information, power_entropy, power_bald, clasp, entropy_core_set; as a yardstick fg_random, which reads labels
    /// that nobody has given yet [default: entropy]
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
            let seconds = estimate(&mut model, config, &test, &progress.records)?;
            eprintln!("Estimated time: {}", human_time(seconds));
        }
        let data = Data {
            train: &train,
            annotator: &annotator,
            test: &test,
            test_labels: &open.test_labels,
        };
        let mut observer = RunObserver::new(&self.dir, config, &test, &open.test_labels, self.json);
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
        let memory = Memory::of(config, executor, train, test)?;
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

/// Bytes that a run holds at most.
struct Memory {
    network: usize,
    patches: usize,
    sections: usize,
}

impl Memory {
    fn of(
        config: &Config,
        executor: &dyn Executor,
        train: &PatchReader,
        test: &PatchReader,
    ) -> Result<Self> {
        let (net, patch) = (&config.net, config.patch);
        let full = config.strategy == "full";
        let labelled =
            if full { config.pool } else { config.initial + config.iterations * config.query };
        let steps = training_plan(net, config.batch_size, patch, patch, AdamOptions::default());
        let training = executor.memory(&steps.plan);
        // The last batch of an epoch may be smaller and has a plan of its own.
        let partial = if labelled.is_multiple_of(config.batch_size) { 0 } else { training.own };
        let probabilities = [Output::Probabilities];
        let evaluation = forward_plan(net, SCORE_BATCH, patch, patch, &probabilities);
        let evaluation = executor.memory(&evaluation.plan);
        let criterion = config.bald.criterion();
        let needs = strategy::by_name(&config.strategy, criterion)?.needs();
        let scoring = if needs.scores.is_some_and(Criterion::is_under_dropout) {
            let passes = mc_plan(net, SCORE_BATCH, patch, patch, config.mc_passes);
            executor.memory(&passes.plan).own
        } else if needs.passes(1) > 0 {
            evaluation.own
        } else {
            0
        };
        let width_of = |reader: &PatchReader| reader.region.x.end * reader.region.y.end;
        Ok(Self {
            network: training.shared + training.own + partial + evaluation.own + scoring,
            patches: labelled * patch * patch * 5,
            // Two sections of images and labels per region, and the blended probabilities.
            sections: 2 * 5 * (width_of(train) + width_of(test)) + 8 * width_of(test),
        })
    }
}

/// Seconds that the rest of a run will take, from a short probe on zeros.
fn estimate(
    model: &mut Model,
    config: &Config,
    test: &PatchReader,
    records: &[Record],
) -> Result<f64> {
    let pixels = config.patch * config.patch;
    let batch = config.batch_size;
    let time = |work: &mut dyn FnMut() -> Result<()>| -> Result<f64> {
        work()?;
        let (clock, mut rounds) = (Instant::now(), 0);
        while rounds < 2 || clock.elapsed() < Duration::from_millis(300) {
            work()?;
            rounds += 1;
        }
        Ok(clock.elapsed().as_secs_f64() / f64::from(rounds))
    };
    let (x, labels) = (vec![0.0; batch * pixels], vec![0; batch * pixels]);
    let step = time(&mut || {
        model.train_step(&x, &labels, &vec![0; batch], &config.class_weights, [0.0, 1.0])?;
        model.loss(batch).map(drop)
    })?;
    let x = vec![0.0; SCORE_BATCH * pixels];
    let forward = time(&mut || model.forward(&x, &[Output::Probabilities]).map(drop))?;
    let (per_sample, per_window) = (step / batch as f64, forward / SCORE_BATCH as f64);

    let windows = (windows_per_section(test, config.patch) * test.region.z.len()) as f64;
    let strategy = strategy::by_name(&config.strategy, config.bald.criterion())?;
    let per_scored = per_window * strategy.needs().passes(config.mc_passes) as f64;
    if strategy.labels_everything() {
        let samples = (config.full_epochs() * config.pool) as f64;
        return Ok(samples * per_sample + windows * per_window);
    }
    let mut seconds = 0.0;
    for iteration in records.len()..=config.iterations {
        let labelled = config.initial + iteration * config.query;
        let epochs = if iteration == 0 { config.epochs } else { config.finetune_epochs };
        seconds += (labelled * epochs) as f64 * per_sample + windows * per_window;
        if iteration < config.iterations {
            seconds += config.pool as f64 * per_scored;
        }
    }
    Ok(seconds)
}

/// Seconds between two checkpoints of one training.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);

struct RunObserver<'a> {
    dir: &'a RunDir,
    config: &'a Config,
    test: &'a PatchReader,
    test_labels: &'a CachedLabels,
    json: bool,
    bar: Option<Bar>,
    saved: Instant,
    segmentation: Option<TiffStackWriter>,
    /// Of the iteration under way, for the report.
    details: Details,
    first: Option<FirstChoice>,
}

impl<'a> RunObserver<'a> {
    fn new(
        dir: &'a RunDir,
        config: &'a Config,
        test: &'a PatchReader,
        test_labels: &'a CachedLabels,
        json: bool,
    ) -> Self {
        Self {
            dir,
            config,
            test,
            test_labels,
            json,
            bar: None,
            saved: Instant::now(),
            segmentation: None,
            details: Details::default(),
            first: None,
        }
    }

    fn iterations(&self) -> usize {
        if self.config.strategy == "full" { 0 } else { self.config.iterations }
    }

    fn table_head(&self) -> Result<()> {
        say(COLUMNS.map(|(name, width)| format!("{name:>width$}")).join("  "))
    }

    fn table_row(&self, record: &Record) -> Result<()> {
        let seconds = &record.seconds;
        let cells = [
            record.iteration.to_string(),
            record.labelled.to_string(),
            format!("{:.1} %", 100.0 * record.labelled_foreground),
            format!("{:.4}", record.loss),
            format!("{:.3}", record.jaccard),
            human_time(seconds.train),
            human_time(seconds.evaluate),
            human_time(seconds.score),
        ];
        let line: Vec<String> =
            cells.iter().zip(COLUMNS).map(|(cell, (_, width))| format!("{cell:>width$}")).collect();
        say(line.join("  "))
    }

    /// One section of the test region with its segmentation, errors in colour.
    fn draw_overlay(&self, z: usize, foreground: &[u8]) -> Result<()> {
        let region = &self.test.region;
        let section = self.test.section(z)?;
        let width = section.width;
        let labels = self.test_labels.section(z)?;
        let rows =
            || region.y.clone().map(|y| y * width + region.x.start..y * width + region.x.end);
        let raw = Section {
            height: region.height(),
            width: region.width(),
            pixels: rows().flat_map(|row| &section.pixels[row]).copied().collect(),
        };
        let labels: Vec<u8> = rows().flat_map(|row| &labels[row]).copied().collect();
        report::write_overlay(&self.dir.file("segmentation.png"), &raw, &labels, foreground)
    }

    /// Ends the bar and completes the segmentation's file.
    fn finish(mut self) -> Result<()> {
        self.bar = None;
        self.segmentation.take().map_or(Ok(()), TiffStackWriter::finish)
    }
}

/// The summary's columns: it grows by a row per iteration, so widths are fixed.
const COLUMNS: [(&str, usize); 8] = [
    ("iteration", 9),
    ("labelled", 8),
    ("foreground", 10),
    ("loss", 7),
    ("Jaccard", 7),
    ("training", 11),
    ("evaluation", 11),
    ("selection", 11),
];

impl Observer for RunObserver<'_> {
    fn phase(&mut self, iteration: usize, phase: Phase, done: u64, total: u64) {
        self.bar = None;
        self.bar = Some(Bar::new(title(iteration, self.iterations(), phase), done, total));
    }

    fn advance(&mut self, units: u64, loss: Option<f32>) {
        if let Some(bar) = &self.bar {
            bar.advance(units);
            if let Some(loss) = loss {
                bar.message(format!("loss {loss:.4}"));
            }
        }
    }

    fn stop_requested(&self) -> bool {
        interrupted()
    }

    fn wants_checkpoint(&self) -> bool {
        self.saved.elapsed() > CHECKPOINT_EVERY
    }

    fn checkpoint(&mut self, iteration: usize, state: &TrainState) -> Result<()> {
        self.dir.write_checkpoint(iteration, state)?;
        self.saved = Instant::now();
        Ok(())
    }

    fn segmentation(&mut self, z: usize, foreground: &[u8]) -> Result<()> {
        let region = &self.test.region;
        if z == region.z.start + region.z.len() / 2 {
            self.draw_overlay(z, foreground)?;
        }
        let writer = match &mut self.segmentation {
            Some(writer) => writer,
            None => {
                let path = self.dir.file("segmentation.tif");
                let shape = [region.z.len(), region.height(), region.width()];
                self.segmentation.insert(TiffStackWriter::create(&path, shape)?)
            }
        };
        writer.push_labels(foreground)
    }

    fn calibration(&mut self, iteration: usize, bins: &[[u64; 2]; 10]) -> Result<()> {
        self.details = Details { iteration, calibration: bins.to_vec(), ..Details::default() };
        Ok(())
    }

    fn chosen(&mut self, _: usize, scores: &[f32], first: &FirstChoice) -> Result<()> {
        self.details.set_scores(scores);
        self.first = Some(first.clone());
        Ok(())
    }

    fn iteration_done(&mut self, record: &Record) -> Result<()> {
        self.bar = None;
        self.details.write(self.dir.path(), self.first.take().as_ref())?;
        if record.iteration == self.iterations()
            && let Some(writer) = self.segmentation.take()
        {
            // Before the journal's last line, after which nothing is computed again.
            writer.finish()?;
        }
        self.dir.append(record)?;
        if self.json { say_json(record) } else { self.table_row(record) }
    }
}
