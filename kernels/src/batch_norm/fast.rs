//! f32 forms at the speed of memory: sums in many lanes, planes spread over threads.

use super::Params;
use crate::error::Error;
use crate::par::for_each_chunk2_mut;
use crate::shape::Shape;
use crate::simd::{PIECE, for_each_plane_mut, map, map2, sum_of, sums_of};

/// Calls `f(channel, a, b)` with the channel's element of two arrays, several channels to a piece of work.
fn for_each_channel(
    p: &Params,
    a: &mut [f32],
    b: &mut [f32],
    f: impl Fn(usize, &mut f32, &mut f32) + Send + Sync,
) {
    let [n, _, hw] = p.sizes();
    let channels = (PIECE / (n * hw)).max(1);
    for_each_chunk2_mut(a, channels, b, channels, |i, a, b| {
        for (k, (a, b)) in a.iter_mut().zip(b).enumerate() {
            f(i * channels + k, a, b);
        }
    });
}

/// [`statistics`](super::statistics) for f32.
pub fn statistics(
    p: &Params,
    x: &[f32],
    mean: &mut [f32],
    rstd: &mut [f32],
    running_mean: &mut [f32],
    running_var: &mut [f32],
) -> Result<(), Error> {
    p.check(
        "batch_norm::statistics",
        &[
            ("x", x.len()),
            ("mean", mean.len()),
            ("rstd", rstd.len()),
            ("running_mean", running_mean.len()),
            ("running_var", running_var.len()),
        ],
    )?;
    let [n, c, hw] = p.sizes();
    let m = n * hw;
    let (eps, momentum) = (f64::from(p.eps), f64::from(p.momentum));
    // Means and variances first; the variances take the place of `rstd` until all are there.
    for_each_channel(p, mean, rstd, |ch, mean, var| {
        let planes = || (0..n).map(|s| &x[(s * c + ch) * hw..][..hw]);
        let sum: f64 = planes()
            .map(|x| {
                f64::from(sum_of(
                    x,
                    #[inline(always)]
                    move |x| x,
                ))
            })
            .sum();
        let centre = (sum / m as f64) as f32;
        let squares: f64 = planes()
            .map(|x| {
                f64::from(sum_of(
                    x,
                    #[inline(always)]
                    move |x| (x - centre) * (x - centre),
                ))
            })
            .sum();
        *mean = centre;
        *var = (squares / m as f64) as f32;
    });
    let unbiased = m as f64 / (m - 1).max(1) as f64;
    for ch in 0..c {
        let var = f64::from(rstd[ch]);
        let mix = |old: f32, new: f64| ((1.0 - momentum) * f64::from(old) + momentum * new) as f32;
        running_mean[ch] = mix(running_mean[ch], mean[ch].into());
        running_var[ch] = mix(running_var[ch], var * unbiased);
        rstd[ch] = (1.0 / (var + eps).sqrt()) as f32;
    }
    Ok(())
}

/// [`forward`](super::forward) for f32.
pub fn forward(
    p: &Params,
    x: &[f32],
    mean: &[f32],
    rstd: &[f32],
    weight: &[f32],
    bias: &[f32],
    y: &mut [f32],
) -> Result<(), Error> {
    p.check(
        "batch_norm::forward",
        &[
            ("x", x.len()),
            ("mean", mean.len()),
            ("rstd", rstd.len()),
            ("weight", weight.len()),
            ("bias", bias.len()),
            ("y", y.len()),
        ],
    )?;
    normalise(p, x, |ch| (mean[ch], rstd[ch] * weight[ch], bias[ch]), y);
    Ok(())
}

/// [`forward_eval`](super::forward_eval) for f32.
pub fn forward_eval(
    p: &Params,
    x: &[f32],
    running_mean: &[f32],
    running_var: &[f32],
    weight: &[f32],
    bias: &[f32],
    y: &mut [f32],
) -> Result<(), Error> {
    p.check(
        "batch_norm::forward_eval",
        &[
            ("x", x.len()),
            ("running_mean", running_mean.len()),
            ("running_var", running_var.len()),
            ("weight", weight.len()),
            ("bias", bias.len()),
            ("y", y.len()),
        ],
    )?;
    let scale = |ch: usize| weight[ch] / (running_var[ch] + p.eps).sqrt();
    normalise(p, x, |ch| (running_mean[ch], scale(ch), bias[ch]), y);
    Ok(())
}

/// `y = (x - mean) scale + bias` with the channel's `(mean, scale, bias)`.
fn normalise(
    p: &Params,
    x: &[f32],
    channel: impl Fn(usize) -> (f32, f32, f32) + Send + Sync,
    y: &mut [f32],
) {
    let [_, c, hw] = p.sizes();
    for_each_plane_mut(y, hw, |plane, y| {
        let (mean, scale, bias) = channel(plane % c);
        map(
            &x[plane * hw..][..hw],
            y,
            #[inline(always)]
            move |x| (x - mean) * scale + bias,
        );
    });
}

/// [`backward_weight`](super::backward_weight) for f32.
pub fn backward_weight(
    p: &Params,
    x: &[f32],
    dy: &[f32],
    mean: &[f32],
    rstd: &[f32],
    dweight: &mut [f32],
    dbias: &mut [f32],
) -> Result<(), Error> {
    p.check(
        "batch_norm::backward_weight",
        &[
            ("x", x.len()),
            ("dy", dy.len()),
            ("mean", mean.len()),
            ("rstd", rstd.len()),
            ("dweight", dweight.len()),
            ("dbias", dbias.len()),
        ],
    )?;
    let [n, c, hw] = p.sizes();
    for_each_channel(p, dweight, dbias, |ch, dweight, dbias| {
        let (mean, mut totals) = (mean[ch], [0.0; 2]);
        for s in 0..n {
            let at = (s * c + ch) * hw;
            let sums = sums_of(
                &x[at..][..hw],
                &dy[at..][..hw],
                #[inline(always)]
                move |x, dy| [dy * (x - mean), dy],
            );
            totals[0] += f64::from(sums[0]);
            totals[1] += f64::from(sums[1]);
        }
        *dweight = (totals[0] * f64::from(rstd[ch])) as f32;
        *dbias = totals[1] as f32;
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
    weight: &[f32],
    dweight: &[f32],
    dbias: &[f32],
    dx: &mut [f32],
) -> Result<(), Error> {
    p.check(
        "batch_norm::backward_input",
        &[
            ("x", x.len()),
            ("dy", dy.len()),
            ("mean", mean.len()),
            ("rstd", rstd.len()),
            ("weight", weight.len()),
            ("dweight", dweight.len()),
            ("dbias", dbias.len()),
            ("dx", dx.len()),
        ],
    )?;
    let [n, c, hw] = p.sizes();
    let m = (n * hw) as f32;
    for_each_plane_mut(dx, hw, |plane, dx| {
        let ch = plane % c;
        let (mean, scale) = (mean[ch], weight[ch] * rstd[ch]);
        let (shift, slope) = (dbias[ch] / m, rstd[ch] * dweight[ch] / m);
        let at = plane * hw;
        map2(
            &x[at..][..hw],
            &dy[at..][..hw],
            dx,
            #[inline(always)]
            move |x, dy| scale * (dy - shift - (x - mean) * slope),
        );
    });
    Ok(())
}
