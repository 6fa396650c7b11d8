//! Spreads a [`Correlate`] over samples, bands of rows and groups of output channels.
//!
//! A band of the input is copied between zeros once, stays in the cache and serves all output channels. How
//! the work is cut follows from the sizes alone, so that the bits do not depend on the number of threads.

use core::ops::Range;

use super::tile::{Correlate, Output, WIDTH, Weights, copy};
use crate::par::for_each_chunk_mut;
use crate::simd::{Kernel, Level, Scratch, Simd, dispatch};

/// Numbers of a band that stay in the second-level cache beside the weights.
const BAND: usize = 48 * 1024;
/// Tasks below which work is cut finer, so that few samples still occupy some threads.
pub(crate) const TASKS: usize = 8;

/// Rows of a band of `channels` planes of `h` rows, given that there are `n` images.
pub(crate) fn band_rows(n: usize, channels: usize, h: usize, row: usize) -> usize {
    let fits = (BAND / (channels * row)).saturating_sub(2).clamp(4.min(h), h);
    // Bands of equal height; thinner ones where they are too few, though not so thin that most of
    // what is copied is margin.
    let bands = h.div_ceil(fits).max(TASKS.div_ceil(n).min(h / 16));
    h.div_ceil(bands.max(1))
}

/// What a convolution reads: one or more samples of planes on a grid of `h x w` positions.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// One plane per channel.
    Planes(&'a [f32]),
    /// Planes of `2h x 2w`, each of which makes four channels: the pixels of a position's 2x2.
    Quarters(&'a [f32]),
}

impl<'a> Source<'a> {
    /// One sample, given how many numbers it has.
    pub(crate) fn sample(self, i: usize, len: usize) -> Self {
        match self {
            Self::Planes(x) => Self::Planes(&x[i * len..][..len]),
            Self::Quarters(x) => Self::Quarters(&x[i * len..][..len]),
        }
    }

    /// Rows of the planes between zeros: `[c][pad + (rows + 2 pad) (w + pad) + pad]`.
    #[inline(always)]
    fn band<S: Simd>(
        self,
        simd: S,
        (c_in, h, w): (usize, usize, usize),
        pad: usize,
        rows: &Range<usize>,
    ) -> Scratch {
        let row = w + pad;
        let plane = (rows.len() + 2 * pad) * row + 2 * pad;
        let mut band = Scratch::take(c_in * plane + (WIDTH + 1) * S::LANES);
        for (c, to) in band.chunks_exact_mut(plane).take(c_in).enumerate() {
            to[0] = 0.0;
            for i in 0..rows.len() + 2 * pad {
                let to = &mut to[pad + i * row..][..row];
                let Some(i) = (rows.start + i).checked_sub(pad).filter(|&i| i < h) else {
                    to.fill(0.0);
                    continue;
                };
                match self {
                    Self::Planes(x) => copy(simd, &x[(c * h + i) * w..][..w], &mut to[..w]),
                    Self::Quarters(x) => {
                        let from = &x[((c / 4 * h + i) * 2 + c / 2 % 2) * 2 * w..][..2 * w];
                        match c % 2 {
                            0 => every_second::<0>(from, &mut to[..w]),
                            _ => every_second::<1>(from, &mut to[..w]),
                        }
                    }
                }
                if pad == 1 {
                    to[w] = 0.0;
                }
            }
        }
        band[c_in * plane..].fill(0.0);
        band
    }
}

/// `to[j] = from[2 j + B]`.
#[inline(always)]
fn every_second<const B: usize>(from: &[f32], to: &mut [f32]) {
    for (to, pair) in to.iter_mut().zip(from.chunks_exact(2)) {
        *to = pair[B];
    }
}

/// A stride-1 convolution, or a matrix product over pixels, of whole batches.
pub(crate) struct Planes<'a> {
    pub(crate) n: usize,
    pub(crate) c_in: usize,
    pub(crate) c_out: usize,
    /// The grid of positions.
    pub(crate) h: usize,
    pub(crate) w: usize,
    /// Side of the filter: 1 or 3.
    pub(crate) kernel: usize,
    pub(crate) x: Source<'a>,
    pub(crate) weights: Weights<'a>,
    /// One number per output plane, or none.
    pub(crate) bias: &'a [f32],
    pub(crate) y: &'a mut [f32],
    /// As [`Output::doubled`].
    pub(crate) doubled: bool,
}

/// A band of a sample's rows in a group of output planes.
struct Task<'a, 'b> {
    sample: usize,
    rows: Range<usize>,
    first_channel: usize,
    planes: &'b mut [&'a mut [f32]],
}

impl Planes<'_> {
    pub(crate) fn run(self) {
        let Self { n, c_in, c_out, h, w, kernel, doubled, .. } = self;
        let (_, r) = Level::best().tile();
        let rows = band_rows(n, c_in, h, w + kernel / 2);
        let bands = h.div_ceil(rows);
        // Numbers of an output plane that a row of positions makes, and output planes.
        let (row, per_plane) = if doubled { (4 * w, 4) } else { (w, 1) };
        let planes = c_out / per_plane;
        // The bands of all planes, ordered by sample, band and plane.
        let mut pieces = Vec::with_capacity(n * bands * planes);
        for sample in self.y.chunks_mut(planes * h * row) {
            let mut planes: Vec<_> =
                sample.chunks_mut(h * row).map(|plane| plane.chunks_mut(rows * row)).collect();
            for _ in 0..bands {
                pieces.extend(planes.iter_mut().filter_map(Iterator::next));
            }
        }
        // Groups of whole blocks of channels.
        let groups = TASKS.div_ceil(n * bands).min(c_out.div_ceil(2 * r));
        let group = c_out.div_ceil(groups).next_multiple_of(r) / per_plane;
        let mut tasks = Vec::with_capacity(n * bands * planes.div_ceil(group));
        for (i, planes) in pieces.chunks_mut(planes).enumerate() {
            let rows = i % bands * rows..h.min((i % bands + 1) * rows);
            for (g, planes) in planes.chunks_mut(group).enumerate() {
                let first_channel = g * group * per_plane;
                tasks.push(Task { sample: i / bands, rows: rows.clone(), first_channel, planes });
            }
        }
        // A doubled plane's bias serves its four channels.
        let mut biases = Scratch::take(if self.bias.is_empty() { 0 } else { c_out });
        for (o, bias) in biases.iter_mut().enumerate() {
            *bias = self.bias[o / per_plane];
        }
        let bias = &biases[..];
        for_each_chunk_mut(&mut tasks, 1, |_, task| {
            let task = &mut task[0];
            let channels = task.planes.len() * per_plane;
            dispatch(OnBand {
                grid: (c_in, h, w),
                kernel,
                x: self.x.sample(task.sample, c_in * h * w),
                weights: self.weights,
                channels: task.first_channel..task.first_channel + channels,
                bias,
                doubled,
                task,
            });
        });
    }
}

/// The kernel of one task.
struct OnBand<'a, 'b, 'c> {
    grid: (usize, usize, usize),
    kernel: usize,
    x: Source<'a>,
    weights: Weights<'a>,
    channels: Range<usize>,
    bias: &'a [f32],
    doubled: bool,
    task: &'a mut Task<'b, 'c>,
}

impl Kernel for OnBand<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { grid, kernel, weights, channels, bias, doubled, .. } = self;
        let (c_in, h, w) = grid;
        let pad = kernel / 2;
        let rows = &self.task.rows;
        let row = w + pad;
        let positions = rows.len() * row - pad;
        let output = Output { planes: &mut *self.task.planes, w, doubled };
        let band;
        let (x, plane) = match self.x {
            // What needs no zeros around it and fills its last vector is read where it lies.
            Source::Planes(x) if pad == 0 && positions.is_multiple_of(S::LANES) => {
                (&x[rows.start * w..], h * w)
            }
            source => {
                band = source.band(simd, grid, pad, rows);
                (&band[..], (rows.len() + 2 * pad) * row + 2 * pad)
            }
        };
        Correlate { x, plane, row, positions, kernel, c_in, weights, channels, bias, output }
            .run(simd);
    }
}
