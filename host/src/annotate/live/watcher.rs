//! What a round tells the page, and what can end it.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::{Command, Shared, Work};
use crate::annotate::learn::lock;
use crate::annotate::person::Person;
use crate::annotate::project::Project;
use crate::data::pool::Position;
use crate::error::Result;
use crate::learning::protocol::{FirstChoice, Observer, Phase};
use crate::learning::train::Losses;

/// What the trainer is told while it looks ahead.
pub(super) struct Mail<'a> {
    commands: &'a Receiver<Command>,
    /// What is to be done next; but for the next query, which is being chosen, it can't wait.
    late: RefCell<Option<Command>>,
    person: RefCell<Option<Person>>,
}

impl<'a> Mail<'a> {
    pub(super) fn new(commands: &'a Receiver<Command>) -> Self {
        Self { commands, late: RefCell::default(), person: RefCell::default() }
    }

    fn read(&self) {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Labels(person) => *self.person.borrow_mut() = Some(person),
                other => *self.late.borrow_mut() = Some(other),
            }
        }
    }

    /// What is to be done next. If `cancelled`, not the query that was being chosen.
    pub(super) fn late(&self, cancelled: bool) -> Option<Command> {
        self.read();
        self.late.take().filter(|late| !(cancelled && matches!(late, Command::Next)))
    }

    /// Labels that have come.
    pub(super) fn person(&self) -> Option<Person> {
        self.person.take()
    }

    /// Whether something has come that can't wait.
    fn is_urgent(&self) -> bool {
        self.read();
        matches!(&*self.late.borrow(), Some(Command::Learn | Command::Stop))
    }
}

/// Tells the page how far a round is.
pub(super) struct Watcher<'a> {
    shared: &'a Shared,
    project: &'a Mutex<Project>,
    /// Where the round was not asked for yet.
    mail: Option<&'a Mail<'a>>,
    /// Whether it trains, or only chooses.
    trains: bool,
    /// Of the patches that the query was chosen from.
    pub(super) scores: Option<Vec<(Position, f32)>>,
    since: Instant,
    done: u64,
    total: u64,
    told: Instant,
}

impl<'a> Watcher<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        project: &'a Mutex<Project>,
        mail: Option<&'a Mail<'a>>,
        trains: bool,
    ) -> Self {
        let (scores, since, told) = (None, Instant::now(), Instant::now());
        Self { shared, project, mail, trains, scores, since, done: 0, total: 0, told }
    }

    /// Whether somebody waits for the round.
    fn is_awaited(&self) -> bool {
        self.mail.is_none_or(|mail| matches!(&*mail.late.borrow(), Some(Command::Next)))
    }
}

impl Observer for Watcher<'_> {
    fn phase(&mut self, _: usize, phase: Phase, done: u64, total: u64) {
        (self.since, self.done, self.total) = (Instant::now(), done, total.max(1));
        let (is_awaited, trains) = (self.is_awaited(), self.trains);
        self.shared.change(|status| {
            status.work = match phase {
                _ if !is_awaited => Work::Ahead,
                Phase::Train if trains => Work::Learning,
                _ => Work::Choosing,
            };
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
        let is_awaited = self.is_awaited();
        self.shared.change(|status| {
            if is_awaited && status.work == Work::Ahead {
                status.work = Work::Choosing;
            }
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
            let project = lock(self.project);
            let asked: HashSet<Position> = project.patches().iter().map(|a| a.at).collect();
            let pool = project.pool().iter().copied();
            pool.filter(|at| !asked.contains(at)).collect::<Vec<_>>()
        };
        if free.len() == scores.len() {
            self.scores = Some(free.into_iter().zip(scores.iter().copied()).collect());
        }
        Ok(())
    }

    fn stop_requested(&self) -> bool {
        self.mail.is_some_and(Mail::is_urgent) || self.shared.is_cancelled()
    }
}
