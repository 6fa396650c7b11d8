//! The squared distance from each point to the nearest of some centres.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::pairwise_sq_dist::between;
use crate::real::Real;
use crate::shape::Shape;

/// Sizes; the same bytes are the shader's uniform buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Points.
    pub rows: u32,
    /// Centres.
    pub centers: u32,
    /// Coordinates of a point.
    pub dim: u32,
}

impl Params {
    fn sizes(&self) -> [usize; 3] {
        [self.rows, self.centers, self.dim].map(|size| size as usize)
    }
}

impl Shape for Params {
    const OP: &'static str = "min_sq_dist";

    fn len(&self, buffer: &str) -> usize {
        let [rows, centers, dim] = self.sizes();
        match buffer {
            "points" => rows.saturating_mul(dim),
            "centers" => centers.saturating_mul(dim),
            "sq_dist" | "index" => rows,
            _ => panic!("min_sq_dist has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        if self.sizes().contains(&0) {
            let what = "rows, centers and dim must be at least 1";
            return Err(Error::Params { op: Self::OP, what });
        }
        Ok(())
    }
}

/// The nearest of `centers` to `point`, the first of equals, and its squared distance.
pub(crate) fn nearest<T: Real>(point: &[T], centers: &[T]) -> (usize, T) {
    let dim = point.len();
    let mut best = (0, between(point, &centers[..dim]));
    for j in 1..centers.len() / dim {
        let distance = between(point, &centers[j * dim..][..dim]);
        if distance < best.1 {
            best = (j, distance);
        }
    }
    best
}

/// `sq_dist[i] = min_j sum_d (points[i, d] - centers[j, d])^2`, and `index[i]` the smallest such `j`.
///
/// # Shapes
/// `points [rows, dim]`, `centers [centers, dim]`, `sq_dist` and `index [rows]`.
///
/// # Units
/// Those of the points, squared.
///
/// # Writes
/// `sq_dist =`, `index =`
///
/// # Numerics
/// Differences first, then squares. Ties go to the lowest index. Tolerance class sum; `index` is of class pick.
pub fn forward<T: Real>(
    p: &Params,
    points: &[T],
    centers: &[T],
    sq_dist: &mut [T],
    index: &mut [u32],
) -> Result<(), Error> {
    check(p, points.len(), centers.len(), sq_dist.len(), index.len())?;
    let [rows, _, dim] = p.sizes();
    for i in 0..rows {
        let (nearest, distance) = nearest(&points[i * dim..][..dim], centers);
        sq_dist[i] = distance;
        index[i] = nearest as u32;
    }
    Ok(())
}

fn check(
    p: &Params,
    points: usize,
    centers: usize,
    sq_dist: usize,
    index: usize,
) -> Result<(), Error> {
    p.check(
        "min_sq_dist::forward",
        &[("points", points), ("centers", centers), ("sq_dist", sq_dist), ("index", index)],
    )
}

/// The f32 form.
#[cfg(feature = "std")]
pub mod fast {
    use super::Params;
    use crate::pairwise_sq_dist::fast::for_each_distance;
    use crate::simd::vectorize;
    use crate::{Error, par};

    /// Points that a thread takes at a time.
    pub(crate) const ROWS: usize = 64;

    /// [`forward`](super::forward) for f32.
    pub fn forward(
        p: &Params,
        points: &[f32],
        centers: &[f32],
        sq_dist: &mut [f32],
        index: &mut [u32],
    ) -> Result<(), Error> {
        super::check(p, points.len(), centers.len(), sq_dist.len(), index.len())?;
        nearest_of_all(p.dim as usize, points, centers, sq_dist, index);
        Ok(())
    }

    /// The nearest of `centers` to every point, the first of equals, and its squared distance.
    pub(crate) fn nearest_of_all(
        dim: usize,
        points: &[f32],
        centers: &[f32],
        sq_dist: &mut [f32],
        index: &mut [u32],
    ) {
        par::for_each_chunk2_mut(sq_dist, ROWS, index, ROWS, |block, sq_dist, index| {
            let points = &points[block * ROWS * dim..][..sq_dist.len() * dim];
            vectorize(
                #[inline(always)]
                move || nearest_of_block(dim, points, centers, sq_dist, index),
            );
        });
    }

    #[inline(always)]
    fn nearest_of_block(
        dim: usize,
        points: &[f32],
        centers: &[f32],
        sq_dist: &mut [f32],
        index: &mut [u32],
    ) {
        for (i, point) in points.chunks_exact(dim).enumerate() {
            for_each_distance(point, centers, |j, distance| {
                if j == 0 || distance < sq_dist[i] {
                    (sq_dist[i], index[i]) = (distance, j as u32);
                }
            });
        }
    }
}

#[cfg(all(test, feature = "std"))]
mod tests;
