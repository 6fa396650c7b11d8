// min_sq_dist: the nearest center of each point and its squared distance.
//!include shared/linear.wgsl
//!include shared/nearest.wgsl

struct Params {
    rows: u32,
    centers: u32,
    dim: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

//!pass forward
@group(0) @binding(1) var<storage, read> points: array<f32>;
@group(0) @binding(2) var<storage, read> centers: array<f32>;
@group(0) @binding(3) var<storage, read_write> sq_dist: array<f32>;
@group(0) @binding(4) var<storage, read_write> index: array<u32>;

fn row_count() -> u32 { return params.rows; }
fn column_count() -> u32 { return params.centers; }
fn row_at(i: u32) -> f32 { return points[i]; }
fn column_at(i: u32) -> f32 { return centers[i]; }

fn store_nearest(row: u32, column: u32, distance: f32) {
    sq_dist[row] = distance;
    index[row] = column;
}

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first_row = linear_group(group, groups) * TILE_ROWS;
    if first_row >= params.rows {
        return;
    }
    nearest_tile(lane, first_row);
}
