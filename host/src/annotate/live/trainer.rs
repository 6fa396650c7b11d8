//! Trains on what is labelled, all the time, and carries out the rounds that are asked for.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Shared, Work};
use crate::annotate::learn::{learn, live_round, lock, require_both_classes};
use crate::annotate::project::{Person, Project};
use crate::data::pool::{PatchReader, Position};
use crate::error::{Error, Result};
use crate::learning::protocol::{Config, FirstChoice, Observer, Phase};
use crate::learning::train::{Dataset, Losses, Schedule, TrainOptions, TrainState, train};
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
/// Adam's learning rate meanwhile: a third of `lab`'s highest.
const RATE: f64 = 1e-3;
/// How often a network is published, and changed labels are taken over.
const PUBLISH: Duration = Duration::from_millis(2500);
/// Trainings of the protocol count from 0, and their random streams with them.
const FIRST_TRAINING: u64 = 1 << 30;

/// A thread that trains.
pub(in crate::annotate) struct Trainer {
    commands: Sender<Command>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

impl Trainer {
    /// Starts the thread with a model that has weights, and `unlabelled` patches to measure batch
    /// norm's statistics on.
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
            let pixels = person.counts().into_iter().sum::<usize>() as u64;
            let is_learnt =
                project.records().last().is_some_and(|last| last.labelled_pixels == Some(pixels));
            // The network to begin with is the last round's.
            let last = project.records().last();
            let epochs = last.and_then(|last| last.epochs).unwrap_or(0);
            let loss = last.map_or(f32::NAN, |last| last.loss as f32);
            (project.config().clone(), person, is_learnt, epochs, loss)
        };
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
                    self.person = person;
                    self.since_change = 0;
                    Ok(())
                }
                // Right after the first labels there is no network yet to choose by.
                Some(Command::Next) if self.loss.is_nan() => self
                    .follow(commands, &mut waiting, FIRST)
                    .and_then(|()| self.round(self.loss.is_nan())),
                Some(Command::Next) => self.round(false),
                Some(Command::Learn) => self.round(true),
                None => self.follow(commands, &mut waiting, FOLLOW),
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
        let patch = self.config.patch;
        let mut dataset = Dataset::with_sections(patch, self.config.net.sections());
        for (at, labels) in self.person.patches() {
            let mut x = Vec::with_capacity(self.reader.sample_len(patch));
            self.reader.read(at, patch, &mut x)?;
            dataset.push(&x, labels);
        }
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
        let (shared, unlabelled) = (&*self.shared, &self.unlabelled);
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
                    publish(model, unlabelled, shared)?;
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
        publish(&mut self.model, &self.unlabelled, &self.shared)?;
        self.steps += taken;
        self.epochs += epochs;
        if epochs > 0 {
            self.loss = loss;
        }
        self.since_change += taken;
        if let Some(person) = changed {
            self.person = person;
            self.since_change = 0;
        }
        Ok(())
    }

    /// A round of the protocol, with a training to the end or the network as it is.
    fn round(&mut self, trains: bool) -> Result<()> {
        self.shared.set_cancel(false);
        self.shared.change(|status| status.problem = None);
        let mut watcher = Watcher {
            shared: Arc::clone(&self.shared),
            project: Arc::clone(&self.project),
            since: Instant::now(),
            done: 0,
            total: 0,
            told: Instant::now(),
        };
        let done = match trains {
            true => {
                self.shared.change(|status| status.losses.clear());
                learn(&self.project, &mut self.model, &mut watcher)
            }
            false => {
                let state = TrainState::of(&mut self.model, self.epochs, self.loss, None)?;
                live_round(&self.project, &mut self.model, state, &mut watcher)
            }
        };
        // A round that was interrupted leaves the model somewhere on its way, which is no harm.
        publish(&mut self.model, &self.unlabelled, &self.shared)?;
        match done {
            Ok(_) => {
                if trains {
                    self.since_change = FOLLOW + SETTLE;
                }
                self.shared.change(|status| status.patches += 1);
                Ok(())
            }
            Err(Error::Interrupted(_)) => Ok(()),
            Err(e) => Err(e),
        }
    }
}

/// Measures batch norm's statistics, and hands the network to who predicts.
fn publish(model: &mut Model, unlabelled: &[f32], shared: &Shared) -> Result<()> {
    model.measure_statistics(unlabelled, None)?;
    shared.publish(model.weights()?);
    Ok(())
}

/// Tells the page how far a round is.
struct Watcher {
    shared: Arc<Shared>,
    project: Arc<Mutex<Project>>,
    since: Instant,
    done: u64,
    total: u64,
    told: Instant,
}

impl Observer for Watcher {
    fn phase(&mut self, _: usize, phase: Phase, done: u64, total: u64) {
        (self.since, self.done, self.total) = (Instant::now(), done, total.max(1));
        self.shared.change(|status| {
            status.work = if phase == Phase::Train { Work::Learning } else { Work::Choosing };
            (status.done, status.seconds_left) = (Some(0.0), None);
        });
    }

    fn advance(&mut self, units: u64) {
        self.done += units;
        if self.told.elapsed() < Duration::from_millis(250) {
            return;
        }
        self.told = Instant::now();
        let share = (self.done as f64 / self.total as f64).min(1.0);
        let seconds = self.since.elapsed().as_secs_f64();
        self.shared.change(|status| {
            status.done = Some(share);
            status.seconds_left = (share > 0.0).then(|| seconds * (1.0 / share - 1.0));
        });
    }

    fn epoch_done(&mut self, _: usize, epoch: usize, losses: Losses) -> Result<()> {
        self.shared.change(|status| status.push_loss(epoch, losses.train));
        Ok(())
    }

    fn chosen(&mut self, _: usize, scores: &[f32], _: &FirstChoice) -> Result<()> {
        let free = {
            let project = lock(&self.project);
            let asked: HashSet<Position> = project.patches().iter().map(|a| a.at).collect();
            let pool = project.pool().iter().copied();
            pool.filter(|at| !asked.contains(at)).collect::<Vec<_>>()
        };
        if free.len() == scores.len() {
            self.shared.set_scores(free.into_iter().zip(scores.iter().copied()).collect());
        }
        Ok(())
    }

    fn stop_requested(&self) -> bool {
        self.shared.is_cancelled()
    }
}
