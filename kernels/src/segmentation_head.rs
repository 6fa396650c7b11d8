//! The end of the network for scores: the 1x1 [`conv2d`](crate::conv2d) to classes, [`softmax`](crate::softmax) and a score of
//! each pixel, of which only sums are written.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

#[cfg(feature = "std")]
pub mod fast;

/// Pixels of a patch whose scores are added together.
pub const BLOCK: u32 = 256;

/// Classes that there may be, so that a pixel's logits fit into registers.
pub const MAX_CLASSES: u32 = 8;

/// Sizes; the same bytes are the shader's uniform buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Patches.
    pub n: u32,
    /// Samples of each patch: passes under dropout that lie one behind another.
    pub stacked: u32,
    /// Channels of the features.
    pub c: u32,
    /// Classes, at most [`MAX_CLASSES`].
    pub classes: u32,
    /// Pixels of a patch.
    pub hw: u32,
}

impl Params {
    /// Sums of each patch.
    pub fn blocks(&self) -> u32 {
        self.hw.div_ceil(BLOCK)
    }

    fn sizes(&self) -> [usize; 4] {
        [self.n, self.c, self.classes, self.hw].map(|size| size as usize)
    }

    fn samples(&self) -> usize {
        self.n as usize * self.stacked as usize
    }
}

impl Shape for Params {
    const OP: &'static str = "segmentation_head";

    fn len(&self, buffer: &str) -> usize {
        let [n, c, classes, hw] = self.sizes();
        match buffer {
            "x" => self.samples() * c * hw,
            "weight" => classes * c,
            "bias" => classes,
            "partials" => self.samples() * self.blocks() as usize,
            "sum_p" => n * classes * hw,
            "sum_entropy" => n * hw,
            _ => panic!("segmentation_head has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let what = if self.sizes().contains(&0) || self.stacked == 0 {
            "n, stacked, c, classes and hw must be at least 1"
        } else if self.classes > MAX_CLASSES {
            "at most 8 classes"
        } else {
            return Ok(());
        };
        Err(Error::Params { op: Self::OP, what })
    }
}

/// A pixel's prediction.
struct Pixel<T> {
    /// `exp(logit - largest)` of each class.
    exps: [T; MAX_CLASSES as usize],
    /// Their sum.
    sum: T,
    /// `sum (logit - largest) exp(logit - largest)`.
    weighted: T,
}

impl<T: Real> Pixel<T> {
    /// Pixel `i` of sample `s`.
    fn new(p: &Params, x: &[T], weight: &[T], bias: &[T], s: usize, i: usize) -> Self {
        let [_, c, classes, hw] = p.sizes();
        let mut logits = [T::ZERO; MAX_CLASSES as usize];
        for (class, logit) in logits[..classes].iter_mut().enumerate() {
            *logit = bias[class];
            for ch in 0..c {
                *logit += weight[class * c + ch] * x[(s * c + ch) * hw + i];
            }
        }
        let mut largest = logits[0];
        for class in 1..classes {
            largest = largest.max(logits[class]);
        }
        let mut pixel =
            Self { exps: [T::ZERO; MAX_CLASSES as usize], sum: T::ZERO, weighted: T::ZERO };
        for class in 0..classes {
            let below = logits[class] - largest;
            pixel.exps[class] = below.exp();
            pixel.sum += pixel.exps[class];
            pixel.weighted += below * pixel.exps[class];
        }
        pixel
    }

    fn entropy(&self) -> T {
        self.sum.ln() - self.weighted / self.sum
    }
}

/// Sums over blocks of [`BLOCK`] pixels of `score`.
fn sum_blocks<T: Real>(
    p: &Params,
    [x, weight, bias]: [&[T]; 3],
    partials: &mut [T],
    score: impl Fn(&Pixel<T>) -> T,
) {
    let (blocks, hw) = (p.blocks() as usize, p.hw as usize);
    for (at, partial) in partials.iter_mut().enumerate() {
        let (s, first) = (at / blocks, at % blocks * BLOCK as usize);
        *partial = T::ZERO;
        for i in first..(first + BLOCK as usize).min(hw) {
            *partial += score(&Pixel::new(p, x, weight, bias, s, i));
        }
    }
}

/// The entropy of each pixel's prediction, summed over blocks of [`BLOCK`] pixels: with logits
/// `z[k] = bias[k] + sum_c weight[k,c] x[n,c,i]`, `m = max z` and `S = sum_k exp(z[k] - m)`,
/// `H = ln S - sum_k (z[k] - m) exp(z[k] - m) / S`.
///
/// # Shapes
/// `x [stacked n, c, hw]`, `weight [classes, c]`, `bias [classes]`, `partials [stacked n, ceil(hw / 256)]`.
///
/// # Units
/// Nats.
///
/// # Writes
/// `partials =`
///
/// # Numerics
/// Tolerance class sum, with WGSL's `exp` and `log`.
pub fn entropy<T: Real>(
    p: &Params,
    x: &[T],
    weight: &[T],
    bias: &[T],
    partials: &mut [T],
) -> Result<(), Error> {
    check(p, "segmentation_head::entropy", x, weight, bias, partials)?;
    sum_blocks(p, [x, weight, bias], partials, Pixel::entropy);
    Ok(())
}

/// The largest probability of each pixel, summed over blocks of [`BLOCK`] pixels: `1 / S`, as [`entropy`] has it.
///
/// # Shapes
/// As [`entropy`].
///
/// # Writes
/// `partials =`
///
/// # Numerics
/// Tolerance class sum, with WGSL's `exp`.
pub fn least_confidence<T: Real>(
    p: &Params,
    x: &[T],
    weight: &[T],
    bias: &[T],
    partials: &mut [T],
) -> Result<(), Error> {
    check(p, "segmentation_head::least_confidence", x, weight, bias, partials)?;
    sum_blocks(p, [x, weight, bias], partials, |pixel| T::ONE / pixel.sum);
    Ok(())
}

fn check<T>(
    p: &Params,
    pass: &'static str,
    x: &[T],
    weight: &[T],
    bias: &[T],
    partials: &[T],
) -> Result<(), Error> {
    p.check(
        pass,
        &[
            ("x", x.len()),
            ("weight", weight.len()),
            ("bias", bias.len()),
            ("partials", partials.len()),
        ],
    )
}

/// Adds passes under dropout to the sums that [`bald`](crate::bald) judges: `sum_p += softmax(z)`, `sum_entropy += H`, as
/// [`entropy`] has them.
///
/// # Shapes
/// `x [stacked, n, c, hw]`, `weight [classes, c]`, `bias [classes]`, `sum_p [n, classes, hw]`, `sum_entropy [n, hw]`.
///
/// # Units
/// `sum_entropy` in nats.
///
/// # Writes
/// `sum_p +=`, `sum_entropy +=`; the caller zeroes both before the first pass.
///
/// # Numerics
/// Passes are added in the order in which they lie. Tolerance class sum, with WGSL's `exp` and `log`.
pub fn accumulate<T: Real>(
    p: &Params,
    x: &[T],
    weight: &[T],
    bias: &[T],
    sum_p: &mut [T],
    sum_entropy: &mut [T],
) -> Result<(), Error> {
    p.check(
        "segmentation_head::accumulate",
        &[
            ("x", x.len()),
            ("weight", weight.len()),
            ("bias", bias.len()),
            ("sum_p", sum_p.len()),
            ("sum_entropy", sum_entropy.len()),
        ],
    )?;
    let [n, _, classes, hw] = p.sizes();
    for sample in 0..p.samples() {
        let s = sample % n;
        for i in 0..hw {
            let pixel = Pixel::new(p, x, weight, bias, sample, i);
            for class in 0..classes {
                sum_p[(s * classes + class) * hw + i] += pixel.exps[class] / pixel.sum;
            }
            sum_entropy[s * hw + i] += pixel.entropy();
        }
    }
    Ok(())
}

#[cfg(all(test, feature = "std"))]
mod tests;
