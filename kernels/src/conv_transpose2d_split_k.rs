//! The filters' gradient of [`conv_transpose2d`] in slices of the pixels, for devices that have many more
//! cores than there are filters.

use core::ops::Range;

use bytemuck::{Pod, Zeroable};

use crate::conv_transpose2d;
use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

#[cfg(feature = "std")]
pub mod fast;

/// Pixels of a sample that a slice takes together.
pub const CHUNK: u32 = 64;

/// Sizes; the same bytes are the shader's uniform buffer.
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
    /// Slices; at most [`chunks`](Self::chunks).
    pub slices: u32,
}

impl Params {
    /// Chunks of [`CHUNK`] pixels of the input in all samples.
    pub fn chunks(&self) -> u32 {
        self.n * (self.h * self.w).div_ceil(CHUNK)
    }

    /// The chunks of a slice.
    fn chunks_of(&self, slice: usize) -> Range<usize> {
        let start = |slice: usize| slice * self.chunks() as usize / self.slices as usize;
        start(slice)..start(slice + 1)
    }

    fn conv(&self) -> conv_transpose2d::Params {
        let Self { n, c_in, c_out, h, w, .. } = *self;
        conv_transpose2d::Params { n, c_in, c_out, h, w }
    }

    fn filters(&self) -> usize {
        self.conv().len("weight")
    }
}

impl Shape for Params {
    const OP: &'static str = "conv_transpose2d_split_k";

    fn len(&self, buffer: &str) -> usize {
        match buffer {
            "x" | "dy" | "dweight" => self.conv().len(buffer),
            "partials" => self.slices as usize * self.filters(),
            _ => panic!("conv_transpose2d_split_k has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let refuse = |what| Err(Error::Params { op: Self::OP, what });
        match self.conv().validate() {
            Err(Error::Params { what, .. }) => return refuse(what),
            other => other?,
        }
        if self.slices == 0 || self.slices > self.chunks() {
            return refuse("slices must be from 1 to the number of chunks");
        }
        // The shader multiplies them.
        if u64::from(self.slices + 1) * u64::from(self.chunks()) > u64::from(u32::MAX) {
            return refuse("slices times chunks must fit into 32 bits");
        }
        Ok(())
    }
}

/// The sums of [`conv_transpose2d::backward_weight`] over each slice's pixels:
/// `partials[t,c,o,a,b] = sum_(n,i,j in slice t) x[n,c,i,j] dy[n,o,2i+a,2j+b]`.
///
/// Chunks of [`CHUNK`] pixels, sample by sample, are numbered in order, and slice `t` has those from `t chunks / slices` on.
///
/// # Shapes
/// `x [n, c_in, h, w]`, `dy [n, c_out, 2h, 2w]`, `partials [slices, c_in, c_out, 2, 2]`.
///
/// # Writes
/// `partials =`
///
/// # Numerics
/// Tolerance class sum.
pub fn backward_weight<T: Real>(
    p: &Params,
    x: &[T],
    dy: &[T],
    partials: &mut [T],
) -> Result<(), Error> {
    p.check(
        "conv_transpose2d_split_k::backward_weight",
        &[("x", x.len()), ("dy", dy.len()), ("partials", partials.len())],
    )?;
    let [c_in, c_out, h, w] = [p.c_in, p.c_out, p.h, p.w].map(|size| size as usize);
    let (hw, wide) = (h * w, CHUNK as usize);
    let per_sample = hw.div_ceil(wide);
    for (slice, partial) in partials.chunks_mut(p.filters()).enumerate() {
        for (at, sum) in partial.iter_mut().enumerate() {
            let (c, o, tap) = (at / 4 / c_out, at / 4 % c_out, at % 4);
            *sum = T::ZERO;
            for chunk in p.chunks_of(slice) {
                let (s, first) = (chunk / per_sample, chunk % per_sample * wide);
                for pixel in first..(first + wide).min(hw) {
                    let (row, col) = (2 * (pixel / w) + tap / 2, 2 * (pixel % w) + tap % 2);
                    *sum += x[(s * c_in + c) * hw + pixel]
                        * dy[((s * c_out + o) * 2 * h + row) * 2 * w + col];
                }
            }
        }
    }
    Ok(())
}

/// Adds the slices: `dweight[c,o,a,b] = sum_t partials[t,c,o,a,b]`.
///
/// # Shapes
/// `partials [slices, c_in, c_out, 2, 2]`, `dweight [c_in, c_out, 2, 2]`.
///
/// # Writes
/// `dweight =`
///
/// # Numerics
/// Tolerance class sum; the order is the same each time.
pub fn reduce<T: Real>(p: &Params, partials: &[T], dweight: &mut [T]) -> Result<(), Error> {
    p.check(
        "conv_transpose2d_split_k::reduce",
        &[("partials", partials.len()), ("dweight", dweight.len())],
    )?;
    dweight.fill(T::ZERO);
    for partial in partials.chunks(p.filters()) {
        for (sum, &part) in dweight.iter_mut().zip(partial) {
            *sum += part;
        }
    }
    Ok(())
}

#[cfg(all(test, feature = "std"))]
mod tests;
