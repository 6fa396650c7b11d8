//! A round of a project: the protocol's, with the person's labels, kept in the project's folder.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::project::{Person, Project};
use crate::error::{Error, Result};
use crate::learning::protocol::{self, Data, FirstChoice, Observer, Phase, Progress, Record};
use crate::learning::train::{Losses, TrainState};
use crate::network::model::Model;
use crate::network::unet::Weights;
use crate::network::weights::TrainedNetwork;

/// A project that several threads work in.
pub(super) fn lock(project: &Mutex<Project>) -> MutexGuard<'_, Project> {
    // What a thread leaves behind that fails is whole: all changes are made at their end.
    project.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Trains on what is labelled as the settings say, chooses the next query, and writes both.
///
/// # Errors
/// [`Error::Usage`] where nothing is labelled or the pool is used up, [`Error::Interrupted`] if
/// `watcher` asks for a stop, and then the project is as before; else what failed.
pub fn learn(
    project: &Mutex<Project>,
    model: &mut Model,
    watcher: &mut dyn Observer,
) -> Result<Record> {
    round(project, model, None, watcher)
}

/// [`learn`] with a network that is trained already: only chooses the next query by it.
///
/// # Errors
/// As there.
pub fn live_round(
    project: &Mutex<Project>,
    model: &mut Model,
    trained: TrainState,
    watcher: &mut dyn Observer,
) -> Result<Record> {
    round(project, model, Some(trained), watcher)
}

fn round(
    project: &Mutex<Project>,
    model: &mut Model,
    trained: Option<TrainState>,
    watcher: &mut dyn Observer,
) -> Result<Record> {
    let (config, person, mut progress, reader, scaling) = {
        let mut project = lock(project);
        let person = project.person()?;
        require_both_classes(&person)?;
        let (config, reader) = (project.config().clone(), project.reader());
        (config, person, project.progress()?, reader, project.scaling())
    };
    progress.checkpoint = trained.map(|state| (progress.records.len(), state));
    let data = Data { train: &reader, annotator: &person, test: None };
    let trained = |weights: &Weights| TrainedNetwork {
        net: config.net,
        weights: weights.clone(),
        patch: config.patch,
        scaling,
    };
    let mut observer = RoundObserver { project, trained: &trained, watcher };
    let records = protocol::run(&config, &data, model, progress, &mut observer)?;
    lock(project).reload()?;
    records.into_iter().next_back().ok_or_else(|| Error::Input("the round has no record".into()))
}

/// An error unless there are both classes to tell apart.
///
/// # Errors
/// [`Error::Usage`] that says which is missing.
pub(super) fn require_both_classes(person: &Person) -> Result<()> {
    Err(Error::Usage(match person.counts() {
        [0, 0] => "no pixel is labelled yet; label a patch first".into(),
        [0, _] => "no pixel is labelled as background; set a patch to done, or paint some".into(),
        [_, 0] => "no pixel is labelled as foreground yet; label one patch that has some".into(),
        _ => return Ok(()),
    }))
}

impl Project {
    /// What the protocol goes on from.
    fn progress(&self) -> Result<Progress> {
        let before = self.last_network()?.map(|trained| trained.weights);
        Ok(Progress { records: self.records().to_vec(), checkpoint: None, before })
    }
}

/// Writes what a round comes to.
struct RoundObserver<'a> {
    project: &'a Mutex<Project>,
    trained: &'a dyn Fn(&Weights) -> TrainedNetwork,
    watcher: &'a mut dyn Observer,
}

impl Observer for RoundObserver<'_> {
    fn phase(&mut self, iteration: usize, phase: Phase, done: u64, total: u64) {
        self.watcher.phase(iteration, phase, done, total);
    }

    fn advance(&mut self, units: u64) {
        self.watcher.advance(units);
    }

    fn epoch_done(&mut self, iteration: usize, epoch: usize, losses: Losses) -> Result<()> {
        self.watcher.epoch_done(iteration, epoch, losses)
    }

    fn stop_requested(&self) -> bool {
        self.watcher.stop_requested()
    }

    fn chosen(&mut self, iteration: usize, scores: &[f32], first: &FirstChoice) -> Result<()> {
        self.watcher.chosen(iteration, scores, first)
    }

    fn network(&mut self, iteration: usize, weights: &Weights) -> Result<()> {
        lock(self.project).write_network(iteration, &(self.trained)(weights))
    }

    fn iteration_done(&mut self, record: &Record) -> Result<()> {
        lock(self.project).append(record)?;
        self.watcher.iteration_done(record)
    }
}
