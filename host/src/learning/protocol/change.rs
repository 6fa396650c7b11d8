//! What a training changes, as far as it shows without a test region.

use super::person::is_labelled;
use super::{Experiment, Record};
use crate::error::Result;
use crate::learning::class_counts::ClassCounts;
use crate::network::model::Model;
use crate::network::unet::Output;

/// The likeliest class of each pixel of a patch, by the probabilities of one class after the other.
fn likeliest(p: &[f32], pixels: usize) -> Vec<u8> {
    let likeliest_of = |pixel: usize| {
        let of_class = p[pixel..].iter().step_by(pixels);
        let mut best = (0, f32::NEG_INFINITY);
        for (class, &p) in (0_u8..).zip(of_class) {
            if p > best.1 {
                best = (class, p);
            }
        }
        best.0
    };
    (0..pixels).map(likeliest_of).collect()
}

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
        let mut counts = ClassCounts::new(model.net().classes);
        let mut known = false;
        for pick in &last.picked {
            let (x, labels) = self.sample(pick.index)?;
            known |= is_labelled(&labels);
            let p = model.forward(&x, &[Output::Probabilities])?.remove(0);
            counts.add(&likeliest(&p, patch * patch), &labels);
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
        let seen: Vec<u8> = p.chunks(classes * pixels).flat_map(|p| likeliest(p, pixels)).collect();
        let entropy = |&p: &f32| if p > 0.0 { -f64::from(p) * f64::from(p).ln() } else { 0.0 };
        let mean_entropy = p.iter().map(entropy).sum::<f64>() / seen.len() as f64;
        Ok(Some(View { classes: seen, mean_entropy }))
    }
}

/// What a network sees in patches that are the same in all rounds.
pub(super) struct View {
    /// The likeliest of each pixel.
    classes: Vec<u8>,
    /// In nats a pixel.
    pub(super) mean_entropy: f64,
}

impl View {
    /// The share of pixels whose class another network sees otherwise.
    pub(super) fn share_unlike(&self, other: &Self) -> f64 {
        let pairs = self.classes.iter().zip(&other.classes);
        pairs.filter(|(a, b)| a != b).count() as f64 / self.classes.len() as f64
    }
}
