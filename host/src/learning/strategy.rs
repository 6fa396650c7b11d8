//! Selection strategies: which patches to ask about next.
//!
//! A strategy sees scores and embeddings of the unlabelled patches, never a device. Each has a file.

mod badge;
mod bald;
mod clasp;
mod core_set;
mod entropy;
mod entropy_core_set;
mod fg_random;
mod full;
mod k_means;
mod least_confidence;
mod mutual_information;
mod noise;
mod power;
mod random;
mod typiclust;

use crate::error::{Error, Result};
use crate::learning::geometry::{Geometry, Points};

pub use badge::Badge;
pub use bald::Bald;
pub use clasp::Clasp;
pub use core_set::CoreSet;
pub use entropy::Entropy;
pub use entropy_core_set::EntropyCoreSet;
pub use fg_random::FgRandom;
pub use full::Full;
pub use k_means::KMeans;
pub use least_confidence::LeastConfidence;
pub use mutual_information::MutualInformation;
pub use power::Power;
pub use random::Random;
pub use typiclust::TypiClust;

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

/// What a strategy must be given beside the patches' numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// A score per unlabelled patch.
    pub scores: Option<Criterion>,
    /// The entropy of each unlabelled patch, apart by predicted class.
    pub class_entropy: bool,
    /// The bottleneck of labelled and unlabelled patches.
    pub embeddings: bool,
    /// What nobody has labelled yet: only for yardsticks of experiments.
    pub labels: bool,
}

impl Needs {
    /// Only these scores.
    pub fn scores(criterion: Criterion) -> Self {
        Self { scores: Some(criterion), ..Self::default() }
    }

    /// How often the network looks at the pool, in forward passes.
    pub fn passes(self, mc_passes: usize) -> usize {
        let scores = self
            .scores
            .map_or(0, |criterion| if criterion.is_under_dropout() { mc_passes } else { 1 });
        scores + usize::from(self.class_entropy) + usize::from(self.embeddings)
    }
}

/// The unlabelled patches and what was computed of them.
#[derive(Clone, Copy, Debug)]
pub struct Candidates<'a> {
    /// Indices into the pool, increasing.
    pub indices: &'a [usize],
    /// One per candidate, if the strategy needs scores.
    pub scores: &'a [f32],
    /// One per candidate, if the strategy needs it: the sums of the entropies, in nats, of the pixels that are predicted to be background,
    /// and of those predicted to be foreground.
    pub class_entropy: &'a [[f32; 2]],
    /// One per candidate, if the strategy reads labels: the true share of foreground.
    pub foreground: &'a [f32],
    /// One point per candidate, if the strategy needs embeddings.
    pub embeddings: Points<'a>,
    /// One point per labelled patch, if the strategy needs embeddings.
    pub labelled: Points<'a>,
    /// The experiment's seed.
    pub seed: u64,
    /// The iteration, for random streams.
    pub iteration: u64,
    /// How many choices the experiment makes.
    pub iterations: u64,
}

impl<'a> Candidates<'a> {
    /// These patches, of which nothing is known.
    pub fn new(indices: &'a [usize]) -> Self {
        let none = Points { values: &[], dim: 1 };
        Self {
            indices,
            scores: &[],
            class_entropy: &[],
            foreground: &[],
            embeddings: none,
            labelled: none,
            seed: 0,
            iteration: 0,
            iterations: 1,
        }
    }
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

    /// Whether what happens in an iteration hangs on how many there are.
    fn plans_ahead(&self) -> bool {
        self.labels_everything()
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
pub const NAMES: [&str; 15] = [
    "random",
    "entropy",
    "least_confidence",
    "bald",
    "k_means",
    "core_set",
    "full",
    "mutual_information",
    "power_entropy",
    "power_bald",
    "clasp",
    "entropy_core_set",
    "typiclust",
    "badge",
    "fg_random",
];

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
        "mutual_information" => Box::new(MutualInformation),
        "power_entropy" => Box::new(Power::ENTROPY),
        "power_bald" => Box::new(Power::BALD),
        "clasp" => Box::new(Clasp),
        "entropy_core_set" => Box::new(EntropyCoreSet),
        "typiclust" => Box::new(TypiClust),
        "badge" => Box::new(Badge),
        "fg_random" => Box::new(FgRandom),
        _ => {
            let known = NAMES.join(", ");
            return Err(Error::Usage(format!("unknown strategy `{name}`; choose one of: {known}")));
        }
    })
}

/// An error where a score is not a number, which says that the network has diverged.
fn require_finite(candidates: &Candidates<'_>, scores: &[f32]) -> Result<()> {
    let Some(at) = scores.iter().position(|score| !score.is_finite()) else { return Ok(()) };
    Err(Error::Input(format!(
        "patch {} of the pool has the score {}: the network has diverged; lower the learning rate",
        candidates.indices[at], scores[at]
    )))
}

/// The `k` candidates with the largest scores (or the smallest), best first; ties go to the lowest index.
///
/// # Errors
/// [`Error::Input`] if a score is not a number.
fn best(candidates: &Candidates<'_>, k: usize, largest: bool) -> Result<Vec<Pick>> {
    require_finite(candidates, candidates.scores)?;
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
        Candidates { scores, ..Candidates::new(indices) }
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
