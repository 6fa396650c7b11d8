//! The network that learns while a person paints.
//!
//! One thread trains on what is labelled so far, another one predicts with the last network that
//! the first has published; so a stroke waits for neither. Rounds of the protocol run on the
//! first thread, and begin with the network as it is.

mod predictor;
mod status;
mod trainer;
mod watcher;

pub(super) use predictor::{Area, Predictor};
pub(super) use status::{Shared, Status, Work};
pub(super) use trainer::{Command, Trainer};
