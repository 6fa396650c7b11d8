//! Batch normalisation: every channel to zero mean and unit variance over samples and pixels.

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
    /// Weight of the new statistics in the running ones, 0 to 1.
    pub momentum: f32,
}

impl Params {
    pub(crate) fn sizes(&self) -> [usize; 3] {
        [self.n, self.c, self.hw].map(|size| size as usize)
    }
}

impl Shape for Params {
    const OP: &'static str = "batch_norm";

    fn len(&self, buffer: &str) -> usize {
        let [n, c, hw] = self.sizes();
        match buffer {
            "x" | "y" | "dy" | "dx" => n * c * hw,
            "mean" | "rstd" | "running_mean" | "running_var" => c,
            "weight" | "bias" | "dweight" | "dbias" => c,
            _ => panic!("batch_norm has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let what = if self.sizes().contains(&0) {
            "n, c and hw must be at least 1"
        } else if self.eps.is_nan() || self.eps <= 0.0 {
            "eps must be above 0"
        } else if !(0.0..=1.0).contains(&self.momentum) {
            "momentum must be from 0 to 1"
        } else {
            return Ok(());
        };
        Err(Error::Params { op: Self::OP, what })
    }
}

/// The statistics of a batch: `mean[c]` and `rstd[c] = 1 / sqrt(var[c] + eps)` over samples and
/// pixels, and the running ones moved towards them by `momentum`.
///
/// # Shapes
/// `x [n, c, hw]`, all others `[c]`.
///
/// # Writes
/// `mean =`, `rstd =` with the biased variance (divided by `m = n hw`);
/// `running_mean` and `running_var` `= (1 - momentum) running + momentum new`, where the new
/// variance is the unbiased one (divided by `m - 1`), or the biased one where `m` is 1.
///
/// # Numerics
/// Two passes: the mean first, then the squares of differences to it. Tolerance class sum.
///
/// # Source
/// Ioffe and Szegedy 2015, algorithm 1; running statistics as PyTorch keeps them.
pub fn statistics<T: Real>(
    p: &Params,
    x: &[T],
    mean: &mut [T],
    rstd: &mut [T],
    running_mean: &mut [T],
    running_var: &mut [T],
) -> Result<(), Error> {
    p.check(
        "batch_norm::statistics",
        &[
            ("x", x.len()),
            ("mean", mean.len()),
            ("rstd", rstd.len()),
            ("running_mean", running_mean.len()),
            ("running_var", running_var.len()),
        ],
    )?;
    let [n, c, hw] = p.sizes();
    let (eps, momentum) = (T::from_f64(p.eps.into()), T::from_f64(p.momentum.into()));
    let m = n * hw;
    for ch in 0..c {
        let mut sum = T::ZERO;
        for s in 0..n {
            for i in 0..hw {
                sum += x[(s * c + ch) * hw + i];
            }
        }
        mean[ch] = sum / T::from_usize(m);
        let mut squares = T::ZERO;
        for s in 0..n {
            for i in 0..hw {
                let difference = x[(s * c + ch) * hw + i] - mean[ch];
                squares += difference * difference;
            }
        }
        rstd[ch] = T::ONE / (squares / T::from_usize(m) + eps).sqrt();
        let unbiased = squares / T::from_usize((m - 1).max(1));
        running_mean[ch] = (T::ONE - momentum) * running_mean[ch] + momentum * mean[ch];
        running_var[ch] = (T::ONE - momentum) * running_var[ch] + momentum * unbiased;
    }
    Ok(())
}

/// Normalises with the batch's statistics:
/// `y[n,c,i] = (x[n,c,i] - mean[c]) rstd[c] weight[c] + bias[c]`.
///
/// # Shapes
/// `x` and `y [n, c, hw]`, all others `[c]`.
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
    weight: &[T],
    bias: &[T],
    y: &mut [T],
) -> Result<(), Error> {
    p.check(
        "batch_norm::forward",
        &[
            ("x", x.len()),
            ("mean", mean.len()),
            ("rstd", rstd.len()),
            ("weight", weight.len()),
            ("bias", bias.len()),
            ("y", y.len()),
        ],
    )?;
    let [n, c, hw] = p.sizes();
    for plane in 0..n * c {
        let ch = plane % c;
        for i in plane * hw..(plane + 1) * hw {
            y[i] = (x[i] - mean[ch]) * rstd[ch] * weight[ch] + bias[ch];
        }
    }
    Ok(())
}

/// Normalises with the running statistics:
/// `y[n,c,i] = (x[n,c,i] - running_mean[c]) / sqrt(running_var[c] + eps) weight[c] + bias[c]`.
///
/// # Shapes
/// `x` and `y [n, c, hw]`, all others `[c]`.
///
/// # Writes
/// `y =`
///
/// # Numerics
/// Tolerance class sum.
pub fn forward_eval<T: Real>(
    p: &Params,
    x: &[T],
    running_mean: &[T],
    running_var: &[T],
    weight: &[T],
    bias: &[T],
    y: &mut [T],
) -> Result<(), Error> {
    p.check(
        "batch_norm::forward_eval",
        &[
            ("x", x.len()),
            ("running_mean", running_mean.len()),
            ("running_var", running_var.len()),
            ("weight", weight.len()),
            ("bias", bias.len()),
            ("y", y.len()),
        ],
    )?;
    let [n, c, hw] = p.sizes();
    for plane in 0..n * c {
        let ch = plane % c;
        let rstd = T::ONE / (running_var[ch] + T::from_f64(p.eps.into())).sqrt();
        for i in plane * hw..(plane + 1) * hw {
            y[i] = (x[i] - running_mean[ch]) * rstd * weight[ch] + bias[ch];
        }
    }
    Ok(())
}

/// The gradients of weight and bias: `dweight[c] = sum_(n,i) dy[n,c,i] xhat[n,c,i]` and
/// `dbias[c] = sum_(n,i) dy[n,c,i]`, with `xhat = (x - mean[c]) rstd[c]`.
///
/// # Shapes
/// `x` and `dy [n, c, hw]`, all others `[c]`.
///
/// # Writes
/// `dweight =`, `dbias =`
///
/// # Numerics
/// Tolerance class sum.
pub fn backward_weight<T: Real>(
    p: &Params,
    x: &[T],
    dy: &[T],
    mean: &[T],
    rstd: &[T],
    dweight: &mut [T],
    dbias: &mut [T],
) -> Result<(), Error> {
    p.check(
        "batch_norm::backward_weight",
        &[
            ("x", x.len()),
            ("dy", dy.len()),
            ("mean", mean.len()),
            ("rstd", rstd.len()),
            ("dweight", dweight.len()),
            ("dbias", dbias.len()),
        ],
    )?;
    let [n, c, hw] = p.sizes();
    for ch in 0..c {
        let (mut with_xhat, mut plain) = (T::ZERO, T::ZERO);
        for s in 0..n {
            for i in (s * c + ch) * hw..(s * c + ch + 1) * hw {
                with_xhat += dy[i] * ((x[i] - mean[ch]) * rstd[ch]);
                plain += dy[i];
            }
        }
        dweight[ch] = with_xhat;
        dbias[ch] = plain;
    }
    Ok(())
}

/// The gradient of the input through the statistics:
/// `dx = weight[c] rstd[c] (dy - dbias[c] / m - xhat dweight[c] / m)`, `m = n hw`.
///
/// # Shapes
/// `x`, `dy` and `dx [n, c, hw]`, all others `[c]`.
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
    weight: &[T],
    dweight: &[T],
    dbias: &[T],
    dx: &mut [T],
) -> Result<(), Error> {
    p.check(
        "batch_norm::backward_input",
        &[
            ("x", x.len()),
            ("dy", dy.len()),
            ("mean", mean.len()),
            ("rstd", rstd.len()),
            ("weight", weight.len()),
            ("dweight", dweight.len()),
            ("dbias", dbias.len()),
            ("dx", dx.len()),
        ],
    )?;
    let [n, c, hw] = p.sizes();
    let m = T::from_usize(n * hw);
    for plane in 0..n * c {
        let ch = plane % c;
        for i in plane * hw..(plane + 1) * hw {
            let xhat = (x[i] - mean[ch]) * rstd[ch];
            dx[i] = weight[ch] * rstd[ch] * (dy[i] - dbias[ch] / m - xhat * (dweight[ch] / m));
        }
    }
    Ok(())
}

#[cfg(all(test, feature = "std"))]
mod tests;
