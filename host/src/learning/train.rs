//! Training: shuffled, augmented batches, Adam, and a state to go on from.

mod augment;
mod early_stopping;
mod schedule;

use std::ops::ControlFlow;

use askem_kernels::crop::Site;
use askem_kernels::rng::{Purpose, Rng, key, shuffle, stream};
use askem_kernels::warp::Transform;

use crate::data::volume::IGNORED;
use crate::error::{Error, Result};
use crate::network::model::{Model, Moments};
use crate::network::unet::{AdamOptions, Weights};

use augment::{draw_symmetry, draw_transform};

pub use augment::{Augment, AugmentKind};
pub use early_stopping::{Best, EarlyStopping};
pub use schedule::Schedule;

/// Labelled patches, kept in memory.
#[derive(Clone, Debug)]
pub struct Dataset {
    patch: usize,
    /// Sections of each patch.
    sections: usize,
    x: Vec<f32>,
    labels: Vec<u8>,
}

impl Dataset {
    /// An empty set of square patches.
    pub fn new(patch: usize) -> Self {
        Self::with_sections(patch, 1)
    }

    /// An empty set of square patches, of which the network sees so many sections.
    pub fn with_sections(patch: usize, sections: usize) -> Self {
        Self { patch, sections, x: Vec::new(), labels: Vec::new() }
    }

    /// Adds a patch: normalised grey values, `patch * patch` of each section, and as many labels as a
    /// section has pixels (255 is ignored).
    ///
    /// # Panics
    /// If a length differs.
    pub fn push(&mut self, x: &[f32], labels: &[u8]) {
        let pixels = self.patch * self.patch;
        let values = self.sections * pixels;
        assert_eq!((x.len(), labels.len()), (values, pixels), "one patch of {pixels} pixels");
        self.x.extend_from_slice(x);
        self.labels.extend_from_slice(labels);
    }

    /// Number of patches.
    pub fn len(&self) -> usize {
        self.labels.len() / (self.patch * self.patch)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Foreground pixels, and all labelled (not ignored) pixels.
    pub fn counts(&self) -> [u64; 2] {
        let count = |is: fn(u8) -> bool| self.labels.iter().filter(|&&l| is(l)).count() as u64;
        [count(|label| label != 0 && label != IGNORED), count(|label| label != IGNORED)]
    }

    /// The patches of whose labelled pixels at least one in a hundred is foreground.
    fn with_foreground(&self) -> Vec<usize> {
        let pixels = self.patch * self.patch;
        let has = |labels: &[u8]| {
            let known = labels.iter().filter(|&&label| label != IGNORED).count();
            let foreground = labels.iter().filter(|&&l| l != IGNORED && l != 0).count();
            foreground > 0 && 100 * foreground >= known
        };
        let patches = self.labels.chunks(pixels).enumerate();
        patches.filter(|(_, labels)| has(labels)).map(|(index, _)| index).collect()
    }

    /// The grey values of samples in the proportions in which a training draws them, so large a share of them from
    /// patches with foreground: each patch once, and those with foreground as many times more as comes nearest
    /// to the share. Where that is more than `most`, so many are drawn by chance.
    pub fn in_proportion(
        &self,
        rng: &mut impl Rng,
        foreground_share: f64,
        most: usize,
    ) -> Vec<f32> {
        let (all, some) = (self.len(), self.with_foreground());
        let more = foreground_share / (1.0 - foreground_share) * all as f64;
        let times = if some.is_empty() { 0.0 } else { (more / some.len() as f64).round() };
        let times = times as usize;
        let order = if all.saturating_add(times.saturating_mul(some.len())) <= most {
            let mut order: Vec<usize> = (0..all).chain(some.repeat(times)).collect();
            shuffle(rng, &mut order);
            order
        } else {
            draw_order(rng, all, &some, foreground_share, most)
        };
        self.samples(&order).0
    }

    /// Some of the patches, one after another.
    fn samples(&self, indices: &[usize]) -> (Vec<f32>, Vec<u8>) {
        let pixels = self.patch * self.patch;
        let ranges = |len: usize| indices.iter().map(move |index| index * len..(index + 1) * len);
        let x = ranges(self.sections * pixels).flat_map(|range| &self.x[range]).copied().collect();
        (x, ranges(pixels).flat_map(|range| &self.labels[range]).copied().collect())
    }
}

/// How to train.
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// Times every patch is seen, at most.
    pub epochs: usize,
    /// Adam's learning rate.
    pub lr: f64,
    /// From this epoch on, another learning rate.
    pub later_lr: Option<(usize, f64)>,
    /// How the learning rate changes from step to step.
    pub schedule: Schedule,
    /// Share of the samples of each epoch that are drawn among the patches with foreground; the others are drawn among all.
    pub foreground_share: f64,
    /// Patches per step, or half as many, or a quarter, if the device can't hold them; the last step of an epoch takes what is left.
    pub batch_size: usize,
    /// Factor of the loss of each class's pixels.
    pub class_weights: Vec<f32>,
    /// How patches are changed.
    pub augment: Augment,
    /// Decides order, augmentation and dropout.
    pub seed: u64,
    /// Which training of the experiment this is; part of every random stream's key.
    pub iteration: u64,
}

/// A training between two epochs: what is needed to go on as if nothing had happened.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainState {
    /// Epochs that are done.
    pub epochs_done: usize,
    /// The network's values.
    pub weights: Weights,
    /// Adam's moments.
    pub moments: Moments,
    /// Mean loss of the last epoch done.
    pub loss: f32,
    /// With early stopping, the best network so far; when the training has ended, `weights` are its.
    pub best: Option<Best>,
}

impl TrainState {
    /// The state of a model that is being trained.
    pub fn of(
        model: &mut Model,
        epochs_done: usize,
        loss: f32,
        best: Option<Best>,
    ) -> Result<Self> {
        Ok(Self { epochs_done, weights: model.weights()?, moments: model.moments()?, loss, best })
    }
}

/// What an epoch came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Losses {
    /// Of the last step, or the mean of all steps where the training may have ended.
    pub train: f32,
    /// With early stopping, of the held-out patches.
    pub held_out: Option<f32>,
}

/// What [`train`] tells after each step.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Patches in the step.
    pub samples: usize,
    /// Epochs finished so far.
    pub epochs_done: usize,
    /// If an epoch has just ended, so that the state can be saved: its losses.
    pub losses: Option<Losses>,
    /// With early stopping, the best network so far.
    pub best: Option<&'a Best>,
}

/// Trains from the model's present weights, or goes on from `from`.
///
/// `observe` is called after each step and may stop the training, which then ends after the running epoch. A training that has
/// ended by itself leaves the model with the best weights where it stops early, else with the last ones.
///
/// Returns the epochs done, the mean loss of the last one, and the best network where it stops early.
///
/// # Errors
/// What the model's device or `observe` say; [`Error::Input`] if there are no patches, or those held out have no label.
pub fn train(
    model: &mut Model,
    data: &Dataset,
    options: &TrainOptions,
    stopping: Option<EarlyStopping<'_>>,
    from: Option<&TrainState>,
    observe: &mut dyn FnMut(&mut Model, Progress<'_>) -> Result<ControlFlow<()>>,
) -> Result<(usize, f32, Option<Best>)> {
    if data.is_empty() {
        return Err(Error::Input(
            "there is no labelled patch to train on; label some first".into(),
        ));
    }
    let (mut done, mut loss, mut best) = (0, f32::NAN, None);
    match from {
        Some(state) => {
            model.set_weights(&state.weights)?;
            model.set_moments(&state.moments)?;
            (done, loss, best) = (state.epochs_done, state.loss, state.best.clone());
        }
        None => model.clear_moments()?,
    }
    let (batch_size, all_fit) =
        model.prepare_training(data.len(), options.batch_size, options.augment.warps())?;
    if all_fit {
        model.load_patches(&data.x, &data.labels)?;
    }
    let steps_per_epoch = data.len().div_ceil(batch_size);
    let with_foreground = data.with_foreground();
    let adam = AdamOptions::default();
    let is_over = |done: usize, best: Option<&Best>| {
        done >= options.epochs || stopping.is_some_and(|stopping| stopping.is_over(done, best))
    };
    while !is_over(done, best.as_ref()) {
        let position = (options.iteration << 32) | done as u64;
        let mut rng = stream(options.seed, Purpose::Shuffle, position, 0);
        let share = options.foreground_share;
        let order = draw_order(&mut rng, data.len(), &with_foreground, share, data.len());
        let mut augment = stream(options.seed, Purpose::Augment, position, 0);
        let lr = match options.later_lr {
            Some((epoch, lr)) if done >= epoch => lr,
            _ => options.lr,
        };
        // Losses are fetched where they are shown or kept; fetching each would stall a GPU.
        let may_be_last = done + 1 == options.epochs
            || stopping.is_some_and(|stopping| stopping.is_over(done + 1, best.as_ref()));
        let (mut sum, mut count) = (0.0_f64, 0_usize);
        let mut stop = false;
        for (index, batch) in order.chunks(batch_size).enumerate() {
            let site = |(place, &sample): (usize, &usize)| Site {
                z: if all_fit { sample } else { place } as u32,
                symmetry: draw_symmetry(options.augment, augment.next_u32()),
                ..Site::default()
            };
            let sites: Vec<Site> = batch.iter().enumerate().map(site).collect();
            let key = |&sample| key(options.seed, Purpose::Dropout, position, sample as u64);
            let keys: Vec<u64> = batch.iter().map(key).collect();
            if !all_fit {
                let (x, labels) = data.samples(batch);
                model.load_patches(&x, &labels)?;
            }
            let t = done * steps_per_epoch + index;
            let lr = lr * options.schedule.factor(t, options.epochs * steps_per_epoch);
            let step = adam_step(adam, lr, t + 1);
            let transforms: Vec<Transform> = match options.augment.warps() {
                true => {
                    batch.iter().map(|_| draw_transform(options.augment, &mut augment)).collect()
                }
                false => Vec::new(),
            };
            let transforms = (!transforms.is_empty()).then_some(&transforms[..]);
            model.train_step(&sites, transforms, &keys, &options.class_weights, step)?;
            let epoch_ended = index + 1 == steps_per_epoch;
            if may_be_last || epoch_ended {
                sum += f64::from(model.loss()?) * batch.len() as f64;
                count += batch.len();
            }
            let mut losses = None;
            if epoch_ended {
                done += 1;
                loss = (sum / count as f64) as f32;
                let held_out = match stopping {
                    Some(s) => Some(s.look(model, &options.class_weights, done, &mut best)?),
                    None => None,
                };
                losses = Some(Losses { train: loss, held_out });
            }
            let progress =
                Progress { samples: batch.len(), epochs_done: done, losses, best: best.as_ref() };
            stop |= observe(model, progress)?.is_break();
        }
        if stop && !is_over(done, best.as_ref()) {
            return Ok((done, loss, best));
        }
    }
    if let Some(best) = &best {
        model.set_weights(&best.weights)?;
    }
    Ok((done, loss, best))
}

/// So many samples of `patches` ones, in which order they are trained on: so large a share of them are drawn among
/// the patches with foreground, the rest among all. Each draw takes all patches once before it takes
/// one again. Where no patch has foreground, or the share is 0, all are drawn among all.
fn draw_order(
    rng: &mut impl Rng,
    patches: usize,
    with_foreground: &[usize],
    share: f64,
    count: usize,
) -> Vec<usize> {
    let mut all: Vec<usize> = (0..patches).collect();
    let some = if with_foreground.is_empty() { 0.0 } else { share * count as f64 };
    let some = some.round() as usize;
    let mut drawn = draw_from(rng, &mut all, count - some);
    if some > 0 {
        drawn.extend(draw_from(rng, &mut with_foreground.to_vec(), some));
        shuffle(rng, &mut drawn);
    }
    drawn
}

/// So many of the patches; each is taken once before one is taken again.
fn draw_from(rng: &mut impl Rng, patches: &mut [usize], count: usize) -> Vec<usize> {
    let mut drawn = Vec::with_capacity(count);
    while drawn.len() < count && !patches.is_empty() {
        shuffle(rng, patches);
        drawn.extend_from_slice(&patches[..patches.len().min(count - drawn.len())]);
    }
    drawn
}

/// Adam's step size and second-moment correction at step `t`, counted from 1.
fn adam_step(adam: AdamOptions, lr: f64, t: usize) -> [f32; 2] {
    let correction = |beta: f32| 1.0 - f64::from(beta).powi(i32::try_from(t).unwrap_or(i32::MAX));
    [(lr / correction(adam.beta1)) as f32, (1.0 / correction(adam.beta2).sqrt()) as f32]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_with_foreground_are_as_many_as_asked_for_and_none_comes_much_oftener() {
        let mut data = Dataset::new(10);
        for i in 0..30_u8 {
            let mut labels = vec![0; 100];
            labels[..2].fill(u8::from(i % 10 == 0));
            data.push(&[0.0; 100], &labels);
        }
        let some = data.with_foreground();
        assert_eq!(some, [0, 10, 20]);
        let order = |share, seed| {
            let mut rng = stream(seed, Purpose::Shuffle, 0, 0);
            draw_order(&mut rng, data.len(), &some, share, data.len())
        };
        for seed in 0..20 {
            let mut plain = order(0.0, seed);
            plain.sort_unstable();
            assert!(plain.into_iter().eq(0..30), "each once");
            let drawn = order(0.5, seed);
            assert_eq!(drawn.len(), 30);
            let times = |patch: usize| drawn.iter().filter(|&&other| other == patch).count();
            for patch in 0..30 {
                let allowed = if some.contains(&patch) { 5..=6 } else { 0..=1 };
                assert!(allowed.contains(&times(patch)), "{patch}: {}", times(patch));
            }
            assert!(order(1.0, seed).iter().all(|patch| some.contains(patch)));
        }
        let mut rng = stream(0, Purpose::Shuffle, 0, 0);
        assert!(draw_order(&mut rng, 0, &[], 0.5, 0).is_empty());
        // More than there are: all of them twice, and those with foreground ten times.
        let drawn = draw_order(&mut rng, 30, &some, 0.5, 60);
        let times = |patch: usize| drawn.iter().filter(|&&other| other == patch).count();
        assert!((0..30).all(|patch| times(patch) == if some.contains(&patch) { 11 } else { 1 }));
    }

    #[test]
    fn unknown_pixels_do_not_count_as_foreground() {
        let mut data = Dataset::new(2);
        for labels in [[255; 4], [255, 255, 255, 1], [255, 0, 0, 0], [0, 0, 0, 2]] {
            data.push(&[0.0; 4], &labels);
        }
        assert_eq!(data.with_foreground(), [1, 3]);
    }

    #[test]
    fn adams_corrections_start_as_the_paper_says() {
        let [size, correction] = adam_step(AdamOptions::default(), 1e-3, 1);
        assert!((size - 1e-2).abs() < 1e-6);
        assert!((correction - 31.622_776).abs() < 1e-3);
    }
}
