//! `askem instances`: the objects of a segmentation; and the options of objects, which `askem
//! predict` has too.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::{Value, json};

use super::axes::AxesArgs;
use super::inputs::refuse_inputs_as;
use super::progress::{Bar, catch_interrupt, interrupted};
use super::{Common, say, say_json, warn};
use crate::data::instances::{
    Connectivity, InstanceFiles, InstanceOptions, Instances, Mask, PASSES,
};
use crate::data::volume::{
    Dtype, LabelValue, Region, Volume, is_our_ome_zarr, is_our_tiff, open_raw, open_segmentation,
    place,
};
use crate::error::{Error, Result};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A segmentation: labels (all values above 0 are foreground) or probabilities, in any format
    /// that is read.
    #[arg(long, value_name = "PATH")]
    prediction: PathBuf,
    #[command(flatten)]
    axes: AxesArgs,
    /// Where the objects go, numbered from 1: an OME-Zarr ending in .zarr, or a multi-page TIFF
    /// ending in .tif.
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// The one label value that is foreground, such as a class [default: all above --threshold]
    #[arg(long, value_name = "V", allow_negative_numbers = true, conflicts_with = "threshold")]
    label_value: Option<LabelValue>,
    /// Overwrite --out and --csv, if askem wrote them.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    objects: ObjectArgs,
}

/// What counts as an object, and where the table goes.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
#[command(next_help_heading = "Objects")]
pub(super) struct ObjectArgs {
    /// Table of the objects: voxels, volume, surface, centroid, bounding box [default: as --out,
    /// ending in .csv]
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Foreground is above this value [default: 0.5 for floats, 0 for integers]
    #[arg(long, value_name = "P")]
    threshold: Option<f32>,
    /// Objects have at least so many voxels [default: 100]
    #[arg(long, value_name = "VOXELS")]
    min_size: Option<u64>,
    /// Cut objects that touch, where the neck between them is narrower than this share of the
    /// smaller of them; 0: nowhere, 1: at every neck [default: 0.5]
    #[arg(long, value_name = "SHARE")]
    split: Option<f64>,
    /// Do not cut objects whose bounding boxes, with a voxel around them, have more voxels; cutting
    /// takes about 22 bytes of memory for each [default: 67108864]
    #[arg(long, value_name = "VOXELS")]
    split_box: Option<u64>,
    /// Which voxels hang together: those that share a face (6), or also those that share an edge or
    /// a corner (26) [default: 6]
    #[arg(long, value_name = "6|26", hide_possible_values = true)]
    connectivity: Option<Connectivity>,
    /// Sides of a voxel in nanometres, such as 50,4.6,4.6 [default: as the file says]
    #[arg(long, value_name = "Z,Y,X")]
    voxel_nm: Option<VoxelNm>,
}

/// Sides of a voxel along z, y and x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct VoxelNm([f64; 3]);

impl FromStr for VoxelNm {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let sides = text.split(',').map(|side| side.trim().parse::<f64>());
        let sides = sides.collect::<std::result::Result<Vec<_>, _>>().unwrap_or_default();
        let sides = <[f64; 3]>::try_from(sides).ok();
        sides
            .filter(|sides| sides.iter().all(|side| (1e-3..=1e9).contains(side)))
            .map(Self)
            .ok_or_else(|| "give three lengths in nanometres, along z, y and x: 50,4.6,4.6".into())
    }
}

impl ObjectArgs {
    /// Refuses options of objects where none are made.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub(super) fn require_none(&self) -> Result<()> {
        if *self == Self::default() {
            return Ok(());
        }
        Err(Error::Usage(
            "--csv, --threshold, --min-size, --split, --split-box, --connectivity and --voxel-nm \
            are for --as instances"
                .into(),
        ))
    }

    /// The threshold, where one is given.
    pub(super) fn threshold(&self) -> Option<f32> {
        self.threshold
    }

    fn options(&self) -> InstanceOptions {
        let usual = InstanceOptions::default();
        InstanceOptions {
            min_size: self.min_size.unwrap_or(usual.min_size),
            connectivity: self.connectivity.unwrap_or(usual.connectivity),
            split: self.split.unwrap_or(usual.split),
            split_box: self.split_box.unwrap_or(usual.split_box),
        }
    }

    fn csv(&self, out: &Path) -> PathBuf {
        self.csv.clone().unwrap_or_else(|| out.with_extension("csv"))
    }

    /// Checks the options, and that the outputs can be written, before any work. `inputs` are
    /// options and their paths.
    ///
    /// # Errors
    /// [`Error::Usage`] or [`Error::Io`] with what is wrong.
    pub(super) fn files(
        &self,
        out: &Path,
        force: bool,
        inputs: &[(&str, &Path)],
    ) -> Result<InstanceFiles> {
        self.options().validate()?;
        if let Some(threshold) = self.threshold.filter(|threshold| !threshold.is_finite()) {
            return Err(Error::Usage(format!("--threshold {threshold}: give a number")));
        }
        let csv = self.csv(out);
        refuse_inputs_as("--out", out, inputs)?;
        refuse_inputs_as("--csv", &csv, inputs)?;
        if self.csv.is_none() && csv.exists() {
            require_own_table(out, &csv)?;
        }
        InstanceFiles::create(out, &csv, force)
    }

    /// Finds the objects of a mask, writes them and says what there is. `place` says where voxels
    /// lie by their file, `about` what the objects are of.
    ///
    /// # Errors
    /// If the disk refuses or somebody interrupts; nothing is left then.
    pub(super) fn write(
        &self,
        files: InstanceFiles,
        mask: Mask,
        place: Place,
        mut about: Value,
        out: &Path,
        common: &Common,
    ) -> Result<()> {
        let options = self.options();
        let Place { voxel_nm, origin } = place.with_voxels_of(self.voxel_nm);
        let files = files.with_origin(origin);
        about["askem"] = json!(env!("CARGO_PKG_VERSION"));
        about["foreground"] = json!("objects, numbered from 1");
        about["min_size"] = json!(options.min_size);
        about["split"] = json!(options.split);
        let sections = mask.shape()[0] as u64;
        let bar = Bar::new("finding objects".into(), 0, (PASSES as u64 + 1) * sections);
        let mut advance = |done: usize| {
            bar.advance(done as u64);
            stop_if_interrupted()
        };
        let found =
            Instances::find(mask, voxel_nm.unwrap_or([1.0; 3]), &options, out, &mut advance)?;
        let objects = files.write(&found, voxel_nm, about, &mut advance)?;
        drop(bar);
        if voxel_nm.is_none() {
            warn(
                "the size of voxels is not known: the table is in voxels, taken for cubes; \
                --voxel-nm Z,Y,X says it"
                    .into(),
            );
        }
        if let Some(first) = found.too_large().first() {
            warn(format!(
                "{} objects, the first of them {first}, are larger than --split-box {} and were \
                not looked at for necks: each may be several that touch",
                found.too_large().len(),
                options.split_box
            ));
        }
        let voxels: u64 = objects.iter().map(|object| object.voxels).sum();
        let csv = self.csv(out);
        if common.json {
            return say_json(&json!({
                "objects": found.count(),
                "voxels": voxels,
                "too_small": found.left_out(),
                "cut": found.cut(),
                "not_cut": found.too_large().len(),
                "out": out,
                "csv": csv,
            }));
        }
        say(format_args!(
            "wrote {} objects to {} and their table to {}; {} components of fewer than {} voxels \
            left out, {} components cut",
            found.count(),
            out.display(),
            csv.display(),
            found.left_out(),
            options.min_size,
            found.cut()
        ))
    }
}

/// An error if the table that is there may be of other objects: a.tif and a.zarr would share a.csv.
fn require_own_table(out: &Path, csv: &Path) -> Result<()> {
    let own = out.extension().unwrap_or_default();
    // Nothing else that this program writes has integers of 16 or 32 bits.
    let holds_objects = |path: &Path| {
        let is_ours = if path.is_dir() { is_our_ome_zarr(path) } else { is_our_tiff(path) };
        let has_numbers =
            |volume: Box<dyn Volume>| matches!(volume.dtype(), Dtype::U16 | Dtype::U32);
        is_ours && open_raw(path).is_ok_and(has_numbers)
    };
    let others =
        ["zarr", "tif", "tiff"].into_iter().filter(|other| !own.eq_ignore_ascii_case(other));
    let other = others.map(|other| out.with_extension(other)).find(|other| holds_objects(other));
    match other {
        None => Ok(()),
        Some(other) => Err(Error::Usage(format!(
            "--out {0}: {1} holds objects too, and {2} may be their table; say with --csv where the \
            table of {0} goes",
            out.display(),
            other.display(),
            csv.display()
        ))),
    }
}

/// An error if somebody pressed Ctrl-C.
pub(super) fn stop_if_interrupted() -> Result<()> {
    match interrupted() {
        true => Err(Error::Interrupted("interrupted; nothing was written".into())),
        false => Ok(()),
    }
}

/// Where the voxels of a volume lie.
pub(super) struct Place {
    /// Sides of a voxel along z, y and x in nanometres, where they are known.
    pub(super) voxel_nm: Option<[f64; 3]>,
    /// Where the first voxel lies, in nanometres, or in voxels where their size is not known.
    pub(super) origin: Option<[f64; 3]>,
}

impl Place {
    /// The same place in voxels, which have the given sides.
    fn with_voxels_of(self, given: Option<VoxelNm>) -> Self {
        let Some(VoxelNm(sides)) = given else { return self };
        let before = self.voxel_nm.unwrap_or([1.0; 3]);
        let moved = |origin: [f64; 3]| [0, 1, 2].map(|i| origin[i] / before[i] * sides[i]);
        Self { voxel_nm: Some(sides), origin: self.origin.map(moved) }
    }
}

/// A share of foreground that organelles hardly have.
const MUCH: f64 = 0.9;

pub(super) fn execute(args: &Args, common: &Common) -> Result<()> {
    common.validate()?;
    let volume = open_segmentation(&args.prediction, &args.axes.of_images())?;
    let inputs = [("--prediction", &*args.prediction)];
    let files = args.objects.files(&args.out, args.force, &inputs)?;
    volume.notes().into_iter().for_each(warn);
    let floats = matches!(volume.dtype(), Dtype::F16 | Dtype::F32 | Dtype::F64);
    let threshold = args.objects.threshold.unwrap_or(if floats { 0.5 } else { 0.0 });
    catch_interrupt();
    let mut mask = Mask::create(&args.out, volume.shape())?;
    let mut about = json!({ "prediction": args.prediction });
    if let Some(value) = args.label_value {
        about["label_value"] = json!(value);
        read_label(&*volume, value, &mut mask)?;
    } else {
        about["threshold"] = json!(threshold);
        let share = read_mask(&*volume, threshold, &mut mask)?;
        if share > MUCH {
            warn(format!(
                "{:.0} % of the voxels are above {threshold} and foreground; for probabilities \
                that are stored as integers give --threshold",
                100.0 * share
            ));
        }
    }
    let place = Place { voxel_nm: volume.voxel_nm(), origin: place::origin_of(&*volume) };
    args.objects.write(files, mask, place, about, &args.out, common)
}

/// Takes what has the value from a volume, section by section.
fn read_label(volume: &dyn Volume, wanted: LabelValue, mask: &mut Mask) -> Result<()> {
    let [depth, height, width] = volume.shape();
    let bar = Bar::new("reading".into(), 0, depth as u64);
    for z in 0..depth {
        let labels = volume.read_labels(z, &mut |value| u8::from(value == wanted))?;
        let section = Region { z: z..z + 1, y: 0..height, x: 0..width };
        mask.write(&section, labels.into_iter().map(|label| label > 0))?;
        bar.advance(1);
        stop_if_interrupted()?;
    }
    Ok(())
}

/// Voxels that are read at once, where the chunks of the file allow.
const READ: usize = 1 << 25;

/// Takes what is above the threshold from a volume, chunk by chunk. Says which share of the voxels
/// that is.
fn read_mask(volume: &dyn Volume, threshold: f32, mask: &mut Mask) -> Result<f64> {
    let blocks = blocks(volume.shape(), volume.chunk(), READ);
    let bar = Bar::new("reading".into(), 0, blocks.len() as u64);
    let mut foreground = 0_u64;
    for block in &blocks {
        let pixels = volume.read_block(block)?;
        foreground += pixels.iter().filter(|&&p| p > threshold).count() as u64;
        mask.write(block, pixels.iter().map(|&p| p > threshold))?;
        bar.advance(1);
        stop_if_interrupted()?;
    }
    let voxels: f64 = volume.shape().iter().map(|&side| side as f64).product();
    Ok(foreground as f64 / voxels)
}

/// Blocks that cover a volume: as many whole chunks along x and then y as `most` voxels hold, and
/// no fewer than one, or a part of its sections. They begin at columns that are multiples of 8.
fn blocks(shape: [usize; 3], chunk: [usize; 3], most: usize) -> Vec<Region> {
    let width = match (most / (chunk[0] * chunk[1])) / chunk[2] * chunk[2] {
        _ if !chunk[2].is_multiple_of(8) => shape[2],
        0 => chunk[2],
        width => width,
    }
    .min(shape[2]);
    let height =
        (most / (chunk[0] * width) / chunk[1] * chunk[1]).clamp(chunk[1], shape[1].max(chunk[1]));
    let depth = (most / (height.min(shape[1]) * width)).clamp(1, chunk[0]);
    let along =
        |side: usize, step: usize| (0..side).step_by(step).map(move |at| at..(at + step).min(side));
    let mut blocks = Vec::new();
    for z in along(shape[0], chunk[0]) {
        for y in along(shape[1], height) {
            for x in along(shape[2], width) {
                for from in z.clone().step_by(depth) {
                    let z = from..(from + depth).min(z.end);
                    blocks.push(Region { z, y: y.clone(), x: x.clone() });
                }
            }
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_each_voxel_once_and_begin_at_bytes() {
        let shape = [5, 30, 70];
        for chunk in [[1, 30, 70], [2, 8, 16], [2, 8, 10], [5, 30, 70], [3, 7, 64], [16, 64, 128]] {
            for most in [1, 300, 2000, 1 << 20] {
                let mut seen = vec![0; shape.iter().product()];
                for block in blocks(shape, chunk, most) {
                    assert!(block.x.start.is_multiple_of(8));
                    assert!(block.x.end.is_multiple_of(8) || block.x.end == shape[2]);
                    for z in block.z.clone() {
                        for y in block.y.clone() {
                            for x in block.x.clone() {
                                seen[(z * shape[1] + y) * shape[2] + x] += 1;
                            }
                        }
                    }
                }
                assert!(seen.iter().all(|&times| times == 1), "{chunk:?} {most}");
            }
        }
    }

    #[test]
    fn given_sides_of_voxels_move_the_first_one() {
        let place = |voxel_nm, origin| Place { voxel_nm, origin };
        let given = Some(VoxelNm([40.0, 8.0, 4.0]));
        let moved = |place: Place| {
            let place = place.with_voxels_of(given);
            assert_eq!(place.voxel_nm, Some([40.0, 8.0, 4.0]));
            place.origin
        };
        // In voxels, and in nanometres that the file counts wrongly.
        assert_eq!(moved(place(None, Some([1.0, 2.0, 3.0]))), Some([40.0, 16.0, 12.0]));
        let wrong = place(Some([1000.0; 3]), Some([1000.0, 2000.0, 3000.0]));
        assert_eq!(moved(wrong), Some([40.0, 16.0, 12.0]));
        assert_eq!(moved(place(None, None)), None);
        let kept = place(Some([3.0; 3]), Some([1.0; 3])).with_voxels_of(None);
        assert_eq!((kept.voxel_nm, kept.origin), (Some([3.0; 3]), Some([1.0; 3])));
    }

    #[test]
    fn sides_of_voxels_are_three_lengths() {
        assert_eq!("50,4.6, 4.6".parse(), Ok(VoxelNm([50.0, 4.6, 4.6])));
        for wrong in ["", "1,2", "1,2,3,4", "1,2,x", "0,1,1", "-1,1,1", "NaN,1,1", "inf,1,1"] {
            assert!(wrong.parse::<VoxelNm>().is_err(), "{wrong}");
        }
    }
}
