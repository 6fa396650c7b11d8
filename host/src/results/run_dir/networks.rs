//! The networks of a run: one for each iteration, in `weights/NNN.safetensors`.
//!
//! `weights.safetensors` beside them is the last one of a run that has ended.

use std::fs;
use std::path::{Path, PathBuf};

use super::{COMPARISON, RunDir};
use crate::error::{Error, Result};
use crate::learning::protocol::Record;
use crate::network::unet::Weights;
use crate::network::weights::{TrainedNetwork, load, save};

pub(super) const FOLDER: &str = "weights";
pub(super) const FINAL: &str = "weights.safetensors";
const ENDING: &str = ".safetensors";

/// Whether a name in [`FOLDER`] is one that a run gives.
pub(super) fn is_network(name: &str) -> bool {
    name.strip_suffix(ENDING)
        .is_some_and(|stem| stem.len() >= 3 && stem.bytes().all(|b| b.is_ascii_digit()))
}

/// A network of a run, and what is known of it.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// Its file.
    pub path: PathBuf,
    /// Its iteration, as the journal has it.
    pub record: Record,
    /// The last iteration that is done.
    pub last: usize,
    /// Why this one was taken.
    pub reason: Reason,
}

/// Why a network of a run was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was asked for.
    Asked,
    /// Its loss on the patches held out is the smallest.
    HeldOut,
    /// It is the last one, and nothing was held out.
    Last,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Asked => "as asked for",
            Self::HeldOut => "the best on the patches held out",
            Self::Last => "the last one",
        })
    }
}

/// The record with the smallest loss on the patches held out, the first of equal ones; none where
/// nothing was held out.
///
/// Later iterations hold out more patches: their losses are not of quite the same patches.
pub fn best_held_out(records: &[Record]) -> Option<&Record> {
    let known = records.iter().filter_map(|r| Some((r, r.best?.held_out_loss)));
    known
        .filter(|(_, loss)| loss.is_finite())
        .reduce(|best, next| if next.1 < best.1 { next } else { best })
        .map(|(record, _)| record)
}

impl RunDir {
    /// Keeps the network of an iteration.
    ///
    /// # Errors
    /// If the disk is full or refuses.
    pub fn write_network(&self, iteration: usize, trained: &TrainedNetwork) -> Result<()> {
        let path = file_of(&self.path, iteration);
        let folder = self.file(FOLDER);
        fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, "can't make the folder", e))?;
        save(&path, trained)
    }

    /// The network of the iteration before one, if it is there, whole and of the run's settings.
    pub(super) fn network_before(&self, iteration: usize) -> Option<Weights> {
        let path = file_of(&self.path, iteration.checked_sub(1)?);
        let wanted = &self.origin.as_ref()?.resolved.experiment.net;
        load(&path).ok().filter(|trained| trained.net == *wanted).map(|trained| trained.weights)
    }

    /// Removes the network of an iteration, if it is there.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn remove_network(&self, iteration: usize) -> Result<()> {
        let path = file_of(&self.path, iteration);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(&path, "can't remove the network", e))
            }
            _ => Ok(()),
        }
    }

    /// The network of an iteration of the run in a directory. Without an iteration it is the best
    /// on the held-out patches where some were held out, else the last one that is done.
    ///
    /// # Errors
    /// If there is no run, none of its iterations is done, or the network is not there.
    pub fn choose_network(run: &Path, iteration: Option<usize>) -> Result<Chosen> {
        let show = run.display();
        let Some(resolved) = Self::peek(run)? else {
            let hint = if run.join(COMPARISON).exists() {
                "a comparison lies there; give the directory of one of its runs"
            } else {
                "no run lies there (config.toml is missing)"
            };
            return Err(Error::Input(format!("{show}: {hint}")));
        };
        let mut records = Self::read_records(run)?;
        let Some(last) = records.len().checked_sub(1) else {
            if run.join(super::PROJECT).exists() {
                return Err(Error::Input(format!(
                    "{show}: nothing was learnt in this project yet, so there is no network; label \
                     some patches, then: askem learn {show}"
                )));
            }
            return Err(Error::Input(format!(
                "{show}: no iteration of the run is done yet, so there is no network; \
                 go on with: askem run --out {show} --resume"
            )));
        };
        if let Some(asked) = iteration.filter(|&asked| asked > last) {
            return Err(Error::Usage(format!(
                "--iteration {asked}: of the run in {show} the iterations 0 to {last} are done"
            )));
        }
        let (at, reason) = match (iteration, best_held_out(&records)) {
            (Some(asked), _) => (asked, Reason::Asked),
            (None, Some(best)) => (best.iteration, Reason::HeldOut),
            (None, None) => (last, Reason::Last),
        };
        let mut path = file_of(run, at);
        if !path.exists() && at == resolved.last_iteration() && run.join(FINAL).exists() {
            path = run.join(FINAL);
        }
        if !path.exists() {
            return Err(Error::Input(format!(
                "{}: the network of iteration {at} is not there; earlier versions kept the last \
                 one alone, which --weights takes",
                path.display()
            )));
        }
        Ok(Chosen { path, record: records.swap_remove(at), last, reason })
    }
}

fn file_of(run: &Path, iteration: usize) -> PathBuf {
    run.join(FOLDER).join(format!("{iteration:03}{ENDING}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learning::protocol::BestEpoch;
    use crate::results::run_dir::journal::tests::record;

    #[test]
    fn the_best_is_the_first_with_the_smallest_loss() {
        let of = |losses: &[Option<f64>]| {
            let held_out = |loss: &f64| BestEpoch { epoch: 1, held_out_loss: *loss };
            let records: Vec<Record> = losses
                .iter()
                .enumerate()
                .map(|(i, loss)| Record { best: loss.as_ref().map(held_out), ..record(i) })
                .collect();
            best_held_out(&records).map(|record| record.iteration)
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[None, None]), None);
        assert_eq!(of(&[Some(0.5), Some(0.2), Some(0.3), Some(0.2)]), Some(1));
        assert_eq!(of(&[Some(f64::NAN), None, Some(0.3)]), Some(2));
    }

    #[test]
    fn only_names_that_a_run_gives_are_its_own() {
        for own in ["000.safetensors", "025.safetensors", "1000.safetensors"] {
            assert!(is_network(own), "{own}");
        }
        for other in ["best.safetensors", "1.safetensors", "000.safetensors.bak", "000.txt"] {
            assert!(!is_network(other), "{other}");
        }
    }
}
