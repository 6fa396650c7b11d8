//! What follows a convolution in training, in one pass each way: normalisation, dropout, ReLU.
//!
//! Batch norm and instance norm differ in what shares statistics: all samples, or each for itself.

use super::{Pixels, pixels_per_piece};
use crate::par::{for_each_chunk_mut, for_each_group_mut};
use crate::simd::{Kernel, Scratch, Simd, dispatch};

/// A map `[n, h, w, stride]` that is read.
#[derive(Clone, Copy, Debug)]
pub struct Map<'a> {
    /// From the first channel of the first pixel on.
    pub data: &'a [f32],
    /// Distance of pixels.
    pub stride: usize,
}

/// What a normalisation takes from each channel and multiplies it with: `(x - mean) rstd weight + bias`.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// `[channels]`, or `[n, channels]`.
    pub mean: &'a [f32],
    /// As `mean`.
    pub rstd: &'a [f32],
    /// `[channels]` weights and biases, if the normalisation has any.
    pub affine: Option<[&'a [f32]; 2]>,
    /// Whether each sample has its own statistics.
    pub per_sample: bool,
}

/// A dropout mask.
#[derive(Clone, Copy, Debug)]
pub enum Mask<'a> {
    /// Nothing is dropped.
    None,
    /// One factor per sample and channel, `[n, channels]`.
    Channel(&'a [f32]),
    /// One factor per number.
    Element(Map<'a>),
}

/// How the pixels of a batch are cut into pieces, each of one sample.
#[derive(Clone, Copy)]
struct Pieces {
    hw: usize,
    pixels: usize,
    per_sample: usize,
    count: usize,
}

impl Pieces {
    fn new(pixels: Pixels, channels: usize) -> Self {
        let hw = pixels.h * pixels.w;
        let piece = pixels_per_piece(channels).min(hw);
        let per_sample = hw.div_ceil(piece);
        Self { hw, pixels: piece, per_sample, count: pixels.n * per_sample }
    }

    fn sample(self, piece: usize) -> usize {
        piece / self.per_sample
    }

    /// The first pixel, counted over all samples.
    fn start(self, piece: usize) -> usize {
        piece / self.per_sample * self.hw + piece % self.per_sample * self.pixels
    }

    /// The number of pixels.
    fn len(self, piece: usize) -> usize {
        self.pixels.min(self.hw - piece % self.per_sample * self.pixels)
    }

    /// The pieces that share statistics: those of each sample, or all.
    fn shared(self, per_sample: bool) -> usize {
        if per_sample { self.per_sample } else { self.count }
    }
}

/// Runs `block::<S, 2>(.., c)` over pairs of vectors of channels and `block::<S, 1>` over a last one.
macro_rules! blocks {
    ($s:ident, $self:ident, $simd:ident) => {{
        let mut c = 0;
        while c + 2 * $s::LANES <= $self.channels {
            $self.block::<$s, 2>($simd, c);
            c += 2 * $s::LANES;
        }
        if c < $self.channels {
            $self.block::<$s, 1>($simd, c);
        }
    }};
}

/// `V` vectors from `at` on.
#[inline(always)]
fn load<S: Simd, const V: usize>(simd: S, from: &[f32], at: usize) -> [S::Vector; V] {
    core::array::from_fn(|v| simd.load(&from[at + v * S::LANES..]))
}

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

/// The coefficients of `V` vectors of channels.
struct Coefficients<S: Simd, const V: usize> {
    mean: [S::Vector; V],
    rstd: [S::Vector; V],
    /// `rstd weight`
    factor: [S::Vector; V],
    bias: [S::Vector; V],
}

impl Norm<'_> {
    #[inline(always)]
    fn load<S: Simd, const V: usize>(
        &self,
        simd: S,
        sample: usize,
        channels: usize,
        c: usize,
    ) -> Coefficients<S, V> {
        let at = if self.per_sample { sample * channels + c } else { c };
        let (mean, rstd) = (load(simd, self.mean, at), load::<S, V>(simd, self.rstd, at));
        match self.affine {
            None => Coefficients { mean, rstd, factor: rstd, bias: [simd.splat(0.0); V] },
            Some([weight, bias]) => {
                let weight = load::<S, V>(simd, weight, c);
                let factor = core::array::from_fn(|v| simd.mul(rstd[v], weight[v]));
                Coefficients { mean, rstd, factor, bias: load(simd, bias, c) }
            }
        }
    }
}

impl<S: Simd, const V: usize> Coefficients<S, V> {
    /// The normalised number.
    #[inline(always)]
    fn apply(&self, simd: S, v: usize, x: S::Vector) -> S::Vector {
        simd.mul_add(simd.sub(x, self.mean[v]), self.factor[v], self.bias[v])
    }
}

impl Mask<'_> {
    /// The factors of the channels from `c` on at pixel `p` of all.
    #[inline(always)]
    fn load<S: Simd, const V: usize>(&self, simd: S, p: usize, c: usize) -> [S::Vector; V] {
        match self {
            Mask::Element(map) => load(simd, map.data, p * map.stride + c),
            _ => [simd.splat(1.0); V],
        }
    }

    /// The factors that hold for a whole sample.
    #[inline(always)]
    fn of_sample<S: Simd, const V: usize>(
        &self,
        simd: S,
        s: usize,
        channels: usize,
        c: usize,
    ) -> [S::Vector; V] {
        match self {
            Mask::Channel(mask) => load(simd, mask, s * channels + c),
            _ => [simd.splat(1.0); V],
        }
    }

    fn is_element(&self) -> bool {
        matches!(self, Mask::Element(_))
    }
}

/// The unit's output: `y = max((x - mean) rstd weight + bias, 0) mask`.
///
/// # Shapes
/// `x` and `y [n, h, w, stride]` with `channels`, a multiple of the vector.
///
/// # Writes
/// `y =`
///
/// # Numerics
/// Tolerance class sum. Since masks are not negative, ReLU and dropout may change places.
///
/// # Panics
/// If an array is too short.
pub fn forward(
    x: Map<'_>,
    pixels: Pixels,
    channels: usize,
    norm: Norm<'_>,
    mask: Mask<'_>,
    y: &mut [f32],
    stride: usize,
) {
    let pieces = Pieces::new(pixels, channels);
    let y = &mut y[..pixels.span(channels, stride)];
    let start = |i: usize| pieces.start(i) * stride;
    for_each_group_mut(y, pieces.count, 1, start, |i, y| {
        let piece = Piece::new(pieces, i.start);
        let x = Map { data: &x.data[piece.first * x.stride..], ..x };
        dispatch(Forward { piece, channels, x, norm, mask, y, stride });
    });
}

/// What dropout and ReLU leave: `y = max(x, 0) mask`.
///
/// # Writes
/// `y =`
///
/// # Panics
/// If an array is too short.
pub fn apply(
    x: Map<'_>,
    pixels: Pixels,
    channels: usize,
    mask: Mask<'_>,
    y: &mut [f32],
    stride: usize,
) {
    let (zeros, ones) = (Scratch::filled(channels, 0.0), Scratch::filled(channels, 1.0));
    let norm = Norm { mean: &zeros, rstd: &ones, affine: None, per_sample: false };
    forward(x, pixels, channels, norm, mask, y, stride);
}

/// A piece of pixels: its sample, its first pixel of all, and how many they are.
#[derive(Clone, Copy)]
struct Piece {
    sample: usize,
    first: usize,
    pixels: usize,
}

impl Piece {
    fn new(pieces: Pieces, i: usize) -> Self {
        Self { sample: pieces.sample(i), first: pieces.start(i), pixels: pieces.len(i) }
    }
}

struct Forward<'a> {
    piece: Piece,
    channels: usize,
    x: Map<'a>,
    norm: Norm<'a>,
    mask: Mask<'a>,
    y: &'a mut [f32],
    stride: usize,
}

impl Kernel for Forward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        blocks!(S, self, simd);
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn block<S: Simd, const V: usize>(&mut self, simd: S, c: usize) {
        let Piece { sample, first, pixels } = self.piece;
        let norm = self.norm.load::<S, V>(simd, sample, self.channels, c);
        let zero = simd.splat(0.0);
        let of_sample = self.mask.of_sample::<S, V>(simd, sample, self.channels, c);
        let element = self.mask.is_element();
        for p in 0..pixels {
            let x = load::<S, V>(simd, self.x.data, p * self.x.stride + c);
            let of_pixel =
                if element { self.mask.load::<S, V>(simd, first + p, c) } else { of_sample };
            for v in 0..V {
                let y = simd.mul(simd.max(zero, norm.apply(simd, v, x[v])), of_pixel[v]);
                simd.store(y, &mut self.y[p * self.stride + c + v * S::LANES..]);
            }
        }
    }
}

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
                let apart = simd.sub(x[v], norm.mean[v]);
                let value = simd.mul_add(apart, norm.factor[v], norm.bias[v]);
                let g = simd.where_positive(value, simd.mul(dy[v], of_pixel[v]));
                let xhat = simd.mul(apart, norm.rstd[v]);
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
                let apart = simd.sub(x[v], norm.mean[v]);
                let value = simd.mul_add(apart, norm.factor[v], norm.bias[v]);
                let g = simd.where_positive(value, simd.mul(dy[v], of_pixel[v]));
                let xhat = simd.mul(apart, norm.rstd[v]);
                let rest = simd.sub(simd.sub(g, mean_g[v]), simd.mul(xhat, mean_g_xhat[v]));
                simd.store(simd.mul(norm.factor[v], rest), &mut self.dy[place + v * S::LANES..]);
            }
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
    let width = super::padded(channels);
    let mut sums = Scratch::take(width);
    for (s, y) in y.chunks_mut(channels).take(pixels.n).enumerate() {
        let x = Map { data: &x.data[s * one.count() * x.stride..], ..x };
        channel_sums(x, one, width, &mut sums);
        for (y, &sum) in y.iter_mut().zip(sums.iter()) {
            *y = sum / one.count() as f32;
        }
    }
}
