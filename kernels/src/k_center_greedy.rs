//! Greedy k-centre: the point farthest from all centres becomes the next centre.
//!
//! One call of [`add_center`] is one pick. Rows lie in blocks, and each call leaves the farthest row of every block for
//! the next one, which begins with the farthest of those. The caller fills `sq_dist` with the distances to the labelled set
//! (or `f32::MAX`), all of `far_row` and `far_sq_dist` with the farthest row of it, and zeroes `picks[0]`.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::pairwise_sq_dist::between;
use crate::real::Real;
use crate::shape::Shape;

#[cfg(feature = "std")]
pub mod fast;
#[cfg(all(test, feature = "std"))]
mod tests;

/// Blocks of rows at most: as many as keep a large device busy, and few enough for each workgroup to look through.
pub const BLOCKS: u32 = 1024;

/// A block has a multiple of so many rows.
pub const TILE_ROWS: u32 = 16;

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
    /// Rows of a block; the last block may have fewer.
    pub fn block_rows(&self) -> u32 {
        (self.rows.saturating_sub(1) / (BLOCKS * TILE_ROWS) + 1) * TILE_ROWS
    }

    /// Blocks of rows.
    pub fn blocks(&self) -> u32 {
        self.rows.div_ceil(self.block_rows())
    }

    /// The farthest of the blocks' farthest rows.
    fn center<T: Real>(&self, far_row: &[u32], far_sq_dist: &[T]) -> Result<usize, Error> {
        let mut best = 0;
        for b in 1..far_row.len() {
            let tie = far_sq_dist[b] == far_sq_dist[best] && far_row[b] < far_row[best];
            if far_sq_dist[b] > far_sq_dist[best] || tie {
                best = b;
            }
        }
        if far_row[best] >= self.rows {
            return Err(Error::Params {
                op: Self::OP,
                what: "far_row must hold rows below `rows`",
            });
        }
        Ok(far_row[best] as usize)
    }
}

impl Shape for Params {
    const OP: &'static str = "k_center_greedy";

    fn len(&self, buffer: &str) -> usize {
        match buffer {
            "sq_dist" => self.rows as usize,
            "points" => (self.rows as usize).saturating_mul(self.dim as usize),
            "far_row" | "far_sq_dist" | "next_far_row" | "next_far_sq_dist" => {
                self.blocks() as usize
            }
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

/// Makes the farthest point a centre. With `c` the row of the largest `far_sq_dist`:
/// `sq_dist[i] = min(sq_dist[i], |points[i] - points[c]|^2)` and `sq_dist[c] = -1`, so that it is never picked again;
/// `next_far_row[b]` is the row of the largest new `sq_dist` in block `b`, and `next_far_sq_dist[b]` that distance;
/// `picks[1 + picks[0]] = c`, then `picks[0] += 1`.
///
/// # Shapes
/// `points [rows, dim]`; `far_row`, `far_sq_dist`, `next_far_row` and `next_far_sq_dist [blocks]`; `sq_dist [rows]`;
/// `picks [1 + capacity]`: the number of picks, then the picks.
///
/// # Units
/// Those of the points, squared.
///
/// # Writes
/// `sq_dist =` from its old values, `next_far_row =`, `next_far_sq_dist =`, `picks +=`, but nothing where it is full.
///
/// # Numerics
/// Differences first, then squares. Ties go to the lowest row. Tolerance class sum; `next_far_row` and
/// `next_far_sq_dist` follow exactly from the `sq_dist` that was written. No number may be NaN.
///
/// # Errors
/// Also where `far_row` names a point that there is not.
///
/// # Source
/// Gonzalez 1985; Sener and Savarese 2018, algorithm 1.
pub fn add_center<T: Real>(
    p: &Params,
    points: &[T],
    far_row: &[u32],
    far_sq_dist: &[T],
    sq_dist: &mut [T],
    next_far_row: &mut [u32],
    next_far_sq_dist: &mut [T],
    picks: &mut [u32],
) -> Result<(), Error> {
    let (far, next) = (
        [far_row.len(), far_sq_dist.len()],
        [next_far_row.len(), next_far_sq_dist.len(), picks.len()],
    );
    check(p, points.len(), far, sq_dist.len(), next)?;
    let dim = p.dim as usize;
    let latest = p.center(far_row, far_sq_dist)?;
    let center = &points[latest * dim..][..dim];
    for i in 0..sq_dist.len() {
        sq_dist[i] = sq_dist[i].min(between(&points[i * dim..][..dim], center));
    }
    finish(p, latest, sq_dist, next_far_row, next_far_sq_dist, picks);
    Ok(())
}

/// What follows from the new distances to all centres.
fn finish<T: Real>(
    p: &Params,
    latest: usize,
    sq_dist: &mut [T],
    next_far_row: &mut [u32],
    next_far_sq_dist: &mut [T],
    picks: &mut [u32],
) {
    sq_dist[latest] = -T::ONE;
    let block_rows = p.block_rows() as usize;
    for (b, block) in sq_dist.chunks(block_rows).enumerate() {
        let mut farthest = 0;
        for i in 1..block.len() {
            if block[i] > block[farthest] {
                farthest = i;
            }
        }
        next_far_row[b] = (b * block_rows + farthest) as u32;
        next_far_sq_dist[b] = block[farthest];
    }
    let count = picks[0];
    if count < p.capacity {
        picks[1 + count as usize] = latest as u32;
        picks[0] = count + 1;
    }
}

fn check(
    p: &Params,
    points: usize,
    [far_row, far_sq_dist]: [usize; 2],
    sq_dist: usize,
    [next_far_row, next_far_sq_dist, picks]: [usize; 3],
) -> Result<(), Error> {
    p.check(
        "k_center_greedy::add_center",
        &[
            ("points", points),
            ("far_row", far_row),
            ("far_sq_dist", far_sq_dist),
            ("sq_dist", sq_dist),
            ("next_far_row", next_far_row),
            ("next_far_sq_dist", next_far_sq_dist),
            ("picks", picks),
        ],
    )
}
