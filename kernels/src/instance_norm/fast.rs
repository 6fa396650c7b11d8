//! Tuned f32 forms.

use super::Params;
use crate::error::Error;

/// [`statistics`](super::statistics) for f32.
pub fn statistics(
    p: &Params,
    x: &[f32],
    mean: &mut [f32],
    rstd: &mut [f32],
) -> Result<(), Error> {
    super::statistics(p, x, mean, rstd)
}

/// [`forward`](super::forward) for f32.
pub fn forward(
    p: &Params,
    x: &[f32],
    mean: &[f32],
    rstd: &[f32],
    y: &mut [f32],
) -> Result<(), Error> {
    super::forward(p, x, mean, rstd, y)
}

/// [`backward_statistics`](super::backward_statistics) for f32.
pub fn backward_statistics(
    p: &Params,
    x: &[f32],
    dy: &[f32],
    mean: &[f32],
    rstd: &[f32],
    sum_dy: &mut [f32],
    sum_dy_xhat: &mut [f32],
) -> Result<(), Error> {
    super::backward_statistics(p, x, dy, mean, rstd, sum_dy, sum_dy_xhat)
}

/// [`backward_input`](super::backward_input) for f32.
pub fn backward_input(
    p: &Params,
    x: &[f32],
    dy: &[f32],
    mean: &[f32],
    rstd: &[f32],
    sum_dy: &[f32],
    sum_dy_xhat: &[f32],
    dx: &mut [f32],
) -> Result<(), Error> {
    super::backward_input(p, x, dy, mean, rstd, sum_dy, sum_dy_xhat, dx)
}
