//! f32 forms, made of those of [`conv2d`] and copies. The CPU executor has its joined maps side by side in another way.

use super::{Params, joined_plane};
use crate::conv2d;
use crate::error::Error;
use crate::shape::Shape;

/// Planes of `hw` numbers moved between a joined input and one of `[n, c_in, hw]`: calls `copy(where it lies joined, where else)`.
fn for_each_plane(sizes: [u32; 3], hw: usize, mut copy: impl FnMut(usize, usize)) {
    let plane = joined_plane(sizes);
    let [n, c_in, _] = sizes.map(|size| size as usize);
    for s in 0..n {
        for c in 0..c_in {
            copy(plane(s, c) * hw, (s * c_in + c) * hw);
        }
    }
}

/// The two inputs with the channels of each sample side by side.
pub(crate) fn side_by_side(sizes: [u32; 3], hw: usize, x: &[f32]) -> Vec<f32> {
    let mut whole = vec![0.0; x.len()];
    for_each_plane(sizes, hw, |from, to| {
        whole[to..to + hw].copy_from_slice(&x[from..from + hw]);
    });
    whole
}

/// [`forward`](super::forward) for f32.
pub fn forward(p: &Params, x: &[f32], weight: &[f32], y: &mut [f32]) -> Result<(), Error> {
    p.check("conv2d_joined::forward", &[("x", x.len())])?;
    let x = side_by_side([p.n, p.c_in, p.c_a], (p.h * p.w) as usize, x);
    conv2d::fast::forward(&p.conv(), &x, weight, &[0.0], y)
}

/// [`backward_input`](super::backward_input) for f32.
pub fn backward_input(p: &Params, dy: &[f32], weight: &[f32], dx: &mut [f32]) -> Result<(), Error> {
    p.check("conv2d_joined::backward_input", &[("dx", dx.len())])?;
    let mut whole = vec![0.0; dx.len()];
    conv2d::fast::backward_input(&p.conv(), dy, weight, &mut whole)?;
    let hw = (p.h * p.w) as usize;
    for_each_plane([p.n, p.c_in, p.c_a], hw, |to, from| {
        dx[to..to + hw].copy_from_slice(&whole[from..from + hw]);
    });
    Ok(())
}
