//! The labelled patches of an experiment: those that train, and those held out to say when to stop.

use askem_kernels::rng::{Purpose, Rng, sample_without_replacement, stream};

use super::Config;
use crate::data::volume::is_foreground;
use crate::learning::train::{Dataset, EarlyStopping};

/// Patches with their labels, in order of labelling.
pub(super) struct Labelled {
    /// What the network is trained on.
    pub(super) train: Dataset,
    held_out: Dataset,
}

impl Labelled {
    pub(super) fn new(config: &Config) -> Self {
        let set = || Dataset::with_sections(config.patch, config.net.sections());
        Self { train: set(), held_out: set() }
    }

    /// Adds the patches that have been labelled together, of which some are held out for good: what the network has once been
    /// trained on can't tell when to stop. The held-out ones have little and much foreground as all have.
    pub(super) fn extend(&mut self, config: &Config, samples: &[(Vec<f32>, Vec<u8>)]) {
        let before = self.len();
        let count = config.held_out(before + samples.len()) - config.held_out(before);
        let mut rng = stream(config.seed, Purpose::HeldOut, before as u64, 0);
        let held_out = spread_by_foreground(&mut rng, samples, count);
        for (i, (x, labels)) in samples.iter().enumerate() {
            let set = if held_out.contains(&i) { &mut self.held_out } else { &mut self.train };
            set.push(x, labels);
        }
    }

    /// Patches, of both sets.
    pub(super) fn len(&self) -> usize {
        self.train.len() + self.held_out.len()
    }

    /// Share of foreground among all labelled pixels.
    pub(super) fn foreground(&self) -> f64 {
        let [train, held_out] = [&self.train, &self.held_out].map(Dataset::counts);
        let labelled = train[1] + held_out[1];
        if labelled == 0 { 0.0 } else { (train[0] + held_out[0]) as f64 / labelled as f64 }
    }

    /// Labelled pixels.
    pub(super) fn pixels(&self) -> u64 {
        self.train.counts()[1] + self.held_out.counts()[1]
    }

    /// When a training on these ends early, whose statistics are measured on such patches.
    pub(super) fn early_stopping<'a>(
        &'a self,
        config: &Config,
        measured_on: &'a [f32],
    ) -> Option<EarlyStopping<'a>> {
        let held_out = &self.held_out;
        config.early_stopping.map(|patience| EarlyStopping { patience, held_out, measured_on })
    }
}

/// Draws so many of the samples, one from each of as many blocks of samples with alike amounts of foreground.
///
/// With few samples a plain draw often holds no foreground, and then says nothing about it.
fn spread_by_foreground(
    rng: &mut impl Rng,
    samples: &[(Vec<f32>, Vec<u8>)],
    count: usize,
) -> Vec<usize> {
    let foreground = |i: &usize| samples[*i].1.iter().filter(|l| is_foreground(**l)).count();
    let mut order: Vec<usize> = (0..samples.len()).collect();
    order.sort_by_key(foreground);
    let block = |i: usize| i * order.len() / count;
    (0..count)
        .map(|i| sample_without_replacement(rng, &mut order[block(i)..block(i + 1)].to_vec(), 1)[0])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(share: f64) -> Labelled {
        let config =
            Config { early_stopping: Some(3), holdout: share, patch: 1, ..Config::paper() };
        let mut labelled = Labelled::new(&config);
        let mut next = 0;
        for count in [20, 7, 1, 1, 1] {
            let samples: Vec<_> = (next..next + count)
                .map(|i| (vec![i as f32], vec![u8::from(i % 2 == 0)]))
                .collect();
            labelled.extend(&config, &samples);
            next += count;
        }
        labelled
    }

    #[test]
    fn each_patch_is_in_one_of_the_sets_and_the_share_holds_at_all_times() {
        for (share, expected) in [(0.2, 6), (0.1, 3), (0.5, 15)] {
            let labelled = filled(share);
            assert_eq!((labelled.train.len(), labelled.held_out.len()), (30 - expected, expected));
            assert!((labelled.foreground() - 0.5).abs() < 1e-12, "foreground of both sets");
            assert_eq!(labelled.pixels(), 30);
        }
    }

    #[test]
    fn held_out_patches_have_little_and_much_foreground() {
        for seed in 0..20 {
            let config =
                Config { early_stopping: Some(3), holdout: 0.2, seed, patch: 2, ..Config::paper() };
            let mut labelled = Labelled::new(&config);
            // A quarter of the patches has foreground: four drawn plainly have none in three of ten draws.
            let samples: Vec<_> =
                (0..20).map(|i| (vec![0.0; 4], vec![u8::from(i % 4 == 1); 4])).collect();
            labelled.extend(&config, &samples);
            assert_eq!(labelled.held_out.counts(), [4, 16]);
        }
    }

    #[test]
    fn without_early_stopping_nothing_is_held_out() {
        let config = Config { patch: 1, ..Config::paper() };
        let mut labelled = Labelled::new(&config);
        labelled.extend(&config, &vec![(vec![0.0], vec![1]); 20]);
        assert_eq!((labelled.train.len(), labelled.held_out.len()), (20, 0));
        assert!(labelled.early_stopping(&Config::paper(), &[]).is_none());
    }
}
