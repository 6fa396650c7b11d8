// shared/tile_statistics.wgsl for Winograd's tiles.
//
// A lane leaves mean, and squares of differences from it, of each of its four channels' 2 x 2 pixels; then a lane for each cell of a
// channel joins those of 16 lanes beside each other.

// Pixels of a tile that exist, across and down: 0, 1 or 2 each.
fn pixels_of(cell_size: vec2<u32>, tile: u32) -> vec2<u32> {
    let begin = vec2(tile % 4u, tile / 4u % 4u) * 2u;
    return min(cell_size - min(begin, cell_size), vec2(2u));
}

// Mean and squares of one channel.
fn mean_and_squares(pixels: vec4<f32>, exists: vec4<bool>, count: f32) -> vec2<f32> {
    let average = dot(select(vec4<f32>(), pixels, exists), vec4(1.0)) / max(count, 1.0);
    let differences = select(vec4<f32>(), pixels - average, exists);
    return vec2(average, dot(differences, differences));
}

fn tile_statistics(
    lane: u32,
    first_out: u32,
    first_cell: u32,
    c0: vec4<f32>,
    c1: vec4<f32>,
    c2: vec4<f32>,
    c3: vec4<f32>,
) {
    let tile = tile_of(lane);
    let cell = cell_at(first_cell + tile / 16u);
    let size = pixels_of(cell_size(cell.x, cell.y), tile);
    let exists = vec4(size.y > 0u) & vec4(size.x > 0u, size.x > 1u, size.x > 0u, size.x > 1u)
        & vec4(true, true, size.y > 1u, size.y > 1u);
    let count = f32(size.x * size.y);
    let s0 = mean_and_squares(c0, exists, count);
    let s1 = mean_and_squares(c1, exists, count);
    let s2 = mean_and_squares(c2, exists, count);
    let s3 = mean_and_squares(c3, exists, count);
    // Products of other lanes are still being read there.
    workgroupBarrier();
    input_points[lane] = vec4(s0.x, s1.x, s2.x, s3.x);
    input_points[WORKGROUP + lane] = vec4(s0.y, s1.y, s2.y, s3.y);
    workgroupBarrier();
    if lane < TILE_OUT * TILE_CELLS {
        join_tiles(lane / 4u * 16u, lane % 4u, first_out, first_cell);
    }
}

// Joins a channel of 16 lanes.
fn join_tiles(first_lane: u32, channel: u32, first_out: u32, first_cell: u32) {
    let cell = cell_at(first_cell + tile_of(first_lane) / 16u);
    let out = first_out + first_out_of(first_lane) + channel;
    let size = cell_size(cell.x, cell.y);
    if cell.sample >= params.n || out >= channels_out() {
        return;
    }
    var sum = 0.0;
    for (var i = 0u; i < 16u; i += 1u) {
        let tile = (i + first_lane / 16u) % 16u;
        let pixels = pixels_of(size, tile);
        sum += f32(pixels.x * pixels.y) * input_points[first_lane + tile][channel];
    }
    let average = sum / f32(size.x * size.y);
    var squares = 0.0;
    for (var i = 0u; i < 16u; i += 1u) {
        // Each group of lanes begins elsewhere, against bank conflicts.
        let tile = (i + first_lane / 16u) % 16u;
        let pixels = pixels_of(size, tile);
        let difference = input_points[first_lane + tile][channel] - average;
        squares += input_points[WORKGROUP + first_lane + tile][channel];
        squares += f32(pixels.x * pixels.y) * (difference * difference);
    }
    store_cell(cell.sample, out, cell.y, cell.x, average, squares);
}
