//! What a training changes, as far as it shows without a test region.

use askem_kernels::confusion::{self, Counts};

use super::person::is_labelled;
use super::{Experiment, Record};
use crate::data::volume::IGNORED;
use crate::error::Result;
use crate::network::model::Model;
use crate::network::unet::Output;

/// What is known of a network before it is trained on.
pub(super) struct Before {
    /// On the patches labelled since, which it had never seen; nothing where none is labelled.
    pub(super) unseen_jaccard: Option<f64>,
    pub(super) view: Option<View>,
}

impl Experiment<'_> {
    /// Looks at the network of the last iteration, which the model holds.
    pub(super) fn before(&self, model: &mut Model, last: &Record) -> Result<Before> {
        Ok(Before { unseen_jaccard: self.judge_unseen(model, last)?, view: self.view(model)? })
    }

    /// The Jaccard index of the model on the labelled ones of the patches that were asked for last;
    /// nothing where none of them is labelled.
    fn judge_unseen(&self, model: &mut Model, last: &Record) -> Result<Option<f64>> {
        let patch = self.config.patch;
        let mut counts = Counts::default();
        let mut known = false;
        for pick in &last.picked {
            let (x, labels) = self.sample(pick.index)?;
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
    pub(super) fn view(&self, model: &mut Model) -> Result<Option<View>> {
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
pub(super) struct View {
    is_foreground: Vec<bool>,
    /// In nats a pixel.
    pub(super) mean_entropy: f64,
}

impl View {
    /// The share of pixels whose class another network sees otherwise.
    pub(super) fn share_unlike(&self, other: &Self) -> f64 {
        let pairs = self.is_foreground.iter().zip(&other.is_foreground);
        pairs.filter(|(a, b)| a != b).count() as f64 / self.is_foreground.len() as f64
    }
}
