//! f32 forms at the speed of memory: sums in many lanes, planes spread over threads.

use super::Params;
use crate::error::Error;
use crate::par::for_each_chunk2_mut;
use crate::shape::Shape;
use crate::simd::{PIECE, for_each_plane_mut, map, map2, sum_of, sums_of};

/// Calls `f(plane, a, b)` with the plane's element of two arrays of one element per plane.
fn for_each_plane(
    hw: usize,
    a: &mut [f32],
    b: &mut [f32],
    f: impl Fn(usize, &mut f32, &mut f32) + Send + Sync,
) {
    let planes = (PIECE / hw).max(1);
    for_each_chunk2_mut(a, planes, b, planes, |i, a, b| {
        for (k, (a, b)) in a.iter_mut().zip(b).enumerate() {
            f(i * planes + k, a, b);
        }
    });
}

/// [`statistics`](super::statistics) for f32.
pub fn statistics(p: &Params, x: &[f32], mean: &mut [f32], rstd: &mut [f32]) -> Result<(), Error> {
    p.check(
        "instance_norm::statistics",
        &[("x", x.len()), ("mean", mean.len()), ("rstd", rstd.len())],
    )?;
    let [_, hw] = p.sizes();
    for_each_plane(hw, mean, rstd, |plane, mean, rstd| {
        let x = &x[plane * hw..][..hw];
        let centre = sum_of(
            x,
            #[inline(always)]
            move |x| x,
        ) / hw as f32;
        let squares = sum_of(
            x,
            #[inline(always)]
            move |x| (x - centre) * (x - centre),
        );
        *mean = centre;
        *rstd = 1.0 / (squares / hw as f32 + p.eps).sqrt();
    });
    Ok(())
}

/// [`forward`](super::forward) for f32.
pub fn forward(
    p: &Params,
    x: &[f32],
    mean: &[f32],
    rstd: &[f32],
    y: &mut [f32],
) -> Result<(), Error> {
    p.check(
        "instance_norm::forward",
        &[("x", x.len()), ("mean", mean.len()), ("rstd", rstd.len()), ("y", y.len())],
    )?;
    let [_, hw] = p.sizes();
    for_each_plane_mut(y, hw, |plane, y| {
        let (mean, rstd) = (mean[plane], rstd[plane]);
        map(
            &x[plane * hw..][..hw],
            y,
            #[inline(always)]
            move |x| (x - mean) * rstd,
        );
    });
    Ok(())
}

/// [`backward_statistics`](super::backward_statistics) for f32.
pub fn backward_statistics(
    p: &Params,
    x: &[f32],
    dy: &[f32],
    mean: &[f32],
    rstd: &[f32],
    sum_dy: &mut [f32],
    sum_dy_xhat: &mut [f32],
) -> Result<(), Error> {
    p.check(
        "instance_norm::backward_statistics",
        &[
            ("x", x.len()),
            ("dy", dy.len()),
            ("mean", mean.len()),
            ("rstd", rstd.len()),
            ("sum_dy", sum_dy.len()),
            ("sum_dy_xhat", sum_dy_xhat.len()),
        ],
    )?;
    let [_, hw] = p.sizes();
    for_each_plane(hw, sum_dy, sum_dy_xhat, |plane, plain, with_xhat| {
        let (at, centre) = (plane * hw, mean[plane]);
        let sums = sums_of(
            &x[at..][..hw],
            &dy[at..][..hw],
            #[inline(always)]
            move |x, dy| [dy, dy * (x - centre)],
        );
        *plain = sums[0];
        *with_xhat = sums[1] * rstd[plane];
    });
    Ok(())
}

/// [`backward_input`](super::backward_input) for f32.
pub fn backward_input(
    p: &Params,
    x: &[f32],
    dy: &[f32],
    mean: &[f32],
    rstd: &[f32],
    sum_dy: &[f32],
    sum_dy_xhat: &[f32],
    dx: &mut [f32],
) -> Result<(), Error> {
    p.check(
        "instance_norm::backward_input",
        &[
            ("x", x.len()),
            ("dy", dy.len()),
            ("mean", mean.len()),
            ("rstd", rstd.len()),
            ("sum_dy", sum_dy.len()),
            ("sum_dy_xhat", sum_dy_xhat.len()),
            ("dx", dx.len()),
        ],
    )?;
    let [_, hw] = p.sizes();
    let m = hw as f32;
    for_each_plane_mut(dx, hw, |plane, dx| {
        let (mean, rstd) = (mean[plane], rstd[plane]);
        let (shift, slope) = (sum_dy[plane] / m, rstd * sum_dy_xhat[plane] / m);
        let at = plane * hw;
        map2(
            &x[at..][..hw],
            &dy[at..][..hw],
            dx,
            #[inline(always)]
            move |x, dy| rstd * (dy - shift - (x - mean) * slope),
        );
    });
    Ok(())
}
