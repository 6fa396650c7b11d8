//! What follows a convolution in training, in one pass each way: normalisation, dropout, ReLU.
//!
//! Batch norm and instance norm differ in what shares statistics: all samples, or each for itself.

mod backward;
mod sums;

use super::{Pixels, pixels_per_piece};
use crate::par::for_each_group_mut;
use crate::simd::{Kernel, Scratch, Simd, dispatch};

pub use backward::{backward_input, backward_sums};
pub use sums::{channel_sums, means, moments};

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
use blocks;

/// `V` vectors from `at` on.
#[inline(always)]
fn load<S: Simd, const V: usize>(simd: S, from: &[f32], at: usize) -> [S::Vector; V] {
    core::array::from_fn(|v| simd.load(&from[at + v * S::LANES..]))
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

    /// The gradient of the normalised number, where ReLU let it through, and the number before the affine map.
    #[inline(always)]
    fn gradient(&self, simd: S, v: usize, x: S::Vector, dy: S::Vector) -> (S::Vector, S::Vector) {
        let apart = simd.sub(x, self.mean[v]);
        let value = simd.mul_add(apart, self.factor[v], self.bias[v]);
        (simd.where_positive(value, dy), simd.mul(apart, self.rstd[v]))
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
