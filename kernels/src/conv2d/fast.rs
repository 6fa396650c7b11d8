//! f32 forms that keep tiles of sums in registers; see [`tile`](super::tile) for the inner loops.

use super::planes::{Planes, Source, pack, pad_bias};
use super::products::Products;
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
    let packed = pack(c_out, c_in, taps, |o, c, tap| weight[(o * c_in + c) * taps + tap]);
    let bias = pad_bias(c_out, |o| if p.has_bias == 1 { bias[o] } else { 0.0 });
    Planes {
        n,
        c_in,
        c_out,
        h,
        w,
        kernel: k,
        x: Source::Planes(x),
        packed: &packed,
        bias: &bias,
        y,
        doubled: false,
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
        "conv2d::backward_input",
        &[("dy", dy.len()), ("weight", weight.len()), ("dx", dx.len())],
    )?;
    // A convolution with the channels exchanged and the filters turned by half a circle.
    let Sizes { n, c_in, c_out, h, w, k, .. } = p.sizes();
    let taps = k * k;
    let packed =
        pack(c_in, c_out, taps, |c, o, tap| weight[(o * c_in + c) * taps + taps - 1 - tap]);
    let bias = pad_bias(c_in, |_| 0.0);
    Planes {
        n,
        c_in: c_out,
        c_out: c_in,
        h,
        w,
        kernel: k,
        x: Source::Planes(dy),
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
