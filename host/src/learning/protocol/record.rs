//! What the journal keeps of an iteration.

/// One iteration, as the journal keeps it.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
pub struct Record {
    /// 0 is the initial training.
    pub iteration: usize,
    /// The strategy's name.
    pub strategy: String,
    /// The experiment's seed.
    pub seed: u64,
    /// Labelled patches that the network was trained on.
    pub labelled: usize,
    /// Foreground share of their pixels.
    pub labelled_foreground: f64,
    /// Their pixels whose label is known; nothing in journals of earlier versions.
    #[cfg_attr(feature = "files", serde(default, skip_serializing_if = "Option::is_none"))]
    pub labelled_pixels: Option<u64>,
    /// Mean loss of the last epoch.
    pub loss: f64,
    /// In iteration 0, indices of the patches that were labelled first, where the seed alone does not tell.
    #[cfg_attr(feature = "files", serde(default, skip_serializing_if = "Option::is_none"))]
    pub initial: Option<Vec<usize>>,
    /// Epochs of this training, where early stopping or a budget in steps decides.
    #[cfg_attr(feature = "files", serde(default, skip_serializing_if = "Option::is_none"))]
    pub epochs: Option<usize>,
    /// With early stopping, the network that was taken.
    #[cfg_attr(feature = "files", serde(default, skip_serializing_if = "Option::is_none"))]
    pub best: Option<BestEpoch>,
    /// Jaccard index of the foreground over the whole test region; with more than two classes the mean
    /// of those but background. Nothing where there is no test region, as when a person labels.
    pub jaccard: Option<f64>,
    /// With more than two classes, the index of each from 1 on; null where a class is neither there nor
    /// predicted.
    #[cfg_attr(feature = "files", serde(default, skip_serializing_if = "Option::is_none"))]
    pub class_jaccard: Option<Vec<Option<f64>>>,
    /// Jaccard index of the network before this training on the patches labelled since, which it
    /// had never seen; nothing before there is a network.
    #[cfg_attr(feature = "files", serde(default, skip_serializing_if = "Option::is_none"))]
    pub unseen_jaccard: Option<f64>,
    /// Share of the pixels of some unlabelled patches, the same in all iterations, whose class the
    /// network before this training saw otherwise; nothing without patches for batch norm's
    /// statistics, which are those.
    #[cfg_attr(feature = "files", serde(default, skip_serializing_if = "Option::is_none"))]
    pub changed_pixels: Option<f64>,
    /// Mean entropy of the network on the pixels of these patches, in nats.
    #[cfg_attr(feature = "files", serde(default, skip_serializing_if = "Option::is_none"))]
    pub mean_entropy: Option<f64>,
    /// What was chosen for labelling after this iteration, best first.
    pub picked: Vec<Picked>,
    /// Wall-clock time.
    pub seconds: Seconds,
}

impl Record {
    /// The Jaccard index of the test region, or not a number where there is none.
    pub fn jaccard_or_nan(&self) -> f64 {
        self.jaccard.unwrap_or(f64::NAN)
    }
}

/// The epoch after which the network was best, by the loss on the held-out patches.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
pub struct BestEpoch {
    /// Epochs done then.
    pub epoch: usize,
    /// The loss on the held-out patches.
    pub held_out_loss: f64,
}

/// A chosen patch with its place.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
pub struct Picked {
    /// Index into the pool.
    pub index: usize,
    /// Section.
    pub z: usize,
    /// First row.
    pub y: usize,
    /// First column.
    pub x: usize,
    /// What it was chosen for; none for a random choice.
    pub score: Option<f32>,
}

/// Wall-clock seconds of an iteration's phases.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
pub struct Seconds {
    /// Training.
    pub train: f64,
    /// Scoring and selection.
    pub score: f64,
    /// Prediction of the test region and its comparison with the labels.
    pub evaluate: f64,
}
