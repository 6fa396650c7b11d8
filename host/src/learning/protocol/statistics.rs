//! The patches on which batch norm's statistics are measured after a training.

use std::borrow::Cow;

use askem_kernels::rng::{Purpose, sample_without_replacement, stream};

use super::Config;
use crate::data::pool::{PatchReader, Position, read_patch};
use crate::error::Result;
use crate::learning::train::Dataset;

/// What batch norm's statistics are measured on after a training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "files", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum StatisticsFrom {
    /// Patches of the pool, drawn by chance; the same in all iterations.
    #[default]
    Unlabelled,
    /// The patches that trained, in the proportions in which training draws them: a network is used with the
    /// statistics that it was trained with, but for dropout and augmentation.
    Labelled,
}

/// Patches of the pool in which changes are looked for, at most, where the statistics are measured on others.
const LOOKED_AT: usize = 64;

/// The grey values of some patches of the pool, drawn by chance.
pub(super) fn unlabelled_patches(
    config: &Config,
    readers: &[PatchReader],
    pool: &[Position],
) -> Result<Vec<f32>> {
    let mut rng = stream(config.seed, Purpose::Statistics, 0, 0);
    let most = match config.statistics_from {
        StatisticsFrom::Unlabelled => config.statistics_patches,
        StatisticsFrom::Labelled => config.statistics_patches.min(LOOKED_AT),
    };
    let count = most.min(pool.len());
    let mut drawn = sample_without_replacement(&mut rng, &mut pool.to_vec(), count).to_vec();
    drawn.sort_unstable();
    let mut x = Vec::new();
    drawn.into_iter().try_for_each(|at| read_patch(readers, at, config.patch, &mut x))?;
    Ok(x)
}

/// What the statistics are measured on after training number `training` on some patches: their grey values, or
/// the `unlabelled` ones; none where the running statistics are kept.
pub fn statistics_patches<'a>(
    config: &Config,
    trained: &Dataset,
    unlabelled: &'a [f32],
    training: u64,
) -> Cow<'a, [f32]> {
    match config.statistics_from {
        StatisticsFrom::Unlabelled => Cow::Borrowed(unlabelled),
        StatisticsFrom::Labelled => {
            let mut rng = stream(config.seed, Purpose::Statistics, 1, training);
            let most = config.statistics_patches;
            Cow::Owned(trained.in_proportion(&mut rng, config.foreground_share, most))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labelled_patches_come_in_the_proportions_of_training() {
        let mut trained = Dataset::new(1);
        for i in 0..10 {
            trained.push(&[i as f32], &[u8::from(i == 7)]);
        }
        let unlabelled = [-1.0, -2.0];
        let config = |from, count| Config {
            statistics_from: from,
            statistics_patches: count,
            foreground_share: 0.5,
            patch: 1,
            ..Config::paper()
        };
        let drawn = |config, training| {
            statistics_patches(&config, &trained, &unlabelled, training).into_owned()
        };
        assert_eq!(drawn(config(StatisticsFrom::Unlabelled, 2), 0), unlabelled);
        let labelled = |most, training| drawn(config(StatisticsFrom::Labelled, most), training);
        for most in [20, 1000] {
            let some = labelled(most, 0);
            let times = |value: f32| some.iter().filter(|&&drawn| drawn == value).count();
            // Each once, and the only one with foreground as often as all together.
            assert_eq!((some.len(), times(7.0)), (20, 11), "{some:?}");
            assert!((0..10).all(|i| i == 7 || times(i as f32) == 1), "{some:?}");
        }
        let few = labelled(8, 0);
        let times = few.iter().filter(|&&drawn| drawn == 7.0).count();
        assert!(few.len() == 8 && (4..=5).contains(&times), "half of eight: {few:?}");
        assert_eq!(few, labelled(8, 0), "a run that is resumed draws the same");
        assert_ne!(few, labelled(8, 1));
        assert!(labelled(0, 0).is_empty(), "the running statistics are kept");
    }
}
