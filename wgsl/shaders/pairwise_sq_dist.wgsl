// pairwise_sq_dist: |a_i - b_j|^2 for all rows of a and b.
//!include shared/linear.wgsl
//!include shared/sq_dist_tile.wgsl

struct Params {
    rows_a: u32,
    rows_b: u32,
    dim: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

//!pass forward
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> sq_dist: array<f32>;

fn row_count() -> u32 { return params.rows_a; }
fn column_count() -> u32 { return params.rows_b; }
fn row_at(index: u32) -> f32 { return a[index]; }
fn column_at(index: u32) -> f32 { return b[index]; }

var<workgroup> inaccurate: atomic<u32>;
var<workgroup> is_inaccurate: u32;

// How many distances of a row are not accurate and will be stored.
fn count_inaccurate(row: u32, column: u32, sq_dist: vec4<f32>, norms: vec4<f32>) -> u32 {
    var count = 0u;
    for (var j = 0u; j < 4u; j += 1u) {
        let exists = row < params.rows_a && column + j < params.rows_b;
        count += u32(exists && !is_accurate(sq_dist[j], norms[j]));
    }
    return count;
}

// Whether products are accurate in the whole tile.
fn all_accurate(lane: u32, row: u32, column: u32, tile: Tile) -> bool {
    let count = count_inaccurate(row, column, tile.sq_dist[0], tile.norms[0])
        + count_inaccurate(row + ROW_LANES, column, tile.sq_dist[1], tile.norms[1])
        + count_inaccurate(row + 2u * ROW_LANES, column, tile.sq_dist[2], tile.norms[2])
        + count_inaccurate(row + 3u * ROW_LANES, column, tile.sq_dist[3], tile.norms[3]);
    if count > 0u {
        atomicAdd(&inaccurate, count);
    }
    workgroupBarrier();
    if lane == 0u {
        is_inaccurate = atomicLoad(&inaccurate);
    }
    return workgroupUniformLoad(&is_inaccurate) == 0u;
}

fn store(row: u32, column: u32, values: vec4<f32>) {
    for (var j = 0u; j < 4u; j += 1u) {
        if row < params.rows_a && column + j < params.rows_b {
            sq_dist[row * params.rows_b + column + j] = values[j];
        }
    }
}

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tiles = (params.rows_b + TILE_COLUMNS - 1u) / TILE_COLUMNS;
    let index = linear_group(group, groups);
    let first_row = index / tiles * TILE_ROWS;
    let first_column = index % tiles * TILE_COLUMNS;
    if first_row >= params.rows_a {
        return;
    }
    let row = first_row + lane / COLUMN_LANES;
    let column = first_column + lane % COLUMN_LANES * 4u;
    let is_direct = params.dim < LEAST_DIM;
    var tile = sq_dist_tile(lane, first_row, first_column, is_direct);
    if !is_direct {
        if !all_accurate(lane, row, column, tile) {
            tile = sq_dist_tile(lane, first_row, first_column, true);
        }
    }
    store(row, column, tile.sq_dist[0]);
    store(row + ROW_LANES, column, tile.sq_dist[1]);
    store(row + 2u * ROW_LANES, column, tile.sq_dist[2]);
    store(row + 3u * ROW_LANES, column, tile.sq_dist[3]);
}
