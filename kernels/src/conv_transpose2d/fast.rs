//! f32 forms: matrix products over the pixels of the input, on the inner loops of `conv2d`.

use super::Params;
use crate::conv2d::planes::{Planes, Source};
use crate::conv2d::products::Products;
use crate::conv2d::tile::Weights;
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
        "conv_transpose2d::forward",
        &[("x", x.len()), ("weight", weight.len()), ("bias", bias.len()), ("y", y.len())],
    )?;
    // Each tap of each output channel is an output channel of its own.
    let [n, c_in, c_out, h, w] = p.sizes();
    let weights = Weights { weight, output: 1, input: 4 * c_out, turned: false };
    Planes {
        n,
        c_in,
        c_out: 4 * c_out,
        h,
        w,
        kernel: 1,
        x: Source::Planes(x),
        weights,
        bias,
        y,
        doubled: true,
    }
    .run();
    Ok(())
}

/// [`backward_input`](super::backward_input) for f32.
pub fn backward_input(p: &Params, dy: &[f32], weight: &[f32], dx: &mut [f32]) -> Result<(), Error> {
    p.check(
        "conv_transpose2d::backward_input",
        &[("dy", dy.len()), ("weight", weight.len()), ("dx", dx.len())],
    )?;
    let [n, c_in, c_out, h, w] = p.sizes();
    let weights = Weights { weight, output: 4 * c_out, input: 1, turned: false };
    Planes {
        n,
        c_in: 4 * c_out,
        c_out: c_in,
        h,
        w,
        kernel: 1,
        x: Source::Quarters(dy),
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
        "conv_transpose2d::backward_weight",
        &[("x", x.len()), ("dy", dy.len()), ("dweight", dweight.len())],
    )?;
    // The weight of a 1x1 convolution from the output's taps to the input.
    let [n, c_in, c_out, h, w] = p.sizes();
    Products { n, c_out: c_in, c_in: 4 * c_out, h, w, kernel: 1, x: Source::Quarters(dy), dy: x }
        .run(dweight);
    Ok(())
}

/// [`backward_bias`](super::backward_bias) for f32.
pub fn backward_bias(p: &Params, dy: &[f32], dbias: &mut [f32]) -> Result<(), Error> {
    p.check("conv_transpose2d::backward_bias", &[("dy", dy.len()), ("dbias", dbias.len())])?;
    let [n, _, c_out, h, w] = p.sizes();
    channel_sums(dy, n, c_out, 4 * h * w, dbias);
    Ok(())
}
