//! The sums over a channel that [`batch_norm`](crate::batch_norm) and [`batch_norm_relu`](crate::batch_norm_relu) need, in slices
//! of the channel, for devices that have many more cores than there are channels.

use core::ops::Range;

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
    /// Slices of a channel; at most as many as it has elements, `n hw`.
    pub slices: u32,
    /// Added to the variance.
    pub eps: f32,
    /// Weight of the new statistics in the running ones, 0 to 1.
    pub momentum: f32,
    /// The value of a mask of dropout where something is kept; 1 without dropout.
    pub scale: f32,
}

impl Params {
    fn sizes(&self) -> [usize; 4] {
        [self.n, self.c, self.hw, self.slices].map(|size| size as usize)
    }

    /// The elements of a slice, counted over the channel's planes.
    fn elements_of(&self, slice: usize) -> Range<usize> {
        let [n, _, hw, slices] = self.sizes();
        slice * n * hw / slices..(slice + 1) * n * hw / slices
    }

    /// Where an element of a channel lies.
    fn index(&self, channel: usize, element: usize) -> usize {
        let [_, c, hw, _] = self.sizes();
        (element / hw * c + channel) * hw + element % hw
    }
}

impl Shape for Params {
    const OP: &'static str = "batch_norm_split";

    fn len(&self, buffer: &str) -> usize {
        let [n, c, hw, slices] = self.sizes();
        match buffer {
            "x" | "y" | "dy" => n * c * hw,
            "partials" | "dpartials" => 2 * c * slices,
            "mean" | "rstd" | "running_mean" | "running_var" | "dweight" | "dbias" => c,
            "coefficients" => 4 * c,
            _ => panic!("batch_norm_split has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let elements = u64::from(self.n) * u64::from(self.hw);
        let what = if [self.n, self.c, self.hw].contains(&0) {
            "n, c and hw must be at least 1"
        } else if self.slices == 0 || u64::from(self.slices) > elements {
            "slices must be from 1 to the number of elements of a channel"
        } else if u64::from(self.slices + 1) * elements > u64::from(u32::MAX) {
            // The shader multiplies them.
            "slices times elements of a channel must fit into 32 bits"
        } else if self.eps.is_nan() || self.eps <= 0.0 {
            "eps must be above 0"
        } else if !(0.0..=1.0).contains(&self.momentum) {
            "momentum must be from 0 to 1"
        } else if !(self.scale > 0.0 && self.scale.is_finite()) {
            "scale must be above 0"
        } else {
            return Ok(());
        };
        Err(Error::Params { op: Self::OP, what })
    }
}

/// Mean and squared differences of each slice: `partials[c,t] = (mean, sum (x - mean)^2)` over the elements of slice `t`, those
/// from `t n hw / slices` on, counted over the channel's planes in order.
///
/// # Shapes
/// `x [n, c, hw]`, `partials [c, slices, 2]`.
///
/// # Writes
/// `partials =`
///
/// # Numerics
/// Two passes over each slice. Tolerance class sum.
pub fn statistics<T: Real>(p: &Params, x: &[T], partials: &mut [T]) -> Result<(), Error> {
    p.check("batch_norm_split::statistics", &[("x", x.len()), ("partials", partials.len())])?;
    let slices = p.slices as usize;
    for (at, partial) in partials.chunks_mut(2).enumerate() {
        let (channel, elements) = (at / slices, p.elements_of(at % slices));
        let mut sum = T::ZERO;
        for element in elements.clone() {
            sum += x[p.index(channel, element)];
        }
        let mean = sum / T::from_usize(elements.len());
        let mut squares = T::ZERO;
        for element in elements {
            let difference = x[p.index(channel, element)] - mean;
            squares += difference * difference;
        }
        partial.copy_from_slice(&[mean, squares]);
    }
    Ok(())
}

/// Joins the slices of [`statistics`] to what [`batch_norm::statistics`](crate::batch_norm::statistics) leaves.
///
/// # Shapes
/// `partials [c, slices, 2]`, all others `[c]`.
///
/// # Writes
/// `mean =`, `rstd =`; `running_mean` and `running_var` `= (1 - momentum) running + momentum new`.
///
/// # Numerics
/// `mean = sum n_t mean_t / m`, squares `= sum (squares_t + n_t (mean_t - mean)^2)` with `n_t` elements of slice `t` and `m` of the
/// channel. Tolerance class sum.
///
/// # Source
/// Chan, Golub and LeVeque 1983, for several groups at once.
pub fn merge<T: Real>(
    p: &Params,
    partials: &[T],
    mean: &mut [T],
    rstd: &mut [T],
    running_mean: &mut [T],
    running_var: &mut [T],
) -> Result<(), Error> {
    p.check(
        "batch_norm_split::merge",
        &[
            ("partials", partials.len()),
            ("mean", mean.len()),
            ("rstd", rstd.len()),
            ("running_mean", running_mean.len()),
            ("running_var", running_var.len()),
        ],
    )?;
    let [n, c, hw, slices] = p.sizes();
    let (eps, momentum) = (T::from_f64(p.eps.into()), T::from_f64(p.momentum.into()));
    let m = n * hw;
    for ch in 0..c {
        let slice = |t: usize| {
            let partial = &partials[2 * (ch * slices + t)..][..2];
            (T::from_usize(p.elements_of(t).len()), partial[0], partial[1])
        };
        let mut sum = T::ZERO;
        for t in 0..slices {
            let (count, mean, _) = slice(t);
            sum += count * mean;
        }
        mean[ch] = sum / T::from_usize(m);
        let mut squares = T::ZERO;
        for t in 0..slices {
            let (count, slice_mean, slice_squares) = slice(t);
            let difference = slice_mean - mean[ch];
            squares += slice_squares + count * (difference * difference);
        }
        rstd[ch] = T::ONE / (squares / T::from_usize(m) + eps).sqrt();
        let unbiased = squares / T::from_usize((m - 1).max(1));
        running_mean[ch] = (T::ONE - momentum) * running_mean[ch] + momentum * mean[ch];
        running_var[ch] = (T::ONE - momentum) * running_var[ch] + momentum * unbiased;
    }
    Ok(())
}

/// The sums of [`batch_norm_relu::backward_weight`](crate::batch_norm_relu::backward_weight) over each slice, with
/// `g = dy scale` where `y > 0`, else 0: `dpartials[c,t] = (sum g (x - mean[c]) rstd[c], sum g)`.
///
/// # Shapes
/// `x`, `y` and `dy [n, c, hw]`, `mean` and `rstd [c]`, `dpartials [c, slices, 2]`.
///
/// # Writes
/// `dpartials =`
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
    dpartials: &mut [T],
) -> Result<(), Error> {
    p.check(
        "batch_norm_split::backward_weight",
        &[
            ("x", x.len()),
            ("y", y.len()),
            ("dy", dy.len()),
            ("mean", mean.len()),
            ("rstd", rstd.len()),
            ("dpartials", dpartials.len()),
        ],
    )?;
    let slices = p.slices as usize;
    let scale = T::from_f64(p.scale.into());
    for (at, partial) in dpartials.chunks_mut(2).enumerate() {
        let (ch, elements) = (at / slices, p.elements_of(at % slices));
        let (mut with_xhat, mut plain) = (T::ZERO, T::ZERO);
        for element in elements {
            let i = p.index(ch, element);
            let g = if y[i] > T::ZERO { dy[i] * scale } else { T::ZERO };
            with_xhat += g * ((x[i] - mean[ch]) * rstd[ch]);
            plain += g;
        }
        partial.copy_from_slice(&[with_xhat, plain]);
    }
    Ok(())
}

/// Joins the slices of [`backward_weight`] to what
/// [`batch_norm_relu::backward_weight`](crate::batch_norm_relu::backward_weight) leaves.
///
/// # Shapes
/// `dpartials [c, slices, 2]`, `coefficients [c, 4]`, all others `[c]`.
///
/// # Writes
/// `dweight =`, `dbias =`, `coefficients =`
///
/// # Numerics
/// Tolerance class sum; the order is the same each time.
pub fn merge_backward_weight<T: Real>(
    p: &Params,
    dpartials: &[T],
    mean: &[T],
    rstd: &[T],
    dweight: &mut [T],
    dbias: &mut [T],
    coefficients: &mut [T],
) -> Result<(), Error> {
    p.check(
        "batch_norm_split::merge_backward_weight",
        &[
            ("dpartials", dpartials.len()),
            ("mean", mean.len()),
            ("rstd", rstd.len()),
            ("dweight", dweight.len()),
            ("dbias", dbias.len()),
            ("coefficients", coefficients.len()),
        ],
    )?;
    let [n, c, hw, slices] = p.sizes();
    let m = T::from_usize(n * hw);
    for ch in 0..c {
        let (mut with_xhat, mut plain) = (T::ZERO, T::ZERO);
        for t in 0..slices {
            with_xhat += dpartials[2 * (ch * slices + t)];
            plain += dpartials[2 * (ch * slices + t) + 1];
        }
        dweight[ch] = with_xhat;
        dbias[ch] = plain;
        let k = [mean[ch], rstd[ch], plain / m, with_xhat / m];
        coefficients[4 * ch..][..4].copy_from_slice(&k);
    }
    Ok(())
}

#[cfg(all(test, feature = "std"))]
mod tests;
