//! Scores of the pool, and the strategy's choice among them.

use askem_kernels::rng::{Purpose, key};

use super::{Experiment, FirstChoice, Observer, Phase, Picked, stop_if_asked};
use crate::data::pool::{Position, read_patch};
use crate::data::volume::is_foreground;
use crate::error::Result;
use crate::learning::geometry::{DeviceGeometry, Points};
use crate::learning::predict::{self, McOptions};
use crate::learning::strategy::{Candidates, Pick, Strategy};
use crate::network::model::Model;
use crate::network::unet::Output;

impl Experiment<'_> {
    pub(super) fn select(
        &self,
        model: &mut Model,
        iteration: usize,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Picked>> {
        let (known, picks) =
            self.choose(self.strategy, model, iteration, self.config.query, observer)?;
        if let Some(first) = picks.first() {
            let unknown = (0..self.pool.len()).filter(|index| !self.is_known(*index));
            let left_out: Vec<usize> = self.labelled.iter().copied().chain(unknown).collect();
            let scores = known.scores_of(&left_out);
            let first = self.first_choice(model, self.pool[first.index])?;
            observer.chosen(iteration, &scores, &first)?;
        }
        Ok(picks
            .into_iter()
            .map(|pick| {
                let Position { volume, z, y, x } = self.pool[pick.index];
                Picked { index: pick.index, volume, z, y, x, score: pick.score }
            })
            .collect())
    }

    /// A strategy's choice among what is not labelled, and what was computed for it.
    pub(super) fn choose(
        &self,
        strategy: &dyn Strategy,
        model: &mut Model,
        iteration: usize,
        count: usize,
        observer: &mut dyn Observer,
    ) -> Result<(Known, Vec<Pick>)> {
        let known = self.look(strategy, model, iteration, observer)?;
        let mut geometry = DeviceGeometry::new(model.executor());
        let mut taken = self.labelled.clone();
        let mut picks: Vec<Pick> = Vec::new();
        // Each round leaves out what lies too near to the picks of those before; without a distance one round is all.
        while picks.len() < count {
            let indices: Vec<usize> =
                (0..self.pool.len()).filter(|&index| self.is_free(index, &taken)).collect();
            let wanted = count - picks.len();
            let with =
                |candidates: &Candidates<'_>| strategy.select(candidates, wanted, &mut geometry);
            let found = known.with_candidates(self, &indices, &taken, iteration, with)?;
            if found.is_empty() {
                break;
            }
            for pick in found {
                if self.is_free(pick.index, &taken) {
                    taken.push(pick.index);
                    picks.push(pick);
                }
            }
        }
        Ok((known, picks))
    }

    fn first_choice(&self, model: &mut Model, at: Position) -> Result<FirstChoice> {
        let side = self.config.patch;
        let mut x = Vec::new();
        read_patch(self.data.train, at, side, &mut x)?;
        let p = model.forward(&x, &[Output::Probabilities])?.remove(0);
        let middle = model.net().context * side * side;
        let raw = x[middle..][..side * side].to_vec();
        let foreground = p[..side * side].iter().map(|background| 1.0 - background).collect();
        Ok(FirstChoice { side, raw, foreground })
    }

    fn is_known(&self, index: usize) -> bool {
        self.known.binary_search(&index).is_ok()
    }

    /// Whether a patch can be labelled, is not taken and lies far enough from all that are.
    fn is_free(&self, index: usize, taken: &[usize]) -> bool {
        let distance = self.config.distance();
        let is_far = |&other: &usize| !distance.forbids(self.pool[index], self.pool[other]);
        self.is_known(index) && taken.iter().all(|other| *other != index && is_far(other))
    }

    /// Computes what the strategy needs, for the whole pool.
    fn look(
        &self,
        strategy: &dyn Strategy,
        model: &mut Model,
        iteration: usize,
        observer: &mut dyn Observer,
    ) -> Result<Known> {
        let config = self.config;
        let needs = strategy.needs();
        let mut known = Known { dim: 1, ..Known::default() };
        let passes = needs.passes(1) as u64;
        if passes > 0 {
            observer.phase(iteration, Phase::Score, 0, passes * self.pool.len() as u64);
        }
        let advance: &mut predict::Advance<'_> = &mut |done| {
            observer.advance(done as u64);
            stop_if_asked(observer)
        };
        let (readers, pool) = (self.data.train, &self.pool[..]);
        if let Some(criterion) = needs.scores {
            let statistics = model.statistics()?;
            if criterion.is_under_dropout() {
                let count = self.measured_on.len() / model.sample_len();
                let of = |i: usize| {
                    let pass = (1 << 62) | iteration as u64;
                    key(config.seed, Purpose::Dropout, pass, i as u64)
                };
                let keys: Vec<u64> = (0..count).map(of).collect();
                model.measure_statistics(&self.measured_on, Some(&keys))?;
            }
            // The whole pool: a patch's number in it keys its dropout masks.
            let mc = McOptions {
                passes: config.mc_passes,
                seed: config.seed,
                iteration: iteration as u64,
            };
            known.scores = predict::scores(model, readers, pool, criterion, mc, advance)?;
            model.set_statistics(&statistics)?;
        }
        if needs.class_entropy {
            known.class_entropy = predict::class_entropies(model, readers, pool, advance)?;
        }
        if needs.embeddings {
            (known.embeddings, known.dim) =
                predict::embeddings(model, readers, pool, config.embedding, advance)?;
        }
        if needs.labels {
            for &at in pool {
                let labels = self.data.annotator.annotate(at, config.patch)?;
                let foreground = labels.iter().filter(|&&label| is_foreground(label)).count();
                known.foreground.push(foreground as f32 / labels.len() as f32);
            }
        }
        Ok(known)
    }
}

/// What was computed of all patches of the pool; empty where the strategy does not need it.
#[derive(Default)]
pub(super) struct Known {
    scores: Vec<f32>,
    class_entropy: Vec<[f32; 2]>,
    foreground: Vec<f32>,
    embeddings: Vec<f32>,
    dim: usize,
}

impl Known {
    /// Scores of all that is not left out; the sums over classes where those are known.
    fn scores_of(&self, left_out: &[usize]) -> Vec<f32> {
        let sums =
            || self.class_entropy.iter().map(|[background, foreground]| background + foreground);
        let all: Vec<f32> =
            if self.scores.is_empty() { sums().collect() } else { self.scores.clone() };
        let mut free = vec![true; all.len()];
        left_out.iter().for_each(|&i| {
            if let Some(free) = free.get_mut(i) {
                *free = false;
            }
        });
        all.into_iter().zip(free).filter_map(|(score, free)| free.then_some(score)).collect()
    }

    /// Hands out what is known of some patches.
    fn with_candidates<T>(
        &self,
        experiment: &Experiment<'_>,
        indices: &[usize],
        labelled: &[usize],
        iteration: usize,
        then: impl FnOnce(&Candidates<'_>) -> T,
    ) -> T {
        fn of<T: Copy>(values: &[T], indices: &[usize]) -> Vec<T> {
            if values.is_empty() {
                Vec::new()
            } else {
                indices.iter().map(|&i| values[i]).collect()
            }
        }
        let points = |indices: &[usize]| -> Vec<f32> {
            if self.embeddings.is_empty() {
                return Vec::new();
            }
            let point = |&i: &usize| &self.embeddings[i * self.dim..][..self.dim];
            indices.iter().flat_map(point).copied().collect()
        };
        // In the pool's order, whichever was labelled first.
        let mut labelled = labelled.to_vec();
        labelled.sort_unstable();
        then(&Candidates {
            indices,
            scores: &of(&self.scores, indices),
            class_entropy: &of(&self.class_entropy, indices),
            foreground: &of(&self.foreground, indices),
            embeddings: Points { values: &points(indices), dim: self.dim },
            labelled: Points { values: &points(&labelled), dim: self.dim },
            seed: experiment.config.seed,
            iteration: iteration as u64,
            iterations: experiment.iterations() as u64,
        })
    }
}
