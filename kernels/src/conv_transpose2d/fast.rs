//! f32 forms: matrix products over the pixels of the input, on the inner loops of `conv2d`.

use super::Params;
use crate::conv2d::planes::{Planes, Source, pack, pad_bias};
use crate::conv2d::products::Products;
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
    let packed = pack(4 * c_out, c_in, 1, |o, c, _| weight[c * 4 * c_out + o]);
    let bias = pad_bias(4 * c_out, |o| bias[o / 4]);
    Planes {
        n,
        c_in,
        c_out: 4 * c_out,
        h,
        w,
        kernel: 1,
        x: Source::Planes(x),
        packed: &packed,
        bias: &bias,
        y,
        doubled: true,
    }
    .run();
    Ok(())
}

/// [`backward_input`](super::backward_input) for f32.
pub fn backward_input(
    p: &Params,
    dy: &[f32],
    weight: &[f32],
    dx: &mut [f32],
) -> Result<(), Error> {
    p.check(
        "conv_transpose2d::backward_input",
        &[("dy", dy.len()), ("weight", weight.len()), ("dx", dx.len())],
    )?;
    let [n, c_in, c_out, h, w] = p.sizes();
    let packed = pack(c_in, 4 * c_out, 1, |c, o, _| weight[c * 4 * c_out + o]);
    let bias = pad_bias(c_in, |_| 0.0);
    Planes {
        n,
        c_in: 4 * c_out,
        c_out: c_in,
        h,
        w,
        kernel: 1,
        x: Source::Quarters(dy),
        packed: &packed,
        bias: &bias,
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
