//! Which network computes: a file of weights, or one that a run has kept.

use std::path::PathBuf;

use crate::data::files::sha256;
use crate::error::{Error, Result};
use crate::network::weights::{self, TrainedNetwork};
use crate::results::run_dir::{Chosen, RunDir, is_checkpoint};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct NetworkArgs {
    /// weights.safetensors of a run, or one of its weights/NNN.safetensors.
    #[arg(long, value_name = "FILE", conflicts_with = "run")]
    weights: Option<PathBuf>,
    /// A run's directory, in place of --weights: its network that was best on the patches held out
    /// (--early-stopping), else its last one. The run may have been interrupted.
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// Of --run, the network of this iteration.
    #[arg(long, value_name = "N", conflicts_with = "weights")]
    iteration: Option<usize>,
}

/// A network whose file is known.
pub(super) struct Source {
    /// The option that led to the file.
    pub(super) option: &'static str,
    pub(super) path: PathBuf,
    chosen: Option<Chosen>,
}

impl NetworkArgs {
    /// Takes the network of a project, where one is given.
    ///
    /// # Errors
    /// [`Error::Usage`] if another network is given too.
    pub(super) fn or_of_project(&self, project: Option<&PathBuf>) -> Result<Self> {
        match project {
            None => Ok(self.clone()),
            Some(_) if self.weights.is_some() || self.run.is_some() => Err(Error::Usage(
                "give a project's folder, or --weights FILE, or --run DIR: one of them".into(),
            )),
            Some(dir) => Ok(Self { run: Some(dir.clone()), ..self.clone() }),
        }
    }

    /// Finds the file. Reads nothing of a run but its settings and its journal.
    ///
    /// # Errors
    /// If there is no such run, or it has no such network.
    pub(super) fn find(&self) -> Result<Source> {
        if let Some(path) = &self.weights {
            return Ok(Source { option: "--weights", path: path.clone(), chosen: None });
        }
        let Some(run) = &self.run else {
            return Err(Error::Usage("give --weights FILE or --run DIR".into()));
        };
        let chosen = RunDir::choose_network(run, self.iteration)?;
        Ok(Source { option: "--run", path: chosen.path.clone(), chosen: Some(chosen) })
    }
}

impl Source {
    /// Reads the network. Gives the SHA-256 of its file too.
    ///
    /// # Errors
    /// If the file can't be read or holds no network.
    pub(super) fn load(&self) -> Result<(TrainedNetwork, String)> {
        let path = &self.path;
        let trained = weights::load(path).map_err(|e| {
            if !is_checkpoint(path) {
                return e;
            }
            let run = path.parent().unwrap_or(path).display();
            Error::Usage(format!(
                "{}: this is a checkpoint, which only a run goes on from; give --run {run} in \
                 place of --weights",
                path.display()
            ))
        })?;
        let file = std::fs::read(path).map_err(|e| Error::io(path, "reading it", e))?;
        Ok((trained, sha256(&file)))
    }

    /// Says on standard error which network of a run was taken.
    pub(super) fn announce(&self) {
        let Some(Chosen { path, record, last, reason }) = &self.chosen else { return };
        note!(
            "askem: note: {}: the network of iteration {} of {last}, {reason}: {}{} labelled \
             patches; --iteration N takes another",
            path.display(),
            record.iteration,
            record.jaccard.map_or(String::new(), |j| format!("Jaccard index {j:.3} with ")),
            record.labelled
        );
    }
}
