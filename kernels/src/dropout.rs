//! Dropout with explicit masks, of whole channels or of single elements.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::real::Real;
use crate::rng::{MASK_BLOCK, Rng, mask_stream};
use crate::shape::Shape;

#[cfg(feature = "std")]
pub mod fast;

/// Sizes and the law of the mask; the same bytes are the shader's uniform buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Samples.
    pub n: u32,
    /// Channels.
    pub c: u32,
    /// Pixels of a plane.
    pub hw: u32,
    /// 0: the mask has one value per channel; 1: one per element.
    pub element: u32,
    /// Which dropout of the network this is: each draws from streams of its own.
    pub layer: u32,
    /// An element is dropped where its 32 random bits are below this: `rate * 2^32`.
    pub threshold: u32,
    /// The mask's value where an element is kept: `1 / (1 - rate)`.
    pub scale: f32,
}

impl Params {
    /// Samples, mask values of a sample, and elements that each of them covers.
    fn sizes(&self) -> [usize; 3] {
        let [n, c, hw] = [self.n, self.c, self.hw].map(|size| size as usize);
        if self.element == 1 { [n, c * hw, 1] } else { [n, c, hw] }
    }
}

impl Shape for Params {
    const OP: &'static str = "dropout";

    fn len(&self, buffer: &str) -> usize {
        let [n, values, run] = self.sizes();
        match buffer {
            "x" | "y" | "dy" | "dx" => n * values * run,
            "mask" => n * values,
            "keys" => n * 2,
            _ => panic!("dropout has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let what = if self.sizes().contains(&0) {
            "n, c and hw must be at least 1"
        } else if self.element > 1 {
            "element must be 0 or 1"
        } else {
            return Ok(());
        };
        Err(Error::Params { op: Self::OP, what })
    }
}

/// Draws a mask: `mask = scale` where 32 random bits are at least `threshold`, else 0.
///
/// # Shapes
/// `keys [n, 2]`: the low and high half of each sample's key; `mask [n, c]`, or `[n, c, hw]`
/// when `element` is 1.
///
/// # Writes
/// `mask =`
///
/// # Numerics
/// Tolerance class exact. Each sample's values are cut in blocks of
/// [`MASK_BLOCK`]; block `b` of sample `s` comes in order from
/// [`mask_stream(key[s], layer, b)`](mask_stream), so that no launch geometry enters.
pub fn mask<T: Real>(p: &Params, keys: &[u32], mask: &mut [T]) -> Result<(), Error> {
    p.check("dropout::mask", &[("keys", keys.len()), ("mask", mask.len())])?;
    let [n, values, _] = p.sizes();
    let scale = T::from_f64(p.scale.into());
    for s in 0..n {
        let sample = &mut mask[s * values..(s + 1) * values];
        for (b, block) in sample.chunks_mut(MASK_BLOCK).enumerate() {
            draw_block(p, keys, s, b, scale, block);
        }
    }
    Ok(())
}

/// The key of sample `s`.
fn key_of(keys: &[u32], s: usize) -> u64 {
    u64::from(keys[2 * s]) | u64::from(keys[2 * s + 1]) << 32
}

/// Draws block `b` of sample `s`.
fn draw_block<T: Real>(p: &Params, keys: &[u32], s: usize, b: usize, scale: T, block: &mut [T]) {
    let mut stream = mask_stream(key_of(keys, s), p.layer, b as u32);
    // No branch, which nobody could predict.
    let values = [T::ZERO, scale];
    for value in block {
        *value = values[usize::from(stream.next_u32() >= p.threshold)];
    }
}

/// Applies a mask: `y = x mask`, each value of the mask over its channel or its element.
///
/// # Shapes
/// `x` and `y [n, c, hw]`, `mask` as [`mask`] draws it.
///
/// # Writes
/// `y =`
///
/// # Numerics
/// Tolerance class ulp: one multiplication.
///
/// # Source
/// Srivastava et al. 2014, scaled at training; of channels: Tompson et al. 2015.
pub fn forward<T: Real>(p: &Params, x: &[T], mask: &[T], y: &mut [T]) -> Result<(), Error> {
    p.check("dropout::forward", &[("x", x.len()), ("mask", mask.len()), ("y", y.len())])?;
    let [_, _, run] = p.sizes();
    for i in 0..x.len() {
        y[i] = x[i] * mask[i / run];
    }
    Ok(())
}

/// The gradient of the input: `dx = dy mask`.
///
/// # Shapes
/// `dy` and `dx [n, c, hw]`, `mask` as [`mask`] draws it.
///
/// # Writes
/// `dx =`
///
/// # Numerics
/// Tolerance class ulp: one multiplication.
pub fn backward_input<T: Real>(
    p: &Params,
    dy: &[T],
    mask: &[T],
    dx: &mut [T],
) -> Result<(), Error> {
    p.check(
        "dropout::backward_input",
        &[("dy", dy.len()), ("mask", mask.len()), ("dx", dx.len())],
    )?;
    let [_, _, run] = p.sizes();
    for i in 0..dy.len() {
        dx[i] = dy[i] * mask[i / run];
    }
    Ok(())
}

#[cfg(all(test, feature = "std"))]
mod tests;
