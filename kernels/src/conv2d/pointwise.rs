//! 1x1 convolutions from a map whose channels lie together to a few planes: the network's head.

use crate::channels_last::unit::Map;
use crate::channels_last::{Pixels, padded};
use crate::par::{for_each_chunk_mut, for_each_group_mut};
use crate::simd::product::{Left, Right, Start, product};
use crate::simd::{Kernel, Scratch, Simd, dispatch};

/// Pixels to a piece of work.
const PIECE: usize = 2048;

/// `y[n,o,p] = bias[o] + sum_c weight[o,c] x[n,p,c]`, planes `y [n, c_out, hw]`.
///
/// # Shapes
/// `x [n, h, w, stride]`, `weight [c_out, c_in]`, `bias [c_out]`.
///
/// # Writes
/// `y =`
///
/// # Numerics
/// Tolerance class sum.
///
/// # Panics
/// If an array is too short.
pub fn forward(
    x: Map<'_>,
    pixels: Pixels,
    [c_in, c_out]: [usize; 2],
    weight: &[f32],
    bias: &[f32],
    y: &mut [f32],
) {
    let hw = pixels.h * pixels.w;
    let columns = padded(c_out);
    // Turned and padded: `[c_in][columns]`, and the biases.
    let mut filters = Scratch::take((c_in + 1) * columns);
    filters.fill(0.0);
    for o in 0..c_out {
        for c in 0..c_in {
            filters[c * columns + o] = weight[o * c_in + c];
        }
        filters[c_in * columns + o] = bias[o];
    }
    let filters = &*filters;
    for_each_chunk_mut(&mut y[..pixels.n * c_out * hw], c_out * hw, |s, planes| {
        // Planes of one sample are cut where they are; pixels at a time.
        for first in (0..hw).step_by(PIECE) {
            let count = PIECE.min(hw - first);
            let x = Map { data: &x.data[(s * hw + first) * x.stride..], ..x };
            dispatch(Planes { x, first, count, hw, c_in, c_out, columns, filters, planes });
        }
    });
}

struct Planes<'a> {
    x: Map<'a>,
    first: usize,
    count: usize,
    hw: usize,
    c_in: usize,
    c_out: usize,
    columns: usize,
    filters: &'a [f32],
    planes: &'a mut [f32],
}

impl Kernel for Planes<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, first, count, hw, c_in, c_out, columns, filters, planes } = self;
        let mut out = Scratch::take(count * columns);
        let left = Left { data: x.data, row: x.stride, step: 1 };
        let (filters, bias) = filters.split_at(c_in * columns);
        let right = Right::Rows(filters, columns);
        product(simd, [count, columns, c_in], left, right, Start::Row(bias), &mut out, columns);
        for o in 0..c_out {
            let plane = &mut planes[o * hw + first..][..count];
            for (y, out) in plane.iter_mut().zip(out.chunks_exact(columns)) {
                *y = out[o];
            }
        }
    }
}

/// The gradient of the input: `dx[n,p,c] = sum_o weight[o,c] dy[n,o,p]`, from planes.
///
/// # Shapes
/// `dy [n, c_out, hw]`, `dx [n, h, w, stride]`.
///
/// # Writes
/// `dx =`, padded channels as zeros.
///
/// # Numerics
/// Tolerance class sum.
///
/// # Panics
/// If an array is too short.
pub fn backward_input(
    dy: &[f32],
    pixels: Pixels,
    [c_in, c_out]: [usize; 2],
    weight: &[f32],
    dx: &mut [f32],
    stride: usize,
) {
    let hw = pixels.h * pixels.w;
    let columns = padded(c_in);
    let mut filters = Scratch::take(c_out * columns);
    filters.fill(0.0);
    for o in 0..c_out {
        filters[o * columns..][..c_in].copy_from_slice(&weight[o * c_in..][..c_in]);
    }
    let filters = &*filters;
    let per_sample = hw.div_ceil(PIECE);
    let pixel = |i: usize| i / per_sample * hw + i % per_sample * PIECE;
    let dx = &mut dx[..pixels.span(columns, stride)];
    for_each_group_mut(
        dx,
        pixels.n * per_sample,
        1,
        |i| pixel(i) * stride,
        |i, dx| {
            let (s, first) = (i.start / per_sample, i.start % per_sample * PIECE);
            let count = PIECE.min(hw - first);
            let dy = &dy[s * c_out * hw + first..];
            dispatch(FromPlanes { dy, hw, size: [count, columns, c_out], filters, dx, stride });
        },
    );
}

struct FromPlanes<'a> {
    dy: &'a [f32],
    hw: usize,
    size: [usize; 3],
    filters: &'a [f32],
    dx: &'a mut [f32],
    stride: usize,
}

impl Kernel for FromPlanes<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let left = Left { data: self.dy, row: 1, step: self.hw };
        let right = Right::Rows(self.filters, self.size[1]);
        product(simd, self.size, left, right, Start::Zero, self.dx, self.stride);
    }
}

/// The gradient of the filters: `dweight[o,c] = sum_(n,p) dy[n,o,p] x[n,p,c]`.
///
/// # Shapes
/// `x [n, h, w, stride]`, planes `dy [n, c_out, hw]`, `dweight [c_out, c_in]`.
///
/// # Writes
/// `dweight =`
///
/// # Numerics
/// Tolerance class sum; pieces of pixels are joined in order.
///
/// # Panics
/// If an array is too short.
pub fn backward_weight(
    x: Map<'_>,
    dy: &[f32],
    pixels: Pixels,
    [c_in, c_out]: [usize; 2],
    dweight: &mut [f32],
) {
    let hw = pixels.h * pixels.w;
    let columns = padded(c_in);
    let per_sample = hw.div_ceil(PIECE);
    let mut parts = Scratch::take(pixels.n * per_sample * c_out * columns);
    for_each_chunk_mut(&mut parts, c_out * columns, |i, part| {
        let (s, first) = (i / per_sample, i % per_sample * PIECE);
        let count = PIECE.min(hw - first);
        let x = Map { data: &x.data[(s * hw + first) * x.stride..], ..x };
        let dy = &dy[s * c_out * hw + first..];
        dispatch(Outer { x, dy, hw, size: [c_out, columns, count], part });
    });
    for (at, value) in dweight.iter_mut().enumerate() {
        let (o, c) = (at / c_in, at % c_in);
        let parts = parts.chunks(c_out * columns);
        *value = parts.map(|part| f64::from(part[o * columns + c])).sum::<f64>() as f32;
    }
}

struct Outer<'a> {
    x: Map<'a>,
    dy: &'a [f32],
    hw: usize,
    size: [usize; 3],
    part: &'a mut [f32],
}

impl Kernel for Outer<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let left = Left { data: self.dy, row: self.hw, step: 1 };
        let right = Right::Rows(self.x.data, self.x.stride);
        product(simd, self.size, left, right, Start::Zero, self.part, self.size[1]);
    }
}
