//! A round of the protocol with a person: labels that are there train, the next query is chosen,
//! and the protocol ends until that is answered.

use super::labelled::Labelled;
use super::{Experiment, Observer, Progress, Record};
use crate::data::volume::IGNORED;
use crate::error::{Error, Result};
use crate::learning::train::TrainState;
use crate::network::model::Model;

/// Whether a patch has a pixel whose label is known.
pub(super) fn is_labelled(labels: &[u8]) -> bool {
    labels.iter().any(|&label| label != IGNORED)
}

impl Experiment<'_> {
    /// Adds what the person has labelled unasked to the training set.
    pub(super) fn annotate_unasked(&self, dataset: &mut Labelled) -> Result<()> {
        let mut samples = Vec::new();
        for at in self.data.annotator.unasked() {
            let sample = self.sample_at(at)?;
            if is_labelled(&sample.1) {
                samples.push(sample);
            }
        }
        dataset.extend(self.config, &samples);
        Ok(())
    }

    /// Trains on what is labelled and chooses the next query.
    ///
    /// # Errors
    /// [`Error::Usage`] where nothing is labelled or all of the pool was asked for.
    pub(super) fn round_with_person(
        &mut self,
        model: &mut Model,
        dataset: &Labelled,
        progress: Progress,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Record>> {
        let Progress { mut records, checkpoint, before } = progress;
        let iteration = records.len();
        if iteration > self.iterations() {
            return Err(Error::Usage(format!(
                "all {} patches of the pool have been asked for (--pool)",
                self.labelled.len()
            )));
        }
        if dataset.train.is_empty() {
            return Err(Error::Usage("no pixel is labelled yet; label a patch first".into()));
        }
        if let Some(before) = &before {
            model.set_weights(before)?;
        }
        let last = records.last().filter(|_| before.is_some());
        let known = last.map(|last| self.before(model, last)).transpose()?;
        // A network that is trained already comes with its epochs, and is trained no further.
        let epochs = checkpoint.as_ref().map(|(_, state)| state.epochs_done);
        let trained = checkpoint.map(|(_, state)| TrainState { epochs_done: usize::MAX, ..state });
        if before.is_none() && trained.is_none() {
            model.set_weights(&model.net().init(self.config.seed))?;
        }
        let mut record = self.round(model, dataset, iteration, trained, known, observer)?;
        if epochs.is_some() {
            record.epochs = epochs;
        }
        observer.iteration_done(&record)?;
        records.push(record);
        Ok(records)
    }
}
