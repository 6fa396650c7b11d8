//! Where two results differ, as `numpy.allclose` and `torch.isclose` see it, but counted.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

#[cfg(all(test, feature = "std"))]
mod tests;

/// Sizes and tolerances; the same bytes are the shader's uniform buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Numbers in each result, at most 2^31.
    pub len: u32,
    /// Parts that are counted separately. Each is a run of `ceil(len / slices)` numbers; the last
    /// ones may be shorter or empty.
    pub slices: u32,
    /// What two numbers may differ by, whatever they are.
    pub atol: f32,
    /// What they may differ by besides, times the wanted number: a power of two or 0, so that all
    /// who compute the sum of both round it alike.
    pub rtol: f32,
}

impl Params {
    /// The numbers of a slice.
    fn slice(&self, number: usize) -> core::ops::Range<usize> {
        let (len, span) = (self.len as usize, self.len.div_ceil(self.slices) as usize);
        (number * span).min(len)..((number + 1) * span).min(len)
    }
}

impl Shape for Params {
    const OP: &'static str = "allclose";

    fn len(&self, buffer: &str) -> usize {
        match buffer {
            "got" | "want" => self.len as usize,
            "counts" => 3 * self.slices as usize,
            _ => panic!("allclose has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let is_power = self.rtol.to_bits() & 0x7f_ffff == 0 && self.rtol.is_normal();
        let what = if self.len == 0 || self.slices == 0 {
            "len and slices must be at least 1"
        } else if self.len > 1 << 31 || self.slices > self.len {
            "len must be at most 2^31 and slices at most len"
        } else if !(self.atol >= 0.0 && self.atol.is_finite()) {
            "atol must be a finite number from 0 up"
        } else if !(self.rtol == 0.0 || (is_power && self.rtol > 0.0)) {
            "rtol must be 0 or a power of two"
        } else {
            return Ok(());
        };
        Err(Error::Params { op: Self::OP, what })
    }
}

/// `counts[3 s ..] = [numbers that are not equal, numbers that are not close, the first of those]`
/// of slice `s`.
///
/// Two numbers are equal if `got == want`, and close if `|got - want| <= atol + rtol |want|`. What
/// is no finite number, in either result, is neither. Where all are close the first is `len`.
///
/// # Shapes
/// `got` and `want [len]`, `counts [slices, 3]`.
///
/// # Writes
/// `counts =`
///
/// # Numerics
/// Tolerance class exact: the bound is rounded once, since `rtol |want|` is exact.
///
/// # Source
/// The tolerance is that of `numpy.allclose` and `torch.isclose`.
pub fn count<T: Real>(p: &Params, got: &[T], want: &[T], counts: &mut [u32]) -> Result<(), Error> {
    check(p, got.len(), want.len(), counts.len())?;
    for (number, counts) in counts.chunks_exact_mut(3).enumerate() {
        counts.copy_from_slice(&count_slice(p, got, want, p.slice(number)));
    }
    Ok(())
}

fn check(p: &Params, got: usize, want: usize, counts: usize) -> Result<(), Error> {
    p.check("allclose::count", &[("got", got), ("want", want), ("counts", counts)])
}

fn count_slice<T: Real>(
    p: &Params,
    got: &[T],
    want: &[T],
    slice: core::ops::Range<usize>,
) -> [u32; 3] {
    let [atol, rtol] = [p.atol, p.rtol].map(|value| T::from_f64(f64::from(value)));
    let magnitude = |value: T| if value < T::ZERO { -value } else { value };
    let mut counts = [0, 0, p.len];
    for i in slice {
        let (got, want) = (got[i], want[i]);
        let are_finite = got.to_f64().is_finite() && want.to_f64().is_finite();
        let is_equal = are_finite && got == want;
        let bound = atol + rtol * magnitude(want);
        let is_close = are_finite && magnitude(got - want) <= bound;
        counts[0] += u32::from(!is_equal);
        counts[1] += u32::from(!is_close);
        if !is_close {
            counts[2] = counts[2].min(i as u32);
        }
    }
    counts
}

/// The f32 form, spread over threads.
#[cfg(feature = "std")]
pub mod fast {
    use super::Params;
    use crate::{Error, par};

    /// [`count`](super::count) for f32; the same counts.
    pub fn count(p: &Params, got: &[f32], want: &[f32], counts: &mut [u32]) -> Result<(), Error> {
        super::check(p, got.len(), want.len(), counts.len())?;
        let of_slice = |number| super::count_slice(p, got, want, p.slice(number));
        let found = par::map_indices(p.slices as usize, of_slice);
        counts.copy_from_slice(found.as_flattened());
        Ok(())
    }
}
