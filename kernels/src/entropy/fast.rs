//! Entropy in f32, a run of neighbouring pixels at a time.

use super::{Params, TINY};
use crate::Error;
use crate::par;
use crate::shape::Shape;
use crate::softmax::fast::TILE;

/// `ln x` within 3 ULP (2^-22 absolute from 0.5 to 2), for normal positive `x`.
///
/// `ln x = k ln 2 + 2 artanh(s)` with `s = (m - 1) / (m + 1)` and `m` in `[sqrt(1/2), sqrt(2)]`, and the series of artanh to
/// `s^9`, whose rest is below 3e-9 of the whole. Made of operations that every vector unit has.
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    const LN2_HI: f32 = 355.0 / 512.0;
    const LN2_LO: f32 = (core::f64::consts::LN_2 - 355.0 / 512.0) as f32;
    // The bits of sqrt(1/2): what lies above them by whole binades is k.
    let k = (x.to_bits() as i32 - core::f32::consts::FRAC_1_SQRT_2.to_bits() as i32) >> 23;
    let f = f32::from_bits((x.to_bits() as i32 - (k << 23)) as u32) - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let series = z * (1.0 / 3.0 + z * (1.0 / 5.0 + z * (1.0 / 7.0 + z * (1.0 / 9.0))));
    let k = k as f32;
    k * LN2_HI + (2.0 * s + (2.0 * s * series + k * LN2_LO))
}

/// Subtracts `p ln max(p, TINY)` of a run of pixels in one channel from `map`, with `p = scale * x`.
#[inline(always)]
pub(crate) fn subtract_channel(map: &mut [f32], x: &[f32], scale: f32) {
    for (map, &x) in map.iter_mut().zip(x) {
        let p = x * scale;
        *map -= p * ln(if p > TINY { p } else { TINY });
    }
}

/// [`forward`](super::forward) for f32.
pub fn forward(params: &Params, p: &[f32], map: &mut [f32]) -> Result<(), Error> {
    params.check("entropy::forward", &[("p", p.len()), ("map", map.len())])?;
    let [_, c, hw] = params.sizes();
    par::for_each_tile_mut(map, 1, hw, TILE, |mut tile| {
        let map = &mut *tile.channels[0];
        map.fill(0.0);
        for ch in 0..c {
            let at = (tile.sample * c + ch) * hw + tile.start;
            subtract_channel(map, &p[at..][..map.len()], 1.0);
        }
    });
    Ok(())
}
