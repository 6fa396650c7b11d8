//! The probability of each pixel's likeliest class.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

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
    const OP: &'static str = "least_confidence";

    fn len(&self, buffer: &str) -> usize {
        let [n, c, hw] = self.sizes();
        match buffer {
            "p" => n.saturating_mul(c).saturating_mul(hw),
            "map" => n.saturating_mul(hw),
            _ => panic!("least_confidence has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        if self.sizes().contains(&0) {
            return Err(Error::Params { op: Self::OP, what: "n, c and hw must be at least 1" });
        }
        Ok(())
    }
}

/// `map = max_c p`. The patch with the smallest sum of this map is the least confident one.
///
/// # Shapes
/// `p [n, c, hw]`, `map [n, hw]`.
///
/// # Writes
/// `map =`
///
/// # Numerics
/// Tolerance class exact.
pub fn forward<T: Real>(params: &Params, p: &[T], map: &mut [T]) -> Result<(), Error> {
    params.check("least_confidence::forward", &[("p", p.len()), ("map", map.len())])?;
    let [n, c, hw] = params.sizes();
    for s in 0..n {
        for i in 0..hw {
            let mut max = p[s * c * hw + i];
            for ch in 1..c {
                max = max.max(p[(s * c + ch) * hw + i]);
            }
            map[s * hw + i] = max;
        }
    }
    Ok(())
}

/// The f32 form, a run of neighbouring pixels at a time.
#[cfg(feature = "std")]
pub mod fast {
    use super::Params;
    use crate::softmax::fast::TILE;
    use crate::{Error, Shape, par};

    /// [`forward`](super::forward) for f32; the same bits.
    pub fn forward(params: &Params, p: &[f32], map: &mut [f32]) -> Result<(), Error> {
        params.check("least_confidence::forward", &[("p", p.len()), ("map", map.len())])?;
        let [_, c, hw] = params.sizes();
        par::for_each_tile_mut(map, 1, hw, TILE, |mut tile| {
            let map = &mut *tile.channels[0];
            let plane = |ch| &p[(tile.sample * c + ch) * hw + tile.start..];
            map.copy_from_slice(&plane(0)[..map.len()]);
            for ch in 1..c {
                for (max, &x) in map.iter_mut().zip(plane(ch)) {
                    *max = if *max > x { *max } else { x };
                }
            }
        });
        Ok(())
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::Call;
    use crate::tolerance::compare_exact;
    use crate::tolerance::testing::{Buffer, check_fast, draw};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fast_is_equal(n in 1u32..3, c in 1u32..5, hw in 1u32..5000, seed: u64) {
            let params = Params { n, c, hw };
            let p = draw(seed, params.len("p"), 0.0..1.0);
            let mut map = vec![0.0; params.len("map")];
            forward(&params, &p, &mut map).unwrap();
            let call = Call::LeastConfidenceForward(params);
            let got = check_fast(call, &[Buffer::Float(p)], &[Buffer::unset(n * hw)]);
            compare_exact(got[0].floats(), &map).unwrap();
        }
    }
}
