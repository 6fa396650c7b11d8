//! Tuned f32 forms.

use super::Params;
use crate::error::Error;

/// [`statistics`](super::statistics) for f32.
pub fn statistics(
    p: &Params,
    x: &[f32],
    mean: &mut [f32],
    rstd: &mut [f32],
    running_mean: &mut [f32],
    running_var: &mut [f32],
) -> Result<(), Error> {
    super::statistics(p, x, mean, rstd, running_mean, running_var)
}

/// [`forward`](super::forward) for f32.
pub fn forward(
    p: &Params,
    x: &[f32],
    mean: &[f32],
    rstd: &[f32],
    weight: &[f32],
    bias: &[f32],
    y: &mut [f32],
) -> Result<(), Error> {
    super::forward(p, x, mean, rstd, weight, bias, y)
}

/// [`forward_eval`](super::forward_eval) for f32.
pub fn forward_eval(
    p: &Params,
    x: &[f32],
    running_mean: &[f32],
    running_var: &[f32],
    weight: &[f32],
    bias: &[f32],
    y: &mut [f32],
) -> Result<(), Error> {
    super::forward_eval(p, x, running_mean, running_var, weight, bias, y)
}

/// [`backward_weight`](super::backward_weight) for f32.
pub fn backward_weight(
    p: &Params,
    x: &[f32],
    dy: &[f32],
    mean: &[f32],
    rstd: &[f32],
    dweight: &mut [f32],
    dbias: &mut [f32],
) -> Result<(), Error> {
    super::backward_weight(p, x, dy, mean, rstd, dweight, dbias)
}

/// [`backward_input`](super::backward_input) for f32.
pub fn backward_input(
    p: &Params,
    x: &[f32],
    dy: &[f32],
    mean: &[f32],
    rstd: &[f32],
    weight: &[f32],
    dweight: &[f32],
    dbias: &[f32],
    dx: &mut [f32],
) -> Result<(), Error> {
    super::backward_input(p, x, dy, mean, rstd, weight, dweight, dbias, dx)
}
