//! The transforms of Winograd's F(4x4, 3x3): tiles of 4x4 outputs from products of 6x6 numbers.
//!
//! `Y = A^T [(G g G^T) (B^T d B)] A` for a filter `g` and the 6x6 inputs `d` of a tile, the product being one of
//! elements; over many tiles and channels it is 36 products of matrices. The points of the interpolation are 0,
//! +-1/sqrt(2), +-sqrt(2) and infinity: those of one size come in pairs, which halves the work, and
//! their powers stay near 1, which keeps rounding errors small. Both gradients are the transposes of the same maps:
//! `dg = G^T [(A dY A^T) (B^T d B)] G`.
//!
//! Images lie channels last, so that a vector is neighbouring channels of one pixel and no number changes its lane.
//!
//! Source: Lavin and Gray 2016 (arXiv 1509.09308); the points' influence: Barabasz et al. 2020 (arXiv 1803.10986).

use core::ops::Range;

use super::{Kernel, Simd};

/// Outputs of a tile along one side.
pub(crate) const OUT: usize = 4;
/// Inputs of a tile along one side.
pub(crate) const SIDE: usize = 6;
/// Products of a tile.
pub(crate) const POINTS: usize = SIDE * SIDE;

/// 1 / sqrt(2), the smaller of the points; the larger is its inverse.
const P: f32 = core::f32::consts::FRAC_1_SQRT_2;
const Q: f32 = core::f32::consts::SQRT_2;
/// The points' cubes.
const P3: f32 = P / 2.0;
const Q3: f32 = 2.0 * Q;

/// How an image is cut into tiles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub(crate) h: usize,
    pub(crate) w: usize,
}

impl Grid {
    /// Rows of tiles of one sample.
    pub(crate) fn rows(self) -> usize {
        self.h.div_ceil(OUT)
    }

    /// Tiles in a row.
    pub(crate) fn columns(self) -> usize {
        self.w.div_ceil(OUT)
    }

    /// The first image row, counted over all samples, of a row of tiles, counted likewise.
    pub(crate) fn first_row(self, tile_row: usize) -> usize {
        tile_row / self.rows() * self.h + tile_row % self.rows() * OUT
    }

    /// Sample, image row and column of a tile's first output.
    fn place(self, tile: usize) -> (usize, usize, usize) {
        let (row, column) = (tile / self.columns(), tile % self.columns());
        (row / self.rows(), row % self.rows() * OUT, column * OUT)
    }
}

/// `B^T d`
#[inline(always)]
fn input<S: Simd>(simd: S, d: [S::Vector; 6]) -> [S::Vector; 6] {
    let c = |x: f32| simd.splat(x);
    let small = (simd.mul_add(d[2], c(-2.0), d[4]), simd.mul_add(d[1], c(-2.0), d[3]));
    let large = (simd.mul_add(d[2], c(-0.5), d[4]), simd.mul_add(d[1], c(-0.5), d[3]));
    [
        simd.mul_add(d[2], c(-2.5), simd.add(d[0], d[4])),
        simd.mul_add(small.1, c(P), small.0),
        simd.mul_add(small.1, c(-P), small.0),
        simd.mul_add(large.1, c(Q), large.0),
        simd.mul_add(large.1, c(-Q), large.0),
        simd.mul_add(d[3], c(-2.5), simd.add(d[1], d[5])),
    ]
}

/// `A^T m`
#[inline(always)]
fn output<S: Simd>(simd: S, m: [S::Vector; 6]) -> [S::Vector; 4] {
    let c = |x: f32| simd.splat(x);
    let (even_p, odd_p) = (simd.add(m[1], m[2]), simd.sub(m[1], m[2]));
    let (even_q, odd_q) = (simd.add(m[3], m[4]), simd.sub(m[3], m[4]));
    [
        simd.add(m[0], simd.add(even_p, even_q)),
        simd.mul_add(odd_p, c(P), simd.mul(odd_q, c(Q))),
        simd.mul_add(even_p, c(0.5), simd.add(even_q, even_q)),
        simd.mul_add(odd_p, c(P3), simd.mul_add(odd_q, c(Q3), m[5])),
    ]
}

/// `A y`
#[inline(always)]
fn gradient<S: Simd>(simd: S, y: [S::Vector; 4]) -> [S::Vector; 6] {
    let c = |x: f32| simd.splat(x);
    let small = (simd.mul_add(y[2], c(0.5), y[0]), simd.mul_add(y[3], c(0.5), y[1]));
    let large = (simd.mul_add(y[2], c(2.0), y[0]), simd.mul_add(y[3], c(2.0), y[1]));
    [
        y[0],
        simd.mul_add(small.1, c(P), small.0),
        simd.mul_add(small.1, c(-P), small.0),
        simd.mul_add(large.1, c(Q), large.0),
        simd.mul_add(large.1, c(-Q), large.0),
        y[3],
    ]
}

/// `G g`
#[inline(always)]
pub(crate) fn filter<S: Simd>(simd: S, g: [S::Vector; 3]) -> [S::Vector; 6] {
    let c = |x: f32| simd.splat(x);
    let small = (simd.mul(simd.mul_add(g[2], c(0.5), g[0]), c(-2.0 / 3.0)), c(-2.0 / 3.0 * P));
    let large = (simd.mul(simd.mul_add(g[2], c(2.0), g[0]), c(1.0 / 6.0)), c(1.0 / 6.0 * Q));
    [
        g[0],
        simd.mul_add(g[1], small.1, small.0),
        simd.sub(small.0, simd.mul(g[1], small.1)),
        simd.mul_add(g[1], large.1, large.0),
        simd.sub(large.0, simd.mul(g[1], large.1)),
        g[2],
    ]
}

/// `G^T u`
#[inline(always)]
pub(crate) fn filter_gradient<S: Simd>(simd: S, u: [S::Vector; 6]) -> [S::Vector; 3] {
    let c = |x: f32| simd.splat(x);
    let (even_p, odd_p) = (simd.add(u[1], u[2]), simd.sub(u[1], u[2]));
    let (even_q, odd_q) = (simd.add(u[3], u[4]), simd.sub(u[3], u[4]));
    let (even_p, even_q) = (simd.mul(even_p, c(-2.0 / 3.0)), simd.mul(even_q, c(1.0 / 6.0)));
    [
        simd.add(u[0], simd.add(even_p, even_q)),
        simd.mul_add(odd_p, c(-2.0 / 3.0 * P), simd.mul(odd_q, c(1.0 / 6.0 * Q))),
        simd.mul_add(even_p, c(0.5), simd.mul_add(even_q, c(2.0), u[5])),
    ]
}

/// Room for a tile's vectors at the widest level.
type Tile = [f32; POINTS * 16];

/// `V[k][t][c] = (B^T d B)[k]` for every tile `t`, point `k` and channel `c`.
pub(crate) struct InputTiles<'a> {
    /// Pixels of all samples, `stride` numbers each.
    pub(crate) x: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) grid: Grid,
    pub(crate) tiles: Range<usize>,
    /// Channels, a multiple of the vector.
    pub(crate) channels: usize,
    /// A factor for each sample and channel.
    pub(crate) scale: Option<&'a [f32]>,
    pub(crate) out: &'a mut [f32],
    /// Distance of the matrices in `out`.
    pub(crate) step: usize,
}

impl Kernel for InputTiles<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { x, stride, grid: Grid { h, w }, channels, step, .. } = self;
        assert!(self.out.len() >= (POINTS - 1) * step + self.tiles.len() * channels);
        let mut edge: Tile = [0.0; POINTS * 16];
        for (t, tile) in self.tiles.clone().enumerate() {
            let (s, i, j) = self.grid.place(tile);
            assert!(x.len() >= ((s + 1) * h * w - 1) * stride + channels);
            let inside = i > 0 && j > 0 && i + SIDE - 1 <= h && j + SIDE - 1 <= w;
            for c in (0..channels).step_by(S::LANES) {
                let scale = self.scale.map(|scale| simd.load(&scale[s * channels + c..]));
                // Row and column -1 of the tile's output.
                let (from, row, column) = if inside {
                    let first = ((s * h + i - 1) * w + j - 1) * stride + c;
                    (x[first..].as_ptr(), w * stride, stride)
                } else {
                    for a in 0..SIDE {
                        for b in 0..SIDE {
                            let to = &mut edge[(a * SIDE + b) * S::LANES..][..S::LANES];
                            let (row, column) = (i + a, j + b);
                            if (1..=h).contains(&row) && (1..=w).contains(&column) {
                                let at = ((s * h + row - 1) * w + column - 1) * stride + c;
                                simd.store(simd.load(&x[at..]), to);
                            } else {
                                simd.store(simd.splat(0.0), to);
                            }
                        }
                    }
                    (edge.as_ptr(), SIDE * S::LANES, S::LANES)
                };
                let mut half = [[simd.splat(0.0); SIDE]; SIDE];
                // SAFETY: the tile's 36 vectors lie within `x`, which holds the sample, or in `edge`; those
                // written lie within `out` as asserted, since `t` is below the number of tiles and `c + LANES`
                // not above that of channels.
                unsafe {
                    for b in 0..SIDE {
                        let mut d = [simd.splat(0.0); SIDE];
                        for a in 0..SIDE {
                            d[a] = simd.read(from.add(a * row + b * column));
                            if let Some(scale) = scale {
                                d[a] = simd.mul(d[a], scale);
                            }
                        }
                        let v = input(simd, d);
                        for a in 0..SIDE {
                            half[a][b] = v[a];
                        }
                    }
                    let out = self.out.as_mut_ptr().add(t * channels + c);
                    for a in 0..SIDE {
                        let v = input(simd, half[a]);
                        for b in 0..SIDE {
                            simd.write(v[b], out.add((a * SIDE + b) * step));
                        }
                    }
                }
            }
        }
    }
}

/// `Z[k][t][c] = (A dY A^T)[k]` for every tile `t`, point `k` and channel `c`.
pub(crate) struct GradientTiles<'a> {
    /// Pixels of all samples, `stride` numbers each.
    pub(crate) dy: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) grid: Grid,
    pub(crate) tiles: Range<usize>,
    /// Channels, a multiple of the vector.
    pub(crate) channels: usize,
    pub(crate) out: &'a mut [f32],
    /// Distance of the matrices in `out`.
    pub(crate) step: usize,
}

impl Kernel for GradientTiles<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { dy, stride, grid: Grid { h, w }, channels, step, .. } = self;
        assert!(self.out.len() >= (POINTS - 1) * step + self.tiles.len() * channels);
        let mut edge: Tile = [0.0; POINTS * 16];
        for (t, tile) in self.tiles.clone().enumerate() {
            let (s, i, j) = self.grid.place(tile);
            assert!(dy.len() >= ((s + 1) * h * w - 1) * stride + channels);
            for c in (0..channels).step_by(S::LANES) {
                let (from, row, column) = if i + OUT <= h && j + OUT <= w {
                    let first = ((s * h + i) * w + j) * stride + c;
                    (dy[first..].as_ptr(), w * stride, stride)
                } else {
                    for a in 0..OUT {
                        for b in 0..OUT {
                            let to = &mut edge[(a * OUT + b) * S::LANES..][..S::LANES];
                            if i + a < h && j + b < w {
                                let at = ((s * h + i + a) * w + j + b) * stride + c;
                                simd.store(simd.load(&dy[at..]), to);
                            } else {
                                simd.store(simd.splat(0.0), to);
                            }
                        }
                    }
                    (edge.as_ptr(), OUT * S::LANES, S::LANES)
                };
                let mut half = [[simd.splat(0.0); SIDE]; SIDE];
                // SAFETY: the tile's 16 vectors lie within `dy`, which holds the sample, or in `edge`; those
                // written lie within `out` as asserted.
                unsafe {
                    for b in 0..OUT {
                        let mut y = [simd.splat(0.0); OUT];
                        for a in 0..OUT {
                            y[a] = simd.read(from.add(a * row + b * column));
                        }
                        let z = gradient(simd, y);
                        for a in 0..SIDE {
                            half[a][b] = z[a];
                        }
                    }
                    let out = self.out.as_mut_ptr().add(t * channels + c);
                    for a in 0..SIDE {
                        let [y0, y1, y2, y3, ..] = half[a];
                        let z = gradient(simd, [y0, y1, y2, y3]);
                        for b in 0..SIDE {
                            simd.write(z[b], out.add((a * SIDE + b) * step));
                        }
                    }
                }
            }
        }
    }
}

/// What happens to each output before it is written: `y = max(v + bias, 0) scale`, each part where asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Finish<'a> {
    /// One number per channel, padding included.
    pub bias: Option<&'a [f32]>,
    /// Whether negative numbers become zero.
    pub relu: bool,
    /// One factor per sample and channel, zero or positive.
    pub scale: Option<&'a [f32]>,
}

/// `y = A^T M A` for every tile, finished.
pub(crate) struct OutputTiles<'a> {
    /// `M[k][t][c]`
    pub(crate) products: &'a [f32],
    /// Distance of the matrices.
    pub(crate) step: usize,
    pub(crate) grid: Grid,
    pub(crate) tiles: Range<usize>,
    /// Channels, a multiple of the vector.
    pub(crate) channels: usize,
    pub(crate) finish: Finish<'a>,
    /// Pixels from image row `first_row`, counted over all samples, on; `stride` numbers each.
    pub(crate) y: &'a mut [f32],
    pub(crate) stride: usize,
    pub(crate) first_row: usize,
}

impl Kernel for OutputTiles<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { grid: Grid { h, w }, channels, step, stride, .. } = self;
        let zero = simd.splat(0.0);
        assert!(self.products.len() >= (POINTS - 1) * step + self.tiles.len() * channels);
        let mut edge: Tile = [0.0; POINTS * 16];
        for (t, tile) in self.tiles.clone().enumerate() {
            let (s, i, j) = self.grid.place(tile);
            let (rows, columns) = (OUT.min(h - i), OUT.min(w - j));
            let first = ((s * h + i - self.first_row) * w + j) * stride;
            let last = first + ((rows - 1) * w + columns - 1) * stride;
            assert!(self.y.len() >= last + channels);
            let whole = rows == OUT && columns == OUT;
            for c in (0..channels).step_by(S::LANES) {
                let bias = self.finish.bias.map_or(zero, |bias| simd.load(&bias[c..]));
                let scale = self.finish.scale.map(|scale| simd.load(&scale[s * channels + c..]));
                let mut half = [[simd.splat(0.0); SIDE]; SIDE];
                // SAFETY: the 36 vectors that are read lie within `products` as asserted. The 16 written lie within
                // `y` as asserted, where the tile is whole, or in `edge`.
                unsafe {
                    let from = self.products.as_ptr().add(t * channels + c);
                    for b in 0..SIDE {
                        let mut m = [zero; SIDE];
                        for a in 0..SIDE {
                            m[a] = simd.read(from.add((a * SIDE + b) * step));
                        }
                        let y = output(simd, m);
                        for a in 0..OUT {
                            half[a][b] = y[a];
                        }
                    }
                    let (to, row, column) = if whole {
                        (self.y.as_mut_ptr().add(first + c), w * stride, stride)
                    } else {
                        (edge.as_mut_ptr(), OUT * S::LANES, S::LANES)
                    };
                    for a in 0..OUT {
                        let y = output(simd, half[a]);
                        for b in 0..OUT {
                            let mut y = simd.add(y[b], bias);
                            if self.finish.relu {
                                y = simd.max(zero, y);
                            }
                            if let Some(scale) = scale {
                                y = simd.mul(y, scale);
                            }
                            simd.write(y, to.add(a * row + b * column));
                        }
                    }
                }
                if !whole {
                    for a in 0..rows {
                        for b in 0..columns {
                            let y = simd.load(&edge[(a * OUT + b) * S::LANES..]);
                            simd.store(y, &mut self.y[first + (a * w + b) * stride + c..]);
                        }
                    }
                }
            }
        }
    }
}
