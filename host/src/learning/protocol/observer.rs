//! Who watches an experiment.

use super::Record;
use crate::error::Result;
use crate::learning::train::{Losses, TrainState};
use crate::network::unet::Weights;

/// What an iteration is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Training; units are patches times epochs.
    Train,
    /// Prediction of the test region; units are windows.
    Evaluate,
    /// Scores or embeddings of the pool; units are patches.
    Score,
}

/// Watches an experiment, keeps its state, and may stop it.
pub trait Observer {
    /// A phase begins; `done` of its `total` units were done before an interruption.
    fn phase(&mut self, _iteration: usize, _phase: Phase, _done: u64, _total: u64) {}

    /// So many units are done.
    fn advance(&mut self, _units: u64) {}

    /// An epoch of an iteration's training is done, the `epoch`th.
    fn epoch_done(&mut self, _iteration: usize, _epoch: usize, _losses: Losses) -> Result<()> {
        Ok(())
    }

    /// Whether to stop as soon as the state can be saved.
    fn stop_requested(&self) -> bool {
        false
    }

    /// Whether the running training should be saved after this epoch.
    fn wants_checkpoint(&self) -> bool {
        false
    }

    /// Saves a training that is under way or finished.
    fn checkpoint(&mut self, _iteration: usize, _state: &TrainState) -> Result<()> {
        Ok(())
    }

    /// One section of the last iteration's segmentation: the class of each pixel, in order of sections.
    fn segmentation(&mut self, _z: usize, _classes: &[u8]) -> Result<()> {
        Ok(())
    }

    /// Pixels of the test region by their foreground probability in steps of a tenth: how many, and how many of them are foreground.
    fn calibration(&mut self, _iteration: usize, _bins: &[[u64; 2]; 10]) -> Result<()> {
        Ok(())
    }

    /// What an iteration chose first, and the scores of all that it chose from; no scores where the strategy needs none.
    fn chosen(&mut self, _iteration: usize, _scores: &[f32], _first: &FirstChoice) -> Result<()> {
        Ok(())
    }

    /// The network of an iteration, as it was evaluated.
    fn network(&mut self, _iteration: usize, _weights: &Weights) -> Result<()> {
        Ok(())
    }

    /// An iteration is done.
    fn iteration_done(&mut self, _record: &Record) -> Result<()> {
        Ok(())
    }
}

/// The patch that an iteration chose first, as the network saw it then.
#[derive(Clone, Debug, PartialEq)]
pub struct FirstChoice {
    /// Rows, and columns.
    pub side: usize,
    /// Scaled grey values.
    pub raw: Vec<f32>,
    /// Probability of foreground of each pixel.
    pub foreground: Vec<f32>,
}

/// An observer that sees nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}
