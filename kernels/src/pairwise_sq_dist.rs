//! Squared distances between all points of two sets.

use bytemuck::{Pod, Zeroable};

use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

/// Sizes; the same bytes are the shader's uniform buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Points of the first set.
    pub rows_a: u32,
    /// Points of the second set.
    pub rows_b: u32,
    /// Coordinates of a point.
    pub dim: u32,
}

impl Params {
    fn sizes(&self) -> [usize; 3] {
        [self.rows_a, self.rows_b, self.dim].map(|size| size as usize)
    }
}

impl Shape for Params {
    const OP: &'static str = "pairwise_sq_dist";

    fn len(&self, buffer: &str) -> usize {
        let [rows_a, rows_b, dim] = self.sizes();
        match buffer {
            "a" => rows_a.saturating_mul(dim),
            "b" => rows_b.saturating_mul(dim),
            "sq_dist" => rows_a.saturating_mul(rows_b),
            _ => panic!("pairwise_sq_dist has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        if self.sizes().contains(&0) {
            let what = "rows_a, rows_b and dim must be at least 1";
            return Err(Error::Params { op: Self::OP, what });
        }
        Ok(())
    }
}

/// `sum_d (a[d] - b[d])^2` of two points.
pub(crate) fn between<T: Real>(a: &[T], b: &[T]) -> T {
    let mut sum = T::ZERO;
    for d in 0..a.len() {
        let difference = a[d] - b[d];
        sum += difference * difference;
    }
    sum
}

/// `sq_dist[i, j] = sum_d (a[i, d] - b[j, d])^2`.
///
/// # Shapes
/// `a [rows_a, dim]`, `b [rows_b, dim]`, `sq_dist [rows_a, rows_b]`.
///
/// # Units
/// Those of the points, squared.
///
/// # Writes
/// `sq_dist =`
///
/// # Numerics
/// Differences first: `|a|^2 - 2 a b + |b|^2` would lose small distances between large points (its
/// shader takes products where they are as good). Tolerance class sum.
pub fn forward<T: Real>(p: &Params, a: &[T], b: &[T], sq_dist: &mut [T]) -> Result<(), Error> {
    check(p, a.len(), b.len(), sq_dist.len())?;
    let [rows_a, rows_b, dim] = p.sizes();
    for i in 0..rows_a {
        for j in 0..rows_b {
            sq_dist[i * rows_b + j] = between(&a[i * dim..][..dim], &b[j * dim..][..dim]);
        }
    }
    Ok(())
}

fn check(p: &Params, a: usize, b: usize, sq_dist: usize) -> Result<(), Error> {
    p.check("pairwise_sq_dist::forward", &[("a", a), ("b", b), ("sq_dist", sq_dist)])
}

/// The f32 form, and the inner loop of all others that measure distances.
#[cfg(feature = "std")]
pub mod fast {
    use super::Params;
    use crate::patch_sum::fast::{LANES, fold};
    use crate::simd::vectorize;
    use crate::tolerance::gamma;
    use crate::{Error, par};

    /// Points of the second set whose distances are summed side by side.
    const GROUP: usize = 4;

    /// Points of the first set that a thread takes at a time.
    const ROWS: usize = 64;

    /// [`forward`](super::forward) for f32.
    pub fn forward(p: &Params, a: &[f32], b: &[f32], sq_dist: &mut [f32]) -> Result<(), Error> {
        super::check(p, a.len(), b.len(), sq_dist.len())?;
        let [_, rows_b, dim] = p.sizes();
        par::for_each_chunk_mut(sq_dist, ROWS * rows_b, |block, sq_dist| {
            let a = &a[block * ROWS * dim..];
            vectorize(
                #[inline(always)]
                move || {
                    for (row, point) in sq_dist.chunks_exact_mut(rows_b).zip(a.chunks_exact(dim)) {
                        for_each_distance(point, b, |j, distance| row[j] = distance);
                    }
                },
            );
        });
        Ok(())
    }

    /// Calls `f(j, distance)` with the squared distances from `point` to `others`, in their order.
    ///
    /// A distance has the same bits however the points are grouped.
    #[inline(always)]
    pub(crate) fn for_each_distance(point: &[f32], others: &[f32], mut f: impl FnMut(usize, f32)) {
        let dim = point.len();
        let groups = others.chunks_exact(GROUP * dim);
        let rest = groups.remainder();
        let mut j = 0;
        for group in groups {
            let rows: [&[f32]; GROUP] = core::array::from_fn(|g| &group[g * dim..][..dim]);
            for distance in distances4(point, rows) {
                f(j, distance);
                j += 1;
            }
        }
        for other in rest.chunks_exact(dim) {
            f(j, distance(point, other));
            j += 1;
        }
    }

    /// The squared distances from `point` to four others, in lanes as [`fold`] has them.
    #[inline(always)]
    pub(crate) fn distances4(point: &[f32], others: [&[f32]; GROUP]) -> [f32; GROUP] {
        let (whole, rest) = point.as_chunks::<LANES>();
        let [b0, b1, b2, b3] = others.map(|other| &other.as_chunks::<LANES>().0[..whole.len()]);
        // Four variables, and not an array of arrays, which compilers keep in memory.
        let [mut s0, mut s1, mut s2, mut s3] = [[0.0; LANES]; GROUP];
        for (i, a) in whole.iter().enumerate() {
            add_squares(&mut s0, a, &b0[i]);
            add_squares(&mut s1, a, &b1[i]);
            add_squares(&mut s2, a, &b2[i]);
            add_squares(&mut s3, a, &b3[i]);
        }
        let mut sums = [s0, s1, s2, s3];
        for (sum, other) in sums.iter_mut().zip(others) {
            add_squares_of_rest(sum, rest, &other[whole.len() * LANES..]);
        }
        sums.map(fold)
    }

    /// The squared distance between two points; the same bits as [`distances4`].
    #[inline(always)]
    pub(crate) fn distance(a: &[f32], b: &[f32]) -> f32 {
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
        let mut sum = [0.0; LANES];
        for (a, b) in a.iter().zip(b) {
            add_squares(&mut sum, a, b);
        }
        add_squares_of_rest(&mut sum, a_rest, b_rest);
        fold(sum)
    }

    #[inline(always)]
    fn add_squares(sum: &mut [f32; LANES], a: &[f32; LANES], b: &[f32; LANES]) {
        for l in 0..LANES {
            let difference = a[l] - b[l];
            sum[l] += difference * difference;
        }
    }

    #[inline(always)]
    fn add_squares_of_rest(sum: &mut [f32; LANES], a: &[f32], b: &[f32]) {
        for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
            *sum += (a - b) * (a - b);
        }
    }

    /// A bound of the relative error of [`distance`] between points of `dim` coordinates.
    ///
    /// A square has three roundings, a lane sums every 16th, and the lanes fold in four steps.
    pub(crate) fn relative_error(dim: usize) -> f64 {
        gamma(u32::try_from(dim.div_ceil(LANES) + 7).unwrap_or(u32::MAX))
    }
}

#[cfg(all(test, feature = "std"))]
mod tests;
