//! Counts of right and wrong pixels, and the scores made of them.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

#[cfg(all(test, feature = "std"))]
mod tests;

/// Size and rules; the same bytes are the shader's uniform buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Pixels.
    pub len: u32,
    /// Pixels with this label are skipped; `u32::MAX` where there are none.
    pub ignore_label: u32,
    /// A pixel is predicted where its probability is above this.
    pub threshold: f32,
}

impl Shape for Params {
    const OP: &'static str = "confusion";

    fn len(&self, buffer: &str) -> usize {
        match buffer {
            "p" | "labels" => self.len as usize,
            "counts" => 4,
            _ => panic!("confusion has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let what = if self.len == 0 {
            "len must be at least 1"
        } else if !self.threshold.is_finite() {
            "threshold must be finite"
        } else {
            return Ok(());
        };
        Err(Error::Params { op: Self::OP, what })
    }
}

/// `counts = [true positive, false positive, false negative, true negative]`, where a pixel is predicted if `p >
/// threshold` and labelled if its label is not 0.
///
/// # Shapes
/// `p` and `labels [len]`, `counts [4]`.
///
/// # Units
/// Pixels.
///
/// # Writes
/// `counts =`
///
/// # Numerics
/// Tolerance class exact.
pub fn forward<T: Real>(
    params: &Params,
    p: &[T],
    labels: &[u32],
    counts: &mut [u32],
) -> Result<(), Error> {
    check(params, p.len(), labels.len(), counts.len())?;
    counts.copy_from_slice(&count(params, p, labels));
    Ok(())
}

fn check(params: &Params, p: usize, labels: usize, counts: usize) -> Result<(), Error> {
    params.check("confusion::forward", &[("p", p), ("labels", labels), ("counts", counts)])
}

fn count<T: Real>(params: &Params, p: &[T], labels: &[u32]) -> [u32; 4] {
    let threshold = T::from_f64(f64::from(params.threshold));
    let mut counts = [0; 4];
    for i in 0..p.len() {
        if labels[i] != params.ignore_label {
            counts[match (p[i] > threshold, labels[i] != 0) {
                (true, true) => 0,
                (true, false) => 1,
                (false, true) => 2,
                (false, false) => 3,
            }] += 1;
        }
    }
    counts
}

/// Counts of many patches, in the order of [`forward`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Predicted and labelled.
    pub true_positive: u64,
    /// Predicted and not labelled.
    pub false_positive: u64,
    /// Labelled and not predicted.
    pub false_negative: u64,
    /// Neither.
    pub true_negative: u64,
}

impl Counts {
    /// Adds what [`forward`] wrote.
    pub fn add(&mut self, counts: [u32; 4]) {
        let [tp, fp, fn_, tn] = counts.map(u64::from);
        self.true_positive += tp;
        self.false_positive += fp;
        self.false_negative += fn_;
        self.true_negative += tn;
    }

    /// The Jaccard index (intersection over union): `TP / (TP + FP + FN)`.
    ///
    /// It is 1 where nothing is there and nothing is predicted: the prediction is perfect.
    pub fn jaccard(&self) -> f64 {
        let wrong = self.false_positive + self.false_negative;
        ratio(self.true_positive, self.true_positive + wrong, 1.0)
    }

    /// The Dice score (F1): `2 TP / (2 TP + FP + FN)`; 1 where nothing is there and nothing is predicted.
    pub fn dice(&self) -> f64 {
        let wrong = self.false_positive + self.false_negative;
        ratio(2 * self.true_positive, 2 * self.true_positive + wrong, 1.0)
    }

    /// The part of the predicted pixels that is right: `TP / (TP + FP)`; 1 where nothing is predicted, since nothing
    /// predicted is wrong.
    pub fn precision(&self) -> f64 {
        ratio(self.true_positive, self.true_positive + self.false_positive, 1.0)
    }

    /// The part of the labelled pixels that is found: `TP / (TP + FN)`; 1 where nothing is there, since nothing is
    /// missed.
    pub fn recall(&self) -> f64 {
        ratio(self.true_positive, self.true_positive + self.false_negative, 1.0)
    }
}

fn ratio(part: u64, whole: u64, of_nothing: f64) -> f64 {
    if whole == 0 { of_nothing } else { part as f64 / whole as f64 }
}

/// The f32 form, spread over threads.
#[cfg(feature = "std")]
pub mod fast {
    use super::Params;
    use crate::{Error, par};

    const CHUNK: usize = 1 << 15;

    /// [`forward`](super::forward) for f32; the same counts.
    pub fn forward(
        params: &Params,
        p: &[f32],
        labels: &[u32],
        counts: &mut [u32],
    ) -> Result<(), Error> {
        super::check(params, p.len(), labels.len(), counts.len())?;
        let partial = par::map_indices(p.len().div_ceil(CHUNK), |i| {
            let chunk = i * CHUNK..((i + 1) * CHUNK).min(p.len());
            super::count(params, &p[chunk.clone()], &labels[chunk])
        });
        counts.fill(0);
        for partial in partial {
            for (sum, count) in counts.iter_mut().zip(partial) {
                *sum += count;
            }
        }
        Ok(())
    }
}
