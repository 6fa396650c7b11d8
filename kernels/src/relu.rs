//! The rectifier: negative values become zero.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

/// Size; the same bytes are the shader's uniform buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Elements.
    pub len: u32,
}

impl Shape for Params {
    const OP: &'static str = "relu";

    fn len(&self, buffer: &str) -> usize {
        match buffer {
            "x" | "y" | "dy" | "dx" => self.len as usize,
            _ => panic!("relu has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        if self.len == 0 {
            return Err(Error::Params { op: Self::OP, what: "len must be at least 1" });
        }
        Ok(())
    }
}

/// `y = max(x, 0)`.
///
/// # Writes
/// `y =`
///
/// # Numerics
/// Tolerance class exact.
pub fn forward<T: Real>(p: &Params, x: &[T], y: &mut [T]) -> Result<(), Error> {
    p.check("relu::forward", &[("x", x.len()), ("y", y.len())])?;
    for i in 0..x.len() {
        y[i] = if x[i] > T::ZERO { x[i] } else { T::ZERO };
    }
    Ok(())
}

/// `dx = dy` where the output `y` is above zero, else 0.
///
/// # Writes
/// `dx =`
///
/// # Numerics
/// Tolerance class exact. The gradient at zero is 0, as in PyTorch.
pub fn backward_input<T: Real>(p: &Params, y: &[T], dy: &[T], dx: &mut [T]) -> Result<(), Error> {
    p.check("relu::backward_input", &[("y", y.len()), ("dy", dy.len()), ("dx", dx.len())])?;
    for i in 0..y.len() {
        dx[i] = if y[i] > T::ZERO { dy[i] } else { T::ZERO };
    }
    Ok(())
}

/// f32 forms at the speed of memory.
#[cfg(feature = "std")]
pub mod fast {
    use super::Params;
    use crate::error::Error;
    use crate::par::for_each_chunk_mut;
    use crate::shape::Shape;
    use crate::simd::{PIECE, map, map2};

    /// [`forward`](super::forward) for f32.
    pub fn forward(p: &Params, x: &[f32], y: &mut [f32]) -> Result<(), Error> {
        p.check("relu::forward", &[("x", x.len()), ("y", y.len())])?;
        for_each_chunk_mut(y, PIECE, |i, y| {
            map(
                &x[i * PIECE..][..y.len()],
                y,
                #[inline(always)]
                move |x| if x > 0.0 { x } else { 0.0 },
            );
        });
        Ok(())
    }

    /// [`backward_input`](super::backward_input) for f32.
    pub fn backward_input(p: &Params, y: &[f32], dy: &[f32], dx: &mut [f32]) -> Result<(), Error> {
        p.check("relu::backward_input", &[("y", y.len()), ("dy", dy.len()), ("dx", dx.len())])?;
        for_each_chunk_mut(dx, PIECE, |i, dx| {
            let (y, dy) = (&y[i * PIECE..][..dx.len()], &dy[i * PIECE..][..dx.len()]);
            map2(
                y,
                dy,
                dx,
                #[inline(always)]
                move |y, dy| if y > 0.0 { dy } else { 0.0 },
            );
        });
        Ok(())
    }
}

#[cfg(all(test, feature = "std"))]
mod tests;
