//! Lloyd's algorithm: points go to the nearest centroid, centroids to the mean of their points.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::min_sq_dist::nearest;
use crate::real::Real;
use crate::shape::Shape;

#[cfg(feature = "std")]
pub mod fast;
#[cfg(feature = "std")]
mod lloyd;
#[cfg(all(test, feature = "std"))]
mod tests;

/// Sizes; the same bytes are the shader's uniform buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Points.
    pub rows: u32,
    /// Clusters.
    pub k: u32,
    /// Coordinates of a point.
    pub dim: u32,
}

impl Params {
    fn sizes(&self) -> [usize; 3] {
        [self.rows, self.k, self.dim].map(|size| size as usize)
    }
}

impl Shape for Params {
    const OP: &'static str = "k_means";

    fn len(&self, buffer: &str) -> usize {
        let [rows, k, dim] = self.sizes();
        match buffer {
            "points" => rows.saturating_mul(dim),
            "centroids" => k.saturating_mul(dim),
            "assignment" | "sq_dist" => rows,
            _ => panic!("k_means has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        if self.sizes().contains(&0) {
            return Err(Error::Params { op: Self::OP, what: "rows, k and dim must be at least 1" });
        }
        Ok(())
    }
}

/// `assignment[i] = argmin_j |points[i] - centroids[j]|^2`, and `sq_dist[i]` that distance.
///
/// The sum of `sq_dist` is the inertia.
///
/// # Shapes
/// `points [rows, dim]`, `centroids [k, dim]`, `assignment` and `sq_dist [rows]`.
///
/// # Units
/// `sq_dist` in those of the points, squared.
///
/// # Writes
/// `assignment =`, `sq_dist =`
///
/// # Numerics
/// As [`min_sq_dist`](crate::min_sq_dist::forward): ties go to the lowest index.
pub fn assign<T: Real>(
    p: &Params,
    points: &[T],
    centroids: &[T],
    assignment: &mut [u32],
    sq_dist: &mut [T],
) -> Result<(), Error> {
    check_assign(p, points.len(), centroids.len(), assignment.len(), sq_dist.len())?;
    let [rows, _, dim] = p.sizes();
    for i in 0..rows {
        let (nearest, distance) = nearest(&points[i * dim..][..dim], centroids);
        assignment[i] = nearest as u32;
        sq_dist[i] = distance;
    }
    Ok(())
}

/// `centroids[j]` becomes the mean of the points with `assignment[i] == j`; a cluster without points keeps its
/// centroid.
///
/// # Shapes
/// `points [rows, dim]`, `assignment [rows]`, `centroids [k, dim]`.
///
/// # Writes
/// `centroids =`
///
/// # Numerics
/// Points are summed in their order; those with an assignment of `k` or more belong to no cluster. Tolerance class sum.
///
/// # Source
/// Lloyd 1982.
pub fn update<T: Real>(
    p: &Params,
    points: &[T],
    assignment: &[u32],
    centroids: &mut [T],
) -> Result<(), Error> {
    check_update(p, points.len(), assignment.len(), centroids.len())?;
    let dim = p.dim as usize;
    for (j, centroid) in centroids.chunks_exact_mut(dim).enumerate() {
        mean(points, (0..assignment.len()).filter(|&i| assignment[i] as usize == j), centroid);
    }
    Ok(())
}

/// `centroid` becomes the mean of the points with these indices, if there are any.
#[inline(always)]
fn mean<T: Real>(points: &[T], indices: impl Iterator<Item = usize>, centroid: &mut [T]) {
    let (dim, mut count) = (centroid.len(), 0);
    for i in indices {
        if count == 0 {
            centroid.fill(T::ZERO);
        }
        count += 1;
        for (sum, &x) in centroid.iter_mut().zip(&points[i * dim..][..dim]) {
            *sum += x;
        }
    }
    if count > 0 {
        let count = T::from_usize(count);
        for sum in centroid {
            *sum = *sum / count;
        }
    }
}

fn check_assign(
    p: &Params,
    points: usize,
    centroids: usize,
    assignment: usize,
    sq_dist: usize,
) -> Result<(), Error> {
    p.check(
        "k_means::assign",
        &[
            ("points", points),
            ("centroids", centroids),
            ("assignment", assignment),
            ("sq_dist", sq_dist),
        ],
    )
}

fn check_update(
    p: &Params,
    points: usize,
    assignment: usize,
    centroids: usize,
) -> Result<(), Error> {
    p.check(
        "k_means::update",
        &[("points", points), ("assignment", assignment), ("centroids", centroids)],
    )
}
