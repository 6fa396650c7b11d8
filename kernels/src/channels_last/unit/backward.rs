//! The way back through normalisation, dropout and ReLU.

use super::super::Pixels;
use super::{Map, Mask, Norm, Piece, Pieces, blocks, load};
use crate::par::{for_each_chunk_mut, for_each_group_mut};
use crate::simd::{Kernel, Scratch, Simd, dispatch};

/// Sums that the gradients need, with `g = dy mask` where the unit let something through, else 0:
/// `sum_g = sum g` and `sum_g_xhat = sum g xhat`, each over the pixels that share statistics.
///
/// # Shapes
/// `x` is what was normalised, `dy` the gradient of the unit's output; the sums `[channels]`, or `[n, channels]`
/// where every sample has its own statistics.
///
/// # Writes
/// `sum_g =`, `sum_g_xhat =`: without weights these are what batch norm calls `dbias` and `dweight`.
///
/// # Numerics
/// Tolerance class sum; pieces of pixels are joined in `f64`, in order.
///
/// # Panics
/// If an array is too short.
pub fn backward_sums(
    x: Map<'_>,
    dy: Map<'_>,
    pixels: Pixels,
    channels: usize,
    norm: Norm<'_>,
    mask: Mask<'_>,
    sum_g: &mut [f32],
    sum_g_xhat: &mut [f32],
) {
    let pieces = Pieces::new(pixels, channels);
    let mut parts = Scratch::take(pieces.count * 2 * channels);
    for_each_chunk_mut(&mut parts, 2 * channels, |i, part| {
        let piece = Piece::new(pieces, i);
        let x = Map { data: &x.data[piece.first * x.stride..], ..x };
        let dy = Map { data: &dy.data[piece.first * dy.stride..], ..dy };
        let (sum_g, sum_g_xhat) = part.split_at_mut(channels);
        dispatch(BackwardSums { piece, channels, x, dy, norm, mask, sum_g, sum_g_xhat });
    });
    let shared = pieces.shared(norm.per_sample);
    for (group, parts) in parts.chunks(shared * 2 * channels).enumerate() {
        for c in 0..channels {
            let sum = |at: usize| -> f64 {
                (0..shared).map(|i| f64::from(parts[(2 * i + at) * channels + c])).sum()
            };
            sum_g[group * channels + c] = sum(0) as f32;
            sum_g_xhat[group * channels + c] = sum(1) as f32;
        }
    }
}

struct BackwardSums<'a> {
    piece: Piece,
    channels: usize,
    x: Map<'a>,
    dy: Map<'a>,
    norm: Norm<'a>,
    mask: Mask<'a>,
    sum_g: &'a mut [f32],
    sum_g_xhat: &'a mut [f32],
}

impl Kernel for BackwardSums<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        blocks!(S, self, simd);
    }
}

impl BackwardSums<'_> {
    #[inline(always)]
    fn block<S: Simd, const V: usize>(&mut self, simd: S, c: usize) {
        let Piece { sample, first, pixels } = self.piece;
        let norm = self.norm.load::<S, V>(simd, sample, self.channels, c);
        let of_sample = self.mask.of_sample::<S, V>(simd, sample, self.channels, c);
        let element = self.mask.is_element();
        let mut sums = [[[simd.splat(0.0); V]; 2]; 2];
        for p in 0..pixels {
            let x = load::<S, V>(simd, self.x.data, p * self.x.stride + c);
            let dy = load::<S, V>(simd, self.dy.data, p * self.dy.stride + c);
            let of_pixel =
                if element { self.mask.load::<S, V>(simd, first + p, c) } else { of_sample };
            for v in 0..V {
                let (g, xhat) = norm.gradient(simd, v, x[v], simd.mul(dy[v], of_pixel[v]));
                sums[0][p % 2][v] = simd.add(sums[0][p % 2][v], g);
                sums[1][p % 2][v] = simd.mul_add(g, xhat, sums[1][p % 2][v]);
            }
        }
        for v in 0..V {
            let at = c + v * S::LANES;
            simd.store(simd.add(sums[0][0][v], sums[0][1][v]), &mut self.sum_g[at..]);
            simd.store(simd.add(sums[1][0][v], sums[1][1][v]), &mut self.sum_g_xhat[at..]);
        }
    }
}

/// The gradient of what was normalised, in place of that of the unit's output:
/// `dy = rstd weight (g - sum_g / m - xhat sum_g_xhat / m)` over the `m` pixels that share statistics.
///
/// # Shapes
/// As for [`backward_sums`]; `dy [n, h, w, stride]`.
///
/// # Writes
/// `dy =`, from its old contents.
///
/// # Numerics
/// Tolerance class sum.
///
/// # Panics
/// If an array is too short.
pub fn backward_input(
    x: Map<'_>,
    pixels: Pixels,
    channels: usize,
    norm: Norm<'_>,
    mask: Mask<'_>,
    sums: [&[f32]; 2],
    dy: &mut [f32],
    stride: usize,
) {
    let pieces = Pieces::new(pixels, channels);
    let dy = &mut dy[..pixels.span(channels, stride)];
    let start = |i: usize| pieces.start(i) * stride;
    let m = if norm.per_sample { pieces.hw } else { pixels.count() };
    for_each_group_mut(dy, pieces.count, 1, start, |i, dy| {
        let piece = Piece::new(pieces, i.start);
        let x = Map { data: &x.data[piece.first * x.stride..], ..x };
        dispatch(BackwardInput { piece, channels, x, norm, mask, sums, m, dy, stride });
    });
}

struct BackwardInput<'a> {
    piece: Piece,
    channels: usize,
    x: Map<'a>,
    norm: Norm<'a>,
    mask: Mask<'a>,
    sums: [&'a [f32]; 2],
    m: usize,
    dy: &'a mut [f32],
    stride: usize,
}

impl Kernel for BackwardInput<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        blocks!(S, self, simd);
    }
}

impl BackwardInput<'_> {
    #[inline(always)]
    fn block<S: Simd, const V: usize>(&mut self, simd: S, c: usize) {
        let Piece { sample, first, pixels } = self.piece;
        let norm = self.norm.load::<S, V>(simd, sample, self.channels, c);
        let of_sample = self.mask.of_sample::<S, V>(simd, sample, self.channels, c);
        let element = self.mask.is_element();
        let at = if self.norm.per_sample { sample * self.channels + c } else { c };
        let share = simd.splat(1.0 / self.m as f32);
        let [mean_g, mean_g_xhat]: [[S::Vector; V]; 2] =
            self.sums.map(|sums| load::<S, V>(simd, sums, at).map(|sum| simd.mul(sum, share)));
        for p in 0..pixels {
            let x = load::<S, V>(simd, self.x.data, p * self.x.stride + c);
            let place = p * self.stride + c;
            let dy = load::<S, V>(simd, self.dy, place);
            let of_pixel =
                if element { self.mask.load::<S, V>(simd, first + p, c) } else { of_sample };
            for v in 0..V {
                let (g, xhat) = norm.gradient(simd, v, x[v], simd.mul(dy[v], of_pixel[v]));
                let rest = simd.sub(simd.sub(g, mean_g[v]), simd.mul(xhat, mean_g_xhat[v]));
                simd.store(simd.mul(norm.factor[v], rest), &mut self.dy[place + v * S::LANES..]);
            }
        }
    }
}
