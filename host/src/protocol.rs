//! The active-learning protocol: train, evaluate, select, annotate, and again.
//!
//! Source: Roels and Saeys, "Cost-efficient segmentation of electron microscopy images using
//! active learning" (arXiv 1911.05548).

mod config;

use std::ops::ControlFlow;
use std::time::Instant;

use askem_kernels::confusion::Counts;
use askem_kernels::rng::{Purpose, sample_without_replacement, stream};

use crate::annotator::{Annotator, keep_square};
use crate::error::{Error, Result};
use crate::geometry::{DeviceGeometry, Points};
use crate::model::Model;
use crate::pool::{PatchReader, Position, draw_pool};
use crate::predict::{self, McOptions};
use crate::strategy::{self, Candidates, Pick, Strategy};
use crate::train::{Dataset, TrainOptions, TrainState, train};
use crate::unet::Output;
use crate::volume::{CachedLabels, FOREGROUND, IGNORED};

pub use config::{Bald, Config};

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
    /// Mean loss of the last epoch.
    pub loss: f64,
    /// Jaccard index of the foreground over the whole test region.
    pub jaccard: f64,
    /// What was chosen for labelling after this iteration, best first.
    pub picked: Vec<Picked>,
    /// Wall-clock time.
    pub seconds: Seconds,
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

/// What an iteration is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Training; units are patches times epochs.
    Train,
    /// Prediction of the test region; units are windows.
    Evaluate,
    /// Scores or embeddings of the pool; units are patches.
    Score,
}

/// Watches an experiment, keeps its state, and may stop it.
pub trait Observer {
    /// A phase begins; `done` of its `total` units were done before an interruption.
    fn phase(&mut self, _iteration: usize, _phase: Phase, _done: u64, _total: u64) {}

    /// So many units are done; in training, the epoch's loss when one has ended.
    fn advance(&mut self, _units: u64, _loss: Option<f32>) {}

    /// Whether to stop as soon as the state can be saved.
    fn stop_requested(&self) -> bool {
        false
    }

    /// Whether the running training should be saved after this epoch.
    fn wants_checkpoint(&self) -> bool {
        false
    }

    /// Saves a training that is under way or finished.
    fn checkpoint(&mut self, _iteration: usize, _state: &TrainState) -> Result<()> {
        Ok(())
    }

    /// One section of the last iteration's segmentation: 0 or 1, in order of sections.
    fn segmentation(&mut self, _z: usize, _foreground: &[u8]) -> Result<()> {
        Ok(())
    }

    /// Pixels of the test region by their foreground probability in steps of a tenth: how many, and how many of them are foreground.
    fn calibration(&mut self, _iteration: usize, _bins: &[[u64; 2]; 10]) -> Result<()> {
        Ok(())
    }

    /// What an iteration chose first, and the scores of all that it chose from; no scores where the strategy needs none.
    fn chosen(&mut self, _iteration: usize, _scores: &[f32], _first: &FirstChoice) -> Result<()> {
        Ok(())
    }

    /// An iteration is done.
    fn iteration_done(&mut self, _record: &Record) -> Result<()> {
        Ok(())
    }
}

/// The patch that an iteration chose first, as the network saw it then.
#[derive(Clone, Debug, PartialEq)]
pub struct FirstChoice {
    /// Rows, and columns.
    pub side: usize,
    /// Scaled grey values.
    pub raw: Vec<f32>,
    /// Probability of foreground of each pixel.
    pub foreground: Vec<f32>,
}

/// An observer that sees nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}

/// The images and labels of an experiment.
pub struct Data<'a> {
    /// Where the pool comes from.
    pub train: &'a PatchReader,
    /// Labels of the pool's patches.
    pub annotator: &'a dyn Annotator,
    /// Where the network is judged.
    pub test: &'a PatchReader,
    /// What is true there.
    pub test_labels: &'a CachedLabels,
}

/// Where an interrupted experiment goes on.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The iterations that are done.
    pub records: Vec<Record>,
    /// The last checkpoint and the iteration whose training it is from.
    pub checkpoint: Option<(usize, TrainState)>,
}

/// Carries out the protocol; returns all records. The model holds the last weights.
///
/// # Errors
/// [`Error::Usage`] before any work if the configuration makes no sense, [`Error::Interrupted`] if
/// the observer stops it (after a checkpoint), else what failed.
pub fn run(
    config: &Config,
    data: &Data<'_>,
    model: &mut Model,
    progress: Progress,
    observer: &mut dyn Observer,
) -> Result<Vec<Record>> {
    config.validate()?;
    let strategy = strategy::by_name(&config.strategy, config.bald.criterion())?;
    let pool = draw_pool(&data.train.region, config.patch, config.pool, config.seed)?;
    let mut experiment =
        Experiment { config, data, strategy: &*strategy, pool, labelled: Vec::new() };
    experiment.labelled = experiment.initial();
    experiment.run(model, progress, observer)
}

struct Experiment<'a> {
    config: &'a Config,
    data: &'a Data<'a>,
    strategy: &'a dyn Strategy,
    pool: Vec<Position>,
    labelled: Vec<usize>,
}

impl Experiment<'_> {
    fn initial(&self) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.pool.len()).collect();
        if self.strategy.labels_everything() {
            return all;
        }
        let mut rng = stream(self.config.seed, Purpose::Initial, 0, 0);
        sample_without_replacement(&mut rng, &mut all, self.config.initial).to_vec()
    }

    fn iterations(&self) -> usize {
        if self.strategy.labels_everything() { 0 } else { self.config.iterations }
    }

    fn train_options(&self, iteration: usize) -> TrainOptions {
        let config = self.config;
        let (epochs, lr, later_lr) = if self.strategy.labels_everything() {
            let epochs = config.full_epochs();
            (epochs, config.lr, Some((epochs / 2, config.finetune_lr)))
        } else if iteration == 0 {
            (config.epochs, config.lr, None)
        } else {
            (config.finetune_epochs, config.finetune_lr, None)
        };
        TrainOptions {
            epochs,
            lr,
            later_lr,
            batch_size: config.batch_size,
            class_weights: config.class_weights.clone(),
            augment: config.augment,
            seed: config.seed,
            iteration: iteration as u64,
        }
    }

    fn run(
        mut self,
        model: &mut Model,
        progress: Progress,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Record>> {
        let Progress { mut records, mut checkpoint } = progress;
        for record in &records {
            self.take_up(record)?;
        }
        let mut dataset = Dataset::new(self.config.patch);
        self.annotate(&mut dataset, 0)?;
        let mut weights_ready = false;
        if let Some((iteration, state)) = &checkpoint
            && *iteration + 1 == records.len()
        {
            model.set_weights(&state.weights)?;
            weights_ready = true;
        }
        for iteration in records.len()..=self.iterations() {
            let from = checkpoint.take_if(|(at, _)| *at == iteration).map(|(_, state)| state);
            match (iteration, &from) {
                (0, None) => model.set_weights(&model.net().init(self.config.seed))?,
                (_, None) if !weights_ready => {
                    return Err(Error::Input(format!(
                        "the weights of iteration {} are missing, so the run cannot go on; start it anew with --force",
                        iteration - 1
                    )));
                }
                _ => {}
            }
            let mut seconds = Seconds::default();
            let clock = Instant::now();
            let loss = self.train(model, &dataset, iteration, from, observer)?;
            seconds.train = clock.elapsed().as_secs_f64();

            let clock = Instant::now();
            let jaccard = self.evaluate(model, iteration, observer)?;
            seconds.evaluate = clock.elapsed().as_secs_f64();

            let clock = Instant::now();
            let labelled = self.labelled.len();
            let labelled_foreground = dataset.foreground();
            let picked = if iteration < self.iterations() {
                self.select(model, iteration, observer)?
            } else {
                Vec::new()
            };
            self.labelled.extend(picked.iter().map(|p| p.index));
            self.annotate(&mut dataset, labelled)?;
            seconds.score = clock.elapsed().as_secs_f64();

            let record = Record {
                iteration,
                strategy: self.strategy.name().into(),
                seed: self.config.seed,
                labelled,
                labelled_foreground,
                loss: f64::from(loss),
                jaccard,
                picked,
                seconds,
            };
            observer.iteration_done(&record)?;
            records.push(record);
            weights_ready = true;
        }
        Ok(records)
    }

    /// Adds the picks of a record that was read from a journal, after checking them.
    fn take_up(&mut self, record: &Record) -> Result<()> {
        for pick in &record.picked {
            let here = self.pool.get(pick.index);
            if here != Some(&Position { z: pick.z, y: pick.y, x: pick.x }) {
                return Err(Error::Input(format!(
                    "iteration {} of the journal picked patch {} at ({}, {}, {}), which this pool does not have there; the data or the settings have changed since",
                    record.iteration, pick.index, pick.z, pick.y, pick.x
                )));
            }
            self.labelled.push(pick.index);
        }
        Ok(())
    }

    /// Adds the labelled patches from the `first` on to the training set.
    fn annotate(&self, dataset: &mut Dataset, first: usize) -> Result<()> {
        let patch = self.config.patch;
        let mut order: Vec<usize> = (first..self.labelled.len()).collect();
        // Pixels are read in order of position, and kept in the order of the picks.
        order.sort_by_key(|&i| self.labelled[i]);
        let mut samples = vec![None; order.len()];
        for i in order {
            let at = self.pool[self.labelled[i]];
            let mut x = Vec::with_capacity(patch * patch);
            self.data.train.read(at, patch, &mut x)?;
            let mut labels = self.data.annotator.annotate(at, patch)?;
            let share = self.config.label_share;
            if share < 1.0 && !self.strategy.labels_everything() {
                let index = self.labelled[i] as u64;
                let mut rng = stream(self.config.seed, Purpose::LabelShare, index, 0);
                keep_square(&mut labels, patch, share, &mut rng);
            }
            samples[i - first] = Some((x, labels));
        }
        for (x, labels) in samples.into_iter().flatten() {
            dataset.push(&x, &labels);
        }
        Ok(())
    }

    fn train(
        &self,
        model: &mut Model,
        dataset: &Dataset,
        iteration: usize,
        from: Option<TrainState>,
        observer: &mut dyn Observer,
    ) -> Result<f32> {
        let options = self.train_options(iteration);
        let already = from.as_ref().map_or(0, |s| s.epochs_done);
        let units = |epochs: usize| (epochs * dataset.len()) as u64;
        observer.phase(iteration, Phase::Train, units(already), units(options.epochs));
        let (epochs_done, loss) =
            train(model, dataset, &options, from.as_ref(), &mut |model, step| {
                observer.advance(step.samples as u64, step.loss);
                let unfinished = step.epochs_done < options.epochs;
                if let Some(loss) = step.loss
                    && unfinished
                    && observer.wants_checkpoint()
                    && !observer.stop_requested()
                {
                    observer.checkpoint(iteration, &state(model, step.epochs_done, loss)?)?;
                }
                let stop = observer.stop_requested();
                Ok(if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
        if !loss.is_finite() {
            return Err(Error::Input(format!(
                "the loss became {loss} in iteration {iteration}: the network has diverged; lower the learning rate"
            )));
        }
        if already < options.epochs {
            observer.checkpoint(iteration, &state(model, epochs_done, loss)?)?;
        }
        stop_if_asked(observer)?;
        Ok(loss)
    }

    fn evaluate(
        &self,
        model: &mut Model,
        iteration: usize,
        observer: &mut dyn Observer,
    ) -> Result<f64> {
        let reader = self.data.test;
        let region = &reader.region;
        let windows = predict::windows_per_section(reader, self.config.patch);
        observer.phase(iteration, Phase::Evaluate, 0, (windows * region.z.len()) as u64);
        let last = iteration == self.iterations();
        let mut counts = Counts::default();
        let mut bins = [[0; 2]; 10];
        for z in region.z.clone() {
            let p = predict::section_foreground(model, reader, z, &mut |done| {
                observer.advance(done as u64, None);
                stop_if_asked(observer)
            })?;
            counts.add(compare(&p, reader, self.data.test_labels, z)?);
            self.count_probabilities(&p, z, &mut bins)?;
            if last {
                let foreground: Vec<u8> = p.iter().map(|&p| u8::from(p > 0.5)).collect();
                observer.segmentation(z, &foreground)?;
            }
        }
        observer.calibration(iteration, &bins)?;
        Ok(counts.jaccard())
    }

    /// Counts the pixels of a section by their probability, those to be ignored left out.
    fn count_probabilities(&self, p: &[f32], z: usize, bins: &mut [[u64; 2]; 10]) -> Result<()> {
        let width = self.data.test_labels.inner().shape()[2];
        let section = self.data.test_labels.section(z)?;
        let region = &self.data.test.region;
        let rows = region.y.clone().flat_map(|y| &section[y * width..][region.x.clone()]);
        for (&p, &label) in p.iter().zip(rows) {
            if label != IGNORED {
                let bin = &mut bins[((p * 10.0) as usize).min(9)];
                bin[0] += 1;
                bin[1] += u64::from(label == FOREGROUND);
            }
        }
        Ok(())
    }

    fn select(
        &self,
        model: &mut Model,
        iteration: usize,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Picked>> {
        let known = self.look(model, iteration, observer)?;
        let mut geometry = DeviceGeometry::new(model.executor());
        let mut taken = self.labelled.clone();
        let mut picks: Vec<Pick> = Vec::new();
        // Each round leaves out what lies too near to the picks of those before; without a distance one round is all.
        while picks.len() < self.config.query {
            let indices: Vec<usize> =
                (0..self.pool.len()).filter(|&index| self.is_free(index, &taken)).collect();
            let wanted = self.config.query - picks.len();
            let found = known.select(self, &indices, &taken, iteration, wanted, &mut geometry)?;
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
        if let Some(first) = picks.first() {
            let scores = known.scores_of(&self.labelled);
            let first = self.first_choice(model, self.pool[first.index])?;
            observer.chosen(iteration, &scores, &first)?;
        }
        Ok(picks
            .into_iter()
            .map(|pick| {
                let Position { z, y, x } = self.pool[pick.index];
                Picked { index: pick.index, z, y, x, score: pick.score }
            })
            .collect())
    }

    fn first_choice(&self, model: &mut Model, at: Position) -> Result<FirstChoice> {
        let side = self.config.patch;
        let mut raw = Vec::with_capacity(side * side);
        self.data.train.read(at, side, &mut raw)?;
        let p = model.forward(&raw, &[Output::Probabilities])?.remove(0);
        let foreground = p[..side * side].iter().map(|background| 1.0 - background).collect();
        Ok(FirstChoice { side, raw, foreground })
    }

    /// Whether a patch is not taken and lies far enough from all that are.
    fn is_free(&self, index: usize, taken: &[usize]) -> bool {
        let distance = self.config.distance();
        taken
            .iter()
            .all(|&other| other != index && !distance.forbids(self.pool[index], self.pool[other]))
    }

    /// Computes what the strategy needs, for the whole pool.
    fn look(
        &self,
        model: &mut Model,
        iteration: usize,
        observer: &mut dyn Observer,
    ) -> Result<Known> {
        let config = self.config;
        let needs = self.strategy.needs();
        let mut known = Known { dim: 1, ..Known::default() };
        let passes = needs.passes(1) as u64;
        if passes > 0 {
            observer.phase(iteration, Phase::Score, 0, passes * self.pool.len() as u64);
        }
        let advance: &mut predict::Advance<'_> = &mut |done| {
            observer.advance(done as u64, None);
            stop_if_asked(observer)
        };
        let (reader, pool) = (self.data.train, &self.pool[..]);
        if let Some(criterion) = needs.scores {
            // The whole pool: a patch's number in it keys its dropout masks.
            let mc = McOptions {
                passes: config.mc_passes,
                seed: config.seed,
                iteration: iteration as u64,
            };
            known.scores = predict::scores(model, reader, pool, criterion, mc, advance)?;
        }
        if needs.class_entropy {
            known.class_entropy = predict::class_entropies(model, reader, pool, advance)?;
        }
        if needs.embeddings {
            (known.embeddings, known.dim) =
                predict::embeddings(model, reader, pool, config.embedding, advance)?;
        }
        if needs.labels {
            for &at in pool {
                let labels = self.data.annotator.annotate(at, config.patch)?;
                let foreground = labels.iter().filter(|&&label| label == FOREGROUND).count();
                known.foreground.push(foreground as f32 / labels.len() as f32);
            }
        }
        Ok(known)
    }
}

/// What was computed of all patches of the pool; empty where the strategy does not need it.
#[derive(Default)]
struct Known {
    scores: Vec<f32>,
    class_entropy: Vec<[f32; 2]>,
    foreground: Vec<f32>,
    embeddings: Vec<f32>,
    dim: usize,
}

impl Known {
    /// Scores of all that is not labelled; the sums over classes where those are known.
    fn scores_of(&self, labelled: &[usize]) -> Vec<f32> {
        let sums =
            || self.class_entropy.iter().map(|[background, foreground]| background + foreground);
        let all: Vec<f32> =
            if self.scores.is_empty() { sums().collect() } else { self.scores.clone() };
        let mut free = vec![true; all.len()];
        labelled.iter().for_each(|&i| {
            if let Some(free) = free.get_mut(i) {
                *free = false;
            }
        });
        all.into_iter().zip(free).filter_map(|(score, free)| free.then_some(score)).collect()
    }

    /// The strategy's choice among some patches.
    fn select(
        &self,
        experiment: &Experiment<'_>,
        indices: &[usize],
        labelled: &[usize],
        iteration: usize,
        k: usize,
        geometry: &mut DeviceGeometry<'_>,
    ) -> Result<Vec<Pick>> {
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
        let candidates = Candidates {
            indices,
            scores: &of(&self.scores, indices),
            class_entropy: &of(&self.class_entropy, indices),
            foreground: &of(&self.foreground, indices),
            embeddings: Points { values: &points(indices), dim: self.dim },
            labelled: Points { values: &points(&labelled), dim: self.dim },
            seed: experiment.config.seed,
            iteration: iteration as u64,
            iterations: experiment.iterations() as u64,
        };
        experiment.strategy.select(&candidates, k, geometry)
    }
}

fn state(model: &mut Model, epochs_done: usize, loss: f32) -> Result<TrainState> {
    Ok(TrainState { epochs_done, weights: model.weights()?, moments: model.moments()?, loss })
}

fn stop_if_asked(observer: &dyn Observer) -> Result<()> {
    if observer.stop_requested() {
        return Err(Error::Interrupted("stopped on request; the state is saved".into()));
    }
    Ok(())
}

/// The confusion counts of one section's foreground probabilities against the labels.
pub fn compare(
    p: &[f32],
    reader: &PatchReader,
    labels: &CachedLabels,
    z: usize,
) -> Result<[u32; 4]> {
    use askem_kernels::confusion;
    let width = labels.inner().shape()[2];
    let section = labels.section(z)?;
    let region = &reader.region;
    let rows = region.y.clone().flat_map(|y| &section[y * width..][region.x.clone()]);
    let labels: Vec<u32> = rows.map(|&l| u32::from(l)).collect();
    let params =
        confusion::Params { len: p.len() as u32, ignore_label: u32::from(IGNORED), threshold: 0.5 };
    let mut counts = [0; 4];
    confusion::fast::forward(&params, p, &labels, &mut counts)?;
    Ok(counts)
}
