//! The volumes of an experiment, opened and checked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::normalise::scaling_of;
use super::options::PHANTOM_SHAPE;
use super::warnings::{mirrored, other_pixel_size, warnings_of};
use crate::data::phantom::Phantom;
use crate::data::pool::{Normalise, PatchReader, Position, Region, Scaling};
use crate::data::shared_pixels::{SharedRows, shared_rows};
use crate::data::volume::{
    CachedLabels, LabelOptions, LabelVolume, Volume, open_labels_as, open_raw_as, pair_at,
};
use crate::error::{Error, Result};
use crate::learning::annotator::SimulatedAnnotator;
use crate::learning::protocol::{Config, pool_of};
use crate::results::run_dir::{DataIdentity, DataSource};

/// The region of a volume that trains or tests, with its labels.
pub(super) struct LabelledRegion {
    /// The path of the images.
    name: String,
    pub(super) raw: Arc<dyn Volume>,
    pub(super) labels: CachedLabels,
    pub(super) region: Region,
}

/// Images, labels and regions of an experiment.
pub(super) struct ExperimentData {
    /// One region of each volume, in their order.
    pub(super) train: Vec<LabelledRegion>,
    pub(super) test: Vec<LabelledRegion>,
    pub(super) warnings: Vec<String>,
}

impl ExperimentData {
    /// The regions that train.
    pub(super) fn train_regions(&self) -> Vec<&Region> {
        self.train.iter().map(|part| &part.region).collect()
    }

    /// The regions that test.
    pub(super) fn test_regions(&self) -> Vec<&Region> {
        self.test.iter().map(|part| &part.region).collect()
    }

    /// An error if a training region has no place for a patch.
    pub(super) fn require_patch(&self, patch: usize) -> Result<()> {
        self.train.iter().try_for_each(|part| {
            let what = match self.train.len() {
                1 => "training region".into(),
                _ => format!("training region of {}", part.name),
            };
            part.region.require_patch(patch, &what)
        })
    }

    /// Makes a pool that nobody asked for as small as the volumes are, and says so.
    ///
    /// # Errors
    /// [`Error::Usage`] if that is too small for the experiment.
    pub(super) fn fit_pool(&mut self, config: &mut Config) -> Result<()> {
        if config.tiles {
            config.pool = self.pool(config)?.len();
            return Ok(());
        }
        let regions = self.train_regions();
        let places: u64 = regions.iter().map(|region| region.positions(config.patch)).sum();
        let Some(places) = usize::try_from(places).ok().filter(|&places| places < config.pool)
        else {
            return Ok(());
        };
        config.pool = places;
        config.validate()?;
        self.warnings.push(format!(
            "there are only {places} different patches of {0} x {0} pixels to train on, which are the pool",
            config.patch
        ));
        Ok(())
    }

    /// The patches that may be labelled.
    pub(super) fn pool(&self, config: &Config) -> Result<Vec<Position>> {
        pool_of(config, &self.train_regions(), &self.annotator())
    }

    /// Who answers with the labels that are there.
    pub(super) fn annotator(&self) -> SimulatedAnnotator<'_> {
        SimulatedAnnotator::of_volumes(self.train.iter().map(|part| &part.labels))
    }

    /// By what a run tells that its data are still the same.
    pub(super) fn identity(&self) -> Result<DataIdentity> {
        let parts = self.train.iter().chain(&self.test);
        let regions: Vec<_> =
            parts.map(|part| (&part.raw, part.labels.inner(), &part.region)).collect();
        DataIdentity::of(&regions)
    }

    /// How a network that trains on this sees other volumes: of several, each is scaled by its own
    /// grey values, and so are others.
    pub(super) fn normalise(&self) -> Normalise {
        if self.train.len() > 1 { Normalise::Volume } else { Normalise::Weights }
    }

    /// How the training's images are scaled, and those of the test; says where grey values of a
    /// test volume are far from the training's.
    pub(super) fn scalings(&self, source: &DataSource) -> Result<[Vec<Scaling>; 2]> {
        let several = self.train.len() > 1;
        let measure = |part: &LabelledRegion| {
            Scaling::measure(&*part.raw, &part.region).map_err(|e| match e {
                Error::Input(why) if several => Error::Input(format!("{}: {why}", part.name)),
                e => e,
            })
        };
        let train = self.train.iter().map(measure).collect::<Result<Vec<_>>>()?;
        if source.test_raw.is_empty() {
            return Ok([train.clone(), train]);
        }
        let by = source.normalise.unwrap_or(self.normalise());
        let of = |(part, path): (&LabelledRegion, &PathBuf)| {
            scaling_of(by, &part.raw, &part.region, train[0], path)
        };
        let test = self.test.iter().zip(&source.test_raw).map(of).collect::<Result<_>>()?;
        Ok([train, test])
    }

    /// What is to be said where the test's images are among the training's.
    fn shared(&self) -> Result<Option<String>> {
        let found = shared_rows(&images(&self.train), &images(&self.test))?;
        Ok(found.map(|SharedRows { shared, rows, first, trains_at }| {
            let place = |parts: &[LabelledRegion], [volume, z, y]: [usize; 3]| {
                format!("section {z}, row {y} of {}", parts[volume].name)
            };
            format!(
                "{shared} of {rows} rows of the test's images train too ({}, is {}): the Jaccard index \
                 will be better than it is on images that the network has not seen",
                place(&self.test, first),
                place(&self.train, trains_at)
            )
        }))
    }

    /// What is to be said of test volumes smaller than a patch.
    pub(super) fn mirrored(&self, patch: usize) -> Vec<String> {
        let what = |part: &LabelledRegion| match self.test.len() {
            1 => "the test region".into(),
            _ => format!("the test region of {}", part.name),
        };
        let of =
            |part: &LabelledRegion| mirrored(&Region::whole(part.raw.shape()), patch, &what(part));
        self.test.iter().filter_map(of).collect()
    }
}

fn images(parts: &[LabelledRegion]) -> Vec<(&dyn Volume, &Region)> {
    parts.iter().map(|part| (&*part.raw, &part.region)).collect()
}

impl LabelledRegion {
    /// Reads patches of the region.
    pub(super) fn reader(&self, scaling: Scaling, context: usize) -> PatchReader {
        PatchReader::with_context(Arc::clone(&self.raw), self.region.clone(), scaling, context)
    }
}

/// Images, their labels, and the box outside of which no label is known.
struct Opened {
    name: String,
    raw: Arc<dyn Volume>,
    labels: LabelVolume,
    known: Region,
}

/// Sections of labels kept in memory.
const CACHED_LABELS: usize = 2;

/// Opens and checks all volumes of an experiment.
///
/// Where labels are of a part of a volume, its regions are the surroundings of that part: patches
/// elsewhere have no label, and without a test volume the rows of the part are what is halved.
pub(super) fn open_data(source: &DataSource, config: &Config) -> Result<ExperimentData> {
    let options = label_options(source, config)?;
    let mut warnings = Vec::new();
    let offsets = &source.label_offset;
    let train = match source.raw.is_empty() {
        true => vec![phantom(source, config.seed)?],
        false => open_all(source, options, &source.raw, &source.labels, offsets, &mut warnings)?,
    };
    let around = |region: Region, known: &Region| -> Region {
        region.around(known, config.patch, config.net.context)
    };
    let whole = |opened: Opened| -> LabelledRegion {
        let region = around(Region::whole(opened.raw.shape()), &opened.known);
        opened.region(region)
    };
    let (train, test) = if source.test_raw.is_empty() {
        if source.test_share == Some(0.0) {
            let train = train.into_iter().map(whole).collect();
            return with_warnings(train, Vec::new(), warnings, config);
        }
        let mut halves = (Vec::new(), Vec::new());
        for (volume, opened) in train.into_iter().enumerate() {
            let known = &opened.known;
            let rows = known.y.len() as f64 * (1.0 - source.test_share.unwrap_or(0.5));
            let middle = known.y.start + rows as usize;
            let (mut first, second) = Region::split_at_row(opened.raw.shape(), middle);
            first.y.end = first.y.end.saturating_sub(source.split_margin.unwrap_or(0));
            let (first, second) = (around(first, known), around(second, known));
            // Labels are read at two places in turn, so each half has its own.
            let labels = match source.labels.get(volume) {
                None => phantom(source, config.seed)?.labels,
                Some(labels) => {
                    let labels = open_labels_as(labels, options, &source.axes_of_labels())?;
                    let raw = Box::new(Arc::clone(&opened.raw));
                    pair_at(raw, labels, offsets.get(volume).copied())?.labels
                }
            };
            let (name, raw) = (opened.name.clone(), Arc::clone(&opened.raw));
            let known = opened.known.clone();
            halves.0.push(opened.region(first));
            halves.1.push(Opened { name, raw, labels, known }.region(second));
        }
        halves
    } else {
        let (raw, labels) = (&source.test_raw, &source.test_labels);
        let offsets = &source.test_label_offset;
        let test = open_all(source, options, raw, labels, offsets, &mut warnings)?;
        (train.into_iter().map(whole).collect(), test.into_iter().map(whole).collect())
    };
    let mut data = with_warnings(train, test, warnings, config)?;
    // The halves of one volume have nothing in common.
    if !source.test_raw.is_empty() || data.train.len() > 1 {
        let shared = data.shared()?;
        data.warnings.extend(shared);
    }
    Ok(data)
}

fn with_warnings(
    train: Vec<LabelledRegion>,
    test: Vec<LabelledRegion>,
    mut warnings: Vec<String>,
    config: &Config,
) -> Result<ExperimentData> {
    let known = train.first().and_then(|part| part.raw.voxel_nm());
    for part in train.iter().chain(&test) {
        let context = config.net.context;
        let found = other_pixel_size(&*part.raw, known, context, &part.name);
        // Both halves of a volume say it.
        warnings.extend(found.filter(|warning| !warnings.contains(warning)));
    }
    for (what, parts) in [("training", &train), ("test", &test)] {
        if !parts.is_empty() {
            warnings.extend(missing_classes(what, parts, config.net.classes)?);
        }
    }
    Ok(ExperimentData { train, test, warnings })
}

impl Opened {
    fn region(self, region: Region) -> LabelledRegion {
        let labels = CachedLabels::new(self.labels, CACHED_LABELS);
        LabelledRegion { name: self.name, raw: self.raw, labels, region }
    }
}

/// Opens volumes with their labels.
///
/// # Errors
/// If one can't be read, its labels don't fit or are all foreground, or none has foreground.
fn open_all(
    source: &DataSource,
    options: LabelOptions,
    raw: &[PathBuf],
    labels: &[PathBuf],
    offsets: &[[usize; 3]],
    warnings: &mut Vec<String>,
) -> Result<Vec<Opened>> {
    if raw.len() != labels.len() {
        return Err(Error::Usage("--raw needs --labels".into()));
    }
    let open = |raw: &Path, labels: &Path, at: Option<[usize; 3]>| {
        let labels = open_labels_as(labels, options, &source.axes_of_labels())?;
        pair_at(open_raw_as(raw, &source.axes_of_images())?, labels, at)
    };
    let mut foreground = 0;
    let mut opened = Vec::new();
    for (i, (path, labels)) in raw.iter().zip(labels).enumerate() {
        let name = path.display().to_string();
        if is_same_place(path, labels) {
            return Err(Error::Usage(format!(
                "{name}: given as images and as their labels; name the file with the labels"
            )));
        }
        let pair = open(path, labels, offsets.get(i).copied()).map_err(|e| match e {
            // Files are named by what reads them; which of several pairs does not fit is not.
            Error::Input(why) if raw.len() > 1 && !why.contains(&name) => {
                Error::Input(format!("{name}: {why}"))
            }
            e => e,
        })?;
        let mut found = pair.warnings;
        match pair.labels.has_foreground()? {
            true => foreground += 1,
            false if raw.len() == 1 => pair.labels.require_foreground()?,
            // Inspection warns of it.
            false => {}
        }
        if !source.all_foreground {
            pair.labels.require_background()?;
        }
        found.extend(warnings_of(&*pair.raw, Some(&pair.labels))?);
        for warning in found {
            // Which of several it is about has to be said.
            let warning = if raw.len() > 1 { format!("{name}: {warning}") } else { warning };
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        let (raw, labels, known) = (Arc::from(pair.raw), pair.labels, pair.known);
        opened.push(Opened { name, raw, labels, known });
    }
    if foreground == 0 {
        opened.iter().try_for_each(|volume: &Opened| volume.labels.require_foreground())?;
    }
    Ok(opened)
}

/// Whether two paths lead to one file or folder.
fn is_same_place(a: &Path, b: &Path) -> bool {
    a == b || a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b))
}

/// The built-in phantom.
fn phantom(source: &DataSource, seed: u64) -> Result<Opened> {
    let pair = Phantom::pair(source.phantom_shape.unwrap_or(PHANTOM_SHAPE), seed)?;
    pair.labels.require_foreground().map_err(|_| {
        Error::Usage(
            "a phantom so small has no foreground with this seed; give a larger --phantom-shape or another --seed"
                .into(),
        )
    })?;
    let name = "the built-in phantom".into();
    Ok(Opened { name, raw: Arc::from(pair.raw), labels: pair.labels, known: pair.known })
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

/// What is to be said where no region has a pixel of some class. Foreground alone is looked for until
/// it is seen; of more classes all sections are read, since a value that is none has to be found now.
fn missing_classes(what: &str, parts: &[LabelledRegion], classes: usize) -> Result<Option<String>> {
    let mut missing: Vec<u8> = (1..classes as u8).collect();
    'parts: for part in parts {
        let (labels, region) = (part.labels.inner(), &part.region);
        let width = labels.shape()[2];
        for z in region.z.clone() {
            let section = labels.read_labels(z)?;
            for row in region.y.clone().map(|y| &section[y * width..][region.x.clone()]) {
                missing.retain(|class| !row.contains(class));
            }
            if missing.is_empty() && classes == 2 {
                break 'parts;
            }
        }
    }
    let region = if parts.len() > 1 { "regions have" } else { "region has" };
    Ok(match missing.first() {
        None => None,
        Some(_) if missing.len() + 1 == classes => {
            Some(format!("the {what} {region} no foreground: the Jaccard index will mean little"))
        }
        Some(class) => Some(format!(
            "the {what} {region} no pixel of class {class}: nothing can be said of it"
        )),
    })
}
