//! Options that several commands share: typed arguments in, validated settings out.

mod experiment;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Deserialize;

use super::axes::parse_offset;
use super::datasets::Dataset;
use crate::data::one_or_many;
use crate::data::pool::Normalise;
use crate::data::volume::{AxisLetters, LabelValue, local_path};
use crate::error::{Error, Result};
use crate::learning::protocol::Config;
use crate::network::weights;
use crate::results::run_dir::DataSource;

use experiment::Preset;

pub(super) use experiment::ExperimentArgs;

/// Where images and labels are.
#[derive(Clone, Debug, Default, PartialEq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DataArgs {
    /// Images: a Zarr or OME-Zarr array, an HDF5 dataset (file.h5:/path), an MRC file, a multi-page TIFF, or a folder of TIFF or PNG sections in numeric order.
    /// Without it, a built-in phantom is used. Given several times, all are one data set, each scaled by its own grey values.
    #[arg(long, value_name = "PATH", help_heading = "Data")]
    #[serde(with = "one_or_many")]
    pub(super) raw: Vec<PathBuf>,
    /// A published dataset that lies in --root, with the paper's training and test regions.
    #[arg(long, requires = "root", conflicts_with_all = ["raw", "test_raw", "phantom_shape"], help_heading = "Data")]
    pub(super) dataset: Option<Dataset>,
    /// The folder with the files of --dataset.
    #[arg(long, value_name = "DIR", requires = "dataset", help_heading = "Data")]
    pub(super) root: Option<PathBuf>,
    /// Labels of --raw, in the same forms; all values but 0 are foreground, or with --classes each is a class. One for each --raw, in
    /// the same order.
    #[arg(long, value_name = "PATH", requires = "raw", help_heading = "Data")]
    #[serde(with = "one_or_many")]
    pub(super) labels: Vec<PathBuf>,
    /// The one label value that is foreground [default: all but 0]
    #[arg(long, value_name = "V", allow_negative_numbers = true, help_heading = "Data")]
    pub(super) label_value: Option<LabelValue>,
    /// A label value whose pixels count neither in training nor in evaluation [default: none]
    #[arg(long, value_name = "V", allow_negative_numbers = true, help_heading = "Data")]
    pub(super) ignore_value: Option<LabelValue>,
    /// Accept labels without any background, which are a mistake more often than not.
    #[arg(long, help_heading = "Data")]
    pub(super) all_foreground: bool,
    /// What the axes of all images and labels are, slowest first, where files do not say or say wrongly: letters of Z, Y, X, C and T, such
    /// as ZYXC [default: as each file names them, else ZYX]
    #[arg(long, value_name = "LETTERS", help_heading = "Data")]
    pub(super) axes: Option<AxisLetters>,
    /// Which of several channels to read, from 0.
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub(super) channel: Option<usize>,
    /// Which of several time points to read, from 0.
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub(super) time: Option<usize>,
    /// What the axes of the labels are [default: as --axes]
    #[arg(long, value_name = "LETTERS", help_heading = "Data")]
    pub(super) label_axes: Option<AxisLetters>,
    /// Which of several channels of the labels to read, from 0 [default: as --channel]
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub(super) label_channel: Option<usize>,
    /// Of labels of a part of --raw: the section, row and column of their first voxel, from 0; of
    /// all pixels outside nothing is known. With several --labels one for each, 0,0,0 for those of a whole
    /// volume [default: as the translations of OME-Zarr files say]
    #[arg(
        long,
        value_name = "Z,Y,X",
        value_parser = parse_offset,
        allow_hyphen_values = true,
        help_heading = "Data"
    )]
    #[serde(with = "one_or_many")]
    pub(super) label_offset: Vec<[usize; 3]>,
    /// Where to test without a test volume: `y` trains on the first half of the rows and tests on the second.
    #[arg(long, value_name = "AXIS", help_heading = "Data", conflicts_with = "test_raw")]
    pub(super) split: Option<Split>,
    /// Set by `train`, and in files: the share of the rows that tests.
    #[arg(skip)]
    pub(super) test_share: Option<f64>,
    /// Set by `train`, and in files: the network that training begins with.
    #[arg(skip)]
    pub(super) weights: Option<PathBuf>,
    /// Rows between the halves of --split that neither trains nor tests, taken from the training half; a patch's side keeps all that the network sees
    /// apart [default: 0]
    #[arg(long, value_name = "ROWS", conflicts_with = "test_raw", help_heading = "Data")]
    pub(super) split_margin: Option<usize>,
    /// Images of a test volume of its own; may be given several times [default: --split y]
    #[arg(long, value_name = "PATH", requires = "test_labels", help_heading = "Data")]
    #[serde(with = "one_or_many")]
    pub(super) test_raw: Vec<PathBuf>,
    /// Labels of --test-raw, one for each.
    #[arg(long, value_name = "PATH", requires = "test_raw", help_heading = "Data")]
    #[serde(with = "one_or_many")]
    pub(super) test_labels: Vec<PathBuf>,
    /// --label-offset of the test volumes.
    #[arg(
        long,
        value_name = "Z,Y,X",
        value_parser = parse_offset,
        allow_hyphen_values = true,
        help_heading = "Data"
    )]
    #[serde(with = "one_or_many")]
    pub(super) test_label_offset: Vec<[usize; 3]>,
    /// How grey values of --test-raw are scaled: as those of the training are, or by that volume's
    /// own mean and deviation [default: weights; volume with several --raw]
    #[arg(long, value_name = "BY", help_heading = "Data")]
    pub(super) normalise: Option<Normalise>,
    /// Size of the phantom in sections, rows and columns [default: 8x512x512]
    #[arg(long, value_name = "ZxYxX", value_parser = parse_shape, conflicts_with = "raw", help_heading = "Data")]
    pub(super) phantom_shape: Option<[usize; 3]>,
}

/// Where to cut a volume in a training and a test region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Split {
    /// Halfway along the rows.
    Y,
}

pub(super) fn parse_shape(text: &str) -> std::result::Result<[usize; 3], String> {
    let sides: Vec<usize> = text.split('x').filter_map(|s| s.trim().parse().ok()).collect();
    match sides[..] {
        [z, y, x] if z > 0 && y > 0 && x > 0 && text.split('x').count() == 3 => Ok([z, y, x]),
        _ => Err("give sections, rows and columns, such as 8x512x512".into()),
    }
}

/// The phantom's size when none is given: trains within minutes on two cores.
pub(super) const PHANTOM_SHAPE: [usize; 3] = [8, 512, 512];

impl DataArgs {
    /// Takes from `file` what was not given.
    fn or(self, file: Self) -> Self {
        Self {
            raw: or_those_of(self.raw, file.raw),
            labels: or_those_of(self.labels, file.labels),
            label_value: self.label_value.or(file.label_value),
            ignore_value: self.ignore_value.or(file.ignore_value),
            all_foreground: self.all_foreground || file.all_foreground,
            axes: self.axes.or(file.axes),
            channel: self.channel.or(file.channel),
            time: self.time.or(file.time),
            label_axes: self.label_axes.or(file.label_axes),
            label_channel: self.label_channel.or(file.label_channel),
            label_offset: or_those_of(self.label_offset, file.label_offset),
            dataset: self.dataset.or(file.dataset),
            root: self.root.or(file.root),
            split: self.split.or(file.split),
            test_share: self.test_share.or(file.test_share),
            weights: self.weights.or(file.weights),
            split_margin: self.split_margin.or(file.split_margin),
            test_raw: or_those_of(self.test_raw, file.test_raw),
            test_labels: or_those_of(self.test_labels, file.test_labels),
            test_label_offset: or_those_of(self.test_label_offset, file.test_label_offset),
            normalise: self.normalise.or(file.normalise),
            phantom_shape: self.phantom_shape.or(file.phantom_shape),
        }
    }

    /// Paths made absolute, so that a run goes on from any folder.
    fn source(&self) -> Result<DataSource> {
        if let (Some(dataset), Some(root)) = (self.dataset, &self.root) {
            let files = dataset.below(root)?;
            if self.split_margin.is_some() && !files.test_raw.is_empty() {
                return Err(Error::Usage(
                    "--split-margin: this dataset has a test volume of its own".into(),
                ));
            }
            let Self { raw, labels, test_raw, test_labels, .. } = files;
            let named = Self { dataset: None, root: None, raw, labels, ..self.clone() };
            return Self { test_raw, test_labels, ..named }.source();
        }
        if !self.raw.is_empty() && self.labels.is_empty() {
            return Err(Error::Usage(
                "--raw needs --labels: they stand in for the annotator and judge the result".into(),
            ));
        }
        require_partners("", &self.raw, &self.labels, &self.label_offset)?;
        require_partners("test-", &self.test_raw, &self.test_labels, &self.test_label_offset)?;
        if self.normalise.is_some() && self.test_raw.is_empty() {
            return Err(Error::Usage(
                "--normalise: there is no --test-raw whose grey values it could be about".into(),
            ));
        }
        let phantom_shape =
            self.raw.is_empty().then(|| self.phantom_shape.unwrap_or(PHANTOM_SHAPE));
        Ok(DataSource {
            raw: absolute(&self.raw)?,
            labels: absolute(&self.labels)?,
            label_value: self.label_value,
            ignore_value: self.ignore_value,
            all_foreground: self.all_foreground,
            axes: self.axes.clone(),
            channel: self.channel,
            time: self.time,
            label_axes: self.label_axes.clone(),
            label_channel: self.label_channel,
            label_offset: self.label_offset.clone(),
            test_raw: absolute(&self.test_raw)?,
            test_labels: absolute(&self.test_labels)?,
            test_label_offset: self.test_label_offset.clone(),
            normalise: self.normalise,
            test_share: self.test_share,
            weights: self.weights.as_deref().map(absolute_path).transpose()?,
            split_margin: self.split_margin.filter(|&rows| rows > 0),
            phantom_shape,
        })
    }
}

/// What was given, or else what a file says.
fn or_those_of<T>(given: Vec<T>, file: Vec<T>) -> Vec<T> {
    if given.is_empty() { file } else { given }
}

/// Paths that mean the same in any folder.
fn absolute(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    paths.iter().map(|path| absolute_path(path)).collect()
}

fn absolute_path(path: &Path) -> Result<PathBuf> {
    std::path::absolute(local_path(path)?).map_err(|e| Error::io(path, "can't find the path", e))
}

/// An error unless each volume has its labels, and each labels their place where places are given.
/// `which` is what their options begin with.
fn require_partners(
    which: &str,
    raw: &[PathBuf],
    labels: &[PathBuf],
    offsets: &[[usize; 3]],
) -> Result<()> {
    let [volumes, labelled, placed] = [raw.len(), labels.len(), offsets.len()];
    if labelled != volumes {
        return Err(Error::Usage(format!(
            "--{which}labels: {labelled} are given and {volumes} --{which}raw; give one for each, in the \
             same order"
        )));
    }
    if placed > 0 && labelled == 0 {
        return Err(Error::Usage(format!(
            "--{which}label-offset: there are no --{which}labels to place"
        )));
    }
    if placed > 0 && placed != labelled {
        return Err(Error::Usage(format!(
            "--{which}label-offset: {placed} are given and {labelled} --{which}labels; give one for each, in \
             the same order, 0,0,0 for those of a whole volume"
        )));
    }
    let mut known = HashSet::new();
    for (i, pair) in raw.iter().zip(labels).enumerate() {
        if !known.insert((pair, offsets.get(i))) {
            return Err(Error::Usage(format!(
                "--{which}raw {}: it is given twice with the same labels, and would count double",
                pair.0.display()
            )));
        }
    }
    Ok(())
}

/// A file with the same settings as the options; a run directory's `config.toml` is one.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ConfigFile {
    #[serde(rename = "askem")]
    _askem: String,
    #[serde(rename = "device")]
    _device: String,
    data: DataArgs,
    experiment: ExperimentArgs,
}

/// The settings of an experiment, known to make one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settings {
    pub(super) source: DataSource,
    pub(super) config: Config,
    /// Whether the size of the pool was asked for; else a small volume has a smaller one.
    pub(super) pool_is_given: bool,
}

/// Everything that a command line says of an experiment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Given {
    pub(super) config_file: Option<PathBuf>,
    pub(super) data: DataArgs,
    pub(super) experiment: ExperimentArgs,
    /// Whether all labels that are given train a network, by `train`.
    pub(super) for_training: bool,
}

impl Given {
    /// The number of iterations, if it is all that is given.
    pub(super) fn only_iterations(&self) -> Option<usize> {
        let nothing_else = self.config_file.is_none() && self.data == DataArgs::default();
        self.experiment.only_iterations().filter(|_| nothing_else)
    }

    /// The settings: the preset, changed by the file, changed by the options.
    ///
    /// # Errors
    /// [`Error::Usage`] if they make no experiment.
    pub(super) fn resolve(self) -> Result<Settings> {
        let file = match &self.config_file {
            Some(path) => read_config(path)?,
            None => ConfigFile::default(),
        };
        let mut config = match self.experiment.preset.or(file.experiment.preset) {
            Some(Preset::Lab) => Config::lab(),
            Some(Preset::Quick) => Config::quick(),
            Some(Preset::Paper) => Config::paper(),
            // A run's file leaves out what is not set, which is so in the paper's settings.
            None if self.config_file.is_some() => Config::paper(),
            None => Config::lab(),
        };
        file.experiment.apply(&mut config)?;
        self.experiment.apply(&mut config)?;
        let data = self.data.or(file.data);
        if self.for_training {
            let network = data.weights.as_deref().map(weights::load).transpose()?;
            self.experiment.finish_for_training(&mut config, network.as_ref())?;
        } else if self.experiment.holdout.is_some() && config.early_stopping.is_none() {
            return Err(Error::Usage(
                "--holdout: it is the share that --early-stopping holds out of training, which is not given".into(),
            ));
        }
        config.validate()?;
        let pool_is_given = self.experiment.names_pool() || file.experiment.names_pool();
        Ok(Settings { source: data.source()?, config, pool_is_given })
    }
}

fn read_config(path: &Path) -> Result<ConfigFile> {
    let text =
        std::fs::read_to_string(path).map_err(|e| Error::io(path, "can't read --config", e))?;
    toml::from_str(&text).map_err(|e| {
        let line = e.span().map_or(0, |span| text[..span.start].matches('\n').count()) + 1;
        Error::Usage(format!("{}: line {line}: {}", path.display(), e.message()))
    })
}
