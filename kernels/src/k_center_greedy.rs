//! Greedy k-centre: the point farthest from all centres becomes the next centre.
//!
//! One pick is [`pick`], then [`update`]. The caller fills `sq_dist` with the distances to the labelled set (or
//! `f32::MAX`) and zeroes `picks[0]`.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::pairwise_sq_dist::between;
use crate::real::Real;
use crate::shape::Shape;

#[cfg(feature = "std")]
pub mod fast;
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
