//! Where an interrupted run stands: what of its files is good, and what has to be computed again.

use std::cmp::Ordering;

use super::checkpoint::{CURRENT, PREVIOUS, Saved};
use super::journal::Journal;
use super::{Origin, Resolved, RunDir};
use crate::error::{Error, Result};
use crate::learning::protocol::{Config, Progress};
use crate::learning::strategy;
use crate::network::weights;

/// Where a run goes on.
#[derive(Debug, Default)]
pub struct Standing {
    /// The iterations that are done, and the network to go on with.
    pub progress: Progress,
    /// Whether all iterations are done and the weights are there and whole.
    pub is_finished: bool,
    /// What is missing or damaged and will be computed again.
    pub notes: Vec<String>,
}

impl Resolved {
    /// The last iteration.
    pub fn last_iteration(&self) -> usize {
        if self.experiment.strategy == "full" { 0 } else { self.experiment.iterations }
    }

    /// Whether a run with other settings does the same as one with these, wherever their data lie,
    /// or the same and more.
    pub(super) fn gives_the_same(&self, other: &Self) -> bool {
        let data = |of: &Self| {
            let data = &of.data;
            let (value, ignore) = (data.label_value, data.ignore_value);
            let volumes = [data.raw.len(), data.test_raw.len()];
            (value, ignore, data.split_margin, data.test_share, data.phantom_shape, volumes)
        };
        let same = [Longer::Same, Longer::Yes];
        same.contains(&compare_length(&other.experiment, &self.experiment))
            && data(self) == data(other)
    }
}

/// How the settings of a run stand to those of one that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Longer {
    /// They are the same.
    Same,
    /// They have more iterations, and all is the same up to the end of the run that is there.
    Yes,
    /// They have fewer iterations.
    Fewer,
    /// They have more iterations, on whose number hangs what happens in each.
    PlansAhead,
    /// They differ in other things.
    Other,
}

/// How settings stand to those of a run that is there: whether it is the beginning of theirs.
pub fn compare_length(wanted: &Config, there: &Config) -> Longer {
    let same = Config { iterations: there.iterations, ..wanted.clone() } == *there;
    let plans_ahead = strategy::by_name(&there.strategy, there.bald.criterion())
        .is_ok_and(|strategy| strategy.plans_ahead());
    match wanted.iterations.cmp(&there.iterations) {
        _ if !same => Longer::Other,
        Ordering::Equal => Longer::Same,
        Ordering::Less => Longer::Fewer,
        Ordering::Greater if plans_ahead => Longer::PlansAhead,
        Ordering::Greater => Longer::Yes,
    }
}

impl RunDir {
    /// Where the run stands. Writes nothing. Its origin must be known ([`set_origin`](RunDir::set_origin)).
    ///
    /// # Errors
    /// If settings or data are others than those of the run, or what is damaged can't be computed again from the rest.
    pub fn standing(&self) -> Result<Standing> {
        let mut journal = self.read_journal()?;
        let mut notes: Vec<String> = journal.note.take().into_iter().collect();
        let last = self.origin.as_ref().map_or(usize::MAX, |of| of.resolved.last_iteration());
        self.check_journal(&journal)?;
        if journal.records.len() > last {
            let path = self.file("weights.safetensors");
            match weights::load(&path) {
                Ok(_) => {
                    let progress = Progress { records: journal.records, ..Progress::default() };
                    return Ok(Standing { progress, is_finished: true, notes });
                }
                Err(_) if !path.exists() => {
                    notes.push(format!("{} is missing and made anew", path.display()));
                }
                Err(e) => notes.push(format!("{e}; it is made anew")),
            }
        }
        let saved = self.last_good(&mut journal, &mut notes)?;
        let done = journal.records.len();
        let is_end = saved.as_ref().is_some_and(|saved| saved.iteration + 1 == done)
            && journal.records.last().is_some_and(|record| record.picked.is_empty());
        if is_end && done <= last {
            // The end of a shorter run, which chose nothing then. Its network is at hand.
            notes.push(format!("the run goes on: iteration {} chooses patches now", done - 1));
            journal.records.truncate(done - 1);
            journal.ends.truncate(done - 1);
            self.keep_lines(&journal.ends);
        }
        let checkpoint = saved.map(|saved| (saved.iteration, saved.state));
        let before = self.network_before(journal.records.len());
        let progress = Progress { records: journal.records, checkpoint, before };
        Ok(Standing { progress, is_finished: false, notes })
    }

    /// An error if a line is of another strategy or seed.
    fn check_journal(&self, journal: &Journal) -> Result<()> {
        let Some(Origin { resolved, .. }) = &self.origin else { return Ok(()) };
        let now = &resolved.experiment;
        let is_other = |strategy: &str, seed| (strategy, seed) != (&*now.strategy, now.seed);
        match journal.records.iter().find(|record| is_other(&record.strategy, record.seed)) {
            None => Ok(()),
            Some(record) => Err(Error::Usage(format!(
                "{}: the journal there is of the strategy {} with seed {}, not of {} with seed {}; put the config.toml back that the run was started with, or start anew with --force",
                self.path.display(),
                record.strategy,
                record.seed,
                now.strategy,
                now.seed
            ))),
        }
    }

    /// The checkpoint to go on from; nothing for a run that begins. Where only the earlier one is good, the journal loses its last line
    /// if that came later.
    fn last_good(&self, journal: &mut Journal, notes: &mut Vec<String>) -> Result<Option<Saved>> {
        let done = journal.records.len();
        let path = self.file(CURRENT);
        let why = match self.read_checkpoint(CURRENT)? {
            Ok(Some(saved)) if [done, done + 1].contains(&(saved.iteration + 1)) => {
                self.check_origin(&saved)?;
                self.checkpoint.set(Some(saved.iteration));
                return Ok(Some(saved));
            }
            Ok(Some(saved)) => {
                format!("{} is of iteration {}", path.display(), saved.iteration)
            }
            Ok(None) => format!("{} is missing", path.display()),
            Err(why) => format!("{} is damaged ({why})", path.display()),
        };
        if let Ok(Some(saved)) = self.read_checkpoint(PREVIOUS)?
            && (saved.iteration..=saved.iteration + 2).contains(&done)
        {
            self.check_origin(&saved)?;
            let from = saved.iteration;
            notes.push(format!("{why}; going on from that of the end of iteration {from}"));
            journal.records.truncate(from + 1);
            journal.ends.truncate(from + 1);
            self.keep_lines(&journal.ends);
            return Ok(Some(saved));
        }
        if done == 0 {
            if path.exists() {
                notes.push(format!("{why}; nothing else was done, so the run begins anew"));
            }
            return Ok(None);
        }
        Err(Error::Input(format!(
            "{why}, so the weights of iteration {} are not known and the run can't go on; put back a copy of the file, or start the run anew with --force",
            done - 1
        )))
    }
}
