//! 3x3 convolutions of maps whose channels lie together, with what follows them in one pass.
//!
//! Filters are laid out anew whenever they change ([`pack`]). Which form computes depends on the
//! sizes alone, so that results do not depend on threads.

use super::direct;
use super::winograd::{self, Filters};
use crate::channels_last::{Channels, Pixels};

pub use super::winograd::Input;
pub use crate::simd::winograd::Finish;
use crate::simd::winograd::OUT;

/// Which maps a convolution takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides {
    /// The sizes of both maps.
    pub pixels: Pixels,
    /// Input channels of the filters.
    pub input: Channels,
    /// Output channels of the filters.
    pub output: Channels,
    /// Whether the gradient goes back from output to input.
    pub turned: bool,
}

/// Sums over fewer channels than this are computed by the definition: the rounding errors that transforms magnify would
/// be large beside those of so short a sum.
const WINOGRAD_INNER: usize = 16;
/// With fewer channels than this on a side the transforms would not pay.
const WINOGRAD_SIDE: usize = 8;
/// Filter gradients that sum over fewer pixels than this are computed by the definition, for the first reason.
const WINOGRAD_PIXELS: usize = 48;

impl Sides {
    fn winograd(self) -> bool {
        let (inner, columns) = self.inner_and_columns();
        // In maps smaller than a tile most taps meet padding: sums are as short as with few channels.
        let tile = self.pixels.h.min(self.pixels.w) >= OUT;
        tile && inner.real() >= WINOGRAD_INNER && columns.real() >= WINOGRAD_SIDE
    }

    /// The same for the gradient of the filters.
    fn winograd_weight(self) -> bool {
        // A tap in the corner meets so many pixels.
        let Pixels { n, h, w } = self.pixels;
        let terms = n * (h - 1) * (w - 1);
        self.input.real().min(self.output.real()) >= WINOGRAD_SIDE && terms >= WINOGRAD_PIXELS
    }

    /// What is summed over and what comes out.
    fn inner_and_columns(self) -> (Channels, Channels) {
        if self.turned { (self.output, self.input) } else { (self.input, self.output) }
    }

    /// Channels of the map that is read: without padding where it is a single one, as images are.
    pub fn inner(self) -> usize {
        let inner = self.inner_and_columns().0;
        if inner.real() == 1 { 1 } else { inner.padded() }
    }

    /// Channels of the map that is written, with padding.
    pub fn columns(self) -> usize {
        self.inner_and_columns().1.padded()
    }

    /// Numbers of packed filters.
    pub fn packed_len(self) -> usize {
        let len = if self.winograd() { winograd::packed_len } else { direct::packed_len };
        len(self.inner(), self.columns())
    }
}

/// Lays out the filters `weight [c_out, c_in, 3, 3]`, each output channel's times its `scale`, for [`forward`].
///
/// # Writes
/// `packed =`, [`Sides::packed_len`] numbers.
///
/// # Panics
/// If an array is too short.
pub fn pack(sides: Sides, weight: &[f32], scale: Option<&[f32]>, packed: &mut [f32]) {
    let Sides { input, output, turned, .. } = sides;
    let filters = Filters { weight, input, output, scale, turned };
    if sides.winograd() {
        winograd::pack(filters, packed);
    } else {
        direct::pack(filters, sides.inner(), packed);
    }
}

/// Convolves and finishes: `y = max(x * filters + bias, 0) scale`, each part as `finish` asks.
///
/// # Shapes
/// `x [n, h, w, stride]` with the channels of the side that is summed over; `y [n, h, w, stride]` with those of the
/// other; `packed` as [`pack`] lays it out.
///
/// # Writes
/// `y =`, padded channels as well.
///
/// # Numerics
/// Tolerance class sum.
///
/// # Panics
/// If an array is too short.
pub fn forward(
    sides: Sides,
    input: Input<'_>,
    packed: &[f32],
    finish: Finish<'_>,
    y: &mut [f32],
    stride: usize,
) {
    assert_eq!(input.inner, sides.inner(), "channels of the map that is read");
    assert_eq!(input.pixels, sides.pixels, "sizes of the map that is read");
    if sides.winograd() {
        winograd::forward(input, packed, sides.columns(), finish, y, stride);
    } else {
        direct::forward(input, packed, sides.columns(), finish, y, stride);
    }
}

/// The gradient of the filters, `dweight [c_out, c_in, 3, 3]`, from the input and the gradient of the output.
///
/// # Shapes
/// `x [n, h, w, stride]`, `dy [n, h, w, dy_stride]`.
///
/// # Writes
/// `dweight =`
///
/// # Numerics
/// Tolerance class sum; in chunks of pixels whose number depends on the shape alone.
///
/// # Panics
/// If an array is too short.
pub fn backward_weight(
    sides: Sides,
    input: Input<'_>,
    dy: &[f32],
    dy_stride: usize,
    dweight: &mut [f32],
) {
    let Sides { input: c_in, output: c_out, .. } = sides;
    if sides.winograd_weight() {
        winograd::backward_weight(input, dy, dy_stride, [c_in, c_out], dweight);
    } else {
        direct::backward_weight(input, dy, dy_stride, [c_in, c_out], dweight);
    }
}

#[cfg(test)]
mod tests;
