//! A run's directory: settings, journal, checkpoint, weights, pictures.
//!
//! Every file but the journal appears under its name only when it is complete. The journal grows
//! by whole lines; a torn last line, left by a kill, is cut off when the run goes on.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::Moments;
use crate::protocol::{Config, Progress, Record};
use crate::train::{Best, TrainState};
use crate::unet::Weights;
use crate::weights::to_bytes;

/// The files of a run. `lock` stays; it keeps two processes from writing into one directory.
const FILES: [&str; 9] = [
    "config.toml",
    "journal.jsonl",
    "checkpoint.safetensors",
    "weights.safetensors",
    "curve.svg",
    "curve.png",
    "segmentation.tif",
    "segmentation.png",
    "report.html",
];

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
    /// Images; none means the built-in phantom.
    pub raw: Option<PathBuf>,
    /// Labels of `raw`.
    pub labels: Option<PathBuf>,
    /// The one label value that is foreground; without it all but 0 are.
    pub label_value: Option<f32>,
    /// A label value whose pixels are left out.
    pub ignore_value: Option<f32>,
    /// Images of the test volume; none means that `raw` is split in halves along y.
    pub test_raw: Option<PathBuf>,
    /// Labels of `test_raw`.
    pub test_labels: Option<PathBuf>,
    /// Rows between the halves that neither train nor test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split_margin: Option<usize>,
    /// Sections, rows and columns of the phantom.
    pub phantom_shape: Option<[usize; 3]>,
}

/// An open run directory.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// Held while the run lives.
    _lock: File,
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

    /// Opens or makes a directory for one run.
    ///
    /// The directory must not hold a run, unless `resume` says to go on with it or `force` to delete its
    /// files.
    ///
    /// # Errors
    /// If a run lies there and neither was asked for, or another process works there.
    pub fn open(path: &Path, resume: bool, force: bool) -> Result<Self> {
        fs::create_dir_all(path).map_err(|e| Error::io(path, "can't make the directory", e))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&lock_path)
            .map_err(|e| Error::io(&lock_path, "can't write into the run directory", e))?;
        if lock.try_lock().is_err() {
            return Err(Error::Input(format!(
                "{}: another askem process is working in this directory; wait for it or choose another --out",
                path.display()
            )));
        }
        let dir = Self { path: path.to_path_buf(), _lock: lock };
        dir.remove_partial()?;
        let found = FILES.iter().find(|f| dir.file(f).exists());
        match found {
            Some(_) if force => {
                for folder in ["details", "figures", "tensorboard"].map(|name| dir.file(name)) {
                    match fs::remove_dir_all(&folder) {
                        Err(e) if e.kind() != ErrorKind::NotFound => {
                            let what = "can't delete the earlier run's folder";
                            return Err(Error::io(&folder, what, e));
                        }
                        _ => {}
                    }
                }
                FILES.iter().try_for_each(|file| {
                    let file = dir.file(file);
                    match fs::remove_file(&file) {
                        Err(e) if e.kind() != ErrorKind::NotFound => {
                            Err(Error::io(&file, "can't delete the earlier run's file", e))
                        }
                        _ => Ok(()),
                    }
                })?
            }
            Some(file) if !resume => {
                return Err(Error::Input(format!(
                    "{} already holds a run ({file}); go on with --resume, overwrite with --force, or choose another --out",
                    path.display()
                )));
            }
            _ => {}
        }
        Ok(dir)
    }

    /// Removes what a kill left half-written. The lock is held, so nobody writes these any more.
    fn remove_partial(&self) -> Result<()> {
        let failed = |e| Error::io(&self.path, "can't look into the run directory", e);
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|e| e == "partial") {
                fs::remove_file(&path)
                    .map_err(|e| Error::io(&path, "can't remove a half-written file", e))?;
            }
        }
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of one of its files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes `config.toml`.
    pub fn write_config(&self, resolved: &Resolved) -> Result<()> {
        let path = self.file("config.toml");
        let text = toml::to_string(resolved).map_err(|e| {
            Error::Input(format!("{}: the settings can't be written: {e}", path.display()))
        })?;
        write_atomically(&path, text.as_bytes())
    }

    /// The iterations that are done and the last checkpoint.
    pub fn progress(&self) -> Result<Progress> {
        Ok(Progress { records: self.read_journal()?, checkpoint: self.read_checkpoint()? })
    }

    fn read_journal(&self) -> Result<Vec<Record>> {
        let path = self.file("journal.jsonl");
        let Some(bytes) = read_if_there(&path)? else { return Ok(Vec::new()) };
        let whole = whole_lines(&bytes);
        if whole.len() < bytes.len() {
            let cut = OpenOptions::new().write(true).open(&path);
            cut.and_then(|f| f.set_len(whole.len() as u64))
                .map_err(|e| Error::io(&path, "can't cut off the torn last line", e))?;
        }
        parse_journal(&path, whole)
    }

    /// The journal of a run, without what of its last line is missing. Writes nothing.
    ///
    /// # Errors
    /// If it can't be read or has been changed.
    pub fn read_records(run: &Path) -> Result<Vec<Record>> {
        let path = run.join("journal.jsonl");
        let bytes = read_if_there(&path)?.unwrap_or_default();
        parse_journal(&path, whole_lines(&bytes))
    }

    /// Appends a line to the journal and waits until it is on the disk.
    pub fn append(&self, record: &Record) -> Result<()> {
        let path = self.file("journal.jsonl");
        let mut line = serde_json::to_vec(record)
            .map_err(|e| Error::Input(format!("{}: {e}", path.display())))?;
        line.push(b'\n');
        let file = OpenOptions::new().create(true).append(true).open(&path);
        file.and_then(|mut f| {
            f.write_all(&line)?;
            f.sync_data()
        })
        .map_err(|e| Error::io(&path, "can't write the journal", e))
    }

    /// Writes the state of a training, replacing the one before.
    pub fn write_checkpoint(&self, iteration: usize, state: &TrainState) -> Result<()> {
        let path = self.file("checkpoint.safetensors");
        let damaged = |e: safetensors::SafeTensorError| {
            Error::Input(format!("{}: can't be written: {e}", path.display()))
        };
        let mut banks = vec![
            ("parameters", &state.weights.parameters),
            ("statistics", &state.weights.statistics),
            ("first_moment", &state.moments.first),
            ("second_moment", &state.moments.second),
        ];
        if let Some(best) = &state.best {
            banks.push(("best_parameters", &best.weights.parameters));
            banks.push(("best_statistics", &best.weights.statistics));
        }
        let banks: Vec<(&str, TensorView<'_>)> = banks
            .into_iter()
            .map(|(name, values)| {
                let data = bytemuck::cast_slice(values);
                TensorView::new(Dtype::F32, vec![values.len()], data).map(|view| (name, view))
            })
            .collect::<std::result::Result<_, _>>()
            .map_err(damaged)?;
        let mut metadata = vec![
            ("iteration".to_string(), iteration.to_string()),
            ("epochs_done".to_string(), state.epochs_done.to_string()),
            // As bits, so that the journal of a resumed run is the same to the last digit.
            ("loss_bits".to_string(), state.loss.to_bits().to_string()),
        ];
        if let Some(best) = &state.best {
            metadata.push(("best_epoch".into(), best.epoch.to_string()));
            metadata.push(("best_loss_bits".into(), best.loss.to_bits().to_string()));
        }
        let bytes = to_bytes(banks, &metadata.into_iter().collect()).map_err(damaged)?;
        write_atomically(&path, &bytes)
    }

    fn read_checkpoint(&self) -> Result<Option<(usize, TrainState)>> {
        let path = self.file("checkpoint.safetensors");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(&path, "can't read the checkpoint", e)),
        };
        let damaged = || Error::Input(format!("{}: the checkpoint is damaged", path.display()));
        let file = SafeTensors::deserialize(&bytes).map_err(|_| damaged())?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|_| damaged())?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let number =
            |key: &str| metadata.get(key).and_then(|v| v.parse::<usize>().ok()).ok_or_else(damaged);
        let bank = |name: &str| -> Result<Vec<f32>> {
            let tensor = file.tensor(name).map_err(|_| damaged())?;
            Ok(bytemuck::pod_collect_to_vec(tensor.data()))
        };
        let loss = |key: &str| number(key).map(|bits| f32::from_bits(bits as u32));
        let weights = |parameters: &str, statistics: &str| -> Result<Weights> {
            Ok(Weights { parameters: bank(parameters)?, statistics: bank(statistics)? })
        };
        let best = if metadata.contains_key("best_epoch") {
            Some(Best {
                epoch: number("best_epoch")?,
                loss: loss("best_loss_bits")?,
                weights: weights("best_parameters", "best_statistics")?,
            })
        } else {
            None
        };
        let state = TrainState {
            epochs_done: number("epochs_done")?,
            weights: weights("parameters", "statistics")?,
            moments: Moments { first: bank("first_moment")?, second: bank("second_moment")? },
            loss: loss("loss_bits")?,
            best,
        };
        Ok(Some((number("iteration")?, state)))
    }
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(path, "can't read the journal", e)),
    }
}

/// Up to the last end of a line.
fn whole_lines(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1)]
}

fn parse_journal(path: &Path, lines: &[u8]) -> Result<Vec<Record>> {
    let mut records: Vec<Record> = Vec::new();
    for (number, line) in lines.split(|&b| b == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let record: Record = serde_json::from_slice(line)
            .map_err(|e| Error::Input(format!("{}: line {}: {e}", path.display(), number + 1)))?;
        if record.iteration != records.len() {
            return Err(Error::Input(format!(
                "{}: line {} is iteration {} where {} is due; the journal has been changed",
                path.display(),
                number + 1,
                record.iteration,
                records.len()
            )));
        }
        records.push(record);
    }
    Ok(records)
}

/// Writes a file under another name, waits until it is on the disk, then renames it.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let written = File::create(&partial).and_then(|mut f| {
        f.write_all(bytes)?;
        f.sync_all()
    });
    written.and_then(|()| fs::rename(&partial, path)).map_err(|e| Error::io(path, "can't write", e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{BestEpoch, Seconds};

    fn record(iteration: usize) -> Record {
        Record {
            iteration,
            strategy: "entropy".into(),
            seed: 3,
            labelled: 20,
            labelled_foreground: 0.1,
            loss: f64::from(0.1_f32),
            initial: None,
            epochs: Some(100),
            best: Some(BestEpoch { epoch: 90, held_out_loss: f64::from(0.3_f32) }),
            jaccard: 0.25,
            picked: Vec::new(),
            seconds: Seconds::default(),
        }
    }

    #[test]
    fn a_torn_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let dir = RunDir::open(folder.path(), false, false).unwrap();
        dir.append(&record(0)).unwrap();
        let path = dir.file("journal.jsonl");
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"iteration\":1,").unwrap();
        assert_eq!(dir.read_journal().unwrap(), [record(0)]);
        dir.append(&record(1)).unwrap();
        assert_eq!(dir.read_journal().unwrap(), [record(0), record(1)]);
    }

    #[test]
    fn a_checkpoint_survives_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let dir = RunDir::open(folder.path(), false, false).unwrap();
        let state = TrainState {
            epochs_done: 7,
            weights: Weights { parameters: vec![1.0, -2.5], statistics: vec![] },
            moments: Moments { first: vec![0.5, 0.25], second: vec![1e-20, 3.0] },
            loss: 0.1,
            best: None,
        };
        let weights = Weights { parameters: vec![3.0, 4.0], statistics: vec![] };
        let best = Some(Best { epoch: 5, loss: 0.3, weights });
        for state in [state.clone(), TrainState { best, ..state }] {
            dir.write_checkpoint(2, &state).unwrap();
            assert_eq!(dir.read_checkpoint().unwrap(), Some((2, state)));
        }
    }

    #[test]
    fn a_second_run_needs_to_be_told() {
        let folder = tempfile::tempdir().unwrap();
        let dir = RunDir::open(folder.path(), false, false).unwrap();
        assert!(RunDir::open(folder.path(), true, false).is_err(), "locked");
        dir.append(&record(0)).unwrap();
        drop(dir);
        let message = RunDir::open(folder.path(), false, false).unwrap_err().to_string();
        assert!(message.contains("--resume"), "{message}");
        let dir = RunDir::open(folder.path(), false, true).unwrap();
        assert!(dir.read_journal().unwrap().is_empty());
    }
}
