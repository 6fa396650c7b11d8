//! Trains on what is labelled, all the time, and carries out the rounds that are asked for.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::watcher::{Mail, Watcher};
use super::{Shared, Work};
use crate::annotate::learn::{Outcome, learn, lock, require_both_classes, round};
use crate::annotate::marks::State;
use crate::annotate::person::Person;
use crate::annotate::project::{Asked, Project};
use crate::data::pool::PatchReader;
use crate::error::{Error, Result};
use crate::learning::protocol::{Config, statistics_patches};
use crate::learning::train::{Dataset, Schedule, TrainOptions, TrainState, train};
use crate::network::model::Model;

/// What a trainer is told.
pub(in crate::annotate) enum Command {
    /// The labels have changed.
    Labels(Person),
    /// Choose the next query by the network as it is.
    Next,
    /// Train to the end, then choose the next query.
    Learn,
    /// End the thread.
    Stop,
}

/// Steps after a change of the labels with one learning rate, and those in which it falls to 0.
const FOLLOW: usize = 1000;
const SETTLE: usize = 500;
/// Steps before a query is chosen by a network that has none.
const FIRST: usize = 100;
/// Steps on the patches of a query but its last one before the next query is chosen ahead.
const BEFORE_AHEAD: usize = 150;
/// Adam's learning rate meanwhile: a third of `lab`'s highest.
const RATE: f64 = 1e-3;
/// How often a network is published, and changed labels are taken over.
const PUBLISH: Duration = Duration::from_millis(2500);
/// Trainings of the protocol count from 0, and their random streams with them.
const FIRST_TRAINING: u64 = 1 << 30;

/// Labelled patches at most on which batch norm's statistics are measured while training goes on.
const STATISTICS: usize = 32;

/// A thread that trains.
pub(in crate::annotate) struct Trainer {
    commands: Sender<Command>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

impl Trainer {
    /// Starts the thread with a model that has weights, and `unlabelled` patches, on which batch
    /// norm's statistics may be measured.
    ///
    /// # Errors
    /// If the system has no thread to give.
    pub(in crate::annotate) fn start(
        project: Arc<Mutex<Project>>,
        model: Model,
        reader: PatchReader,
        unlabelled: Vec<f32>,
        shared: Arc<Shared>,
    ) -> Result<Self> {
        let (commands, receiver) = channel();
        let (config, person, is_learnt, epochs, loss) = {
            let mut project = lock(&project);
            let person = project.person()?;
            let [background, foreground] = person.counts();
            let pixels = background + foreground;
            let is_learnt = project.records().last().is_some_and(|last| {
                let share = foreground as f64 / pixels as f64;
                last.labelled_pixels == Some(pixels as u64) && last.labelled_foreground == share
            });
            // The network to begin with is the last round's.
            let last = project.records().last();
            let epochs = last.and_then(|last| last.epochs).unwrap_or(0);
            let loss = last.map_or(f32::NAN, |last| last.loss as f32);
            (project.config().clone(), person, is_learnt, epochs, loss)
        };
        let labelled = person.patches().len();
        let training = Training {
            project,
            config,
            model,
            reader,
            unlabelled,
            shared: Arc::clone(&shared),
            person,
            // The last round has trained to the end on the same labels.
            since_change: if is_learnt { FOLLOW + SETTLE } else { 0 },
            steps: 0,
            epochs,
            trainings: 0,
            loss,
            ahead: None,
            looked_at: 0,
            grown: (labelled, 0),
        };
        let thread = thread::Builder::new()
            .name("trainer".into())
            .spawn(move || training.serve(&receiver))
            .map_err(|e| Error::Device(format!("no thread to train on: {e}")))?;
        Ok(Self { commands, thread: Some(thread), shared })
    }

    /// Tells the thread something. Where it has ended, nobody hears it, and the page has been told.
    pub(in crate::annotate) fn tell(&self, command: Command) {
        let _ = self.commands.send(command);
    }
}

impl Drop for Trainer {
    fn drop(&mut self) {
        self.shared.set_cancel(true);
        let _ = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Training {
    project: Arc<Mutex<Project>>,
    config: Config,
    model: Model,
    reader: PatchReader,
    unlabelled: Vec<f32>,
    shared: Arc<Shared>,
    person: Person,
    /// Steps since the labels changed.
    since_change: usize,
    steps: usize,
    epochs: usize,
    trainings: u64,
    /// Of the network as it is; not a number before any training.
    loss: f32,
    /// The next query, chosen before it is asked for.
    ahead: Option<Outcome>,
    /// How many patches were labelled when one was last looked for.
    looked_at: usize,
    /// How many patches are labelled, and the steps that were done when that changed.
    grown: (usize, usize),
}

impl Training {
    fn serve(mut self, commands: &Receiver<Command>) {
        // What came while a training ran, to be done next.
        let mut waiting: Option<Command> = None;
        loop {
            let command = match waiting.take() {
                Some(command) => Some(command),
                None if self.has_work() => commands.try_recv().ok(),
                None => {
                    let is_trainable = require_both_classes(&self.person).is_ok();
                    let work = if is_trainable { Work::Idle } else { Work::Waiting };
                    self.shared.change(|status| {
                        status.work = work;
                        (status.done, status.seconds_left) = (None, None);
                    });
                    match commands.recv() {
                        Ok(command) => Some(command),
                        Err(_) => return,
                    }
                }
            };
            let done = match command {
                Some(Command::Stop) => return,
                Some(Command::Labels(person)) => {
                    self.take(person);
                    Ok(())
                }
                // Right after the first labels there is no network yet to choose by.
                Some(Command::Next) if self.loss.is_nan() => self
                    .follow(commands, &mut waiting, FIRST)
                    .and_then(|()| if self.loss.is_nan() { self.learn() } else { self.next() }),
                Some(Command::Next) => self.next(),
                Some(Command::Learn) => self.learn(),
                None => match self.steps_to_ahead() {
                    Some(0) => self.look_ahead(commands, &mut waiting),
                    steps => self.follow(commands, &mut waiting, steps.unwrap_or(FOLLOW)),
                },
            };
            if let Err(e) = done {
                // Not again and again.
                self.since_change = FOLLOW + SETTLE;
                self.shared.change(|status| status.problem = Some(e.to_string()));
            }
        }
    }

    fn has_work(&self) -> bool {
        self.since_change < FOLLOW + SETTLE && require_both_classes(&self.person).is_ok()
    }

    /// Trains until the labels change, something is asked for, or the steps are done.
    fn follow(
        &mut self,
        commands: &Receiver<Command>,
        waiting: &mut Option<Command>,
        most: usize,
    ) -> Result<()> {
        let dataset = self.dataset()?;
        let measured_on = self.measured_on(&dataset);
        let settles = self.since_change >= FOLLOW;
        let steps = if settles { FOLLOW + SETTLE } else { FOLLOW } - self.since_change;
        let steps = steps.min(most);
        let per_epoch = dataset.len().div_ceil(self.config.batch_size);
        self.trainings += 1;
        let options = TrainOptions {
            epochs: steps.div_ceil(per_epoch),
            lr: RATE,
            later_lr: None,
            schedule: if settles { Schedule::Cosine } else { Schedule::Constant },
            foreground_share: self.config.foreground_share,
            batch_size: self.config.batch_size,
            class_weights: self.config.class_weights.clone(),
            augment: self.config.augment,
            seed: self.config.seed,
            iteration: FIRST_TRAINING + self.trainings,
        };
        let labelled = dataset.len();
        self.shared.change(|status| {
            (status.work, status.labelled) = (Work::Live, labelled);
            (status.done, status.seconds_left) = (None, None);
            status.problem = None;
            if self.since_change == 0 {
                status.losses.clear();
            }
        });
        let shared = &*self.shared;
        let mut published = Instant::now();
        let first = self.steps;
        let mut taken = 0;
        let mut changed = None;
        let (epochs, loss, _) =
            train(&mut self.model, &dataset, &options, None, None, &mut |model, step| {
                taken += 1;
                if let Some(losses) = step.losses {
                    shared.change(|status| {
                        status.steps = first + taken;
                        status.push_loss(first + taken, losses.train);
                    });
                }
                if published.elapsed() >= PUBLISH {
                    publish(model, &measured_on, shared)?;
                    published = Instant::now();
                    if changed.is_some() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                match commands.try_recv() {
                    // Painting goes on: they are taken over with the next network.
                    Ok(Command::Labels(person)) => changed = Some(person),
                    Ok(other) => {
                        *waiting = Some(other);
                        return Ok(ControlFlow::Break(()));
                    }
                    Err(_) => {}
                }
                let stop = waiting.is_some();
                Ok(if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
        publish(&mut self.model, &measured_on, &self.shared)?;
        self.steps += taken;
        self.epochs += epochs;
        if epochs > 0 {
            self.loss = loss;
        }
        self.since_change += taken;
        if let Some(person) = changed {
            self.take(person);
        }
        Ok(())
    }

    /// What is labelled.
    fn dataset(&self) -> Result<Dataset> {
        let patch = self.config.patch;
        let mut dataset = Dataset::with_sections(patch, self.config.net.sections());
        for (at, labels) in self.person.patches() {
            let mut x = Vec::with_capacity(self.reader.sample_len(patch));
            self.reader.read(at, patch, &mut x)?;
            dataset.push(&x, labels);
        }
        Ok(dataset)
    }

    /// What batch norm's statistics are measured on after a training on the dataset.
    fn measured_on(&self, dataset: &Dataset) -> Vec<f32> {
        let training = FIRST_TRAINING + self.trainings;
        let count = self.config.statistics_patches.min(STATISTICS);
        let config = Config { statistics_patches: count, ..self.config.clone() };
        statistics_patches(&config, dataset, &self.unlabelled, training).into_owned()
    }

    /// Trains to the end and chooses the next query.
    fn learn(&mut self) -> Result<()> {
        self.set_ahead(None);
        self.begin_round();
        self.shared.change(|status| status.losses.clear());
        let mut watcher = Watcher::new(&self.shared, &self.project, None, true);
        let done = learn(&self.project, &mut self.model, &mut watcher);
        // A round that was interrupted leaves the model somewhere on its way, which is no harm.
        let measured_on = self.measured_on(&self.dataset()?);
        publish(&mut self.model, &measured_on, &self.shared)?;
        if done.is_ok() {
            self.since_change = FOLLOW + SETTLE;
            self.shared.set_scores(watcher.scores.unwrap_or_default());
        }
        self.end_round(done.map(drop))
    }

    /// Takes the query that was chosen ahead, or chooses one by the network as it is.
    fn next(&mut self) -> Result<()> {
        let ahead = self.ahead.take();
        self.set_ahead(None);
        let fresh = ahead.filter(|ahead| ahead.is_fresh(&lock(&self.project), &self.person));
        let outcome = match fresh {
            Some(outcome) => Ok(outcome),
            None => {
                self.begin_round();
                self.choose(None)
            }
        };
        let done = outcome.and_then(|outcome| outcome.write(&mut lock(&self.project)));
        self.end_round(done)
    }

    /// Steps to take before the next query is chosen ahead; nothing where it is chosen, or the query
    /// is far from answered.
    fn steps_to_ahead(&self) -> Option<usize> {
        if self.ahead.is_some() || self.looked_at == self.grown.0 {
            return None;
        }
        let project = lock(&self.project);
        let of_query = |asked: &Asked| asked.query == Some(project.query());
        let asked: Vec<Asked> = project.patches().into_iter().filter(of_query).collect();
        let open = asked.iter().filter(|asked| asked.state == State::Open).count();
        if asked.is_empty() || open > 1 {
            return None;
        }
        let left = (self.grown.1 + BEFORE_AHEAD).saturating_sub(self.steps);
        // Before a loss is known there is no network to choose by.
        Some(if self.loss.is_nan() { left.max(FIRST) } else { left })
    }

    /// Takes changed labels over.
    fn take(&mut self, person: Person) {
        let labelled = person.patches().len();
        if labelled != self.grown.0 {
            self.grown = (labelled, self.steps);
        }
        self.person = person;
        self.since_change = 0;
        let is_fresh = |ahead: &Outcome| ahead.is_fresh(&lock(&self.project), &self.person);
        if self.ahead.as_ref().is_some_and(|ahead| !is_fresh(ahead)) {
            self.set_ahead(None);
            self.looked_at = 0;
        }
    }

    /// Chooses the next query before it is asked for, unless something is asked for that can't wait.
    fn look_ahead(
        &mut self,
        commands: &Receiver<Command>,
        waiting: &mut Option<Command>,
    ) -> Result<()> {
        self.looked_at = self.grown.0;
        self.shared.set_cancel(false);
        let mail = Mail::new(commands);
        let done = self.choose(Some(&mail));
        if let Some(person) = mail.person() {
            self.take(person);
        }
        *waiting = mail.late(self.shared.is_cancelled());
        match done {
            Ok(outcome) if outcome.is_fresh(&lock(&self.project), &self.person) => {
                self.set_ahead(Some(outcome));
            }
            // The labels have changed too much meanwhile.
            Ok(_) => self.looked_at = 0,
            // That the pool is used up is told when somebody asks.
            Err(Error::Interrupted(_) | Error::Usage(_)) => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }

    /// Chooses the next query by the network as it is; with `mail` ahead of time.
    fn choose(&mut self, mail: Option<&Mail<'_>>) -> Result<Outcome> {
        let state = TrainState::of(&mut self.model, self.epochs, self.loss, None)?;
        let weights = state.weights.clone();
        let mut watcher = Watcher::new(&self.shared, &self.project, mail, false);
        let done = round(&self.project, &mut self.model, Some(state), &mut watcher);
        let scores = watcher.scores;
        self.model.set_weights(&weights)?;
        let measured_on = self.measured_on(&self.dataset()?);
        publish(&mut self.model, &measured_on, &self.shared)?;
        if let (Ok(_), Some(scores)) = (&done, scores) {
            self.shared.set_scores(scores);
        }
        done
    }

    fn set_ahead(&mut self, ahead: Option<Outcome>) {
        let is_ready = ahead.is_some();
        self.ahead = ahead;
        self.shared.change(|status| status.is_next_ready = is_ready);
    }

    fn begin_round(&self) {
        self.shared.set_cancel(false);
        self.shared.change(|status| status.problem = None);
    }

    fn end_round(&self, done: Result<()>) -> Result<()> {
        match done {
            Ok(()) => {
                self.shared.change(|status| status.patches += 1);
                Ok(())
            }
            Err(Error::Interrupted(_)) => Ok(()),
            Err(e) => Err(e),
        }
    }
}

/// Measures batch norm's statistics, and hands the network to who predicts.
fn publish(model: &mut Model, measured_on: &[f32], shared: &Shared) -> Result<()> {
    model.measure_statistics(measured_on, None)?;
    shared.publish(model.weights()?);
    Ok(())
}
