//!include shared/linear.wgsl

// shared/conv_tile.wgsl for 3x3 kernels by Winograd's F(2x2, 3x3) (Lavin and Gray, arXiv 1509.09308) at the points 0, 1, -1: 16
// products in place of 36 for four pixels. The including pass says the same.
//
// A workgroup computes TILE_OUT channels of TILE_CELLS cells of 8 x 8 pixels, which are 16 tiles of 2 x 2 each. Cells are counted
// through all samples, so that small maps leave no lane idle. Pixels and filters are transformed when they are staged; then there is
// a product of matrices at each of the 16 points, of which a lane computes 8 channels by 8 tiles: four vectors of four from
// workgroup memory for 64 multiply-adds.
//!const TILE_OUT 32 16
const POINTS: u32 = 16u;
const CELL_SIDE: u32 = 8u;
const TILE_CELLS: u32 = 2u;
const CHUNK_IN: u32 = 4u;
// Lots of 8 channels, in halves of four: those of the first half of TILE_OUT, and those of the second.
const EIGHTS: u32 = TILE_OUT / 8u;
const HALF_OUT: u32 = TILE_OUT / 2u;
const WORKGROUP: u32 = POINTS * EIGHTS * 4u;
// Four tiles beside each other: a row of tiles of a cell.
const QUADS: u32 = TILE_CELLS * 4u;
const TILES: u32 = QUADS * 4u;
// Lanes that stage inputs, and those that stage filters: the same ones where there are not enough.
const INPUT_LANES: u32 = CHUNK_IN * 4u * QUADS;
const FILTER_LANES: u32 = CHUNK_IN * TILE_OUT;
const FIRST_FILTER_LANE: u32 = WORKGROUP - FILTER_LANES;

// By channel of the chunk, point, and quad or channel out; afterwards products, by point, eight, and quad or tile.
var<workgroup> input_points: array<vec4<f32>, CHUNK_IN * POINTS * QUADS>;
var<workgroup> filter_points: array<f32, CHUNK_IN * POINTS * TILE_OUT>;

// Sums of a lane at its point: a digit for each channel out; `a` and `b` are quads.
struct Sums {
    a0: vec4<f32>, a1: vec4<f32>, a2: vec4<f32>, a3: vec4<f32>,
    a4: vec4<f32>, a5: vec4<f32>, a6: vec4<f32>, a7: vec4<f32>,
    b0: vec4<f32>, b1: vec4<f32>, b2: vec4<f32>, b3: vec4<f32>,
    b4: vec4<f32>, b5: vec4<f32>, b6: vec4<f32>, b7: vec4<f32>,
}

// Sample, row and column of a cell's first pixel.
struct Cell { sample: u32, y: u32, x: u32 }

fn cells_across() -> u32 { return (params.w + CELL_SIDE - 1u) / CELL_SIDE; }
fn cells_down() -> u32 { return (params.h + CELL_SIDE - 1u) / CELL_SIDE; }

fn cell_at(index: u32) -> Cell {
    let across = cells_across();
    let down = cells_down();
    let y = index / across % down * CELL_SIDE;
    return Cell(index / (across * down), y, index % across * CELL_SIDE);
}

// What a lane stages of each chunk: one row of points of four tiles, which needs two rows of ten pixels.
struct Strip {
    sample: u32,
    // The first column, one before the tiles'; before the image it wraps to no column.
    x: u32,
    // Where the two rows begin in a plane, and by what they are multiplied.
    rows: vec2<u32>,
    factors: vec2<f32>,
}

fn strip_of(lane: u32, first_cell: u32) -> Strip {
    let quad = lane % QUADS;
    let point_row = lane / QUADS % 4u;
    let cell = cell_at(first_cell + quad / 4u);
    // Rows of points are 0 - 2, 1 + 2, 2 - 1 and 1 - 3 of the four rows of pixels.
    let first = select(select(1u, 2u, point_row == 2u), 0u, point_row == 0u);
    let second = select(select(2u, 1u, point_row == 2u), 3u, point_row == 3u);
    let y = vec2(cell.y + quad % 4u * 2u - 1u) + vec2(first, second);
    let sign = vec2(1.0, select(-1.0, 1.0, point_row == 1u));
    let exists = y < vec2(params.h) & vec2(cell.sample < params.n);
    let rows = select(vec2<u32>(), y * params.w, exists);
    return Strip(cell.sample, cell.x - 1u, rows, select(vec2<f32>(), sign, exists));
}

// Column `i` of the strip: one number of four to be transformed along the rows.
fn strip_at(strip: Strip, at: vec2<u32>, factors: vec2<f32>, i: u32) -> f32 {
    // What does not exist reads another column and is not used.
    let x = strip.x + i;
    let column = min(x, params.w - 1u);
    let value = factors.x * input_at(at.x + column) + factors.y * input_at(at.y + column);
    return select(0.0, value, x < params.w);
}

fn stage_inputs(lane: u32, strip: Strip, first_in: u32, end_in: u32) {
    let i = lane / (4u * QUADS);
    let exists = first_in + i < end_in && strip.sample < params.n;
    let plane = input_plane(strip.sample, first_in + i) * params.h * params.w;
    let at = select(vec2<u32>(), strip.rows + plane, vec2(exists));
    let factors = select(vec2<f32>(), strip.factors, vec2(exists));
    let p0 = strip_at(strip, at, factors, 0u);
    let p1 = strip_at(strip, at, factors, 1u);
    let p2 = strip_at(strip, at, factors, 2u);
    let p3 = strip_at(strip, at, factors, 3u);
    let p4 = strip_at(strip, at, factors, 4u);
    let p5 = strip_at(strip, at, factors, 5u);
    let p6 = strip_at(strip, at, factors, 6u);
    let p7 = strip_at(strip, at, factors, 7u);
    let p8 = strip_at(strip, at, factors, 8u);
    let p9 = strip_at(strip, at, factors, 9u);
    // Tiles begin at every second column.
    let c0 = vec4(p0, p2, p4, p6);
    let c1 = vec4(p1, p3, p5, p7);
    let c2 = vec4(p2, p4, p6, p8);
    let c3 = vec4(p3, p5, p7, p9);
    let to = (i * POINTS + lane / QUADS % 4u * 4u) * QUADS + lane % QUADS;
    input_points[to] = c0 - c2;
    input_points[to + QUADS] = c1 + c2;
    input_points[to + 2u * QUADS] = c2 - c1;
    input_points[to + 3u * QUADS] = c1 - c3;
}

// Where a channel out lies among those of a point: halves change places at some points, against bank conflicts.
fn place_of(out: u32, point: u32) -> u32 {
    return out ^ (HALF_OUT * (point / (32u / TILE_OUT) % 2u));
}

// Three taps, or three sums of them, at four points.
fn filter_at_points(a: f32, b: f32, c: f32) -> vec4<f32> {
    let half = 0.5 * (a + c);
    return vec4(a, half + 0.5 * b, half - 0.5 * b, c);
}

fn stage_filters(lane: u32, first_in: u32, end_in: u32, first_out: u32) {
    let i = lane / TILE_OUT;
    let tile_out = lane % TILE_OUT;
    // Channels that are not there have the weights of the last one: they meet zeros, or their sums are never stored.
    let out = min(first_out + tile_out, channels_out() - 1u);
    let in = min(first_in + i, end_in - 1u);
    // A column of taps each.
    let left = filter_at_points(weight_at(out, in, 0u), weight_at(out, in, 3u), weight_at(out, in, 6u));
    let middle = filter_at_points(weight_at(out, in, 1u), weight_at(out, in, 4u), weight_at(out, in, 7u));
    let right = filter_at_points(weight_at(out, in, 2u), weight_at(out, in, 5u), weight_at(out, in, 8u));
    let to = i * POINTS * TILE_OUT;
    leave_filter(to, 0u, tile_out, filter_at_points(left.x, middle.x, right.x));
    leave_filter(to, 4u, tile_out, filter_at_points(left.y, middle.y, right.y));
    leave_filter(to, 8u, tile_out, filter_at_points(left.z, middle.z, right.z));
    leave_filter(to, 12u, tile_out, filter_at_points(left.w, middle.w, right.w));
}

fn leave_filter(to: u32, point: u32, out: u32, row: vec4<f32>) {
    filter_points[to + point * TILE_OUT + place_of(out, point)] = row.x;
    filter_points[to + (point + 1u) * TILE_OUT + place_of(out, point + 1u)] = row.y;
    filter_points[to + (point + 2u) * TILE_OUT + place_of(out, point + 2u)] = row.z;
    filter_points[to + (point + 3u) * TILE_OUT + place_of(out, point + 3u)] = row.w;
}

fn add_channel(sums: ptr<function, Sums>, input: vec2<u32>, filter_: vec2<u32>) {
    let a = input_points[input.x];
    let b = input_points[input.y];
    let f0 = filter_points[filter_.x];
    let f1 = filter_points[filter_.x + 1u];
    let f2 = filter_points[filter_.x + 2u];
    let f3 = filter_points[filter_.x + 3u];
    let f4 = filter_points[filter_.y];
    let f5 = filter_points[filter_.y + 1u];
    let f6 = filter_points[filter_.y + 2u];
    let f7 = filter_points[filter_.y + 3u];
    (*sums).a0 += a * f0;
    (*sums).a1 += a * f1;
    (*sums).a2 += a * f2;
    (*sums).a3 += a * f3;
    (*sums).a4 += a * f4;
    (*sums).a5 += a * f5;
    (*sums).a6 += a * f6;
    (*sums).a7 += a * f7;
    (*sums).b0 += b * f0;
    (*sums).b1 += b * f1;
    (*sums).b2 += b * f2;
    (*sums).b3 += b * f3;
    (*sums).b4 += b * f4;
    (*sums).b5 += b * f5;
    (*sums).b6 += b * f6;
    (*sums).b7 += b * f7;
}

// The tile that a lane makes in the end, and the first of its four channels.
fn tile_of(lane: u32) -> u32 { return lane % TILES; }
fn first_out_of(lane: u32) -> u32 {
    return lane / (TILES * EIGHTS) * HALF_OUT + lane / TILES % EIGHTS * 4u;
}

// Products of one channel of each half of a lane's eight, through workgroup memory: then a lane has all points of one tile. Makes
// and returns its pixels: two above, two below.
fn store_two(
    lane: u32,
    quads: vec2<u32>,
    channel: u32,
    first_out: u32,
    first_cell: u32,
    a_first: vec4<f32>,
    b_first: vec4<f32>,
    a_second: vec4<f32>,
    b_second: vec4<f32>,
) -> vec4<f32> {
    workgroupBarrier();
    let row = lane / 4u;
    input_points[row * QUADS + quads.x] = a_first;
    input_points[row * QUADS + quads.y] = b_first;
    let second = row * TILES + 4u * quads;
    filter_points[second.x] = a_second.x;
    filter_points[second.x + 1u] = a_second.y;
    filter_points[second.x + 2u] = a_second.z;
    filter_points[second.x + 3u] = a_second.w;
    filter_points[second.y] = b_second.x;
    filter_points[second.y + 1u] = b_second.y;
    filter_points[second.y + 2u] = b_second.z;
    filter_points[second.y + 3u] = b_second.w;
    workgroupBarrier();

    let tile = tile_of(lane);
    let eight = lane / TILES % EIGHTS;
    let is_first = lane < TILES * EIGHTS;
    // Sums over the columns of points, for the left and the right pixels; a component for each row of points.
    var left: vec4<f32>;
    var right: vec4<f32>;
    for (var i = 0u; i < 4u; i += 1u) {
        var p: vec4<f32>;
        if is_first {
            let at = (4u * i * EIGHTS + eight) * QUADS + tile / 4u;
            p = vec4(
                input_points[at][tile % 4u],
                input_points[at + EIGHTS * QUADS][tile % 4u],
                input_points[at + 2u * EIGHTS * QUADS][tile % 4u],
                input_points[at + 3u * EIGHTS * QUADS][tile % 4u],
            );
        } else {
            let at = (4u * i * EIGHTS + eight) * TILES + tile;
            p = vec4(
                filter_points[at],
                filter_points[at + EIGHTS * TILES],
                filter_points[at + 2u * EIGHTS * TILES],
                filter_points[at + 3u * EIGHTS * TILES],
            );
        }
        left[i] = p.x + p.y + p.z;
        right[i] = p.y - p.z - p.w;
    }
    // Left and right of each row.
    let l = vec2(left.x + left.y + left.z, left.y - left.z - left.w);
    let r = vec2(right.x + right.y + right.z, right.y - right.z - right.w);
    let pixels = vec4(l.x, r.x, l.y, r.y);
    store_pixels(first_cell, tile, first_out + first_out_of(lane) + channel, pixels);
    return pixels;
}

fn store_pixels(first_cell: u32, tile: u32, out: u32, pixels: vec4<f32>) {
    let cell = cell_at(first_cell + tile / 16u);
    let y = cell.y + tile / 4u % 4u * 2u;
    let x = cell.x + tile % 4u * 2u;
    if cell.sample >= params.n || out >= channels_out() || x >= params.w {
        return;
    }
    let at = (output_plane(cell.sample, out) * params.h + y) * params.w + x;
    let finish = finish_of(cell.sample, out);
    let values = (pixels - finish.x) * finish.y + finish.z;
    let has_right = x + 1u < params.w;
    if y < params.h {
        store(at, values.x);
        if has_right { store(at + 1u, values.y); }
    }
    if y + 1u < params.h {
        store(at + params.w, values.z);
        if has_right { store(at + params.w + 1u, values.w); }
    }
}

// Tiles of all samples.
fn tile_count() -> u32 {
    let cells = params.n * cells_down() * cells_across();
    let tiles_out = (channels_out() + TILE_OUT - 1u) / TILE_OUT;
    return (cells + TILE_CELLS - 1u) / TILE_CELLS * tiles_out;
}

// One tile, summed over the input channels from `begin_in` to before `end_in`.
fn conv_tile(group: u32, lane: u32, begin_in: u32, end_in: u32) {
    if group >= tile_count() {
        return;
    }
    let tiles_out = (channels_out() + TILE_OUT - 1u) / TILE_OUT;
    // Channels vary fastest: neighbouring workgroups read the same inputs.
    let first_out = group % tiles_out * TILE_OUT;
    let first_cell = group / tiles_out * TILE_CELLS;
    let strip = strip_of(lane % INPUT_LANES, first_cell);

    let point = lane / (4u * EIGHTS);
    let four = lane / 4u % EIGHTS * 4u;
    // At every second point the two quads change places, against bank conflicts.
    let first_quad = lane % 4u + point % 2u * 4u;
    let quads = vec2(first_quad, first_quad ^ 4u);
    let input = vec2(point * QUADS) + quads;
    let filter_ = vec2(
        point * TILE_OUT + place_of(four, point),
        point * TILE_OUT + place_of(four + HALF_OUT, point),
    );
    var sums = Sums();
    for (var first_in = begin_in; first_in < end_in; first_in += CHUNK_IN) {
        workgroupBarrier();
        if lane < INPUT_LANES {
            stage_inputs(lane, strip, first_in, end_in);
        }
        if lane >= FIRST_FILTER_LANE {
            stage_filters(lane - FIRST_FILTER_LANE, first_in, end_in, first_out);
        }
        workgroupBarrier();
        for (var i = 0u; i < CHUNK_IN; i += 1u) {
            add_channel(&sums, input + i * POINTS * QUADS, filter_ + i * POINTS * TILE_OUT);
        }
    }

    // By channel of a lane's four.
    let c0 = store_two(lane, quads, 0u, first_out, first_cell, sums.a0, sums.b0, sums.a4, sums.b4);
    let c1 = store_two(lane, quads, 1u, first_out, first_cell, sums.a1, sums.b1, sums.a5, sums.b5);
    let c2 = store_two(lane, quads, 2u, first_out, first_cell, sums.a2, sums.b2, sums.a6, sums.b6);
    let c3 = store_two(lane, quads, 3u, first_out, first_cell, sums.a3, sums.b3, sums.a7, sums.b7);
    //!with shared/tile_statistics.wgsl tile_statistics(lane, first_out, first_cell, c0, c1, c2, c3);
}
