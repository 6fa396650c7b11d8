//! `askem eval`: a segmentation against labels.

use std::path::PathBuf;

use askem_kernels::confusion::Counts;
use serde::Serialize;

use super::axes::{AxesArgs, LabelAxesArgs};
use super::classes::ClassesArgs;
use super::warnings::warn_of_labels;
use super::{Common, say, say_json, warn};
use crate::data::volume::{
    CachedLabels, Dtype, Pair, Region, Volume, bands, open_labels_as, open_segmentation, pair_at,
};
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
    let Pair { raw: prediction, labels, warnings, .. } =
        pair_at(prediction, labels, args.label_axes.label_offset)?;
    if !args.all_foreground {
        labels.require_background()?;
    }
    let labels = CachedLabels::new(labels, 1);
    let counts = count(&*prediction, &labels, classes)?;
    let labels = labels.inner();
    // Where both are one file, it is said with the labels.
    let of_labels = labels.source().notes();
    prediction.notes().into_iter().filter(|note| !of_labels.contains(note)).for_each(warn);
    warn_of_labels(labels, &warnings)?;
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

/// Pixels by their true and their predicted class. Sections go by in bands of rows where the segmentation is stored in blocks.
///
/// Errors: those of reading, and values that are no classes.
fn count(prediction: &dyn Volume, labels: &CachedLabels, classes: usize) -> Result<ClassCounts> {
    let floats = matches!(prediction.dtype(), Dtype::F16 | Dtype::F32 | Dtype::F64);
    let threshold = if floats { 0.5 } else { 0.0 };
    let [depth, _, width] = prediction.shape();
    let mut counts = ClassCounts::new(classes);
    for (z, rows) in (0..depth).flat_map(|z| bands(prediction).map(move |rows| (z, rows))) {
        let block = Region { z: z..z + 1, y: rows.clone(), x: 0..width };
        let pixels = prediction.read_block(&block)?;
        let labels = labels.read_rows(z, rows)?;
        if let Some(p) = pixels.iter().find(|p| !p.is_finite()) {
            return Err(Error::Input(format!(
                "{}: holds {p}, which is neither a label nor a probability",
                prediction.section_name(z)
            )));
        }
        let predicted: Vec<u8> = if classes > 2 {
            let class_of = |p: &f32| class_of(*p, classes, || prediction.section_name(z));
            pixels.iter().map(class_of).collect::<Result<_>>()?
        } else {
            pixels.iter().map(|&p| u8::from(p > threshold)).collect()
        };
        counts.add(&predicted, &labels);
    }
    Ok(counts)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::data::volume::bands::testing::OnlyParts;
    use crate::data::volume::{ArrayVolume, IGNORED, LabelOptions, LabelVolume, Section};

    const SHAPE: [usize; 3] = [2, 6000, 2000];

    fn predicted(z: usize, y: usize, x: usize) -> u8 {
        ((z + y / 9 + x / 7) % 3) as u8
    }

    fn label(_: usize, y: usize, x: usize) -> u8 {
        if x == 77 { IGNORED } else { (y / 10 % 3 * x % 3) as u8 }
    }

    fn options(classes: usize) -> LabelOptions {
        let ignore = Some(IGNORED.into());
        LabelOptions { ignore, ..LabelOptions::default() }.with_classes(classes).unwrap()
    }

    /// What is counted where `known` says that there are labels, pixel by pixel.
    fn naive(classes: usize, known: impl Fn(usize, usize, usize) -> bool) -> ClassCounts {
        let class = |value: u8| if classes > 2 { value } else { value.min(1) };
        let mut counts = ClassCounts::new(classes);
        let [depth, height, width] = SHAPE;
        for (z, y) in (0..depth).flat_map(|z| (0..height).map(move |y| (z, y))) {
            for x in (0..width).filter(|&x| label(z, y, x) != IGNORED && known(z, y, x)) {
                counts.add(&[class(predicted(z, y, x))], &[class(label(z, y, x))]);
            }
        }
        counts
    }

    #[test]
    fn large_sections_are_counted_in_parts() {
        for classes in [2, 3] {
            let prediction = OnlyParts::new(SHAPE, predicted);
            let labels = LabelVolume::new(Box::new(OnlyParts::new(SHAPE, label)), options(classes));
            let counts = count(&prediction, &CachedLabels::new(labels, 1), classes).unwrap();
            assert!(counts == naive(classes, |_, _, _| true), "{classes} classes");
            let most = prediction.most.into_inner();
            assert!(most < SHAPE[1] * SHAPE[2] / 2, "{most} pixels at once");
        }
    }

    #[test]
    fn labels_of_a_box_are_counted_in_parts() {
        // The second section alone has labels, and bands end within them.
        let ([z, top, left], [height, width]) = ([1, 2000, 10], [3500, 1700]);
        let source = OnlyParts::new([1, height, width], |_, y, x| label(1, y + 2000, x + 10));
        let labels = LabelVolume::new(Box::new(source), options(2));
        let prediction = Box::new(OnlyParts::new(SHAPE, predicted));
        let pair = pair_at(prediction, labels, Some([z, top, left])).unwrap();
        let counts = count(&*pair.raw, &CachedLabels::new(pair.labels, 1), 2).unwrap();
        let known = |section: usize, y: usize, x: usize| {
            section == z && (top..top + height).contains(&y) && (left..left + width).contains(&x)
        };
        assert!(counts == naive(2, known));
    }

    /// Labels that can only be read by section.
    struct Whole(OnlyParts, AtomicUsize);

    impl Volume for Whole {
        fn shape(&self) -> [usize; 3] {
            self.0.shape()
        }
        fn dtype(&self) -> Dtype {
            Dtype::U8
        }
        fn read_section(&self, z: usize) -> Result<Section> {
            let [_, height, width] = self.shape();
            self.1.fetch_add(1, Ordering::Relaxed);
            let pixels = self.0.read_block(&Region { z: z..z + 1, y: 0..height, x: 0..width })?;
            Ok(Section { height, width, pixels })
        }
    }

    #[test]
    fn labels_that_are_read_whole_are_read_once() {
        let source = Arc::new(Whole(OnlyParts::new(SHAPE, label), AtomicUsize::new(0)));
        let labels = LabelVolume::new(Box::new(source.clone()), options(3));
        let prediction = OnlyParts::new(SHAPE, predicted);
        let counts = count(&prediction, &CachedLabels::new(labels, 1), 3).unwrap();
        assert!(counts == naive(3, |_, _, _| true));
        assert_eq!(source.1.load(Ordering::Relaxed), SHAPE[0]);
        // Rows by themselves are those of the whole section, where nothing keeps it.
        let labels = LabelVolume::new(Box::new(source), options(3));
        let rows = labels.read_rows(1, 100..103).unwrap();
        let want = (100..103).flat_map(|y| (0..SHAPE[2]).map(move |x| label(1, y, x)));
        assert!(rows.into_iter().eq(want));
        assert!(labels.read_rows(0, 0..SHAPE[1] + 1).is_err());
        let small = ArrayVolume::from_u8([1, 2, 2], &[1, 0, 2, 1]).unwrap();
        let same = ArrayVolume::from_u8([1, 2, 2], &[1, 0, 2, 1]).unwrap();
        let same = CachedLabels::new(LabelVolume::new(Box::new(same), options(3)), 1);
        assert_eq!(count(&small, &same, 3).unwrap().jaccard(), 1.0);
    }
}
