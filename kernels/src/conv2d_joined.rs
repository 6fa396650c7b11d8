//! [`conv2d`] of two inputs that lie one behind the other: what
//! [`concat_channels`](crate::concat_channels) joins, without copying it first.

use bytemuck::{Pod, Zeroable};

use crate::conv2d;
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
    /// Channels of both inputs together.
    pub c_in: u32,
    /// Channels of the first; the second may have none.
    pub c_a: u32,
    /// Output channels.
    pub c_out: u32,
    /// Rows of input and output.
    pub h: u32,
    /// Columns of input and output.
    pub w: u32,
    /// Side of the filter: 1 or 3.
    pub kernel: u32,
}

impl Params {
    pub(crate) fn conv(&self) -> conv2d::Params {
        let Self { n, c_in, c_out, h, w, kernel, .. } = *self;
        conv2d::Params { n, c_in, c_out, h, w, kernel, has_bias: 0 }
    }
}

/// Where the plane of a channel lies in two inputs `[n, c_a, h, w]` and `[n, c_in - c_a, h, w]`, one behind the other.
pub(crate) fn joined_plane([n, c_in, c_a]: [u32; 3]) -> impl Fn(usize, usize) -> usize + Copy {
    let [n, c_in, c_a] = [n, c_in, c_a].map(|size| size as usize);
    move |s, c| if c < c_a { s * c_a + c } else { n * c_a + s * (c_in - c_a) + c - c_a }
}

/// What is wrong with a number of channels of the first input.
pub(crate) fn check_first(c_in: u32, c_a: u32) -> Result<(), &'static str> {
    if c_a == 0 || c_a > c_in { Err("c_a must be from 1 to c_in") } else { Ok(()) }
}

impl Shape for Params {
    const OP: &'static str = "conv2d_joined";

    fn len(&self, buffer: &str) -> usize {
        match buffer {
            "x" | "dx" | "y" | "dy" | "weight" => self.conv().len(buffer),
            _ => panic!("conv2d_joined has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let what = match (self.conv().validate(), check_first(self.c_in, self.c_a)) {
            (Err(Error::Params { what, .. }), _) | (Ok(()), Err(what)) => what,
            (other, _) => return other,
        };
        Err(Error::Params { op: Self::OP, what })
    }
}

/// Convolves: `y[n,o,i,j] = sum_(c,a,b) weight[o,c,a,b] x[n,c,i+a-pad,j+b-pad]`, where the first `c_a` channels of `x` are
/// the first input's.
///
/// # Shapes
/// `x`: `[n, c_a, h, w]` and then `[n, c_in - c_a, h, w]`; `weight [c_out, c_in, kernel, kernel]`, `y [n, c_out, h, w]`.
///
/// # Writes
/// `y =`
///
/// # Numerics
/// Tolerance class sum.
pub fn forward<T: Real>(p: &Params, x: &[T], weight: &[T], y: &mut [T]) -> Result<(), Error> {
    p.check("conv2d_joined::forward", &[("x", x.len()), ("weight", weight.len()), ("y", y.len())])?;
    let plane = joined_plane([p.n, p.c_in, p.c_a]);
    conv2d::forward_of_planes(&p.conv(), x, weight, &[T::ZERO], y, plane);
    Ok(())
}

/// The gradients of both inputs, as [`conv2d::backward_input`] defines them.
///
/// # Shapes
/// `dy [n, c_out, h, w]`, `weight [c_out, c_in, kernel, kernel]`; `dx`: `[n, c_a, h, w]` and then `[n, c_in - c_a, h, w]`.
///
/// # Writes
/// `dx =`
///
/// # Numerics
/// Tolerance class sum.
pub fn backward_input<T: Real>(
    p: &Params,
    dy: &[T],
    weight: &[T],
    dx: &mut [T],
) -> Result<(), Error> {
    p.check(
        "conv2d_joined::backward_input",
        &[("dy", dy.len()), ("weight", weight.len()), ("dx", dx.len())],
    )?;
    let plane = joined_plane([p.n, p.c_in, p.c_a]);
    conv2d::backward_input_to_planes(&p.conv(), dy, weight, dx, plane);
    Ok(())
}

#[cfg(all(test, feature = "std"))]
mod tests;
