//! Says what a volume is, and what looks wrong with it.

use super::labels::{BACKGROUND, IGNORED, LabelOptions};
use super::{Dtype, LabelValue, LabelVolume, Region, Volume, bands, show_shape};
use crate::{Error, Result};
use rayon::prelude::*;
use std::collections::BTreeSet;

/// What a volume is.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// Sections, rows, columns.
    pub shape: [usize; 3],
    /// How the pixels are stored.
    pub dtype: Dtype,
    /// The smallest value, in the file's own units.
    pub min: f32,
    /// The largest value.
    pub max: f32,
    /// The mean of all values.
    pub mean: f64,
    /// The standard deviation of all values (divided by their number).
    pub std: f64,
    /// The share of foreground among the labels that are not ignored, 0 to 1; none without labels.
    pub foreground: Option<f64>,
    /// What looks wrong, one sentence each.
    pub warnings: Vec<String>,
}

/// Reads a volume once, section by section, and its labels if there are any.
///
/// Memory: for each thread a section, or of large ones that are stored in blocks some rows, and what the volumes keep
/// ([`Volume::memory_bytes`]). The result does not depend on the number of threads.
///
/// Errors: [`Error::Input`] where raw and labels differ in shape, and those of reading.
pub fn inspect(raw: &dyn Volume, labels: Option<&LabelVolume>) -> Result<Inspection> {
    inspect_some(raw, labels, u64::MAX)
}

/// [`inspect`] of evenly spread sections of at most so many pixels together; of none where one has more. Warnings then say of how many
/// sections they are.
///
/// Errors: as [`inspect`].
pub fn inspect_some(
    raw: &dyn Volume,
    labels: Option<&LabelVolume>,
    pixels: u64,
) -> Result<Inspection> {
    let shape = raw.shape();
    if let Some(labels) = labels.filter(|l| l.shape() != shape) {
        return Err(Error::Input(format!(
            "raw and labels differ in shape: the raw volume is {} and the labels are {} (sections x \
             rows x columns)",
            show_shape(shape),
            show_shape(labels.shape())
        )));
    }
    let sections = spread(shape, pixels);
    let stats: Vec<RawStats> = by_section(&sections, |z| RawStats::of_section(raw, z))?;
    let total = stats.iter().copied().reduce(RawStats::merge).unwrap_or_default();
    let mut found = Vec::new();
    if !stats.is_empty() {
        warn_raw(raw, &sections, &stats, total, &mut found);
    }
    let mut warnings = raw.notes();
    warnings.extend(of_some(found, &sections, shape));
    let mut foreground = None;
    if let Some(labels) = labels {
        let (share, more) = inspect_labels(labels, pixels)?;
        foreground = share;
        warnings.extend(more);
    }
    Ok(Inspection {
        shape,
        dtype: raw.dtype(),
        min: total.min,
        max: total.max,
        mean: total.mean,
        std: total.std(),
        foreground,
        warnings,
    })
}

/// The share of foreground among labels, none where nothing was looked at, and what looks wrong with them; of as many sections as
/// [`inspect_some`] looks at.
///
/// Errors: those of reading.
pub fn inspect_labels(labels: &LabelVolume, pixels: u64) -> Result<(Option<f64>, Vec<String>)> {
    let sections = spread(labels.shape(), pixels);
    let stats = by_section(&sections, |z| LabelStats::of(labels, z))?;
    let mut found = Vec::new();
    let share = match stats.is_empty() {
        true => None,
        false => warn_labels(labels, &sections, &stats, &mut found),
    };
    let mut warnings = labels.source().notes();
    warnings.extend(of_some(found, &sections, labels.shape()));
    Ok((share, warnings))
}

/// Sections that are looked at.
fn spread([depth, height, width]: [usize; 3], pixels: u64) -> Vec<usize> {
    let fit = pixels / (height as u64 * width as u64).max(1);
    let count = usize::try_from(fit).unwrap_or(usize::MAX).min(depth);
    (0..count).map(|i| i * depth / count).collect()
}

/// Warnings, with the number of sections where not all were looked at.
fn of_some(found: Vec<String>, sections: &[usize], shape: [usize; 3]) -> Vec<String> {
    let all = sections.len() == shape[0];
    let some = |warning| format!("{warning} (of {} sections looked at)", sections.len());
    found.into_iter().map(|warning| if all { warning } else { some(warning) }).collect()
}

/// Does `work` for every section in parallel and gives the results in their order.
fn by_section<T: Send>(
    sections: &[usize],
    work: impl Fn(usize) -> Result<T> + Sync + Send,
) -> Result<Vec<T>> {
    // One result per section, so that the first error in their order is the one that is told.
    let results: Vec<Result<T>> = sections.par_iter().map(|&z| work(z)).collect();
    results.into_iter().collect()
}

/// The moments of some pixels.
#[derive(Clone, Copy, Debug)]
struct RawStats {
    count: f64,
    min: f32,
    max: f32,
    mean: f64,
    /// Sum of squared differences from the mean.
    squares: f64,
}

impl Default for RawStats {
    fn default() -> Self {
        Self { count: 0.0, min: f32::INFINITY, max: f32::NEG_INFINITY, mean: 0.0, squares: 0.0 }
    }
}

impl RawStats {
    /// Of a section, band by band.
    fn of_section(raw: &dyn Volume, z: usize) -> Result<Self> {
        let [_, _, width] = raw.shape();
        let mut section: Option<Self> = None;
        for y in bands(raw) {
            let band = Self::of(&raw.read_block(&Region { z: z..z + 1, y, x: 0..width })?);
            section = Some(section.map_or(band, |above| above.merge(band)));
        }
        Ok(section.unwrap_or_default())
    }

    fn of(pixels: &[f32]) -> Self {
        let count = pixels.len() as f64;
        let mean = pixels.iter().map(|&p| f64::from(p)).sum::<f64>() / count;
        let square = |p: &f32| (f64::from(*p) - mean).powi(2);
        Self {
            count,
            min: pixels.iter().copied().fold(f32::INFINITY, f32::min),
            max: pixels.iter().copied().fold(f32::NEG_INFINITY, f32::max),
            mean,
            squares: pixels.iter().map(square).sum(),
        }
    }

    /// Both together (Chan, Golub and LeVeque 1979), which stays exact where sums of squares do not.
    fn merge(self, other: Self) -> Self {
        let count = self.count + other.count;
        let step = other.mean - self.mean;
        Self {
            count,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            mean: self.mean + step * other.count / count,
            squares: self.squares + other.squares + step * step * self.count * other.count / count,
        }
    }

    fn std(&self) -> f64 {
        (self.squares / self.count).sqrt()
    }
}

fn warn_raw(
    raw: &dyn Volume,
    sections: &[usize],
    stats: &[RawStats],
    total: RawStats,
    warnings: &mut Vec<String>,
) {
    if total.min == total.max {
        warnings.push(format!("every pixel of the raw volume is {}: there is no image", total.min));
        return;
    }
    let those = |wrong: &dyn Fn(usize) -> bool| -> Vec<usize> {
        (0..stats.len()).filter(|&i| wrong(i)).map(|i| sections[i]).collect()
    };
    let is_constant = |i: usize| stats[i].min == stats[i].max;
    let constant = those(&is_constant);
    if !constant.is_empty() {
        warnings.push(format!(
            "{} constant raw section(s), empty or lost: {}",
            constant.len(),
            names(raw, &constant)
        ));
    }
    if raw.dtype() == Dtype::U16 && total.max <= 255.0 {
        warnings.push(format!(
            "the raw volume is stored in 16 bits but its values end at {}: 8-bit data",
            total.max
        ));
    }
    if raw.dtype() == Dtype::U8 && total.max - total.min < 32.0 {
        warnings.push(format!(
            "the raw volume uses only {} to {} of 0 to 255: little contrast is left",
            total.min, total.max
        ));
    }
    // A section far brighter or darker than the rest; the median spread is not moved by the odd one.
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let middle = median(stats.iter().map(|s| s.mean).collect());
    let spread = median(stats.iter().map(|s| (s.mean - middle).abs()).collect());
    let limit = (8.0 * spread).max(0.5 * total.std());
    let odd = those(&|i| (stats[i].mean - middle).abs() > limit && !is_constant(i));
    if !odd.is_empty() && stats.len() >= 4 {
        warnings.push(format!(
            "{} raw section(s) far brighter or darker than the others: {}",
            odd.len(),
            names(raw, &odd)
        ));
    }
}

/// The counts of a section's labels.
struct LabelStats {
    foreground: u64,
    ignored: u64,
    background: u64,
    /// The different values but 0, as texts, up to a few.
    values: BTreeSet<String>,
    /// Pixels above 0 and at 255.
    full: u64,
    nonzero: u64,
}

/// More different label values than this need not be told apart.
const MANY: usize = 300;

impl LabelStats {
    fn of(labels: &LabelVolume, z: usize) -> Result<Self> {
        let mut stats = Self {
            foreground: 0,
            ignored: 0,
            background: 0,
            values: BTreeSet::new(),
            full: 0,
            nonzero: 0,
        };
        let full = LabelValue::from(255_u8);
        let (mut last, mut wrong) = (LabelValue::ZERO, None);
        let mut see = |value: LabelValue| {
            let label = labels.options().label(value).unwrap_or_else(|| {
                wrong.get_or_insert(value);
                IGNORED
            });
            match label {
                BACKGROUND => stats.background += 1,
                IGNORED => stats.ignored += 1,
                _ => stats.foreground += 1,
            }
            stats.nonzero += u64::from(value != LabelValue::ZERO);
            stats.full += u64::from(value == full);
            // Labels come in long runs of one value.
            if value != last {
                if stats.values.len() < MANY && value != LabelValue::ZERO {
                    stats.values.insert(value.to_string());
                }
                last = value;
            }
            label
        };
        for rows in bands(labels.source()) {
            labels.source().read_label_rows(z, rows, &mut see)?;
        }
        wrong.map_or(Ok(stats), |value| Err(labels.no_class(z, value)))
    }
}

/// Adds warnings and gives the foreground's share.
fn warn_labels(
    labels: &LabelVolume,
    sections: &[usize],
    stats: &[LabelStats],
    warnings: &mut Vec<String>,
) -> Option<f64> {
    let source = labels.source();
    let sum = |count: fn(&LabelStats) -> u64| stats.iter().map(count).sum::<u64>();
    let (foreground, ignored) = (sum(|s| s.foreground), sum(|s| s.ignored));
    let counted = foreground + sum(|s| s.background);
    let share = if counted == 0 { 0.0 } else { foreground as f64 / counted as f64 };

    let values: BTreeSet<&String> = stats.iter().flat_map(|s| &s.values).collect();
    let (full, nonzero) = (sum(|s| s.full), sum(|s| s.nonzero));
    let options = labels.options();
    let plain = options == LabelOptions::default();
    if plain && values.len() > 1 {
        // Grey edges are few beside the white inside; instance numbers are not.
        if full * 10 >= nonzero * 9 {
            let grey = 100.0 * (nonzero - full) as f64 / nonzero as f64;
            warnings.push(format!(
                "grey mask edges: {grey:.2} % of the non-zero label pixels are between 1 and 254; \
                 all count as foreground"
            ));
        } else {
            let count = if values.len() >= MANY { "many" } else { "several" };
            warnings.push(format!(
                "the labels hold {count} different non-zero values; all count as foreground, unless \
                 --label-value picks one, or --classes N takes each as a class"
            ));
        }
    }
    if ignored > 0 {
        let all = (counted + ignored) as f64;
        warnings.push(format!(
            "{:.2} % of the label pixels are ignored (--ignore-value)",
            100.0 * ignored as f64 / all
        ));
    }
    if foreground == 0 {
        warnings.push("the labels have no foreground: nothing can be learnt from them".to_owned());
        return Some(share);
    }
    // Of what nothing is known, nothing is missed.
    let is_empty = |&i: &usize| stats[i].foreground == 0 && stats[i].background > 0;
    let empty: Vec<usize> = (0..stats.len()).filter(is_empty).map(|i| sections[i]).collect();
    if !empty.is_empty() {
        warnings.push(format!(
            "{} label section(s) without foreground: {}",
            empty.len(),
            names(source, &empty)
        ));
    }
    if share < 0.001 {
        warnings.push(format!("only {:.4} % of the labels are foreground", 100.0 * share));
    }
    if share > 0.5 {
        warnings.push(format!(
            "{:.1} % of the labels are foreground: are they inverted?",
            100.0 * share
        ));
    }
    Some(share)
}

/// The first few sections by name.
fn names(volume: &dyn Volume, sections: &[usize]) -> String {
    let mut shown: Vec<String> = sections.iter().take(3).map(|&z| volume.section_name(z)).collect();
    if sections.len() > 3 {
        shown.push(format!("and {} more", sections.len() - 3));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::volume::bands::testing::OnlyParts;
    use crate::data::volume::{ArrayVolume, LabelOptions};

    fn labels(shape: [usize; 3], values: &[u8]) -> LabelVolume {
        let source = ArrayVolume::from_u8(shape, values).unwrap();
        LabelVolume::new(Box::new(source), LabelOptions::default())
    }

    #[test]
    fn moments_are_those_of_all_pixels() {
        let pixels: Vec<f32> = (0..60).map(|i| 1000.0 + (i * i % 17) as f32).collect();
        let raw = ArrayVolume::new([3, 4, 5], pixels.clone()).unwrap();
        let found = inspect(&raw, None).unwrap();
        let mean = pixels.iter().map(|&p| f64::from(p)).sum::<f64>() / 60.0;
        let variance = pixels.iter().map(|&p| (f64::from(p) - mean).powi(2)).sum::<f64>() / 60.0;
        assert!((found.mean - mean).abs() < 1e-9 && (found.std - variance.sqrt()).abs() < 1e-9);
        assert_eq!((found.min, found.max), (1000.0, 1016.0));
        assert_eq!((found.shape, found.foreground), ([3, 4, 5], None));
        assert_eq!(found.warnings, Vec::<String>::new());
    }

    #[test]
    fn large_sections_are_read_in_parts() {
        let shape = [2, 6000, 2000];
        let raw = OnlyParts::new(shape, |z, y, x| ((y * 7 + x * 3 + z * 50) % 251) as u8);
        // A box of instances in the middle of nothing; a few pixels are left out.
        let label = |z: usize, y: usize, x: usize| match (y, x) {
            (3000, 900..1000) => 255,
            (2500..2700, 100..1900) => (z + 1) as u8,
            _ => 0,
        };
        let options = LabelOptions { ignore: Some(255_u8.into()), ..LabelOptions::default() };
        let labels = LabelVolume::new(Box::new(OnlyParts::new(shape, label)), options);
        let found = inspect(&raw, Some(&labels)).unwrap();

        let [depth, height, width] = shape;
        let each = || {
            (0..depth).flat_map(move |z| {
                (0..height).flat_map(move |y| (0..width).map(move |x| (z, y, x)))
            })
        };
        let pixel = raw.pixel;
        let pixels = || each().map(move |(z, y, x)| f64::from(pixel(z, y, x)));
        let count = (depth * height * width) as f64;
        let mean = pixels().sum::<f64>() / count;
        let std = (pixels().map(|p| (p - mean).powi(2)).sum::<f64>() / count).sqrt();
        assert!((found.mean - mean).abs() < 1e-9, "{} and {mean}", found.mean);
        assert!((found.std - std).abs() < 1e-8, "{} and {std}", found.std);
        assert_eq!((found.min, found.max), (0.0, 250.0));
        let foreground = 2.0 * 200.0 * 1800.0;
        assert_eq!(found.foreground, Some(foreground / (count - 2.0 * 100.0)));
        let ignored = "0.00 % of the label pixels are ignored (--ignore-value)";
        assert_eq!(found.warnings, [ignored]);
        let most = raw.most.into_inner();
        assert!(most < height * width / 2, "{most} pixels at once");
        // What looks at the labels first reads them in parts, too.
        labels.require_background().unwrap();
        labels.require_foreground().unwrap();
    }

    #[test]
    fn what_looks_wrong_is_said() {
        let warned = |raw: &dyn Volume, labels: Option<&LabelVolume>, what: &str| {
            let found = inspect(raw, labels).unwrap();
            assert!(found.warnings.iter().any(|w| w.contains(what)), "{:?}", found.warnings);
        };
        let shape = [4, 1, 4];
        let wide: Vec<u8> = (0..16).map(|i| i * 15).collect();
        let raw = ArrayVolume::from_u8(shape, &wide).unwrap();
        warned(&ArrayVolume::from_u8(shape, &[7; 16]).unwrap(), None, "there is no image");
        let mut lost = wide.clone();
        lost[4..8].fill(9);
        warned(&ArrayVolume::from_u8(shape, &lost).unwrap(), None, "constant raw section(s)");
        let dull: Vec<u8> = wide.iter().map(|v| 100 + v / 16).collect();
        warned(&ArrayVolume::from_u8(shape, &dull).unwrap(), None, "little contrast");
        let short: Vec<u16> = wide.iter().map(|&v| v.into()).collect();
        warned(&ArrayVolume::from_u16(shape, &short).unwrap(), None, "8-bit data");
        let mut bright: Vec<u8> = (0..16).map(|i| i % 4).collect();
        bright[12..].copy_from_slice(&[250, 251, 252, 253]);
        warned(&ArrayVolume::from_u8(shape, &bright).unwrap(), None, "far brighter");

        warned(&raw, Some(&labels(shape, &[0; 16])), "no foreground");
        warned(&raw, Some(&labels(shape, &[255; 16])), "inverted");
        let mut mask = [0; 16];
        mask[..2].fill(255);
        warned(&raw, Some(&labels(shape, &mask)), "3 label section(s) without foreground");
        mask[1..].fill(255);
        mask[0] = 31;
        warned(&raw, Some(&labels(shape, &mask)), "grey mask edges");
        for (i, v) in mask.iter_mut().enumerate() {
            *v = i as u8;
        }
        warned(&raw, Some(&labels(shape, &mask)), "several different non-zero values");
        let options = LabelOptions { ignore: Some(3_u8.into()), ..LabelOptions::default() };
        let source = ArrayVolume::from_u8(shape, &mask).unwrap();
        warned(&raw, Some(&LabelVolume::new(Box::new(source), options)), "are ignored");
        assert!(inspect(&raw, Some(&labels([1, 4, 4], &mask))).is_err());
    }
}
