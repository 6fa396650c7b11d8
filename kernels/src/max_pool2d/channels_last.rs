//! Maxima of 2x2 pixels whose channels lie together.

use crate::channels_last::Pixels;
use crate::channels_last::unit::Map;
use crate::par::for_each_group_mut;
use crate::simd::{Kernel, Simd, dispatch, vectorize};

/// Rows of windows to a piece of work.
const ROWS: usize = 4;

/// The four pixels of a window.
#[inline(always)]
fn window<'a>(x: Map<'a>, w: usize, channels: usize, first: usize) -> [&'a [f32]; 4] {
    [0, 1, w, w + 1].map(|p| &x.data[(first + p) * x.stride..][..channels])
}

/// The maxima, `y[n,i,j,c] = max x[n,2i+a,2j+b,c]`, of the `pixels` of `x`.
///
/// # Shapes
/// `x [n, h, w, stride]`, `y [n, h / 2, w / 2, stride]`.
///
/// # Writes
/// `y =`
///
/// # Numerics
/// Tolerance class exact.
///
/// # Panics
/// If an array is too short.
pub fn forward(x: Map<'_>, pixels: Pixels, channels: usize, y: &mut [f32], stride: usize) {
    let Pixels { n, h, w } = pixels;
    let half = Pixels { n, h: h / 2, w: w / 2 };
    let y = &mut y[..half.span(channels, stride)];
    let row = half.w * stride;
    for_each_group_mut(
        y,
        n * half.h,
        ROWS,
        |i| i * row,
        |rows, y| {
            let first = rows.start;
            vectorize(
                #[inline(always)]
                move || {
                    for (p, y) in y.chunks_mut(stride).enumerate() {
                        let (i, j) = (first + p / half.w, p % half.w);
                        let at = (i / half.h * h + i % half.h * 2) * w + 2 * j;
                        let [x0, x1, x2, x3] = window(x, w, channels, at);
                        let y = &mut y[..channels];
                        for c in 0..channels {
                            let top = if x1[c] > x0[c] { x1[c] } else { x0[c] };
                            let bottom = if x3[c] > x2[c] { x3[c] } else { x2[c] };
                            y[c] = if bottom > top { bottom } else { top };
                        }
                    }
                },
            );
        },
    );
}

/// Sends each gradient to its maximum, the first in row-major order, which is found again.
///
/// # Shapes
/// `x` and `dx [n, h, w, stride]`, `dy [n, h / 2, w / 2, stride]`.
///
/// # Writes
/// `dx +=`
///
/// # Numerics
/// Tolerance class ulp: one addition. Channels are a multiple of the vector, as everywhere in this layout; `dy` is finite.
///
/// # Panics
/// If an array is too short.
pub fn backward_input(
    x: Map<'_>,
    dy: Map<'_>,
    pixels: Pixels,
    channels: usize,
    dx: &mut [f32],
    stride: usize,
) {
    let Pixels { n, h, w } = pixels;
    let half = Pixels { n, h: h / 2, w: w / 2 };
    let dx = &mut dx[..pixels.span(channels, stride)];
    let first_row = move |i: usize| i / half.h * h + i % half.h * 2;
    for_each_group_mut(
        dx,
        n * half.h,
        ROWS,
        |i| first_row(i) * w * stride,
        |rows, dx| {
            let (begin, width) = (first_row(rows.start) * w, half.w);
            for i in rows {
                let at = first_row(i) * w;
                let x = Map { data: &x.data[at * x.stride..], ..x };
                let dy = Map { data: &dy.data[i * half.w * dy.stride..], ..dy };
                let dx = &mut dx[(at - begin) * stride..];
                dispatch(BackwardRow { x, dy, w, width, channels, dx, stride });
            }
        },
    );
}

/// A row of `width` windows, and the two rows of `w` pixels that they cover.
struct BackwardRow<'a> {
    x: Map<'a>,
    dy: Map<'a>,
    w: usize,
    width: usize,
    channels: usize,
    dx: &'a mut [f32],
    stride: usize,
}

impl Kernel for BackwardRow<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, dy, w, width, channels, dx, stride } = self;
        for j in 0..width {
            let pixels = [0, 1, w, w + 1].map(|p| 2 * j + p);
            for c in (0..channels).step_by(S::LANES) {
                let [x0, x1, x2, x3] = pixels.map(|p| simd.load(&x.data[p * x.stride + c..]));
                let (right, right_below) = (simd.sub(x1, x0), simd.sub(x3, x2));
                let below = simd.sub(simd.max(x3, x2), simd.max(x1, x0));
                // What does not go one way goes the other.
                let dy = simd.load(&dy.data[j * dy.stride + c..]);
                let bottom = simd.where_positive(below, dy);
                let top = simd.sub(dy, bottom);
                let (g1, g3) =
                    (simd.where_positive(right, top), simd.where_positive(right_below, bottom));
                let gradients = [simd.sub(top, g1), g1, simd.sub(bottom, g3), g3];
                for (p, g) in pixels.into_iter().zip(gradients) {
                    let dx = &mut dx[p * stride + c..];
                    simd.store(simd.add(simd.load(dx), g), dx);
                }
            }
        }
    }
}
