//! `askem inspect`: what a volume is, and what is wrong with it.

use std::path::PathBuf;

use serde::Serialize;

use super::axes::{AxesArgs, LabelAxesArgs};
use super::classes::ClassesArgs;
use super::{Common, say, say_json};
use crate::data::volume::{
    inspect, open_labels_as, open_raw_as, open_segmentation, pair_at, show_voxel,
};
use crate::error::{Error, Result};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Images: a Zarr or OME-Zarr array, an HDF5 dataset (file.h5:/path), an MRC file, a multi-page TIFF, or a folder of TIFF or PNG sections.
    #[arg(long, value_name = "PATH")]
    raw: PathBuf,
    /// Labels of the images.
    #[arg(long, value_name = "PATH")]
    labels: Option<PathBuf>,
    #[command(flatten)]
    values: ClassesArgs,
    #[command(flatten)]
    axes: AxesArgs,
    #[command(flatten)]
    label_axes: LabelAxesArgs,
}

#[derive(Serialize)]
struct Report {
    shape: [usize; 3],
    dtype: &'static str,
    min: f64,
    max: f64,
    mean: f64,
    std: f64,
    foreground: Option<f64>,
    /// Nanometres along z, y and x.
    #[serde(skip_serializing_if = "Option::is_none")]
    voxel_nm: Option<[f64; 3]>,
    warnings: Vec<String>,
}

pub(super) fn execute(args: &Args, common: &Common) -> Result<()> {
    let options = args.values.label_options()?;
    let axes = args.axes.of_images();
    let mut warnings = Vec::new();
    let raw = match open_raw_as(&args.raw, &axes) {
        // What can be read as labels alone can be looked at.
        Err(Error::Input(why)) => {
            let labels = open_segmentation(&args.raw, &axes);
            warnings.push(why.clone());
            labels.map_err(|_| Error::Input(why))?
        }
        opened => opened?,
    };
    let (raw, labels) = match &args.labels {
        Some(path) => {
            let axes = args.label_axes.of_labels(&args.axes);
            let labels = open_labels_as(path, options, &axes)?;
            let pair = pair_at(raw, labels, args.label_axes.label_offset)?;
            warnings.extend(pair.warnings);
            (pair.raw, Some(pair.labels))
        }
        None => (raw, None),
    };
    let found = inspect(&*raw, labels.as_ref())?;
    for warning in found.warnings {
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    let report = Report {
        shape: found.shape,
        dtype: found.dtype.name(),
        min: f64::from(found.min),
        max: f64::from(found.max),
        mean: found.mean,
        std: found.std,
        foreground: found.foreground,
        voxel_nm: raw.voxel_nm(),
        warnings,
    };
    if common.json {
        return say_json(&report);
    }
    let [z, y, x] = report.shape;
    say(format_args!("sections     {z}"))?;
    say(format_args!("size         {y} x {x} pixels (rows x columns)"))?;
    if let Some(sides) = report.voxel_nm {
        say(format_args!("voxel size   {} (z, y, x)", show_voxel(sides)))?;
    }
    say(format_args!("pixel type   {}", report.dtype))?;
    say(format_args!("grey values  {} to {}", report.min, report.max))?;
    say(format_args!("mean         {:.2}, standard deviation {:.2}", report.mean, report.std))?;
    if let Some(foreground) = report.foreground {
        say(format_args!("foreground   {:.2} %", 100.0 * foreground))?;
    }
    for warning in &report.warnings {
        say(format_args!("warning      {warning}"))?;
    }
    Ok(())
}
