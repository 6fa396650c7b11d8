//! Transposed convolutions of maps whose channels lie together: a product of matrices for each tap.

use crate::channels_last::unit::Map;
use crate::channels_last::{Pixels, padded};
use crate::par::{for_each_chunk_mut, for_each_group_mut};
use crate::simd::product::{Left, Right, Start, panel, product};
use crate::simd::{Kernel, Level, Simd, dispatch};

/// Numbers of packed filters, in either direction.
pub fn packed_len(c_in: usize, c_out: usize) -> usize {
    4 * padded(c_in) * padded(c_out)
}

/// Lays out the filters `weight [c_in, c_out, 2, 2]` for [`forward`], or for [`backward_input`] where they
/// are `turned`.
///
/// # Writes
/// `packed =`, [`packed_len`] numbers.
///
/// # Panics
/// If an array is too short.
pub fn pack(weight: &[f32], c_in: usize, c_out: usize, turned: bool, packed: &mut [f32]) {
    let (inner, columns) = if turned { (c_out, c_in) } else { (c_in, c_out) };
    let (rows, columns_padded) = (padded(inner), padded(columns));
    let wide = panel(Level::best().tile().0);
    let packed = &mut packed[..4 * rows * columns_padded];
    // `[panel][tap][inner][columns of the panel]`
    for_each_chunk_mut(packed, 4 * rows * wide, |i, packed| {
        let width = packed.len() / (4 * rows);
        for (at, value) in packed.iter_mut().enumerate() {
            let (tap, k, column) = (at / (rows * width), at / width % rows, i * wide + at % width);
            *value = if k < inner && column < columns {
                let (c, o) = if turned { (column, k) } else { (k, column) };
                weight[(c * c_out + o) * 4 + tap]
            } else {
                0.0
            };
        }
    });
}

/// Input rows to a piece of work: as many pixels as use a panel of filters often.
fn rows_of_piece(w: usize) -> usize {
    (64 / w).max(1)
}

/// Doubles the size: `y[n,2i+a,2j+b,o] = bias[o] + sum_c weight[c,o,a,b] x[n,i,j,c]`.
///
/// # Shapes
/// `x [n, h, w, stride]`, `bias [c_out]` padded, `y [n, 2h, 2w, stride]`; `pixels` are those of `x`.
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
    packed: &[f32],
    bias: &[f32],
    y: &mut [f32],
    stride: usize,
) {
    let Pixels { n, h, w } = pixels;
    let size = [padded(c_in), padded(c_out)];
    let y = &mut y[..Pixels { n, h: 2 * h, w: 2 * w }.span(size[1], stride)];
    for_each_group_mut(
        y,
        n * h,
        rows_of_piece(w),
        |i| i * 4 * w * stride,
        |rows, y| {
            let x = Map { data: &x.data[rows.start * w * x.stride..], ..x };
            dispatch(Up { x, rows: rows.len(), w, size, packed, bias, y, stride });
        },
    );
}

struct Up<'a> {
    x: Map<'a>,
    rows: usize,
    w: usize,
    /// Input and output channels with padding.
    size: [usize; 2],
    packed: &'a [f32],
    bias: &'a [f32],
    y: &'a mut [f32],
    stride: usize,
}

impl Kernel for Up<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, w, size: [inner, columns], stride, .. } = self;
        let wide = panel(S::LANES);
        for c in (0..columns).step_by(wide) {
            let width = wide.min(columns - c);
            let packed = self.packed[4 * inner * c..].chunks_exact(inner * width).take(4);
            for (tap, packed) in packed.enumerate() {
                for i in 0..self.rows {
                    let left = Left { data: &x.data[i * w * x.stride..], row: x.stride, step: 1 };
                    let at = ((2 * i + tap / 2) * 2 * w + tap % 2) * stride + c;
                    let start = Start::Row(&self.bias[c..]);
                    let y = &mut self.y[at..];
                    product(
                        simd,
                        [w, width, inner],
                        left,
                        Right::Packed(packed),
                        start,
                        y,
                        2 * stride,
                    );
                }
            }
        }
    }
}

/// The gradient of the input: `dx[n,i,j,c] = sum_(o,a,b) weight[c,o,a,b] dy[n,2i+a,2j+b,o]`.
///
/// # Shapes
/// `dy [n, 2h, 2w, stride]`, `dx [n, h, w, stride]`; `pixels` are those of `dx`.
///
/// # Writes
/// `dx =`
///
/// # Numerics
/// Tolerance class sum.
///
/// # Panics
/// If an array is too short.
pub fn backward_input(
    dy: Map<'_>,
    pixels: Pixels,
    [c_in, c_out]: [usize; 2],
    packed: &[f32],
    dx: &mut [f32],
    stride: usize,
) {
    let Pixels { n, h, w } = pixels;
    let size = [padded(c_out), padded(c_in)];
    let dx = &mut dx[..pixels.span(size[1], stride)];
    for_each_group_mut(
        dx,
        n * h,
        rows_of_piece(w),
        |i| i * w * stride,
        |rows, dx| {
            let dy = Map { data: &dy.data[rows.start * 4 * w * dy.stride..], ..dy };
            dispatch(Down { dy, rows: rows.len(), w, size, packed, dx, stride });
        },
    );
}

struct Down<'a> {
    dy: Map<'a>,
    rows: usize,
    w: usize,
    /// Output and input channels with padding.
    size: [usize; 2],
    packed: &'a [f32],
    dx: &'a mut [f32],
    stride: usize,
}

impl Kernel for Down<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { dy, w, size: [inner, columns], stride, .. } = self;
        let wide = panel(S::LANES);
        for c in (0..columns).step_by(wide) {
            let width = wide.min(columns - c);
            let packed = self.packed[4 * inner * c..].chunks_exact(inner * width).take(4);
            for (tap, packed) in packed.enumerate() {
                for i in 0..self.rows {
                    let at = ((2 * i + tap / 2) * 2 * w + tap % 2) * dy.stride;
                    let left = Left { data: &dy.data[at..], row: 2 * dy.stride, step: 1 };
                    let start = if tap == 0 { Start::Zero } else { Start::Output };
                    let dx = &mut self.dx[i * w * stride + c..];
                    product(
                        simd,
                        [w, width, inner],
                        left,
                        Right::Packed(packed),
                        start,
                        dx,
                        stride,
                    );
                }
            }
        }
    }
}

/// Input channels to a piece of work.
const CHANNELS: usize = 24;

/// The gradient of the filters, `dweight [c_in, c_out, 2, 2]`; `sums` is room for [`packed_len`] numbers.
///
/// # Shapes
/// `x [n, h, w, stride]`, `dy [n, 2h, 2w, stride]`; `pixels` are those of `x`.
///
/// # Writes
/// `dweight =`
///
/// # Numerics
/// Tolerance class sum.
///
/// # Panics
/// If an array is too short.
pub fn backward_weight(
    x: Map<'_>,
    dy: Map<'_>,
    pixels: Pixels,
    [c_in, c_out]: [usize; 2],
    sums: &mut [f32],
    dweight: &mut [f32],
) {
    let (inner, columns) = (padded(c_in), padded(c_out));
    let sums = &mut sums[..4 * inner * columns];
    // `[block of input channels][tap][channel][output channel]`; each part sums over all pixels.
    let block = CHANNELS.min(inner);
    let start = |i: usize| {
        let (first, tap) = (i / 4 * block, i % 4);
        (4 * first + tap * block.min(inner - first.min(inner))) * columns
    };
    let units = 4 * inner.div_ceil(block);
    for_each_group_mut(sums, units, 1, start, |unit, sums| {
        let (first, tap) = (unit.start / 4 * block, unit.start % 4);
        dispatch(TapGradient { x, dy, pixels, columns, first, tap, sums });
    });
    let sums = &*sums;
    for_each_chunk_mut(dweight, 4 * c_out, |c, dweight| {
        let (first, within) = (c / block * block, c % block);
        let channels = block.min(inner - first);
        for (at, value) in dweight.iter_mut().enumerate() {
            let (o, tap) = (at / 4, at % 4);
            *value = sums[(4 * first + tap * channels + within) * columns + o];
        }
    });
}

struct TapGradient<'a> {
    x: Map<'a>,
    dy: Map<'a>,
    pixels: Pixels,
    columns: usize,
    /// The first input channel.
    first: usize,
    tap: usize,
    sums: &'a mut [f32],
}

impl Kernel for TapGradient<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, dy, pixels: Pixels { n, h, w }, columns, first, tap, sums } = self;
        let channels = sums.len() / columns;
        for i in 0..n * h {
            let left = Left { data: &x.data[i * w * x.stride + first..], row: 1, step: x.stride };
            let at = ((2 * i + tap / 2) * 2 * w + tap % 2) * dy.stride;
            let right = Right::Rows(&dy.data[at..], 2 * dy.stride);
            let start = if i == 0 { Start::Zero } else { Start::Output };
            product(simd, [channels, columns, w], left, right, start, sums, columns);
        }
    }
}
