//! `askem inspect`: what a volume is, and what is wrong with it.

use std::path::PathBuf;

use serde::Serialize;

use super::{Common, say, say_json};
use crate::data::volume::{LabelOptions, LabelValue, inspect, open_labels, open_raw, pair};
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Images: a Zarr or OME-Zarr array, an HDF5 dataset (file.h5:/path), an MRC file, a multi-page TIFF, or a folder of TIFF or PNG sections.
    #[arg(long, value_name = "PATH")]
    raw: PathBuf,
    /// Labels of the images.
    #[arg(long, value_name = "PATH")]
    labels: Option<PathBuf>,
    /// The one label value that is foreground [default: all but 0]
    #[arg(long, value_name = "V", allow_negative_numbers = true)]
    label_value: Option<LabelValue>,
    /// A label value whose pixels do not count [default: none]
    #[arg(long, value_name = "V", allow_negative_numbers = true)]
    ignore_value: Option<LabelValue>,
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
    warnings: Vec<String>,
}

pub(super) fn execute(args: &Args, common: &Common) -> Result<()> {
    let options = LabelOptions { value: args.label_value, ignore: args.ignore_value };
    let raw = open_raw(&args.raw)?;
    let (raw, labels, mut warnings) = match &args.labels {
        Some(path) => {
            let pair = pair(raw, open_labels(path, options)?)?;
            (pair.raw, Some(pair.labels), pair.warnings)
        }
        None => (raw, None, Vec::new()),
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
        warnings,
    };
    if common.json {
        return say_json(&report);
    }
    let [z, y, x] = report.shape;
    say(format_args!("sections     {z}"))?;
    say(format_args!("size         {y} x {x} pixels (rows x columns)"))?;
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
