//! [`batch_norm`](crate::batch_norm) with the batch's statistics, [`dropout`](crate::dropout) and
//! [`relu`](crate::relu) in one pass over the map, in both directions: each map is read and written once instead of three times.
//!
//! [`instance_norm`](crate::instance_norm) is batch norm of one sample whose channels are all the planes, without weight and bias.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

#[cfg(feature = "std")]
pub mod fast;

/// Sizes and the dropout; the same bytes are the shader's uniform buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Samples.
    pub n: u32,
    /// Channels.
    pub c: u32,
    /// Pixels of a plane.
    pub hw: u32,
    /// 0: no dropout, and `mask` is one unused element; 1: a value of the mask for each channel of a sample; 2: for
    /// each element.
    pub mask: u32,
    /// The mask's value where something is kept; 1 without dropout.
    pub scale: f32,
    /// 1: `weight` and `bias` are used; 0: they are one unused element each, and stand for 1 and 0.
    pub affine: u32,
}

impl Params {
    pub(crate) fn sizes(&self) -> [usize; 3] {
        [self.n, self.c, self.hw].map(|size| size as usize)
    }

    /// Weight and bias of a channel.
    fn affine_of<T: Real>(&self, weight: &[T], bias: &[T], channel: usize) -> (T, T) {
        if self.affine == 1 { (weight[channel], bias[channel]) } else { (T::ONE, T::ZERO) }
    }

    /// The mask's value for an element.
    fn mask_of<T: Real>(&self, mask: &[T], i: usize) -> T {
        match self.mask {
            0 => T::ONE,
            1 => mask[i / self.hw as usize],
            _ => mask[i],
        }
    }
}

impl Shape for Params {
    const OP: &'static str = "batch_norm_relu";

    fn len(&self, buffer: &str) -> usize {
        let [n, c, hw] = self.sizes();
        match buffer {
            "x" | "y" | "dy" | "dx" => n * c * hw,
            "weight" | "bias" if self.affine == 0 => 1,
            "mean" | "rstd" | "weight" | "bias" | "dweight" | "dbias" => c,
            "coefficients" => 4 * c,
            "mask" => [1, n * c, n * c * hw][self.mask.min(2) as usize],
            _ => panic!("batch_norm_relu has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let what = if self.sizes().contains(&0) {
            "n, c and hw must be at least 1"
        } else if self.mask > 2 {
            "mask must be 0, 1 or 2"
        } else if !(self.scale > 0.0 && self.scale.is_finite()) {
            "scale must be above 0"
        } else if self.affine > 1 {
            "affine must be 0 or 1"
        } else {
            return Ok(());
        };
        Err(Error::Params { op: Self::OP, what })
    }
}

/// `y = max(((x - mean[c]) rstd[c] weight[c] + bias[c]) mask, 0)`.
///
/// # Shapes
/// `x` and `y [n, c, hw]`, `mask`, `weight` and `bias` as `Params` says, all others `[c]`.
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
    mask: &[T],
    y: &mut [T],
) -> Result<(), Error> {
    p.check(
        "batch_norm_relu::forward",
        &[
            ("x", x.len()),
            ("mean", mean.len()),
            ("rstd", rstd.len()),
            ("weight", weight.len()),
            ("bias", bias.len()),
            ("mask", mask.len()),
            ("y", y.len()),
        ],
    )?;
    let [_, c, hw] = p.sizes();
    for i in 0..x.len() {
        let ch = i / hw % c;
        let (weight, bias) = p.affine_of(weight, bias, ch);
        let normed = (x[i] - mean[ch]) * rstd[ch] * weight + bias;
        y[i] = (normed * p.mask_of(mask, i)).max(T::ZERO);
    }
    Ok(())
}

/// The gradient that reaches the normalisation: `dy scale` where the output `y` is above zero, else 0.
///
/// Where the mask is 0 so is `y`, and elsewhere the mask is `scale`: the mask is not needed again.
fn through_relu<T: Real>(p: &Params, y: T, dy: T) -> T {
    if y > T::ZERO { dy * T::from_f64(p.scale.into()) } else { T::ZERO }
}

/// The gradients of weight and bias, with `g = dy scale` where `y > 0`, else 0: `dweight[c] = sum_(n,i) g xhat` and
/// `dbias[c] = sum_(n,i) g`, with `xhat = (x - mean[c]) rstd[c]`; and what [`backward_input`] needs of them.
///
/// # Shapes
/// `x`, `y` and `dy [n, c, hw]`, `coefficients [c, 4]`: `mean`, `rstd`, `dbias / m` and `dweight / m` with `m = n hw`;
/// all others `[c]`.
///
/// # Writes
/// `dweight =`, `dbias =`, `coefficients =`
///
/// # Numerics
/// Tolerance class sum.
pub fn backward_weight<T: Real>(
    p: &Params,
    x: &[T],
    y: &[T],
    dy: &[T],
    mean: &[T],
    rstd: &[T],
    dweight: &mut [T],
    dbias: &mut [T],
    coefficients: &mut [T],
) -> Result<(), Error> {
    p.check(
        "batch_norm_relu::backward_weight",
        &[
            ("x", x.len()),
            ("y", y.len()),
            ("dy", dy.len()),
            ("mean", mean.len()),
            ("rstd", rstd.len()),
            ("dweight", dweight.len()),
            ("dbias", dbias.len()),
            ("coefficients", coefficients.len()),
        ],
    )?;
    let [n, c, hw] = p.sizes();
    let m = T::from_usize(n * hw);
    for ch in 0..c {
        let (mut with_xhat, mut plain) = (T::ZERO, T::ZERO);
        for s in 0..n {
            for i in (s * c + ch) * hw..(s * c + ch + 1) * hw {
                let g = through_relu(p, y[i], dy[i]);
                with_xhat += g * ((x[i] - mean[ch]) * rstd[ch]);
                plain += g;
            }
        }
        dweight[ch] = with_xhat;
        dbias[ch] = plain;
        coefficients[4 * ch..][..4].copy_from_slice(&[
            mean[ch],
            rstd[ch],
            plain / m,
            with_xhat / m,
        ]);
    }
    Ok(())
}

/// The gradient of the input through the statistics, with `g` as [`backward_weight`] has it:
/// `dx = weight[c] rstd (g - mean_g - (x - mean) rstd mean_g_xhat)`.
///
/// # Shapes
/// `x`, `y`, `dy` and `dx [n, c, hw]`, `coefficients [c, 4]`: `mean`, `rstd`, `mean_g`, `mean_g_xhat`; `weight [c]`, or as `Params`
/// says.
///
/// # Writes
/// `dx =`
///
/// # Numerics
/// Tolerance class sum.
pub fn backward_input<T: Real>(
    p: &Params,
    x: &[T],
    y: &[T],
    dy: &[T],
    coefficients: &[T],
    weight: &[T],
    dx: &mut [T],
) -> Result<(), Error> {
    p.check(
        "batch_norm_relu::backward_input",
        &[
            ("x", x.len()),
            ("y", y.len()),
            ("dy", dy.len()),
            ("coefficients", coefficients.len()),
            ("weight", weight.len()),
            ("dx", dx.len()),
        ],
    )?;
    let [_, c, hw] = p.sizes();
    for i in 0..x.len() {
        let ch = i / hw % c;
        let k = &coefficients[4 * ch..][..4];
        let xhat = (x[i] - k[0]) * k[1];
        let g = through_relu(p, y[i], dy[i]);
        let (weight, _) = p.affine_of(weight, weight, ch);
        dx[i] = weight * k[1] * (g - k[2] - xhat * k[3]);
    }
    Ok(())
}

#[cfg(all(test, feature = "std"))]
mod tests;
