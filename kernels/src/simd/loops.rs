//! Loops over whole slices, for passes that are bound by memory.
//!
//! The closures given to them are to be marked `#[inline(always)]`, and `move`: what lies behind a reference
//! the compiler has to load again for each element.

use super::vectorize;
use crate::par::for_each_chunk_mut;

/// Running sums of [`sum_of`] and [`sums_of`]: enough to fill the adders, and each gets few terms.
const SUMS: usize = 32;

/// Adds up pairs until one is left: accurate, and in the same order on every machine.
#[inline(always)]
fn fold(mut sums: [f32; SUMS]) -> f32 {
    let mut half = SUMS / 2;
    while half > 0 {
        for l in 0..half {
            sums[l] += sums[l + half];
        }
        half /= 2;
    }
    sums[0]
}

/// `sum_i f(x[i])`, with many running sums.
pub(crate) fn sum_of(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    vectorize(
        #[inline(always)]
        move || {
            let mut sums = [0.0; SUMS];
            let chunks = x.chunks_exact(SUMS);
            let rest = chunks.remainder();
            for chunk in chunks {
                for l in 0..SUMS {
                    sums[l] += f(chunk[l]);
                }
            }
            for (l, &x) in rest.iter().enumerate() {
                sums[l] += f(x);
            }
            fold(sums)
        },
    )
}

/// `sum_i f(x[i], y[i])` for each of two numbers that `f` gives.
pub(crate) fn sums_of(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> [f32; 2]) -> [f32; 2] {
    vectorize(
        #[inline(always)]
        move || {
            let mut sums = [[0.0; SUMS]; 2];
            let (xs, ys) = (x.chunks_exact(SUMS), y.chunks_exact(SUMS));
            let rest = xs.remainder().iter().zip(ys.remainder());
            for (x, y) in xs.zip(ys) {
                for l in 0..SUMS {
                    let terms = f(x[l], y[l]);
                    sums[0][l] += terms[0];
                    sums[1][l] += terms[1];
                }
            }
            for (l, (&x, &y)) in rest.enumerate() {
                let terms = f(x, y);
                sums[0][l] += terms[0];
                sums[1][l] += terms[1];
            }
            sums.map(fold)
        },
    )
}

/// `sums[c] = sum_(n,i) x[n,c,i]` for `x [n, c, hw]`.
pub(crate) fn channel_sums(x: &[f32], n: usize, c: usize, hw: usize, sums: &mut [f32]) {
    for_each_chunk_mut(sums, 1, |ch, sum| {
        let planes = (0..n).map(|s| &x[(s * c + ch) * hw..][..hw]);
        let total: f64 = planes
            .map(|plane| {
                f64::from(sum_of(
                    plane,
                    #[inline(always)]
                    move |x| x,
                ))
            })
            .sum();
        sum[0] = total as f32;
    });
}

/// Numbers of a piece of work that is worth a thread's attention, for passes bound by memory.
pub(crate) const PIECE: usize = 16 * 1024;

/// Calls `f(plane, y)` for every plane of `hw` numbers of `y`, several planes to a piece of work.
pub(crate) fn for_each_plane_mut(
    y: &mut [f32],
    hw: usize,
    f: impl Fn(usize, &mut [f32]) + Send + Sync,
) {
    let planes = (PIECE / hw).max(1);
    for_each_chunk_mut(y, planes * hw, |i, y| {
        for (k, y) in y.chunks_mut(hw).enumerate() {
            f(i * planes + k, y);
        }
    });
}

/// `y[i] = f(x[i])`.
pub(crate) fn map(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32) {
    vectorize(
        #[inline(always)]
        move || {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = f(x);
            }
        },
    );
}

/// `z[i] = f(x[i], y[i])`.
pub(crate) fn map2(x: &[f32], y: &[f32], z: &mut [f32], f: impl Fn(f32, f32) -> f32) {
    vectorize(
        #[inline(always)]
        move || {
            for ((z, &x), &y) in z.iter_mut().zip(x).zip(y) {
                *z = f(x, y);
            }
        },
    );
}
