//! Lloyd's algorithm: points go to the nearest centroid, centroids to the mean of their points.
//!
//! A round is [`update`], [`assign`] and [`check_convergence`]. The last of these says in `state` whether another round is
//! needed; where none is, a round does nothing, so that many can be asked for at once.

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

/// Points whose changes of cluster are counted together.
pub const TILE: u32 = 32;

/// Coordinates of a centroid whose movements are summed together.
pub const TILE_DIM: u32 = 64;

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
            "changes" => rows.div_ceil(TILE as usize),
            "movements" => k.saturating_mul(dim.div_ceil(TILE_DIM as usize)),
            "limit" => 1,
            "state" => 2,
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

/// `assignment[i] = argmin_j |points[i] - centroids[j]|^2`, `sq_dist[i]` that distance, and `changes[b]` the number of
/// points in tile `b` that had another assignment before. The sum of `sq_dist` is the inertia.
///
/// # Shapes
/// `points [rows, dim]`, `centroids [k, dim]`, `state [2]`, `assignment` and `sq_dist [rows]`, `changes [rows / 32]`, rounded up.
///
/// # Units
/// `sq_dist` in those of the points, squared.
///
/// # Writes
/// `assignment =`, `sq_dist =`, `changes =`; nothing where `state[1]` is not 0.
///
/// # Numerics
/// As [`min_sq_dist`](crate::min_sq_dist::forward): ties go to the lowest index. `changes` follows exactly from the
/// `assignment` that was written.
pub fn assign<T: Real>(
    p: &Params,
    points: &[T],
    centroids: &[T],
    state: &[u32],
    assignment: &mut [u32],
    sq_dist: &mut [T],
    changes: &mut [u32],
) -> Result<(), Error> {
    let reads = [points.len(), centroids.len(), state.len()];
    check_assign(p, reads, [assignment.len(), sq_dist.len(), changes.len()])?;
    if state[1] != 0 {
        return Ok(());
    }
    let [rows, _, dim] = p.sizes();
    changes.fill(0);
    for i in 0..rows {
        let (nearest, distance) = nearest(&points[i * dim..][..dim], centroids);
        changes[i / TILE as usize] += u32::from(assignment[i] != nearest as u32);
        assignment[i] = nearest as u32;
        sq_dist[i] = distance;
    }
    Ok(())
}

/// `centroids[j]` becomes the mean of the points with `assignment[i] == j`, and `movements[j, t]` the sum of its squared
/// steps over tile `t` of the coordinates; a cluster without points keeps its centroid.
///
/// # Shapes
/// `points [rows, dim]`, `assignment [rows]`, `state [2]`, `centroids [k, dim]`, `movements [k, dim / 64]`, rounded up.
///
/// # Units
/// `movements` in those of the points, squared.
///
/// # Writes
/// `centroids =`, `movements =`; nothing where `state[1]` is not 0.
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
    state: &[u32],
    centroids: &mut [T],
    movements: &mut [T],
) -> Result<(), Error> {
    let reads = [points.len(), assignment.len(), state.len()];
    check_update(p, reads, [centroids.len(), movements.len()])?;
    if state[1] != 0 {
        return Ok(());
    }
    let [_, _, dim] = p.sizes();
    let tiles = dim.div_ceil(TILE_DIM as usize);
    for (j, centroid) in centroids.chunks_exact_mut(dim).enumerate() {
        let members = (0..assignment.len()).filter(|&i| assignment[i] as usize == j);
        mean(points, members, centroid, &mut movements[j * tiles..][..tiles]);
    }
    Ok(())
}

/// `centroid` becomes the mean of the points with these indices, if there are any, `movements` its squared steps.
#[inline(always)]
fn mean<T: Real>(
    points: &[T],
    indices: impl Iterator<Item = usize> + Clone,
    centroid: &mut [T],
    movements: &mut [T],
) {
    let dim = centroid.len();
    let count = indices.clone().count();
    movements.fill(T::ZERO);
    if count == 0 {
        return;
    }
    let tiles = centroid.chunks_mut(TILE_DIM as usize).zip(movements);
    for (t, (centroid, movement)) in tiles.enumerate() {
        let mut sums = [T::ZERO; TILE_DIM as usize];
        let sums = &mut sums[..centroid.len()];
        for i in indices.clone() {
            let point = &points[i * dim + t * TILE_DIM as usize..];
            for (sum, &x) in sums.iter_mut().zip(point) {
                *sum += x;
            }
        }
        for (old, &mut sum) in centroid.iter_mut().zip(sums) {
            let new = sum / T::from_usize(count);
            let step = new - *old;
            *movement += step * step;
            *old = new;
        }
    }
}

/// Counts a round, and says whether it was the last: `state[0] += 1`, and `state[1] = 1` where no point has changed its cluster,
/// or the centroids have moved by no more than `limit[0]`.
///
/// # Shapes
/// `changes [rows / 32]` and `movements [k, dim / 64]`, rounded up, `limit [1]`, `state [2]`.
///
/// # Units
/// `limit` as `movements`.
///
/// # Writes
/// `state +=`; nothing where `state[1]` is not 0.
///
/// # Numerics
/// The comparison is of class pick: a sum of `movements` within its rounding of the limit may go either way.
pub fn check_convergence<T: Real>(
    p: &Params,
    changes: &[u32],
    movements: &[T],
    limit: &[T],
    state: &mut [u32],
) -> Result<(), Error> {
    p.check(
        "k_means::check_convergence",
        &[
            ("changes", changes.len()),
            ("movements", movements.len()),
            ("limit", limit.len()),
            ("state", state.len()),
        ],
    )?;
    if state[1] == 0 {
        let mut movement = T::ZERO;
        for &part in movements {
            movement += part;
        }
        let settled = changes.iter().all(|&count| count == 0);
        state[0] += 1;
        state[1] = u32::from(settled || movement <= limit[0]);
    }
    Ok(())
}

fn check_assign(
    p: &Params,
    [points, centroids, state]: [usize; 3],
    [assignment, sq_dist, changes]: [usize; 3],
) -> Result<(), Error> {
    p.check(
        "k_means::assign",
        &[
            ("points", points),
            ("centroids", centroids),
            ("state", state),
            ("assignment", assignment),
            ("sq_dist", sq_dist),
            ("changes", changes),
        ],
    )
}

fn check_update(
    p: &Params,
    [points, assignment, state]: [usize; 3],
    [centroids, movements]: [usize; 2],
) -> Result<(), Error> {
    p.check(
        "k_means::update",
        &[
            ("points", points),
            ("assignment", assignment),
            ("state", state),
            ("centroids", centroids),
            ("movements", movements),
        ],
    )
}
