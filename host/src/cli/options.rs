//! Options that several commands share: typed arguments in, validated settings out.

mod experiment;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use serde::Deserialize;

use super::axes::parse_offset;
use super::datasets::Dataset;
use super::normalise::scaling_of;
use super::warnings::warnings_of;
use crate::data::phantom::Phantom;
use crate::data::pool::{Normalise, Region, Scaling};
use crate::data::volume::{
    AxisLetters, CachedLabels, LabelOptions, LabelValue, LabelVolume, Volume, local_path,
    open_labels_as, open_raw_as, pair_at,
};
use crate::error::{Error, Result};
use crate::learning::protocol::Config;
use crate::results::run_dir::DataSource;

use experiment::Preset;

pub(super) use experiment::ExperimentArgs;

/// Where images and labels are.
#[derive(Clone, Debug, Default, PartialEq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DataArgs {
    /// Images: a Zarr or OME-Zarr array, an HDF5 dataset (file.h5:/path), an MRC file, a multi-page TIFF, or a folder of TIFF or PNG sections in numeric order.
    /// Without it, a built-in phantom is used.
    #[arg(long, value_name = "PATH", help_heading = "Data")]
    pub(super) raw: Option<PathBuf>,
    /// A published dataset that lies in --root, with the paper's training and test regions.
    #[arg(long, requires = "root", conflicts_with_all = ["raw", "test_raw", "phantom_shape"], help_heading = "Data")]
    pub(super) dataset: Option<Dataset>,
    /// The folder with the files of --dataset.
    #[arg(long, value_name = "DIR", requires = "dataset", help_heading = "Data")]
    pub(super) root: Option<PathBuf>,
    /// Labels of --raw, in the same forms; all values but 0 are foreground, or with --classes each is a class.
    #[arg(long, value_name = "PATH", requires = "raw", help_heading = "Data")]
    pub(super) labels: Option<PathBuf>,
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
    /// all pixels outside nothing is known [default: as the translations of OME-Zarr files say]
    #[arg(
        long,
        value_name = "Z,Y,X",
        value_parser = parse_offset,
        allow_hyphen_values = true,
        help_heading = "Data"
    )]
    pub(super) label_offset: Option<[usize; 3]>,
    /// Where to test without a test volume: `y` trains on the first half of the rows and tests on the second.
    #[arg(long, value_name = "AXIS", help_heading = "Data", conflicts_with = "test_raw")]
    pub(super) split: Option<Split>,
    /// Rows between the halves of --split that neither trains nor tests, taken from the training half; a patch's side keeps all that the network sees
    /// apart [default: 0]
    #[arg(long, value_name = "ROWS", conflicts_with = "test_raw", help_heading = "Data")]
    pub(super) split_margin: Option<usize>,
    /// Images of a test volume of its own [default: --split y]
    #[arg(long, value_name = "PATH", requires = "test_labels", help_heading = "Data")]
    pub(super) test_raw: Option<PathBuf>,
    /// Labels of --test-raw.
    #[arg(long, value_name = "PATH", requires = "test_raw", help_heading = "Data")]
    pub(super) test_labels: Option<PathBuf>,
    /// --label-offset of the test volume.
    #[arg(
        long,
        value_name = "Z,Y,X",
        value_parser = parse_offset,
        allow_hyphen_values = true,
        help_heading = "Data"
    )]
    pub(super) test_label_offset: Option<[usize; 3]>,
    /// How grey values of --test-raw are scaled: as those of the training are, or by that volume's
    /// own mean and deviation [default: weights]
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

fn parse_shape(text: &str) -> std::result::Result<[usize; 3], String> {
    let sides: Vec<usize> = text.split('x').filter_map(|s| s.trim().parse().ok()).collect();
    match sides[..] {
        [z, y, x] if z > 0 && y > 0 && x > 0 && text.split('x').count() == 3 => Ok([z, y, x]),
        _ => Err("give sections, rows and columns, such as 8x512x512".into()),
    }
}

/// The phantom's size when none is given: trains within minutes on two cores.
const PHANTOM_SHAPE: [usize; 3] = [8, 512, 512];

impl DataArgs {
    /// Takes from `file` what was not given.
    fn or(self, file: Self) -> Self {
        Self {
            raw: self.raw.or(file.raw),
            labels: self.labels.or(file.labels),
            label_value: self.label_value.or(file.label_value),
            ignore_value: self.ignore_value.or(file.ignore_value),
            all_foreground: self.all_foreground || file.all_foreground,
            axes: self.axes.or(file.axes),
            channel: self.channel.or(file.channel),
            time: self.time.or(file.time),
            label_axes: self.label_axes.or(file.label_axes),
            label_channel: self.label_channel.or(file.label_channel),
            label_offset: self.label_offset.or(file.label_offset),
            dataset: self.dataset.or(file.dataset),
            root: self.root.or(file.root),
            split: self.split.or(file.split),
            split_margin: self.split_margin.or(file.split_margin),
            test_raw: self.test_raw.or(file.test_raw),
            test_labels: self.test_labels.or(file.test_labels),
            test_label_offset: self.test_label_offset.or(file.test_label_offset),
            normalise: self.normalise.or(file.normalise),
            phantom_shape: self.phantom_shape.or(file.phantom_shape),
        }
    }

    /// Paths made absolute, so that a run goes on from any folder.
    fn source(&self) -> Result<DataSource> {
        if let (Some(dataset), Some(root)) = (self.dataset, &self.root) {
            let files = dataset.below(root)?;
            if self.split_margin.is_some() && files.test_raw.is_some() {
                return Err(Error::Usage(
                    "--split-margin: this dataset has a test volume of its own".into(),
                ));
            }
            let Self { raw, labels, test_raw, test_labels, .. } = files;
            let named = Self { dataset: None, root: None, raw, labels, ..self.clone() };
            return Self { test_raw, test_labels, ..named }.source();
        }
        let absolute = |path: &Option<PathBuf>| -> Result<Option<PathBuf>> {
            let Some(path) = path else { return Ok(None) };
            let absolute = std::path::absolute(local_path(path)?);
            absolute.map(Some).map_err(|e| Error::io(path, "can't find the path", e))
        };
        if self.raw.is_some() && self.labels.is_none() {
            return Err(Error::Usage(
                "--raw needs --labels: they stand in for the annotator and judge the result".into(),
            ));
        }
        if self.label_offset.is_some() && self.labels.is_none() {
            return Err(Error::Usage("--label-offset: there are no --labels to place".into()));
        }
        if self.test_label_offset.is_some() && self.test_labels.is_none() {
            return Err(Error::Usage(
                "--test-label-offset: there are no --test-labels to place".into(),
            ));
        }
        if self.normalise.is_some() && self.test_raw.is_none() {
            return Err(Error::Usage(
                "--normalise: there is no --test-raw whose grey values it could be about".into(),
            ));
        }
        let phantom_shape = self.raw.is_none().then(|| self.phantom_shape.unwrap_or(PHANTOM_SHAPE));
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
            label_offset: self.label_offset,
            test_raw: absolute(&self.test_raw)?,
            test_labels: absolute(&self.test_labels)?,
            test_label_offset: self.test_label_offset,
            normalise: self.normalise,
            split_margin: self.split_margin.filter(|&rows| rows > 0),
            phantom_shape,
        })
    }
}

/// Images, labels and the two regions of an experiment.
pub(super) struct OpenData {
    pub(super) train_raw: Arc<dyn Volume>,
    pub(super) train_labels: CachedLabels,
    pub(super) train_region: Region,
    pub(super) test_raw: Arc<dyn Volume>,
    pub(super) test_labels: CachedLabels,
    pub(super) test_region: Region,
    pub(super) warnings: Vec<String>,
}

impl OpenData {
    /// How the training's images are scaled, and those of the test; says where grey values of a
    /// test volume are far from the training's.
    pub(super) fn scalings(&self, source: &DataSource) -> Result<[Scaling; 2]> {
        let known = Scaling::measure(&*self.train_raw, &self.train_region)?;
        let Some(path) = &source.test_raw else { return Ok([known; 2]) };
        let by = source.normalise.unwrap_or(Normalise::Weights);
        Ok([known, scaling_of(by, &self.test_raw, &self.test_region, known, path)?])
    }
}

/// Images, their labels, and the box outside of which no label is known.
type Opened = (Arc<dyn Volume>, LabelVolume, Region);

/// Sections of labels kept in memory.
const CACHED_LABELS: usize = 2;

/// Opens and checks all volumes of an experiment.
///
/// Where labels are of a part of a volume, its regions are the surroundings of that part: patches
/// elsewhere have no label, and without a test volume the rows of the part are what is halved.
pub(super) fn open_data(source: &DataSource, config: &Config) -> Result<OpenData> {
    let options = label_options(source, config)?;
    let mut warnings = Vec::new();
    let mut open = |raw: &Path, labels: &Path, at: Option<[usize; 3]>| -> Result<Opened> {
        let labels = open_labels_as(labels, options, &source.axes_of_labels())?;
        let pair = pair_at(open_raw_as(raw, &source.axes_of_images())?, labels, at)?;
        pair.labels.require_foreground()?;
        if !source.all_foreground {
            pair.labels.require_background()?;
        }
        let found = warnings_of(&*pair.raw, Some(&pair.labels))?;
        for warning in pair.warnings.into_iter().chain(found) {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        Ok((Arc::from(pair.raw), pair.labels, pair.known))
    };
    let (train_raw, train_labels, known, second_labels) = match (&source.raw, &source.labels) {
        (Some(raw), Some(labels)) => {
            let (raw, train, known) = open(raw, labels, source.label_offset)?;
            // As those of the first, of which labels may lack some.
            let again = open_labels_as(labels, options, &source.axes_of_labels())?;
            let again = pair_at(Box::new(Arc::clone(&raw)), again, source.label_offset)?.labels;
            (raw, train, known, again)
        }
        (Some(_), None) => return Err(Error::Usage("--raw needs --labels".into())),
        _ => {
            let phantom =
                || Phantom::pair(source.phantom_shape.unwrap_or(PHANTOM_SHAPE), config.seed);
            let pair = phantom()?;
            pair.labels.require_foreground().map_err(|_| {
                Error::Usage(
                    "a phantom so small has no foreground with this seed; give a larger --phantom-shape or another --seed"
                        .into(),
                )
            })?;
            (Arc::from(pair.raw), pair.labels, pair.known, phantom()?.labels)
        }
    };
    let shape = train_raw.shape();
    let around = |region: Region, known: &Region| -> Region {
        region.around(known, config.patch, config.net.context)
    };
    let (train_region, test_raw, test_labels, test_region) =
        match (&source.test_raw, &source.test_labels) {
            (Some(raw), Some(labels)) => {
                let (raw, labels, test_known) = open(raw, labels, source.test_label_offset)?;
                let region = around(Region::whole(raw.shape()), &test_known);
                (around(Region::whole(shape), &known), raw, labels, region)
            }
            _ => {
                let middle = usize::midpoint(known.y.start, known.y.end);
                let (mut train, test) = Region::split_at_row(shape, middle);
                train.y.end = train.y.end.saturating_sub(source.split_margin.unwrap_or(0));
                let (train, test) = (around(train, &known), around(test, &known));
                (train, Arc::clone(&train_raw), second_labels, test)
            }
        };
    for (what, labels, region) in
        [("training", &train_labels, &train_region), ("test", &test_labels, &test_region)]
    {
        let missing = missing_classes(labels, region, config.net.classes)?;
        match missing.first() {
            None => {}
            Some(_) if missing.len() + 1 == config.net.classes => warnings.push(format!(
                "the {what} region has no foreground: the Jaccard index will mean little"
            )),
            Some(class) => warnings.push(format!(
                "the {what} region has no pixel of class {class}: nothing can be said of it"
            )),
        }
    }
    Ok(OpenData {
        train_raw,
        train_labels: CachedLabels::new(train_labels, CACHED_LABELS),
        train_region,
        test_raw,
        test_labels: CachedLabels::new(test_labels, CACHED_LABELS),
        test_region,
        warnings,
    })
}

/// How values become labels: the classes themselves where there are more than two.
fn label_options(source: &DataSource, config: &Config) -> Result<LabelOptions> {
    let (value, ignore) = (source.label_value, source.ignore_value);
    let classes = config.net.classes;
    if classes > 2 && source.phantom_shape.is_some() {
        return Err(Error::Usage(format!(
            "--classes {classes}: the built-in phantom has two; give --raw and --labels"
        )));
    }
    LabelOptions { value, ignore, classes: None }.with_classes(classes)
}

/// The classes but background of which the region has no pixel. Foreground alone is looked for until
/// it is seen; of more classes all sections are read, since a value that is none has to be found now.
fn missing_classes(labels: &LabelVolume, region: &Region, classes: usize) -> Result<Vec<u8>> {
    let width = labels.shape()[2];
    let mut missing: Vec<u8> = (1..classes as u8).collect();
    for z in region.z.clone() {
        let section = labels.read_labels(z)?;
        for row in region.y.clone().map(|y| &section[y * width..][region.x.clone()]) {
            missing.retain(|class| !row.contains(class));
        }
        if missing.is_empty() && classes == 2 {
            break;
        }
    }
    Ok(missing)
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

/// Everything that a command line says of an experiment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Given {
    pub(super) config_file: Option<PathBuf>,
    pub(super) data: DataArgs,
    pub(super) experiment: ExperimentArgs,
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
    pub(super) fn resolve(self) -> Result<(DataSource, Config)> {
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
        config.validate()?;
        Ok((self.data.or(file.data).source()?, config))
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
