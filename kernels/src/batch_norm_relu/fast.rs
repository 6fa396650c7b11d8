//! f32 forms, made of those of the single operations. The CPU executor fuses units in a way of its own.

use super::Params;
use crate::batch_norm;
use crate::error::Error;
use crate::par::for_each_chunk_mut;
use crate::relu;
use crate::shape::Shape;
use crate::simd::{PIECE, for_each_plane_mut};

fn batch_norm(p: &Params) -> batch_norm::Params {
    // These passes use neither the eps nor the momentum.
    batch_norm::Params { n: p.n, c: p.c, hw: p.hw, eps: 1.0, momentum: 0.0 }
}

/// [`forward`](super::forward) for f32.
pub fn forward(
    p: &Params,
    x: &[f32],
    mean: &[f32],
    rstd: &[f32],
    weight: &[f32],
    bias: &[f32],
    mask: &[f32],
    y: &mut [f32],
) -> Result<(), Error> {
    let (c, hw) = (p.c as usize, p.hw as usize);
    p.check(
        "batch_norm_relu::forward",
        &[("weight", weight.len()), ("bias", bias.len()), ("mask", mask.len())],
    )?;
    if p.affine == 1 {
        batch_norm::fast::forward(&batch_norm(p), x, mean, rstd, weight, bias, y)?;
    } else {
        let (ones, zeros) = (vec![1.0; c], vec![0.0; c]);
        batch_norm::fast::forward(&batch_norm(p), x, mean, rstd, &ones, &zeros, y)?;
    }
    for_each_plane_mut(y, hw, |plane, y| {
        for (i, y) in y.iter_mut().enumerate() {
            *y = (*y * p.mask_of(mask, plane * hw + i)).max(0.0);
        }
    });
    Ok(())
}

/// The gradient that reaches the normalisation.
fn through_relu(p: &Params, y: &[f32], dy: &[f32]) -> Result<Vec<f32>, Error> {
    let mut g = vec![0.0; y.len()];
    relu::fast::backward_input(&relu::Params { len: y.len() as u32 }, y, dy, &mut g)?;
    for_each_chunk_mut(&mut g, PIECE, |_, g| g.iter_mut().for_each(|g| *g *= p.scale));
    Ok(g)
}

/// [`backward_weight`](super::backward_weight) for f32.
pub fn backward_weight(
    p: &Params,
    x: &[f32],
    y: &[f32],
    dy: &[f32],
    mean: &[f32],
    rstd: &[f32],
    dweight: &mut [f32],
    dbias: &mut [f32],
    coefficients: &mut [f32],
) -> Result<(), Error> {
    p.check(
        "batch_norm_relu::backward_weight",
        &[("y", y.len()), ("dy", dy.len()), ("coefficients", coefficients.len())],
    )?;
    let g = through_relu(p, y, dy)?;
    batch_norm::fast::backward_weight(&batch_norm(p), x, &g, mean, rstd, dweight, dbias)?;
    let m = (p.n * p.hw) as f32;
    for (ch, k) in coefficients.chunks_exact_mut(4).enumerate() {
        k.copy_from_slice(&[mean[ch], rstd[ch], dbias[ch] / m, dweight[ch] / m]);
    }
    Ok(())
}

/// [`backward_input`](super::backward_input) for f32.
pub fn backward_input(
    p: &Params,
    x: &[f32],
    y: &[f32],
    dy: &[f32],
    coefficients: &[f32],
    weight: &[f32],
    dx: &mut [f32],
) -> Result<(), Error> {
    p.check(
        "batch_norm_relu::backward_input",
        &[
            ("x", x.len()),
            ("y", y.len()),
            ("dy", dy.len()),
            ("coefficients", coefficients.len()),
            ("weight", weight.len()),
            ("dx", dx.len()),
        ],
    )?;
    let g = through_relu(p, y, dy)?;
    let [_, c, hw] = p.sizes();
    for_each_plane_mut(dx, hw, |plane, dx| {
        let ch = plane % c;
        let k = &coefficients[4 * ch..][..4];
        let (weight, _) = p.affine_of(weight, weight, ch);
        let at = plane * hw;
        for (i, dx) in dx.iter_mut().enumerate() {
            let xhat = (x[at + i] - k[0]) * k[1];
            *dx = weight * k[1] * (g[at + i] - k[2] - xhat * k[3]);
        }
    });
    Ok(())
}
