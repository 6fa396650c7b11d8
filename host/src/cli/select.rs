//! `askem select`: choose the next patches from stores of scores.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::options::open_data;
use super::table::Table;
use super::{Common, say, say_json};
use crate::data::pool::{Position, draw_pool};
use crate::error::{Error, Result};
use crate::learning::protocol::labelled;
use crate::pools::score_store::ScoreStore;
use crate::pools::select::{Distance, Request, STRATEGIES, select};
use crate::results::run_dir::RunDir;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Stores that `askem score` wrote.
    #[arg(value_name = "STORE", required = true)]
    stores: Vec<PathBuf>,
    /// random, entropy, least_confidence, bald, mutual_information, k_means or core_set.
    #[arg(long, value_name = "NAME", value_parser = STRATEGIES)]
    strategy: String,
    /// Patches to choose.
    #[arg(long, value_name = "K", default_value_t = 20)]
    query: usize,
    /// Patches that are labelled already and not chosen again: a run's journal.jsonl, whose first patches are known from
    /// the config.toml beside it, or JSON lines with z, y and x, such as this command prints with --json.
    #[arg(long, value_name = "JOURNAL")]
    exclude: Vec<PathBuf>,
    /// Least distance between choices, and to what is labelled: their rows or their columns differ by at least so much.
    #[arg(long, value_name = "PIXELS", default_value_t = 0)]
    min_distance: usize,
    /// The distance counts between sections up to so far apart.
    #[arg(long, value_name = "SECTIONS", default_value_t = 0)]
    min_distance_z: usize,
    /// Decides everything random.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

#[derive(Serialize)]
struct Row<'a> {
    rank: usize,
    store: &'a Path,
    index: u64,
    z: usize,
    y: usize,
    x: usize,
    score: Option<f32>,
}

pub(super) fn execute(args: &Args, common: &Common) -> Result<()> {
    common.validate()?;
    if args.query == 0 {
        return Err(Error::Usage("--query 0: give at least 1".into()));
    }
    let paths = different(&args.stores);
    let stores: Vec<ScoreStore> =
        paths.iter().map(|path| ScoreStore::open(path)).collect::<Result<_>>()?;
    let mut labelled = Vec::new();
    for path in &args.exclude {
        labelled.extend(labelled_in(path)?);
    }
    let request = Request {
        strategy: &args.strategy,
        query: args.query,
        distance: Distance { pixels: args.min_distance, sections: args.min_distance_z },
        labelled: &labelled,
        seed: args.seed,
    };
    let choices = select(&stores, &request)?;
    if choices.len() < args.query {
        note!(
            "askem: note: only {} of {} patches could be chosen: the others are labelled or too near",
            choices.len(),
            args.query
        );
    }
    let mut table = Table::new(&["rank", "store", "patch", "z", "y", "x", "score"]);
    for (i, choice) in choices.iter().enumerate() {
        let Position { z, y, x } = choice.position;
        let store = paths[choice.store];
        let row = Row { rank: i + 1, store, index: choice.index, z, y, x, score: choice.score };
        if common.json {
            say_json(&row)?;
            continue;
        }
        let score = choice.score.map_or("-".into(), |score| format!("{score:.3}"));
        let numbers = [choice.index, z as u64, y as u64, x as u64].map(|v| v.to_string());
        let [index, z, y, x] = numbers;
        table.row(vec![row.rank.to_string(), store.display().to_string(), index, z, y, x, score]);
    }
    if common.json { Ok(()) } else { say(table) }
}

/// The stores without those that another of the names means already; a name that comes twice is left to be refused.
fn different(stores: &[PathBuf]) -> Vec<&Path> {
    let place = |path: &Path| path.canonicalize().unwrap_or(path.into());
    let mut kept: Vec<&Path> = Vec::new();
    for path in stores {
        match kept.iter().find(|known| place(known) == place(path)) {
            Some(known) if known.as_os_str() != path.as_os_str() => note!(
                "askem: note: {} and {} are the same store, which counts once",
                known.display(),
                path.display()
            ),
            _ => kept.push(path),
        }
    }
    kept
}

/// The positions in a journal or a list.
fn labelled_in(path: &Path) -> Result<Vec<Position>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, "reading it", e))?;
    let mut positions = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong =
            |what: String| Error::Input(format!("{}, line {}: {what}", path.display(), number + 1));
        let value: Value = serde_json::from_str(line).map_err(|e| wrong(e.to_string()))?;
        if value["picked"].is_array() {
            return labelled_by_run(path);
        }
        let side = |name: &str| {
            let side = value[name].as_u64().and_then(|v| usize::try_from(v).ok());
            side.ok_or_else(|| wrong(format!("no {name} of a patch")))
        };
        positions.push(Position { z: side("z")?, y: side("y")?, x: side("x")? });
    }
    Ok(positions)
}

/// The patches that a run has labelled, of which its journal does not name the first where they were drawn by chance.
fn labelled_by_run(journal: &Path) -> Result<Vec<Position>> {
    let folder = journal.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unknown = |why: String| {
        Error::Input(format!(
            "{}: the patches that the run has labelled are not known ({why}); keep its config.toml beside it and its images in place, or give a list of z, y and x",
            journal.display()
        ))
    };
    let resolved =
        RunDir::peek(folder)?.ok_or_else(|| unknown("there is no config.toml".into()))?;
    let config = resolved.experiment;
    let open = open_data(&resolved.data, &config).map_err(|e| unknown(e.to_string()))?;
    let pool = draw_pool(&open.train_region, config.patch, config.pool, config.seed)?;
    let records = RunDir::records_of(journal)?;
    let labelled = labelled(&config, &pool, &records).map_err(|e| unknown(e.to_string()))?;
    Ok(labelled.unwrap_or_default().into_iter().map(|index| pool[index]).collect())
}
