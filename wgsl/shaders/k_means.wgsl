// k_means: Lloyd's two steps. assign: each point to its nearest centroid; update: each centroid to its points' mean.
// check_convergence says in `state` whether they are needed once more; where they are not, they do nothing.
//!include shared/linear.wgsl

struct Params {
    rows: u32,
    k: u32,
    dim: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

//!pass assign
//!include shared/nearest.wgsl
@group(0) @binding(1) var<storage, read> points: array<f32>;
@group(0) @binding(2) var<storage, read> centroids: array<f32>;
@group(0) @binding(3) var<storage, read> state: array<u32>;
@group(0) @binding(4) var<storage, read_write> assignment: array<u32>;
@group(0) @binding(5) var<storage, read_write> sq_dist: array<f32>;
@group(0) @binding(6) var<storage, read_write> changes: array<u32>;

// Changes are counted by fewer points than a tile of distances has.
const TILE: u32 = 32u;
// Whether each row has changed its cluster.
var<workgroup> row_changes: array<u32, TILE_ROWS>;

fn row_count() -> u32 { return params.rows; }
fn column_count() -> u32 { return params.k; }
fn row_at(i: u32) -> f32 { return points[i]; }
fn column_at(i: u32) -> f32 { return centroids[i]; }

fn store_nearest(row: u32, column: u32, distance: f32) {
    row_changes[row % TILE_ROWS] = u32(assignment[row] != column);
    assignment[row] = column;
    sq_dist[row] = distance;
}

@compute @workgroup_size(WORKGROUP)
fn assign(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first_row = linear_group(group, groups) * TILE_ROWS;
    if first_row >= params.rows || state[1] != 0u {
        return;
    }
    nearest_tile(lane, first_row);
    workgroupBarrier();
    let first = first_row + lane * TILE;
    if lane < TILE_ROWS / TILE && first < params.rows {
        var count = 0u;
        for (var i = 0u; i < min(TILE, params.rows - first); i += 1u) {
            count += row_changes[lane * TILE + i];
        }
        changes[first / TILE] = count;
    }
}

//!pass update
@group(0) @binding(1) var<storage, read> points: array<f32>;
@group(0) @binding(2) var<storage, read> assignment: array<u32>;
@group(0) @binding(3) var<storage, read> state: array<u32>;
@group(0) @binding(4) var<storage, read_write> centroids: array<f32>;
@group(0) @binding(5) var<storage, read_write> movements: array<f32>;

// A workgroup computes TILE_DIM coordinates of one centroid. A lane sums one coordinate over every SLICES-th point;
// the slices are added at the end, in order.
const TILE_DIM: u32 = 64u;
const SLICES: u32 = 4u;
const WORKGROUP: u32 = TILE_DIM * SLICES;

// Assignments are read once a workgroup, a batch of WORKGROUP points at a time.
var<workgroup> batch: array<u32, WORKGROUP>;
var<workgroup> slice_sums: array<f32, WORKGROUP>;
var<workgroup> slice_counts: array<u32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn update(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tiles = (params.dim + TILE_DIM - 1u) / TILE_DIM;
    let index = linear_group(group, groups);
    let centroid = index / tiles;
    if centroid >= params.k || state[1] != 0u {
        return;
    }
    let slice = lane / TILE_DIM;
    let d = index % tiles * TILE_DIM + lane % TILE_DIM;

    var sum = 0.0;
    var count = 0u;
    for (var first = 0u; first < params.rows; first += WORKGROUP) {
        workgroupBarrier();
        if first + lane < params.rows {
            batch[lane] = assignment[first + lane];
        }
        workgroupBarrier();
        for (var i = slice; i < min(WORKGROUP, params.rows - first); i += SLICES) {
            if batch[i] == centroid {
                count += 1u;
                if d < params.dim {
                    sum += points[(first + i) * params.dim + d];
                }
            }
        }
    }

    slice_sums[lane] = sum;
    slice_counts[lane] = count;
    workgroupBarrier();
    var step = 0.0;
    if lane < TILE_DIM && d < params.dim {
        for (var s = 1u; s < SLICES; s += 1u) {
            sum += slice_sums[s * TILE_DIM + lane];
            count += slice_counts[s * TILE_DIM + lane];
        }
        // An empty cluster keeps its centroid.
        if count > 0u {
            let at = centroid * params.dim + d;
            let mean = sum / f32(count);
            step = mean - centroids[at];
            centroids[at] = mean;
        }
    }

    // The first slice's sums are in nobody's way.
    if lane < TILE_DIM {
        slice_sums[lane] = step * step;
    }
    workgroupBarrier();
    for (var half = TILE_DIM / 2u; half > 0u; half /= 2u) {
        if lane < half {
            slice_sums[lane] += slice_sums[lane + half];
        }
        workgroupBarrier();
    }
    if lane == 0u {
        movements[index] = slice_sums[0];
    }
}

//!pass check_convergence
//!include shared/reduce.wgsl
@group(0) @binding(1) var<storage, read> changes: array<u32>;
@group(0) @binding(2) var<storage, read> movements: array<f32>;
@group(0) @binding(3) var<storage, read> limit: array<f32>;
@group(0) @binding(4) var<storage, read_write> state: array<u32>;

// What the other passes count and sum together.
const TILE: u32 = 32u;
const TILE_DIM: u32 = 64u;

@compute @workgroup_size(WORKGROUP)
fn check_convergence(@builtin(local_invocation_index) lane: u32) {
    // Components: tiles of points with changes, the centroids' movement.
    var sums = vec2<f32>();
    for (var i = lane; i < (params.rows + TILE - 1u) / TILE; i += WORKGROUP) {
        sums.x += f32(changes[i] > 0u);
    }
    let tiles = (params.dim + TILE_DIM - 1u) / TILE_DIM;
    for (var i = lane; i < params.k * tiles; i += WORKGROUP) {
        sums.y += movements[i];
    }
    sums = workgroup_sum(lane, sums);
    if lane == 0u && state[1] == 0u {
        state[0] += 1u;
        state[1] = u32(sums.x == 0.0 || sums.y <= limit[0]);
    }
}
