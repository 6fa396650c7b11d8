//! `askem eval`: a segmentation against labels.

use std::path::PathBuf;

use askem_kernels::confusion::Counts;
use serde::Serialize;

use super::axes::{AxesArgs, LabelAxesArgs};
use super::classes::ClassesArgs;
use super::warnings::warn_of_labels;
use super::{Common, say, say_json, warn};
use crate::data::volume::{Dtype, open_labels_as, open_segmentation, pair_at};
use crate::error::{Error, Result};
use crate::learning::class_counts::ClassCounts;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A segmentation: labels (all values but 0 are foreground) or probabilities (32-bit float, above 0.5 is foreground).
    #[arg(long, value_name = "PATH")]
    prediction: PathBuf,
    /// What is true.
    #[arg(long, value_name = "PATH")]
    labels: PathBuf,
    #[command(flatten)]
    values: ClassesArgs,
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
    /// With more than two classes, of each from 1 on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    class_jaccard: Vec<Option<f64>>,
}

pub(super) fn execute(args: &Args, common: &Common) -> Result<()> {
    let classes = args.values.classes;
    let options = args.values.label_options()?;
    let prediction = open_segmentation(&args.prediction, &args.axes.of_images())?;
    let labels = open_labels_as(&args.labels, options, &args.label_axes.of_labels(&args.axes))?;
    let pair = pair_at(prediction, labels, args.label_axes.label_offset)?;
    if !args.all_foreground {
        pair.labels.require_background()?;
    }
    let floats = matches!(pair.raw.dtype(), Dtype::F16 | Dtype::F32 | Dtype::F64);
    let threshold = if floats { 0.5 } else { 0.0 };
    let mut counts = ClassCounts::new(classes);
    for z in 0..pair.raw.shape()[0] {
        let prediction = pair.raw.read_section(z)?;
        let labels = pair.labels.read_labels(z)?;
        if let Some(p) = prediction.pixels.iter().find(|p| !p.is_finite()) {
            return Err(Error::Input(format!(
                "{}: holds {p}, which is neither a label nor a probability",
                pair.raw.section_name(z)
            )));
        }
        let predicted: Vec<u8> = if classes > 2 {
            let class_of = |p: &f32| class_of(*p, classes, || pair.raw.section_name(z));
            prediction.pixels.iter().map(class_of).collect::<Result<_>>()?
        } else {
            prediction.pixels.iter().map(|&p| u8::from(p > threshold)).collect()
        };
        counts.add(&predicted, &labels);
    }
    // Where both are one file, it is said with the labels.
    let of_labels = pair.labels.source().notes();
    pair.raw.notes().into_iter().filter(|note| !of_labels.contains(note)).for_each(warn);
    warn_of_labels(&pair)?;
    let scores = Scores {
        jaccard: counts.jaccard(),
        dice: counts.mean(Counts::dice),
        precision: counts.mean(Counts::precision),
        recall: counts.mean(Counts::recall),
        class_jaccard: if classes > 2 { counts.jaccard_of_classes() } else { Vec::new() },
    };
    if common.json {
        return say_json(&scores);
    }
    let mean = if classes > 2 { "  (mean of the classes but 0)" } else { "" };
    say(format_args!("Jaccard    {:.4}{mean}", scores.jaccard))?;
    say(format_args!("Dice       {:.4}", scores.dice))?;
    say(format_args!("precision  {:.4}", scores.precision))?;
    say(format_args!("recall     {:.4}", scores.recall))?;
    for (class, index) in (1..).zip(&scores.class_jaccard) {
        let index = index.map_or("neither there nor predicted".into(), |j| format!("{j:.4}"));
        say(format_args!("class {class:<3}  {index}"))?;
    }
    Ok(())
}

/// A pixel of a segmentation as a class.
fn class_of(p: f32, classes: usize, place: impl Fn() -> String) -> Result<u8> {
    if p.fract() == 0.0 && (0.0..classes as f32).contains(&p) {
        return Ok(p as u8);
    }
    Err(Error::Input(format!(
        "{}: holds {p}, and with --classes {classes} a segmentation holds 0 to {}; \
         askem predict --as labels writes one",
        place(),
        classes - 1
    )))
}
