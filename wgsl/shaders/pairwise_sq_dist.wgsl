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

fn store(row: u32, column: u32, value: f32) {
    if row < params.rows_a && column < params.rows_b {
        sq_dist[row * params.rows_b + column] = value;
    }
}

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tiles = (params.rows_b + TILE - 1u) / TILE;
    let index = linear_group(group, groups);
    let first_row = index / tiles * TILE;
    let first_column = index % tiles * TILE;
    if first_row >= params.rows_a {
        return;
    }
    let distances = sq_dist_tile(lane, first_row, first_column);
    let row = first_row + lane / HALF;
    let column = first_column + lane % HALF;
    store(row, column, distances.x);
    store(row, column + HALF, distances.y);
    store(row + HALF, column, distances.z);
    store(row + HALF, column + HALF, distances.w);
}
