//! The entropy of each pixel's class probabilities.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

#[cfg(feature = "std")]
pub mod fast;
#[cfg(all(test, feature = "std"))]
mod tests;

/// Probabilities below this count as this within the logarithm, so that `0 ln 0` is 0.
pub const TINY: f32 = 1e-30;

/// Sizes; the same bytes are the shader's uniform buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Samples.
    pub n: u32,
    /// Channels: the classes.
    pub c: u32,
    /// Pixels of a plane.
    pub hw: u32,
}

impl Params {
    fn sizes(&self) -> [usize; 3] {
        [self.n, self.c, self.hw].map(|size| size as usize)
    }
}

impl Shape for Params {
    const OP: &'static str = "entropy";

    fn len(&self, buffer: &str) -> usize {
        let [n, c, hw] = self.sizes();
        match buffer {
            "p" => n.saturating_mul(c).saturating_mul(hw),
            "map" => n.saturating_mul(hw),
            _ => panic!("entropy has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        if self.sizes().contains(&0) {
            return Err(Error::Params { op: Self::OP, what: "n, c and hw must be at least 1" });
        }
        Ok(())
    }
}

/// `-sum_c p ln max(p, TINY)` of one pixel; `p(ch)` reads channel `ch`.
pub(crate) fn of_pixel<T: Real>(c: usize, p: impl Fn(usize) -> T) -> T {
    let tiny = T::from_f64(f64::from(TINY));
    let mut sum = T::ZERO;
    for ch in 0..c {
        sum += p(ch) * p(ch).max(tiny).ln();
    }
    -sum
}

/// `map = -sum_c p ln max(p, TINY)`.
///
/// # Shapes
/// `p [n, c, hw]`, `map [n, hw]`.
///
/// # Units
/// Nats: from 0 to `ln c`.
///
/// # Writes
/// `map =`
///
/// # Numerics
/// Tolerance class sum, with WGSL's `log`.
pub fn forward<T: Real>(params: &Params, p: &[T], map: &mut [T]) -> Result<(), Error> {
    params.check("entropy::forward", &[("p", p.len()), ("map", map.len())])?;
    let [n, c, hw] = params.sizes();
    for s in 0..n {
        for i in 0..hw {
            map[s * hw + i] = of_pixel(c, |ch| p[(s * c + ch) * hw + i]);
        }
    }
    Ok(())
}
