//! The f32 forms, and the whole algorithm for a processor.

pub use super::lloyd::{Outcome, Stop, lloyd};

use super::{Params, TILE, TILE_DIM};
use crate::min_sq_dist::fast::nearest_of_all;
use crate::simd::vectorize;
use crate::{Error, par};

/// [`assign`](super::assign) for f32.
pub fn assign(
    p: &Params,
    points: &[f32],
    centroids: &[f32],
    state: &[u32],
    assignment: &mut [u32],
    sq_dist: &mut [f32],
    changes: &mut [u32],
) -> Result<(), Error> {
    let reads = [points.len(), centroids.len(), state.len()];
    super::check_assign(p, reads, [assignment.len(), sq_dist.len(), changes.len()])?;
    if state[1] != 0 {
        return Ok(());
    }
    let before = assignment.to_vec();
    nearest_of_all(p.dim as usize, points, centroids, sq_dist, assignment);
    let tiles = before.chunks(TILE as usize).zip(assignment.chunks(TILE as usize));
    for (changes, (before, now)) in changes.iter_mut().zip(tiles) {
        *changes = before.iter().zip(now).map(|(before, now)| u32::from(before != now)).sum();
    }
    Ok(())
}

/// [`update`](super::update) for f32; the same bits.
pub fn update(
    p: &Params,
    points: &[f32],
    assignment: &[u32],
    state: &[u32],
    centroids: &mut [f32],
    movements: &mut [f32],
) -> Result<(), Error> {
    let reads = [points.len(), assignment.len(), state.len()];
    super::check_update(p, reads, [centroids.len(), movements.len()])?;
    if state[1] != 0 {
        return Ok(());
    }
    let [_, k, dim] = p.sizes();
    // The points of each cluster one after the other, in their order: a counting sort.
    let mut starts = vec![0; k + 1];
    for &j in assignment.iter().filter(|&&j| j < p.k) {
        starts[j as usize + 1] += 1;
    }
    for j in 0..k {
        starts[j + 1] += starts[j];
    }
    let (mut sorted, mut next) = (vec![0; starts[k]], starts.clone());
    for (i, &j) in assignment.iter().enumerate().filter(|&(_, &j)| j < p.k) {
        sorted[next[j as usize]] = i;
        next[j as usize] += 1;
    }
    let tiles = dim.div_ceil(TILE_DIM as usize);
    par::for_each_chunk2_mut(centroids, dim, movements, tiles, |j, centroid, movements| {
        let members = &sorted[starts[j]..starts[j + 1]];
        vectorize(
            #[inline(always)]
            move || super::mean(points, members.iter().copied(), centroid, movements),
        );
    });
    Ok(())
}

/// [`check_convergence`](super::check_convergence) for f32; the same bits. It takes no time beside the others.
pub fn check_convergence(
    p: &Params,
    changes: &[u32],
    movements: &[f32],
    limit: &[f32],
    state: &mut [u32],
) -> Result<(), Error> {
    super::check_convergence(p, changes, movements, limit, state)
}

/// The variance of the points, as the mean over their coordinates: what a tolerance of movements is relative to.
///
/// `sum_(i,d) (points[i, d] - mean[d])^2 / (rows dim)` for `points [rows, dim]`.
///
/// # Units
/// Those of the points, squared.
///
/// # Numerics
/// In f64, about the first point, so that a common shift of all points does not matter.
///
/// # Example
/// ```
/// let variance = askem_kernels::k_means::fast::variance(2, &[1.0, 10.0, 3.0, 10.0]);
/// assert_eq!(variance, 0.5);
/// ```
pub fn variance(dim: usize, points: &[f32]) -> f64 {
    /// Points of a partial sum. The number is part of the results.
    const ROWS: usize = 1024;
    if dim == 0 || points.len() < dim {
        return 0.0;
    }
    let rows = points.len() / dim;
    let origin = &points[..dim];
    // A partial sum holds the sums of the coordinates and, last, that of all squares.
    let partials = par::map_indices(rows.div_ceil(ROWS), |block| {
        let points = &points[block * ROWS * dim..(rows.min((block + 1) * ROWS)) * dim];
        vectorize(
            #[inline(always)]
            move || {
                let (mut sums, mut squares) = (vec![0.0_f64; dim], vec![0.0_f64; dim]);
                for point in points.chunks_exact(dim) {
                    let sums = sums.iter_mut().zip(&mut squares);
                    for ((sum, square), (&x, &o)) in sums.zip(point.iter().zip(origin)) {
                        let x = f64::from(x) - f64::from(o);
                        *sum += x;
                        *square += x * x;
                    }
                }
                (sums, squares.iter().sum::<f64>())
            },
        )
    });
    let (mut sums, mut squares) = (vec![0.0; dim], 0.0);
    for (partial, square) in partials {
        for (sum, x) in sums.iter_mut().zip(partial) {
            *sum += x;
        }
        squares += square;
    }
    let rows = rows as f64;
    let of_mean: f64 = sums.iter().map(|sum| (sum / rows) * (sum / rows)).sum();
    (squares / rows - of_mean).max(0.0) / dim as f64
}
