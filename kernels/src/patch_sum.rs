//! The sum of a map over each patch: pixel scores become patch scores.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

/// Sizes; the same bytes are the shader's uniform buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Samples: the patches.
    pub n: u32,
    /// Pixels of a patch.
    pub hw: u32,
}

impl Shape for Params {
    const OP: &'static str = "patch_sum";

    fn len(&self, buffer: &str) -> usize {
        match buffer {
            "map" => (self.n as usize).saturating_mul(self.hw as usize),
            "score" => self.n as usize,
            _ => panic!("patch_sum has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        if self.n == 0 || self.hw == 0 {
            return Err(Error::Params { op: Self::OP, what: "n and hw must be at least 1" });
        }
        Ok(())
    }
}

/// `score[n] = sum_i map[n, i]`.
///
/// # Shapes
/// `map [n, hw]`, `score [n]`.
///
/// # Writes
/// `score =`
///
/// # Numerics
/// Tolerance class sum.
pub fn forward<T: Real>(p: &Params, map: &[T], score: &mut [T]) -> Result<(), Error> {
    p.check("patch_sum::forward", &[("map", map.len()), ("score", score.len())])?;
    let hw = p.hw as usize;
    for s in 0..score.len() {
        let mut sum = T::ZERO;
        for i in 0..hw {
            sum += map[s * hw + i];
        }
        score[s] = sum;
    }
    Ok(())
}

/// The f32 form.
#[cfg(feature = "std")]
pub mod fast {
    use super::Params;
    use crate::{Error, Shape, par};

    /// [`forward`](super::forward) for f32.
    pub fn forward(p: &Params, map: &[f32], score: &mut [f32]) -> Result<(), Error> {
        p.check("patch_sum::forward", &[("map", map.len()), ("score", score.len())])?;
        let hw = p.hw as usize;
        par::for_each_chunk_mut(score, 1, |s, score| score[0] = sum(&map[s * hw..][..hw]));
        Ok(())
    }

    /// Partial sums that are kept side by side. The number is part of the results.
    pub(crate) const LANES: usize = 16;

    /// The sum of `x`: lane `l` sums every 16th element from `l` on, and neighbouring lanes fold into one.
    #[inline(always)]
    pub(crate) fn sum(x: &[f32]) -> f32 {
        let mut lanes = [0.0; LANES];
        let (whole, rest) = x.as_chunks::<LANES>();
        for x in whole {
            for l in 0..LANES {
                lanes[l] += x[l];
            }
        }
        for (lane, x) in lanes.iter_mut().zip(rest) {
            *lane += x;
        }
        fold(lanes)
    }

    /// The sum of the lanes, as a tree.
    #[inline(always)]
    pub(crate) fn fold(mut lanes: [f32; LANES]) -> f32 {
        let mut width = LANES / 2;
        while width > 0 {
            for l in 0..width {
                lanes[l] += lanes[l + width];
            }
            width /= 2;
        }
        lanes[0]
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::Call;
    use crate::tolerance::testing::{Buffer, check_fast, draw};
    use proptest::prelude::*;

    #[test]
    fn a_patch_of_ones_scores_its_pixels() {
        let mut score = [0.0; 2];
        forward(&Params { n: 2, hw: 3 }, &[1.0, 1.0, 1.0, 2.0, 2.0, 2.5], &mut score).unwrap();
        assert_eq!(score, [3.0, 6.5]);
    }

    proptest! {
        #[test]
        fn fast_agrees(n in 1u32..5, hw in 1u32..700, seed: u64) {
            let p = Params { n, hw };
            let map = draw(seed, p.len("map"), -1.0..1.0);
            check_fast(Call::PatchSumForward(p), &[Buffer::Float(map)], &[Buffer::unset(n)]);
        }
    }
}
