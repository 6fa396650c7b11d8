//! Cross-entropy in f32, a run of neighbouring pixels at a time.

use super::{BLOCK, Params};
use crate::Error;
use crate::entropy::fast::ln;
use crate::par;
use crate::shape::Shape;
use crate::softmax::fast::{RUN, TILE, exp, max_and_sum};

/// [`forward`](super::forward) for f32.
pub fn forward(
    p: &Params,
    logits: &[f32],
    labels: &[u32],
    class_weights: &[f32],
    partials: &mut [f32],
) -> Result<(), Error> {
    p.check(
        "cross_entropy::forward",
        &[
            ("logits", logits.len()),
            ("labels", labels.len()),
            ("class_weights", class_weights.len()),
            ("partials", partials.len()),
        ],
    )?;
    let pixels = labels.len();
    par::for_each_chunk_mut(partials, 2, |block, out| {
        let pixels = block * BLOCK..((block + 1) * BLOCK).min(pixels);
        (out[0], out[1]) = block_sums(p, logits, labels, class_weights, pixels);
    });
    Ok(())
}

#[inline(always)]
fn block_sums(
    p: &Params,
    logits: &[f32],
    labels: &[u32],
    class_weights: &[f32],
    pixels: core::ops::Range<usize>,
) -> (f32, f32) {
    let [_, c, hw] = p.sizes();
    let (mut max, mut exps) = ([0.0; RUN], [0.0; RUN]);
    let (mut sum, mut total) = (0.0, 0.0);
    let mut pixel = pixels.start;
    while pixel < pixels.end {
        // A run ends with its sample, where the next channel begins.
        let (sample, start) = (pixel / hw, pixel % hw);
        let run = RUN.min(pixels.end - pixel).min(hw - start);
        let plane = |ch| &logits[(sample * c + ch) * hw + start..][..run];
        let (max, exps) = (&mut max[..run], &mut exps[..run]);
        max_and_sum(c, plane, max, exps);
        for exps in exps.iter_mut() {
            *exps = ln(*exps);
        }
        for (i, &label) in labels[pixel..][..run].iter().enumerate() {
            let Some(class) = p.class(label) else { continue };
            sum += class_weights[class] * (exps[i] - (plane(class)[i] - max[i]));
            total += class_weights[class];
        }
        pixel += run;
    }
    (sum, total)
}

/// [`reduce`](super::reduce) for f32; the same bits.
pub fn reduce(p: &Params, partials: &[f32], loss: &mut [f32]) -> Result<(), Error> {
    super::reduce(p, partials, loss)
}

/// [`backward_input`](super::backward_input) for f32.
pub fn backward_input(
    p: &Params,
    logits: &[f32],
    labels: &[u32],
    class_weights: &[f32],
    loss: &[f32],
    dlogits: &mut [f32],
) -> Result<(), Error> {
    p.check(
        "cross_entropy::backward_input",
        &[
            ("logits", logits.len()),
            ("labels", labels.len()),
            ("class_weights", class_weights.len()),
            ("loss", loss.len()),
            ("dlogits", dlogits.len()),
        ],
    )?;
    let [_, c, hw] = p.sizes();
    par::for_each_tile_mut(dlogits, c, hw, TILE, |mut tile| {
        let (mut max, mut exps, mut weight) = ([0.0; RUN], [0.0; RUN], [0.0; RUN]);
        let len = tile.channels[0].len();
        for start in (0..len).step_by(RUN) {
            let run = RUN.min(len - start);
            let plane = |ch| &logits[(tile.sample * c + ch) * hw + tile.start + start..][..run];
            let labels = &labels[tile.sample * hw + tile.start + start..][..run];
            let (max, exps, weight) = (&mut max[..run], &mut exps[..run], &mut weight[..run]);
            max_and_sum(c, plane, max, exps);
            for (weight, &label) in weight.iter_mut().zip(labels) {
                *weight = p.class(label).map_or(0.0, |class| class_weights[class]);
            }
            for (ch, out) in tile.channels.iter_mut().enumerate() {
                let (out, x) = (&mut out[start..][..run], plane(ch));
                for i in 0..run {
                    let one_hot = if labels[i] == ch as u32 { 1.0 } else { 0.0 };
                    let difference = exp(x[i] - max[i]) / exps[i] - one_hot;
                    out[i] = weight[i] * difference * loss[2];
                }
            }
        }
    });
    Ok(())
}
