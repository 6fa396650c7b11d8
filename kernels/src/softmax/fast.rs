//! Softmax in f32, a run of neighbouring pixels at a time so that compilers find the vectors.

use super::Params;
use crate::Error;
use crate::par::{self, Tile};
use crate::shape::Shape;

/// Pixels that a thread takes at a time.
pub(crate) const TILE: usize = 4096;
/// Pixels whose sums are kept on the stack.
pub(crate) const RUN: usize = 256;

/// `e^x` within 2 ULP for `x <= 88`, and 0 where the result is not a normal number.
///
/// `e^x = 2^k e^r` with `|r| <= ln(2) / 2`, and the Taylor series of `e^r` to `r^7`, whose rest is below 6e-9. Made of
/// operations that every vector unit has, which `libm::expf` is not.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to an integer, which then sits in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts; the first has so few bits that its product with k is exact.
    const LN2_HI: f32 = 355.0 / 512.0;
    const LN2_LO: f32 = (core::f64::consts::LN_2 - 355.0 / 512.0) as f32;
    let shifted = x * core::f32::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = (x - k * LN2_HI) - k * LN2_LO;
    let mut series = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5] {
        series = series * r + coefficient;
    }
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    let value = (1.0 + (r + r * r * series)) * power;
    if x < -87.0 { 0.0 } else { value }
}

/// The largest logit of each pixel of a run, and the sum of `exp(logit - largest)`.
///
/// `plane(ch)` is the run in channel `ch`.
#[inline(always)]
pub(crate) fn max_and_sum<'a>(
    c: usize,
    plane: impl Fn(usize) -> &'a [f32],
    max: &mut [f32],
    sum: &mut [f32],
) {
    max.copy_from_slice(plane(0));
    for ch in 1..c {
        for (max, &x) in max.iter_mut().zip(plane(ch)) {
            *max = if x > *max { x } else { *max };
        }
    }
    sum.fill(0.0);
    for ch in 0..c {
        for ((sum, &max), &x) in sum.iter_mut().zip(&*max).zip(plane(ch)) {
            *sum += exp(x - max);
        }
    }
}

/// [`forward`](super::forward) for f32.
pub fn forward(params: &Params, logits: &[f32], p: &mut [f32]) -> Result<(), Error> {
    params.check("softmax::forward", &[("logits", logits.len()), ("p", p.len())])?;
    let [_, c, hw] = params.sizes();
    par::for_each_tile_mut(p, c, hw, TILE, |tile| forward_tile(logits, c, hw, tile));
    Ok(())
}

#[inline(always)]
fn forward_tile(logits: &[f32], c: usize, hw: usize, mut tile: Tile<'_, f32>) {
    let (mut max, mut sum) = ([0.0; RUN], [0.0; RUN]);
    let len = tile.channels[0].len();
    for start in (0..len).step_by(RUN) {
        let run = RUN.min(len - start);
        let plane = |ch| &logits[(tile.sample * c + ch) * hw + tile.start + start..][..run];
        let (max, sum) = (&mut max[..run], &mut sum[..run]);
        max_and_sum(c, plane, max, sum);
        for (ch, out) in tile.channels.iter_mut().enumerate() {
            let out = &mut out[start..][..run];
            for (((out, &x), &max), &sum) in out.iter_mut().zip(plane(ch)).zip(&*max).zip(&*sum) {
                *out = exp(x - max) / sum;
            }
        }
    }
}

/// [`backward_input`](super::backward_input) for f32; the same bits.
pub fn backward_input(
    params: &Params,
    p: &[f32],
    dp: &[f32],
    dlogits: &mut [f32],
) -> Result<(), Error> {
    params.check(
        "softmax::backward_input",
        &[("p", p.len()), ("dp", dp.len()), ("dlogits", dlogits.len())],
    )?;
    let [_, c, hw] = params.sizes();
    par::for_each_tile_mut(dlogits, c, hw, TILE, |mut tile| {
        let mut mean = [0.0; RUN];
        let len = tile.channels[0].len();
        for start in (0..len).step_by(RUN) {
            let run = RUN.min(len - start);
            let at = |ch| (tile.sample * c + ch) * hw + tile.start + start;
            let mean = &mut mean[..run];
            mean.fill(0.0);
            for ch in 0..c {
                let (p, dp) = (&p[at(ch)..][..run], &dp[at(ch)..][..run]);
                for ((mean, p), dp) in mean.iter_mut().zip(p).zip(dp) {
                    *mean += p * dp;
                }
            }
            for (ch, out) in tile.channels.iter_mut().enumerate() {
                let (p, dp) = (&p[at(ch)..][..run], &dp[at(ch)..][..run]);
                let out = out[start..][..run].iter_mut();
                for (((out, p), dp), mean) in out.zip(p).zip(dp).zip(&*mean) {
                    *out = p * (dp - mean);
                }
            }
        }
    });
    Ok(())
}
