//! Early stopping: a training ends when it no longer helps with patches that it does not see.
//!
//! Source: Prechelt, "Early stopping - but when?" (1998); the rule here is patience.

use super::Dataset;
use crate::data::volume::IGNORED;
use crate::error::{Error, Result};
use crate::network::model::Model;
use crate::network::unet::{Output, Weights};

/// When a training stops before its last epoch.
#[derive(Clone, Copy, Debug)]
pub struct EarlyStopping<'a> {
    /// Epochs without a smaller loss after which it stops.
    pub patience: usize,
    /// Labelled patches that it does not train on.
    pub held_out: &'a Dataset,
    /// Patches on the first of which batch norm's statistics are measured before each look, since the network is used
    /// with such statistics; empty where it is used with the running ones.
    pub measured_on: &'a [f32],
}

/// Patches on which the statistics for a look are measured, at most.
const MEASURED: usize = 16;

impl EarlyStopping<'_> {
    /// Looks at the held-out patches after an epoch, and keeps the network if it is the best so far. Gives their loss.
    ///
    /// # Errors
    /// [`Error::Input`] if the held-out patches have no labelled pixel.
    pub(super) fn look(
        self,
        model: &mut Model,
        class_weights: &[f32],
        epoch: usize,
        best: &mut Option<Best>,
    ) -> Result<f32> {
        let measured = self.measured_on.len().min(MEASURED * model.sample_len());
        model.measure_statistics(&self.measured_on[..measured], None)?;
        let loss = loss(model, self.held_out, class_weights)?;
        if best.as_ref().is_none_or(|best| loss < best.loss) {
            *best = Some(Best { epoch, loss, weights: model.weights()? });
        }
        Ok(loss)
    }

    /// Whether the patience is over.
    pub(super) fn is_over(self, epochs_done: usize, best: Option<&Best>) -> bool {
        best.is_some_and(|best| epochs_done >= best.epoch + self.patience)
    }
}

/// The network after the epoch with the smallest loss on the held-out patches.
#[derive(Clone, Debug, PartialEq)]
pub struct Best {
    /// Epochs that were done then.
    pub epoch: usize,
    /// The loss.
    pub loss: f32,
    /// The network's values.
    pub weights: Weights,
}

/// The loss of training, over all labelled pixels and without dropout and augmentation: cross-entropy in nats, a mean weighted by class.
fn loss(model: &mut Model, data: &Dataset, class_weights: &[f32]) -> Result<f32> {
    let pixels = data.patch * data.patch;
    let classes = class_weights.len();
    let (mut sum, mut weights) = (0.0_f64, 0.0_f64);
    let batch = model.score_batch() * pixels;
    let batches = data.x.chunks(batch * data.sections).zip(data.labels.chunks(batch));
    for (x, labels) in batches {
        let p = model.forward(x, &[Output::Probabilities])?.remove(0);
        for (sample, labels) in labels.chunks(pixels).enumerate() {
            let p = &p[sample * classes * pixels..][..classes * pixels];
            for (pixel, &label) in labels.iter().enumerate().filter(|(_, label)| **label != IGNORED)
            {
                let weight = f64::from(class_weights[usize::from(label)]);
                let p = f64::from(p[usize::from(label) * pixels + pixel]);
                // The smallest probability that a softmax of 32 bits gives is 0.
                sum -= weight * p.max(f64::from(f32::MIN_POSITIVE)).ln();
                weights += weight;
            }
        }
    }
    if weights == 0.0 {
        return Err(Error::Input(
            "the patches held out for early stopping have no labelled pixel that counts; hold out more (--holdout), or train without --early-stopping"
                .into(),
        ));
    }
    Ok((sum / weights) as f32)
}
