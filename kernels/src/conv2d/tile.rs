//! The inner loops of all convolutions: tiles of sums held in registers.
//!
//! Both tiles multiply numbers of one operand, each spread over a vector, with vectors of the
//! other. [`Correlate`] sums over input channels and taps for neighbouring positions of several output
//! channels; [`Outer`] sums over positions for neighbouring columns of a product matrix.

use core::ops::Range;

use crate::simd::{Kernel, Simd};

/// Vectors in a tile's row.
pub(crate) const WIDTH: usize = 3;

/// Where a [`Correlate`] puts what it computes: the rows of a band in each output plane.
pub(crate) struct Output<'a, 'b> {
    /// The band's rows of each plane.
    pub(crate) planes: &'a mut [&'b mut [f32]],
    /// Columns of the grid of positions.
    pub(crate) w: usize,
    /// Whether a plane takes four channels, one for each pixel of 2x2 that a position becomes.
    pub(crate) doubled: bool,
}

impl Output<'_, '_> {
    /// Takes the sums of the channels from `channel` on at the positions from `position` on: row `r`
    /// of `tile` begins at `r * stride` and holds `count` of them. Positions at separators, of which
    /// `row - w` follow each row, and channels beyond the last are dropped.
    #[inline(always)]
    fn put<S: Simd>(
        &mut self,
        simd: S,
        channel: usize,
        (position, count): (usize, usize),
        row: usize,
        (tile, stride): (&[f32], usize),
    ) {
        let w = self.w;
        let per_plane = if self.doubled { 4 } else { 1 };
        let first = channel / per_plane;
        let planes = self.planes.len().min(first + S::ROWS / per_plane) - first;
        let mut at = 0;
        while at < count {
            let (i, j) = ((position + at) / row, (position + at) % row);
            if j < w {
                let len = (w - j).min(count - at);
                for (r, plane) in self.planes[first..][..planes].iter_mut().enumerate() {
                    let sums = |r: usize| &tile[r * stride + at..][..len];
                    if self.doubled {
                        for a in 0..2 {
                            let to = &mut plane[(2 * i + a) * 2 * w + 2 * j..][..2 * len];
                            interleave(sums(4 * r + 2 * a), sums(4 * r + 2 * a + 1), to);
                        }
                    } else {
                        copy(simd, sums(r), &mut plane[i * w + j..][..len]);
                    }
                }
            }
            at += row - j;
        }
    }
}

/// Where weights lie: those of output `o` and input `c` are the taps from `o * output + c * input` on.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    pub(crate) weight: &'a [f32],
    /// Distance of output channels.
    pub(crate) output: usize,
    /// Distance of input channels.
    pub(crate) input: usize,
    /// Whether the taps run backwards.
    pub(crate) turned: bool,
}

/// `y[o][q] = bias[o] + sum_(c,a,b) weight[o,c,a,b] x[c * plane + q + a * row + b]` for all positions `q`.
///
/// Rows of an image are laid end to end, separated by zeros that serve as padding, so that positions
/// are one contiguous range; sums at the separators are computed too and mean nothing.
pub(crate) struct Correlate<'a, 'b, 'c> {
    /// Input planes; each must be readable up to `positions` rounded up to a vector.
    pub(crate) x: &'a [f32],
    /// Distance of planes.
    pub(crate) plane: usize,
    /// Distance of rows.
    pub(crate) row: usize,
    /// Number of positions.
    pub(crate) positions: usize,
    /// Side of the filter: 1 or 3.
    pub(crate) kernel: usize,
    /// Input channels.
    pub(crate) c_in: usize,
    pub(crate) weights: Weights<'a>,
    /// The output channels.
    pub(crate) channels: Range<usize>,
    /// One number per output channel, or none.
    pub(crate) bias: &'a [f32],
    /// Where the results go.
    pub(crate) output: Output<'b, 'c>,
}

impl Kernel for Correlate<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match (S::ROWS, self.kernel, self.weights.turned) {
            (8, 3, false) => self.blocks::<S, 8, 3, false>(simd),
            (8, 3, true) => self.blocks::<S, 8, 3, true>(simd),
            (8, 1, _) => self.blocks::<S, 8, 1, false>(simd),
            (4, 3, false) => self.blocks::<S, 4, 3, false>(simd),
            (4, 3, true) => self.blocks::<S, 4, 3, true>(simd),
            (4, 1, _) => self.blocks::<S, 4, 1, false>(simd),
            _ => unreachable!("no tile of {} rows and kernel {}", S::ROWS, self.kernel),
        }
    }
}

impl Correlate<'_, '_, '_> {
    #[inline(always)]
    fn blocks<S: Simd, const R: usize, const K: usize, const TURNED: bool>(mut self, simd: S) {
        // Room for the largest tile of any level.
        let mut tile = [0.0; 8 * 16 * WIDTH];
        for first in self.channels.clone().step_by(R) {
            let mut q = 0;
            while q < self.positions {
                let vectors = (self.positions - q).div_ceil(S::LANES);
                let width = match vectors {
                    1 => self.sums::<S, R, 1, K, TURNED>(simd, first, q, &mut tile),
                    // Four are better as twice two than as three and one.
                    2 | 4 => self.sums::<S, R, 2, K, TURNED>(simd, first, q, &mut tile),
                    _ => self.sums::<S, R, WIDTH, K, TURNED>(simd, first, q, &mut tile),
                };
                let count = width.min(self.positions - q);
                let channel = first - self.channels.start;
                self.output.put(simd, channel, (q, count), self.row, (&tile, width));
                q += count;
            }
        }
    }

    /// Computes a tile of `R` channels by `V` vectors and returns its width.
    #[inline(always)]
    fn sums<S: Simd, const R: usize, const V: usize, const K: usize, const TURNED: bool>(
        &self,
        simd: S,
        first: usize,
        q: usize,
        tile: &mut [f32],
    ) -> usize {
        let width = V * S::LANES;
        let Weights { weight, output, input, .. } = self.weights;
        let mut sums = [[simd.splat(0.0); V]; R];
        // Rows beyond the last channel repeat it.
        let mut rows = [&weight[..0]; R];
        for r in 0..R {
            let channel = (first + r).min(self.channels.end - 1);
            rows[r] = &weight[channel * output..];
            if let Some(&bias) = self.bias.get(channel) {
                sums[r] = [simd.splat(bias); V];
            }
        }
        for c in 0..self.c_in {
            let mut taps = [&weight[..0]; R];
            for r in 0..R {
                taps[r] = &rows[r][c * input..][..K * K];
            }
            let x = &self.x[c * self.plane + q..];
            for a in 0..K {
                // One check of the bounds for the row's taps.
                let x = &x[a * self.row..][..width + K - 1];
                for b in 0..K {
                    let mut xs = [simd.splat(0.0); V];
                    for v in 0..V {
                        xs[v] = simd.load(&x[b + v * S::LANES..]);
                    }
                    let tap = a * K + b;
                    let tap = if TURNED { K * K - 1 - tap } else { tap };
                    for r in 0..R {
                        let weight = simd.splat(taps[r][tap]);
                        for v in 0..V {
                            sums[r][v] = simd.mul_add(weight, xs[v], sums[r][v]);
                        }
                    }
                }
            }
        }
        for r in 0..R {
            for v in 0..V {
                simd.store(sums[r][v], &mut tile[r * width + v * S::LANES..]);
            }
        }
        width
    }
}

/// `out[r][m] += sum_(i,j) dy[r][i * dy_row + j] x[i * x_row + j * x_step + m]` for rows `r` and columns `m`.
pub(crate) struct Outer<'a> {
    /// Planes whose numbers are spread over vectors.
    pub(crate) dy: &'a [f32],
    /// Where each row's plane begins; rows beyond the last repeat it.
    pub(crate) dy_at: [usize; 8],
    /// Distance of image rows in `dy`.
    pub(crate) dy_row: usize,
    /// Numbers that are read as vectors, readable up to `columns` rounded up to a vector.
    pub(crate) x: &'a [f32],
    /// Distance of image rows in `x`.
    pub(crate) x_row: usize,
    /// Distance of image columns in `x`.
    pub(crate) x_step: usize,
    /// Image rows and columns to sum over.
    pub(crate) size: (usize, usize),
    /// Columns of the product.
    pub(crate) columns: usize,
    /// Whether the product begins at zero and not with what is in `out`.
    pub(crate) fresh: bool,
    /// The product in tiles: rows of one tile lie together, `[tile][ROWS][width of tile]`.
    pub(crate) out: &'a mut [f32],
}

impl Kernel for Outer<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match S::ROWS {
            8 => self.tiles::<S, 8>(simd),
            4 => self.tiles::<S, 4>(simd),
            rows => unreachable!("no tile of {rows} rows"),
        }
    }
}

impl Outer<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const R: usize>(mut self, simd: S) {
        let mut m = 0;
        while m < self.columns {
            m += match (self.columns - m).div_ceil(S::LANES) {
                1 => self.sums::<S, R, 1>(simd, m),
                2 => self.sums::<S, R, 2>(simd, m),
                _ => self.sums::<S, R, WIDTH>(simd, m),
            };
        }
    }

    #[inline(always)]
    fn sums<S: Simd, const R: usize, const V: usize>(&mut self, simd: S, m: usize) -> usize {
        let width = V * S::LANES;
        let (h, w) = self.size;
        let out = &mut self.out[m * R..][..R * width];
        let mut sums = [[simd.splat(0.0); V]; R];
        for r in 0..if self.fresh { 0 } else { R } {
            for v in 0..V {
                sums[r][v] = simd.load(&out[r * width + v * S::LANES..]);
            }
        }
        for i in 0..h {
            let mut dy = [&self.dy[..0]; R];
            for r in 0..R {
                dy[r] = &self.dy[self.dy_at[r] + i * self.dy_row..][..w];
            }
            let x = &self.x[i * self.x_row + m..];
            for j in 0..w {
                let x = &x[j * self.x_step..][..width];
                let mut xs = [simd.splat(0.0); V];
                for v in 0..V {
                    xs[v] = simd.load(&x[v * S::LANES..]);
                }
                for r in 0..R {
                    let dy = simd.splat(dy[r][j]);
                    for v in 0..V {
                        sums[r][v] = simd.mul_add(dy, xs[v], sums[r][v]);
                    }
                }
            }
        }
        for r in 0..R {
            for v in 0..V {
                simd.store(sums[r][v], &mut out[r * width + v * S::LANES..]);
            }
        }
        width
    }
}

/// Copies `src` to `dst` of the same length, short runs without a loop, which would become a call.
#[inline(always)]
pub(crate) fn copy<S: Simd>(simd: S, src: &[f32], dst: &mut [f32]) {
    let len = src.len();
    let dst = &mut dst[..len];
    // The last piece overlaps the one before.
    if len >= 2 * S::LANES {
        dst.copy_from_slice(src);
    } else if len >= S::LANES {
        simd.store(simd.load(src), dst);
        simd.store(simd.load(&src[len - S::LANES..]), &mut dst[len - S::LANES..]);
    } else if len >= 8 {
        copy_ends::<8>(src, dst);
    } else if len >= 4 {
        copy_ends::<4>(src, dst);
    } else if len >= 2 {
        copy_ends::<2>(src, dst);
    } else {
        copy_ends::<1>(src, dst);
    }
}

/// Copies the first and the last `N` elements.
#[inline(always)]
fn copy_ends<const N: usize>(src: &[f32], dst: &mut [f32]) {
    let last = src.len() - N;
    dst[..N].copy_from_slice(&src[..N]);
    dst[last..last + N].copy_from_slice(&src[last..last + N]);
}

/// `dst = [a[0], b[0], a[1], b[1], ..]`.
#[inline(always)]
fn interleave(a: &[f32], b: &[f32], dst: &mut [f32]) {
    for (pair, (&a, &b)) in dst.chunks_exact_mut(2).zip(a.iter().zip(b)) {
        pair[0] = a;
        pair[1] = b;
    }
}

/// `dst[j * stride + c] = src[c * plane + j]` for `c` below `channels` and `j` below `columns`.
#[inline(always)]
pub(crate) fn transpose(
    src: &[f32],
    plane: usize,
    channels: usize,
    columns: usize,
    dst: &mut [f32],
    stride: usize,
) {
    let (whole_c, whole_j) = (channels / 4 * 4, columns / 4 * 4);
    for c in (0..whole_c).step_by(4) {
        let mut rows = [&src[..0]; 4];
        for k in 0..4 {
            rows[k] = &src[(c + k) * plane..][..columns];
        }
        for j in (0..whole_j).step_by(4) {
            let mut block = [[0.0; 4]; 4];
            for k in 0..4 {
                block[k].copy_from_slice(&rows[k][j..j + 4]);
            }
            for l in 0..4 {
                let column = [block[0][l], block[1][l], block[2][l], block[3][l]];
                dst[(j + l) * stride + c..][..4].copy_from_slice(&column);
            }
        }
        for j in whole_j..columns {
            for k in 0..4 {
                dst[j * stride + c + k] = rows[k][j];
            }
        }
    }
    for c in whole_c..channels {
        for j in 0..columns {
            dst[j * stride + c] = src[c * plane + j];
        }
    }
}
