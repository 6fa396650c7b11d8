//! Two-dimensional cross-correlation, stride 1, zero padding that keeps the size.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

#[cfg(feature = "std")]
pub mod channels_last;
#[cfg(feature = "std")]
pub(crate) mod direct;
#[cfg(feature = "std")]
pub mod fast;
#[cfg(feature = "std")]
pub(crate) mod planes;
#[cfg(feature = "std")]
pub mod pointwise;
#[cfg(feature = "std")]
pub(crate) mod products;
#[cfg(feature = "std")]
pub(crate) mod tile;
#[cfg(feature = "std")]
pub(crate) mod winograd;

/// Sizes of a convolution; the same bytes are the shader's uniform buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Samples.
    pub n: u32,
    /// Input channels.
    pub c_in: u32,
    /// Output channels.
    pub c_out: u32,
    /// Rows of input and output.
    pub h: u32,
    /// Columns of input and output.
    pub w: u32,
    /// Side of the filter: 1 or 3.
    pub kernel: u32,
    /// 1 if a bias is added, 0 if `bias` is one unused element.
    pub has_bias: u32,
}

/// The parameters as sizes.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) n: usize,
    pub(crate) c_in: usize,
    pub(crate) c_out: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) k: usize,
    pub(crate) pad: usize,
}

impl Params {
    pub(crate) fn sizes(&self) -> Sizes {
        Sizes {
            n: self.n as usize,
            c_in: self.c_in as usize,
            c_out: self.c_out as usize,
            h: self.h as usize,
            w: self.w as usize,
            k: self.kernel as usize,
            pad: self.kernel as usize / 2,
        }
    }
}

impl Shape for Params {
    const OP: &'static str = "conv2d";

    fn len(&self, buffer: &str) -> usize {
        let Sizes { n, c_in, c_out, h, w, k, .. } = self.sizes();
        match buffer {
            "x" | "dx" => n * c_in * h * w,
            "y" | "dy" => n * c_out * h * w,
            "weight" | "dweight" => c_out * c_in * k * k,
            "bias" if self.has_bias == 0 => 1,
            "bias" | "dbias" => c_out,
            _ => panic!("conv2d has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let what = if [self.n, self.c_in, self.c_out, self.h, self.w].contains(&0) {
            "n, c_in, c_out, h and w must be at least 1"
        } else if self.kernel != 1 && self.kernel != 3 {
            "kernel must be 1 or 3"
        } else if self.has_bias > 1 {
            "has_bias must be 0 or 1"
        } else {
            return Ok(());
        };
        Err(Error::Params { op: Self::OP, what })
    }
}

/// The input row or column under tap `tap` of output position `out`, if it is inside.
fn input_at(out: usize, tap: usize, pad: usize, size: usize) -> Option<usize> {
    (out + tap).checked_sub(pad).filter(|&i| i < size)
}

/// Convolves: `y[n,o,i,j] = bias[o] + sum_(c,a,b) weight[o,c,a,b] x[n,c,i+a-pad,j+b-pad]`.
///
/// # Shapes
/// `x [n, c_in, h, w]`, `weight [c_out, c_in, kernel, kernel]`, `bias [c_out]` (one unused
/// element when `has_bias` is 0), `y [n, c_out, h, w]`.
///
/// # Writes
/// `y =`
///
/// # Numerics
/// Tolerance class sum. The fast form sums in another order, the same for any number of threads.
///
/// # Source
/// The convention of PyTorch's `conv2d` with `padding = kernel / 2`.
pub fn forward<T: Real>(
    p: &Params,
    x: &[T],
    weight: &[T],
    bias: &[T],
    y: &mut [T],
) -> Result<(), Error> {
    p.check(
        "conv2d::forward",
        &[("x", x.len()), ("weight", weight.len()), ("bias", bias.len()), ("y", y.len())],
    )?;
    let c_in = p.c_in as usize;
    forward_of_planes(p, x, weight, bias, y, |s, c| s * c_in + c);
    Ok(())
}

/// [`forward`] of an input whose planes lie where `plane(sample, channel)` says.
pub(crate) fn forward_of_planes<T: Real>(
    p: &Params,
    x: &[T],
    weight: &[T],
    bias: &[T],
    y: &mut [T],
    plane: impl Fn(usize, usize) -> usize,
) {
    let Sizes { n, c_in, c_out, h, w, k, pad } = p.sizes();
    for s in 0..n {
        for o in 0..c_out {
            for i in 0..h {
                for j in 0..w {
                    let mut sum = if p.has_bias == 1 { bias[o] } else { T::ZERO };
                    for c in 0..c_in {
                        for a in 0..k {
                            let Some(row) = input_at(i, a, pad, h) else { continue };
                            for b in 0..k {
                                let Some(col) = input_at(j, b, pad, w) else { continue };
                                sum += weight[((o * c_in + c) * k + a) * k + b]
                                    * x[(plane(s, c) * h + row) * w + col];
                            }
                        }
                    }
                    y[((s * c_out + o) * h + i) * w + j] = sum;
                }
            }
        }
    }
}

/// The gradient of the input:
/// `dx[n,c,i,j] = sum_(o,a,b) weight[o,c,a,b] dy[n,o,i+pad-a,j+pad-b]`.
///
/// # Shapes
/// `dy [n, c_out, h, w]`, `weight [c_out, c_in, kernel, kernel]`, `dx [n, c_in, h, w]`.
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
        "conv2d::backward_input",
        &[("dy", dy.len()), ("weight", weight.len()), ("dx", dx.len())],
    )?;
    let c_in = p.c_in as usize;
    backward_input_to_planes(p, dy, weight, dx, |s, c| s * c_in + c);
    Ok(())
}

/// [`backward_input`] to planes that lie where `plane(sample, channel)` says.
pub(crate) fn backward_input_to_planes<T: Real>(
    p: &Params,
    dy: &[T],
    weight: &[T],
    dx: &mut [T],
    plane: impl Fn(usize, usize) -> usize,
) {
    let Sizes { n, c_in, c_out, h, w, k, pad } = p.sizes();
    for s in 0..n {
        for c in 0..c_in {
            for i in 0..h {
                for j in 0..w {
                    let mut sum = T::ZERO;
                    for o in 0..c_out {
                        for a in 0..k {
                            let Some(row) = input_at(i, k - 1 - a, pad, h) else { continue };
                            for b in 0..k {
                                let Some(col) = input_at(j, k - 1 - b, pad, w) else { continue };
                                sum += weight[((o * c_in + c) * k + a) * k + b]
                                    * dy[((s * c_out + o) * h + row) * w + col];
                            }
                        }
                    }
                    dx[(plane(s, c) * h + i) * w + j] = sum;
                }
            }
        }
    }
}

/// The gradient of the filters:
/// `dweight[o,c,a,b] = sum_(n,i,j) dy[n,o,i,j] x[n,c,i+a-pad,j+b-pad]`.
///
/// # Shapes
/// `x [n, c_in, h, w]`, `dy [n, c_out, h, w]`, `dweight [c_out, c_in, kernel, kernel]`.
///
/// # Writes
/// `dweight =`
///
/// # Numerics
/// Tolerance class sum. The fast form sums in another order, the same for any number of threads.
pub fn backward_weight<T: Real>(
    p: &Params,
    x: &[T],
    dy: &[T],
    dweight: &mut [T],
) -> Result<(), Error> {
    p.check(
        "conv2d::backward_weight",
        &[("x", x.len()), ("dy", dy.len()), ("dweight", dweight.len())],
    )?;
    let Sizes { n, c_in, c_out, h, w, k, pad } = p.sizes();
    for o in 0..c_out {
        for c in 0..c_in {
            for a in 0..k {
                for b in 0..k {
                    let mut sum = T::ZERO;
                    for s in 0..n {
                        for i in 0..h {
                            let Some(row) = input_at(i, a, pad, h) else { continue };
                            for j in 0..w {
                                let Some(col) = input_at(j, b, pad, w) else { continue };
                                sum += dy[((s * c_out + o) * h + i) * w + j]
                                    * x[((s * c_in + c) * h + row) * w + col];
                            }
                        }
                    }
                    dweight[((o * c_in + c) * k + a) * k + b] = sum;
                }
            }
        }
    }
    Ok(())
}

/// The gradient of the bias: `dbias[o] = sum_(n,i,j) dy[n,o,i,j]`.
///
/// # Shapes
/// `dy [n, c_out, h, w]`, `dbias [c_out]`.
///
/// # Writes
/// `dbias =`
///
/// # Numerics
/// Tolerance class sum.
pub fn backward_bias<T: Real>(p: &Params, dy: &[T], dbias: &mut [T]) -> Result<(), Error> {
    p.check("conv2d::backward_bias", &[("dy", dy.len()), ("dbias", dbias.len())])?;
    let Sizes { n, c_out, h, w, .. } = p.sizes();
    for o in 0..c_out {
        let mut sum = T::ZERO;
        for s in 0..n {
            for i in 0..h * w {
                sum += dy[(s * c_out + o) * h * w + i];
            }
        }
        dbias[o] = sum;
    }
    Ok(())
}

#[cfg(all(test, feature = "std"))]
mod tests;
