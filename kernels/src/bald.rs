//! Scores from several passes with dropout: the entropy of the mean, and BALD's mutual information.

use bytemuck::{Pod, Zeroable};

use crate::entropy;
use crate::error::Error;
use crate::real::Real;
use crate::shape::Shape;

#[cfg(all(test, feature = "std"))]
mod tests;

/// Sizes; the same bytes are the shader's uniform buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Patches.
    pub n: u32,
    /// Channels: the classes.
    pub c: u32,
    /// Pixels of a plane.
    pub hw: u32,
    /// Passes with dropout that are accumulated.
    pub passes: u32,
    /// Those of them that are accumulated at once.
    pub stacked: u32,
}

impl Params {
    fn sizes(&self) -> [usize; 3] {
        [self.n, self.c, self.hw].map(|size| size as usize)
    }
}

impl Shape for Params {
    const OP: &'static str = "bald";

    fn len(&self, buffer: &str) -> usize {
        let [n, c, hw] = self.sizes();
        match buffer {
            "p" => n.saturating_mul(self.stacked as usize).saturating_mul(c).saturating_mul(hw),
            "sum_p" => n.saturating_mul(c).saturating_mul(hw),
            "sum_entropy" | "map" => n.saturating_mul(hw),
            _ => panic!("bald has no buffer `{buffer}`"),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        if self.sizes().contains(&0) || self.passes == 0 || self.stacked == 0 {
            let what = "n, c, hw, passes and stacked must be at least 1";
            return Err(Error::Params { op: Self::OP, what });
        }
        Ok(())
    }
}

/// Adds passes: `sum_p += p` and `sum_entropy += -sum_c p ln max(p, TINY)`.
///
/// # Shapes
/// `p [stacked, n, c, hw]`, `sum_p [n, c, hw]`, `sum_entropy [n, hw]`.
///
/// # Units
/// `sum_entropy` in nats.
///
/// # Writes
/// `sum_p +=`, `sum_entropy +=`; the caller zeroes both before the first pass.
///
/// # Numerics
/// Passes are added in the order of the calls and, within one, in the order in which they lie: however many are stacked,
/// the sums are the same. Tolerance class sum, with WGSL's `log`.
pub fn accumulate<T: Real>(
    params: &Params,
    p: &[T],
    sum_p: &mut [T],
    sum_entropy: &mut [T],
) -> Result<(), Error> {
    params.check(
        "bald::accumulate",
        &[("p", p.len()), ("sum_p", sum_p.len()), ("sum_entropy", sum_entropy.len())],
    )?;
    let [n, c, hw] = params.sizes();
    for p in p.chunks(n * c * hw) {
        for i in 0..p.len() {
            sum_p[i] += p[i];
        }
        for s in 0..n {
            for i in 0..hw {
                sum_entropy[s * hw + i] += entropy::of_pixel(c, |ch| p[(s * c + ch) * hw + i]);
            }
        }
    }
    Ok(())
}

/// The entropy of the mean prediction: `map = H(sum_p / passes)`.
///
/// # Shapes
/// `sum_p [n, c, hw]`, `map [n, hw]`.
///
/// # Units
/// Nats: from 0 to `ln c`.
///
/// # Writes
/// `map =`
///
/// # Numerics
/// Tolerance class sum, with WGSL's `log`.
pub fn entropy_of_mean<T: Real>(params: &Params, sum_p: &[T], map: &mut [T]) -> Result<(), Error> {
    params.check("bald::entropy_of_mean", &[("sum_p", sum_p.len()), ("map", map.len())])?;
    let [n, c, hw] = params.sizes();
    let passes = T::from_usize(params.passes as usize);
    for s in 0..n {
        for i in 0..hw {
            map[s * hw + i] = entropy::of_pixel(c, |ch| sum_p[(s * c + ch) * hw + i] / passes);
        }
    }
    Ok(())
}

/// What the label would tell about the network: `map = max(H(sum_p / passes) - sum_entropy / passes, 0)`.
///
/// # Shapes
/// `sum_p [n, c, hw]`, `sum_entropy` and `map [n, hw]`.
///
/// # Units
/// Nats: from 0 to `ln c`.
///
/// # Writes
/// `map =`
///
/// # Numerics
/// The difference is never negative for real numbers; roundings below zero become 0. Tolerance class
/// sum, with WGSL's `log`.
///
/// # Source
/// Houlsby et al. 2011, equation 2; Gal, Islam and Ghahramani 2017.
pub fn mutual_information<T: Real>(
    params: &Params,
    sum_p: &[T],
    sum_entropy: &[T],
    map: &mut [T],
) -> Result<(), Error> {
    params.check(
        "bald::mutual_information",
        &[("sum_p", sum_p.len()), ("sum_entropy", sum_entropy.len()), ("map", map.len())],
    )?;
    let [n, c, hw] = params.sizes();
    let passes = T::from_usize(params.passes as usize);
    for s in 0..n {
        for i in 0..hw {
            let of_mean = entropy::of_pixel(c, |ch| sum_p[(s * c + ch) * hw + i] / passes);
            let information = of_mean - sum_entropy[s * hw + i] / passes;
            map[s * hw + i] = information.max(T::ZERO);
        }
    }
    Ok(())
}

/// The f32 forms, a run of neighbouring pixels at a time.
#[cfg(feature = "std")]
pub mod fast {
    use super::Params;
    use crate::entropy::fast::subtract_channel;
    use crate::softmax::fast::{RUN, TILE};
    use crate::{Error, Shape, par};

    /// [`accumulate`](super::accumulate) for f32.
    pub fn accumulate(
        params: &Params,
        p: &[f32],
        sum_p: &mut [f32],
        sum_entropy: &mut [f32],
    ) -> Result<(), Error> {
        params.check(
            "bald::accumulate",
            &[("p", p.len()), ("sum_p", sum_p.len()), ("sum_entropy", sum_entropy.len())],
        )?;
        let [n, c, hw] = params.sizes();
        p.chunks(n * c * hw).for_each(|p| add([c, hw], p, sum_p, sum_entropy));
        Ok(())
    }

    /// Adds one pass.
    fn add([c, hw]: [usize; 2], p: &[f32], sum_p: &mut [f32], sum_entropy: &mut [f32]) {
        par::for_each_chunk_mut(sum_p, TILE, |i, sum| {
            for (sum, p) in sum.iter_mut().zip(&p[i * TILE..]) {
                *sum += p;
            }
        });
        par::for_each_tile_mut(sum_entropy, 1, hw, TILE, |mut tile| {
            let at = |ch| (tile.sample * c + ch) * hw + tile.start;
            for (i, sum) in tile.channels[0].chunks_mut(RUN).enumerate() {
                // A pixel's entropy is summed before it meets the larger sum, as in the reference.
                let mut entropy = [0.0; RUN];
                let entropy = &mut entropy[..sum.len()];
                for ch in 0..c {
                    subtract_channel(entropy, &p[at(ch) + i * RUN..][..sum.len()], 1.0);
                }
                for (sum, entropy) in sum.iter_mut().zip(entropy) {
                    *sum += *entropy;
                }
            }
        });
    }

    /// [`entropy_of_mean`](super::entropy_of_mean) for f32.
    pub fn entropy_of_mean(params: &Params, sum_p: &[f32], map: &mut [f32]) -> Result<(), Error> {
        params.check("bald::entropy_of_mean", &[("sum_p", sum_p.len()), ("map", map.len())])?;
        of_mean(params, sum_p, map);
        Ok(())
    }

    /// [`mutual_information`](super::mutual_information) for f32.
    pub fn mutual_information(
        params: &Params,
        sum_p: &[f32],
        sum_entropy: &[f32],
        map: &mut [f32],
    ) -> Result<(), Error> {
        params.check(
            "bald::mutual_information",
            &[("sum_p", sum_p.len()), ("sum_entropy", sum_entropy.len()), ("map", map.len())],
        )?;
        of_mean(params, sum_p, map);
        let scale = 1.0 / params.passes as f32;
        par::for_each_chunk_mut(map, TILE, |i, map| {
            for (map, sum) in map.iter_mut().zip(&sum_entropy[i * TILE..]) {
                let information = *map - sum * scale;
                *map = if information > 0.0 { information } else { 0.0 };
            }
        });
        Ok(())
    }

    fn of_mean(params: &Params, sum_p: &[f32], map: &mut [f32]) {
        let [_, c, hw] = params.sizes();
        let scale = 1.0 / params.passes as f32;
        par::for_each_tile_mut(map, 1, hw, TILE, |mut tile| {
            let map = &mut *tile.channels[0];
            map.fill(0.0);
            for ch in 0..c {
                let at = (tile.sample * c + ch) * hw + tile.start;
                subtract_channel(map, &sum_p[at..][..map.len()], scale);
            }
        });
    }
}
