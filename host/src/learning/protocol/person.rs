//! A round of the protocol with a person: labels that are there train, the next query is chosen,
//! and the protocol ends until that is answered.

use askem_kernels::confusion::{self, Counts};

use super::labelled::Labelled;
use super::{Experiment, Observer, Progress, Record};
use crate::data::pool::Position;
use crate::data::volume::IGNORED;
use crate::error::{Error, Result};
use crate::learning::train::TrainState;
use crate::network::model::Model;
use crate::network::unet::Output;

/// Whether a patch has a pixel whose label is known.
pub(super) fn is_labelled(labels: &[u8]) -> bool {
    labels.iter().any(|&label| label != IGNORED)
}

impl Experiment<'_> {
    /// Adds what the person has labelled unasked to the training set.
    pub(super) fn annotate_unasked(&self, dataset: &mut Labelled) -> Result<()> {
        let mut samples = Vec::new();
        for at in self.data.annotator.unasked() {
            let sample = self.sample(at)?;
            if is_labelled(&sample.1) {
                samples.push(sample);
            }
        }
        dataset.extend(self.config, &samples);
        Ok(())
    }

    /// The grey values of a patch, scaled, and its labels.
    fn sample(&self, at: Position) -> Result<(Vec<f32>, Vec<u8>)> {
        let patch = self.config.patch;
        let mut x = Vec::with_capacity(self.data.train.sample_len(patch));
        self.data.train.read(at, patch, &mut x)?;
        Ok((x, self.data.annotator.annotate(at, patch)?))
    }

    /// Trains on what is labelled, says how the network before it did, and chooses the next query.
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
        let (mut unseen, mut view) = (None, None);
        if let Some(before) = &before {
            model.set_weights(before)?;
            unseen = self.judge_unseen(model, records.last())?;
            view = self.view(model)?;
        }
        // A network that is trained already comes with its epochs, and is trained no further.
        let epochs = checkpoint.as_ref().map(|(_, state)| state.epochs_done);
        let trained = checkpoint.map(|(_, state)| TrainState { epochs_done: usize::MAX, ..state });
        if before.is_none() && trained.is_none() {
            model.set_weights(&model.net().init(self.config.seed))?;
        }
        let mut record = self.round(model, dataset, iteration, trained, observer)?;
        if epochs.is_some() {
            record.epochs = epochs;
        }
        record.unseen_jaccard = unseen;
        let now = self.view(model)?;
        record.mean_entropy = now.as_ref().map(|now| now.mean_entropy);
        record.changed_pixels = now.zip(view).map(|(now, before)| now.share_unlike(&before));
        observer.iteration_done(&record)?;
        records.push(record);
        Ok(records)
    }

    /// The Jaccard index of the model on the labelled ones of the patches that were asked for last;
    /// nothing where none of them is labelled.
    fn judge_unseen(&self, model: &mut Model, last: Option<&Record>) -> Result<Option<f64>> {
        let patch = self.config.patch;
        let mut counts = Counts::default();
        let mut known = false;
        for pick in last.map_or(&[][..], |record| &record.picked) {
            let (x, labels) = self.sample(Position { z: pick.z, y: pick.y, x: pick.x })?;
            known |= is_labelled(&labels);
            let p = model.forward(&x, &[Output::Probabilities])?.remove(0);
            let foreground: Vec<f32> = p[..patch * patch].iter().map(|p| 1.0 - p).collect();
            let labels: Vec<u32> = labels.into_iter().map(u32::from).collect();
            let params = confusion::Params {
                len: foreground.len() as u32,
                ignore_label: u32::from(IGNORED),
                threshold: 0.5,
            };
            let mut found = [0; 4];
            confusion::fast::forward(&params, &foreground, &labels, &mut found)?;
            counts.add(found);
        }
        Ok(known.then(|| counts.jaccard()))
    }

    /// What the model sees in the patches for batch norm's statistics; nothing where there are none.
    fn view(&self, model: &mut Model) -> Result<Option<View>> {
        if self.unlabelled.is_empty() {
            return Ok(None);
        }
        let (pixels, classes) = (self.config.patch * self.config.patch, model.net().classes);
        let p = model.forward(&self.unlabelled, &[Output::Probabilities])?.remove(0);
        let is_foreground: Vec<bool> = p
            .chunks(classes * pixels)
            .flat_map(|patch| patch[..pixels].iter().map(|&background| background < 0.5))
            .collect();
        let entropy = |&p: &f32| if p > 0.0 { -f64::from(p) * f64::from(p).ln() } else { 0.0 };
        let mean_entropy = p.iter().map(entropy).sum::<f64>() / is_foreground.len() as f64;
        Ok(Some(View { is_foreground, mean_entropy }))
    }
}

/// What a network sees in patches that are the same in all rounds.
struct View {
    is_foreground: Vec<bool>,
    /// In nats a pixel.
    mean_entropy: f64,
}

impl View {
    /// The share of pixels whose class another network sees otherwise.
    fn share_unlike(&self, other: &Self) -> f64 {
        let pairs = self.is_foreground.iter().zip(&other.is_foreground);
        pairs.filter(|(a, b)| a != b).count() as f64 / self.is_foreground.len() as f64
    }
}
