//! f32 forms at the speed of memory; masks are drawn many blocks at a time.

use super::{MASK_BLOCK, Params, draw_block, key_of};
use crate::error::Error;
use crate::par::for_each_chunk_mut;
use crate::rng::{GOLDEN, mask_seed, mix64};
use crate::shape::Shape;
use crate::simd::{PIECE, for_each_plane_mut, map, map2, vectorize};

/// Blocks that are drawn side by side, one to a lane.
const LANES: usize = 16;

/// [`mask`](super::mask) for f32.
pub fn mask(p: &Params, keys: &[u32], mask: &mut [f32]) -> Result<(), Error> {
    p.check("dropout::mask", &[("keys", keys.len()), ("mask", mask.len())])?;
    let [_, values, _] = p.sizes();
    for (s, sample) in mask.chunks_mut(values).enumerate() {
        for_each_chunk_mut(sample, LANES * MASK_BLOCK, |i, piece| {
            let first = i * LANES;
            if piece.len() == LANES * MASK_BLOCK {
                let key = key_of(keys, s);
                let seeds = core::array::from_fn(|l| mask_seed(key, p.layer, (first + l) as u32));
                let (threshold, scale) = (p.threshold, p.scale);
                vectorize(
                    #[inline(always)]
                    move || Streams::new(seeds).draw(threshold, scale, piece),
                );
            } else {
                for (b, block) in piece.chunks_mut(MASK_BLOCK).enumerate() {
                    draw_block(p, keys, s, first + b, p.scale, block);
                }
            }
        });
    }
    Ok(())
}

/// [`LANES`] generators xoshiro128++ that step together.
///
/// # Source
/// Blackman and Vigna, "Scrambled linear pseudorandom number generators", ACM TOMS 2021; seeded with
/// SplitMix64, as `rand_xoshiro` does.
struct Streams([[u32; LANES]; 4]);

impl Streams {
    #[inline(always)]
    fn new(seeds: [u64; LANES]) -> Self {
        let mut state = [[0; LANES]; 4];
        for l in 0..LANES {
            for half in 0..2 {
                let drawn = mix64(seeds[l].wrapping_add(GOLDEN.wrapping_mul(half as u64 + 1)));
                state[2 * half][l] = drawn as u32;
                state[2 * half + 1][l] = (drawn >> 32) as u32;
            }
        }
        Self(state)
    }

    #[inline(always)]
    fn next(&mut self) -> [u32; LANES] {
        let [mut a, mut b, mut c, mut d] = self.0;
        let mut drawn = [0; LANES];
        for l in 0..LANES {
            drawn[l] = a[l].wrapping_add(d[l]).rotate_left(7).wrapping_add(a[l]);
            let shifted = b[l] << 9;
            c[l] ^= a[l];
            d[l] ^= b[l];
            b[l] ^= c[l];
            a[l] ^= d[l];
            c[l] ^= shifted;
            d[l] = d[l].rotate_left(11);
        }
        self.0 = [a, b, c, d];
        drawn
    }

    /// Fills one block per lane.
    #[inline(always)]
    fn draw(&mut self, threshold: u32, scale: f32, blocks: &mut [f32]) {
        for at in (0..MASK_BLOCK).step_by(4) {
            let mut values = [[0.0; LANES]; 4];
            for values in &mut values {
                let drawn = self.next();
                for l in 0..LANES {
                    values[l] = if drawn[l] >= threshold { scale } else { 0.0 };
                }
            }
            for l in 0..LANES {
                let run = [values[0][l], values[1][l], values[2][l], values[3][l]];
                blocks[l * MASK_BLOCK + at..][..4].copy_from_slice(&run);
            }
        }
    }
}

/// [`forward`](super::forward) for f32.
pub fn forward(p: &Params, x: &[f32], mask: &[f32], y: &mut [f32]) -> Result<(), Error> {
    p.check("dropout::forward", &[("x", x.len()), ("mask", mask.len()), ("y", y.len())])?;
    apply(p, x, mask, y);
    Ok(())
}

/// [`backward_input`](super::backward_input) for f32.
pub fn backward_input(p: &Params, dy: &[f32], mask: &[f32], dx: &mut [f32]) -> Result<(), Error> {
    p.check(
        "dropout::backward_input",
        &[("dy", dy.len()), ("mask", mask.len()), ("dx", dx.len())],
    )?;
    apply(p, dy, mask, dx);
    Ok(())
}

fn apply(p: &Params, x: &[f32], mask: &[f32], y: &mut [f32]) {
    let [_, _, run] = p.sizes();
    if p.element == 1 {
        for_each_chunk_mut(y, PIECE, |i, y| {
            let (x, mask) = (&x[i * PIECE..][..y.len()], &mask[i * PIECE..][..y.len()]);
            map2(
                x,
                mask,
                y,
                #[inline(always)]
                move |x, mask| x * mask,
            );
        });
    } else {
        for_each_plane_mut(y, run, |plane, y| {
            let mask = mask[plane];
            map(
                &x[plane * run..][..run],
                y,
                #[inline(always)]
                move |x| x * mask,
            );
        });
    }
}
