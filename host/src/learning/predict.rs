//! Using a trained network: scores and embeddings of patches, segmentations of sections.

use askem_kernels::rng::{Purpose, key};

use crate::data::pool::{PatchReader, Position, Region, read_ahead};
use crate::error::{Error, Result};
use crate::learning::strategy::Criterion;
use crate::network::model::{Model, Started};
use crate::network::unet::Output;

/// Called with the number of patches that are done; an error stops the work.
pub type Advance<'a> = dyn FnMut(usize) -> Result<()> + 'a;

/// Which form of the bottleneck is a patch's embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "files", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Embedding {
    /// The mean over space: one number per feature map.
    Mean,
    /// All values.
    Flat,
}

impl Embedding {
    /// The output of a forward pass that is this.
    pub(crate) fn output(self) -> Output {
        match self {
            Self::Mean => Output::EmbeddingMean,
            Self::Flat => Output::EmbeddingFlat,
        }
    }
}

/// How dropout passes are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct McOptions {
    /// Number of passes.
    pub passes: usize,
    /// The experiment's seed.
    pub seed: u64,
    /// The iteration, so that each has masks of its own.
    pub iteration: u64,
}

/// Starts work on batches of patches, in order of position, and gives `finish` what comes of it. They are read from the
/// volume ahead of the device, which works on one while the one before is finished.
fn batches(
    model: &mut Model,
    reader: &PatchReader,
    positions: &[Position],
    advance: &mut Advance<'_>,
    mut start: impl FnMut(&mut Model, usize, &[f32]) -> Result<Started>,
    mut finish: impl FnMut(usize, Vec<Vec<f32>>),
) -> Result<()> {
    let (patch, batch, threads) = (model.patch(), model.score_batch(), model.reading_threads());
    let to_read = positions.chunks(batch).enumerate().map(|(i, at)| (i * batch, at.to_vec()));
    read_ahead(reader, patch, threads, to_read, |taken| {
        let mut complete = |model: &mut Model, (first, count, started): (usize, usize, Started)| {
            finish(first, model.finish(started)?);
            advance(count)
        };
        let mut before = None;
        for read in taken {
            let read = read?;
            let next = (read.tag, read.positions.len(), start(model, read.tag, &read.x)?);
            if let Some(before) = before.replace(next) {
                complete(model, before)?;
            }
        }
        before.map_or(Ok(()), |last| complete(model, last))
    })
}

/// A score per patch. Results do not depend on how patches are grouped.
pub fn scores(
    model: &mut Model,
    reader: &PatchReader,
    positions: &[Position],
    criterion: Criterion,
    mc: McOptions,
    advance: &mut Advance<'_>,
) -> Result<Vec<f32>> {
    let mut out = Vec::with_capacity(positions.len());
    let start = |model: &mut Model, first: usize, x: &[f32]| {
        start_scores(model, x, first as u64, criterion, mc)
    };
    let finish = |_, mut found: Vec<Vec<f32>>| out.append(&mut found[score_of(criterion)]);
    batches(model, reader, positions, advance, start, finish)?;
    Ok(out)
}

/// Which output of [`start_scores`] is the score.
pub fn score_of(criterion: Criterion) -> usize {
    usize::from(criterion == Criterion::MutualInformation)
}

/// Starts to score patches, the first of which has the number `first` in its pool: the number, with the seed and the iteration, keys
/// a patch's dropout masks. [`score_of`] says where among the outputs the scores are.
///
/// # Errors
/// What the device says.
pub fn start_scores(
    model: &mut Model,
    x: &[f32],
    first: u64,
    criterion: Criterion,
    mc: McOptions,
) -> Result<Started> {
    let count = (x.len() / model.sample_len()) as u64;
    match criterion {
        Criterion::Entropy => model.start_forward(x, &[Output::Entropy]),
        Criterion::LeastConfidence => model.start_forward(x, &[Output::LeastConfidence]),
        Criterion::BaldEntropy | Criterion::MutualInformation => {
            let keys: Vec<Vec<u64>> = (0..mc.passes)
                .map(|pass| {
                    let pass = (1 << 63) | (mc.iteration << 32) | pass as u64;
                    let sample_key = |i| key(mc.seed, Purpose::Dropout, pass, i);
                    (first..first + count).map(sample_key).collect()
                })
                .collect();
            model.start_mc_dropout(x, &keys)
        }
    }
}

/// For each patch the sums of the entropies, in nats, of the pixels whose likeliest class is background (class 0), and of the others.
pub fn class_entropies(
    model: &mut Model,
    reader: &PatchReader,
    positions: &[Position],
    advance: &mut Advance<'_>,
) -> Result<Vec<[f32; 2]>> {
    let (pixels, classes) = (model.patch() * model.patch(), model.net().classes);
    let mut out = Vec::with_capacity(positions.len());
    let start = |model: &mut Model, _, x: &[f32]| model.start_forward(x, &[Output::Probabilities]);
    batches(model, reader, positions, advance, start, |_, found| {
        for patch in found[0].chunks(classes * pixels) {
            let mut sums = [0.0_f64; 2];
            for pixel in 0..pixels {
                let of_class = |class: usize| f64::from(patch[class * pixels + pixel]);
                let entropy: f64 = (0..classes)
                    .map(|class| -of_class(class) * of_class(class).max(1e-30).ln())
                    .sum();
                let is_background = (1..classes).all(|class| of_class(0) >= of_class(class));
                sums[usize::from(!is_background)] += entropy;
            }
            out.push(sums.map(|sum| sum as f32));
        }
    })?;
    Ok(out)
}

/// The embeddings of patches, one after another, and the numbers in each.
pub fn embeddings(
    model: &mut Model,
    reader: &PatchReader,
    positions: &[Position],
    embedding: Embedding,
    advance: &mut Advance<'_>,
) -> Result<(Vec<f32>, usize)> {
    let mut out = Vec::new();
    let start = |model: &mut Model, _, x: &[f32]| model.start_forward(x, &[embedding.output()]);
    batches(model, reader, positions, advance, start, |_, mut found| out.append(&mut found[0]))?;
    let dim = out.len().checked_div(positions.len()).unwrap_or(1);
    Ok((out, dim.max(1)))
}

/// The half-overlapping windows that cover `length` pixels; the last one ends at the edge. Fewer
/// pixels than a window has are covered by one, which the reader fills up.
fn window_starts(length: usize, patch: usize) -> Vec<usize> {
    let last = length.saturating_sub(patch);
    let mut starts: Vec<usize> = (0..=last).step_by(patch / 2).collect();
    if starts.last() != Some(&last) {
        starts.push(last);
    }
    starts
}

/// The weight of each pixel of a window: a Gaussian around its centre whose deviation is a
/// quarter of the side, so that a window's uncertain border counts little.
fn window_weights(patch: usize) -> Vec<f32> {
    let deviation = patch as f64 / 4.0;
    let profile: Vec<f64> = (0..patch)
        .map(|i| {
            let distance = (i as f64 + 0.5 - patch as f64 / 2.0) / deviation;
            (-0.5 * distance * distance).exp()
        })
        .collect();
    profile.iter().flat_map(|y| profile.iter().map(move |x| (y * x) as f32)).collect()
}

/// Number of windows that [`section_foreground`] evaluates in one section.
pub fn windows_per_section(reader: &PatchReader, patch: usize) -> usize {
    let region = &reader.region;
    window_starts(region.height(), patch).len() * window_starts(region.width(), patch).len()
}

/// The windows of a section that reach into an area, in the order of rows and columns.
fn windows(reader: &PatchReader, z: usize, patch: usize, area: &Region) -> Vec<Position> {
    let region = &reader.region;
    let reach = |starts: Vec<usize>, first: usize, side: &std::ops::Range<usize>| -> Vec<usize> {
        let starts = starts.into_iter().map(|start| first + start);
        starts.filter(|&start| start < side.end && side.start < start + patch).collect()
    };
    let rows = reach(window_starts(region.height(), patch), region.y.start, &area.y);
    let columns = reach(window_starts(region.width(), patch), region.x.start, &area.x);
    rows.into_iter().flat_map(|y| columns.iter().map(move |&x| Position { z, y, x })).collect()
}

/// Number of windows that [`area_foreground`] evaluates for an area.
pub fn windows_of_area(reader: &PatchReader, patch: usize, area: &Region) -> usize {
    area.z.clone().map(|z| windows(reader, z, patch, area).len()).sum()
}

/// How likely each class is at each pixel of an area, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassProbabilities {
    /// Of not being background (class 0).
    foreground: Vec<f32>,
    /// With more than two classes, of each class from 1 on, one after the other.
    others: Vec<f32>,
}

impl ClassProbabilities {
    /// The probability of foreground, of not being class 0.
    pub fn foreground(&self) -> &[f32] {
        &self.foreground
    }

    /// The same, without a copy.
    pub fn into_foreground(self) -> Vec<f32> {
        self.foreground
    }

    /// The probability of one class.
    ///
    /// # Panics
    /// If the network has no such class.
    pub fn of_class(&self, class: usize) -> Vec<f32> {
        match class {
            0 => self.foreground.iter().map(|p| 1.0 - p).collect(),
            1 if self.others.is_empty() => self.foreground.clone(),
            _ => self.others.chunks(self.foreground.len()).nth(class - 1).unwrap().to_vec(),
        }
    }

    /// The likeliest class of each pixel, the lowest of equal ones. Of two classes, foreground is
    /// where its probability is above 0.5.
    pub fn likeliest(&self) -> Vec<u8> {
        if self.others.is_empty() {
            return self.foreground.iter().map(|&p| u8::from(p > 0.5)).collect();
        }
        let pixels = self.foreground.len();
        let likeliest_of = |pixel: usize| {
            let mut best = (0, 1.0 - self.foreground[pixel]);
            for (class, &p) in (1_u8..).zip(self.others[pixel..].iter().step_by(pixels)) {
                if p > best.1 {
                    best = (class, p);
                }
            }
            best.0
        };
        (0..pixels).map(likeliest_of).collect()
    }
}

/// The probability of foreground (of not being class 0) of each pixel of the reader's region
/// in section `z`, row by row: half-overlapping windows, blended by a Gaussian. Of a region smaller
/// than a patch the network sees mirror images beyond the last row or column.
///
/// # Errors
/// If a section can't be read, or the network has diverged.
pub fn section_foreground(
    model: &mut Model,
    reader: &PatchReader,
    z: usize,
    advance: &mut Advance<'_>,
) -> Result<Vec<f32>> {
    section_probabilities(model, reader, z, advance).map(ClassProbabilities::into_foreground)
}

/// The probabilities of all classes of each pixel of the reader's region in section `z`.
///
/// # Errors
/// As [`section_foreground`].
pub fn section_probabilities(
    model: &mut Model,
    reader: &PatchReader,
    z: usize,
    advance: &mut Advance<'_>,
) -> Result<ClassProbabilities> {
    area_probabilities(model, reader, z, &reader.region.clone(), advance)
}

/// [`section_foreground`] of a part of the section.
///
/// # Errors
/// As [`section_foreground`].
///
/// # Panics
/// If the area is not inside the reader's region.
pub fn area_foreground(
    model: &mut Model,
    reader: &PatchReader,
    z: usize,
    area: &Region,
    advance: &mut Advance<'_>,
) -> Result<Vec<f32>> {
    area_probabilities(model, reader, z, area, advance).map(ClassProbabilities::into_foreground)
}

/// [`section_probabilities`] of a part of the section: the rows and columns of `area`. The bits are
/// those of the whole section, since the windows lie where they lie in the whole and are added in
/// the same order.
///
/// # Errors
/// As [`section_foreground`].
///
/// # Panics
/// If the area is not inside the reader's region.
pub fn area_probabilities(
    model: &mut Model,
    reader: &PatchReader,
    z: usize,
    area: &Region,
    advance: &mut Advance<'_>,
) -> Result<ClassProbabilities> {
    let (patch, classes) = (model.patch(), model.net().classes);
    let (height, width) = (area.height(), area.width());
    let positions = windows(reader, z, patch, area);
    let weights = window_weights(patch);
    let mut sum = vec![0.0_f32; height * width];
    let mut total = vec![0.0_f32; height * width];
    // Of two classes the other one is what is left.
    let more = if classes > 2 { classes - 1 } else { 0 };
    let mut others = vec![0.0_f32; more * height * width];
    let pixels = patch * patch;
    let start = |model: &mut Model, _, x: &[f32]| model.start_forward(x, &[Output::Probabilities]);
    batches(model, reader, &positions, advance, start, |first, found| {
        for (p, at) in found[0].chunks(classes * pixels).zip(&positions[first..]) {
            let rows = at.y.max(area.y.start)..(at.y + patch).min(area.y.end);
            let columns = at.x.max(area.x.start)..(at.x + patch).min(area.x.end);
            for y in rows {
                let from = (y - at.y) * patch + columns.start - at.x;
                let to = (y - area.y.start) * width + columns.start - area.x.start;
                for column in 0..columns.len() {
                    let weight = weights[from + column];
                    sum[to + column] += weight * (1.0 - p[from + column]);
                    total[to + column] += weight;
                }
                for (class, others) in (1..).zip(others.chunks_mut(height * width)) {
                    let p = &p[class * pixels + from..][..columns.len()];
                    let weighted = p.iter().zip(&weights[from..]).map(|(p, weight)| weight * p);
                    others[to..].iter_mut().zip(weighted).for_each(|(sum, p)| *sum += p);
                }
            }
        }
    })?;
    for (sum, total) in sum.iter_mut().zip(&total) {
        *sum /= total;
    }
    for (sum, total) in others.iter_mut().zip(total.iter().cycle()) {
        *sum /= total;
    }
    if sum.iter().chain(&others).any(|p| !p.is_finite()) {
        return Err(Error::Input(format!(
            "section {z}: the network gives values that are not numbers: it has diverged; lower the learning rate"
        )));
    }
    Ok(ClassProbabilities { foreground: sum, others })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_everything_and_overlap_by_half() {
        assert_eq!(window_starts(64, 64), [0]);
        assert_eq!(window_starts(128, 64), [0, 32, 64]);
        assert_eq!(window_starts(100, 64), [0, 32, 36]);
        assert_eq!([1, 63].map(|length| window_starts(length, 64)), [[0], [0]]);
    }

    #[test]
    fn the_likeliest_class_wins_and_the_lowest_of_equal_ones() {
        let two = ClassProbabilities { foreground: vec![0.5, 0.6], others: Vec::new() };
        assert_eq!(two.likeliest(), [0, 1]);
        assert_eq!(two.of_class(1), [0.5, 0.6]);
        // Of four pixels: background, class 1, class 2, and class 1 as likely as class 2.
        let others = vec![0.3, 0.5, 0.2, 0.4, 0.2, 0.3, 0.7, 0.4];
        let three = ClassProbabilities { foreground: vec![0.5, 0.8, 0.9, 0.8], others };
        assert_eq!(three.likeliest(), [0, 1, 2, 1]);
        assert_eq!(three.of_class(2), [0.2, 0.3, 0.7, 0.4]);
        assert_eq!(three.of_class(0)[0], 0.5);
    }

    #[test]
    fn window_weights_are_symmetric_and_largest_inside() {
        let weights = window_weights(16);
        assert_eq!(weights[0], weights[255]);
        assert_eq!(weights[7 * 16 + 8], weights[8 * 16 + 7]);
        assert!(weights.iter().all(|&w| w > 0.0 && w <= weights[8 * 16 + 8]));
    }
}
