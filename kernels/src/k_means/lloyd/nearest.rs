//! Comparing points with all centroids, as a product of matrices.

use super::super::TILE_DIM;
use super::bounds::{Bound, History};
use super::{BLOCK, Change, NONE};
use crate::pairwise_sq_dist::fast::distance;
use crate::simd::{Kernel, Level, Scratch, Simd, prefetch};
use crate::tolerance::gamma;

/// Vectors in a row of a tile, at most.
const WIDTH: usize = 3;
/// Points between the one that is looked at and the one that is asked for.
const AHEAD: usize = 3;
/// Lanes of the loops that look for the least score.
const LANES: usize = 8;

/// Centroids in the order in which a tile reads them.
///
/// The squared distance of `x` and `c` is `|x - o|^2 + 2 (|c - o|^2 / 2 - (x - o) (c - o))`; the term in
/// parentheses is the score of `c`. The origin `o` lies among the centroids, so that little cancels.
pub(super) struct Nearest {
    k: usize,
    dim: usize,
    /// `k` as a multiple of the lanes.
    padded: usize,
    lanes: usize,
    centroids: Vec<f32>,
    origin: Vec<f32>,
    /// Panels of up to [`WIDTH`] vectors of centroids, each `[dim, vectors * lanes]`.
    panels: Vec<f32>,
    half_norms: Vec<f32>,
    /// The largest distance of a centroid to the origin.
    radius: f32,
    /// An error bound relative to `(|x - o| + radius)^2`.
    error: f32,
}

impl Nearest {
    pub(super) fn new(k: usize, dim: usize, centroids: &[f32]) -> Self {
        let (lanes, _) = Level::best().tile();
        // Lanes beyond the last centroid have the largest score.
        let padded = k.next_multiple_of(lanes.max(LANES));
        let mut origin = vec![0.0; dim];
        let mut steps = vec![0.0; dim.div_ceil(TILE_DIM as usize)];
        super::super::mean(centroids, 0..k, &mut origin, &mut steps);
        // Two scores and the two distances that decide in their place have an error of gamma(dim + 3) times half of
        // the square above, or less.
        let error = 2.0 * gamma(u32::try_from(dim).unwrap_or(u32::MAX).saturating_add(16));
        let mut nearest = Self {
            k,
            dim,
            padded,
            lanes,
            centroids: Vec::new(),
            origin,
            panels: vec![0.0; padded * dim],
            half_norms: vec![f32::MAX; padded],
            radius: 0.0,
            error: error as f32,
        };
        nearest.set(centroids);
        nearest
    }

    /// Takes up centroids that have moved.
    pub(super) fn set(&mut self, centroids: &[f32]) {
        let Self { dim, padded, lanes, .. } = *self;
        self.centroids.clear();
        self.centroids.extend_from_slice(centroids);
        self.radius = 0.0;
        for (j, centroid) in centroids.chunks_exact(dim).enumerate() {
            let panel = j / (WIDTH * lanes) * (WIDTH * lanes);
            let width = (padded - panel).min(WIDTH * lanes);
            let mut norm = 0.0;
            for (d, (&c, &o)) in centroid.iter().zip(&self.origin).enumerate() {
                let c = c - o;
                norm += c * c;
                self.panels[panel * dim + d * width + j - panel] = c;
            }
            self.half_norms[j] = norm / 2.0;
            self.radius = self.radius.max(norm.sqrt());
        }
    }
}

/// One look at a block of points: those that may be nearer to another centroid are compared with all.
pub(super) struct Pass<'a> {
    pub(super) nearest: &'a Nearest,
    pub(super) history: &'a History,
    /// The block's points.
    pub(super) points: &'a [f32],
    /// The row of the first.
    pub(super) first: usize,
    /// The block's bounds.
    pub(super) bounds: &'a mut [Bound],
    pub(super) changes: &'a mut Vec<Change>,
}

impl Kernel for Pass<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        match S::ROWS {
            8 => self.pass::<S, 8>(simd),
            // A tile of 4 rows takes all of 16 registers, and the compiler then keeps one of its sums in memory.
            _ => self.pass::<S, 3>(simd),
        }
    }
}

impl Pass<'_> {
    #[inline(always)]
    fn pass<S: Simd, const R: usize>(mut self, simd: S) {
        let Nearest { dim, padded, ref centroids, ref origin, .. } = *self.nearest;
        // Rows that no point has filled yet are computed too, and not used.
        let mut memory = Scratch::take(R * (dim + padded));
        let (shifted, scores) = memory.split_at_mut(R * dim);
        // All bounds first, so that it is known which points are read, and they can be asked for ahead.
        let (mut open, mut opened) = ([0; BLOCK], 0);
        for (i, bound) in self.bounds.iter().enumerate() {
            open[opened] = i;
            opened += usize::from(!self.history.keeps(bound));
        }
        let (mut waiting, mut norms, mut count) = ([0; R], [0.0; R], 0);
        for (at, &i) in open[..opened].iter().enumerate() {
            if at + AHEAD < opened {
                prefetch(&self.points[open[at + AHEAD] * dim..][..dim]);
            }
            let bound = &mut self.bounds[i];
            let point = &self.points[i * dim..][..dim];
            if bound.own != NONE {
                let own = &centroids[bound.own as usize * dim..][..dim];
                if self.history.keeps_at(bound, distance(point, own)) {
                    continue;
                }
            }
            norms[count] = shift(point, origin, &mut shifted[count * dim..][..dim]);
            waiting[count] = i;
            count += 1;
            if count == R {
                score::<S, R>(simd, self.nearest, shifted, scores);
                for r in 0..R {
                    self.settle(waiting[r], norms[r], &scores[r * padded..][..padded]);
                }
                count = 0;
            }
        }
        if count > 0 {
            score::<S, R>(simd, self.nearest, shifted, scores);
            for r in 0..count {
                self.settle(waiting[r], norms[r], &scores[r * padded..][..padded]);
            }
        }
    }

    /// Finds the nearest centroid of a point from the scores.
    #[inline(always)]
    fn settle(&mut self, i: usize, norm: f32, scores: &[f32]) {
        let nearest = self.nearest;
        let (best, second) = two_least(scores);
        let reach = norm.sqrt() + nearest.radius;
        let margin = nearest.error * reach * reach;
        let certain = second - best > margin;
        let own = if certain {
            // The index of the score, without a branch for each.
            let index = scores.iter().zip(0..).map(|(&s, j)| if s == best { j } else { 0 });
            index.fold(0, u32::max)
        } else {
            self.nearest_of_near(i, scores, best + margin)
        };
        // An uncertain choice may have any score up to the margin, and the others the best.
        let (slack, others) = if certain { (2.0, second) } else { (4.0, best) };
        let bound = &mut self.bounds[i];
        if bound.own != own {
            self.changes.push(Change { row: (self.first + i) as u32, from: bound.own, to: own });
        }
        let upper = ((norm + 2.0 * best).max(0.0) + slack * margin).sqrt();
        let lower = (norm + 2.0 * others - slack * margin).max(0.0).sqrt();
        *bound = Bound { own, since: self.history.time(), upper, lower };
    }

    /// The nearest of the centroids with a score of at most `limit` by direct distances, the first of equals.
    #[inline(always)]
    fn nearest_of_near(&self, i: usize, scores: &[f32], limit: f32) -> u32 {
        let Nearest { k, dim, ref centroids, .. } = *self.nearest;
        let point = &self.points[i * dim..][..dim];
        let mut nearest = (0, f32::INFINITY);
        for j in (0..k).filter(|&j| scores[j] <= limit) {
            let distance = distance(point, &centroids[j * dim..][..dim]);
            if distance < nearest.1 {
                nearest = (j as u32, distance);
            }
        }
        nearest.0
    }
}

/// `to = point - origin`, and its squared norm.
#[inline(always)]
fn shift(point: &[f32], origin: &[f32], to: &mut [f32]) -> f32 {
    for ((to, &x), &o) in to.iter_mut().zip(point).zip(origin) {
        *to = x - o;
    }
    distance(point, origin)
}

/// The least two scores.
#[inline(always)]
fn two_least(scores: &[f32]) -> (f32, f32) {
    let less = |a: f32, b: f32| if a < b { a } else { b };
    let more = |a: f32, b: f32| if a > b { a } else { b };
    let (mut first, mut second) = ([f32::MAX; LANES], [f32::MAX; LANES]);
    for scores in scores.as_chunks::<LANES>().0 {
        for l in 0..LANES {
            second[l] = less(second[l], more(first[l], scores[l]));
            first[l] = less(first[l], scores[l]);
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for l in 0..width {
            let larger = more(first[l], first[l + width]);
            second[l] = less(less(second[l], second[l + width]), larger);
            first[l] = less(first[l], first[l + width]);
        }
        width /= 2;
    }
    (first[0], second[0])
}

/// `scores[r, j]` of `R` shifted points and all centroids.
#[inline(always)]
fn score<S: Simd, const R: usize>(simd: S, nearest: &Nearest, points: &[f32], scores: &mut [f32]) {
    let Nearest { dim, padded, .. } = *nearest;
    let rows: [&[f32]; R] = core::array::from_fn(|r| &points[r * dim..][..dim]);
    let mut start = 0;
    while start < padded {
        let width = (padded - start).min(WIDTH * S::LANES);
        let panel = &nearest.panels[start * dim..][..width * dim];
        match width / S::LANES {
            3 => products::<S, R, 3>(simd, rows, panel, padded, &mut scores[start..]),
            2 => products::<S, R, 2>(simd, rows, panel, padded, &mut scores[start..]),
            _ => products::<S, R, 1>(simd, rows, panel, padded, &mut scores[start..]),
        }
        start += width;
    }
    for scores in scores.chunks_exact_mut(padded) {
        for (score, &half_norm) in scores.iter_mut().zip(&nearest.half_norms) {
            *score = half_norm - *score;
        }
    }
}

/// The products of `R` points and the `V` vectors of centroids of a panel.
#[inline(always)]
fn products<S: Simd, const R: usize, const V: usize>(
    simd: S,
    rows: [&[f32]; R],
    panel: &[f32],
    padded: usize,
    out: &mut [f32],
) {
    let mut sums = [[simd.splat(0.0); V]; R];
    for (d, panel) in panel.chunks_exact(V * S::LANES).enumerate() {
        let c: [S::Vector; V] = core::array::from_fn(|v| simd.load(&panel[v * S::LANES..]));
        for r in 0..R {
            let x = simd.splat(rows[r][d]);
            for v in 0..V {
                sums[r][v] = simd.mul_add(x, c[v], sums[r][v]);
            }
        }
    }
    for r in 0..R {
        for v in 0..V {
            simd.store(sums[r][v], &mut out[r * padded + v * S::LANES..]);
        }
    }
}
