// k_center_greedy: pick the point that is farthest from all centers, then let it be a center.
//!include shared/linear.wgsl

struct Params {
    rows: u32,
    dim: u32,
    capacity: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

//!pass pick
@group(0) @binding(1) var<storage, read> sq_dist: array<f32>;
@group(0) @binding(2) var<storage, read_write> picks: array<u32>;

const WORKGROUP: u32 = 256u;

struct Farthest {
    row: u32,
    sq_dist: f32,
}

var<workgroup> lane_farthest: array<Farthest, WORKGROUP>;

// The farther of the two; the lower row where they are equally far.
fn farther(a: Farthest, b: Farthest) -> Farthest {
    if b.sq_dist > a.sq_dist || (b.sq_dist == a.sq_dist && b.row < a.row) {
        return b;
    }
    return a;
}

@compute @workgroup_size(WORKGROUP)
fn pick(@builtin(local_invocation_index) lane: u32) {
    // A lane past the last row starts from row 0, which changes nothing.
    let start = select(0u, lane, lane < params.rows);
    var best = Farthest(start, sq_dist[start]);
    for (var row = lane + WORKGROUP; row < params.rows; row += WORKGROUP) {
        best = farther(best, Farthest(row, sq_dist[row]));
    }
    lane_farthest[lane] = best;
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if lane < half {
            lane_farthest[lane] = farther(lane_farthest[lane], lane_farthest[lane + half]);
        }
        workgroupBarrier();
    }
    if lane == 0u {
        let count = picks[0];
        if count < params.capacity {
            picks[1u + count] = lane_farthest[0].row;
            picks[0] = count + 1u;
        }
    }
}

//!pass update
@group(0) @binding(1) var<storage, read> points: array<f32>;
@group(0) @binding(2) var<storage, read> picks: array<u32>;
@group(0) @binding(3) var<storage, read_write> sq_dist: array<f32>;

// Neighbouring lanes share a row, so that they read neighbouring coordinates.
const TILE_ROWS: u32 = 16u;
const LANES: u32 = 16u;
const WORKGROUP: u32 = TILE_ROWS * LANES;

var<workgroup> lane_sums: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn update(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first_row = linear_group(group, groups) * TILE_ROWS;
    let row = first_row + lane / LANES;
    let count = picks[0];
    // Without a pick, or with one that is no row, there is no center: nothing is written.
    let center = picks[min(count, params.capacity)];
    let valid = count > 0u && count <= params.capacity && center < params.rows;

    var sum = 0.0;
    if valid && row < params.rows {
        for (var d = lane % LANES; d < params.dim; d += LANES) {
            let difference = points[row * params.dim + d] - points[center * params.dim + d];
            sum += difference * difference;
        }
    }
    lane_sums[lane] = sum;
    workgroupBarrier();
    let own = first_row + lane;
    if valid && lane < TILE_ROWS && own < params.rows {
        var distance = 0.0;
        for (var i = 0u; i < LANES; i += 1u) {
            distance += lane_sums[lane * LANES + i];
        }
        // A distance below all others: the pick is never picked again.
        sq_dist[own] = select(min(sq_dist[own], distance), -1.0, own == center);
    }
}
