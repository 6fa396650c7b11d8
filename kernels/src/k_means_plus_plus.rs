//! Greedy k-means++: candidates are drawn with probabilities proportional to their squared distances to the centroids before,
//! and the one that leaves the smallest sum of squared distances becomes a centroid.
//!
//! A round is [`measure`] and [`draw`]. The caller fills `nearest` and `trial_sq_dist` with `f32::MAX` and `drawn` with the first
//! pick, and zeroes `best` and `picks[0]`. After `k` rounds `picks` has all rows.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::pairwise_sq_dist::between;
use crate::real::Real;
use crate::shape::Shape;

#[cfg(all(test, feature = "std"))]
mod tests;

/// Points whose distances are summed together.
pub const BLOCK: u32 = 64;

/// Candidates for a centroid at most: enough for three million centroids.
pub const MAX_TRIALS: u32 = 16;

/// Sizes; the same bytes are the shader's uniform buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Points.
    pub rows: u32,
    /// Centroids to choose.
    pub k: u32,
    /// Coordinates of a point.
    pub dim: u32,
    /// Candidates for each centroid, at most [`MAX_TRIALS`].
    pub trials: u32,
}

impl Params {
    fn sizes(&self) -> [usize; 4] {
        [self.rows, self.k, self.dim, self.trials].map(|size| size as usize)
    }

    fn blocks(&self) -> usize {
        self.rows.div_ceil(BLOCK) as usize
    }

    /// Refuses rows and candidates that there are not.
    fn check_indices(&self, drawn: &[u32], best: &[u32]) -> Result<(), Error> {
        let what = if drawn.iter().any(|&row| row >= self.rows) {
            "drawn must hold rows below `rows`"
        } else if best[0] >= self.trials {
            "best must be below `trials`"
        } else {
            return Ok(());
        };
        Err(Error::Params { op: Self::OP, what })
    }
}

impl Shape for Params {
    const OP: &'static str = "k_means_plus_plus";

    fn len(&self, buffer: &str) -> usize {
        let [rows, k, dim, trials] = self.sizes();
        match buffer {
            "points" => rows.saturating_mul(dim),
            "nearest" => rows,
            "trial_sq_dist" => trials.saturating_mul(rows),
            "left" => trials * self.blocks(),
            "uniforms" => k.saturating_mul(trials),
            "drawn" => trials,
            "best" => 1,
            "picks" => 1 + k,
            _ => panic!("k_means_plus_plus has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        let what = if self.sizes().contains(&0) {
            "rows, k, dim and trials must be at least 1"
        } else if self.trials > MAX_TRIALS {
            "trials must be at most 16"
        } else {
            return Ok(());
        };
        Err(Error::Params { op: Self::OP, what })
    }
}

/// Takes the best candidate of the round before, and measures those of this one:
/// `nearest[i] = min(nearest[i], trial_sq_dist[best, i])`, then `trial_sq_dist[t, i] = |points[i] - points[drawn[t]]|^2`, and
/// `left[t, b]` the sum of `min(nearest[i], trial_sq_dist[t, i])` over block `b` of 64 points.
///
/// # Shapes
/// `points [rows, dim]`, `drawn [trials]`, `best [1]`, `nearest [rows]`, `trial_sq_dist [trials, rows]`, `left [trials, rows / 64]`,
/// rounded up.
///
/// # Units
/// Those of the points, squared.
///
/// # Writes
/// `nearest =` and `trial_sq_dist =` from their old values, `left =`.
///
/// # Numerics
/// Differences first, then squares. Tolerance class sum.
///
/// # Errors
/// Also where `drawn` or `best` name what there is not.
///
/// # Source
/// Arthur and Vassilvitskii 2007, "k-means++: the advantages of careful seeding", with the several draws of its section 7.
pub fn measure<T: Real>(
    p: &Params,
    points: &[T],
    drawn: &[u32],
    best: &[u32],
    nearest: &mut [T],
    trial_sq_dist: &mut [T],
    left: &mut [T],
) -> Result<(), Error> {
    let reads = [points.len(), drawn.len(), best.len()];
    check_measure(p, reads, [nearest.len(), trial_sq_dist.len(), left.len()])?;
    p.check_indices(drawn, best)?;
    let [rows, _, dim, _] = p.sizes();
    take(nearest, &trial_sq_dist[best[0] as usize * rows..]);
    left.fill(T::ZERO);
    for (t, &row) in drawn.iter().enumerate() {
        let candidate = &points[row as usize * dim..][..dim];
        for i in 0..rows {
            let distance = between(&points[i * dim..][..dim], candidate);
            trial_sq_dist[t * rows + i] = distance;
            left[t * p.blocks() + i / BLOCK as usize] += nearest[i].min(distance);
        }
    }
    Ok(())
}

/// The distances to a new centroid, where they are smaller.
fn take<T: Real>(nearest: &mut [T], sq_dist: &[T]) {
    for (nearest, &sq_dist) in nearest.iter_mut().zip(sq_dist) {
        *nearest = nearest.min(sq_dist);
    }
}

/// Picks the candidate that leaves least, and draws the next ones. With `s[t]` the sum of `left[t, b]` over all blocks:
/// `best[0] = argmin_t s[t]`, `picks[1 + picks[0]] = drawn[best]`, then `picks[0] += 1`; and `drawn[t]` becomes the row at which the
/// running sum of what `best` leaves exceeds `uniforms[picks[0], t] s[best]`, with the old `picks[0]`: first the block, by `left`, then
/// the row in it, by `min(nearest, trial_sq_dist[best])`.
///
/// # Shapes
/// `nearest [rows]`, `trial_sq_dist [trials, rows]`, `left [trials, rows / 64]`, rounded up, `uniforms [k, trials]`, `best [1]`,
/// `drawn [trials]`, `picks [1 + k]`: the number of picks, then the picks.
///
/// # Units
/// `uniforms` from 0 to 1, the rest as `measure`.
///
/// # Writes
/// `best =`, `drawn =` from its old values, `picks +=`; nothing where `picks` is full.
///
/// # Numerics
/// Class pick: equal sums go to the lowest index, and a number within the rounding of the running sums from a boundary may draw either
/// neighbour. Where rounding lifts it to the sum of all, the last block or row that is not zero is drawn; the first where all are zero.
///
/// # Errors
/// Also where `drawn` names a row that there is not.
///
/// # Source
/// As [`measure`].
pub fn draw<T: Real>(
    p: &Params,
    nearest: &[T],
    trial_sq_dist: &[T],
    left: &[T],
    uniforms: &[T],
    best: &mut [u32],
    drawn: &mut [u32],
    picks: &mut [u32],
) -> Result<(), Error> {
    draw_with(p, [nearest, trial_sq_dist, left, uniforms], [best, drawn, picks], |x| x)
}

/// [`draw`] with sums of another type than the numbers.
fn draw_with<T: Real, S: Real>(
    p: &Params,
    [nearest, trial_sq_dist, left, uniforms]: [&[T]; 4],
    [best, drawn, picks]: [&mut [u32]; 3],
    widen: impl Fn(T) -> S + Copy,
) -> Result<(), Error> {
    p.check(
        "k_means_plus_plus::draw",
        &[
            ("nearest", nearest.len()),
            ("trial_sq_dist", trial_sq_dist.len()),
            ("left", left.len()),
            ("uniforms", uniforms.len()),
            ("best", best.len()),
            ("drawn", drawn.len()),
            ("picks", picks.len()),
        ],
    )?;
    p.check_indices(drawn, &[0])?;
    let round = picks[0] as usize;
    let [rows, k, _, trials] = p.sizes();
    if round >= k {
        return Ok(());
    }
    let of_trial = |t: usize| left[t * p.blocks()..][..p.blocks()].iter().map(|&x| widen(x));
    let sum = |t: usize| of_trial(t).fold(S::ZERO, |a, b| a + b);
    let chosen = (1..trials).fold(0, |a, t| if sum(t) < sum(a) { t } else { a });
    picks[1 + round] = drawn[chosen];
    picks[0] += 1;
    best[0] = chosen as u32;
    let total = sum(chosen);
    for (t, drawn) in drawn.iter_mut().enumerate() {
        let goal = widen(uniforms[round * trials + t]) * total;
        let (block, rest) = locate(of_trial(chosen), goal);
        let first = block * BLOCK as usize;
        let end = rows.min(first + BLOCK as usize);
        let terms = (first..end).map(|i| widen(nearest[i].min(trial_sq_dist[chosen * rows + i])));
        *drawn = (first + locate(terms, rest).0) as u32;
    }
    Ok(())
}

/// The first term at which the running sum exceeds `goal`, or the last that is not zero, or the first; and what the terms before it
/// leave of `goal`.
fn locate<T: Real>(terms: impl Iterator<Item = T>, goal: T) -> (usize, T) {
    let mut found = (0, goal);
    let mut before = T::ZERO;
    for (i, term) in terms.enumerate().filter(|&(_, term)| term > T::ZERO) {
        found = (i, goal - before);
        before += term;
        if before > goal {
            break;
        }
    }
    found
}

fn check_measure(
    p: &Params,
    [points, drawn, best]: [usize; 3],
    [nearest, trial_sq_dist, left]: [usize; 3],
) -> Result<(), Error> {
    p.check(
        "k_means_plus_plus::measure",
        &[
            ("points", points),
            ("drawn", drawn),
            ("best", best),
            ("nearest", nearest),
            ("trial_sq_dist", trial_sq_dist),
            ("left", left),
        ],
    )
}

/// The f32 forms.
#[cfg(feature = "std")]
pub mod fast {
    use super::{BLOCK, Params};
    use crate::pairwise_sq_dist::fast::for_each_distance;
    use crate::simd::vectorize;
    use crate::{Error, par};

    /// [`measure`](super::measure) for f32.
    pub fn measure(
        p: &Params,
        points: &[f32],
        drawn: &[u32],
        best: &[u32],
        nearest: &mut [f32],
        trial_sq_dist: &mut [f32],
        left: &mut [f32],
    ) -> Result<(), Error> {
        let reads = [points.len(), drawn.len(), best.len()];
        super::check_measure(p, reads, [nearest.len(), trial_sq_dist.len(), left.len()])?;
        p.check_indices(drawn, best)?;
        let [rows, _, dim, _] = p.sizes();
        super::take(nearest, &trial_sq_dist[best[0] as usize * rows..]);
        let nearest = &*nearest;
        let trials = trial_sq_dist.chunks_mut(rows).zip(left.chunks_mut(p.blocks()));
        for ((sq_dist, left), &row) in trials.zip(drawn) {
            let candidate = &points[row as usize * dim..][..dim];
            par::for_each_chunk2_mut(sq_dist, BLOCK as usize, left, 1, |block, sq_dist, left| {
                let first = block * BLOCK as usize;
                let points = &points[first * dim..][..sq_dist.len() * dim];
                vectorize(
                    #[inline(always)]
                    move || {
                        for_each_distance(candidate, points, |i, distance| sq_dist[i] = distance);
                        let terms = nearest[first..].iter().zip(sq_dist.iter());
                        left[0] = terms.map(|(a, b)| a.min(*b)).sum();
                    },
                );
            });
        }
        Ok(())
    }

    /// [`draw`](super::draw) for f32, with sums in f64.
    pub fn draw(
        p: &Params,
        nearest: &[f32],
        trial_sq_dist: &[f32],
        left: &[f32],
        uniforms: &[f32],
        best: &mut [u32],
        drawn: &mut [u32],
        picks: &mut [u32],
    ) -> Result<(), Error> {
        let reads = [nearest, trial_sq_dist, left, uniforms];
        super::draw_with(p, reads, [best, drawn, picks], f64::from)
    }
}
