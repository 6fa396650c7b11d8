//! The mean of each plane: feature maps become embeddings.

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
    /// Channels.
    pub c: u32,
    /// Pixels of a plane.
    pub hw: u32,
}

impl Shape for Params {
    const OP: &'static str = "global_avg_pool2d";

    fn len(&self, buffer: &str) -> usize {
        let planes = (self.n as usize).saturating_mul(self.c as usize);
        match buffer {
            "x" => planes.saturating_mul(self.hw as usize),
            "y" => planes,
            _ => panic!("global_avg_pool2d has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        if self.n == 0 || self.c == 0 || self.hw == 0 {
            return Err(Error::Params { op: Self::OP, what: "n, c and hw must be at least 1" });
        }
        Ok(())
    }
}

/// `y[n, c] = sum_i x[n, c, i] / hw`.
///
/// # Shapes
/// `x [n, c, hw]`, `y [n, c]`.
///
/// # Writes
/// `y =`
///
/// # Numerics
/// Tolerance class sum.
pub fn forward<T: Real>(p: &Params, x: &[T], y: &mut [T]) -> Result<(), Error> {
    p.check("global_avg_pool2d::forward", &[("x", x.len()), ("y", y.len())])?;
    let hw = p.hw as usize;
    for plane in 0..y.len() {
        let mut sum = T::ZERO;
        for i in 0..hw {
            sum += x[plane * hw + i];
        }
        y[plane] = sum / T::from_usize(hw);
    }
    Ok(())
}

/// The f32 form.
#[cfg(feature = "std")]
pub mod fast {
    use super::Params;
    use crate::patch_sum::fast::sum;
    use crate::{Error, Shape, par};

    /// [`forward`](super::forward) for f32.
    pub fn forward(p: &Params, x: &[f32], y: &mut [f32]) -> Result<(), Error> {
        p.check("global_avg_pool2d::forward", &[("x", x.len()), ("y", y.len())])?;
        let hw = p.hw as usize;
        par::for_each_chunk_mut(y, 64, |i, y| {
            for (j, y) in y.iter_mut().enumerate() {
                *y = sum(&x[(i * 64 + j) * hw..][..hw]) / hw as f32;
            }
        });
        Ok(())
    }
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use crate::Call;
    use crate::tolerance::testing::{Buffer, check_fast, draw};
    use proptest::prelude::*;

    #[test]
    fn the_mean_of_each_plane() {
        let mut y = [0.0; 2];
        forward(&Params { n: 1, c: 2, hw: 2 }, &[1.0, 3.0, -1.0, 2.0], &mut y).unwrap();
        assert_eq!(y, [2.0, 0.5]);
    }

    proptest! {
        #[test]
        fn fast_agrees(n in 1u32..4, c in 1u32..70, hw in 1u32..300, seed: u64) {
            let p = Params { n, c, hw };
            let x = draw(seed, p.len("x"), -1.0..1.0);
            check_fast(Call::GlobalAvgPool2dForward(p), &[Buffer::Float(x)], &[Buffer::unset(n * c)]);
        }
    }
}
