//! A project: a run's directory whose labels come from a person.
//!
//! Beside a run's files it holds `patches.json` (how far each patch is), `labels/` (a picture for
//! each patch that is labelled) and `queries/` (what was exported for other tools).

mod missing;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::label_files::{self, FOLDER, UNLABELLED, UNSURE, etag, for_training};
use super::marks::{FIRST_OWN, Marks, State};
use super::person::Person;
use crate::data::pool::{Normalise, PatchReader, Position, Region, Scaling, draw_pool};
use crate::data::volume::{BACKGROUND, FOREGROUND, IGNORED, Volume};
use crate::error::{Error, Result};
use crate::learning::protocol::{Config, InitialStrategy, Record, labelled};
use crate::learning::strategy;
use crate::network::unet::Weights;
use crate::network::weights::{self, TrainedNetwork};
use crate::results::run_dir::{Extents, Resolved, RunDir};

/// A patch that a person was asked for, or has chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Its number, which stays.
    pub id: u32,
    /// Its upper left corner.
    pub at: Position,
    /// The query that asked for it, from 0; nothing for one of the person's own.
    pub query: Option<usize>,
    /// What it was chosen for.
    pub score: Option<f32>,
    /// How far it is.
    pub state: State,
}

/// An open project. No other process works in it meanwhile.
pub struct Project {
    dir: RunDir,
    resolved: Resolved,
    raw: Arc<dyn Volume>,
    scaling: Scaling,
    pool: Vec<Position>,
    records: Vec<Record>,
    /// The patches of query 0.
    first: Vec<usize>,
    marks: Marks,
    /// Labels that were read or written, by position; the files say the same.
    labels: HashMap<Position, Vec<u8>>,
    /// What was found missing or damaged.
    notes: Vec<String>,
}

/// Refuses what only simulated labels can do.
///
/// # Errors
/// [`Error::Usage`] that names the option.
pub fn require_person(config: &Config) -> Result<()> {
    let classes = config.net.classes;
    if classes > 2 {
        return Err(Error::Usage(format!(
            "--classes {classes}: in a project foreground is painted on background; for more \
             classes paint elsewhere, then: askem run --labels LABELS --classes {classes}"
        )));
    }
    let strategy = strategy::by_name(&config.strategy, config.bald.criterion())?;
    let why = if strategy.labels_everything() {
        "labels the whole pool, which nobody does by hand"
    } else if strategy.needs().labels {
        "looks at labels that nobody has given yet"
    } else if strategy.plans_ahead() {
        "needs to know beforehand how many rounds there will be"
    } else if config.initial_strategy != InitialStrategy::Random {
        return Err(Error::Usage(
            "--initial-strategy: a project's first patches are drawn by chance".into(),
        ));
    } else {
        return Ok(());
    };
    Err(Error::Usage(format!("--strategy {}: it {why}; choose another", config.strategy)))
}

impl Project {
    /// Makes a project of a volume.
    ///
    /// # Errors
    /// If a project or a run lies there, the patches don't fit the volume, or the disk refuses.
    pub fn create(path: &Path, resolved: Resolved, raw: Arc<dyn Volume>) -> Result<Self> {
        require_person(&resolved.experiment)?;
        let Config { patch, pool, seed, .. } = resolved.experiment;
        // All that can be wrong with them, before anything is written.
        let pool = draw_pool(&Region::whole(raw.shape()), patch, pool, seed)?;
        let first = labelled(&resolved.experiment, &pool, &[])?.unwrap_or_default();
        Scaling::estimate(&raw, &Region::whole(raw.shape()))?;
        let dir = RunDir::open_project(path, true)?;
        make_folder(&path.join(FOLDER))?;
        dir.write_config(&resolved)?;
        let first = first.iter().map(|&i| [pool[i].z, pool[i].y, pool[i].x]).collect();
        let own = BTreeMap::new();
        let states = BTreeMap::new();
        Marks { shape: raw.shape(), first, states, own, next_own: FIRST_OWN }.write(path)?;
        let project = Self::of(dir, resolved, raw)?;
        Extents::of(&[project.reader()], &[]).write(path)?;
        Ok(project)
    }

    /// Opens a project; `open` opens the volume that its settings name.
    ///
    /// # Errors
    /// If none lies there, another process works in it, or its files or its volume can't be read.
    pub fn open(
        path: &Path,
        open: impl FnOnce(&Resolved) -> Result<Arc<dyn Volume>>,
    ) -> Result<Self> {
        let dir = RunDir::open_project(path, false)?;
        let Some(resolved) = RunDir::peek(path)? else {
            return Err(Error::Input(format!(
                "{}: config.toml is missing, without which nobody knows which volume the project \
                 is of; put it back",
                path.display()
            )));
        };
        resolved.experiment.validate()?;
        let raw = open(&resolved)?;
        Self::of(dir, resolved, raw)
    }

    fn of(dir: RunDir, resolved: Resolved, raw: Arc<dyn Volume>) -> Result<Self> {
        let region = Region::whole(raw.shape());
        let config = &resolved.experiment;
        let pool = draw_pool(&region, config.patch, config.pool, config.seed)?;
        let scaling = Scaling::estimate(&raw, &region)?;
        let (records, note) = dir.read_for_more()?;
        let first = labelled(config, &pool, &[])?.unwrap_or_default();
        let marks = Marks::read(dir.path())?;
        let places: Vec<Position> = first.iter().map(|&index| pool[index]).collect();
        marks.check(dir.path(), raw.shape(), config.patch, &places)?;
        let labels = HashMap::new();
        let notes = note.into_iter().collect();
        let mut project =
            Self { dir, resolved, raw, scaling, pool, records, first, marks, labels, notes };
        // Says now what is wrong with a file.
        for asked in project.patches() {
            project.labels(asked.id)?;
        }
        project.notes.extend(project.find_missing());
        Ok(project)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What was found missing or damaged when it was opened, and will be computed again.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.resolved.experiment
    }

    /// Its volume.
    pub fn raw(&self) -> &Arc<dyn Volume> {
        &self.raw
    }

    /// The path of its volume.
    pub fn volume_name(&self) -> String {
        let raw = self.resolved.data.raw.first();
        raw.map_or_else(|| "the built-in phantom".into(), |path| path.display().to_string())
    }

    /// How its grey values are scaled.
    pub fn scaling(&self) -> Scaling {
        self.scaling
    }

    /// Reads patches of the volume.
    pub fn reader(&self) -> PatchReader {
        let region = Region::whole(self.raw.shape());
        let context = self.config().net.context;
        PatchReader::with_context(Arc::clone(&self.raw), region, self.scaling, context)
    }

    /// The patches that may be asked for.
    pub fn pool(&self) -> &[Position] {
        &self.pool
    }

    /// The rounds that are done.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The network of the last round; nothing before there is one, or where its file is gone.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn last_network(&self) -> Result<Option<TrainedNetwork>> {
        let Some(last) = self.records.len().checked_sub(1) else { return Ok(None) };
        match RunDir::choose_network(self.path(), Some(last)) {
            Ok(chosen) => weights::load(&chosen.path).map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Keeps the network of a round.
    pub(super) fn write_network(&self, round: usize, weights: Weights) -> Result<()> {
        let Config { net, patch, .. } = *self.config();
        let (scaling, normalise) = (self.scaling, Normalise::Weights);
        let voxel_nm = self.raw.voxel_nm();
        let trained = TrainedNetwork { net, weights, patch, scaling, normalise, voxel_nm };
        self.dir.write_network(round, &trained)
    }

    /// Adds a round to the journal.
    pub(super) fn append(&self, record: &Record) -> Result<()> {
        self.dir.append(record).map(drop)
    }

    /// Reads the journal anew, after a round.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn reload(&mut self) -> Result<()> {
        self.records = self.dir.read_for_more()?.0;
        Ok(())
    }

    /// Takes the last round back: its line in the journal, its network, and the patches that it had
    /// asked for, of which the labelled ones become the person's own.
    pub(super) fn take_round_back(
        &mut self,
        round: usize,
        asked: &[Asked],
        labelled: &[Asked],
    ) -> Result<()> {
        // Own patches count for nothing while they are asked for: what ends here loses nothing.
        let mut marks = self.marks.clone();
        for &Asked { at, state, .. } in labelled {
            let there = marks.own().find(|(_, own)| *own == at).map(|(id, _)| id);
            let id = there.unwrap_or(marks.next_own);
            marks.next_own = marks.next_own.max(id + 1);
            marks.own.insert(id, [at.z, at.y, at.x]);
            marks.states.insert(id, state);
        }
        // What is said of patches that nobody asks for would be said of others later.
        marks.states.retain(|id, _| asked.iter().all(|asked| asked.id != *id));
        marks.write(self.dir.path())?;
        self.marks = marks;
        self.dir.take_last_back()?;
        self.reload()?;
        // What is left of it is written over by the next round.
        let _ = self.dir.remove_network(round);
        let _ = fs::remove_file(self.dir.file("report.html"));
        let _ = fs::remove_dir_all(self.path().join(format!("queries/{:03}", round + 1)));
        Ok(())
    }

    /// The number of the query that is to be answered now.
    pub fn query(&self) -> usize {
        self.records.len()
    }

    /// All patches that were asked for, query by query and best first, then the person's own.
    pub fn patches(&self) -> Vec<Asked> {
        let first = self.first.iter().map(|&index| (self.pool[index], 0, None));
        let later = self.records.iter().flat_map(|record| {
            let query = record.iteration + 1;
            record.picked.iter().map(move |pick| {
                (Position { volume: 0, z: pick.z, y: pick.y, x: pick.x }, query, pick.score)
            })
        });
        let own: HashMap<Position, u32> = self.marks.own().map(|(id, at)| (at, id)).collect();
        let asked = first.chain(later).enumerate().map(|(id, (at, query, score))| {
            let id = id as u32;
            // How far it was before it was asked for counts until something else is said.
            let known = match self.marks.states.contains_key(&id) {
                true => id,
                false => own.get(&at).copied().unwrap_or(id),
            };
            Asked { id, at, query: Some(query), score, state: self.marks.state(known) }
        });
        let mut all: Vec<Asked> = asked.collect();
        let places: HashSet<Position> = all.iter().map(|asked| asked.at).collect();
        // One that was asked for since is the same patch.
        let own = self.marks.own().filter(|(_, at)| !places.contains(at));
        all.extend(own.map(|(id, at)| Asked {
            id,
            at,
            query: None,
            score: None,
            state: self.marks.state(id),
        }));
        all
    }

    fn position(&self, id: u32) -> Result<Position> {
        let own = self.marks.own().find(|(own, _)| *own == id).map(|(_, at)| at);
        let asked = || self.patches().into_iter().find(|asked| asked.id == id);
        let unknown = || Error::Usage(format!("the project has no patch {id}"));
        own.or_else(|| asked().map(|asked| asked.at)).ok_or_else(unknown)
    }

    /// The labels of a patch: 0, 1, [`UNSURE`] or [`UNLABELLED`].
    ///
    /// # Errors
    /// If there is no such patch, or its file can't be read.
    pub fn labels(&mut self, id: u32) -> Result<&[u8]> {
        let at = self.position(id)?;
        self.labels_at(at)
    }

    fn labels_at(&mut self, at: Position) -> Result<&[u8]> {
        if !self.labels.contains_key(&at) {
            let read = label_files::read(self.dir.path(), at, self.config().patch)?;
            self.labels.insert(at, read);
        }
        Ok(&self.labels[&at])
    }

    /// What tells the labels of a patch from others.
    ///
    /// # Errors
    /// As [`labels`](Self::labels).
    pub fn etag(&mut self, id: u32) -> Result<String> {
        Ok(etag(self.labels(id)?))
    }

    /// Takes the labels of a patch, which are on the disk when this returns. Gives what tells them
    /// from others.
    ///
    /// # Errors
    /// [`Error::Usage`] for another number of pixels or other values, or if there is no such patch;
    /// [`Error::Io`] if the disk refuses, and then all is as before.
    pub fn set_labels(&mut self, id: u32, labels: &[u8]) -> Result<String> {
        let at = self.position(id)?;
        let patch = self.config().patch;
        if labels.len() != patch * patch {
            return Err(Error::Usage(format!(
                "{} labels for a patch of {patch} x {patch} pixels",
                labels.len()
            )));
        }
        if let Some(label) = labels.iter().find(|&&l| l > FOREGROUND && l < UNSURE) {
            return Err(Error::Usage(format!(
                "the label {label} is none of 0 (background), 1 (foreground), 254 (unsure), 255 \
                 (none)"
            )));
        }
        label_files::write(self.dir.path(), at, patch, labels)?;
        self.labels.insert(at, labels.to_vec());
        Ok(etag(labels))
    }

    /// Takes the labels of a patch away, with their file.
    ///
    /// # Errors
    /// If there is no such patch or the system refuses.
    pub(super) fn erase_labels(&mut self, id: u32) -> Result<()> {
        let at = self.position(id)?;
        let path = label_files::path_of(self.path(), at);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(&path, "can't remove it", e));
            }
            _ => {}
        }
        self.labels.remove(&at);
        Ok(())
    }

    /// Says how far a patch is. What of a done one is not labelled becomes background.
    ///
    /// # Errors
    /// As [`set_labels`](Self::set_labels).
    pub fn set_state(&mut self, id: u32, state: State) -> Result<()> {
        let labels = self.labels(id)?.to_vec();
        if state == State::Done && labels.contains(&UNLABELLED) {
            let background = |label| if label == UNLABELLED { BACKGROUND } else { label };
            let full: Vec<u8> = labels.into_iter().map(background).collect();
            self.set_labels(id, &full)?;
        }
        let mut marks = self.marks.clone();
        marks.states.insert(id, state);
        marks.write(self.dir.path())?;
        self.marks = marks;
        Ok(())
    }

    /// Adds a patch of the person's own, moved into the volume where it reaches out of it. Gives
    /// the number of the patch that lies there.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is no such section, or the disk refuses.
    pub fn add_own(&mut self, at: Position) -> Result<u32> {
        let patch = self.config().patch;
        let [depth, height, width] = self.raw.shape();
        if at.z >= depth {
            return Err(Error::Usage(format!(
                "there is no section {}: the volume has {depth}",
                at.z
            )));
        }
        let at = Position {
            volume: 0,
            z: at.z,
            y: at.y.min(height - patch),
            x: at.x.min(width - patch),
        };
        if let Some(there) = self.patches().into_iter().find(|asked| asked.at == at) {
            return Ok(there.id);
        }
        let mut marks = self.marks.clone();
        let id = marks.next_own;
        marks.next_own += 1;
        marks.own.insert(id, [at.z, at.y, at.x]);
        marks.write(self.dir.path())?;
        self.marks = marks;
        Ok(id)
    }

    /// Takes a patch of the person's own away, which has no labels.
    ///
    /// # Errors
    /// [`Error::Usage`] if it was asked for or has labels, or the disk refuses.
    pub fn remove_own(&mut self, id: u32) -> Result<()> {
        let has_labels = self.labels(id)?.iter().any(|&label| label != UNLABELLED);
        if id < FIRST_OWN {
            return Err(Error::Usage(
                "this patch was asked for; skip it in place of taking it away".into(),
            ));
        }
        if has_labels {
            return Err(Error::Usage("the patch has labels; erase them first".into()));
        }
        let mut marks = self.marks.clone();
        marks.own.remove(&id);
        marks.states.remove(&id);
        marks.write(self.dir.path())?;
        self.marks = marks;
        Ok(())
    }

    /// What is labelled now, to train on.
    ///
    /// # Errors
    /// If a file can't be read.
    pub fn person(&mut self) -> Result<Person> {
        let mut person = Person::default();
        for Asked { id, at, query, state, .. } in self.patches() {
            if state == State::Skipped {
                continue;
            }
            let labels = for_training(self.labels(id)?);
            if labels.iter().any(|&label| label != IGNORED) {
                if query.is_none() {
                    person.own.push(at);
                }
                person.labels.insert(at, labels);
            }
        }
        Ok(person)
    }
}

/// Makes a folder that may be there.
pub(super) fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|e| Error::io(folder, "can't make the folder", e))
}
