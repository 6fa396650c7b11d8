// What shared/conv_tile.wgsl leaves of a tile's sums where this file is included before it: mean, and squares of differences from
// it, of each cell of CELL x CELL pixels. The including op says what `CELL` and `cell_size` are; the pass, where the sums go:
//   store_cell(sample, out, y, x, mean, squares)     y and x of the cell's first pixel
//
// A cell is 16 lanes, 8 columns and two lots of ROWS rows, so a workgroup has 8 cells, some of which may differ in nothing but
// channels. Four channels at a time, a lane leaves one number for each, and 32 lanes add up a channel of a cell each.
const CELLS: u32 = WORKGROUP / 16u;
// Where sums lie in `input_tile`, which nobody reads any more: nine places for eight lanes, against bank conflicts.
const LANES_STRIDE: u32 = WORKGROUP / 8u * 9u;
const CELL_MEANS: u32 = 4u * LANES_STRIDE;

// The bits of a lane: three of the column, one of the cell across, one of the rows; the others say which cell too.
fn cell_of(lane: u32) -> u32 {
    return lane / 8u % 2u + lane / 32u * 2u;
}

fn leave_for_cell(lane: u32, sums: vec4<f32>) {
    let at = lane / 8u * 9u + lane % 8u;
    input_tile[at] = sums.x;
    input_tile[LANES_STRIDE + at] = sums.y;
    input_tile[2u * LANES_STRIDE + at] = sums.z;
    input_tile[3u * LANES_STRIDE + at] = sums.w;
}

fn sum_of_cell(first_lane: u32, channel: u32) -> f32 {
    let at = channel * LANES_STRIDE + first_lane / 8u * 9u;
    var sum = 0.0;
    for (var column = 0u; column < 8u; column += 1u) {
        // Two times eight lanes further are the other rows.
        sum += input_tile[at + column] + input_tile[at + 18u + column];
    }
    return sum;
}

// Of four of a lane's eight channels; `first_out` is the first of them in the first lot of lanes, and r0 to r3 are the lane's rows.
fn four_statistics(
    lane: u32,
    sample: u32,
    first_out: u32,
    y0: u32,
    x0: u32,
    r0: vec4<f32>,
    r1: vec4<f32>,
    r2: vec4<f32>,
    r3: vec4<f32>,
) {
    let x = x0 + lane % TILE_W;
    let y = y0 + lane / TILE_W % (TILE_H / ROWS) * ROWS;
    let rows = select(0u, params.h - min(y, params.h), x < params.w);
    var sum = vec4<f32>();
    if rows > 0u { sum += r0; }
    if rows > 1u { sum += r1; }
    if rows > 2u { sum += r2; }
    if rows > 3u { sum += r3; }
    workgroupBarrier();
    leave_for_cell(lane, sum);
    workgroupBarrier();

    // What the first 32 lanes add up.
    let channel = lane / CELLS;
    let first_lane = lane % 2u * 8u + lane % CELLS / 2u * 32u;
    let cell_x = x0 + first_lane % TILE_W;
    let cell_y = y0 + first_lane / TILE_W % (TILE_H / ROWS) * ROWS;
    let size = cell_size(cell_x, cell_y);
    var average = 0.0;
    if lane < 4u * CELLS {
        average = sum_of_cell(first_lane, channel) / f32(max(size.x * size.y, 1u));
        input_tile[CELL_MEANS + lane] = average;
    }
    workgroupBarrier();

    let at = CELL_MEANS + cell_of(lane);
    let centre = vec4(
        input_tile[at],
        input_tile[at + CELLS],
        input_tile[at + 2u * CELLS],
        input_tile[at + 3u * CELLS],
    );
    var squares = vec4<f32>();
    if rows > 0u { squares += (r0 - centre) * (r0 - centre); }
    if rows > 1u { squares += (r1 - centre) * (r1 - centre); }
    if rows > 2u { squares += (r2 - centre) * (r2 - centre); }
    if rows > 3u { squares += (r3 - centre) * (r3 - centre); }
    leave_for_cell(lane, squares);
    workgroupBarrier();
    let out = first_out + first_lane / (TILE_W * TILE_H / ROWS) * 8u + channel;
    if lane < 4u * CELLS && out < channels_out() && size.x * size.y > 0u {
        store_cell(sample, out, cell_y, cell_x, average, sum_of_cell(first_lane, channel));
    }
}

fn tile_statistics(lane: u32, sample: u32, first_out: u32, y0: u32, x0: u32, sums: Sums) {
    four_statistics(lane, sample, first_out, y0, x0, sums.a0, sums.a1, sums.a2, sums.a3);
    four_statistics(lane, sample, first_out + 4u, y0, x0, sums.b0, sums.b1, sums.b2, sums.b3);
}
