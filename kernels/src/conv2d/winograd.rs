//! 3x3 convolutions by Winograd's F(4x4, 3x3), channels last.
//!
//! A quarter of the multiplications of the definition, and transforms before and after. The transforms magnify rounding
//! errors by a small factor that does not grow with the number of channels, while the bound of a plain sum does.

use core::ops::Range;

use crate::channels_last::{Channels, Pixels};
use crate::par::{for_each_chunk_mut, for_each_chunk2_mut, for_each_group_mut};
use crate::simd::product::{Left, Right, Start, panel, product};
use crate::simd::winograd::{
    Finish, GradientTiles, Grid, InputTiles, OutputTiles, POINTS, SIDE, filter, filter_gradient,
};
use crate::simd::{Kernel, Scratch, Simd, dispatch};

/// Numbers between matrices of a group, so that their lines fall in different sets of the cache.
const GAP: usize = 16;

/// Numbers of transformed filters.
pub(crate) fn packed_len(inner: usize, columns: usize) -> usize {
    POINTS * inner * columns
}

/// Which filters a product takes: `weight [c_out, c_in, 3, 3]` from input to output, or back.
#[derive(Clone, Copy)]
pub(crate) struct Filters<'a> {
    pub(crate) weight: &'a [f32],
    pub(crate) input: Channels,
    pub(crate) output: Channels,
    /// A factor of each output channel's filters.
    pub(crate) scale: Option<&'a [f32]>,
    /// From output to input, each filter turned by half.
    pub(crate) turned: bool,
}

impl Filters<'_> {
    /// Channels that are summed over and those that come out.
    pub(crate) fn sides(&self) -> (Channels, Channels) {
        if self.turned { (self.output, self.input) } else { (self.input, self.output) }
    }

    /// The nine taps between channels of the two sides.
    #[inline(always)]
    pub(crate) fn taps(&self, inner: usize, column: usize) -> [f32; 9] {
        let (input, output) = if self.turned { (column, inner) } else { (inner, column) };
        let mut taps = [0.0; 9];
        taps.copy_from_slice(&self.weight[(output * self.input.real() + input) * 9..][..9]);
        if self.turned {
            taps.reverse();
        }
        if let Some(scale) = self.scale {
            taps.iter_mut().for_each(|tap| *tap *= scale[output]);
        }
        taps
    }
}

/// Transforms filters: `[panel][point][inner][columns of the panel]`.
pub(crate) fn pack(filters: Filters<'_>, packed: &mut [f32]) {
    let (inner, columns) = (filters.sides().0.padded(), filters.sides().1.padded());
    let wide = panel(crate::simd::Level::best().tile().0);
    let packed = &mut packed[..packed_len(inner, columns)];
    for_each_chunk_mut(packed, POINTS * inner * wide, |i, packed| {
        dispatch(Pack { filters, inner, first: i * wide, packed });
    });
}

struct Pack<'a> {
    filters: Filters<'a>,
    inner: usize,
    /// The panel's first column.
    first: usize,
    packed: &'a mut [f32],
}

impl Kernel for Pack<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let width = self.packed.len() / (POINTS * self.inner);
        let mut lanes = [0.0; 9 * 16];
        let (inner_side, column_side) = self.filters.sides();
        let mut columns = [None; 2 * 16];
        for (c, column) in columns[..width].iter_mut().enumerate() {
            *column = column_side.at(self.first + c);
        }
        for i in 0..self.inner {
            let inner = inner_side.at(i);
            for c in (0..width).step_by(S::LANES) {
                for l in 0..S::LANES {
                    let taps = match (inner, columns[c + l]) {
                        (Some(inner), Some(column)) => self.filters.taps(inner, column),
                        _ => [0.0; 9],
                    };
                    for t in 0..9 {
                        lanes[t * S::LANES + l] = taps[t];
                    }
                }
                let tap = |a: usize, b: usize| simd.load(&lanes[(3 * a + b) * S::LANES..]);
                let mut half = [[simd.splat(0.0); 3]; SIDE];
                for b in 0..3 {
                    let u = filter(simd, [tap(0, b), tap(1, b), tap(2, b)]);
                    for a in 0..SIDE {
                        half[a][b] = u[a];
                    }
                }
                for a in 0..SIDE {
                    let u = filter(simd, half[a]);
                    for b in 0..SIDE {
                        let at = ((a * SIDE + b) * self.inner + i) * width + c;
                        simd.store(u[b], &mut self.packed[at..]);
                    }
                }
            }
        }
    }
}

/// Rows of tiles to a group, so that its matrices stay in the second cache and the filters that they meet are used
/// often enough.
fn rows_per_group(grid: Grid, channels: usize) -> usize {
    let tiles = if channels <= 32 { 64 } else { 32 };
    (tiles / grid.columns()).max(1)
}

/// Below so many groups the work is cut by points, since that many threads may wait for it.
const MANY_GROUPS: usize = 8;

/// What a convolution reads and how large everything is.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The map's sizes.
    pub pixels: Pixels,
    /// `[n, h, w, stride]`
    pub x: &'a [f32],
    /// Distance of pixels.
    pub stride: usize,
    /// Channels of `x` as they lie there: padded, but for images of one channel.
    pub inner: usize,
    /// A factor for each sample and channel of `x`.
    pub scale: Option<&'a [f32]>,
}

impl<'a> Input<'a> {
    fn grid(&self) -> Grid {
        Grid { h: self.pixels.h, w: self.pixels.w }
    }

    fn tiles(&self, tiles: Range<usize>, out: &'a mut [f32], step: usize) -> InputTiles<'a> {
        let Self { x, stride, inner: channels, scale, .. } = *self;
        InputTiles { x, stride, grid: self.grid(), tiles, channels, scale, out, step }
    }
}

/// `y = finish(x * filters)`, pixels of `y` being `stride` apart.
pub(crate) fn forward(
    input: Input<'_>,
    packed: &[f32],
    columns: usize,
    finish: Finish<'_>,
    y: &mut [f32],
    stride: usize,
) {
    let (grid, inner) = (input.grid(), input.inner);
    let packed = &packed[..packed_len(inner, columns)];
    let rows = input.pixels.n * grid.rows();
    let group = rows_per_group(grid, inner + columns);
    let y = &mut y[..input.pixels.span(columns, stride)];
    let start = |row: usize| grid.first_row(row) * grid.w * stride;
    let tiles = |rows: Range<usize>| rows.start * grid.columns()..rows.end * grid.columns();
    let groups = rows.div_ceil(group);
    if groups >= MANY_GROUPS {
        return for_each_group_mut(y, rows, group, start, |rows, y| {
            let first_row = grid.first_row(rows.start);
            let tiles = tiles(rows);
            dispatch(Group { input, packed, columns, finish, tiles, y, stride, first_row });
        });
    }
    // Few tiles: first all their transforms, then the products by points, then the way back.
    let most = group * grid.columns();
    let (v_step, m_step) = (most * inner + GAP, most * columns + GAP);
    let mut v = Scratch::take(groups * POINTS * v_step);
    let mut m = Scratch::take(groups * POINTS * m_step);
    let tiles_of = |g: usize| tiles(g * group..((g + 1) * group).min(rows));
    for_each_chunk_mut(&mut v, POINTS * v_step, |g, v| {
        dispatch(input.tiles(tiles_of(g), v, v_step))
    });
    for_each_chunk_mut(&mut m, m_step, |i, m| {
        let (g, point) = (i / POINTS, i % POINTS);
        let v = &v[i * v_step..][..v_step];
        let size = [tiles_of(g).len(), columns, inner];
        dispatch(PointProduct { size, v, packed, point, m });
    });
    for_each_group_mut(y, rows, group, start, |rows, y| {
        let products = &m[rows.start / group * POINTS * m_step..][..POINTS * m_step];
        dispatch(OutputTiles {
            products,
            step: m_step,
            grid,
            first_row: grid.first_row(rows.start),
            tiles: tiles(rows),
            channels: columns,
            finish,
            y,
            stride,
        });
    });
}

/// `m = v u` at one point, with all panels of filters.
struct PointProduct<'a> {
    /// Tiles, columns, inner channels.
    size: [usize; 3],
    v: &'a [f32],
    packed: &'a [f32],
    point: usize,
    m: &'a mut [f32],
}

impl Kernel for PointProduct<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let [tiles, columns, inner] = self.size;
        let wide = panel(S::LANES);
        for c in (0..columns).step_by(wide) {
            let width = wide.min(columns - c);
            let at = (c * POINTS + self.point * width) * inner;
            let right = Right::Packed(&self.packed[at..][..inner * width]);
            let left = Left { data: self.v, row: inner, step: 1 };
            let size = [tiles, width, inner];
            product(simd, size, left, right, Start::Zero, &mut self.m[c..], columns);
        }
    }
}

/// All of the work for a group of tiles.
struct Group<'a> {
    input: Input<'a>,
    packed: &'a [f32],
    columns: usize,
    finish: Finish<'a>,
    tiles: Range<usize>,
    y: &'a mut [f32],
    stride: usize,
    first_row: usize,
}

impl Kernel for Group<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { input, columns, tiles, .. } = self;
        let count = tiles.len();
        let (v_step, m_step) = (count * input.inner + GAP, count * columns + GAP);
        let mut v = Scratch::take(POINTS * v_step);
        let mut m = Scratch::take(POINTS * m_step);
        input.tiles(tiles.clone(), &mut v, v_step).run(simd);
        for point in 0..POINTS {
            let size = [count, columns, input.inner];
            let (v, m) = (&v[point * v_step..][..v_step], &mut m[point * m_step..][..m_step]);
            PointProduct { size, v, packed: self.packed, point, m }.run(simd);
        }
        OutputTiles {
            products: &m,
            step: m_step,
            grid: input.grid(),
            tiles,
            channels: columns,
            finish: self.finish,
            y: self.y,
            stride: self.stride,
            first_row: self.first_row,
        }
        .run(simd);
    }
}

/// The most numbers of sums of one chunk, where chunks have sums of their own.
const SMALL_SUMS: usize = POINTS * 32 * 64;
/// The most chunks: for so many threads there is work.
const CHUNKS: usize = 16;
/// The most numbers of transformed tiles at a time.
const TRANSFORMED: usize = 3 << 20;

/// `dweight = ` the gradient of the filters, `[c_out, c_in, 3, 3]`.
pub(crate) fn backward_weight(
    input: Input<'_>,
    dy: &[f32],
    dy_stride: usize,
    [c_in, c_out]: [Channels; 2],
    dweight: &mut [f32],
) {
    let (inner, columns) = (input.inner, c_out.padded());
    let sums_len = POINTS * inner * columns;
    let grid = input.grid();
    let rows = input.pixels.n * grid.rows();
    let group = rows_per_group(grid, inner + columns);
    let groups = rows.div_ceil(group);
    let work = GradientGroups { input, dy, dy_stride, columns, group, rows };
    if sums_len <= SMALL_SUMS {
        let chunk = (groups / 2).clamp(1, CHUNKS);
        let chunk = groups.div_ceil(chunk);
        let mut sums = Scratch::take(groups.div_ceil(chunk) * sums_len);
        for_each_chunk_mut(&mut sums, sums_len, |i, sums| {
            let groups = i * chunk..((i + 1) * chunk).min(groups);
            dispatch(GradientChunk { work, groups, sums });
        });
        let (total, others) = sums.split_at_mut(sums_len);
        let piece = 4096;
        for_each_chunk_mut(total, piece, |i, total| {
            for others in others.chunks(sums_len) {
                for (t, &o) in total.iter_mut().zip(&others[i * piece..]) {
                    *t += o;
                }
            }
        });
        return unpack(total, inner, c_in, c_out, dweight);
    }
    let mut sums = Scratch::take(sums_len);
    let (v_len, z_len) = (work.v_len(), work.z_len());
    let at_once = (TRANSFORMED / (v_len + z_len)).clamp(1, groups);
    let mut v = Scratch::take(at_once * v_len);
    let mut z = Scratch::take(at_once * z_len);
    for first in (0..groups).step_by(at_once) {
        let count = at_once.min(groups - first);
        let (v, z) = (&mut v[..count * v_len], &mut z[..count * z_len]);
        for_each_chunk2_mut(v, v_len, z, z_len, |i, v, z| {
            dispatch(GradientTransforms { work, group: first + i, v, z });
        });
        for_each_chunk_mut(&mut sums, inner * columns, |point, sums| {
            for i in 0..count {
                let (v, z) = (&v[i * v_len..][..v_len], &z[i * z_len..][..z_len]);
                let fresh = first + i == 0;
                let tiles = work.tiles(first + i).len();
                dispatch(GradientProduct { work, tiles, v, z, point, fresh, sums });
            }
        });
    }
    unpack(&sums, inner, c_in, c_out, dweight);
}

#[derive(Clone, Copy)]
struct GradientGroups<'a> {
    input: Input<'a>,
    dy: &'a [f32],
    dy_stride: usize,
    columns: usize,
    /// Rows of tiles to a group.
    group: usize,
    rows: usize,
}

impl GradientGroups<'_> {
    fn tiles(&self, group: usize) -> Range<usize> {
        let columns = self.input.grid().columns();
        group * self.group * columns..((group + 1) * self.group).min(self.rows) * columns
    }

    fn v_step(&self) -> usize {
        self.group * self.input.grid().columns() * self.input.inner + GAP
    }

    fn z_step(&self) -> usize {
        self.group * self.input.grid().columns() * self.columns + GAP
    }

    fn v_len(&self) -> usize {
        POINTS * self.v_step()
    }

    fn z_len(&self) -> usize {
        POINTS * self.z_step()
    }
}

/// Both transforms of a group.
struct GradientTransforms<'a> {
    work: GradientGroups<'a>,
    group: usize,
    v: &'a mut [f32],
    z: &'a mut [f32],
}

impl Kernel for GradientTransforms<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { work, group, v, z } = self;
        let tiles = work.tiles(group);
        work.input.tiles(tiles.clone(), v, work.v_step()).run(simd);
        GradientTiles {
            dy: work.dy,
            stride: work.dy_stride,
            grid: work.input.grid(),
            tiles,
            channels: work.columns,
            out: z,
            step: work.z_step(),
        }
        .run(simd);
    }
}

/// `sums += V^T Z` at one point, for one group.
struct GradientProduct<'a> {
    work: GradientGroups<'a>,
    tiles: usize,
    v: &'a [f32],
    z: &'a [f32],
    point: usize,
    fresh: bool,
    sums: &'a mut [f32],
}

impl Kernel for GradientProduct<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (inner, columns) = (self.work.input.inner, self.work.columns);
        let left = Left { data: &self.v[self.point * self.work.v_step()..], row: 1, step: inner };
        let right = Right::Rows(&self.z[self.point * self.work.z_step()..], columns);
        let start = if self.fresh { Start::Zero } else { Start::Output };
        product(simd, [inner, columns, self.tiles], left, right, start, self.sums, columns);
    }
}

/// All of the work for some groups, one after another.
struct GradientChunk<'a> {
    work: GradientGroups<'a>,
    groups: Range<usize>,
    sums: &'a mut [f32],
}

impl Kernel for GradientChunk<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { work, groups, sums } = self;
        let mut v = Scratch::take(work.v_len());
        let mut z = Scratch::take(work.z_len());
        let first = groups.start;
        for group in groups {
            GradientTransforms { work, group, v: &mut v, z: &mut z }.run(simd);
            let (tiles, fresh) = (work.tiles(group).len(), group == first);
            for (point, sums) in sums.chunks_mut(work.input.inner * work.columns).enumerate() {
                GradientProduct { work, tiles, v: &v, z: &z, point, fresh, sums }.run(simd);
            }
        }
    }
}

/// `dweight = G^T sums G`, `sums [point][inner][columns]`.
fn unpack(sums: &[f32], inner: usize, c_in: Channels, c_out: Channels, dweight: &mut [f32]) {
    // A piece of work takes the filters of one vector of output channels, which lie together.
    let lanes = crate::simd::Level::best().tile().0;
    let filters = lanes.min(c_out.each) * c_in.real() * 9;
    for_each_chunk_mut(dweight, filters, |i, dweight| {
        dispatch(Unpack { sums, inner, c_in, columns: c_out.padded(), first: i * lanes, dweight });
    });
}

struct Unpack<'a> {
    sums: &'a [f32],
    inner: usize,
    c_in: Channels,
    columns: usize,
    /// The first output channel.
    first: usize,
    dweight: &'a mut [f32],
}

impl Kernel for Unpack<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let c_in = self.c_in.real();
        let count = self.dweight.len() / (9 * c_in);
        let mut lanes = [0.0; 9 * 16];
        for i in 0..self.inner {
            let Some(channel) = self.c_in.at(i) else { continue };
            let sum = |point: usize| {
                simd.load(&self.sums[(point * self.inner + i) * self.columns + self.first..])
            };
            let mut half = [[simd.splat(0.0); SIDE]; 3];
            for b in 0..SIDE {
                let u = core::array::from_fn(|a| sum(a * SIDE + b));
                let g = filter_gradient(simd, u);
                for a in 0..3 {
                    half[a][b] = g[a];
                }
            }
            for a in 0..3 {
                let g = filter_gradient(simd, half[a]);
                for b in 0..3 {
                    simd.store(g[b], &mut lanes[(3 * a + b) * S::LANES..]);
                }
            }
            for l in 0..count {
                for t in 0..9 {
                    self.dweight[(l * c_in + channel) * 9 + t] = lanes[t * S::LANES + l];
                }
            }
        }
    }
}
