//! Greedy k-centre: the point farthest from all centres becomes the next centre.
//!
//! One pick is [`pick`], then [`update`]. The caller fills `sq_dist` with the distances to the labelled set (or
//! `f32::MAX`) and zeroes `picks[0]`.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::pairwise_sq_dist::between;
use crate::real::Real;
use crate::shape::Shape;

#[cfg(all(test, feature = "std"))]
mod tests;

/// Sizes; the same bytes are the shader's uniform buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Points.
    pub rows: u32,
    /// Coordinates of a point.
    pub dim: u32,
    /// Picks that there is room for, at most `rows`.
    pub capacity: u32,
}

impl Params {
    /// The latest pick, if there is one.
    fn latest(&self, picks: &[u32]) -> Result<Option<usize>, Error> {
        let count = picks[0];
        if count == 0 {
            return Ok(None);
        }
        let latest = (count <= self.capacity).then(|| picks[count as usize]);
        match latest.filter(|&row| row < self.rows) {
            Some(row) => Ok(Some(row as usize)),
            None => {
                let what = "picks must hold a count of at most `capacity`, then rows below `rows`";
                Err(Error::Params { op: Self::OP, what })
            }
        }
    }
}

impl Shape for Params {
    const OP: &'static str = "k_center_greedy";

    fn len(&self, buffer: &str) -> usize {
        match buffer {
            "sq_dist" => self.rows as usize,
            "points" => (self.rows as usize).saturating_mul(self.dim as usize),
            "picks" => 1 + self.capacity as usize,
            _ => panic!("k_center_greedy has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let what = if self.rows == 0 || self.dim == 0 || self.capacity == 0 {
            "rows, dim and capacity must be at least 1"
        } else if self.capacity > self.rows {
            "capacity must be at most rows"
        } else {
            return Ok(());
        };
        Err(Error::Params { op: Self::OP, what })
    }
}

/// Picks the farthest point: `picks[1 + picks[0]] = argmax_i sq_dist[i]`, then `picks[0] += 1`.
///
/// # Shapes
/// `sq_dist [rows]`, `picks [1 + capacity]`: the number of picks, then the picks.
///
/// # Writes
/// `picks +=`; nothing where it is full.
///
/// # Numerics
/// Ties go to the lowest index. Tolerance class exact. No number may be NaN.
pub fn pick<T: Real>(p: &Params, sq_dist: &[T], picks: &mut [u32]) -> Result<(), Error> {
    p.check("k_center_greedy::pick", &[("sq_dist", sq_dist.len()), ("picks", picks.len())])?;
    let count = picks[0];
    if count >= p.capacity {
        return Ok(());
    }
    let mut farthest = 0;
    for i in 1..sq_dist.len() {
        if sq_dist[i] > sq_dist[farthest] {
            farthest = i;
        }
    }
    picks[1 + count as usize] = farthest as u32;
    picks[0] = count + 1;
    Ok(())
}

/// Makes the latest pick a centre: `sq_dist[i] = min(sq_dist[i], |points[i] - points[latest]|^2)`, and
/// `sq_dist[latest] = -1` so that it is never picked again.
///
/// # Shapes
/// `points [rows, dim]`, `picks [1 + capacity]`, `sq_dist [rows]`.
///
/// # Units
/// Those of the points, squared.
///
/// # Writes
/// `sq_dist =` from its old values; nothing where nothing is picked.
///
/// # Numerics
/// Differences first, then squares. Tolerance class sum.
///
/// # Errors
/// Also where `picks` names a point that there is not.
///
/// # Source
/// Gonzalez 1985; Sener and Savarese 2018, algorithm 1.
pub fn update<T: Real>(
    p: &Params,
    points: &[T],
    picks: &[u32],
    sq_dist: &mut [T],
) -> Result<(), Error> {
    check_update(p, points.len(), picks.len(), sq_dist.len())?;
    let Some(latest) = p.latest(picks)? else { return Ok(()) };
    let dim = p.dim as usize;
    let center = &points[latest * dim..][..dim];
    for i in 0..sq_dist.len() {
        sq_dist[i] = sq_dist[i].min(between(&points[i * dim..][..dim], center));
    }
    sq_dist[latest] = -T::ONE;
    Ok(())
}

fn check_update(p: &Params, points: usize, picks: usize, sq_dist: usize) -> Result<(), Error> {
    p.check(
        "k_center_greedy::update",
        &[("points", points), ("picks", picks), ("sq_dist", sq_dist)],
    )
}

/// The f32 forms.
#[cfg(feature = "std")]
pub mod fast {
    use super::Params;
    use crate::min_sq_dist::fast::ROWS;
    use crate::pairwise_sq_dist::fast::{distance, distances4};
    use crate::{Error, par};

    /// [`pick`](super::pick) for f32; the same bits. It takes no time beside [`update`].
    pub fn pick(p: &Params, sq_dist: &[f32], picks: &mut [u32]) -> Result<(), Error> {
        super::pick(p, sq_dist, picks)
    }

    /// [`update`](super::update) for f32.
    pub fn update(
        p: &Params,
        points: &[f32],
        picks: &[u32],
        sq_dist: &mut [f32],
    ) -> Result<(), Error> {
        super::check_update(p, points.len(), picks.len(), sq_dist.len())?;
        let Some(latest) = p.latest(picks)? else { return Ok(()) };
        let dim = p.dim as usize;
        let center = &points[latest * dim..][..dim];
        par::for_each_chunk_mut(sq_dist, ROWS, |block, sq_dist| {
            let points = &points[block * ROWS * dim..][..sq_dist.len() * dim];
            update_block(points, center, sq_dist);
        });
        sq_dist[latest] = -1.0;
        Ok(())
    }

    #[inline(always)]
    fn update_block(points: &[f32], center: &[f32], sq_dist: &mut [f32]) {
        let mut lower = |i: usize, distance: f32| {
            if distance < sq_dist[i] {
                sq_dist[i] = distance;
            }
        };
        let dim = center.len();
        let groups = points.chunks_exact(4 * dim);
        let rest = groups.remainder();
        let grouped = groups.len() * 4;
        for (i, group) in groups.enumerate() {
            let rows: [&[f32]; 4] = core::array::from_fn(|g| &group[g * dim..][..dim]);
            for (g, distance) in distances4(center, rows).into_iter().enumerate() {
                lower(4 * i + g, distance);
            }
        }
        for (i, point) in rest.chunks_exact(dim).enumerate() {
            lower(grouped + i, distance(center, point));
        }
    }
}
