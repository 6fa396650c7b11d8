//! Maxima of 2x2 pixels whose channels lie together.

use crate::channels_last::Pixels;
use crate::channels_last::unit::Map;
use crate::par::for_each_group_mut;
use crate::simd::vectorize;

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
/// Tolerance class ulp: one addition.
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
            let begin = first_row(rows.start) * w;
            vectorize(
                #[inline(always)]
                move || {
                    for i in rows {
                        for j in 0..half.w {
                            let at = first_row(i) * w + 2 * j;
                            let [x0, x1, x2, x3] = window(x, w, channels, at);
                            let dy = &dy.data[(i * half.w + j) * dy.stride..][..channels];
                            let (top, bottom) =
                                dx[(at - begin) * stride..].split_at_mut(w * stride);
                            let (dx0, dx1) = top.split_at_mut(stride);
                            let (dx2, dx3) = bottom.split_at_mut(stride);
                            let [dx0, dx1, dx2, dx3] =
                                [dx0, dx1, dx2, dx3].map(|dx| &mut dx[..channels]);
                            for c in 0..channels {
                                let right = x1[c] > x0[c];
                                let top = if right { x1[c] } else { x0[c] };
                                let bottom_right = x3[c] > x2[c];
                                let bottom = if bottom_right { x3[c] } else { x2[c] };
                                let below = bottom > top;
                                let to = |here: bool| if here { dy[c] } else { 0.0 };
                                dx0[c] += to(!below & !right);
                                dx1[c] += to(!below & right);
                                dx2[c] += to(below & !bottom_right);
                                dx3[c] += to(below & bottom_right);
                            }
                        }
                    }
                },
            );
        },
    );
}
