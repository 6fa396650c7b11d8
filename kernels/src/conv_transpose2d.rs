//! Transposed convolution with a 2x2 filter and stride 2: doubles height and width.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

#[cfg(feature = "std")]
pub mod channels_last;
#[cfg(feature = "std")]
pub mod fast;

/// Sizes of a transposed convolution; the same bytes are the shader's uniform buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Samples.
    pub n: u32,
    /// Input channels.
    pub c_in: u32,
    /// Output channels.
    pub c_out: u32,
    /// Rows of the input; the output has twice as many.
    pub h: u32,
    /// Columns of the input; the output has twice as many.
    pub w: u32,
}

impl Params {
    pub(crate) fn sizes(&self) -> [usize; 5] {
        [self.n, self.c_in, self.c_out, self.h, self.w].map(|size| size as usize)
    }
}

impl Shape for Params {
    const OP: &'static str = "conv_transpose2d";

    fn len(&self, buffer: &str) -> usize {
        let [n, c_in, c_out, h, w] = self.sizes();
        match buffer {
            "x" | "dx" => n * c_in * h * w,
            "y" | "dy" => n * c_out * 4 * h * w,
            "weight" | "dweight" => c_in * c_out * 4,
            "bias" | "dbias" => c_out,
            _ => panic!("conv_transpose2d has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        if self.sizes().contains(&0) {
            let what = "n, c_in, c_out, h and w must be at least 1";
            return Err(Error::Params { op: Self::OP, what });
        }
        Ok(())
    }
}

/// Doubles the size:
/// `y[n,o,2i+a,2j+b] = bias[o] + sum_c weight[c,o,a,b] x[n,c,i,j]` for `a, b` in `{0, 1}`.
///
/// # Shapes
/// `x [n, c_in, h, w]`, `weight [c_in, c_out, 2, 2]`, `bias [c_out]`, `y [n, c_out, 2h, 2w]`.
///
/// # Writes
/// `y =`
///
/// # Numerics
/// Tolerance class sum.
///
/// # Source
/// The convention of PyTorch's `conv_transpose2d` with `stride = 2`.
pub fn forward<T: Real>(
    p: &Params,
    x: &[T],
    weight: &[T],
    bias: &[T],
    y: &mut [T],
) -> Result<(), Error> {
    p.check(
        "conv_transpose2d::forward",
        &[("x", x.len()), ("weight", weight.len()), ("bias", bias.len()), ("y", y.len())],
    )?;
    let [n, c_in, c_out, h, w] = p.sizes();
    for s in 0..n {
        for o in 0..c_out {
            for i in 0..2 * h {
                for j in 0..2 * w {
                    let tap = i % 2 * 2 + j % 2;
                    let mut sum = bias[o];
                    for c in 0..c_in {
                        sum += weight[(c * c_out + o) * 4 + tap]
                            * x[((s * c_in + c) * h + i / 2) * w + j / 2];
                    }
                    y[((s * c_out + o) * 2 * h + i) * 2 * w + j] = sum;
                }
            }
        }
    }
    Ok(())
}

/// The gradient of the input: `dx[n,c,i,j] = sum_(o,a,b) weight[c,o,a,b] dy[n,o,2i+a,2j+b]`.
///
/// # Shapes
/// `dy [n, c_out, 2h, 2w]`, `weight [c_in, c_out, 2, 2]`, `dx [n, c_in, h, w]`.
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
        "conv_transpose2d::backward_input",
        &[("dy", dy.len()), ("weight", weight.len()), ("dx", dx.len())],
    )?;
    let [n, c_in, c_out, h, w] = p.sizes();
    for s in 0..n {
        for c in 0..c_in {
            for i in 0..h {
                for j in 0..w {
                    let mut sum = T::ZERO;
                    for o in 0..c_out {
                        for tap in 0..4 {
                            let (row, col) = (2 * i + tap / 2, 2 * j + tap % 2);
                            sum += weight[(c * c_out + o) * 4 + tap]
                                * dy[((s * c_out + o) * 2 * h + row) * 2 * w + col];
                        }
                    }
                    dx[((s * c_in + c) * h + i) * w + j] = sum;
                }
            }
        }
    }
    Ok(())
}

/// The gradient of the filters: `dweight[c,o,a,b] = sum_(n,i,j) x[n,c,i,j] dy[n,o,2i+a,2j+b]`.
///
/// # Shapes
/// `x [n, c_in, h, w]`, `dy [n, c_out, 2h, 2w]`, `dweight [c_in, c_out, 2, 2]`.
///
/// # Writes
/// `dweight =`
///
/// # Numerics
/// Tolerance class sum.
pub fn backward_weight<T: Real>(
    p: &Params,
    x: &[T],
    dy: &[T],
    dweight: &mut [T],
) -> Result<(), Error> {
    p.check(
        "conv_transpose2d::backward_weight",
        &[("x", x.len()), ("dy", dy.len()), ("dweight", dweight.len())],
    )?;
    let [n, c_in, c_out, h, w] = p.sizes();
    for c in 0..c_in {
        for o in 0..c_out {
            for tap in 0..4 {
                let mut sum = T::ZERO;
                for s in 0..n {
                    for i in 0..h {
                        for j in 0..w {
                            let (row, col) = (2 * i + tap / 2, 2 * j + tap % 2);
                            sum += x[((s * c_in + c) * h + i) * w + j]
                                * dy[((s * c_out + o) * 2 * h + row) * 2 * w + col];
                        }
                    }
                }
                dweight[(c * c_out + o) * 4 + tap] = sum;
            }
        }
    }
    Ok(())
}

/// The gradient of the bias: `dbias[o] = sum_(n,i,j) dy[n,o,i,j]`.
///
/// # Shapes
/// `dy [n, c_out, 2h, 2w]`, `dbias [c_out]`.
///
/// # Writes
/// `dbias =`
///
/// # Numerics
/// Tolerance class sum.
pub fn backward_bias<T: Real>(p: &Params, dy: &[T], dbias: &mut [T]) -> Result<(), Error> {
    p.check("conv_transpose2d::backward_bias", &[("dy", dy.len()), ("dbias", dbias.len())])?;
    let [n, _, c_out, h, w] = p.sizes();
    let plane = 4 * h * w;
    for o in 0..c_out {
        let mut sum = T::ZERO;
        for s in 0..n {
            for i in 0..plane {
                sum += dy[(s * c_out + o) * plane + i];
            }
        }
        dbias[o] = sum;
    }
    Ok(())
}

#[cfg(all(test, feature = "std"))]
mod tests;
