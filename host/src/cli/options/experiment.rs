//! The settings of an experiment, as options or as `config.toml`.

use clap::ValueEnum;
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::learning::predict::Embedding;
use crate::learning::protocol::{Bald, Config, InitialStrategy, MOST_PATCHES, StatisticsFrom};
use crate::learning::train::{AugmentKind, Schedule};
use crate::network::unet::{DropoutKind, Norm};
use crate::network::weights::TrainedNetwork;

/// Which settings to start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::cli) enum Preset {
    /// A small network and stable trainings with few labels: about a quarter of an hour on two cores.
    Lab,
    /// The same with shorter trainings: minutes on two cores.
    Quick,
    /// The paper's numbers.
    Paper,
}

/// Epochs of a training on all labels where no budget of steps says how many.
const TRAINING_EPOCHS: usize = 50;

/// The settings of an experiment, as options or as `config.toml`.
#[derive(Clone, Debug, Default, PartialEq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::cli) struct ExperimentArgs {
    /// `--strategy`; commands differ in whether they take one or several.
    #[arg(skip)]
    pub(in crate::cli) strategy: Option<String>,
    /// Set by `train`, and in files: epochs of the strategy `full`.
    #[arg(skip)]
    full_epochs: Option<usize>,
    /// Set by `train`, and in files: whether the pool is of tiles.
    #[arg(skip)]
    tiles: bool,
    /// Settings to start from [default: lab, or paper below a --config that names none]
    #[arg(long, help_heading = "Experiment")]
    pub(super) preset: Option<Preset>,
    /// Decides everything random [default: 0]
    #[arg(long, value_name = "N", help_heading = "Experiment")]
    seed: Option<u64>,
    /// Classes, background among them: the values of the labels are 0 to N - 1 then, up to 16 classes
    /// [default: 2, where every value but 0 is foreground]
    #[arg(long, value_name = "N", help_heading = "Experiment")]
    classes: Option<usize>,
    /// Patches labelled at the start, drawn from the pool [default: 20]
    #[arg(long, value_name = "PATCHES", help_heading = "Experiment")]
    initial: Option<usize>,
    /// How those are chosen: by chance, or the typical ones of clusters of the pool, by the untrained network's embeddings
    /// [default: random]
    #[arg(long, help_heading = "Experiment")]
    initial_strategy: Option<InitialStrategy>,
    /// Patches that may be labelled [default: 1000; quick: 300; paper: 2000; all where there are fewer]
    #[arg(long, value_name = "PATCHES", help_heading = "Experiment")]
    pool: Option<usize>,
    /// Patches labelled per iteration [default: 20]
    #[arg(long, value_name = "PATCHES", help_heading = "Experiment")]
    query: Option<usize>,
    /// Iterations after the initial training [default: 4; paper: 25]
    #[arg(long, value_name = "N", help_heading = "Experiment")]
    iterations: Option<usize>,
    /// Share of each chosen patch that is labelled: a square at a random place in it; the other pixels are ignored in training [default: 1]
    #[arg(long, value_name = "SHARE", help_heading = "Experiment")]
    label_share: Option<f64>,
    /// Epochs of the initial training, at most [default: 400; paper: 500]
    #[arg(long, value_name = "N", help_heading = "Training")]
    pub(in crate::cli) epochs: Option<usize>,
    /// Epochs of each later training, at most [default: 400; paper: 200]
    #[arg(long, value_name = "N", help_heading = "Training")]
    finetune_epochs: Option<usize>,
    /// Steps of each training at most, rounded down to whole epochs; full supervision gets as many as all trainings of the others
    /// together [default: 2000; quick: 400; paper: none]
    #[arg(long, value_name = "STEPS", help_heading = "Training")]
    max_steps: Option<usize>,
    /// Stop a training when the loss on held-out patches has not fallen for so many epochs, and take the best network
    /// [default: train all epochs]
    #[arg(long, value_name = "EPOCHS", help_heading = "Training")]
    early_stopping: Option<usize>,
    /// Share of the labelled patches that --early-stopping holds out of training [default: 0.2]
    #[arg(long, value_name = "SHARE", help_heading = "Training")]
    pub(in crate::cli) holdout: Option<f64>,
    /// Adam's learning rate in the initial training [default: 0.003; paper: 0.001]
    #[arg(long, value_name = "RATE", help_heading = "Training")]
    lr: Option<f64>,
    /// Adam's learning rate in later trainings [default: 0.003; paper: 0.0005]
    #[arg(long, value_name = "RATE", help_heading = "Training")]
    finetune_lr: Option<f64>,
    /// How the learning rate changes within a training [default: cosine; paper: constant]
    #[arg(long, help_heading = "Training")]
    schedule: Option<Schedule>,
    /// Share of a training's samples that are drawn among the patches with foreground; the others are drawn among all [default: 0.5;
    /// paper: 0]
    #[arg(long, value_name = "SHARE", help_heading = "Training")]
    foreground_share: Option<f64>,
    /// Patches on which batch norm's statistics are measured after each training, at most; 0 keeps the training's own
    /// [default: 256; paper: 0]
    #[arg(long, value_name = "PATCHES", help_heading = "Training")]
    statistics_patches: Option<usize>,
    /// Which patches these are: those that trained, as often as training draws them, or some of the whole pool [default: labelled]
    #[arg(long, help_heading = "Training")]
    statistics_from: Option<StatisticsFrom>,
    /// Patches per training step [default: 4]
    #[arg(long, value_name = "PATCHES", help_heading = "Training")]
    batch_size: Option<usize>,
    /// How training changes patches, separated by commas: mirrors, quarter turns, turns by any angle with scales, contrast and
    /// brightness [default: all four; paper: flips,turns]
    #[arg(
        long,
        value_name = "flips,turns,affine,intensity|none",
        value_delimiter = ',',
        help_heading = "Training"
    )]
    augment: Option<Vec<AugmentKind>>,
    /// Factors of the loss of background and foreground pixels [default: 1,1]
    #[arg(long, value_name = "B,F", value_delimiter = ',', help_heading = "Training")]
    class_weights: Option<Vec<f32>>,
    /// Side of a patch in pixels, a multiple of 16 [default: 128]
    #[arg(long, value_name = "PIXELS", help_heading = "Network")]
    patch: Option<usize>,
    /// Neighbouring sections on each side that the network sees beside the one that it segments [default: 0]
    #[arg(long, value_name = "SECTIONS", help_heading = "Network")]
    context: Option<usize>,
    /// Feature maps of the first level [default: 8; paper: 16]
    #[arg(long, value_name = "MAPS", help_heading = "Network")]
    width: Option<usize>,
    /// Normalisation after each convolution [default: batch]
    #[arg(long, help_heading = "Network")]
    norm: Option<Norm>,
    /// Probability of dropout [default: 0.1; paper: 0.25]
    #[arg(long, value_name = "P", help_heading = "Network")]
    dropout: Option<f32>,
    /// What dropout sets to zero: feature maps or single values [default: element; paper: channel]
    #[arg(long, help_heading = "Network")]
    dropout_kind: Option<DropoutKind>,
    /// Dropout passes of the strategy bald [default: 10]
    #[arg(long, value_name = "N", help_heading = "Selection")]
    mc_passes: Option<usize>,
    /// The score of the strategy bald [default: entropy]
    #[arg(long, help_heading = "Selection")]
    bald: Option<Bald>,
    /// Chosen patches lie so far apart in rows or columns, from each other and from what is labelled; fewer are chosen where no more
    /// fit [default: 0, anywhere]
    #[arg(long, value_name = "PIXELS", help_heading = "Selection")]
    min_distance: Option<usize>,
    /// Sections up to which --min-distance holds; neighbouring sections resemble each other [default: 0, within a section]
    #[arg(long, value_name = "SECTIONS", help_heading = "Selection")]
    min_distance_z: Option<usize>,
    /// What k_means and core_set measure distances between: the bottleneck's spatial mean or all of it [default: mean]
    #[arg(long, help_heading = "Selection")]
    embedding: Option<Embedding>,
}

impl ExperimentArgs {
    /// Whether one seed is given.
    pub(in crate::cli) fn has_seed(&self) -> bool {
        self.seed.is_some()
    }

    /// The number of iterations, if it is all that is given.
    pub(super) fn only_iterations(&self) -> Option<usize> {
        let rest = Self { iterations: None, ..self.clone() };
        self.iterations.filter(|_| rest == Self::default())
    }

    /// The settings of a project in which a person labels, in a volume with so many places for a
    /// patch: queries of so many patches until the pool is used up, unless something else is given.
    ///
    /// # Errors
    /// [`Error::Usage`] if they make no experiment.
    pub(in crate::cli) fn resolve_for_person(
        &self,
        first: usize,
        query: usize,
        places: u64,
    ) -> Result<Config> {
        let mut config = match self.preset {
            Some(Preset::Quick) => Config::quick(),
            Some(Preset::Paper) => Config::paper(),
            Some(Preset::Lab) | None => Config::lab(),
        };
        (config.initial, config.query) = (first, query);
        self.apply(&mut config)?;
        if self.pool.is_none() {
            config.pool = config.pool.min(usize::try_from(places).unwrap_or(usize::MAX)).max(1);
        }
        if self.min_distance.is_none() {
            // Nobody likes to label the same place twice.
            config.min_distance = config.patch;
            config.min_distance_z = self.min_distance_z.unwrap_or(1);
        }
        if self.iterations.is_none() {
            config.iterations = config.pool.saturating_sub(config.initial) / config.query.max(1);
        }
        config.validate()?;
        Ok(config)
    }

    /// Makes the settings those of a training on all labels that are given.
    ///
    /// # Errors
    /// [`Error::Usage`] for an option that such a training has no use for, or that the `network` which it
    /// begins with contradicts.
    pub(super) fn finish_for_training(
        &self,
        config: &mut Config,
        network: Option<&TrainedNetwork>,
    ) -> Result<()> {
        for (option, is_given) in [
            ("--initial", self.initial.is_some()),
            ("--initial-strategy", self.initial_strategy.is_some()),
            ("--query", self.query.is_some()),
            ("--iterations", self.iterations.is_some()),
            ("--label-share", self.label_share.is_some()),
            ("--finetune-epochs", self.finetune_epochs.is_some()),
            ("--mc-passes", self.mc_passes.is_some()),
            ("--bald", self.bald.is_some()),
            ("--min-distance", self.min_distance.is_some()),
            ("--min-distance-z", self.min_distance_z.is_some()),
            ("--embedding", self.embedding.is_some()),
        ] {
            if is_given {
                return Err(Error::Usage(format!(
                    "{option}: train learns from all labels at once and asks for none; leave it out \
                     (askem run takes it)"
                )));
            }
        }
        if let Some(network) = network {
            self.adopt(config, network)?;
        }
        // As many steps as all trainings of a run together, unless epochs are asked for.
        let trainings = config.iterations + 1;
        config.full_epochs = Some(self.epochs.unwrap_or(match config.max_steps {
            Some(_) => config.epochs,
            None => TRAINING_EPOCHS,
        }));
        if self.max_steps.is_none() {
            let most = config.max_steps.filter(|_| self.epochs.is_none());
            config.max_steps = most.map(|steps| steps.saturating_mul(trainings));
        }
        config.strategy = "full".into();
        (config.initial, config.query, config.iterations) = (1, 1, 0);
        config.tiles = true;
        if self.pool.is_none() {
            config.pool = MOST_PATCHES;
        }
        Ok(())
    }

    /// Takes over what a network is.
    fn adopt(&self, config: &mut Config, network: &TrainedNetwork) -> Result<()> {
        let net = network.net;
        for (option, given, there) in [
            ("--width", self.width, net.width),
            ("--classes", self.classes, net.classes),
            ("--context", self.context, net.context),
        ] {
            if let Some(given) = given.filter(|&given| given != there) {
                return Err(Error::Usage(format!(
                    "{option} {given}: the network of --weights has {there}; leave it out"
                )));
            }
        }
        if self.norm.is_some_and(|norm| norm != net.norm) {
            return Err(Error::Usage(
                "--norm: the network of --weights has another; leave it out".into(),
            ));
        }
        let (dropout, dropout_kind) = (config.net.dropout, config.net.dropout_kind);
        config.net = net;
        if self.dropout.is_some() {
            config.net.dropout = dropout;
        }
        if self.dropout_kind.is_some() {
            config.net.dropout_kind = dropout_kind;
        }
        config.patch = self.patch.unwrap_or(network.patch);
        if self.class_weights.is_none() && config.class_weights.len() != net.classes {
            config.class_weights = vec![1.0; net.classes];
        }
        Ok(())
    }

    /// Whether it says how large the pool is.
    pub(super) fn names_pool(&self) -> bool {
        self.pool.is_some()
    }

    /// Changes what was given.
    pub(super) fn apply(&self, config: &mut Config) -> Result<()> {
        fn set<T: Clone>(target: &mut T, given: &Option<T>) {
            if let Some(value) = given {
                *target = value.clone();
            }
        }
        set(&mut config.strategy, &self.strategy);
        set(&mut config.net.classes, &self.classes);
        if self.full_epochs.is_some() {
            config.full_epochs = self.full_epochs;
        }
        config.tiles |= self.tiles;
        set(&mut config.seed, &self.seed);
        set(&mut config.initial, &self.initial);
        set(&mut config.initial_strategy, &self.initial_strategy);
        set(&mut config.pool, &self.pool);
        set(&mut config.query, &self.query);
        set(&mut config.iterations, &self.iterations);
        set(&mut config.label_share, &self.label_share);
        set(&mut config.epochs, &self.epochs);
        set(&mut config.finetune_epochs, &self.finetune_epochs);
        if self.max_steps.is_some() {
            config.max_steps = self.max_steps;
        }
        if self.early_stopping.is_some() {
            config.early_stopping = self.early_stopping;
        }
        set(&mut config.holdout, &self.holdout);
        set(&mut config.lr, &self.lr);
        set(&mut config.finetune_lr, &self.finetune_lr);
        set(&mut config.schedule, &self.schedule);
        set(&mut config.foreground_share, &self.foreground_share);
        set(&mut config.statistics_patches, &self.statistics_patches);
        set(&mut config.statistics_from, &self.statistics_from);
        set(&mut config.batch_size, &self.batch_size);
        if let Some(weights) = &self.class_weights {
            config.class_weights = weights.clone();
        } else if config.class_weights.len() != config.net.classes {
            config.class_weights = vec![1.0; config.net.classes];
        }
        set(&mut config.patch, &self.patch);
        set(&mut config.net.context, &self.context);
        set(&mut config.net.width, &self.width);
        set(&mut config.net.norm, &self.norm);
        set(&mut config.net.dropout, &self.dropout);
        set(&mut config.net.dropout_kind, &self.dropout_kind);
        set(&mut config.mc_passes, &self.mc_passes);
        set(&mut config.bald, &self.bald);
        set(&mut config.embedding, &self.embedding);
        set(&mut config.min_distance, &self.min_distance);
        set(&mut config.min_distance_z, &self.min_distance_z);
        if let Some(kinds) = &self.augment {
            if kinds.contains(&AugmentKind::None) && kinds.len() > 1 {
                return Err(Error::Usage("--augment: `none` stands alone".into()));
            }
            config.augment = kinds.clone().into();
        }
        Ok(())
    }
}
