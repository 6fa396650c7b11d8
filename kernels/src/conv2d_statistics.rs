//! A convolution that also leaves what [`batch_norm::statistics`](crate::batch_norm::statistics) or
//! [`instance_norm::statistics`](crate::instance_norm::statistics) would make of its output, so that the map need not be read
//! again: mean and squares over small cells of pixels, and passes that join them.

use core::ops::Range;

use bytemuck::{Pod, Zeroable};

use crate::conv2d;
use crate::conv2d_joined;
use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

#[cfg(feature = "std")]
pub mod fast;

/// Side of a cell, in pixels. The shader's tiles are made of whole cells, whatever their shape.
pub const CELL: u32 = 8;

/// Sizes and constants; the same bytes are the shader's uniform buffer.
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
    /// Added to the variance.
    pub eps: f32,
    /// Weight of the new statistics in the running ones, 0 to 1.
    pub momentum: f32,
}

impl Params {
    fn joined(&self) -> conv2d_joined::Params {
        let Self { n, c_in, c_a, c_out, h, w, kernel, .. } = *self;
        conv2d_joined::Params { n, c_in, c_a, c_out, h, w, kernel }
    }

    fn conv(&self) -> conv2d::Params {
        self.joined().conv()
    }

    /// Cells of a plane, down and across.
    fn cells(&self) -> [usize; 2] {
        [self.h, self.w].map(|side| side.div_ceil(CELL) as usize)
    }

    /// Cells of a channel.
    fn cells_of_channel(&self) -> usize {
        self.n as usize * self.cells().iter().product::<usize>()
    }

    /// Pixels of a cell, which is one of its channel's; those at the edges may be smaller.
    fn pixels_of(&self, cell: usize) -> usize {
        let [rows, columns] = self.range_of(cell);
        rows.len() * columns.len()
    }

    /// Rows and columns of a cell.
    fn range_of(&self, cell: usize) -> [Range<usize>; 2] {
        let [down, across] = self.cells();
        let range = |i: usize, side: u32| {
            let first = i * CELL as usize;
            first..(first + CELL as usize).min(side as usize)
        };
        [range(cell / across % down, self.h), range(cell % across, self.w)]
    }
}

impl Shape for Params {
    const OP: &'static str = "conv2d_statistics";

    fn len(&self, buffer: &str) -> usize {
        match buffer {
            "x" | "weight" | "y" => self.conv().len(buffer),
            "partials" => 2 * self.c_out as usize * self.cells_of_channel(),
            "plane_mean" | "plane_rstd" => self.n as usize * self.c_out as usize,
            "mean" | "rstd" | "running_mean" | "running_var" => self.c_out as usize,
            _ => panic!("conv2d_statistics has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let what = match self.joined().validate() {
            Err(Error::Params { what, .. }) => what,
            Err(other) => return Err(other),
            Ok(()) if self.eps.is_nan() || self.eps <= 0.0 => "eps must be above 0",
            Ok(()) if !(0.0..=1.0).contains(&self.momentum) => "momentum must be from 0 to 1",
            Ok(()) => return Ok(()),
        };
        Err(Error::Params { op: Self::OP, what })
    }
}

/// Convolves, and sums over cells of at most 8 x 8 pixels: `y[n,o,i,j] = sum_(c,a,b) weight[o,c,a,b] x[n,c,i+a-pad,j+b-pad]`,
/// `partials[o,n,t] = (mean, sum (y - mean)^2)` over the pixels of cell `t` of plane `[n,o]`.
///
/// # Shapes
/// `x [n, c_in, h, w]`, or `[n, c_a, h, w]` and then `[n, c_in - c_a, h, w]`; `weight [c_out, c_in, kernel, kernel]`,
/// `y [n, c_out, h, w]`, `partials [c_out, n, ceil(h / 8), ceil(w / 8), 2]`.
///
/// # Writes
/// `y =`, `partials =`
///
/// # Numerics
/// The mean of each cell first, then the squares of differences from it. Where `y` is stored as f16, the sums over cells are of
/// what it was before. Tolerance class sum.
pub fn forward<T: Real>(
    p: &Params,
    x: &[T],
    weight: &[T],
    y: &mut [T],
    partials: &mut [T],
) -> Result<(), Error> {
    p.check("conv2d_statistics::forward", &[("partials", partials.len())])?;
    conv2d_joined::forward(&p.joined(), x, weight, y)?;
    sum_cells(p, y, partials);
    Ok(())
}

/// The sums over the cells of `y`.
fn sum_cells<T: Real>(p: &Params, y: &[T], partials: &mut [T]) {
    let conv2d::Sizes { c_out, h, w, .. } = p.conv().sizes();
    let (of_channel, of_plane) = (p.cells_of_channel(), p.cells().iter().product::<usize>());
    for (at, partial) in partials.chunks_mut(2).enumerate() {
        let (channel, cell) = (at / of_channel, at % of_channel);
        let plane = &y[(cell / of_plane * c_out + channel) * h * w..][..h * w];
        let [rows, columns] = p.range_of(cell);
        let pixels = || rows.clone().flat_map(|row| &plane[row * w..][columns.clone()]);
        let mut sum = T::ZERO;
        for &pixel in pixels() {
            sum += pixel;
        }
        let mean = sum / T::from_usize(p.pixels_of(cell));
        let mut squares = T::ZERO;
        for &pixel in pixels() {
            let difference = pixel - mean;
            squares += difference * difference;
        }
        partial.copy_from_slice(&[mean, squares]);
    }
}

/// Joins the cells of [`forward`] to what [`batch_norm::statistics`](crate::batch_norm::statistics) leaves.
///
/// # Shapes
/// `partials` as in [`forward`], all others `[c_out]`.
///
/// # Writes
/// `mean =`, `rstd =`; `running_mean` and `running_var` `= (1 - momentum) running + momentum new`.
///
/// # Numerics
/// `mean = sum n_t mean_t / m`, squares `= sum (squares_t + n_t (mean_t - mean)^2)` with `n_t` pixels of cell `t` and `m` of the
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
        "conv2d_statistics::merge",
        &[
            ("partials", partials.len()),
            ("mean", mean.len()),
            ("rstd", rstd.len()),
            ("running_mean", running_mean.len()),
            ("running_var", running_var.len()),
        ],
    )?;
    let (eps, momentum) = (T::from_f64(p.eps.into()), T::from_f64(p.momentum.into()));
    let conv2d::Sizes { n, h, w, .. } = p.conv().sizes();
    let m = n * h * w;
    for (ch, partials) in partials.chunks(2 * p.cells_of_channel()).enumerate() {
        let (average, squares) = join_cells(p, partials, m);
        mean[ch] = average;
        rstd[ch] = T::ONE / (squares / T::from_usize(m) + eps).sqrt();
        let unbiased = squares / T::from_usize((m - 1).max(1));
        running_mean[ch] = (T::ONE - momentum) * running_mean[ch] + momentum * average;
        running_var[ch] = (T::ONE - momentum) * running_var[ch] + momentum * unbiased;
    }
    Ok(())
}

/// Mean, and squares of differences from it, of `m` pixels in cells of whole planes.
fn join_cells<T: Real>(p: &Params, partials: &[T], m: usize) -> (T, T) {
    let cells = || {
        let pixels = |cell| T::from_usize(p.pixels_of(cell));
        partials.chunks(2).enumerate().map(move |(cell, sums)| (pixels(cell), sums[0], sums[1]))
    };
    let mut sum = T::ZERO;
    for (count, mean, _) in cells() {
        sum += count * mean;
    }
    let average = sum / T::from_usize(m);
    let mut squares = T::ZERO;
    for (count, cell_mean, cell_squares) in cells() {
        let difference = cell_mean - average;
        squares += cell_squares + count * (difference * difference);
    }
    (average, squares)
}

/// Joins the cells of [`forward`] to what [`instance_norm::statistics`](crate::instance_norm::statistics) leaves.
///
/// # Shapes
/// `partials` as in [`forward`], `plane_mean` and `plane_rstd [n, c_out]`.
///
/// # Writes
/// `plane_mean =`, `plane_rstd =`
///
/// # Numerics
/// As [`merge`], over a plane. Tolerance class sum.
pub fn merge_planes<T: Real>(
    p: &Params,
    partials: &[T],
    plane_mean: &mut [T],
    plane_rstd: &mut [T],
) -> Result<(), Error> {
    p.check(
        "conv2d_statistics::merge_planes",
        &[
            ("partials", partials.len()),
            ("plane_mean", plane_mean.len()),
            ("plane_rstd", plane_rstd.len()),
        ],
    )?;
    let conv2d::Sizes { n, c_out, h, w, .. } = p.conv().sizes();
    let of_plane = 2 * p.cells().iter().product::<usize>();
    for (at, partials) in partials.chunks(of_plane).enumerate() {
        let (channel, sample) = (at / n, at % n);
        let (average, squares) = join_cells(p, partials, h * w);
        let variance = squares / T::from_usize(h * w);
        plane_mean[sample * c_out + channel] = average;
        plane_rstd[sample * c_out + channel] =
            T::ONE / (variance + T::from_f64(p.eps.into())).sqrt();
    }
    Ok(())
}

#[cfg(all(test, feature = "std"))]
mod tests;
