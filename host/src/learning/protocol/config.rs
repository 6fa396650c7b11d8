//! Everything that decides an experiment's result, apart from the data.

use super::{Record, StatisticsFrom};
use crate::data::pool::Distance;
use crate::error::{Error, Result};
use crate::learning::predict::Embedding;
use crate::learning::strategy::Criterion;
use crate::learning::train::{Augment, Schedule};
use crate::network::unet::{DropoutKind, Norm, PATCH_MULTIPLE, UNet};

/// Which score stands behind the strategy `bald`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "files", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[cfg_attr(feature = "cli", value(rename_all = "snake_case"))]
pub enum Bald {
    /// Entropy of the mean prediction, as in the paper.
    Entropy,
    /// Mutual information, what the field calls BALD now.
    MutualInformation,
}

impl Bald {
    /// The score.
    pub fn criterion(self) -> Criterion {
        match self {
            Self::Entropy => Criterion::BaldEntropy,
            Self::MutualInformation => Criterion::MutualInformation,
        }
    }
}

/// How the patches are chosen that are labelled before the first training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "files", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum InitialStrategy {
    /// By chance, as in the paper.
    #[default]
    Random,
    /// The typical ones of clusters, from embeddings of the untrained network.
    Typiclust,
}

/// The settings of one experiment. [`Config::paper`] holds the paper's numbers.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// The selection strategy's name.
    pub strategy: String,
    /// Decides everything random.
    pub seed: u64,
    /// Patches labelled at the start, drawn from the pool.
    pub initial: usize,
    /// How those are chosen.
    #[cfg_attr(feature = "files", serde(default))]
    pub initial_strategy: InitialStrategy,
    /// Patches in the pool.
    pub pool: usize,
    /// Whether the pool is of tiles that cover every labelled pixel, `pool` of them at most, and not of
    /// patches at places drawn by chance.
    #[cfg_attr(feature = "files", serde(default, skip_serializing_if = "std::ops::Not::not"))]
    pub tiles: bool,
    /// Patches labelled per iteration.
    pub query: usize,
    /// Iterations after the initial training.
    pub iterations: usize,
    /// Epochs of the initial training.
    pub epochs: usize,
    /// Epochs of each later training.
    pub finetune_epochs: usize,
    /// Optimiser steps of each training at most, rounded down to whole epochs, of which there is at least one. Full supervision
    /// has as many as all trainings of the others together.
    #[cfg_attr(feature = "files", serde(default))]
    pub max_steps: Option<usize>,
    /// Epochs without a smaller loss on the held-out patches after which a training stops; none trains all epochs.
    #[cfg_attr(feature = "files", serde(default))]
    pub early_stopping: Option<usize>,
    /// Share of the labelled patches that is held out of training, with early stopping.
    #[cfg_attr(feature = "files", serde(default = "fifth"))]
    pub holdout: f64,
    /// Epochs of the strategy `full`; none means as many sample-steps as the active strategies take.
    pub full_epochs: Option<usize>,
    /// Learning rate of the initial training.
    pub lr: f64,
    /// Learning rate of later trainings.
    pub finetune_lr: f64,
    /// How the learning rate changes within each training.
    #[cfg_attr(feature = "files", serde(default))]
    pub schedule: Schedule,
    /// Share of the samples of each epoch that are drawn among the labelled patches with foreground; the others are drawn among all.
    #[cfg_attr(feature = "files", serde(default))]
    pub foreground_share: f64,
    /// Patches on which batch norm's statistics are measured after each training, at most; 0 leaves the running
    /// statistics of the training.
    #[cfg_attr(feature = "files", serde(default))]
    pub statistics_patches: usize,
    /// Which patches these are. Files of before there was a choice mean the unlabelled ones.
    #[cfg_attr(feature = "files", serde(default))]
    pub statistics_from: StatisticsFrom,
    /// Side of a patch in pixels.
    pub patch: usize,
    /// Patches per training step.
    pub batch_size: usize,
    /// Share of each chosen patch's pixels that is labelled; the others are ignored in training. Not for `full`.
    #[cfg_attr(feature = "files", serde(default = "whole"))]
    pub label_share: f64,
    /// Dropout passes of `bald`.
    pub mc_passes: usize,
    /// Which score stands behind `bald`.
    pub bald: Bald,
    /// Least difference in rows or columns between a chosen patch and each other that is chosen or labelled; 0 allows all.
    #[cfg_attr(feature = "files", serde(default))]
    pub min_distance: usize,
    /// Sections up to which `min_distance` holds; 0 means within a section.
    #[cfg_attr(feature = "files", serde(default))]
    pub min_distance_z: usize,
    /// Which form of the bottleneck `k_means` and `core_set` use.
    pub embedding: Embedding,
    /// Factor of each class's loss.
    pub class_weights: Vec<f32>,
    /// Symmetries that training applies.
    pub augment: Augment,
    /// The network.
    #[cfg_attr(feature = "files", serde(flatten))]
    pub net: UNet,
}

/// Patches in a training step at most: beyond what any device holds.
const MOST_IN_A_BATCH: usize = 1 << 16;
/// Dropout passes at most: beyond what anyone waits for.
pub const MOST_PASSES: usize = 100_000;
/// Patches in a pool at most: beyond what any memory holds.
pub const MOST_PATCHES: usize = 100_000_000;

/// The share of labels in files of before there was one.
#[cfg(feature = "files")]
fn whole() -> f64 {
    1.0
}

/// The share held out in files of before there was one.
#[cfg(feature = "files")]
fn fifth() -> f64 {
    0.2
}

impl Config {
    /// The paper's numbers; what it leaves open is said in the project's documentation.
    pub fn paper() -> Self {
        Self {
            strategy: "entropy".into(),
            seed: 0,
            initial: 20,
            initial_strategy: InitialStrategy::Random,
            pool: 2000,
            tiles: false,
            query: 20,
            iterations: 25,
            epochs: 500,
            finetune_epochs: 200,
            max_steps: None,
            early_stopping: None,
            holdout: 0.2,
            full_epochs: None,
            lr: 1e-3,
            finetune_lr: 5e-4,
            schedule: Schedule::Constant,
            foreground_share: 0.0,
            statistics_patches: 0,
            statistics_from: StatisticsFrom::Unlabelled,
            patch: 128,
            batch_size: 4,
            label_share: 1.0,
            mc_passes: 10,
            bald: Bald::Entropy,
            min_distance: 0,
            min_distance_z: 0,
            embedding: Embedding::Mean,
            class_weights: vec![1.0, 1.0],
            augment: Augment { flips: true, turns: true, ..Augment::default() },
            net: UNet::paper(),
        }
    }

    /// What a lab starts with: a small network and a training that is stable with few labels, 100 of
    /// them in all.
    ///
    /// Batch norm's statistics are measured once the training is over, half of a training's samples hold
    /// foreground, the learning rate follows a cosine, and patches are turned, scaled and made lighter
    /// or darker. What each of these gains is measured in `benches/RESULTS.md`.
    pub fn lab() -> Self {
        Self {
            pool: 1000,
            iterations: 4,
            epochs: 400,
            finetune_epochs: 400,
            max_steps: Some(2000),
            lr: 3e-3,
            finetune_lr: 3e-3,
            schedule: Schedule::Cosine,
            foreground_share: 0.5,
            statistics_patches: 256,
            statistics_from: StatisticsFrom::Labelled,
            augment: Augment { flips: true, turns: true, affine: true, intensity: true },
            net: UNet {
                width: 8,
                dropout: 0.1,
                dropout_kind: DropoutKind::Element,
                ..UNet::paper()
            },
            ..Self::paper()
        }
    }

    /// A small [`lab`](Self::lab), which shows the protocol within minutes on two cores.
    pub fn quick() -> Self {
        Self { pool: 300, max_steps: Some(400), ..Self::lab() }
    }

    /// How near chosen patches may lie.
    pub fn distance(&self) -> Distance {
        Distance { pixels: self.min_distance, sections: self.min_distance_z }
    }

    /// Whether a training may end before its last epoch.
    pub fn has_shorter_trainings(&self) -> bool {
        self.early_stopping.is_some() || self.max_steps.is_some()
    }

    /// How many of so many labelled patches are held out of training.
    pub fn held_out(&self, labelled: usize) -> usize {
        let share = if self.early_stopping.is_some() { self.holdout } else { 0.0 };
        (labelled as f64 * share).round() as usize
    }

    /// Epochs at most of an active strategy's training on all but the held-out ones of the labelled patches; iteration 0 is the
    /// initial training.
    pub fn epochs_of(&self, iteration: usize, labelled: usize) -> usize {
        let epochs = if iteration == 0 { self.epochs } else { self.finetune_epochs };
        self.within_budget(epochs, labelled, 1)
    }

    /// Epochs of the training that a record tells of.
    pub fn epochs_of_record(&self, record: &Record) -> usize {
        record.epochs.unwrap_or_else(|| match self.strategy.as_str() {
            "full" => self.full_epochs(),
            _ => self.epochs_of(record.iteration, record.labelled),
        })
    }

    /// Whole epochs that fit into the budget of some trainings.
    fn within_budget(&self, epochs: usize, labelled: usize, trainings: usize) -> usize {
        let steps_per_epoch = (labelled - self.held_out(labelled)).div_ceil(self.batch_size).max(1);
        let fit = |steps: usize| (steps.saturating_mul(trainings) / steps_per_epoch).max(1);
        self.max_steps.map_or(epochs, |steps| epochs.min(fit(steps)))
    }

    /// Patches times epochs that the active strategies train in all, at most.
    pub fn sample_steps(&self) -> u64 {
        let of_iteration = |iteration: usize| {
            let labelled = self.initial.saturating_add(iteration.saturating_mul(self.query));
            let trained = (labelled - self.held_out(labelled)) as u64;
            trained.saturating_mul(self.epochs_of(iteration, labelled) as u64)
        };
        (0..=self.iterations).map(of_iteration).fold(0, u64::saturating_add)
    }

    /// Epochs of full supervision at most: unless given, as many sample-steps on the whole pool as the active
    /// strategies take in all, so that the ceiling is not a matter of longer training.
    pub fn full_epochs(&self) -> usize {
        let trained = (self.pool - self.held_out(self.pool)).max(1) as u64;
        let same_effort = || self.sample_steps().div_ceil(trained) as usize;
        let epochs = self.full_epochs.unwrap_or_else(same_effort);
        self.within_budget(epochs, self.pool, self.iterations + 1)
    }

    /// Refuses settings that make no experiment, naming the option.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn validate(&self) -> Result<()> {
        crate::learning::strategy::by_name(&self.strategy, self.bald.criterion())?;
        self.net.validate()?;
        self.net.validate_patch(self.patch)?;
        if self.net.norm == Norm::Instance && self.patch < 2 * PATCH_MULTIPLE {
            return Err(Error::Usage(format!(
                "--norm instance --patch {}: the bottleneck would be a single pixel, which normalises to 0; use patches of 32 or more, or --norm batch",
                self.patch
            )));
        }
        let counts = [
            ("--initial", self.initial),
            ("--pool", self.pool),
            ("--epochs", self.epochs),
            ("--batch-size", self.batch_size),
            ("--mc-passes", self.mc_passes),
        ];
        for (option, value) in counts {
            if value == 0 {
                return Err(Error::Usage(format!("{option} 0: give at least 1")));
            }
        }
        let most = [
            ("--batch-size", self.batch_size, MOST_IN_A_BATCH),
            ("--mc-passes", self.mc_passes, MOST_PASSES),
            ("--pool", self.pool, MOST_PATCHES),
            ("--statistics-patches", self.statistics_patches, MOST_IN_A_BATCH),
        ];
        for (option, value, most) in most {
            if value > most {
                return Err(Error::Usage(format!("{option} {value}: give at most {most}")));
            }
        }
        if self.iterations > 0 && (self.query == 0 || self.finetune_epochs == 0) {
            let option = if self.query == 0 { "--query" } else { "--finetune-epochs" };
            return Err(Error::Usage(format!(
                "{option} 0: with {} iterations it must be at least 1",
                self.iterations
            )));
        }
        if self.full_epochs == Some(0) {
            return Err(Error::Usage("--epochs 0: give at least 1".into()));
        }
        self.validate_stopping()?;
        if self.strategy == "full" && self.full_epochs.is_some() {
            // Nothing is drawn from the pool, so nothing can be too large for it.
            return self.validate_numbers();
        }
        if self.initial > self.pool {
            return Err(Error::Usage(format!(
                "--initial {}: the pool has only {} patches (--pool)",
                self.initial, self.pool
            )));
        }
        let wanted =
            self.iterations.checked_mul(self.query).and_then(|q| q.checked_add(self.initial));
        if wanted.is_none_or(|wanted| wanted > self.pool) {
            return Err(Error::Usage(format!(
                "{} iterations of --query {} after --initial {} need more patches than --pool {} has; lower --iterations or --query, or enlarge the pool",
                self.iterations, self.query, self.initial, self.pool
            )));
        }
        self.validate_numbers()
    }

    fn validate_stopping(&self) -> Result<()> {
        for (option, value) in
            [("--max-steps", self.max_steps), ("--early-stopping", self.early_stopping)]
        {
            if value == Some(0) {
                return Err(Error::Usage(format!("{option} 0: give at least 1")));
            }
        }
        if !(self.holdout > 0.0 && self.holdout < 1.0) {
            return Err(Error::Usage(format!(
                "--holdout {}: give a number between 0 and 1",
                self.holdout
            )));
        }
        let (option, first) = if self.strategy == "full" {
            ("--pool", self.pool)
        } else {
            ("--initial", self.initial)
        };
        if self.early_stopping.is_some() && !(1..first).contains(&self.held_out(first)) {
            return Err(Error::Usage(format!(
                "--holdout {}: of {option} {first} patches {} would be held out of training; hold out at least one and leave at least one",
                self.holdout,
                self.held_out(first)
            )));
        }
        Ok(())
    }

    fn validate_numbers(&self) -> Result<()> {
        if !(self.label_share > 0.0 && self.label_share <= 1.0) {
            return Err(Error::Usage(format!(
                "--label-share {}: give a number above 0 and up to 1",
                self.label_share
            )));
        }
        if !(0.0..=1.0).contains(&self.foreground_share) {
            return Err(Error::Usage(format!(
                "--foreground-share {}: give a number from 0 to 1",
                self.foreground_share
            )));
        }
        for (option, lr) in [("--lr", self.lr), ("--finetune-lr", self.finetune_lr)] {
            if !(lr.is_finite() && lr > 0.0) {
                return Err(Error::Usage(format!("{option} {lr}: give a positive number")));
            }
        }
        if self.class_weights.len() != self.net.classes
            || !self.class_weights.iter().all(|w| w.is_finite() && *w >= 0.0)
            || self.class_weights.iter().sum::<f32>() <= 0.0
        {
            return Err(Error::Usage(format!(
                "--class-weights: give {} numbers that are not negative and not all 0",
                self.net.classes
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_run_takes_1_4_million_sample_steps() {
        let config = Config::paper();
        config.validate().unwrap();
        assert_eq!(config.sample_steps(), 1_410_000);
        assert_eq!(config.full_epochs(), 705);
    }

    #[test]
    fn a_budget_in_steps_is_whole_epochs() {
        let config = Config { max_steps: Some(130), ..Config::paper() };
        // 20, 40 and 520 patches are 5, 10 and 130 steps an epoch.
        let epochs = [(0, 20), (1, 40), (25, 520)].map(|(i, n)| config.epochs_of(i, n));
        assert_eq!(epochs, [26, 13, 1]);
        let config = Config { max_steps: Some(1), ..config };
        assert_eq!(config.epochs_of(25, 520), 1, "one epoch at least");
        let config = Config { max_steps: Some(1_000_000), ..config };
        assert_eq!(config.sample_steps(), 1_410_000, "no more epochs than without a budget");
        // 26 trainings of 100 steps, 500 steps an epoch of the pool.
        let config = Config { max_steps: Some(100), full_epochs: Some(700), ..config };
        assert_eq!(config.full_epochs(), 5);
    }

    #[test]
    fn what_is_held_out_is_not_trained_on() {
        let config = Config { early_stopping: Some(10), ..Config::paper() };
        assert_eq!(config.sample_steps(), 1_410_000 / 5 * 4);
        assert_eq!(config.full_epochs(), 705);
        let config = Config { max_steps: Some(40), ..config };
        assert_eq!(config.epochs_of(0, 20), 10, "16 patches are 4 steps");
    }

    #[test]
    fn nonsense_is_refused_by_the_options_name() {
        let refuses = |option: &str, change: &dyn Fn(&mut Config)| {
            let mut config = Config::quick();
            change(&mut config);
            let message = config.validate().unwrap_err().to_string();
            assert!(message.contains(option), "{option}: {message}");
        };
        refuses("--initial", &|c| c.initial = c.pool + 1);
        refuses("--initial", &|c| c.initial = 0);
        refuses("--pool", &|c| c.iterations = 1000);
        refuses("--iterations", &|c| c.iterations = usize::MAX);
        refuses("--patch", &|c| c.patch = 100);
        refuses("--patch", &|c| c.patch = 0);
        refuses("--width", &|c| c.net.width = 0);
        refuses("--dropout", &|c| c.net.dropout = 1.0);
        refuses("--lr", &|c| c.lr = f64::NAN);
        refuses("strategy", &|c| c.strategy = "best".into());
        refuses("--max-steps", &|c| c.max_steps = Some(0));
        refuses("--early-stopping", &|c| c.early_stopping = Some(0));
        refuses("--holdout", &|c| c.holdout = 1.0);
        refuses("--holdout", &|c| c.holdout = f64::NAN);
        refuses("--holdout", &|c| (c.early_stopping, c.initial) = (Some(5), 2));
        refuses("--holdout", &|c| (c.early_stopping, c.holdout) = (Some(5), 0.99));
        refuses("--foreground-share", &|c| c.foreground_share = 1.5);
        refuses("--foreground-share", &|c| c.foreground_share = f64::NAN);
        refuses("--context", &|c| c.net.context = 100);
        refuses("--statistics-patches", &|c| c.statistics_patches = 1 << 40);
        refuses("--label-share", &|c| c.label_share = 0.0);
        refuses("--label-share", &|c| c.label_share = f64::NAN);
        refuses("--class-weights", &|c| c.class_weights = vec![1.0]);
        refuses("--batch-size", &|c| c.batch_size = 1_000_000_000_000);
        refuses("--mc-passes", &|c| c.mc_passes = 1_000_000_000);
        refuses("--pool", &|c| c.pool = usize::MAX);
    }
}
