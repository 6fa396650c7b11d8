//! Selection strategies: which patches to ask about next.
//!
//! A strategy sees scores and embeddings of the unlabelled patches, never a device. Each has a file.

mod bald;
mod core_set;
mod entropy;
mod full;
mod k_means;
mod least_confidence;
mod random;

use crate::error::{Error, Result};
use crate::geometry::{Geometry, Points};

pub use bald::Bald;
pub use core_set::CoreSet;
pub use entropy::Entropy;
pub use full::Full;
pub use k_means::KMeans;
pub use least_confidence::LeastConfidence;
pub use random::Random;

/// A number per patch that says how uncertain the network is, summed over its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "files", serde(rename_all = "snake_case"))]
pub enum Criterion {
    /// Entropy, in nats (eq. 1 of arXiv 1911.05548).
    Entropy,
    /// The largest probability (eq. 2); the smallest sums are the least confident.
    LeastConfidence,
    /// Entropy of the mean over dropout passes, in nats (eq. 3).
    BaldEntropy,
    /// Mutual information between label and dropout mask, in nats (Houlsby et al., arXiv 1112.5745).
    MutualInformation,
}

impl Criterion {
    /// Whether it takes passes under dropout.
    pub fn is_under_dropout(self) -> bool {
        matches!(self, Self::BaldEntropy | Self::MutualInformation)
    }
}

/// What a strategy must be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Only the patches' numbers.
    Nothing,
    /// A score per unlabelled patch.
    Scores(Criterion),
    /// The bottleneck of labelled and unlabelled patches.
    Embeddings,
}

/// The unlabelled patches and what was computed of them.
#[derive(Clone, Copy, Debug)]
pub struct Candidates<'a> {
    /// Indices into the pool, increasing.
    pub indices: &'a [usize],
    /// One per candidate, if the strategy needs scores.
    pub scores: &'a [f32],
    /// One point per candidate, if the strategy needs embeddings.
    pub embeddings: Points<'a>,
    /// One point per labelled patch, if the strategy needs embeddings.
    pub labelled: Points<'a>,
    /// The experiment's seed.
    pub seed: u64,
    /// The iteration, for random streams.
    pub iteration: u64,
}

/// A chosen patch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pick {
    /// Index into the pool.
    pub index: usize,
    /// What it was chosen for: a score, or a squared distance; none for a random choice.
    pub score: Option<f32>,
}

/// A rule that chooses patches.
pub trait Strategy: Send + Sync {
    /// The name on the command line and in journals.
    fn name(&self) -> &'static str;

    /// What [`select`](Self::select) must be given.
    fn needs(&self) -> Needs;

    /// Whether all of the pool is labelled at the start, which leaves nothing to select.
    fn labels_everything(&self) -> bool {
        false
    }

    /// Chooses `k` candidates (all of them if there are fewer), best first.
    fn select(
        &self,
        candidates: &Candidates<'_>,
        k: usize,
        geometry: &mut dyn Geometry,
    ) -> Result<Vec<Pick>>;
}

/// The names that [`by_name`] knows.
pub const NAMES: [&str; 7] =
    ["random", "entropy", "least_confidence", "bald", "k_means", "core_set", "full"];

/// The strategy with this name; `bald` is the score that stands behind the name `bald`.
///
/// # Errors
/// [`Error::Usage`] that lists the known names.
pub fn by_name(name: &str, bald: Criterion) -> Result<Box<dyn Strategy>> {
    Ok(match name {
        "random" => Box::new(Random),
        "entropy" => Box::new(Entropy),
        "least_confidence" => Box::new(LeastConfidence),
        "bald" => Box::new(Bald { criterion: bald }),
        "k_means" => Box::new(KMeans),
        "core_set" => Box::new(CoreSet),
        "full" => Box::new(Full),
        _ => {
            let known = NAMES.join(", ");
            return Err(Error::Usage(format!("unknown strategy `{name}`; choose one of: {known}")));
        }
    })
}

/// The `k` candidates with the largest scores (or the smallest), best first; ties go to the lowest index.
///
/// # Errors
/// [`Error::Input`] if a score is not a number, which says that the network has diverged.
fn best(candidates: &Candidates<'_>, k: usize, largest: bool) -> Result<Vec<Pick>> {
    if let Some(at) = candidates.scores.iter().position(|s| !s.is_finite()) {
        return Err(Error::Input(format!(
            "patch {} of the pool has the score {}: the network has diverged; lower the learning rate",
            candidates.indices[at], candidates.scores[at]
        )));
    }
    let mut order: Vec<usize> = (0..candidates.indices.len()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (candidates.scores[a], candidates.scores[b]);
        if largest { b.total_cmp(&a) } else { a.total_cmp(&b) }
    });
    let pick =
        |&i: &usize| Pick { index: candidates.indices[i], score: Some(candidates.scores[i]) };
    Ok(order.iter().take(k).map(pick).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates<'a>(indices: &'a [usize], scores: &'a [f32]) -> Candidates<'a> {
        let none = Points { values: &[], dim: 1 };
        Candidates { indices, scores, embeddings: none, labelled: none, seed: 0, iteration: 0 }
    }

    #[test]
    fn best_takes_extremes_and_breaks_ties_by_index() {
        let c = candidates(&[3, 5, 8, 9], &[1.0, 2.0, 2.0, 0.0]);
        let indices = |largest| -> Vec<usize> {
            best(&c, 3, largest).unwrap().iter().map(|p| p.index).collect()
        };
        assert_eq!(indices(true), [5, 8, 3]);
        assert_eq!(indices(false), [9, 3, 5]);
    }

    #[test]
    fn a_score_that_is_no_number_is_an_error() {
        assert!(best(&candidates(&[0, 1], &[1.0, f32::NAN]), 1, true).is_err());
    }

    #[test]
    fn every_name_is_known_and_its_own() {
        for name in NAMES {
            assert_eq!(by_name(name, Criterion::BaldEntropy).unwrap().name(), name);
        }
        assert!(by_name("entrophy", Criterion::BaldEntropy).is_err());
    }
}
