//! The active-learning protocol: train, evaluate, select, annotate, and again.
//!
//! Source: Roels and Saeys, "Cost-efficient segmentation of electron microscopy images using
//! active learning" (arXiv 1911.05548).

mod change;
mod config;
mod evaluation;
mod known;
mod labelled;
mod observer;
mod person;
mod pool;
mod record;
mod selection;
mod statistics;

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::Instant;

use askem_kernels::rng::{Purpose, sample_without_replacement, stream};

use self::change::Before;
use self::labelled::Labelled;
use self::person::is_labelled;
use self::statistics::unlabelled_patches;
use crate::data::pool::{PatchReader, Position, read_patch};
use crate::data::volume::CachedLabels;
use crate::error::{Error, Result};
use crate::learning::annotator::{Annotator, keep_square};
use crate::learning::class_counts::ClassCounts;
use crate::learning::strategy::{self, Strategy, TypiClust};
use crate::learning::train::{TrainOptions, TrainState, train};
use crate::network::model::Model;
use crate::network::unet::Weights;

pub use config::{Bald, Config, InitialStrategy, MOST_PASSES, MOST_PATCHES};
pub use known::known_patches;
pub use observer::{FirstChoice, Observer, Phase, Unobserved};
pub use pool::pool_of;
pub use record::{BestEpoch, Picked, Record, Seconds};
pub use statistics::{StatisticsFrom, statistics_patches};

/// The images and labels of an experiment.
pub struct Data<'a> {
    /// Where the pool comes from: a reader for each volume, in the order of [`Position::volume`].
    pub train: &'a [PatchReader],
    /// Labels of the pool's patches.
    pub annotator: &'a dyn Annotator,
    /// Where the network is judged, on a region of each test volume; none where a person labels.
    pub test: &'a [Test<'a>],
}

/// A region of a volume with labels on which no network is trained.
#[derive(Clone, Copy)]
pub struct Test<'a> {
    /// Where the network is judged.
    pub reader: &'a PatchReader,
    /// What is true there.
    pub labels: &'a CachedLabels,
}

/// Where an interrupted experiment goes on.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The iterations that are done.
    pub records: Vec<Record>,
    /// The last checkpoint and the iteration whose training it is from.
    pub checkpoint: Option<(usize, TrainState)>,
    /// The network of the last iteration that is done. An interrupted run goes on without it, but
    /// can't tell what the training that was interrupted changed; a person's project needs it.
    pub before: Option<Weights>,
}

/// Carries out the protocol; returns all records. The model holds the last weights.
///
/// # Errors
/// [`Error::Usage`] before any work if the configuration makes no sense, [`Error::Interrupted`] if
/// the observer stops it (after a checkpoint), [`Error::Input`] if all iterations are done and the last one's weights are not among the
/// progress, else what failed.
pub fn run(
    config: &Config,
    data: &Data<'_>,
    model: &mut Model,
    progress: Progress,
    observer: &mut dyn Observer,
) -> Result<Vec<Record>> {
    config.validate()?;
    let strategy = strategy::by_name(&config.strategy, config.bald.criterion())?;
    let regions: Vec<_> = data.train.iter().map(|reader| &reader.region).collect();
    let pool = pool_of(config, &regions, data.annotator)?;
    let known = known_patches(config, data.annotator, &pool)?;
    let unlabelled = unlabelled_patches(config, data.train, &pool)?;
    let mut experiment = Experiment {
        config,
        data,
        strategy: &*strategy,
        pool,
        known,
        labelled: Vec::new(),
        unlabelled,
        measured_on: Vec::new(),
    };
    experiment.labelled = experiment.initial(model, &progress, observer)?;
    experiment.run(model, progress, observer)
}

struct Experiment<'a> {
    config: &'a Config,
    data: &'a Data<'a>,
    strategy: &'a dyn Strategy,
    pool: Vec<Position>,
    /// The patches that can be labelled, increasing.
    known: Vec<usize>,
    labelled: Vec<usize>,
    /// Patches of the pool in which changes are looked for.
    unlabelled: Vec<f32>,
    /// What batch norm's statistics are measured on in the present iteration.
    measured_on: Vec<f32>,
}

impl Experiment<'_> {
    /// Which patches are labelled first.
    fn initial(
        &self,
        model: &mut Model,
        progress: &Progress,
        observer: &mut dyn Observer,
    ) -> Result<Vec<usize>> {
        if let Some(first) =
            first_patches(self.config, &self.known, self.pool.len(), &progress.records)?
        {
            return Ok(first);
        }
        model.set_weights(&model.net().init(self.config.seed))?;
        let picks = self.choose(&TypiClust, model, 0, self.config.initial, observer)?.1;
        Ok(picks.into_iter().map(|pick| pick.index).collect())
    }

    /// Whether the first patches can't be told again from the seed alone.
    fn names_first(&self) -> bool {
        let by_network = self.config.initial_strategy == InitialStrategy::Typiclust;
        let some_unknown = self.known.len() < self.pool.len();
        (by_network || some_unknown) && !self.strategy.labels_everything()
    }

    fn iterations(&self) -> usize {
        if self.strategy.labels_everything() { 0 } else { self.config.iterations }
    }

    fn train_options(&self, iteration: usize, labelled: usize) -> TrainOptions {
        let config = self.config;
        let (epochs, lr, later_lr) = if self.strategy.labels_everything() {
            let epochs = config.full_epochs();
            (epochs, config.lr, Some((epochs / 2, config.finetune_lr)))
        } else {
            let lr = if iteration == 0 { config.lr } else { config.finetune_lr };
            (config.epochs_of(iteration, labelled), lr, None)
        };
        TrainOptions {
            epochs,
            lr,
            later_lr,
            schedule: config.schedule,
            foreground_share: config.foreground_share,
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
        let Progress { mut records, mut checkpoint, mut before } = progress;
        let mut dataset = Labelled::new(self.config);
        self.annotate(&mut dataset, 0)?;
        // In the steps in which they were labelled, on which it hangs what is held out.
        for record in &records {
            let labelled = self.labelled.len();
            self.labelled.extend(picks_of(record, &self.pool)?);
            self.annotate(&mut dataset, labelled)?;
        }
        if !self.data.annotator.answers_at_once() {
            self.annotate_unasked(&mut dataset)?;
            let progress = Progress { records, checkpoint, before };
            return self.round_with_person(model, &dataset, progress, observer);
        }
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
                    return Err(missing_weights(iteration - 1));
                }
                _ => {}
            }
            if let Some(before) = before.take().filter(|_| !weights_ready) {
                model.set_weights(&before)?;
                weights_ready = true;
            }
            let last = records.last().filter(|_| weights_ready);
            let before = last.map(|last| self.before(model, last)).transpose()?;
            let labelled = self.labelled.len();
            let record = self.round(model, &dataset, iteration, from, before, observer)?;
            self.annotate(&mut dataset, labelled)?;
            observer.iteration_done(&record)?;
            records.push(record);
            weights_ready = true;
        }
        if !weights_ready {
            return Err(missing_weights(records.len().saturating_sub(1)));
        }
        Ok(records)
    }

    /// One iteration: trains, evaluates and chooses what is to be labelled next.
    fn round(
        &mut self,
        model: &mut Model,
        dataset: &Labelled,
        iteration: usize,
        from: Option<TrainState>,
        before: Option<Before>,
        observer: &mut dyn Observer,
    ) -> Result<Record> {
        let mut seconds = Seconds::default();
        let clock = Instant::now();
        let (trains, training) = (&dataset.train, iteration as u64);
        self.measured_on =
            statistics_patches(self.config, trains, &self.unlabelled, training).into_owned();
        let trained = self.train(model, dataset, iteration, from, observer)?;
        seconds.train = clock.elapsed().as_secs_f64();

        let clock = Instant::now();
        let judged = self.evaluate(model, iteration, observer)?;
        let now = self.view(model)?;
        let changed = |before: &Before| Some(now.as_ref()?.share_unlike(before.view.as_ref()?));
        seconds.evaluate = clock.elapsed().as_secs_f64();
        observer.network(iteration, &model.weights()?)?;

        let clock = Instant::now();
        let asked = self.labelled.len();
        let picked = if iteration < self.iterations() {
            self.select(model, iteration, observer)?
        } else {
            Vec::new()
        };
        self.labelled.extend(picked.iter().map(|p| p.index));
        seconds.score = clock.elapsed().as_secs_f64();
        Ok(Record {
            iteration,
            strategy: self.strategy.name().into(),
            seed: self.config.seed,
            labelled: dataset.len(),
            labelled_foreground: dataset.foreground(),
            loss: f64::from(trained.loss),
            labelled_pixels: Some(dataset.pixels()),
            initial: (iteration == 0 && self.names_first())
                .then(|| self.labelled[..asked].to_vec()),
            epochs: self.config.has_shorter_trainings().then_some(trained.epochs),
            best: trained.best,
            jaccard: judged.as_ref().map(|judged| judged.all.jaccard()),
            class_jaccard: judged
                .as_ref()
                .filter(|_| self.config.net.classes > 2)
                .map(|judged| judged.all.jaccard_of_classes()),
            volume_jaccard: judged
                .filter(|judged| judged.volumes.len() > 1)
                .map(|judged| judged.volumes.iter().map(ClassCounts::jaccard).collect()),
            unseen_jaccard: before.as_ref().and_then(|before| before.unseen_jaccard),
            changed_pixels: before.as_ref().and_then(changed),
            mean_entropy: now.as_ref().map(|now| now.mean_entropy),
            picked,
            seconds,
        })
    }

    /// Adds the labelled patches from the `first` on to the training set.
    fn annotate(&self, dataset: &mut Labelled, first: usize) -> Result<()> {
        let mut order: Vec<usize> = (first..self.labelled.len()).collect();
        // Pixels are read in order of position, and kept in the order of the picks.
        order.sort_by_key(|&i| self.labelled[i]);
        let mut samples = vec![None; order.len()];
        for i in order {
            samples[i - first] = Some(self.sample(self.labelled[i])?);
        }
        let mut samples: Vec<_> = samples.into_iter().flatten().collect();
        if !self.data.annotator.answers_at_once() {
            samples.retain(|(_, labels)| is_labelled(labels));
        }
        dataset.extend(self.config, &samples);
        Ok(())
    }

    /// The grey values of a patch of the pool, scaled, and the labels that are given of it.
    fn sample(&self, index: usize) -> Result<(Vec<f32>, Vec<u8>)> {
        let patch = self.config.patch;
        let (x, mut labels) = self.sample_at(self.pool[index])?;
        let share = self.config.label_share;
        if share < 1.0 && !self.strategy.labels_everything() {
            let mut rng = stream(self.config.seed, Purpose::LabelShare, index as u64, 0);
            keep_square(&mut labels, patch, share, &mut rng);
        }
        Ok((x, labels))
    }

    /// The grey values of a patch, scaled, and its labels.
    fn sample_at(&self, at: Position) -> Result<(Vec<f32>, Vec<u8>)> {
        let patch = self.config.patch;
        let mut x = Vec::new();
        read_patch(self.data.train, at, patch, &mut x)?;
        Ok((x, self.data.annotator.annotate(at, patch)?))
    }

    /// An error where the loss is none that a network comes to which has learnt anything: a guess of one in as many classes costs less than 1,
    /// however many pixels count how much.
    fn require_sense(
        &self,
        iteration: usize,
        loss: f32,
        last_good: Option<(usize, usize)>,
    ) -> Result<()> {
        let heaviest = self.config.class_weights.iter().copied().fold(1.0, f32::max);
        if loss <= DIVERGED * heaviest {
            return Ok(());
        }
        let kept = match last_good {
            None => "no checkpoint of it is kept".into(),
            Some((at, 0)) => {
                format!("the last good checkpoint is that of the end of iteration {at}")
            }
            Some((at, epoch)) => {
                format!("the last good checkpoint is that of iteration {at} after epoch {epoch}")
            }
        };
        Err(Error::Input(format!(
            "the loss became {loss} in iteration {iteration}: the network has diverged; {kept}. Start anew with a lower learning rate (--lr, --finetune-lr) and --force"
        )))
    }

    fn train(
        &self,
        model: &mut Model,
        dataset: &Labelled,
        iteration: usize,
        from: Option<TrainState>,
        observer: &mut dyn Observer,
    ) -> Result<Trained> {
        let options = self.train_options(iteration, dataset.len());
        let stopping = dataset.early_stopping(self.config, &self.measured_on);
        let already = from.as_ref().map_or(0, |s| s.epochs_done);
        // The iteration and the epoch of the checkpoint that is there.
        let mut last_good = match already {
            0 => iteration.checked_sub(1).map(|before| (before, 0)),
            epochs => Some((iteration, epochs)),
        };
        let units = |epochs: usize| epochs.saturating_mul(dataset.train.len()) as u64;
        observer.phase(iteration, Phase::Train, units(already), units(options.epochs));
        let (epochs, loss, best) =
            train(model, &dataset.train, &options, stopping, from.as_ref(), &mut |model, step| {
                observer.advance(step.samples as u64);
                if let Some(losses) = step.losses {
                    observer.epoch_done(iteration, step.epochs_done, losses)?;
                }
                let unfinished = step.epochs_done < options.epochs;
                if let Some(losses) = step.losses {
                    // Before a checkpoint, which then stays the last good one.
                    self.require_sense(iteration, losses.train, last_good)?;
                    if unfinished && observer.wants_checkpoint() && !observer.stop_requested() {
                        let best = step.best.cloned();
                        let state = TrainState::of(model, step.epochs_done, losses.train, best)?;
                        observer.checkpoint(iteration, &state)?;
                        last_good = Some((iteration, step.epochs_done));
                    }
                }
                let stop = observer.stop_requested();
                Ok(if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
        self.require_sense(iteration, loss, last_good)?;
        model.measure_statistics(&self.measured_on, None)?;
        let best_epoch = best
            .as_ref()
            .map(|best| BestEpoch { epoch: best.epoch, held_out_loss: f64::from(best.loss) });
        if already < epochs {
            observer.checkpoint(iteration, &TrainState::of(model, epochs, loss, best)?)?;
        }
        stop_if_asked(observer)?;
        Ok(Trained { epochs, loss, best: best_epoch })
    }
}

/// The patches that are labelled after some iterations, by their numbers in the pool and in the order in which they were; none where the first
/// ones are not chosen yet.
///
/// # Errors
/// [`Error::Input`] if the records are of another pool.
pub fn labelled(
    config: &Config,
    pool: &[Position],
    records: &[Record],
) -> Result<Option<Vec<usize>>> {
    // Where not all of them are known, the first record names those that were labelled first.
    let all: Vec<usize> = (0..pool.len()).collect();
    let Some(mut labelled) = first_patches(config, &all, pool.len(), records)? else {
        return Ok(None);
    };
    for record in records {
        labelled.extend(picks_of(record, pool)?);
    }
    Ok(Some(labelled))
}

/// The patches that are labelled first, where they are known without a network: all, those drawn by chance, or those that the first record
/// names. They are not computed again, since another device could choose otherwise.
fn first_patches(
    config: &Config,
    known: &[usize],
    pool: usize,
    records: &[Record],
) -> Result<Option<Vec<usize>>> {
    let mut all = known.to_vec();
    if strategy::by_name(&config.strategy, config.bald.criterion())?.labels_everything() {
        return Ok(Some(all));
    }
    let first = records.first();
    match (config.initial_strategy, first) {
        (InitialStrategy::Random, _) if first.is_none_or(|record| record.initial.is_none()) => {
            let mut rng = stream(config.seed, Purpose::Initial, 0, 0);
            Ok(Some(sample_without_replacement(&mut rng, &mut all, config.initial).to_vec()))
        }
        (_, None) => Ok(None),
        (_, Some(record)) => {
            let initial = record.initial.clone().unwrap_or_default();
            let different: HashSet<usize> = initial.iter().copied().collect();
            let known = different.iter().all(|&index| index < pool);
            if initial.is_empty() || different.len() != initial.len() || !known {
                return Err(Error::Input(
                    "iteration 0 of the journal does not name different patches of the pool as the initial ones; the journal has been changed".into(),
                ));
            }
            Ok(Some(initial))
        }
    }
}

/// The picks of a record that was read from a journal, after a check.
fn picks_of(record: &Record, pool: &[Position]) -> Result<Vec<usize>> {
    let picks = record.picked.iter().map(|pick| {
        if pool.get(pick.index) == Some(&pick.position()) {
            return Ok(pick.index);
        }
        Err(Error::Input(format!(
            "iteration {} of the journal picked patch {} at ({}, {}, {}) of volume {}, which this pool does not have there; the data or the settings have changed since",
            record.iteration, pick.index, pick.z, pick.y, pick.x, pick.volume
        )))
    });
    picks.collect()
}

fn missing_weights(iteration: usize) -> Error {
    Error::Input(format!(
        "the weights of iteration {iteration} are missing, so the run cannot go on; start it anew with --force"
    ))
}

/// Mean loss beyond which a network has diverged: the true classes then have probabilities of e^-100.
const DIVERGED: f32 = 100.0;

/// What a training leaves beside the network.
struct Trained {
    epochs: usize,
    loss: f32,
    best: Option<BestEpoch>,
}

fn stop_if_asked(observer: &dyn Observer) -> Result<()> {
    if observer.stop_requested() {
        return Err(Error::Interrupted("stopped on request; the state is saved".into()));
    }
    Ok(())
}
