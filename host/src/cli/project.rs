//! `askem init`, `query`, `import`, `learn` and `annotate`: a project with a person.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::axes::AxesArgs;
use super::options::ExperimentArgs;
use super::progress::{Bar, catch_interrupt, interrupted};
use super::warnings::warn_of_images;
use super::{Common, say, say_json};
use crate::annotate::server::Server;
use crate::annotate::{Project, State, Undone, import, learn, require_person, undo, write_query};
use crate::compute::cpu::CpuExecutor;
use crate::data::pool::Region;
use crate::data::volume::{LabelOptions, LabelValue, Volume, local_path, open_raw_as};
use crate::error::{Error, Result};
use crate::learning::protocol::{Observer, Phase, Record};
use crate::learning::stopping::advice;
use crate::learning::train::Losses;
use crate::network::model::Model;
use crate::results::run_dir::{DataSource, Resolved};

/// What the help of `askem init` adds to that of the options, which it shares with `askem run`.
const DEFAULTS: &str = "Defaults other than those of askem run, which are shown above: --initial 8, \
    --query 4, --min-distance as wide as a patch with --min-distance-z 1, as many --iterations as the \
    pool has queries, and a smaller --pool where the volume has fewer patches.";

#[derive(Debug, clap::Args)]
#[command(after_help = DEFAULTS)]
pub(super) struct InitArgs {
    /// The project's folder.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Images: a Zarr or OME-Zarr array, an HDF5 dataset (file.h5:/path), an MRC file, a multi-page
    /// TIFF, or a folder of TIFF or PNG sections.
    #[arg(long, value_name = "PATH")]
    raw: PathBuf,
    #[command(flatten)]
    axes: AxesArgs,
    /// How patches are chosen: entropy, bald, k_means, core_set, random and the others of askem run
    /// that look at no labels [default: entropy]
    #[arg(long, value_name = "NAME", help_heading = "Experiment")]
    strategy: Option<String>,
    #[command(flatten)]
    experiment: ExperimentArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct QueryArgs {
    /// The project's folder.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// The project's folder.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Labels: a stack with a page for each patch of a query, a folder of pictures named like the
    /// patches, one such picture, or labels of the whole volume, in any format that is read.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The query whose patches a stack has, page by page [default: the one to be answered now]
    #[arg(long, value_name = "N")]
    query: Option<usize>,
    /// The one label value that is foreground [default: all but 0]
    #[arg(long, value_name = "V", allow_negative_numbers = true)]
    label_value: Option<LabelValue>,
    /// The label value of pixels that are not labelled [default: 255]
    #[arg(long, value_name = "V", allow_negative_numbers = true)]
    ignore_value: Option<LabelValue>,
    #[command(flatten)]
    axes: AxesArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct LearnArgs {
    /// The project's folder.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct UndoArgs {
    /// The project's folder.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct AnnotateArgs {
    /// The project's folder.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The address to listen at. Beyond this machine (such as 0.0.0.0) the page is for those alone
    /// who have the token that is printed; nothing is encrypted.
    #[arg(long, value_name = "ADDRESS", default_value = "localhost", value_parser = address)]
    host: IpAddr,
    /// The port to listen at; 0 is any free one.
    #[arg(long, value_name = "N", default_value_t = 8765)]
    port: u16,
}

fn address(text: &str) -> std::result::Result<IpAddr, String> {
    match text {
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        _ => text.parse().map_err(|_| {
            "give localhost, or an address of this machine such as 192.168.1.5 or 0.0.0.0".into()
        }),
    }
}

/// Patches of the first query, and of each later one, where none is given: a few minutes' work.
const FIRST: usize = 8;
const QUERY: usize = 4;

pub(super) fn init(args: &InitArgs, common: &Common) -> Result<()> {
    let mut experiment = args.experiment.clone();
    experiment.strategy.clone_from(&args.strategy);
    // What is wrong with the options comes before what is wrong with the volume.
    require_person(&experiment.resolve_for_person(FIRST, QUERY, u64::MAX)?)?;
    let raw = std::path::absolute(local_path(&args.raw)?)
        .map_err(|e| Error::io(&args.raw, "can't find the path", e))?;
    let volume = open_raw_as(&raw, &args.axes.of_images())?;
    warn_of_images(&*volume)?;
    let region = Region::whole(volume.shape());
    let patch = experiment.resolve_for_person(FIRST, QUERY, u64::MAX)?.patch;
    region.require_patch(patch, "volume")?;
    let config = experiment.resolve_for_person(FIRST, QUERY, region.positions(patch))?;
    let resolved = Resolved {
        askem: env!("CARGO_PKG_VERSION").into(),
        device: "chosen by each command".into(),
        data: DataSource {
            raw: vec![raw],
            axes: args.axes.axes.clone(),
            channel: args.axes.channel,
            time: args.axes.time,
            ..DataSource::default()
        },
        experiment: config,
    };
    let project = Project::create(&args.dir, resolved, Arc::from(volume))?;
    let (dir, shape) = (shown(&args.dir), project.raw().shape());
    let count = project.patches().len();
    if common.json {
        return say_json(&json!({ "project": args.dir, "shape": shape, "asked": count }));
    }
    let [z, y, x] = shape;
    let patch = project.config().patch;
    say(format_args!(
        "{dir}: a project of {z} x {y} x {x} voxels, which asks for {count} patches of {patch} x \
         {patch} first.\n\
         Paint in the browser:    askem annotate {dir}\n\
         or with other tools:     askem query {dir}, askem import {dir} FILES, askem learn {dir}"
    ))
}

/// A path as a word of a command line.
fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain =
        |c: char| c.is_alphanumeric() || "/._-+:,@%=".contains(c) || cfg!(windows) && c == '\\';
    match text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

fn open(dir: &Path) -> Result<Project> {
    let project = Project::open(dir, |resolved| {
        let [raw] = &resolved.data.raw[..] else {
            return Err(Error::Input(format!(
                "{}: config.toml does not name one volume",
                dir.display()
            )));
        };
        if !raw.exists() && raw.parent().is_some_and(|folder| !folder.is_file()) {
            let file = raw.to_str().and_then(|text| text.split_once(":/")).map(|(file, _)| file);
            if file.is_none_or(|file| !Path::new(file).exists()) {
                return Err(Error::Input(format!(
                    "{}: the volume {} is not there any more; put it back, or write its new place \
                     into config.toml (data.raw)",
                    dir.display(),
                    raw.display()
                )));
            }
        }
        let volume: Box<dyn Volume> = open_raw_as(raw, &resolved.data.axes_of_images())?;
        Ok(Arc::from(volume))
    })?;
    for note in project.notes() {
        note!("askem: note: {note}");
    }
    Ok(project)
}

fn model(project: &Project, common: &Common) -> Result<Model> {
    let config = project.config();
    Model::new(common.open_device()?, config.net, config.patch)
}

pub(super) fn query(args: &QueryArgs, common: &Common) -> Result<()> {
    let mut project = open(&args.dir)?;
    let mut network = match project.last_network()? {
        Some(trained) => {
            let mut model = model(&project, common)?;
            model.set_weights(&trained.weights)?;
            Some(model)
        }
        None => None,
    };
    let (folder, asked) = write_query(&mut project, network.as_mut())?;
    let open = asked.iter().filter(|a| a.state == State::Open).count();
    if common.json {
        let patch = |a: &crate::annotate::Asked| {
            json!({
                "id": a.id, "z": a.at.z, "y": a.at.y, "x": a.at.x, "score": a.score,
                "state": a.state,
            })
        };
        return say_json(&json!({
            "query": project.query(), "folder": folder,
            "patches": asked.iter().map(patch).collect::<Vec<_>>(),
        }));
    }
    for a in &asked {
        let state = match a.state {
            State::Open => "to be labelled",
            State::Done => "done",
            State::Skipped => "skipped",
        };
        say(format_args!("z {:>5}  y {:>6}  x {:>6}  {state}", a.at.z, a.at.y, a.at.x))?;
    }
    let (dir, folder) = (shown(&args.dir), folder.display());
    if asked.is_empty() {
        return say(format_args!(
            "No patch is asked for: what is left of the pool lies too near to what was asked for \
             (--min-distance, --pool of askem init). Add patches of your own: askem annotate {dir}"
        ));
    }
    if open == 0 {
        return say(format_args!("All of it is answered. Go on with: askem learn {dir}"));
    }
    say(format_args!(
        "{folder}: raw.tif, context.tif, start.tif, query.zarr and query.json.\n\
         Label raw.tif page by page (0 background, 1 foreground, 255 not labelled), then:\n\
         askem import {dir} LABELS.tif"
    ))
}

pub(super) fn import_labels(args: &ImportArgs, common: &Common) -> Result<()> {
    let mut project = open(&args.dir)?;
    let files: Vec<&Path> = args.files.iter().map(PathBuf::as_path).collect();
    let options =
        LabelOptions { value: args.label_value, ignore: args.ignore_value, classes: None };
    let done = import(&mut project, &files, args.query, options, &args.axes.of_images())?;
    for note in &done.notes {
        note!("askem: note: {note}");
    }
    if done.background > 0 {
        note!(
            "askem: note: {} of {} patches are 0, which is background, and nothing else; if nobody has \
             painted them yet, take the import back: askem undo {}",
            done.background,
            done.patches,
            shown(&args.dir)
        );
    }
    if common.json {
        let missing = done.missing.iter().map(|at| [at.z, at.y, at.x]).collect::<Vec<_>>();
        return say_json(&json!({
            "patches": done.patches, "whole": done.whole, "background": done.background,
            "labelled_pixels": done.pixels[0],
            "foreground_pixels": done.pixels[1], "missing": missing,
        }));
    }
    say(format_args!(
        "{} patches read, {} of them labelled whole: {} pixels, {} of them foreground.",
        done.patches, done.whole, done.pixels[0], done.pixels[1]
    ))?;
    for at in &done.missing {
        say(format_args!("missing: z {}  y {}  x {}", at.z, at.y, at.x))?;
    }
    say(format_args!("Go on with: askem learn {}", shown(&args.dir)))
}

pub(super) fn learn_labels(args: &LearnArgs, common: &Common) -> Result<()> {
    let project = open(&args.dir)?;
    let mut model = model(&project, common)?;
    catch_interrupt();
    let mut watcher = Watcher { bar: None };
    let project = Mutex::new(project);
    let record = learn(&project, &mut model, &mut watcher).map_err(|e| match e {
        Error::Interrupted(_) => Error::Interrupted(format!(
            "interrupted; the project is as before. Start again with: askem learn {}",
            shown(&args.dir)
        )),
        other => other,
    })?;
    drop(watcher);
    if common.json {
        return say_json(&record);
    }
    let dir = shown(&args.dir);
    say(format_args!(
        "Round {}: {} labelled patches ({:.1} % foreground), loss {:.4}",
        record.iteration,
        record.labelled,
        100.0 * record.labelled_foreground,
        record.loss
    ))?;
    let project = project.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(advice) = advice(project.records()) {
        say(advice.text)?;
    }
    if record.picked.is_empty() {
        say("No patch is asked for next: what is left of the pool lies too near to the others.")?;
        return say(format_args!("To segment: askem predict {dir} --out SEGMENTATION.zarr"));
    }
    say(format_args!(
        "{} patches are asked for next: askem query {dir} or askem annotate {dir}\n\
         To segment: askem predict {dir} --out SEGMENTATION.zarr",
        record.picked.len()
    ))
}

pub(super) fn undo_step(args: &UndoArgs, common: &Common) -> Result<()> {
    let mut project = open(&args.dir)?;
    let undone = undo(&mut project)?;
    if common.json {
        return say_json(&match undone {
            Undone::Import { patches, kept } => {
                json!({ "undone": "import", "patches": patches, "kept": kept })
            }
            Undone::Round { round, asked, kept } => {
                json!({ "undone": "round", "round": round, "asked": asked, "kept": kept })
            }
        });
    }
    match undone {
        Undone::Import { patches, kept } => {
            say(format_args!("{patches} patches have the labels of before the import."))?;
            match kept {
                0 => Ok(()),
                _ => say(format_args!("{kept} were changed since, and are as they were.")),
            }
        }
        Undone::Round { round, asked, kept } => {
            say(format_args!(
                "Round {round} is taken back, with its network and the {asked} patches that it \
                 asked for. No label is lost."
            ))?;
            match kept {
                0 => Ok(()),
                _ => say(format_args!("{kept} of them have labels, and are patches of your own.")),
            }
        }
    }
}

pub(super) fn annotate(args: &AnnotateArgs, common: &Common) -> Result<()> {
    let project = open(&args.dir)?;
    let (trainer, predictor) = match common.open_gpu()? {
        Some(gpu) => {
            let config = project.config();
            (Model::new(Box::new(gpu), config.net, config.patch)?, model(&project, common)?)
        }
        // One core stays free for strokes and predictions.
        None => {
            let all = std::thread::available_parallelism().map_or(1, usize::from);
            let threads = common.threads.unwrap_or_else(|| all.saturating_sub(1).max(1));
            (on_processor(&project, threads)?, on_processor(&project, 1)?)
        }
    };
    let server = Server::bind(project, SocketAddr::new(args.host, args.port), trainer, predictor)?;
    if common.json {
        say_json(&json!({ "url": server.url() }))?;
    } else {
        say(format_args!(
            "Open {} in a browser. Ctrl-C ends; all labels are saved.",
            server.url()
        ))?;
        if args.host.is_unspecified() {
            say(
                "From another machine, put this one's name or address in place of the first number.",
            )?;
        }
    }
    catch_interrupt();
    server.serve(interrupted)
}

fn on_processor(project: &Project, threads: usize) -> Result<Model> {
    let config = project.config();
    Model::new(Box::new(CpuExecutor::new(Some(threads))?), config.net, config.patch)
}

/// Shows how far a round is.
struct Watcher {
    bar: Option<Bar>,
}

impl Observer for Watcher {
    fn phase(&mut self, iteration: usize, phase: Phase, done: u64, total: u64) {
        self.bar = None;
        let what = if phase == Phase::Train { "training" } else { "choosing patches" };
        self.bar = Some(Bar::new(format!("round {iteration}: {what}"), done, total));
    }

    fn advance(&mut self, units: u64) {
        if let Some(bar) = &self.bar {
            bar.advance(units);
        }
    }

    fn epoch_done(&mut self, _: usize, _: usize, losses: Losses) -> Result<()> {
        if let Some(bar) = &self.bar {
            bar.message(format!("loss {:.4}", losses.train));
        }
        Ok(())
    }

    fn stop_requested(&self) -> bool {
        interrupted()
    }

    fn iteration_done(&mut self, _: &Record) -> Result<()> {
        self.bar = None;
        Ok(())
    }
}
