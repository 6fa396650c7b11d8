//! What is known of each point's distances without looking at it again.

use super::{BLOCK, NONE};
use crate::pairwise_sq_dist::fast::{distance, for_each_distance, relative_error};
use crate::par;
use crate::simd::vectorize;

/// Times whose centroids are remembered: more would be more to compare with in each round.
const TIMES: usize = 32;

/// The distances of a point at the time when it was last compared with the centroids.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    /// The point's cluster.
    pub(super) own: u32,
    /// The time of the comparison.
    pub(super) since: u32,
    /// The distance to its own centroid was at most this.
    pub(super) upper: f32,
    /// The distances to all others were at least this.
    pub(super) lower: f32,
}

impl Default for Bound {
    fn default() -> Self {
        Self { own: NONE, since: 0, upper: f32::INFINITY, lower: 0.0 }
    }
}

/// How far the centroids are now from where they were.
pub(super) struct History {
    k: usize,
    dim: usize,
    /// The centroids at each time. The last is now.
    times: Vec<Vec<f32>>,
    /// The movements from each time until now.
    moves: Vec<Moves>,
    /// For each centroid half the distance to the nearest other one: points nearer than this are its own.
    half_gaps: Vec<f32>,
    /// 1 and four times the relative error of a distance.
    ///
    /// With `a` and `b` bounds of true distances, `a * safety < b` implies the same order of the distances that are computed.
    safety: f32,
}

/// Movements of the centroids, from one time until now.
struct Moves {
    by: Vec<f32>,
    /// The centroid that moved most.
    most: usize,
    /// The movement of the one that moved most but for it.
    second: f32,
}

impl Moves {
    /// How far the farthest of all other centroids moved.
    #[inline(always)]
    fn of_others(&self, own: usize) -> f32 {
        if own == self.most { self.second } else { self.by[self.most] }
    }
}

impl History {
    /// Begins now.
    pub(super) fn new(k: usize, dim: usize, centroids: &[f32]) -> Self {
        // Sums and differences of bounds, and roots, add some roundings of their own.
        let safety = (1.0 + 4.0 * (relative_error(dim) + relative_error(0))) as f32;
        let (times, moves, half_gaps) = (Vec::new(), Vec::new(), vec![0.0; k]);
        let mut history = Self { k, dim, times, moves, half_gaps, safety };
        history.advance(centroids, &mut []);
        history
    }

    /// The centroids have moved; where memory of old times ends, the bounds are made to be of now.
    pub(super) fn advance(&mut self, centroids: &[f32], bounds: &mut [Bound]) {
        self.times.push(centroids.to_vec());
        let (dim, safety) = (self.dim, self.safety);
        let times = &self.times;
        self.moves = par::map_indices(times.len(), |t| moves(&times[t], centroids, dim, safety));
        if self.times.len() > TIMES {
            par::for_each_chunk_mut(bounds, BLOCK, |_, bounds| {
                for bound in bounds.iter_mut().filter(|bound| bound.own != NONE) {
                    (bound.upper, bound.lower) = self.now(bound);
                    bound.upper *= safety;
                    bound.lower /= safety;
                    bound.since = 0;
                }
            });
            self.times = vec![centroids.to_vec()];
            self.moves = vec![moves(centroids, centroids, dim, safety)];
        }
        // Measuring them is a part of k / rows of a comparison of all points.
        if self.k * 8 <= bounds.len() {
            self.half_gaps = par::map_indices(self.k, |j| half_gap(centroids, dim, j) / safety);
        }
    }

    /// The present time, for bounds.
    pub(super) fn time(&self) -> u32 {
        self.times.len() as u32 - 1
    }

    /// The present bounds of the distances to a point's own centroid and to the others.
    #[inline(always)]
    fn now(&self, bound: &Bound) -> (f32, f32) {
        let (moves, own) = (&self.moves[bound.since as usize], bound.own as usize);
        (bound.upper + moves.by[own], (bound.lower - moves.of_others(own)).max(0.0))
    }

    /// Whether the point certainly stays in its cluster.
    #[inline(always)]
    pub(super) fn keeps(&self, bound: &Bound) -> bool {
        if bound.own == NONE {
            return false;
        }
        let (upper, lower) = self.now(bound);
        upper * self.safety < lower.max(self.half_gaps[bound.own as usize])
    }

    /// [`keeps`](Self::keeps) with the squared distance to the point's own centroid known, which becomes a bound.
    #[inline(always)]
    pub(super) fn keeps_at(&self, bound: &mut Bound, sq_dist: f32) -> bool {
        let lower = self.now(bound).1 / self.safety;
        let upper = sq_dist.sqrt() * self.safety;
        *bound = Bound { own: bound.own, since: self.time(), upper, lower };
        self.keeps(bound)
    }
}

fn moves(then: &[f32], now: &[f32], dim: usize, safety: f32) -> Moves {
    let by: Vec<f32> = vectorize(
        #[inline(always)]
        move || {
            let pairs = then.chunks_exact(dim).zip(now.chunks_exact(dim));
            pairs.map(|(a, b)| distance(a, b).sqrt() * safety).collect()
        },
    );
    let most = (0..by.len()).fold(0, |most, j| if by[j] > by[most] { j } else { most });
    let others = by.iter().enumerate().filter(|&(j, _)| j != most);
    let second = others.fold(0.0, |second, (_, &by)| if by > second { by } else { second });
    Moves { by, most, second }
}

fn half_gap(centroids: &[f32], dim: usize, own: usize) -> f32 {
    vectorize(
        #[inline(always)]
        move || {
            let mut gap = f32::MAX;
            for_each_distance(&centroids[own * dim..][..dim], centroids, |j, distance| {
                if j != own && distance < gap {
                    gap = distance;
                }
            });
            gap.sqrt() / 2.0
        },
    )
}
