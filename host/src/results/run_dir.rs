//! A run's directory: settings, journal, checkpoint, networks, pictures.
//!
//! Every file but the journal appears under its name only when it is complete. The journal grows
//! by whole lines; a torn or damaged last line is cut off when the run goes on, and its iteration
//! computed again. Checkpoint, weights and the lines of the journal carry checksums; those of
//! earlier versions have none and are read as they are.

mod checkpoint;
mod extents;
mod identity;
mod journal;
mod networks;
mod standing;

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::data::files::{remove_leftovers, write_atomically};
use crate::data::one_or_many;
use crate::data::pool::Normalise;
use crate::data::volume::{AxesOptions, AxisLetters, LabelValue};
use crate::error::{Error, Result};
use crate::learning::protocol::Config;

pub use checkpoint::data_of;
pub use extents::{Extent, Extents};
pub use identity::DataIdentity;
pub use networks::{Chosen, Reason, best_held_out};
pub use standing::{Longer, Standing, compare_length};

/// The files of a run. `lock` stays; it keeps two processes from writing into one directory.
const FILES: [&str; 10] = [
    "journal.jsonl",
    "checkpoint.safetensors",
    "checkpoint.previous.safetensors",
    "weights.safetensors",
    "curve.svg",
    "curve.png",
    "segmentation.tif",
    "segmentation.png",
    "report.html",
    // The last to go: without it nobody can say what the others are.
    "config.toml",
];

type Folder = (&'static str, fn(&str) -> bool);

/// The folders of a run, and which names in them are a run's.
const FOLDERS: [Folder; 6] = [
    (networks::FOLDER, networks::is_network),
    ("details", |name| {
        name.starts_with("iteration-") && name.ends_with(".json")
            || name.starts_with("query-") && name.ends_with(".png")
            || name == extents::NAME
    }),
    ("figures", |name| {
        let stem = name.strip_suffix(".svg").or(name.strip_suffix(".png"));
        let is_of_volume = |stem: &str| stem.strip_prefix("picks-").is_some_and(is_number);
        stem.is_some_and(|stem| FIGURES.contains(&stem) || is_of_volume(stem))
    }),
    (SEGMENTATIONS, |name| {
        let stem = name.strip_suffix(".tif").or(name.strip_suffix(".png"));
        stem.is_some_and(is_number)
    }),
    ("tensorboard/training", is_event_file),
    ("tensorboard/learning_curve", is_event_file),
];

/// The folder with the segmentations of several test volumes, by their numbers.
pub const SEGMENTATIONS: &str = "segmentations";

/// The figures of a run's page.
const FIGURES: [&str; 5] = ["curve", "picks", "times", "scores", "calibration"];

/// Whether it is a volume's number, as it stands in names.
fn is_number(text: &str) -> bool {
    text.len() >= 3 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_event_file(name: &str) -> bool {
    name.starts_with("events.out.tfevents.") && name.ends_with(".askem")
}

/// The lines of a comparison's directory that tell it from a run's.
const COMPARISON: &str = "compare.toml";

/// What a project's directory has and a run's has not: the patches, and how far they are.
pub const PROJECT: &str = "patches.json";

/// What `config.toml` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resolved {
    /// Version of askem that started the run.
    pub askem: String,
    /// What it was computed on.
    pub device: String,
    /// Where images and labels are.
    pub data: DataSource,
    /// The experiment's settings.
    pub experiment: Config,
}

/// Where images and labels are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataSource {
    /// Images, one path for each volume; none means the built-in phantom.
    #[serde(default, with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub raw: Vec<PathBuf>,
    /// Labels of each of `raw`; none in a project, where a person gives them.
    #[serde(default, with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<PathBuf>,
    /// The one label value that is foreground; without it all but 0 are.
    pub label_value: Option<LabelValue>,
    /// A label value whose pixels are left out.
    pub ignore_value: Option<LabelValue>,
    /// Whether labels without background are meant.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all_foreground: bool,
    /// What the axes of the images are, whatever their files say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub axes: Option<AxisLetters>,
    /// Which of several channels of the images is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<usize>,
    /// Which of several time points is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<usize>,
    /// What the axes of the labels are; without it `axes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_axes: Option<AxisLetters>,
    /// Which of several channels of the labels is read; without it `channel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_channel: Option<usize>,
    /// The section, row and column where each of `labels` begins, of labels of a part of `raw`.
    #[serde(default, with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub label_offset: Vec<[usize; 3]>,
    /// Images of the test volumes; none means that each of `raw` is split in halves along y.
    #[serde(default, with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub test_raw: Vec<PathBuf>,
    /// Labels of each of `test_raw`.
    #[serde(default, with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub test_labels: Vec<PathBuf>,
    /// The section, row and column where each of `test_labels` begins, of labels of a part.
    #[serde(default, with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub test_label_offset: Vec<[usize; 3]>,
    /// How grey values of `test_raw` are scaled; without it as those of the training, or where that has
    /// several volumes each by its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalise: Option<Normalise>,
    /// Without test volumes, the share of the rows that tests; half of them where it does not say, and 0
    /// where all rows train and none tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_share: Option<f64>,
    /// The network whose weights the training begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<PathBuf>,
    /// Rows between the halves that neither train nor test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split_margin: Option<usize>,
    /// Sections, rows and columns of the phantom.
    pub phantom_shape: Option<[usize; 3]>,
}

impl DataSource {
    /// How images are opened.
    pub fn axes_of_images(&self) -> AxesOptions {
        AxesOptions { axes: self.axes.clone(), channel: self.channel, time: self.time }
    }

    /// How labels are opened.
    pub fn axes_of_labels(&self) -> AxesOptions {
        AxesOptions {
            axes: self.label_axes.clone().or(self.axes.clone()),
            channel: self.label_channel.or(self.channel),
            time: self.time,
        }
    }
}

/// An open run directory.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// Held while the run lives.
    _lock: File,
    /// Bytes of the journal that are kept; what lies behind them is cut off before a line is added.
    journal: Cell<Option<u64>>,
    /// The iteration of the checkpoint that is there and good.
    checkpoint: Cell<Option<usize>>,
    origin: Option<Origin>,
}

/// What a run is of.
#[derive(Clone, Debug)]
struct Origin {
    resolved: Resolved,
    data: DataIdentity,
}

impl RunDir {
    /// The settings of the run that lies in a directory, if there is one. Writes nothing.
    pub fn peek(path: &Path) -> Result<Option<Resolved>> {
        let path = path.join("config.toml");
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map(Some).map_err(|e| {
                Error::Input(format!("{}: can't be read as settings: {e}", path.display()))
            }),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(&path, "can't read the run's settings", e)),
        }
    }

    /// Opens or makes a directory for one run. Nothing of what lies there is changed but what killed
    /// processes left half-written.
    ///
    /// The directory must not hold a run, unless `resume` says to go on with it or `force` that another is to
    /// take its place, which [`clear`](Self::clear) then makes for it. A process that works there is waited for as long as `patience` says.
    ///
    /// # Errors
    /// If a run lies there and neither was asked for, something else has the names of a run's files, or another
    /// process works there.
    pub fn open(path: &Path, resume: bool, force: bool, patience: Duration) -> Result<Self> {
        if path.join(PROJECT).exists() {
            return Err(Error::Input(format!(
                "{0} holds the project of a person ({PROJECT}), which goes on with askem learn {0} \
                 or askem annotate {0}; choose another --out",
                path.display()
            )));
        }
        Self::open_any(path, resume, force, patience)
    }

    /// Opens or makes the directory of a project, whose labels come from a person.
    ///
    /// # Errors
    /// As [`open`](Self::open); a directory that is to be made must not hold a project either.
    pub fn open_project(path: &Path, make: bool) -> Result<Self> {
        let is_there = path.join(PROJECT).exists();
        let show = path.display();
        if make && is_there {
            return Err(Error::Input(format!(
                "{show} holds a project already ({PROJECT}); go on with it, or choose another folder"
            )));
        }
        if !make && !is_there {
            return Err(Error::Input(format!(
                "{show}: no project lies there ({PROJECT} is missing); start one with: \
                 askem init {show} --raw VOLUME"
            )));
        }
        Self::open_any(path, !make, false, Duration::ZERO)
    }

    fn open_any(path: &Path, resume: bool, force: bool, patience: Duration) -> Result<Self> {
        let wrong = |what: String| Error::Input(format!("{}{what}", path.display()));
        if path.join(COMPARISON).exists() {
            return Err(wrong(format!(
                " holds a comparison ({COMPARISON}), whose report a run would replace; choose another --out"
            )));
        }
        let found = FILES.iter().find(|file| path.join(file).exists());
        if let Some(file) = found
            && !holds_run(path)
        {
            return Err(wrong(format!(
                " holds {file}, but no run that it belongs to; move it elsewhere, or choose another --out"
            )));
        }
        fs::create_dir_all(path).map_err(|e| Error::io(path, "can't make the directory", e))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&lock_path)
            .map_err(|e| Error::io(&lock_path, "can't write into the run directory", e))?;
        let clock = Instant::now();
        while lock.try_lock().is_err() {
            if clock.elapsed() < patience {
                sleep(Duration::from_millis(100));
                continue;
            }
            let what = match path.join(PROJECT).exists() {
                true => {
                    ": another askem process is working in this project, such as askem annotate; end it first"
                }
                false => {
                    ": another askem process is working in this directory; wait for it or choose another --out"
                }
            };
            return Err(wrong(what.into()));
        }
        if let (Some(file), false) = (found, resume || force) {
            return Err(wrong(format!(
                " already holds a run ({file}); go on with --resume, overwrite with --force, or choose another --out"
            )));
        }
        remove_leftovers(path, |name| FILES.contains(&name));
        for (folder, is_ours) in FOLDERS {
            remove_leftovers(&path.join(folder), is_ours);
        }
        for file in FILES {
            // The lock is held, so nobody writes these any more, which earlier versions left.
            let _ = fs::remove_file(path.join(format!("{file}.partial")));
        }
        Ok(Self {
            path: path.to_path_buf(),
            _lock: lock,
            journal: Cell::new(None),
            checkpoint: Cell::new(None),
            origin: None,
        })
    }

    /// Says what the run is of: its settings, and the data as they are now.
    pub fn set_origin(&mut self, resolved: Resolved, data: DataIdentity) {
        self.origin = Some(Origin { resolved, data });
    }

    /// Removes the files of the earlier run, by their names; what else lies beside them stays.
    ///
    /// # Errors
    /// If one can't be removed.
    pub fn clear(&self) -> Result<()> {
        for (folder, is_ours) in FOLDERS {
            let folder = self.file(folder);
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                if entry.file_name().to_str().is_some_and(is_ours) {
                    remove_file(&entry.path())?;
                }
            }
            // Only where nothing else is in it.
            let _ = fs::remove_dir(&folder);
        }
        let _ = fs::remove_dir(self.file("tensorboard"));
        self.checkpoint.set(None);
        self.journal.set(None);
        FILES.iter().try_for_each(|file| remove_file(&self.file(file)))
    }

    /// Takes away what a run has only at its end, for one that goes on.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn take_end_back(&self) -> Result<()> {
        [networks::FINAL, "report.html"].iter().try_for_each(|file| remove_file(&self.file(file)))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of one of its files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// All that a run in this directory would write over.
    pub fn outputs(path: &Path) -> Vec<PathBuf> {
        FILES.iter().copied().chain(FOLDERS.map(|f| f.0)).map(|name| path.join(name)).collect()
    }

    /// The segmentation of a test volume of so many, without an extension: as `.tif`, and one section as `.png`.
    pub fn segmentation(&self, volume: usize, volumes: usize) -> PathBuf {
        match volumes {
            1 => self.file("segmentation"),
            _ => self.file(SEGMENTATIONS).join(format!("{volume:03}")),
        }
    }

    /// Writes `config.toml`.
    pub fn write_config(&self, resolved: &Resolved) -> Result<()> {
        let path = self.file("config.toml");
        let text = toml::to_string(resolved).map_err(|e| {
            Error::Input(format!("{}: the settings can't be written: {e}", path.display()))
        })?;
        write_atomically(&path, text.as_bytes())
    }
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            Err(Error::io(path, "can't delete the earlier run's file", e))
        }
        _ => Ok(()),
    }
}

/// Whether a file is a checkpoint, damaged or not, and so no file of weights.
pub fn is_checkpoint(path: &Path) -> bool {
    checkpoint::is_checkpoint(path)
}

/// Whether a directory holds a run: its settings, a journal, or a checkpoint or weights of this program.
pub fn holds_run(path: &Path) -> bool {
    matches!(RunDir::peek(path), Ok(Some(_)))
        || journal::is_journal(&path.join("journal.jsonl"))
        || checkpoint::is_checkpoint(&path.join(checkpoint::CURRENT))
        || crate::network::weights::load(&path.join("weights.safetensors")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::run_dir::journal::tests::record;

    #[test]
    fn a_second_run_needs_to_be_told() {
        let folder = tempfile::tempdir().unwrap();
        let dir = RunDir::open(folder.path(), false, false, Duration::ZERO).unwrap();
        assert!(RunDir::open(folder.path(), true, false, Duration::ZERO).is_err(), "locked");
        dir.append(&record(0)).unwrap();
        drop(dir);
        let message =
            RunDir::open(folder.path(), false, false, Duration::ZERO).unwrap_err().to_string();
        assert!(message.contains("--resume"), "{message}");
        let dir = RunDir::open(folder.path(), false, true, Duration::ZERO).unwrap();
        assert_eq!(RunDir::read_records(folder.path()).unwrap().len(), 1);
        dir.clear().unwrap();
        assert!(RunDir::read_records(folder.path()).unwrap().is_empty());
    }

    #[test]
    fn only_a_runs_own_files_go() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["details", "figures", "tensorboard/training", "weights"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        let own =
            ["details/query-00.png", "figures/curve.svg", "weights/003.safetensors", "curve.png"];
        let others = [
            "details/notes.txt",
            "figures/for-the-paper.svg",
            "weights/best.safetensors",
            "thesis.partial",
        ];
        own.iter().chain(&others).for_each(|name| fs::write(at(name), "x").unwrap());
        let message =
            RunDir::open(folder.path(), false, true, Duration::ZERO).unwrap_err().to_string();
        assert!(message.contains("curve.png") && message.contains("no run"), "{message}");
        fs::remove_file(at("curve.png")).unwrap();
        RunDir::open(folder.path(), false, true, Duration::ZERO).unwrap().clear().unwrap();
        assert!(own.iter().all(|name| !at(name).exists()));
        assert!(others.iter().all(|name| at(name).exists()));
        assert!(!at("tensorboard").exists());
    }
}
