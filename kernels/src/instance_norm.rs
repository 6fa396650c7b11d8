//! Instance normalisation: every plane to zero mean and unit variance, without weight and bias.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

#[cfg(feature = "std")]
pub mod fast;

/// Sizes and constants; the same bytes are the shader's uniform buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Samples.
    pub n: u32,
    /// Channels.
    pub c: u32,
    /// Pixels of a plane.
    pub hw: u32,
    /// Added to the variance.
    pub eps: f32,
}

impl Params {
    /// Planes and pixels of each.
    pub(crate) fn sizes(&self) -> [usize; 2] {
        [self.n as usize * self.c as usize, self.hw as usize]
    }
}

impl Shape for Params {
    const OP: &'static str = "instance_norm";

    fn len(&self, buffer: &str) -> usize {
        let [planes, hw] = self.sizes();
        match buffer {
            "x" | "y" | "dy" | "dx" => planes * hw,
            "mean" | "rstd" | "sum_dy" | "sum_dy_xhat" => planes,
            _ => panic!("instance_norm has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let what = if self.sizes().contains(&0) {
            "n, c and hw must be at least 1"
        } else if self.eps.is_nan() || self.eps <= 0.0 {
            "eps must be above 0"
        } else {
            return Ok(());
        };
        Err(Error::Params { op: Self::OP, what })
    }
}

/// The statistics of each plane: `mean[n,c]` and `rstd[n,c] = 1 / sqrt(var[n,c] + eps)` with the
/// biased variance.
///
/// # Shapes
/// `x [n, c, hw]`, `mean` and `rstd [n, c]`.
///
/// # Writes
/// `mean =`, `rstd =`
///
/// # Numerics
/// Two passes: the mean first, then the squares of differences to it. Tolerance class sum.
///
/// # Source
/// Ulyanov, Vedaldi and Lempitsky 2016; PyTorch's `instance_norm` without affine parameters.
pub fn statistics<T: Real>(
    p: &Params,
    x: &[T],
    mean: &mut [T],
    rstd: &mut [T],
) -> Result<(), Error> {
    p.check(
        "instance_norm::statistics",
        &[("x", x.len()), ("mean", mean.len()), ("rstd", rstd.len())],
    )?;
    let [planes, hw] = p.sizes();
    for plane in 0..planes {
        let mut sum = T::ZERO;
        for i in plane * hw..(plane + 1) * hw {
            sum += x[i];
        }
        mean[plane] = sum / T::from_usize(hw);
        let mut squares = T::ZERO;
        for i in plane * hw..(plane + 1) * hw {
            let difference = x[i] - mean[plane];
            squares += difference * difference;
        }
        rstd[plane] = T::ONE / (squares / T::from_usize(hw) + T::from_f64(p.eps.into())).sqrt();
    }
    Ok(())
}

/// Normalises: `y[n,c,i] = (x[n,c,i] - mean[n,c]) rstd[n,c]`.
///
/// # Shapes
/// `x` and `y [n, c, hw]`, `mean` and `rstd [n, c]`.
///
/// # Writes
/// `y =`
///
/// # Numerics
/// Tolerance class sum.
pub fn forward<T: Real>(
    p: &Params,
    x: &[T],
    mean: &[T],
    rstd: &[T],
    y: &mut [T],
) -> Result<(), Error> {
    p.check(
        "instance_norm::forward",
        &[("x", x.len()), ("mean", mean.len()), ("rstd", rstd.len()), ("y", y.len())],
    )?;
    let [planes, hw] = p.sizes();
    for plane in 0..planes {
        for i in plane * hw..(plane + 1) * hw {
            y[i] = (x[i] - mean[plane]) * rstd[plane];
        }
    }
    Ok(())
}

/// The sums that the gradient needs: `sum_dy[n,c] = sum_i dy` and
/// `sum_dy_xhat[n,c] = sum_i dy xhat`, with `xhat = (x - mean[n,c]) rstd[n,c]`.
///
/// # Shapes
/// `x` and `dy [n, c, hw]`, all others `[n, c]`.
///
/// # Writes
/// `sum_dy =`, `sum_dy_xhat =`
///
/// # Numerics
/// Tolerance class sum.
pub fn backward_statistics<T: Real>(
    p: &Params,
    x: &[T],
    dy: &[T],
    mean: &[T],
    rstd: &[T],
    sum_dy: &mut [T],
    sum_dy_xhat: &mut [T],
) -> Result<(), Error> {
    p.check(
        "instance_norm::backward_statistics",
        &[
            ("x", x.len()),
            ("dy", dy.len()),
            ("mean", mean.len()),
            ("rstd", rstd.len()),
            ("sum_dy", sum_dy.len()),
            ("sum_dy_xhat", sum_dy_xhat.len()),
        ],
    )?;
    let [planes, hw] = p.sizes();
    for plane in 0..planes {
        let (mut with_xhat, mut plain) = (T::ZERO, T::ZERO);
        for i in plane * hw..(plane + 1) * hw {
            with_xhat += dy[i] * ((x[i] - mean[plane]) * rstd[plane]);
            plain += dy[i];
        }
        sum_dy[plane] = plain;
        sum_dy_xhat[plane] = with_xhat;
    }
    Ok(())
}

/// The gradient of the input through the statistics:
/// `dx = rstd[n,c] (dy - sum_dy[n,c] / hw - xhat sum_dy_xhat[n,c] / hw)`.
///
/// # Shapes
/// `x`, `dy` and `dx [n, c, hw]`, all others `[n, c]`.
///
/// # Writes
/// `dx =`
///
/// # Numerics
/// Tolerance class sum.
pub fn backward_input<T: Real>(
    p: &Params,
    x: &[T],
    dy: &[T],
    mean: &[T],
    rstd: &[T],
    sum_dy: &[T],
    sum_dy_xhat: &[T],
    dx: &mut [T],
) -> Result<(), Error> {
    p.check(
        "instance_norm::backward_input",
        &[
            ("x", x.len()),
            ("dy", dy.len()),
            ("mean", mean.len()),
            ("rstd", rstd.len()),
            ("sum_dy", sum_dy.len()),
            ("sum_dy_xhat", sum_dy_xhat.len()),
            ("dx", dx.len()),
        ],
    )?;
    let [planes, hw] = p.sizes();
    let m = T::from_usize(hw);
    for plane in 0..planes {
        for i in plane * hw..(plane + 1) * hw {
            let xhat = (x[i] - mean[plane]) * rstd[plane];
            dx[i] = rstd[plane] * (dy[i] - sum_dy[plane] / m - xhat * (sum_dy_xhat[plane] / m));
        }
    }
    Ok(())
}

#[cfg(all(test, feature = "std"))]
mod tests;
