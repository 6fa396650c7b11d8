//! The maximum of each 2x2 window, stride 2.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

#[cfg(feature = "std")]
pub mod channels_last;

/// Sizes of the input; the output has `h / 2` rows and `w / 2` columns, rounded down.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Samples.
    pub n: u32,
    /// Channels.
    pub c: u32,
    /// Rows of the input.
    pub h: u32,
    /// Columns of the input.
    pub w: u32,
}

impl Params {
    /// Planes, rows and columns of the input.
    fn sizes(&self) -> [usize; 3] {
        [self.n as usize * self.c as usize, self.h as usize, self.w as usize]
    }
}

impl Shape for Params {
    const OP: &'static str = "max_pool2d";

    fn len(&self, buffer: &str) -> usize {
        let [planes, h, w] = self.sizes();
        match buffer {
            "x" | "dx" => planes * h * w,
            "y" | "dy" | "indices" => planes * (h / 2) * (w / 2),
            _ => panic!("max_pool2d has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        if self.n == 0 || self.c == 0 || self.h < 2 || self.w < 2 {
            let what = "n and c must be at least 1, h and w at least 2";
            return Err(Error::Params { op: Self::OP, what });
        }
        Ok(())
    }
}

/// Takes maxima: `y[n,c,i,j] = max_(a,b in {0,1}) x[n,c,2i+a,2j+b]`; `indices` holds the flat
/// position `row * w + column` of the maximum within its input plane.
///
/// # Shapes
/// `x [n, c, h, w]`, `y` and `indices [n, c, h / 2, w / 2]`.
///
/// # Writes
/// `y =`, `indices =`
///
/// # Numerics
/// Tolerance class exact. The first maximum in row-major order wins ties.
///
/// # Source
/// The convention of PyTorch's `max_pool2d` with `return_indices`.
pub fn forward<T: Real>(
    p: &Params,
    x: &[T],
    y: &mut [T],
    indices: &mut [u32],
) -> Result<(), Error> {
    p.check("max_pool2d::forward", &[("x", x.len()), ("y", y.len()), ("indices", indices.len())])?;
    let [planes, h, w] = p.sizes();
    for plane in 0..planes {
        for i in 0..h / 2 {
            for j in 0..w / 2 {
                let first = 2 * i * w + 2 * j;
                let mut best = first;
                for candidate in [first + 1, first + w, first + w + 1] {
                    if x[plane * h * w + candidate] > x[plane * h * w + best] {
                        best = candidate;
                    }
                }
                let out = (plane * (h / 2) + i) * (w / 2) + j;
                y[out] = x[plane * h * w + best];
                indices[out] = best as u32;
            }
        }
    }
    Ok(())
}

/// Sends each gradient to the position of its maximum: `dx[n,c,indices[n,c,i,j]] += dy[n,c,i,j]`.
///
/// # Shapes
/// `dy` and `indices [n, c, h / 2, w / 2]`, `dx [n, c, h, w]`.
///
/// # Writes
/// `dx +=`; elements that were no maximum stay.
///
/// # Numerics
/// Tolerance class ulp: one addition, as windows do not overlap.
///
/// # Panics
/// If an index lies outside its plane.
pub fn backward_input<T: Real>(
    p: &Params,
    dy: &[T],
    indices: &[u32],
    dx: &mut [T],
) -> Result<(), Error> {
    p.check(
        "max_pool2d::backward_input",
        &[("dy", dy.len()), ("indices", indices.len()), ("dx", dx.len())],
    )?;
    let [planes, h, w] = p.sizes();
    let windows = (h / 2) * (w / 2);
    for plane in 0..planes {
        let dx = &mut dx[plane * h * w..][..h * w];
        for window in plane * windows..(plane + 1) * windows {
            dx[indices[window] as usize] += dy[window];
        }
    }
    Ok(())
}

/// f32 forms at the speed of memory, planes spread over threads.
#[cfg(feature = "std")]
pub mod fast {
    use super::Params;
    use crate::error::Error;
    use crate::par::for_each_chunk2_mut;
    use crate::shape::Shape;
    use crate::simd::{PIECE, for_each_plane_mut, vectorize};

    /// [`forward`](super::forward) for f32.
    pub fn forward(p: &Params, x: &[f32], y: &mut [f32], indices: &mut [u32]) -> Result<(), Error> {
        p.check(
            "max_pool2d::forward",
            &[("x", x.len()), ("y", y.len()), ("indices", indices.len())],
        )?;
        let [_, h, w] = p.sizes();
        let (windows, row) = ((h / 2) * (w / 2), w / 2);
        let planes = (PIECE / windows).max(1);
        for_each_chunk2_mut(y, planes * windows, indices, planes * windows, |i, y, indices| {
            let rows = y.chunks_mut(row).zip(indices.chunks_mut(row));
            vectorize(
                #[inline(always)]
                move || {
                    for (k, (y, indices)) in rows.enumerate() {
                        let (plane, i) = (i * planes + k / (h / 2), k % (h / 2));
                        let rows = &x[plane * h * w + 2 * i * w..][..2 * w];
                        maxima(rows, 2 * i * w, y, indices);
                    }
                },
            );
        });
        Ok(())
    }

    /// A row of windows, out of two rows that begin at position `first` of their plane.
    #[inline(always)]
    fn maxima(rows: &[f32], first: usize, y: &mut [f32], indices: &mut [u32]) {
        let (top, bottom) = rows.split_at(rows.len() / 2);
        let below = top.len() as u32;
        let pairs = top.chunks_exact(2).zip(bottom.chunks_exact(2));
        for (j, ((y, index), (top, bottom))) in y.iter_mut().zip(indices).zip(pairs).enumerate() {
            let (mut best, mut at) = (top[0], 0);
            for (value, offset) in [(top[1], 1), (bottom[0], below), (bottom[1], below + 1)] {
                at = if value > best { offset } else { at };
                best = if value > best { value } else { best };
            }
            *y = best;
            *index = first as u32 + 2 * j as u32 + at;
        }
    }

    /// [`backward_input`](super::backward_input) for f32.
    pub fn backward_input(
        p: &Params,
        dy: &[f32],
        indices: &[u32],
        dx: &mut [f32],
    ) -> Result<(), Error> {
        p.check(
            "max_pool2d::backward_input",
            &[("dy", dy.len()), ("indices", indices.len()), ("dx", dx.len())],
        )?;
        let [_, h, w] = p.sizes();
        let windows = (h / 2) * (w / 2);
        for_each_plane_mut(dx, h * w, |plane, dx| {
            let (dy, indices) = (&dy[plane * windows..], &indices[plane * windows..]);
            for (&dy, &index) in dy.iter().zip(indices).take(windows) {
                dx[index as usize] += dy;
            }
        });
        Ok(())
    }
}

#[cfg(all(test, feature = "std"))]
mod tests;
