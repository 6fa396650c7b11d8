//! The filters' gradient of [`conv2d`] in slices of the image rows, for devices that have many more
//! cores than there are filters.

use core::ops::Range;

use bytemuck::{Pod, Zeroable};

use crate::conv2d;
use crate::conv2d_joined::{self, joined_plane};
use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

#[cfg(feature = "std")]
pub mod fast;

/// Image rows of a sample that a slice takes together.
pub const BAND: u32 = 8;

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
    /// Slices; at most [`bands`](Self::bands).
    pub slices: u32,
}

impl Params {
    /// Bands of [`BAND`] rows in all samples.
    pub fn bands(&self) -> u32 {
        self.n * self.h.div_ceil(BAND)
    }

    /// The bands of a slice.
    fn bands_of(&self, slice: usize) -> Range<usize> {
        let start = |slice: usize| slice * self.bands() as usize / self.slices as usize;
        start(slice)..start(slice + 1)
    }

    /// The sample and rows of a band.
    fn rows_of(&self, band: usize) -> (usize, Range<usize>) {
        let (h, tall) = (self.h as usize, BAND as usize);
        let per_sample = h.div_ceil(tall);
        let first = band % per_sample * tall;
        (band / per_sample, first..(first + tall).min(h))
    }

    fn filters(&self) -> usize {
        self.conv().len("weight")
    }

    fn conv(&self) -> conv2d::Params {
        let Self { n, c_in, c_out, h, w, kernel, .. } = *self;
        conv2d::Params { n, c_in, c_out, h, w, kernel, has_bias: 0 }
    }
}

impl Shape for Params {
    const OP: &'static str = "conv2d_split_k";

    fn len(&self, buffer: &str) -> usize {
        match buffer {
            "x" | "dy" | "dweight" => self.conv().len(buffer),
            "partials" => self.slices as usize * self.filters(),
            _ => panic!("conv2d_split_k has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let refuse = |what| Err(Error::Params { op: Self::OP, what });
        match self.conv().validate() {
            Err(Error::Params { what, .. }) => return refuse(what),
            other => other?,
        }
        if self.slices == 0 || self.slices > self.bands() {
            return refuse("slices must be from 1 to the number of bands");
        }
        if let Err(what) = conv2d_joined::check_first(self.c_in, self.c_a) {
            return refuse(what);
        }
        // The shader multiplies them.
        if u64::from(self.slices + 1) * u64::from(self.bands()) > u64::from(u32::MAX) {
            return refuse("slices times bands must fit into 32 bits");
        }
        Ok(())
    }
}

/// The sums of [`conv2d::backward_weight`] over each slice's rows:
/// `partials[t,o,c,a,b] = sum_(n,i in slice t; j) dy[n,o,i,j] x[n,c,i+a-pad,j+b-pad]`.
///
/// Bands of [`BAND`] rows, sample by sample, are numbered in order, and slice `t` has those from `t bands / slices` on.
///
/// # Shapes
/// `x [n, c_in, h, w]`, or `[n, c_a, h, w]` and then `[n, c_in - c_a, h, w]`; `dy [n, c_out, h, w]`, `partials [slices, c_out, c_in, kernel, kernel]`.
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
        "conv2d_split_k::backward_weight",
        &[("x", x.len()), ("dy", dy.len()), ("partials", partials.len())],
    )?;
    for (slice, partial) in partials.chunks_mut(p.filters()).enumerate() {
        for (filter, sums) in partial.chunks_mut((p.kernel * p.kernel) as usize).enumerate() {
            sum_filter(p, x, dy, slice, filter, sums);
        }
    }
    Ok(())
}

/// One filter's sums over one slice.
fn sum_filter<T: Real>(p: &Params, x: &[T], dy: &[T], slice: usize, filter: usize, sums: &mut [T]) {
    let [c_in, c_out, h, w, k] = [p.c_in, p.c_out, p.h, p.w, p.kernel].map(|size| size as usize);
    let (o, c) = (filter / c_in, filter % c_in);
    let plane = joined_plane([p.n, p.c_in, p.c_a]);
    sums.fill(T::ZERO);
    for band in p.bands_of(slice) {
        let (s, rows) = p.rows_of(band);
        for i in rows {
            let dy = &dy[((s * c_out + o) * h + i) * w..][..w];
            for a in 0..k {
                let Some(row) = (i + a).checked_sub(k / 2).filter(|&row| row < h) else { continue };
                let x = &x[(plane(s, c) * h + row) * w..][..w];
                for b in 0..k {
                    let mut sum = T::ZERO;
                    for j in 0..w {
                        if let Some(&x) = (j + b).checked_sub(k / 2).and_then(|at| x.get(at)) {
                            sum += dy[j] * x;
                        }
                    }
                    sums[a * k + b] += sum;
                }
            }
        }
    }
}

/// Adds the slices: `dweight[o,c,a,b] = sum_t partials[t,o,c,a,b]`.
///
/// # Shapes
/// `partials [slices, c_out, c_in, kernel, kernel]`, `dweight [c_out, c_in, kernel, kernel]`.
///
/// # Writes
/// `dweight =`
///
/// # Numerics
/// Tolerance class sum; in order of the slices, so that the same slices give the same bits.
pub fn reduce<T: Real>(p: &Params, partials: &[T], dweight: &mut [T]) -> Result<(), Error> {
    p.check("conv2d_split_k::reduce", &[("partials", partials.len()), ("dweight", dweight.len())])?;
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
