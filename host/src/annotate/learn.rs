//! A round of a project: the protocol's, with the person's labels, kept in the project's folder.

use std::slice::from_ref;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::person::Person;
use super::project::Project;
use crate::data::pool::Position;
use crate::error::{Error, Result};
use crate::learning::protocol::{self, Data, FirstChoice, Observer, Phase, Progress, Record};
use crate::learning::train::{Losses, TrainState};
use crate::network::model::Model;
use crate::network::unet::Weights;

/// A project that several threads work in.
pub(super) fn lock(project: &Mutex<Project>) -> MutexGuard<'_, Project> {
    // What a thread leaves behind that fails is whole: all changes are made at their end.
    project.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Trains on what is labelled as the settings say, chooses the next query, and writes both.
///
/// # Errors
/// [`Error::Usage`] where nothing is labelled or the pool is used up, [`Error::Interrupted`] if
/// `watcher` asks for a stop, else what failed. The project is then as before.
pub fn learn(
    project: &Mutex<Project>,
    model: &mut Model,
    watcher: &mut dyn Observer,
) -> Result<Record> {
    let outcome = round(project, model, None, watcher)?;
    let record = outcome.record.clone();
    outcome.write(&mut lock(project))?;
    Ok(record)
}

/// A round that is done and not written.
pub(super) struct Outcome {
    weights: Weights,
    record: Record,
    /// The labels that it is of.
    person: Person,
}

impl Outcome {
    /// Whether it is still the round that is due, on about the labels of now.
    pub(super) fn is_fresh(&self, project: &Project, now: &Person) -> bool {
        /// Patches whose labels may have changed since.
        const LATE: usize = 2;
        let asks = |at: &Position| {
            self.record.picked.iter().any(|pick| [pick.z, pick.y, pick.x] == [at.z, at.y, at.x])
        };
        let changed = self.person.unlike(now);
        self.record.iteration == project.query()
            && changed.len() <= LATE
            && !changed.iter().any(asks)
    }

    /// Writes it.
    ///
    /// # Errors
    /// If the disk refuses.
    pub(super) fn write(self, project: &mut Project) -> Result<()> {
        let Self { weights, record, .. } = self;
        project.write_network(record.iteration, weights)?;
        project.append(&record)?;
        project.reload()
    }
}

/// A round of the protocol on the labels of now: with a training, or with a network that is
/// `trained` already, by which it only chooses the next query.
///
/// # Errors
/// As [`learn`].
pub(super) fn round(
    project: &Mutex<Project>,
    model: &mut Model,
    trained: Option<TrainState>,
    watcher: &mut dyn Observer,
) -> Result<Outcome> {
    let (config, person, mut progress, reader) = {
        let mut project = lock(project);
        let person = project.person()?;
        require_both_classes(&person)?;
        (project.config().clone(), person, project.progress()?, project.reader())
    };
    progress.checkpoint = trained.map(|state| (progress.records.len(), state));
    let data = Data { train: from_ref(&reader), annotator: &person, test: &[] };
    let mut observer = RoundObserver { weights: None, watcher };
    let records = protocol::run(&config, &data, model, progress, &mut observer)?;
    let none = || Error::Input("the round has neither a network nor a record".into());
    let outcome = observer.weights.zip(records.into_iter().next_back());
    let (weights, record) = outcome.ok_or_else(none)?;
    Ok(Outcome { weights, record, person })
}

/// An error unless there are both classes to tell apart.
///
/// # Errors
/// [`Error::Usage`] that says which is missing.
pub(super) fn require_both_classes(person: &Person) -> Result<()> {
    Err(Error::Usage(match person.counts() {
        [0, 0] => "no pixel is labelled yet; label a patch first".into(),
        [0, _] => "no pixel is labelled as background; set a patch to done, or paint some".into(),
        [_, 0] => {
            "no pixel is labelled as foreground yet; label one patch that has some, such as one \
                   of your own (D on the page, then a click)"
                .into()
        }
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

/// Keeps the network of a round, and hands on the rest.
struct RoundObserver<'a> {
    weights: Option<Weights>,
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

    fn network(&mut self, _: usize, weights: &Weights) -> Result<()> {
        self.weights = Some(weights.clone());
        Ok(())
    }

    fn iteration_done(&mut self, record: &Record) -> Result<()> {
        self.watcher.iteration_done(record)
    }
}
