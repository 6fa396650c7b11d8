//! The masks of channels of several layers at once, for devices to which a dispatch costs more than a mask.

use core::ops::Range;

use bytemuck::{Pod, Zeroable};

use crate::dropout;
use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

#[cfg(feature = "std")]
pub mod fast;

/// The most layers of a call.
pub const MAX_LAYERS: usize = 24;

/// Each mask begins at a multiple of so many elements, so that a device can bind it by itself.
pub const ALIGNMENT: usize = 64;

/// Sizes and the law of the masks; the same bytes are the shader's uniform buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Samples.
    pub n: u32,
    /// Layers; what `layer` and `c` hold beyond them counts for nothing.
    pub layers: u32,
    /// A channel is dropped where its 32 random bits are below this: `rate * 2^32`.
    pub threshold: u32,
    /// The masks' value where a channel is kept: `1 / (1 - rate)`.
    pub scale: f32,
    /// Which dropout of the network each layer is.
    pub layer: [u32; MAX_LAYERS],
    /// Channels of each layer.
    pub c: [u32; MAX_LAYERS],
}

impl Params {
    /// Those of layers with these numbers and channels.
    ///
    /// # Panics
    /// If there are more than [`MAX_LAYERS`].
    pub const fn new(n: u32, threshold: u32, scale: f32, layers: &[(u32, u32)]) -> Self {
        let (mut layer, mut c) = ([0; MAX_LAYERS], [0; MAX_LAYERS]);
        let mut i = 0;
        while i < layers.len() {
            (layer[i], c[i]) = layers[i];
            i += 1;
        }
        Self { n, layers: layers.len() as u32, threshold, scale, layer, c }
    }

    /// What draws the mask of the `i`-th layer alone.
    fn alone(&self, i: usize) -> dropout::Params {
        let Self { n, threshold, scale, .. } = *self;
        let (c, layer) = (self.c[i], self.layer[i]);
        dropout::Params { n, c, hw: 1, element: 0, layer, threshold, scale }
    }

    /// Where the mask of the `i`-th layer lies.
    pub fn place(&self, i: usize) -> Range<usize> {
        let len = |i| self.alone(i).len("mask");
        let start = (0..i).map(|before| len(before).next_multiple_of(ALIGNMENT)).sum();
        start..start + len(i)
    }
}

impl Shape for Params {
    const OP: &'static str = "dropout_masks";

    fn len(&self, buffer: &str) -> usize {
        match buffer {
            "keys" => self.n as usize * 2,
            "masks" => self.place(self.layers as usize - 1).end.next_multiple_of(ALIGNMENT),
            _ => panic!("dropout_masks has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let layers = self.layers as usize;
        let what = if !(1..=MAX_LAYERS).contains(&layers) {
            "layers must be from 1 to 24"
        } else if self.n == 0 || self.c[..layers].contains(&0) {
            "n and each c must be at least 1"
        } else {
            return Ok(());
        };
        Err(Error::Params { op: Self::OP, what })
    }
}

/// Draws what [`dropout::mask`] draws of the channels of each layer.
///
/// # Shapes
/// `keys [n, 2]`: the low and high half of each sample's key; `masks`: `[n, c]` of each layer, one behind the other, each from a
/// multiple of [`ALIGNMENT`] on.
///
/// # Writes
/// `masks =`, 0 between the masks and behind the last.
///
/// # Numerics
/// Tolerance class exact.
pub fn draw<T: Real>(p: &Params, keys: &[u32], masks: &mut [T]) -> Result<(), Error> {
    p.check("dropout_masks::draw", &[("keys", keys.len()), ("masks", masks.len())])?;
    masks.fill(T::ZERO);
    for i in 0..p.layers as usize {
        dropout::mask(&p.alone(i), keys, &mut masks[p.place(i)])?;
    }
    Ok(())
}

#[cfg(all(test, feature = "std"))]
mod tests;
