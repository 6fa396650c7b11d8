//! `askem eval`: a segmentation against labels.

use std::path::PathBuf;

use askem_kernels::confusion::Counts;
use serde::Serialize;

use super::axes::{AxesArgs, LabelAxesArgs};
use super::warnings::warn_of_labels;
use super::{Common, say, say_json};
use crate::data::volume::{
    Dtype, IGNORED, LabelOptions, LabelValue, open_labels_as, open_segmentation, pair_at,
};
use crate::error::{Error, Result};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A segmentation: labels (all values but 0 are foreground) or probabilities (32-bit float, above 0.5 is foreground).
    #[arg(long, value_name = "PATH")]
    prediction: PathBuf,
    /// What is true.
    #[arg(long, value_name = "PATH")]
    labels: PathBuf,
    /// The one label value that is foreground [default: all but 0]
    #[arg(long, value_name = "V", allow_negative_numbers = true)]
    label_value: Option<LabelValue>,
    /// A label value whose pixels do not count [default: none]
    #[arg(long, value_name = "V", allow_negative_numbers = true)]
    ignore_value: Option<LabelValue>,
    /// Accept labels without any background.
    #[arg(long)]
    all_foreground: bool,
    #[command(flatten)]
    axes: AxesArgs,
    #[command(flatten)]
    label_axes: LabelAxesArgs,
}

#[derive(Serialize)]
struct Scores {
    jaccard: f64,
    dice: f64,
    precision: f64,
    recall: f64,
}

pub(super) fn execute(args: &Args, common: &Common) -> Result<()> {
    let options = LabelOptions { value: args.label_value, ignore: args.ignore_value };
    let prediction = open_segmentation(&args.prediction, &args.axes.of_images())?;
    let labels = open_labels_as(&args.labels, options, &args.label_axes.of_labels(&args.axes))?;
    let pair = pair_at(prediction, labels, args.label_axes.label_offset)?;
    if !args.all_foreground {
        pair.labels.require_background()?;
    }
    let floats = matches!(pair.raw.dtype(), Dtype::F16 | Dtype::F32 | Dtype::F64);
    let threshold = if floats { 0.5 } else { 0.0 };
    let mut counts = Counts::default();
    for z in 0..pair.raw.shape()[0] {
        let prediction = pair.raw.read_section(z)?;
        let labels = pair.labels.read_labels(z)?;
        if let Some(p) = prediction.pixels.iter().find(|p| !p.is_finite()) {
            return Err(Error::Input(format!(
                "{}: holds {p}, which is neither a label nor a probability",
                pair.raw.section_name(z)
            )));
        }
        let mut section = [0_u32; 4];
        for (&p, &label) in prediction.pixels.iter().zip(&labels) {
            if label != IGNORED {
                let predicted = p > threshold;
                let cell = match (predicted, label != 0) {
                    (true, true) => 0,
                    (true, false) => 1,
                    (false, true) => 2,
                    (false, false) => 3,
                };
                section[cell] += 1;
            }
        }
        counts.add(section);
    }
    warn_of_labels(&pair)?;
    let scores = Scores {
        jaccard: counts.jaccard(),
        dice: counts.dice(),
        precision: counts.precision(),
        recall: counts.recall(),
    };
    if common.json {
        return say_json(&scores);
    }
    say(format_args!("Jaccard    {:.4}", scores.jaccard))?;
    say(format_args!("Dice       {:.4}", scores.dice))?;
    say(format_args!("precision  {:.4}", scores.precision))?;
    say(format_args!("recall     {:.4}", scores.recall))
}
