// k_center_greedy: the point that is farthest from all centers becomes one; each block of rows then finds its farthest anew.
//!include shared/linear.wgsl

struct Params {
    rows: u32,
    dim: u32,
    capacity: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

//!pass add_center
@group(0) @binding(1) var<storage, read> points: array<f32>;
@group(0) @binding(2) var<storage, read> far_row: array<u32>;
@group(0) @binding(3) var<storage, read> far_sq_dist: array<f32>;
@group(0) @binding(4) var<storage, read_write> sq_dist: array<f32>;
// Not the buffers that are read: other workgroups may still look for the center there.
@group(0) @binding(5) var<storage, read_write> next_far_row: array<u32>;
@group(0) @binding(6) var<storage, read_write> next_far_sq_dist: array<f32>;
@group(0) @binding(7) var<storage, read_write> picks: array<u32>;

const BLOCKS: u32 = 1024u;
// Neighbouring lanes share a row, so that they read neighbouring coordinates.
const TILE_ROWS: u32 = 16u;
const LANES: u32 = 16u;
const WORKGROUP: u32 = TILE_ROWS * LANES;

struct Farthest {
    row: u32,
    sq_dist: f32,
}

var<workgroup> lane_farthest: array<Farthest, WORKGROUP>;
var<workgroup> group_farthest: array<Farthest, LANES>;
// Tiles take turns, so that the next one may write while this one is read.
var<workgroup> lane_sums: array<f32, 2u * WORKGROUP>;

// The farther of the two; the lower row where they are equally far.
fn farther(a: Farthest, b: Farthest) -> Farthest {
    if b.sq_dist > a.sq_dist || (b.sq_dist == a.sq_dist && b.row < a.row) {
        return b;
    }
    return a;
}

// The center is the farthest of what the call before found. Every workgroup looks for itself, which saves a dispatch; in two
// steps of 16, since a halving would cost more barriers than a tile of rows.
fn find_center(lane: u32, blocks: u32) -> u32 {
    // A lane past the last block starts from block 0, which changes nothing.
    let start = select(0u, lane, lane < blocks);
    var best = Farthest(far_row[start], far_sq_dist[start]);
    for (var block = lane + WORKGROUP; block < blocks; block += WORKGROUP) {
        best = farther(best, Farthest(far_row[block], far_sq_dist[block]));
    }
    lane_farthest[lane] = best;
    workgroupBarrier();
    if lane < LANES {
        for (var i = lane + LANES; i < WORKGROUP; i += LANES) {
            best = farther(best, lane_farthest[i]);
        }
        group_farthest[lane] = best;
    }
    workgroupBarrier();
    if lane == 0u {
        for (var i = 1u; i < LANES; i += 1u) {
            best = farther(best, group_farthest[i]);
        }
        group_farthest[0] = best;
    }
    workgroupBarrier();
    return group_farthest[0].row;
}

@compute @workgroup_size(WORKGROUP)
fn add_center(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block_rows = ((params.rows - 1u) / (BLOCKS * TILE_ROWS) + 1u) * TILE_ROWS;
    let blocks = (params.rows - 1u) / block_rows + 1u;
    let block = linear_group(group, groups);
    if block >= blocks {
        return;
    }
    let center = find_center(lane, blocks);
    // Nothing is written where the center is no row.
    let valid = center < params.rows;

    // Farther than this is every distance, and the -1 of a pick.
    var best = Farthest(0xffffffffu, -2.0);
    let end = min((block + 1u) * block_rows, params.rows);
    for (var first = block * block_rows; first < end; first += TILE_ROWS) {
        let row = first + lane / LANES;
        var sum = 0.0;
        if valid && row < end {
            for (var d = lane % LANES; d < params.dim; d += LANES) {
                let difference = points[row * params.dim + d] - points[center * params.dim + d];
                sum += difference * difference;
            }
        }
        let turn = first / TILE_ROWS % 2u * WORKGROUP;
        lane_sums[turn + lane] = sum;
        workgroupBarrier();
        let own = first + lane;
        if valid && lane < TILE_ROWS && own < end {
            var distance = 0.0;
            for (var i = 0u; i < LANES; i += 1u) {
                distance += lane_sums[turn + lane * LANES + i];
            }
            // A distance below all others: the pick is never picked again.
            distance = select(min(sq_dist[own], distance), -1.0, own == center);
            sq_dist[own] = distance;
            best = farther(best, Farthest(own, distance));
        }
    }

    if lane < TILE_ROWS {
        lane_farthest[lane] = best;
    }
    workgroupBarrier();
    if valid && lane == 0u {
        for (var i = 1u; i < TILE_ROWS; i += 1u) {
            best = farther(best, lane_farthest[i]);
        }
        next_far_row[block] = best.row;
        next_far_sq_dist[block] = best.sq_dist;
        // Only one workgroup touches the picks.
        if block == 0u && picks[0] < params.capacity {
            picks[1u + picks[0]] = center;
            picks[0] += 1u;
        }
    }
}
