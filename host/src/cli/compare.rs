//! `askem compare`: strategies and seeds of one experiment, each cell a run of its own in a process of its own.

mod baseline;
mod table;

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use super::experiment_data::open_data;
use super::inputs::refuse_inputs_in;
use super::options::{DataArgs, ExperimentArgs, Given, Settings};
use super::processes::{available_memory, start_child, this_program};
use super::progress::{catch_interrupt, human_bytes, human_time, interrupted};
use super::run::{Memory, in_short_help};
use super::{Common, say, say_json};
use crate::data::files::{remove_leftovers, write_atomically};
use crate::error::{Error, Result};
use crate::learning::protocol::{Config, Record};
use crate::learning::strategy;
use crate::network::weights;
use crate::results::comparison::{self, Baseline, Series};
use crate::results::report;
use crate::results::run_dir::{DataSource, Resolved, RunDir, holds_run};

/// Seeds of a strategy; each is a run of its own.
const MOST_SEEDS: u64 = 10_000;

/// How often the processes are looked at.
const POLL: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
#[command(mut_args(in_short_help))]
pub(super) struct Args {
    #[command(flatten)]
    data: DataArgs,
    /// Strategies, separated by commas; `full` is the ceiling of the figure, `random` what others are measured against.
    #[arg(
        long,
        value_name = "A,B",
        value_delimiter = ',',
        default_value = "random,entropy,least_confidence,bald,k_means,core_set,full",
        help_heading = "Experiment"
    )]
    strategies: Vec<String>,
    /// Seeds 0 to N - 1 of each strategy. 3 are a first look; with fewer than 10 no claim is shown
    /// or refuted, so give 10 for a result.
    #[arg(long, value_name = "N", default_value_t = 3, help_heading = "Experiment")]
    seeds: u64,
    /// Another comparison of the same data, pool and test region, such as one of the paper's recipe:
    /// says how many times fewer labels than its random the best strategy here needs.
    #[arg(long, value_name = "DIR", help_heading = "Experiment")]
    baseline: Option<PathBuf>,
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// Settings from a TOML file, such as a run's config.toml; options override it.
    #[arg(long, value_name = "FILE", help_heading = "Experiment")]
    config: Option<PathBuf>,
    /// Where results go: a run directory for each strategy and seed, and what they say together. Repeating the command goes on with
    /// what is missing.
    #[arg(long, value_name = "DIR", default_value = "askem-compare", help_heading = "Results")]
    out: PathBuf,
    /// Runs at a time; they share the processor's threads. Fewer where their memory would not fit (known on Linux, for runs on the CPU).
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Results")]
    jobs: usize,
    /// Write event files for TensorBoard into each run's directory; `tensorboard --logdir OUT` shows all runs.
    #[arg(long, help_heading = "Results")]
    tensorboard: bool,
}

/// One run of the comparison.
#[derive(Clone, Debug)]
struct Cell {
    strategy: String,
    seed: u64,
}

impl Cell {
    fn name(&self) -> String {
        format!("{}-{}", self.strategy, self.seed)
    }
}

pub(super) fn execute(args: &Args, common: &Common) -> Result<()> {
    common.validate()?;
    for (option, value) in [("--seeds", args.seeds), ("--jobs", args.jobs as u64)] {
        if value == 0 {
            return Err(Error::Usage(format!("{option} 0: give at least 1")));
        }
    }
    if args.seeds > MOST_SEEDS {
        return Err(Error::Usage(format!("--seeds {}: give at most {MOST_SEEDS}", args.seeds)));
    }
    let given = Given {
        config_file: args.config.clone(),
        data: args.data.clone(),
        experiment: args.experiment.clone(),
        for_training: false,
    };
    if args.experiment.has_seed() {
        return Err(Error::Usage(
            "--seed: a comparison has seeds 0 to N - 1; give --seeds N".into(),
        ));
    }
    let Settings { source, mut config, pool_is_given } = given.resolve()?;
    let mut cells = Vec::new();
    for (i, name) in args.strategies.iter().enumerate() {
        let strategy = strategy::by_name(name, config.bald.criterion())?;
        if args.strategies[..i].contains(name) {
            return Err(Error::Usage(format!("--strategies: {name} comes twice")));
        }
        Config { strategy: strategy.name().into(), ..config.clone() }.validate()?;
    }
    // Seed by seed, so that an interrupted comparison compares.
    for seed in 0..args.seeds {
        cells.extend(args.strategies.iter().map(|s| Cell { strategy: s.clone(), seed }));
    }
    // What no run can do is said before anything is written.
    let mut open = open_data(&source, &config)?;
    open.require_patch(config.patch)?;
    if !pool_is_given {
        open.fit_pool(&mut config)?;
    }
    let baseline = match &args.baseline {
        Some(folder) => Some(baseline::load(folder, &args.out, &source, &config, args.seeds)?),
        None => None,
    };
    let settings = prepare(&args.out, source.clone(), config.clone(), common)?;
    if !source.raw.is_empty() {
        // The runs say it in their logs.
        open.warnings.iter().for_each(|warning| note!("askem: note: {warning}"));
        open.scalings(&source)?;
    }
    drop(open);
    let jobs =
        if args.jobs > 1 { jobs_that_fit(args, common, &source, &config)? } else { args.jobs };
    catch_interrupt();
    run_cells(args, jobs, common, &settings, &cells)?;
    if let Some(baseline) = baseline {
        baseline.write(&args.out)?;
    }
    finish(args, common, &cells)
}

/// What a comparison writes beside the runs of its cells, its settings aside.
const FILES: [&str; 7] = [
    "report.html",
    "curves.svg",
    "curves.png",
    "iterations.csv",
    "summary.csv",
    "comparison.json",
    comparison::BASELINE,
];

/// Writes the settings of all cells, or compares them with those that are there. Gives the file.
fn prepare(out: &Path, data: DataSource, config: Config, common: &Common) -> Result<PathBuf> {
    let path = out.join("compare.toml");
    let own = FILES.iter().chain(&["compare.toml", "logs", "figures"]).map(|name| out.join(name));
    refuse_inputs_in(&data, &own.collect::<Vec<_>>())?;
    if !path.exists() {
        let found = FILES.iter().find(|name| out.join(name).exists());
        if holds_run(out) {
            return Err(Error::Input(format!(
                "{}: there lies a run, whose report a comparison would replace; choose another --out",
                out.display()
            )));
        }
        if let Some(found) = found {
            return Err(Error::Input(format!(
                "{}: there lies {found}, but no comparison that it belongs to; move it elsewhere, or choose another --out",
                out.display()
            )));
        }
    }
    let resolved = Resolved {
        askem: env!("CARGO_PKG_VERSION").into(),
        device: common.device.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        data,
        experiment: config,
    };
    let made = fs::create_dir_all(out.join("logs"));
    made.map_err(|e| Error::io(out, "can't make the directory", e))?;
    remove_leftovers(out, |name| name == "compare.toml" || FILES.contains(&name));
    match fs::read_to_string(&path) {
        // No run began with these settings, so a mistake in them may be mended.
        Ok(_) if !holds_cells(out)? => write_settings(&path, &resolved)?,
        Ok(text) => {
            let there: Resolved = toml::from_str(&text).map_err(|e| {
                Error::Input(format!("{}: can't be read as settings: {e}", path.display()))
            })?;
            if (&there.data, &there.experiment) != (&resolved.data, &resolved.experiment) {
                return Err(Error::Usage(format!(
                    "{}: the comparison there has other settings (see {}); choose another --out",
                    out.display(),
                    path.display()
                )));
            }
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => write_settings(&path, &resolved)?,
        Err(e) => return Err(Error::io(&path, "can't read the settings", e)),
    }
    Ok(path)
}

fn write_settings(path: &Path, resolved: &Resolved) -> Result<()> {
    let text =
        toml::to_string(resolved).map_err(|e| Error::Input(format!("{}: {e}", path.display())))?;
    write_atomically(path, text.as_bytes())
}

/// Whether a cell of a comparison has begun.
fn holds_cells(out: &Path) -> Result<bool> {
    let unreadable = |e| Error::io(out, "can't read the folder", e);
    for entry in fs::read_dir(out).map_err(unreadable)? {
        if holds_run(&entry.map_err(unreadable)?.path()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The journal of a cell, if its run is complete.
fn finished(out: &Path, cell: &Cell) -> Result<Option<Vec<Record>>> {
    let folder = out.join(cell.name());
    let Some(resolved) = RunDir::peek(&folder)? else { return Ok(None) };
    let records = RunDir::read_records(&folder)?;
    let last = if cell.strategy == comparison::FULL { 0 } else { resolved.experiment.iterations };
    // Also of a run that was killed between its last line and its report.
    let complete = records.len() == last + 1
        && folder.join("report.html").exists()
        && weights::load(&folder.join("weights.safetensors")).is_ok();
    Ok(complete.then_some(records))
}

/// `--jobs`, or as many as the memory that is free lets run beside each other.
fn jobs_that_fit(
    args: &Args,
    common: &Common,
    source: &DataSource,
    config: &Config,
) -> Result<usize> {
    let executor = common.open_device()?;
    // Of other devices' memory nobody says how much is free.
    let (true, Some(available)) = (executor.threads().is_some(), available_memory()) else {
        return Ok(args.jobs);
    };
    let open = open_data(source, config)?;
    let mut each = 0;
    for strategy in &args.strategies {
        let config = Config { strategy: strategy.clone(), ..config.clone() };
        let memory = Memory::of(&config, &*executor, &open)?;
        each = each.max(memory.total());
    }
    let jobs = fitting(args.jobs, each, available);
    if jobs < args.jobs {
        note!(
            "askem: note: --jobs {}: a run takes about {}, and {} are free; {jobs} at a time",
            args.jobs,
            human_bytes(each),
            human_bytes(available)
        );
    }
    Ok(jobs)
}

/// How many of so many jobs fit, each of so many bytes; one at least.
fn fitting(jobs: usize, each: usize, available: usize) -> usize {
    jobs.min(available / each.max(1)).max(1)
}

/// Runs what is missing, some at a time.
fn run_cells(
    args: &Args,
    jobs: usize,
    common: &Common,
    settings: &Path,
    cells: &[Cell],
) -> Result<()> {
    let mut todo = VecDeque::new();
    for cell in cells {
        if finished(&args.out, cell)?.is_none() {
            todo.push_back(cell);
        }
    }
    let (total, there) = (cells.len(), cells.len() - todo.len());
    if !common.json {
        tell!("{total} runs, {there} are there; {} at a time", jobs.min(todo.len().max(1)));
    }
    let mut running: Vec<(&Cell, Child)> = Vec::new();
    let mut failed: Vec<String> = Vec::new();
    let mut done = there;
    while !(todo.is_empty() && running.is_empty()) {
        while running.len() < jobs && !interrupted() && failed.is_empty() {
            let Some(cell) = todo.pop_front() else { break };
            running.push((cell, start(args, jobs, common, settings, cell)?));
        }
        if running.is_empty() {
            break;
        }
        sleep(POLL);
        if interrupted() {
            // Their input ends, so that they save their state and end, which Ctrl-C in a terminal has told them already.
            running.iter_mut().for_each(|(_, child)| drop(child.stdin.take()));
        }
        let mut still = Vec::new();
        for (cell, mut child) in running {
            let status = child
                .try_wait()
                .map_err(|e| Error::io("askem".as_ref(), "waiting for a run", e))?;
            match status {
                None => still.push((cell, child)),
                Some(status) if status.success() => {
                    done += 1;
                    report_done(&args.out, cell, done, total)?;
                }
                Some(_) if interrupted() => {}
                Some(status) => {
                    let log = log_of(&args.out, cell);
                    let text = fs::read_to_string(&log).unwrap_or_default();
                    let last =
                        text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
                    failed.push(format!("{}: {status}: {last} ({})", cell.name(), log.display()));
                }
            }
        }
        running = still;
    }
    if interrupted() {
        return Err(Error::Interrupted(format!(
            "interrupted; {done} of {total} runs are complete and the others' state is saved. Go on with the same command (--out {})",
            args.out.display()
        )));
    }
    match failed.first() {
        None => Ok(()),
        Some(first) => Err(Error::Input(format!("a run failed: {first}"))),
    }
}

fn log_of(out: &Path, cell: &Cell) -> PathBuf {
    out.join("logs").join(format!("{}.log", cell.name()))
}

/// Starts a cell's run, or goes on with it.
fn start(args: &Args, jobs: usize, common: &Common, settings: &Path, cell: &Cell) -> Result<Child> {
    let failed = |e| Error::io("askem".as_ref(), "starting a run", e);
    let folder = args.out.join(cell.name());
    let mut command = this_program().map_err(failed)?;
    command.arg("run").arg("--out").arg(&folder);
    if RunDir::peek(&folder)?.is_some() {
        command.arg("--resume");
    } else {
        command.arg("--config").arg(settings);
        command.args(["--strategy", &cell.strategy, "--seed", &cell.seed.to_string()]);
    }
    if args.tensorboard {
        command.arg("--tensorboard");
    }
    for device in &common.device {
        command.args(["--device", &device.to_string()]);
    }
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (common.threads.unwrap_or(all) / jobs).max(1);
    command.args(["--threads", &threads.to_string()]);
    let log = log_of(&args.out, cell);
    let open = || OpenOptions::new().create(true).append(true).open(&log);
    let log = |file: std::io::Result<File>| {
        file.map(Stdio::from).map_err(|e| Error::io(&log, "can't write the log", e))
    };
    command.stdout(log(open())?).stderr(log(open())?);
    start_child(&mut command).map_err(failed)
}

fn report_done(out: &Path, cell: &Cell, done: usize, total: usize) -> Result<()> {
    let Some(records) = finished(out, cell)? else {
        return Err(Error::Input(format!("{}: the run ended without a result", cell.name())));
    };
    let seconds: f64 =
        records.iter().map(|r| r.seconds.train + r.seconds.score + r.seconds.evaluate).sum();
    if let Some(last) = records.last() {
        tell!(
            "{done}/{total} {} seed {}: Jaccard {:.3} in {}",
            cell.strategy,
            cell.seed,
            last.jaccard_or_nan(),
            human_time(seconds)
        );
    }
    Ok(())
}

/// Writes and says what all runs say together.
fn finish(args: &Args, common: &Common, cells: &[Cell]) -> Result<()> {
    let mut all: Vec<Series> = args
        .strategies
        .iter()
        .map(|strategy| Series { strategy: strategy.clone(), runs: Vec::new() })
        .collect();
    for cell in cells {
        let records = finished(&args.out, cell)?
            .ok_or_else(|| Error::Input(format!("{}: the run is not complete", cell.name())))?;
        let series = all.iter_mut().find(|series| series.strategy == cell.strategy);
        series.expect("every cell's strategy is listed").runs.push((cell.seed, records));
    }
    let summaries = comparison::summarize(&all)?;
    let system =
        Baseline::read(&args.out)?.and_then(|baseline| comparison::system(&all, &baseline));
    report::write_comparison(&args.out, &all, &summaries, system.as_ref())?;
    if common.json {
        summaries.iter().try_for_each(say_json)?;
        return system.iter().try_for_each(|system| say_json(&json!({ "system": system })));
    }
    say(table::of(&summaries))?;
    let claims = summaries.iter().filter_map(|summary| summary.claim.as_ref());
    let sentences = claims.map(|claim| &claim.sentence);
    let stops = summaries.iter().filter_map(|summary| summary.stops.as_ref());
    let sentences = sentences.chain(stops.map(|stops| &stops.sentence));
    sentences.chain(system.iter().map(|system| &system.sentence)).try_for_each(say)?;
    say(format_args!(
        "Results in {0}: report.html, curves.svg, curves.png, summary.csv, iterations.csv, comparison.json",
        args.out.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_runs_as_fit_and_one_at_least() {
        assert_eq!(fitting(8, 100, 1000), 8);
        assert_eq!(fitting(8, 300, 1000), 3);
        assert_eq!(fitting(8, 5000, 1000), 1);
    }
}
