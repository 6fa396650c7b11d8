//! What a run tells TensorBoard (`--tensorboard`).

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};
use crate::learning::protocol::{Progress, Record};
use crate::learning::train::Losses;
use crate::results::tensorboard::EventWriter;

/// The folder of a run's event files.
const FOLDER: &str = "tensorboard";

/// Two curves of TensorBoard, since their steps differ: `training` by epochs, over all trainings, and `learning_curve` by
/// labelled patches.
pub(super) struct TensorBoard {
    training: EventWriter,
    learning_curve: EventWriter,
    /// Epochs of the trainings that are done.
    epochs: usize,
}

impl TensorBoard {
    /// Opens event files where they are wished for or are already.
    ///
    /// `epochs_of` says how many epochs a record's training had.
    pub(super) fn open(
        dir: &Path,
        wished: bool,
        progress: &Progress,
        epochs_of: impl Fn(&Record) -> usize,
    ) -> Result<Option<Self>> {
        let folder = dir.join(FOLDER);
        if !(wished || folder.is_dir()) {
            return Ok(None);
        }
        let epochs = progress.records.iter().map(epochs_of).sum();
        let under_way = match &progress.checkpoint {
            Some((at, state)) if *at == progress.records.len() => state.epochs_done,
            _ => 0,
        };
        let labelled = progress.records.last().map_or(0, |record| record.labelled);
        Ok(Some(Self {
            training: EventWriter::create(&folder.join("training"), step(epochs + under_way + 1))?,
            learning_curve: EventWriter::create(
                &folder.join("learning_curve"),
                step(labelled + 1),
            )?,
            epochs,
        }))
    }

    pub(super) fn epoch_done(&mut self, epoch: usize, losses: Losses) -> Result<()> {
        let step = step(self.epochs + epoch);
        self.training.scalar("loss", step, losses.train.into())?;
        let held_out = losses.held_out;
        held_out.map_or(Ok(()), |loss| self.training.scalar("held_out_loss", step, loss.into()))
    }

    pub(super) fn iteration_done(&mut self, record: &Record, epochs: usize) -> Result<()> {
        self.epochs += epochs;
        if let Some(jaccard) = record.jaccard {
            self.learning_curve.scalar("jaccard", step(record.labelled), jaccard)?;
        }
        for (tag, value) in [
            ("labelled_foreground", record.labelled_foreground),
            ("seconds/training", record.seconds.train),
            ("seconds/evaluation", record.seconds.evaluate),
            ("seconds/selection", record.seconds.score),
        ] {
            self.learning_curve.scalar(tag, step(record.labelled), value)?;
        }
        Ok(())
    }

    /// The last segmentation, one section: a PNG file of so many rows and columns.
    pub(super) fn segmentation(
        &mut self,
        labelled: usize,
        size: [usize; 2],
        png: &Path,
    ) -> Result<()> {
        let png = fs::read(png).map_err(|e| Error::io(png, "can't read the picture", e))?;
        self.learning_curve.image("segmentation", step(labelled), size, png)
    }
}

fn step(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
