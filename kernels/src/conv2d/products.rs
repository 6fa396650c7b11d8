//! Spreads an [`Outer`] over groups of bands of rows and over blocks of output channels, and adds up.

use core::ops::Range;

use super::planes::{Source, TASKS, band_rows};
use super::tile::{Outer, WIDTH, transpose};
use crate::par::for_each_chunk_mut;
use crate::simd::{Kernel, Level, Scratch, Simd, dispatch};

/// Numbers that the partial sums of all groups may take together, unless one takes more.
const PARTIALS: usize = 512 * 1024;
/// Groups at most.
const GROUPS: usize = 16;

/// `out[o][m][a] = sum_(n,i,j) dy[n,o,i,j] x[n,i+a-pad,j-pad,m]`, where the numbers of `x` at a position and
/// the `k - 1` that follow it in its row are the columns `m`: `[b][c]`.
pub(crate) struct Products<'a> {
    pub(crate) n: usize,
    /// Planes of `dy`.
    pub(crate) c_out: usize,
    /// Channels of `x`.
    pub(crate) c_in: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
    /// Side of the filter, 1 or 3.
    pub(crate) kernel: usize,
    pub(crate) x: Source<'a>,
    pub(crate) dy: &'a [f32],
}

impl Products<'_> {
    /// Writes `out(o, c, a, b)` to `dweight [c_out, c_in, k, k]`.
    pub(crate) fn run(self, dweight: &mut [f32]) {
        let Self { n, c_out, c_in, h, w, kernel: k, .. } = self;
        let (lanes, r) = Level::best().tile();
        let columns = k * c_in;
        let padded = columns.next_multiple_of(lanes);
        // The partial sums of a block of output channels.
        let block = k * r * padded;
        let blocks = c_out.div_ceil(r);
        // Bands of all samples are cut in groups, each of which sums on its own.
        let rows = band_rows(n, c_in, h, w + k - 1);
        let bands = h.div_ceil(rows);
        let most = (PARTIALS / (blocks * block)).clamp(1, GROUPS);
        let per_group = (n * bands).div_ceil(most);
        let groups = (n * bands).div_ceil(per_group);
        let per_part = blocks.div_ceil(TASKS.div_ceil(groups).min(blocks));
        let mut partials = Scratch::take(groups * blocks * block);
        let mut tasks = Vec::with_capacity(groups * blocks.div_ceil(per_part));
        for (g, partial) in partials.chunks_mut(blocks * block).enumerate() {
            for (i, out) in partial.chunks_mut(per_part * block).enumerate() {
                tasks.push((g, i * per_part, out));
            }
        }
        for_each_chunk_mut(&mut tasks, 1, |_, task| {
            let (g, first_block, out) = &mut task[0];
            for unit in *g * per_group..((*g + 1) * per_group).min(n * bands) {
                let (sample, first_row) = (unit / bands, unit % bands * rows);
                dispatch(OnBand {
                    grid: (c_in, h, w),
                    kernel: k,
                    x: self.x.sample(sample, c_in * h * w),
                    dy: &self.dy[sample * c_out * h * w..][..c_out * h * w],
                    rows: first_row..h.min(first_row + rows),
                    first_block: *first_block,
                    block,
                    fresh: unit == *g * per_group,
                    out,
                });
            }
        });
        drop(tasks);
        let partials = &partials[..];
        for_each_chunk_mut(dweight, columns * k, |o, dweight| {
            let of_block = |g: usize| &partials[(g * blocks + o / r) * block..][..block];
            let mut sums = Scratch::take(padded);
            for a in 0..k {
                for g in 0..groups {
                    let partial = &of_block(g)[a * r * padded..][..r * padded];
                    // Tiles lie one after another, each with its rows together.
                    for (i, sums) in sums.chunks_mut(WIDTH * lanes).enumerate() {
                        let width = sums.len();
                        let at = i * WIDTH * lanes * r + o % r * width;
                        for (sum, &term) in sums.iter_mut().zip(&partial[at..][..width]) {
                            *sum = if g == 0 { term } else { *sum + term };
                        }
                    }
                }
                for b in 0..k {
                    let taps = dweight[a * k + b..].iter_mut().step_by(k * k);
                    taps.zip(&sums[b * c_in..][..c_in]).for_each(|(to, &sum)| *to = sum);
                }
            }
        });
    }
}

/// Adds one band's products to the partial sums of some blocks of output channels.
struct OnBand<'a> {
    grid: (usize, usize, usize),
    kernel: usize,
    x: Source<'a>,
    dy: &'a [f32],
    rows: Range<usize>,
    first_block: usize,
    block: usize,
    fresh: bool,
    out: &'a mut [f32],
}

impl Kernel for OnBand<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { grid: (c_in, h, w), kernel: k, .. } = self;
        let pad = k / 2;
        let c_out = self.dy.len() / (h * w);
        let rows = self.rows.len();
        // Channels vary fastest here, so that the taps of a row are one contiguous run.
        let row = (w + 2 * pad) * c_in;
        let mut x = Scratch::take((rows + 2 * pad) * row + WIDTH * S::LANES);
        for i in 0..rows + 2 * pad {
            let to = &mut x[i * row..][..row];
            let Some(i) = (self.rows.start + i).checked_sub(pad).filter(|&i| i < h) else {
                to.fill(0.0);
                continue;
            };
            to[..pad * c_in].fill(0.0);
            to[(pad + w) * c_in..].fill(0.0);
            let to = &mut to[pad * c_in..][..w * c_in];
            match self.x {
                Source::Planes(x) => transpose(&x[i * w..], h * w, c_in, w, to, c_in),
                Source::Quarters(x) => {
                    for plane in 0..c_in / 4 {
                        let from = &x[(plane * h + i) * 4 * w..][..4 * w];
                        let (top, bottom) = from.split_at(2 * w);
                        for j in 0..w {
                            let to = &mut to[j * c_in + 4 * plane..][..4];
                            to[..2].copy_from_slice(&top[2 * j..2 * j + 2]);
                            to[2..].copy_from_slice(&bottom[2 * j..2 * j + 2]);
                        }
                    }
                }
            }
        }
        let end = (rows + 2 * pad) * row;
        x[end..].fill(0.0);
        for (b, out) in self.out.chunks_exact_mut(self.block).enumerate() {
            let mut dy_at = [0; 8];
            for r in 0..S::ROWS {
                let o = ((self.first_block + b) * S::ROWS + r).min(c_out - 1);
                dy_at[r] = (o * h + self.rows.start) * w;
            }
            for (a, out) in out.chunks_exact_mut(self.block / k).enumerate() {
                Outer {
                    dy: self.dy,
                    dy_at,
                    dy_row: w,
                    x: &x[a * row..],
                    x_row: row,
                    x_step: c_in,
                    size: (rows, w),
                    columns: k * c_in,
                    fresh: self.fresh,
                    out,
                }
                .run(simd);
            }
        }
    }
}
