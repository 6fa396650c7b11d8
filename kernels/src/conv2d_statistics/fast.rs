//! f32 forms: the fast convolution, and the definition's sums. The CPU executor fuses units in a way of its own.

use super::{Params, sum_cells};
pub use super::{merge, merge_planes};
use crate::conv2d_joined;
use crate::error::Error;
use crate::shape::Shape;

/// [`forward`](super::forward) for f32.
pub fn forward(
    p: &Params,
    x: &[f32],
    weight: &[f32],
    y: &mut [f32],
    partials: &mut [f32],
) -> Result<(), Error> {
    p.check("conv2d_statistics::forward", &[("partials", partials.len())])?;
    conv2d_joined::fast::forward(&p.joined(), x, weight, y)?;
    sum_cells(p, y, partials);
    Ok(())
}
