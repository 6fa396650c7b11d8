//! 3x3 convolutions by their definition, channels last, for few channels.
//!
//! Image rows are copied between borders of zeros; three neighbouring pixels of a row are then one run of
//! numbers, and each row of taps is a product of matrices.

use core::ops::Range;

use super::winograd::{Filters, Input};
use crate::channels_last::Channels;
use crate::par::{for_each_chunk_mut, for_each_group_mut};
use crate::simd::product::{Left, Right, Start, panel, product};
use crate::simd::winograd::Finish;
use crate::simd::{Kernel, Level, Scratch, Simd, dispatch};

/// Numbers of laid-out filters.
pub(crate) fn packed_len(inner: usize, columns: usize) -> usize {
    9 * inner * columns
}

/// Lays filters out as `[row of taps][panel][tap of the row][inner][columns of the panel]`. Where `inner` is the real
/// number of channels there is no padding between them.
pub(crate) fn pack(filters: Filters<'_>, inner: usize, packed: &mut [f32]) {
    let columns = filters.sides().1.padded();
    let wide = panel(Level::best().tile().0);
    let dense = inner == filters.sides().0.real();
    let packed = &mut packed[..packed_len(inner, columns)];
    let (inner_side, column_side) = filters.sides();
    for i in 0..inner {
        // A dense map has its channels where padding would otherwise be.
        let from = if dense { Some(i) } else { inner_side.at(i) };
        for column in 0..columns {
            let taps = match (from, column_side.at(column)) {
                (Some(from), Some(to)) => filters.taps(from, to),
                _ => [0.0; 9],
            };
            let first = column / wide * wide;
            let width = wide.min(columns - first);
            for (t, tap) in taps.into_iter().enumerate() {
                let at = (t / 3 * 3 * columns + first * 3) * inner;
                let at = at + ((t % 3) * inner + i) * width + column - first;
                packed[at] = tap;
            }
        }
    }
}

/// Image rows to a piece of work.
const ROWS: usize = 8;

/// Copies image rows `rows` of sample `s`, with one more above and below, each between two pixels of zeros.
fn bordered(input: &Input<'_>, s: usize, rows: Range<usize>) -> Scratch {
    let (h, w, inner) = (input.pixels.h, input.pixels.w, input.inner);
    let row = (w + 2) * inner;
    let mut x = Scratch::take((rows.len() + 2) * row);
    for (r, to) in x.chunks_exact_mut(row).enumerate() {
        let Some(i) = (rows.start + r).checked_sub(1).filter(|&i| i < h) else {
            to.fill(0.0);
            continue;
        };
        to[..inner].fill(0.0);
        to[row - inner..].fill(0.0);
        let scale = input.scale.map(|scale| &scale[s * inner..][..inner]);
        for (j, to) in to[inner..row - inner].chunks_exact_mut(inner).enumerate() {
            let from = &input.x[((s * h + i) * w + j) * input.stride..][..inner];
            match scale {
                None => to.copy_from_slice(from),
                Some(scale) => {
                    for c in 0..inner {
                        to[c] = from[c] * scale[c];
                    }
                }
            }
        }
    }
    x
}

/// Pieces of [`ROWS`] rows of each sample.
struct Bands {
    h: usize,
    per_sample: usize,
}

impl Bands {
    fn new(h: usize) -> Self {
        Self { h, per_sample: h.div_ceil(ROWS) }
    }

    /// Sample and rows of a piece.
    fn rows(&self, band: usize) -> (usize, Range<usize>) {
        let first = band % self.per_sample * ROWS;
        (band / self.per_sample, first..(first + ROWS).min(self.h))
    }

    /// The first row, counted over all samples.
    fn start(&self, band: usize) -> usize {
        band / self.per_sample * self.h + band % self.per_sample * ROWS
    }
}

/// `y = finish(x * filters)`, pixels of `y` being `stride` apart.
pub(crate) fn forward(
    input: Input<'_>,
    packed: &[f32],
    columns: usize,
    finish: Finish<'_>,
    y: &mut [f32],
    stride: usize,
) {
    let bands = Bands::new(input.pixels.h);
    let y = &mut y[..input.pixels.span(columns, stride)];
    let start = |band: usize| bands.start(band) * input.pixels.w * stride;
    for_each_group_mut(y, input.pixels.n * bands.per_sample, 1, start, |band, y| {
        let (s, rows) = bands.rows(band.start);
        let x = bordered(&input, s, rows);
        dispatch(Band { input, x: &x, s, packed, columns, finish, y, stride });
    });
}

struct Band<'a> {
    input: Input<'a>,
    /// The band's rows between borders.
    x: &'a [f32],
    s: usize,
    packed: &'a [f32],
    columns: usize,
    finish: Finish<'a>,
    y: &'a mut [f32],
    stride: usize,
}

impl Kernel for Band<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { columns, stride, finish, .. } = self;
        let (w, inner) = (self.input.pixels.w, self.input.inner);
        let taps = 3 * inner * columns;
        for (i, y) in self.y.chunks_mut(w * stride).enumerate() {
            for (a, packed) in self.packed.chunks_exact(taps).enumerate() {
                let x = &self.x[(i + a) * (w + 2) * inner..];
                let left = Left { data: x, row: inner, step: 1 };
                let start = match (a, finish.bias) {
                    (0, None) => Start::Zero,
                    (0, Some(bias)) => Start::Row(bias),
                    _ => Start::Output,
                };
                product(
                    simd,
                    [w, columns, 3 * inner],
                    left,
                    Right::Packed(packed),
                    start,
                    y,
                    stride,
                );
            }
            if !finish.relu && finish.scale.is_none() {
                continue;
            }
            let zero = simd.splat(0.0);
            for y in y.chunks_mut(stride) {
                for c in (0..columns).step_by(S::LANES) {
                    let mut v = simd.load(&y[c..]);
                    if finish.relu {
                        v = simd.max(zero, v);
                    }
                    if let Some(scale) = finish.scale {
                        v = simd.mul(v, simd.load(&scale[self.s * columns + c..]));
                    }
                    simd.store(v, &mut y[c..]);
                }
            }
        }
    }
}

/// The most pieces that have sums of their own.
const CHUNKS: usize = 16;

/// `dweight = ` the gradient of the filters, `[c_out, c_in, 3, 3]`; `input.inner` is the number of input channels
/// with or without padding.
pub(crate) fn backward_weight(
    input: Input<'_>,
    dy: &[f32],
    dy_stride: usize,
    [c_in, c_out]: [Channels; 2],
    dweight: &mut [f32],
) {
    let (inner, columns) = (input.inner, c_out.padded());
    let bands = Bands::new(input.pixels.h);
    let count = input.pixels.n * bands.per_sample;
    let chunk = count.div_ceil(CHUNKS);
    let sums_len = 9 * inner * columns;
    let mut sums = Scratch::take(count.div_ceil(chunk) * sums_len);
    for_each_chunk_mut(&mut sums, sums_len, |i, sums| {
        sums.fill(0.0);
        for band in i * chunk..((i + 1) * chunk).min(count) {
            let (s, rows) = bands.rows(band);
            let x = bordered(&input, s, rows.clone());
            let first = (s * input.pixels.h + rows.start) * input.pixels.w * dy_stride;
            let dy = &dy[first..];
            dispatch(BandGradient { input, x: &x, rows: rows.len(), dy, dy_stride, columns, sums });
        }
    });
    let (total, others) = sums.split_at_mut(sums_len);
    for others in others.chunks(sums_len) {
        for (t, &o) in total.iter_mut().zip(others) {
            *t += o;
        }
    }
    let dense = inner == c_in.real();
    for channel in 0..c_in.real() {
        let i = if dense { channel } else { c_in.position(channel) };
        for o in 0..c_out.real() {
            for t in 0..9 {
                let sum = total[((t / 3 * 3 + t % 3) * inner + i) * columns + c_out.position(o)];
                dweight[(o * c_in.real() + channel) * 9 + t] = sum;
            }
        }
    }
}

struct BandGradient<'a> {
    input: Input<'a>,
    /// The band's rows between borders.
    x: &'a [f32],
    rows: usize,
    dy: &'a [f32],
    dy_stride: usize,
    columns: usize,
    sums: &'a mut [f32],
}

impl Kernel for BandGradient<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (w, inner, columns) = (self.input.pixels.w, self.input.inner, self.columns);
        for i in 0..self.rows {
            let right = Right::Rows(&self.dy[i * w * self.dy_stride..], self.dy_stride);
            for (a, sums) in self.sums.chunks_exact_mut(3 * inner * columns).enumerate() {
                let x = &self.x[(i + a) * (w + 2) * inner..];
                let left = Left { data: x, row: 1, step: inner };
                product(simd, [3 * inner, columns, w], left, right, Start::Output, sums, columns);
            }
        }
    }
}
