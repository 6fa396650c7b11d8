//! What the page is told of the work in the background.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::watch;

use crate::data::pool::Position;
use crate::network::unet::Weights;

/// What the trainer is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::annotate) enum Work {
    /// Nothing: the network has settled.
    #[default]
    Idle,
    /// Waits until both classes are labelled.
    Waiting,
    /// Follows the labels.
    Live,
    /// Trains to the end.
    Learning,
    /// Scores the pool for the next query.
    Choosing,
    /// The same before anybody asks.
    Ahead,
}

/// What the page sees.
#[derive(Clone, Debug, Default)]
pub(in crate::annotate) struct Status {
    /// Grows with each change.
    pub(in crate::annotate) version: u64,
    /// Grows when the list of patches or their states change.
    pub(in crate::annotate) patches: u64,
    /// The patches whose labels changed last, with the version that tells of it.
    pub(in crate::annotate) strokes: Vec<(u64, u32)>,
    /// Whether the next query is chosen already.
    pub(in crate::annotate) is_next_ready: bool,
    /// Which network is published, from 1; 0 before there is one.
    pub(in crate::annotate) network: u64,
    /// Steps of the live training so far.
    pub(in crate::annotate) steps: usize,
    /// Loss of the last epoch.
    pub(in crate::annotate) loss: Option<f32>,
    /// Patches that it learns from.
    pub(in crate::annotate) labelled: usize,
    pub(in crate::annotate) work: Work,
    /// Share of the work that is done.
    pub(in crate::annotate) done: Option<f64>,
    pub(in crate::annotate) seconds_left: Option<f64>,
    /// Steps and losses of the training under way.
    pub(in crate::annotate) losses: Vec<(usize, f32)>,
    /// What went wrong last.
    pub(in crate::annotate) problem: Option<String>,
}

/// Losses that are kept.
const LOSSES: usize = 200;
/// Patches that a page which asks seldom is told of.
const STROKES: usize = 64;

impl Status {
    /// Adds a loss; of too many every other one goes.
    pub(in crate::annotate) fn push_loss(&mut self, step: usize, loss: f32) {
        self.loss = Some(loss);
        self.losses.push((step, loss));
        if self.losses.len() > LOSSES {
            let mut keep = false;
            self.losses.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }
}

/// A network as it was published.
pub(in crate::annotate) type Published = Arc<(u64, Weights)>;

/// What the threads and the server share.
pub(in crate::annotate) struct Shared {
    status: watch::Sender<Status>,
    network: Mutex<Option<Published>>,
    /// Of the patches that the last query was chosen from.
    scores: Mutex<Vec<(Position, f32)>>,
    cancel: AtomicBool,
}

impl Shared {
    pub(in crate::annotate) fn new() -> Self {
        Self {
            status: watch::Sender::new(Status::default()),
            network: Mutex::new(None),
            scores: Mutex::new(Vec::new()),
            cancel: AtomicBool::new(false),
        }
    }

    /// Changes what the page sees, and wakes those who wait for it.
    pub(in crate::annotate) fn change(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(|status| {
            change(status);
            status.version += 1;
        });
    }

    pub(in crate::annotate) fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    pub(in crate::annotate) fn subscribe(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Tells all pages that the labels of a patch have changed.
    pub(in crate::annotate) fn tell_stroke(&self, id: u32) {
        self.change(|status| {
            status.strokes.retain(|&(_, other)| other != id);
            status.strokes.push((status.version + 1, id));
            let many = status.strokes.len().saturating_sub(STROKES);
            status.strokes.drain(..many);
        });
    }

    /// Publishes a network.
    pub(in crate::annotate) fn publish(&self, weights: Weights) {
        let version = self.status.borrow().network + 1;
        *self.network.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Arc::new((version, weights)));
        self.change(|status| status.network = version);
    }

    /// The network that was published last.
    pub(in crate::annotate) fn network(&self) -> Option<Published> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps the scores of the patches that a query was chosen from.
    pub(in crate::annotate) fn set_scores(&self, scores: Vec<(Position, f32)>) {
        *self.scores.lock().unwrap_or_else(PoisonError::into_inner) = scores;
    }

    pub(in crate::annotate) fn scores(&self) -> Vec<(Position, f32)> {
        self.scores.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks a round to stop, or takes that back.
    pub(in crate::annotate) fn set_cancel(&self, cancel: bool) {
        self.cancel.store(cancel, Ordering::Relaxed);
    }

    pub(in crate::annotate) fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }
}
