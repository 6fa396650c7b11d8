//! A unit of the network in evaluation: [`conv2d`], [`batch_norm`](crate::batch_norm) with the running
//! statistics, [`dropout`](crate::dropout) and [`relu`](crate::relu), of which only the result is written.

use bytemuck::{Pod, Zeroable};

use crate::conv2d;
use crate::conv2d_joined;
use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

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
    /// 0: no dropout, and `mask` is one unused element; 1: a value of the mask for each channel of a sample; 2: for
    /// each element.
    pub mask: u32,
    /// Added to the variance.
    pub eps: f32,
}

impl Params {
    fn joined(&self) -> conv2d_joined::Params {
        let Self { n, c_in, c_a, c_out, h, w, kernel, .. } = *self;
        conv2d_joined::Params { n, c_in, c_a, c_out, h, w, kernel }
    }

    fn conv(&self) -> conv2d::Params {
        self.joined().conv()
    }
}

impl Shape for Params {
    const OP: &'static str = "conv2d_norm_relu";

    fn len(&self, buffer: &str) -> usize {
        match buffer {
            "x" | "weight" | "y" => self.conv().len(buffer),
            "running_mean" | "running_var" | "norm_weight" | "norm_bias" => self.c_out as usize,
            "mask" => match self.mask {
                0 => 1,
                1 => (self.n * self.c_out) as usize,
                _ => self.conv().len("y"),
            },
            _ => panic!("conv2d_norm_relu has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let what = match self.joined().validate() {
            Err(Error::Params { what, .. }) => what,
            Err(other) => return Err(other),
            Ok(()) if self.mask > 2 => "mask must be 0, 1 or 2",
            Ok(()) if self.eps.is_nan() || self.eps <= 0.0 => "eps must be above 0",
            Ok(()) => return Ok(()),
        };
        Err(Error::Params { op: Self::OP, what })
    }
}

/// `y = max(((v - running_mean[o]) / sqrt(running_var[o] + eps) norm_weight[o] + norm_bias[o]) mask, 0)` with
/// `v[n,o,i,j] = sum_(c,a,b) weight[o,c,a,b] x[n,c,i+a-pad,j+b-pad]`.
///
/// # Shapes
/// `x [n, c_in, h, w]`, or `[n, c_a, h, w]` and then `[n, c_in - c_a, h, w]`; `weight [c_out, c_in, kernel, kernel]`, `y [n, c_out, h, w]`, `mask` as `Params` says, all others
/// `[c_out]`.
///
/// # Writes
/// `y =`
///
/// # Numerics
/// Tolerance class sum.
pub fn forward_eval<T: Real>(
    p: &Params,
    x: &[T],
    weight: &[T],
    running_mean: &[T],
    running_var: &[T],
    norm_weight: &[T],
    norm_bias: &[T],
    mask: &[T],
    y: &mut [T],
) -> Result<(), Error> {
    check(p, running_mean, running_var, norm_weight, norm_bias, mask)?;
    conv2d_joined::forward(&p.joined(), x, weight, y)?;
    let (c, hw) = (p.c_out as usize, (p.h * p.w) as usize);
    for (i, y) in y.iter_mut().enumerate() {
        let ch = i / hw % c;
        let rstd = T::ONE / (running_var[ch] + T::from_f64(p.eps.into())).sqrt();
        let normed = (*y - running_mean[ch]) * rstd * norm_weight[ch] + norm_bias[ch];
        *y = (normed * mask_of(p, mask, i)).max(T::ZERO);
    }
    Ok(())
}

/// The mask's value for an element.
fn mask_of<T: Real>(p: &Params, mask: &[T], i: usize) -> T {
    match p.mask {
        0 => T::ONE,
        1 => mask[i / (p.h * p.w) as usize],
        _ => mask[i],
    }
}

/// What a convolution doesn't check.
fn check<T>(
    p: &Params,
    running_mean: &[T],
    running_var: &[T],
    norm_weight: &[T],
    norm_bias: &[T],
    mask: &[T],
) -> Result<(), Error> {
    p.check(
        "conv2d_norm_relu::forward_eval",
        &[
            ("running_mean", running_mean.len()),
            ("running_var", running_var.len()),
            ("norm_weight", norm_weight.len()),
            ("norm_bias", norm_bias.len()),
            ("mask", mask.len()),
        ],
    )
}

/// f32 forms, made of those of the single operations. The CPU executor fuses units in a way of its own.
#[cfg(feature = "std")]
pub mod fast {
    use super::{Params, check, mask_of};
    use crate::conv2d_joined;
    use crate::error::Error;
    use crate::simd::for_each_plane_mut;

    /// [`forward_eval`](super::forward_eval) for f32.
    pub fn forward_eval(
        p: &Params,
        x: &[f32],
        weight: &[f32],
        running_mean: &[f32],
        running_var: &[f32],
        norm_weight: &[f32],
        norm_bias: &[f32],
        mask: &[f32],
        y: &mut [f32],
    ) -> Result<(), Error> {
        check(p, running_mean, running_var, norm_weight, norm_bias, mask)?;
        conv2d_joined::fast::forward(&p.joined(), x, weight, y)?;
        let (c, hw) = (p.c_out as usize, (p.h * p.w) as usize);
        for_each_plane_mut(y, hw, |plane, y| {
            let ch = plane % c;
            let scale = norm_weight[ch] / (running_var[ch] + p.eps).sqrt();
            for (i, y) in y.iter_mut().enumerate() {
                let normed = (*y - running_mean[ch]) * scale + norm_bias[ch];
                *y = (normed * mask_of(p, mask, plane * hw + i)).max(0.0);
            }
        });
        Ok(())
    }
}

#[cfg(all(test, feature = "std"))]
mod tests;
