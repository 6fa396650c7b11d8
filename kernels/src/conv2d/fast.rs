//! Tuned f32 forms.

use super::Params;
use crate::error::Error;

/// [`forward`](super::forward) for f32.
pub fn forward(
    p: &Params,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    y: &mut [f32],
) -> Result<(), Error> {
    super::forward(p, x, weight, bias, y)
}

/// [`backward_input`](super::backward_input) for f32.
pub fn backward_input(
    p: &Params,
    dy: &[f32],
    weight: &[f32],
    dx: &mut [f32],
) -> Result<(), Error> {
    super::backward_input(p, dy, weight, dx)
}

/// [`backward_weight`](super::backward_weight) for f32.
pub fn backward_weight(
    p: &Params,
    x: &[f32],
    dy: &[f32],
    dweight: &mut [f32],
) -> Result<(), Error> {
    super::backward_weight(p, x, dy, dweight)
}

/// [`backward_bias`](super::backward_bias) for f32.
pub fn backward_bias(p: &Params, dy: &[f32], dbias: &mut [f32]) -> Result<(), Error> {
    super::backward_bias(p, dy, dbias)
}
