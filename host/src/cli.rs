//! The command line: typed arguments, validated before any work; one file per subcommand.
//!
//! Results go to standard output, progress to standard error. Exit codes: 0 done, 1 failed,
//! 2 wrong usage, 130 interrupted.

/// Writes a line to standard error. That nobody reads it any more is no reason to stop, as `eprintln` would.
macro_rules! note {
    ($($line:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr().lock(), $($line)*);
    }};
}

/// Writes a line to standard error that informs and warns of nothing; `--quiet` leaves it out.
macro_rules! tell {
    ($($line:tt)*) => {{
        if !$crate::cli::is_quiet() {
            note!($($line)*);
        }
    }};
}

mod axes;
mod bench;
mod classes;
mod compare;
mod completions;
mod datasets;
mod devices;
mod eval;
mod experiment_data;
mod inputs;
mod inspect;
mod instances;
mod network;
mod normalise;
mod options;
mod phantom;
mod predict;
mod processes;
mod progress;
mod project;
mod report;
mod run;
mod score;
mod select;
mod table;
mod train;
mod warnings;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, Subcommand};

use crate::compute::device::{self, DeviceChoice};
use crate::compute::executor::Executor;
use crate::compute::gpu::GpuExecutor;
use crate::compute::precision::PrecisionChoice;
use crate::error::{Error, Result};

/// What `--version` prints: what the program was built from, and with what; see build.rs.
const LONG_VERSION: &str = concat!(env!("ASKEM_VERSION"), "\nfeatures: ", env!("ASKEM_FEATURES"));

/// Segment electron microscopy with a U-Net that asks for few labels.
#[derive(Debug, Parser)]
#[command(name = "askem", version, long_version = LONG_VERSION)]
#[command(max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

const EXAMPLES: &str = "Examples:
  askem run --preset quick --out runs/first
  askem run --raw raw/ --labels masks/ --strategy entropy --out runs/entropy
  askem run --out runs/entropy --resume
  askem compare --preset quick --strategies random,entropy,full --seeds 3 --out runs/compared
  askem init brain/ --raw raw/ && askem annotate brain/
  askem inspect --raw raw/ --labels masks/
  askem score --weights runs/entropy/weights.safetensors --raw brain.zarr --stride 128 --out scores.zarr";

/// Options of every command.
#[derive(Clone, Debug, clap::Args)]
struct Common {
    /// What computes: `auto` (a hardware GPU that passes the self-test, else the CPU), `cpu`, `gpu` (the best), `gpu:N` (number N from
    /// 0 of the hardware GPUs), or part of an adapter's name. For score, and predict to .zarr, also `all` hardware GPUs, or several of
    /// these options: a process for each.
    #[arg(
        long,
        global = true,
        help_heading = "Everywhere",
        default_value = "auto",
        value_name = "auto|cpu|gpu|gpu:N|all|NAME"
    )]
    device: Vec<DeviceChoice>,
    /// In what numbers a GPU computes: `f32`; `f16` (what passes from layer to layer lies in memory as f16); `tensor` (that, and convolutions
    /// by matrix units with factors of f16); `auto`: the fastest that passes the self-test, and f32 without a hardware GPU. Sums, weights, gradients
    /// and scores are f32 in all.
    #[arg(
        long,
        global = true,
        help_heading = "Everywhere",
        default_value = "auto",
        value_name = "f32|f16|tensor|auto"
    )]
    precision: PrecisionChoice,
    /// CPU threads [default: all]
    #[arg(long, global = true, help_heading = "Everywhere", value_name = "N")]
    threads: Option<usize>,
    /// One JSON object per result on standard output instead of text.
    #[arg(long, global = true, help_heading = "Everywhere")]
    json: bool,
    /// No progress and no announcements on standard error, only warnings and errors.
    #[arg(long, global = true, help_heading = "Everywhere")]
    quiet: bool,
}

impl Common {
    fn open_device(&self) -> Result<Box<dyn Executor>> {
        device::open_with(&self.one_device()?, self.threads, self.precision, warn)
    }

    /// The chosen GPU; `None` where the processor is chosen.
    fn open_gpu(&self) -> Result<Option<GpuExecutor>> {
        device::open_gpu_with(&self.one_device()?, self.precision, warn)
    }

    fn one_device(&self) -> Result<DeviceChoice> {
        self.validate()?;
        match <[_; 1]>::try_from(device::expand(&self.device)?) {
            Ok([device]) => Ok(device),
            Err(_) => Err(Error::Usage(
                "--device: this work runs on one device; several are for score, and for predict to .zarr".into(),
            )),
        }
    }

    fn validate(&self) -> Result<()> {
        if self.threads == Some(0) {
            return Err(Error::Usage("--threads 0: give at least 1".into()));
        }
        if let Some(threads) = self.threads.filter(|&threads| threads > MOST_THREADS) {
            return Err(Error::Usage(format!("--threads {threads}: give at most {MOST_THREADS}")));
        }
        Ok(())
    }
}

/// More than any machine runs at once; each takes memory of its own.
const MOST_THREADS: usize = 1024;

#[derive(Debug, Subcommand)]
enum Command {
    /// One active-learning experiment, with labels standing in for the annotator.
    Run(Box<run::Args>),
    /// Several strategies and seeds of the same experiment, and one report.
    Compare(Box<compare::Args>),
    /// Write report.html, and a comparison's figures and tables, of what lies in a directory.
    Report(report::Args),
    /// Train on all given labels.
    Train(Box<train::Args>),
    /// Segment a volume of any size.
    Predict(predict::Args),
    /// Find the objects of a segmentation: number, separate and measure them.
    Instances(instances::Args),
    /// Score every patch of a volume of any size into a Zarr store.
    Score(Box<score::Args>),
    /// Choose the next patches from stores of scores.
    Select(select::Args),
    /// Compare a segmentation with labels.
    Eval(eval::Args),
    /// Start a project in which a person labels a volume that has no labels.
    Init(Box<project::InitArgs>),
    /// Paint in the browser while the network learns, and be asked for the next patches.
    Annotate(project::AnnotateArgs),
    /// Write the patches that a project asks for as files for other tools.
    Query(project::QueryArgs),
    /// Read labels from other tools into a project.
    Import(project::ImportArgs),
    /// Train a project's network on all its labels, and choose the next patches.
    Learn(project::LearnArgs),
    /// Take the last step of a project back: an import, or a round.
    Undo(project::UndoArgs),
    /// Say what a volume is, and what is wrong with it.
    Inspect(inspect::Args),
    /// List adapters, what they can do, and which one `auto` takes.
    Devices,
    /// Write the built-in phantom as files: a volume and its masks, to try everything with.
    Phantom(phantom::Args),
    /// Measure throughput on this machine.
    Bench(bench::Args),
    /// Print what a shell needs to complete commands and options.
    Completions(completions::CompletionsArgs),
    /// Write manual pages.
    Man(completions::ManArgs),
}

/// Set by `--quiet`.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Whether only warnings and errors are wanted on standard error.
fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Runs the program with the process's arguments.
pub fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os().collect(), None))
}

/// Runs the program with these arguments, the first of which is its name, and gives its exit code.
///
/// Some commands start the program anew, beside this process: as `again`, a program with its first
/// arguments, where this process runs another one that has loaded askem as a library; else as the
/// file that this process runs. What was said first counts for the whole process.
pub fn run(arguments: Vec<OsString>, again: Option<Vec<OsString>>) -> u8 {
    let parsed = Cli::try_parse_from(&arguments);
    processes::remember(arguments, again);
    match parsed {
        Ok(cli) => execute(cli),
        Err(error) => {
            // Help, the version, or what is wrong. That nobody reads it is no other outcome.
            let _ = error.print();
            error.exit_code() as u8
        }
    }
}

fn execute(cli: Cli) -> u8 {
    QUIET.store(cli.common.quiet, Ordering::Relaxed);
    let done = match cli.command {
        Command::Run(args) => run::execute(&args, &cli.common),
        Command::Compare(args) => compare::execute(&args, &cli.common),
        Command::Report(args) => report::execute(&args, &cli.common),
        Command::Train(args) => train::execute(&args, &cli.common),
        Command::Predict(args) => predict::execute(&args, &cli.common),
        Command::Instances(args) => instances::execute(&args, &cli.common),
        Command::Score(args) => score::execute(&args, &cli.common),
        Command::Select(args) => select::execute(&args, &cli.common),
        Command::Eval(args) => eval::execute(&args, &cli.common),
        Command::Init(args) => project::init(&args, &cli.common),
        Command::Annotate(args) => project::annotate(&args, &cli.common),
        Command::Query(args) => project::query(&args, &cli.common),
        Command::Import(args) => project::import_labels(&args, &cli.common),
        Command::Learn(args) => project::learn_labels(&args, &cli.common),
        Command::Undo(args) => project::undo_step(&args, &cli.common),
        Command::Inspect(args) => inspect::execute(&args, &cli.common),
        Command::Devices => devices::execute(&cli.common),
        Command::Bench(args) => bench::execute(&args, &cli.common),
        Command::Phantom(args) => phantom::execute(&args, &cli.common),
        Command::Completions(args) => completions::completions(&args, &cli.common),
        Command::Man(args) => completions::man(&args, &cli.common),
    };
    match done {
        Ok(()) => 0,
        Err(error) => {
            note!("askem: {error}");
            match error {
                Error::Usage(_) => 2,
                Error::Interrupted(_) => 130,
                _ => 1,
            }
        }
    }
}

/// Says on standard error what does not stop the work and should be known.
fn warn(text: String) {
    note!("askem: note: {text}");
}

/// Writes a line to standard output. A reader that has gone away misses what comes, and the work goes on.
fn say(line: impl std::fmt::Display) -> Result<()> {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::io(&PathBuf::from("standard output"), "can't write", e))
        }
        _ => Ok(()),
    }
}

/// Writes a value as one line of JSON to standard output.
fn say_json(value: &impl serde::Serialize) -> Result<()> {
    say(serde_json::to_string(value).map_err(|e| Error::Input(format!("JSON: {e}")))?)
}
