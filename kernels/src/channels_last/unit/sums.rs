//! Moments, sums and means of channels over pixels.

use super::super::{Pixels, padded};
use super::{Map, Pieces, blocks, load};
use crate::par::for_each_chunk_mut;
use crate::simd::{Kernel, Scratch, Simd, dispatch};

/// Mean and biased variance of each channel over the pixels that share them: `[channels]`, or `[n, channels]`
/// where every sample has its own.
///
/// # Writes
/// `mean =`, `var =`
///
/// # Numerics
/// Two passes over each piece of pixels, whose moments are then joined in `f64`, in order.
///
/// # Panics
/// If an array is too short.
///
/// # Source
/// Chan, Golub and LeVeque 1983.
pub fn moments(
    x: Map<'_>,
    pixels: Pixels,
    channels: usize,
    per_sample: bool,
    mean: &mut [f32],
    var: &mut [f32],
) {
    let pieces = Pieces::new(pixels, channels);
    let mut parts = Scratch::take(pieces.count * 2 * channels);
    for_each_chunk_mut(&mut parts, 2 * channels, |i, part| {
        let x = Map { data: &x.data[pieces.start(i) * x.stride..], ..x };
        let (mean, squares) = part.split_at_mut(channels);
        dispatch(Moments { x, pixels: pieces.len(i), channels, mean, squares });
    });
    let shared = pieces.shared(per_sample);
    for (group, parts) in parts.chunks(shared * 2 * channels).enumerate() {
        let counts = || (0..shared).map(|i| pieces.len(i) as f64);
        let total: f64 = counts().sum();
        for c in 0..channels {
            let part = |i: usize, at: usize| f64::from(parts[(2 * i + at) * channels + c]);
            let sum: f64 = counts().enumerate().map(|(i, count)| count * part(i, 0)).sum();
            let centre = sum / total;
            let squares = counts().enumerate().map(|(i, count)| {
                let apart = part(i, 0) - centre;
                part(i, 1) + count * apart * apart
            });
            mean[group * channels + c] = centre as f32;
            var[group * channels + c] = (squares.sum::<f64>() / total) as f32;
        }
    }
}

/// Means, and sums of squares of differences to them.
struct Moments<'a> {
    x: Map<'a>,
    pixels: usize,
    channels: usize,
    mean: &'a mut [f32],
    squares: &'a mut [f32],
}

impl Kernel for Moments<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        blocks!(S, self, simd);
    }
}

impl Moments<'_> {
    #[inline(always)]
    fn block<S: Simd, const V: usize>(&mut self, simd: S, c: usize) {
        let Map { data, stride } = self.x;
        let count = simd.splat(1.0 / self.pixels as f32);
        // Several running sums: neither latency nor rounding adds up over all pixels.
        let mut sums = [[simd.splat(0.0); V]; 4];
        for p in 0..self.pixels {
            let x = load::<S, V>(simd, data, p * stride + c);
            for v in 0..V {
                sums[p % 4][v] = simd.add(sums[p % 4][v], x[v]);
            }
        }
        let mean: [S::Vector; V] = core::array::from_fn(|v| {
            let halves = [simd.add(sums[0][v], sums[2][v]), simd.add(sums[1][v], sums[3][v])];
            simd.mul(simd.add(halves[0], halves[1]), count)
        });
        let mut sums = [[simd.splat(0.0); V]; 4];
        for p in 0..self.pixels {
            let x = load::<S, V>(simd, data, p * stride + c);
            for v in 0..V {
                let apart = simd.sub(x[v], mean[v]);
                sums[p % 4][v] = simd.mul_add(apart, apart, sums[p % 4][v]);
            }
        }
        for v in 0..V {
            let halves = [simd.add(sums[0][v], sums[2][v]), simd.add(sums[1][v], sums[3][v])];
            simd.store(mean[v], &mut self.mean[c + v * S::LANES..]);
            simd.store(simd.add(halves[0], halves[1]), &mut self.squares[c + v * S::LANES..]);
        }
    }
}

/// `sums[c] = sum_(n,i) x[n,i,c]`
///
/// # Writes
/// `sums =`
///
/// # Numerics
/// Tolerance class sum; pieces of pixels are joined in `f64`, in order.
///
/// # Panics
/// If an array is too short.
pub fn channel_sums(x: Map<'_>, pixels: Pixels, channels: usize, sums: &mut [f32]) {
    let pieces = Pieces::new(pixels, channels);
    let mut parts = Scratch::take(pieces.count * channels);
    for_each_chunk_mut(&mut parts, channels, |i, sums| {
        let x = Map { data: &x.data[pieces.start(i) * x.stride..], ..x };
        dispatch(Sums { x, pixels: pieces.len(i), channels, sums });
    });
    for c in 0..channels {
        let sum: f64 = (0..pieces.count).map(|i| f64::from(parts[i * channels + c])).sum();
        sums[c] = sum as f32;
    }
}

struct Sums<'a> {
    x: Map<'a>,
    pixels: usize,
    channels: usize,
    sums: &'a mut [f32],
}

impl Kernel for Sums<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        blocks!(S, self, simd);
    }
}

impl Sums<'_> {
    #[inline(always)]
    fn block<S: Simd, const V: usize>(&mut self, simd: S, c: usize) {
        let mut sums = [[simd.splat(0.0); V]; 4];
        for p in 0..self.pixels {
            let x = load::<S, V>(simd, self.x.data, p * self.x.stride + c);
            for v in 0..V {
                sums[p % 4][v] = simd.add(sums[p % 4][v], x[v]);
            }
        }
        for v in 0..V {
            let halves = [simd.add(sums[0][v], sums[2][v]), simd.add(sums[1][v], sums[3][v])];
            simd.store(simd.add(halves[0], halves[1]), &mut self.sums[c + v * S::LANES..]);
        }
    }
}

/// The mean of each sample's pixels, `y [n, c]` without padding.
///
/// # Writes
/// `y =`
///
/// # Panics
/// If an array is too short.
pub fn means(x: Map<'_>, pixels: Pixels, channels: usize, y: &mut [f32]) {
    let one = Pixels { n: 1, ..pixels };
    let width = padded(channels);
    let mut sums = Scratch::take(width);
    for (s, y) in y.chunks_mut(channels).take(pixels.n).enumerate() {
        let x = Map { data: &x.data[s * one.count() * x.stride..], ..x };
        channel_sums(x, one, width, &mut sums);
        for (y, &sum) in y.iter_mut().zip(sums.iter()) {
            *y = sum / one.count() as f32;
        }
    }
}
