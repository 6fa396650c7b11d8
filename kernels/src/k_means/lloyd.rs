//! Lloyd's whole algorithm for a processor: exact, but most points are not looked at in most rounds.

mod bounds;
mod means;
mod nearest;

use bounds::{Bound, History};
use means::Means;
use nearest::{Nearest, Pass};

use super::Params;
use crate::pairwise_sq_dist::fast::distance;
use crate::shape::Shape;
use crate::simd::{dispatch, vectorize};
use crate::{Error, par};

/// Points that a thread takes at a time.
const BLOCK: usize = 256;

/// The cluster of a point that has none yet.
const NONE: u32 = u32::MAX;

/// A point that went to another cluster.
#[derive(Clone, Copy, Debug)]
struct Change {
    row: u32,
    from: u32,
    to: u32,
}

/// When [`lloyd`] stops, besides when no point changes its cluster.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stop {
    /// Rounds at most.
    pub rounds: usize,
    /// A round that moves the centroids by less than this, as the sum of squared distances, is the last.
    pub movement: f64,
}

/// What [`lloyd`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The cluster of each point.
    pub assignment: Vec<u32>,
    /// The squared distance of each point to its centroid.
    pub sq_dist: Vec<f32>,
    /// Rounds that were done: times that centroids became means.
    pub rounds: usize,
}

/// [`assign`](super::assign), then rounds of [`update`](super::update) and `assign` until `stop`.
///
/// After the first round two kinds of work are left out, and the result stays what it is. A point is not compared with the
/// centroids where the triangle inequality shows that its own is still the nearest: it was so by some distance
/// at the last comparison, and the centroids have moved by less since. And the sums behind the means are
/// kept: only points that change clusters are added and subtracted.
///
/// # Shapes
/// `points [rows, dim]`, `centroids [k, dim]`.
///
/// # Units
/// `sq_dist` in those of the points, squared.
///
/// # Writes
/// `centroids =` from their old values.
///
/// # Numerics
/// Sums are taken in f64, in the order of the points, joining and leaving. `assignment` and `sq_dist` have the bits that
/// [`fast::assign`](super::fast::assign) gives for the centroids: bounds are widened by all rounding errors, and
/// where two centroids are nearer to a tie than those, their direct distances decide. The bits depend on
/// the number of threads no more than those of the passes do.
///
/// # Source
/// Hamerly 2010, "Making k-means even faster"; Newling and Fleuret 2016, "Fast k-means with accurate bounds" (arXiv
/// 1602.02514), section 3.2, for movements taken over several rounds.
///
/// # Example
/// ```
/// use askem_kernels::k_means::{Params, fast::{Stop, lloyd}};
/// let (points, mut centroids) = ([0.0, 1.0, 9.0, 11.0], [0.0, 1.0]);
/// let p = Params { rows: 4, k: 2, dim: 1 };
/// let found = lloyd(&p, &points, &mut centroids, Stop { rounds: 300, movement: 0.0 }).unwrap();
/// assert_eq!(centroids, [0.5, 10.0]);
/// assert_eq!((found.assignment, found.rounds), (vec![0, 0, 1, 1], 2));
/// ```
pub fn lloyd(
    p: &Params,
    points: &[f32],
    centroids: &mut [f32],
    stop: Stop,
) -> Result<Outcome, Error> {
    p.check("k_means::lloyd", &[("points", points.len()), ("centroids", centroids.len())])?;
    let [rows, k, dim] = p.sizes();
    let mut bounds = vec![Bound::default(); rows];
    // The changes of each block of points, in lists whose memory is used again.
    let mut changes: Vec<Vec<Change>> = vec![Vec::new(); rows.div_ceil(BLOCK)];
    let mut history = History::new(k, dim, centroids);
    let mut nearest = Nearest::new(k, dim, centroids);
    let mut means = Means::new(k, dim);
    let (mut done, mut movement) = (0, f64::INFINITY);
    loop {
        par::for_each_chunk2_mut(&mut bounds, BLOCK, &mut changes, 1, |i, bounds, changes| {
            let points = &points[i * BLOCK * dim..][..bounds.len() * dim];
            changes[0].clear();
            let (nearest, history, changes) = (&nearest, &history, &mut changes[0]);
            dispatch(Pass { nearest, history, points, first: i * BLOCK, bounds, changes });
        });
        let settled = changes.iter().all(Vec::is_empty) || (done > 0 && movement <= stop.movement);
        if settled || done == stop.rounds {
            break;
        }
        movement = means.update(points, &changes, centroids);
        history.advance(centroids, &mut bounds);
        nearest.set(centroids);
        done += 1;
    }
    let (mut assignment, mut sq_dist) = (vec![0; rows], vec![0.0; rows]);
    let centroids = &*centroids;
    par::for_each_chunk2_mut(&mut assignment, BLOCK, &mut sq_dist, BLOCK, |i, own, sq_dist| {
        let (points, bounds) = (&points[i * BLOCK * dim..], &bounds[i * BLOCK..]);
        vectorize(
            #[inline(always)]
            move || {
                for (i, bound) in bounds[..own.len()].iter().enumerate() {
                    own[i] = bound.own;
                    let centroid = &centroids[bound.own as usize * dim..][..dim];
                    sq_dist[i] = distance(&points[i * dim..][..dim], centroid);
                }
            },
        );
    });
    Ok(Outcome { assignment, sq_dist, rounds: done })
}
