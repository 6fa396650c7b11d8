//! Using a trained network: scores and embeddings of patches, segmentations of sections.

mod tiles;

use std::str::FromStr;

use askem_kernels::rng::{Purpose, key};

use crate::data::pool::{PatchReader, Position, Region, read_ahead, read_windows_ahead};
use crate::error::{Error, Result};
use crate::learning::strategy::Criterion;
use crate::network::model::{Model, Started};
use crate::network::unet::{Norm, Output, UNet};
use tiles::{Layout, Tile, tiles_of};

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

/// Starts work on batches of patches of a data set with a reader for each volume, in order of position, and gives `finish` what comes of it. They are read from the
/// volume ahead of the device, which works on one while the one before is finished.
fn batches(
    model: &mut Model,
    readers: &[PatchReader],
    positions: &[Position],
    advance: &mut Advance<'_>,
    mut start: impl FnMut(&mut Model, usize, &[f32]) -> Result<Started>,
    mut finish: impl FnMut(usize, Vec<Vec<f32>>),
) -> Result<()> {
    let (patch, batch, threads) = (model.patch(), model.score_batch(), model.reading_threads());
    let to_read = positions.chunks(batch).enumerate().map(|(i, at)| (i * batch, at.to_vec()));
    read_ahead(readers, patch, threads, to_read, |taken| {
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

/// A score per patch of a data set, which has a reader for each volume. Results do not depend on how patches are grouped.
pub fn scores(
    model: &mut Model,
    readers: &[PatchReader],
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
    batches(model, readers, positions, advance, start, finish)?;
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
    readers: &[PatchReader],
    positions: &[Position],
    advance: &mut Advance<'_>,
) -> Result<Vec<[f32; 2]>> {
    let (pixels, classes) = (model.patch() * model.patch(), model.net().classes);
    let mut out = Vec::with_capacity(positions.len());
    let start = |model: &mut Model, _, x: &[f32]| model.start_forward(x, &[Output::Probabilities]);
    batches(model, readers, positions, advance, start, |_, found| {
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
    readers: &[PatchReader],
    positions: &[Position],
    embedding: Embedding,
    advance: &mut Advance<'_>,
) -> Result<(Vec<f32>, usize)> {
    let mut out = Vec::new();
    let start = |model: &mut Model, _, x: &[f32]| model.start_forward(x, &[embedding.output()]);
    batches(model, readers, positions, advance, start, |_, mut found| out.append(&mut found[0]))?;
    let dim = out.len().checked_div(positions.len()).unwrap_or(1);
    Ok((out, dim.max(1)))
}

/// Mirror images of a section that are segmented, turned back and averaged: what a network says of
/// them differs, and their mean is better than each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Symmetries {
    /// The section alone.
    #[default]
    One,
    /// The section, and the section turned by half a turn.
    Two,
    /// These, and mirrored along rows or along columns.
    Four,
}

impl FromStr for Symmetries {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "1" => Ok(Self::One),
            "2" => Ok(Self::Two),
            "4" => Ok(Self::Four),
            _ => Err("give 1, 2 or 4".into()),
        }
    }
}

impl Symmetries {
    /// Whether rows and columns of each image are in reverse order.
    fn reversed(self) -> &'static [[bool; 2]] {
        const ALL: [[bool; 2]; 4] = [[false, false], [true, true], [true, false], [false, true]];
        &ALL[..self.count()]
    }

    /// How many images are segmented.
    pub fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
        }
    }
}

/// How a network sees sections, whose windows may have sides of `longest`.
fn layout_of(net: &UNet, patch: usize, longest: usize) -> Layout {
    match net.norm {
        Norm::Batch => Layout::Cut(longest),
        Norm::Instance => Layout::Blended(patch),
    }
}

/// Number of windows that [`area_foreground`] segments for an area, each in so many mirror images.
pub fn windows_of_area(model: &mut Model, reader: &PatchReader, area: &Region) -> usize {
    let longest = model.longest_window();
    let layout = layout_of(model.net(), model.patch(), longest);
    area.z.len() * tiles_of(section_of(reader), area, layout).len()
}

/// Rows and columns of a reader's volume.
fn section_of(reader: &PatchReader) -> [usize; 2] {
    let [_, height, width] = reader.shape();
    [height, width]
}

/// Rows and columns of the windows in which a region of sections of `section` rows and columns is segmented, and
/// their number in a section.
pub fn window_shape(
    section: [usize; 2],
    region: &Region,
    net: &UNet,
    patch: usize,
    longest: usize,
) -> ([usize; 2], usize) {
    let tiles = tiles_of(section, region, layout_of(net, patch, longest));
    (tiles[0].shape, tiles.len())
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
/// in section `z`, row by row.
///
/// # Errors
/// If a section can't be read, or the network has diverged.
pub fn section_foreground(
    model: &mut Model,
    reader: &PatchReader,
    z: usize,
    advance: &mut Advance<'_>,
) -> Result<Vec<f32>> {
    area_foreground(model, reader, z, &reader.region.clone(), advance)
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
    let p = area_probabilities(model, reader, z, area, Symmetries::One, advance);
    p.map(ClassProbabilities::into_foreground)
}

/// The probabilities of all classes of each pixel of a part of section `z`, the rows and columns of `area`.
///
/// The network sees windows as large as memory allows, and of each only those pixels are kept that
/// do not see where it ends: apart from the rounding of sums, an area is segmented as it is in any
/// larger one, and windows meet without a seam. Beyond the reader's region it sees what is there, beyond
/// the edges of the volume mirror images.
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
    symmetries: Symmetries,
    advance: &mut Advance<'_>,
) -> Result<ClassProbabilities> {
    let (layout, tiles) = loop {
        let longest = model.longest_window();
        let layout = layout_of(model.net(), model.patch(), longest);
        let tiles = tiles_of(section_of(reader), area, layout);
        if model.prepare_window(tiles[0].shape)? {
            break (layout, tiles);
        }
    };
    let mut mean = Mean::new(area, model.net().classes, symmetries, layout.weights());
    read_windows_ahead(reader, tiles.iter().map(|tile| tile.window(z)), |taken| {
        let mut before: Option<(&Tile, [bool; 2], Started)> = None;
        let mut complete = |model: &mut Model, (tile, reversed, started): (_, _, Started)| {
            mean.add(tile, reversed, &model.finish(started)?[0]);
            Ok(())
        };
        for (read, tile) in taken.into_iter().zip(&tiles) {
            let (_, x) = read?;
            for &reversed in symmetries.reversed() {
                let started = match reversed {
                    [false, false] => model.start_window(&x)?,
                    _ => model.start_window(&reversed_window(&x, tile.shape, reversed))?,
                };
                if let Some(before) = before.replace((tile, reversed, started)) {
                    complete(model, before)?;
                }
            }
            advance(1)?;
        }
        before.map_or(Ok(()), |last| complete(model, last))
    })?;
    let p = mean.p;
    if p.foreground.iter().chain(&p.others).any(|p| !p.is_finite()) {
        return Err(Error::Input(format!(
            "section {z}: the network gives values that are not numbers: it has diverged; lower the learning rate"
        )));
    }
    Ok(p)
}

/// The pixels of each section of a window, with its rows or columns in reverse order.
fn reversed_window(x: &[f32], [height, width]: [usize; 2], reversed: [bool; 2]) -> Vec<f32> {
    let mut out = Vec::with_capacity(x.len());
    for section in x.chunks(height * width) {
        for y in 0..height {
            let y = if reversed[0] { height - 1 - y } else { y };
            let row = &section[y * width..][..width];
            match reversed[1] {
                true => out.extend(row.iter().rev()),
                false => out.extend_from_slice(row),
            }
        }
    }
    out
}

/// The mean of what a network says of the mirror images of an area.
struct Mean<'a> {
    area: &'a Region,
    /// Of each image in the mean.
    weight: f32,
    /// Of each row and column of a window, where they differ.
    weights: Option<Vec<f32>>,
    p: ClassProbabilities,
}

impl<'a> Mean<'a> {
    fn new(
        area: &'a Region,
        classes: usize,
        symmetries: Symmetries,
        weights: Option<Vec<f32>>,
    ) -> Self {
        let pixels = area.height() * area.width();
        // Of two classes the other one is what is left.
        let more = if classes > 2 { classes - 1 } else { 0 };
        let p =
            ClassProbabilities { foreground: vec![0.0; pixels], others: vec![0.0; more * pixels] };
        Self { area, weight: 1.0 / symmetries.count() as f32, weights, p }
    }

    /// Adds what is kept of a window: `p` holds the probabilities of its pixels, class by class, in reverse
    /// order along rows or columns.
    fn add(&mut self, tile: &Tile, reversed: [bool; 2], p: &[f32]) {
        let ([height, width], [rows, columns]) = (tile.shape, tile.kept_of_window());
        let weights: Vec<f32> = match &self.weights {
            Some(weights) => weights[columns.clone()].to_vec(),
            None => vec![1.0; columns.len()],
        };
        let pixels = self.area.height() * self.area.width();
        let [first_row, first_column] = tile.in_area;
        for (number, y) in rows.enumerate() {
            let to = (first_row + number) * self.area.width() + first_column;
            let to = to..to + columns.len();
            let weight = self.weight * self.weights.as_ref().map_or(1.0, |weights| weights[y]);
            let y = if reversed[0] { height - 1 - y } else { y };
            let x = if reversed[1] { width - columns.end } else { columns.start };
            let row_of = |class: usize| &p[(class * height + y) * width + x..][..columns.len()];
            let add = |to: &mut [f32], row: &[f32], value: fn(f32) -> f32| {
                let to = to.iter_mut().zip(&weights);
                let add = |((to, w), p): ((&mut f32, &f32), &f32)| *to += weight * w * value(*p);
                match reversed[1] {
                    true => to.zip(row.iter().rev()).for_each(add),
                    false => to.zip(row).for_each(add),
                }
            };
            add(&mut self.p.foreground[to.clone()], row_of(0), |p| 1.0 - p);
            for (class, others) in (1..).zip(self.p.others.chunks_mut(pixels)) {
                add(&mut others[to.clone()], row_of(class), |p| p);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
