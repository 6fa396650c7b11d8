//! [`conv2d_joined`] in slices of the channels that are summed over, for devices that have many more
//! cores than a small image has tiles.

use core::ops::Range;

use bytemuck::{Pod, Zeroable};

use crate::conv2d;
use crate::conv2d_joined::{self, joined_plane};
use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

#[cfg(feature = "std")]
pub mod fast;

/// Sizes; the same bytes are the shader's uniform buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Samples.
    pub n: u32,
    /// Input channels.
    pub c_in: u32,
    /// Those of the first of two joined inputs, as [`conv2d_joined`] has them; `c_in` where there is one.
    pub c_a: u32,
    /// Output channels.
    pub c_out: u32,
    /// Rows of input and output.
    pub h: u32,
    /// Columns of input and output.
    pub w: u32,
    /// Side of the filter: 1 or 3.
    pub kernel: u32,
    /// Slices; at most as many as there are input channels, and output channels.
    pub slices: u32,
}

/// The channels of a slice.
fn channels_of(slice: usize, slices: usize, channels: usize) -> Range<usize> {
    slice * channels / slices..(slice + 1) * channels / slices
}

impl Params {
    fn conv(&self) -> conv2d::Params {
        let Self { n, c_in, c_out, h, w, kernel, .. } = *self;
        conv2d::Params { n, c_in, c_out, h, w, kernel, has_bias: 0 }
    }

    fn add_slices<T: Real>(&self, partials: &[T], sums: &mut [T]) {
        sums.fill(T::ZERO);
        for partial in partials.chunks(sums.len()) {
            for (sum, &part) in sums.iter_mut().zip(partial) {
                *sum += part;
            }
        }
    }
}

impl Shape for Params {
    const OP: &'static str = "conv2d_split_channels";

    fn len(&self, buffer: &str) -> usize {
        match buffer {
            "x" | "dx" | "y" | "dy" | "weight" => self.conv().len(buffer),
            "y_partials" => self.slices as usize * self.conv().len("y"),
            "dx_partials" => self.slices as usize * self.conv().len("dx"),
            _ => panic!("conv2d_split_channels has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let refuse = |what| Err(Error::Params { op: Self::OP, what });
        match self.conv().validate() {
            Err(Error::Params { what, .. }) => return refuse(what),
            other => other?,
        }
        if let Err(what) = conv2d_joined::check_first(self.c_in, self.c_a) {
            return refuse(what);
        }
        if self.slices == 0 || self.slices > self.c_in.min(self.c_out) {
            return refuse("slices must be from 1 to the lesser number of channels");
        }
        // The shader multiplies them.
        if self.c_in.max(self.c_out) > 1 << 15 {
            return refuse("at most 32768 channels");
        }
        Ok(())
    }
}

/// The sums of [`conv2d::forward`] over each slice's input channels, slice `t` having those from `t c_in / slices` on:
/// `y_partials[t,n,o,i,j] = sum_(c in slice t; a,b) weight[o,c,a,b] x[n,c,i+a-pad,j+b-pad]`.
///
/// # Shapes
/// `x [n, c_in, h, w]`, or `[n, c_a, h, w]` and then `[n, c_in - c_a, h, w]`; `weight [c_out, c_in, kernel, kernel]`,
/// `y_partials [slices, n, c_out, h, w]`.
///
/// # Writes
/// `y_partials =`
///
/// # Numerics
/// Tolerance class sum.
pub fn forward<T: Real>(
    p: &Params,
    x: &[T],
    weight: &[T],
    y_partials: &mut [T],
) -> Result<(), Error> {
    p.check(
        "conv2d_split_channels::forward",
        &[("x", x.len()), ("weight", weight.len()), ("y_partials", y_partials.len())],
    )?;
    let from = joined_plane([p.n, p.c_in, p.c_a]);
    let [c_in, c_out, k] = [p.c_in, p.c_out, p.kernel].map(|size| size as usize);
    let filter = |o: usize, c: usize, tap: usize| weight[(o * c_in + c) * k * k + tap];
    let to = |s: usize, o: usize| s * c_out + o;
    correlate(p, [c_in, c_out], x, from, filter, y_partials, to);
    Ok(())
}

/// The sums of [`conv2d::backward_input`] over each slice's output channels, slice `t` having those from `t c_out / slices` on.
///
/// # Shapes
/// `dy [n, c_out, h, w]`, `weight [c_out, c_in, kernel, kernel]`, `dx_partials`: `slices` times `[n, c_a, h, w]` and then
/// `[n, c_in - c_a, h, w]`.
///
/// # Writes
/// `dx_partials =`
///
/// # Numerics
/// Tolerance class sum.
pub fn backward_input<T: Real>(
    p: &Params,
    dy: &[T],
    weight: &[T],
    dx_partials: &mut [T],
) -> Result<(), Error> {
    p.check(
        "conv2d_split_channels::backward_input",
        &[("dy", dy.len()), ("weight", weight.len()), ("dx_partials", dx_partials.len())],
    )?;
    let to = joined_plane([p.n, p.c_in, p.c_a]);
    let [c_in, c_out, k] = [p.c_in, p.c_out, p.kernel].map(|size| size as usize);
    // The same correlation with the channels exchanged and the kernel turned by half a turn.
    let filter =
        |c: usize, o: usize, tap: usize| weight[(o * c_in + c) * k * k + (k * k - 1 - tap)];
    let from = |s: usize, o: usize| s * c_out + o;
    correlate(p, [c_out, c_in], dy, from, filter, dx_partials, to);
    Ok(())
}

/// `y[t,n,o,i,j] = sum_(c in slice t; a,b) filter(o, c, a k + b) x[n,c,i+a-pad,j+b-pad]`, planes lying where `from` and `to` say.
fn correlate<T: Real>(
    p: &Params,
    [channels_in, channels_out]: [usize; 2],
    x: &[T],
    from: impl Fn(usize, usize) -> usize,
    filter: impl Fn(usize, usize, usize) -> T,
    y: &mut [T],
    to: impl Fn(usize, usize) -> usize,
) {
    let [n, h, w, k, slices] = [p.n, p.h, p.w, p.kernel, p.slices].map(|size| size as usize);
    let inside = |out: usize, tap: usize, size: usize| {
        (out + tap).checked_sub(k / 2).filter(|&at| at < size)
    };
    for (slice, y) in y.chunks_mut(n * channels_out * h * w).enumerate() {
        for s in 0..n {
            for o in 0..channels_out {
                for i in 0..h {
                    for j in 0..w {
                        let mut sum = T::ZERO;
                        for c in channels_of(slice, slices, channels_in) {
                            for tap in 0..k * k {
                                let (row, col) = (inside(i, tap / k, h), inside(j, tap % k, w));
                                let (Some(row), Some(col)) = (row, col) else { continue };
                                sum += filter(o, c, tap) * x[(from(s, c) * h + row) * w + col];
                            }
                        }
                        y[(to(s, o) * h + i) * w + j] = sum;
                    }
                }
            }
        }
    }
}

/// Adds the slices of [`forward`]: `y = sum_t y_partials[t]`.
///
/// # Shapes
/// `y_partials [slices, n, c_out, h, w]`, `y [n, c_out, h, w]`.
///
/// # Writes
/// `y =`
///
/// # Numerics
/// Tolerance class sum; the order is the same each time.
pub fn sum_forward<T: Real>(p: &Params, y_partials: &[T], y: &mut [T]) -> Result<(), Error> {
    p.check(
        "conv2d_split_channels::sum_forward",
        &[("y_partials", y_partials.len()), ("y", y.len())],
    )?;
    p.add_slices(y_partials, y);
    Ok(())
}

/// Adds the slices of [`backward_input`]: `dx = sum_t dx_partials[t]`.
///
/// # Shapes
/// `dx_partials` as [`backward_input`] writes them, `dx` one of them.
///
/// # Writes
/// `dx =`
///
/// # Numerics
/// Tolerance class sum; the order is the same each time.
pub fn sum_backward_input<T: Real>(
    p: &Params,
    dx_partials: &[T],
    dx: &mut [T],
) -> Result<(), Error> {
    p.check(
        "conv2d_split_channels::sum_backward_input",
        &[("dx_partials", dx_partials.len()), ("dx", dx.len())],
    )?;
    p.add_slices(dx_partials, dx);
    Ok(())
}

#[cfg(all(test, feature = "std"))]
mod tests;
