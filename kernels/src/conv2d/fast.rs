//! f32 forms that keep tiles of sums in registers.
//!
//! The inner loops are in `tile`; `planes` and `products` spread them over threads.

use super::planes::{Planes, Source};
use super::products::Products;
use super::tile::Weights;
use super::{Params, Sizes};
use crate::error::Error;
use crate::shape::Shape;
use crate::simd::channel_sums;

/// [`forward`](super::forward) for f32.
pub fn forward(
    p: &Params,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    y: &mut [f32],
) -> Result<(), Error> {
    p.check(
        "conv2d::forward",
        &[("x", x.len()), ("weight", weight.len()), ("bias", bias.len()), ("y", y.len())],
    )?;
    let Sizes { n, c_in, c_out, h, w, k, .. } = p.sizes();
    let taps = k * k;
    let weights = Weights { weight, output: c_in * taps, input: taps, turned: false };
    Planes {
        n,
        c_in,
        c_out,
        h,
        w,
        kernel: k,
        x: Source::Planes(x),
        weights,
        bias: if p.has_bias == 1 { bias } else { &[] },
        y,
        doubled: false,
    }
    .run();
    Ok(())
}

/// [`backward_input`](super::backward_input) for f32.
pub fn backward_input(p: &Params, dy: &[f32], weight: &[f32], dx: &mut [f32]) -> Result<(), Error> {
    p.check(
        "conv2d::backward_input",
        &[("dy", dy.len()), ("weight", weight.len()), ("dx", dx.len())],
    )?;
    // A convolution with the channels exchanged and the filters turned by half a circle.
    let Sizes { n, c_in, c_out, h, w, k, .. } = p.sizes();
    let taps = k * k;
    let weights = Weights { weight, output: taps, input: c_in * taps, turned: true };
    Planes {
        n,
        c_in: c_out,
        c_out: c_in,
        h,
        w,
        kernel: k,
        x: Source::Planes(dy),
        weights,
        bias: &[],
        y: dx,
        doubled: false,
    }
    .run();
    Ok(())
}

/// [`backward_weight`](super::backward_weight) for f32.
pub fn backward_weight(
    p: &Params,
    x: &[f32],
    dy: &[f32],
    dweight: &mut [f32],
) -> Result<(), Error> {
    p.check(
        "conv2d::backward_weight",
        &[("x", x.len()), ("dy", dy.len()), ("dweight", dweight.len())],
    )?;
    let Sizes { n, c_in, c_out, h, w, k, .. } = p.sizes();
    Products { n, c_out, c_in, h, w, kernel: k, x: Source::Planes(x), dy }.run(dweight);
    Ok(())
}

/// [`backward_bias`](super::backward_bias) for f32.
pub fn backward_bias(p: &Params, dy: &[f32], dbias: &mut [f32]) -> Result<(), Error> {
    p.check("conv2d::backward_bias", &[("dy", dy.len()), ("dbias", dbias.len())])?;
    let Sizes { n, c_out, h, w, .. } = p.sizes();
    channel_sums(dy, n, c_out, h * w, dbias);
    Ok(())
}
