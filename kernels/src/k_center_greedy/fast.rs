//! The f32 forms, and the whole algorithm for a processor.

use std::collections::BinaryHeap;

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::Params;
use crate::min_sq_dist::fast::ROWS;
use crate::pairwise_sq_dist::fast::{distance, distances4};
use crate::shape::Shape;
use crate::simd::{Scratch, vectorize};
use crate::{Error, par};

/// [`add_center`](super::add_center) for f32.
pub fn add_center(
    p: &Params,
    points: &[f32],
    far_row: &[u32],
    far_sq_dist: &[f32],
    sq_dist: &mut [f32],
    next_far_row: &mut [u32],
    next_far_sq_dist: &mut [f32],
    picks: &mut [u32],
) -> Result<(), Error> {
    let (far, next) = (
        [far_row.len(), far_sq_dist.len()],
        [next_far_row.len(), next_far_sq_dist.len(), picks.len()],
    );
    super::check(p, points.len(), far, sq_dist.len(), next)?;
    let latest = p.center(far_row, far_sq_dist)?;
    let dim = p.dim as usize;
    let center = &points[latest * dim..][..dim];
    par::for_each_chunk_mut(sq_dist, ROWS, |block, sq_dist| {
        let points = &points[block * ROWS * dim..][..sq_dist.len() * dim];
        vectorize(
            #[inline(always)]
            move || update_block(points, center, sq_dist),
        );
    });
    super::finish(p, latest, sq_dist, next_far_row, next_far_sq_dist, picks);
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

/// All `capacity` rounds of [`add_center`](super::add_center): the rows picked, each with its squared distance to the
/// nearest centre at that time.
///
/// A round does not measure all points. Distances only shrink as centres are added, so an old one is an upper
/// bound, and only points whose bound exceeds the farthest present distance have to be measured again. It is a
/// greedy choice by lazy evaluation.
///
/// # Shapes
/// `points [rows, dim]`; `sq_dist [rows]`, the distances to the centres there are already, or `f32::MAX`.
///
/// # Units
/// Those of the points, squared.
///
/// # Numerics
/// The picks and bits of the plain rounds, since a distance has the same bits whenever it is measured. Ties go to the
/// lowest index. The worst case takes twice the time of the plain rounds. No number may be NaN, no distance negative.
///
/// # Source
/// Minoux 1978, "Accelerated greedy algorithms for maximizing submodular set functions", for the lazy evaluation.
///
/// # Example
/// ```
/// use askem_kernels::k_center_greedy::{Params, fast};
/// let points = [0.0, 1.0, -4.0, 4.0, 2.0];
/// let p = Params { rows: 5, dim: 1, capacity: 3 };
/// let picks = fast::greedy(&p, &points, &[0.0, 1.0, 16.0, 16.0, 4.0]).unwrap();
/// assert_eq!(picks, [(2, 16.0), (3, 16.0), (4, 4.0)]);
/// ```
pub fn greedy(p: &Params, points: &[f32], sq_dist: &[f32]) -> Result<Vec<(u32, f32)>, Error> {
    let pass = "k_center_greedy::greedy";
    p.check(pass, &[("points", points.len()), ("sq_dist", sq_dist.len())])?;
    Ok(lazy(p, points, sq_dist, |_, _| {}))
}

/// [`greedy`] of points in half precision, whose distances are taken in f32, with a say in what may be picked.
///
/// After each pick `forbid` is called with its row and a function that takes rows which must not be picked any more. Fewer than
/// `capacity` rows come back where too many are forbidden.
///
/// # Shapes
/// `points [rows, dim]`, `sq_dist [rows]`.
///
/// # Numerics
/// The bits of [`greedy`] on the same numbers as f32.
///
/// # Example
/// ```
/// use askem_kernels::k_center_greedy::{Params, fast};
/// let points = [0.0, 1.0, -4.0, 4.0, 2.0].map(half::f16::from_f32);
/// let p = Params { rows: 5, dim: 1, capacity: 2 };
/// let start = [0.0, 1.0, 16.0, 16.0, 4.0];
/// let picks = fast::greedy_f16(&p, &points, &start, |_, forbid| forbid(3)).unwrap();
/// assert_eq!(picks, [(2, 16.0), (4, 4.0)]);
/// ```
pub fn greedy_f16(
    p: &Params,
    points: &[f16],
    sq_dist: &[f32],
    forbid: impl FnMut(u32, &mut dyn FnMut(u32)),
) -> Result<Vec<(u32, f32)>, Error> {
    let pass = "k_center_greedy::greedy_f16";
    p.check(pass, &[("points", points.len()), ("sq_dist", sq_dist.len())])?;
    Ok(lazy(p, points, sq_dist, forbid))
}

/// Points of which a row can be had as f32.
trait Rows: Sync {
    /// A row, in place or in `room`.
    fn row<'a>(&'a self, row: usize, room: &'a mut [f32]) -> &'a [f32];
}

impl Rows for [f32] {
    #[inline(always)]
    fn row<'a>(&'a self, row: usize, room: &'a mut [f32]) -> &'a [f32] {
        &self[row * room.len()..][..room.len()]
    }
}

impl Rows for [f16] {
    #[inline(always)]
    fn row<'a>(&'a self, row: usize, room: &'a mut [f32]) -> &'a [f32] {
        self[row * room.len()..][..room.len()].convert_to_f32_slice(room);
        room
    }
}

fn lazy<P: Rows + ?Sized>(
    p: &Params,
    points: &P,
    sq_dist: &[f32],
    mut forbid: impl FnMut(u32, &mut dyn FnMut(u32)),
) -> Vec<(u32, f32)> {
    let (dim, capacity) = (p.dim as usize, p.capacity as usize);
    // Adding zero makes -0 the same as 0, which `total_cmp` tells apart.
    let standing = |(row, &sq_dist): (usize, &f32)| Standing {
        row: row as u32,
        sq_dist: sq_dist + 0.0,
        seen: 0,
    };
    let mut standings: Vec<Standing> = sq_dist.iter().enumerate().map(standing).collect();
    let mut heap: BinaryHeap<Standing> = standings.iter().copied().collect();
    let mut picks: Vec<(u32, f32)> = Vec::with_capacity(capacity);
    let mut centers: Vec<f32> = Vec::with_capacity(capacity * dim);
    'picks: while picks.len() < capacity {
        let now = picks.len() as u32;
        let mut batch = FIRST_BATCH;
        let pick = loop {
            let Some(&top) = heap.peek() else { break 'picks };
            if standings[top.row as usize].seen == PICKED {
                heap.pop();
                continue;
            }
            if top.seen == now {
                break top;
            }
            if batch * 8 > standings.len() {
                // Most bounds are in the way: a pass over all points in their order is faster.
                measure(&mut standings, ROWS, points, dim, &centers);
                heap = standings.iter().copied().filter(|s| s.seen == now).collect();
                continue;
            }
            let mut stale = Vec::with_capacity(batch);
            while stale.len() < batch && heap.peek().is_some_and(|s| s.seen < now) {
                let open = |s: &Standing| standings[s.row as usize].seen != PICKED;
                stale.extend(heap.pop().filter(open));
            }
            measure(&mut stale, STALE, points, dim, &centers);
            for &standing in &stale {
                standings[standing.row as usize] = standing;
            }
            heap.extend(stale);
            batch *= 8;
        };
        heap.pop();
        standings[pick.row as usize].seen = PICKED;
        picks.push((pick.row, pick.sq_dist));
        let mut room = vec![0.0; dim];
        centers.extend_from_slice(points.row(pick.row as usize, &mut room));
        forbid(pick.row, &mut |row| standings[row as usize].seen = PICKED);
    }
    picks
}

/// Points that are measured again at first in a round; each further attempt takes eight times as many.
const FIRST_BATCH: usize = 32;
/// Points measured again that a thread takes at a time.
const STALE: usize = 16;
/// [`Standing::seen`] of a point that is a centre.
const PICKED: u32 = u32::MAX;

/// What is known of a point's distance. The greatest is the farthest, of equals the one of the lowest row.
#[derive(Clone, Copy, Debug)]
struct Standing {
    row: u32,
    /// The squared distance to the nearest of the first `seen` picks and the centres before them.
    sq_dist: f32,
    seen: u32,
}

impl Ord for Standing {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.sq_dist.total_cmp(&other.sq_dist).then(other.row.cmp(&self.row))
    }
}

impl PartialOrd for Standing {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Standing {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Standing {}

/// Lets the standings know of all centres `[picks, dim]`.
fn measure<P: Rows + ?Sized>(
    standings: &mut [Standing],
    chunk: usize,
    points: &P,
    dim: usize,
    centers: &[f32],
) {
    let picks = (centers.len() / dim) as u32;
    par::for_each_chunk_mut(standings, chunk, |_, standings| {
        let mut room = Scratch::take(dim);
        let room = &mut *room;
        vectorize(
            #[inline(always)]
            move || {
                for standing in standings.iter_mut().filter(|s| s.seen != PICKED) {
                    let point = points.row(standing.row as usize, room);
                    for center in centers[standing.seen as usize * dim..].chunks_exact(dim) {
                        let distance = distance(center, point);
                        if distance < standing.sq_dist {
                            standing.sq_dist = distance;
                        }
                    }
                    standing.seen = picks;
                }
            },
        );
    });
}
