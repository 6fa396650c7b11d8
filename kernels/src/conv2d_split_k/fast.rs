//! f32 forms, a filter's sums or a run of filters to a piece of work. The CPU executor has no use for slices: its cores are few.

use super::{Params, sum_filter};
use crate::error::Error;
use crate::par::for_each_chunk_mut;
use crate::shape::Shape;
use crate::simd::PIECE;

/// [`backward_weight`](super::backward_weight) for f32.
pub fn backward_weight(
    p: &Params,
    x: &[f32],
    dy: &[f32],
    partials: &mut [f32],
) -> Result<(), Error> {
    p.check(
        "conv2d_split_k::backward_weight",
        &[("x", x.len()), ("dy", dy.len()), ("partials", partials.len())],
    )?;
    let taps = (p.kernel * p.kernel) as usize;
    let filters = p.filters() / taps;
    for_each_chunk_mut(partials, taps, |i, sums| {
        sum_filter(p, x, dy, i / filters, i % filters, sums);
    });
    Ok(())
}

/// [`reduce`](super::reduce) for f32.
pub fn reduce(p: &Params, partials: &[f32], dweight: &mut [f32]) -> Result<(), Error> {
    p.check("conv2d_split_k::reduce", &[("partials", partials.len()), ("dweight", dweight.len())])?;
    let filters = p.filters();
    for_each_chunk_mut(dweight, PIECE, |i, sums| {
        sums.fill(0.0);
        for partial in partials.chunks(filters) {
            for (sum, part) in sums.iter_mut().zip(&partial[i * PIECE..]) {
                *sum += part;
            }
        }
    });
    Ok(())
}
