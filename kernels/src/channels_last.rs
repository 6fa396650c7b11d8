//! Images whose channels lie together: the layout in which the network runs fastest on a CPU.
//!
//! A pixel is a run of channels, so that vectors are neighbouring channels and no loop has a rest: channels are
//! padded with zeros to a multiple of the machine's vector, [`padded`]. Pixels may be farther apart than their
//! channels need (`stride`), so that a map can be a part of another one and joining maps costs nothing.
//!
//! The forms in this layout live beside their ops, as `OP::channels_last`; the arrays they take begin at the first
//! channel of the first pixel.

pub mod unit;

use crate::par::for_each_chunk_mut;
use crate::simd::Level;

/// Samples and pixels of an image batch `[n, h, w, stride]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pixels {
    /// Samples.
    pub n: usize,
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
}

impl Pixels {
    /// All pixels of the batch.
    pub fn count(self) -> usize {
        self.n * self.h * self.w
    }

    /// Numbers that a map with so many channels takes at least.
    pub fn span(self, channels: usize, stride: usize) -> usize {
        (self.count() - 1) * stride + channels
    }
}

/// Channels of a map: `parts` maps of `each` channels side by side, each padded for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channels {
    /// Maps that were joined.
    pub parts: usize,
    /// Channels of each of them.
    pub each: usize,
}

impl Channels {
    /// A map that was not joined of others.
    pub fn single(each: usize) -> Self {
        Self { parts: 1, each }
    }

    /// The channels without padding.
    pub fn real(self) -> usize {
        self.parts * self.each
    }

    /// The channels with padding.
    pub fn padded(self) -> usize {
        self.parts * padded(self.each)
    }

    /// Where a channel lies among the padded ones.
    pub(crate) fn position(self, channel: usize) -> usize {
        channel / self.each * padded(self.each) + channel % self.each
    }

    /// Which channel lies at a padded position, if it is none of the padding.
    pub(crate) fn at(self, position: usize) -> Option<usize> {
        let (part, within) = (position / padded(self.each), position % padded(self.each));
        (within < self.each && part < self.parts).then_some(part * self.each + within)
    }
}

/// Channels rounded up to whole vectors of this machine.
pub fn padded(channels: usize) -> usize {
    channels.next_multiple_of(Level::best().tile().0)
}

/// Numbers of a piece of work, for passes bound by memory.
const PIECE: usize = 32 * 1024;

/// Pixels of a piece of work, for maps with this stride.
pub(crate) fn pixels_per_piece(stride: usize) -> usize {
    (PIECE / stride).max(1)
}

/// Lays planes `x [n, c, hw]` out as `y [n, hw, stride]`; padded channels become zero.
///
/// # Panics
/// If an array is too short, or `stride` below the padded channels.
pub fn from_planes(x: &[f32], pixels: Pixels, channels: usize, y: &mut [f32], stride: usize) {
    let hw = pixels.h * pixels.w;
    let width = padded(channels);
    assert!(x.len() >= pixels.n * channels * hw && stride >= width);
    let piece = pixels_per_piece(stride);
    let y = &mut y[..pixels.span(width, stride)];
    for_each_chunk_mut(y, piece * stride, |i, y| {
        for (p, y) in y.chunks_mut(stride).enumerate() {
            let (s, p) = ((i * piece + p) / hw, (i * piece + p) % hw);
            for (c, y) in y[..width].iter_mut().enumerate() {
                *y = if c < channels { x[(s * channels + c) * hw + p] } else { 0.0 };
            }
        }
    });
}

/// Lays `x [n, hw, stride]` out as planes `y [n, c, hw]`.
///
/// # Panics
/// If an array is too short.
pub fn to_planes(x: &[f32], stride: usize, pixels: Pixels, channels: usize, y: &mut [f32]) {
    let hw = pixels.h * pixels.w;
    let y = &mut y[..pixels.n * channels * hw];
    for_each_chunk_mut(y, hw, |plane, y| {
        let (s, c) = (plane / channels, plane % channels);
        for (p, y) in y.iter_mut().enumerate() {
            *y = x[(s * hw + p) * stride + c];
        }
    });
}

#[cfg(test)]
mod tests;
