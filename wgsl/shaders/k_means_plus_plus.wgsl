// k_means_plus_plus: measure: what each candidate would leave of the points' distances; draw: the best candidate becomes a centroid,
// and the next ones are drawn by the distances that it leaves.
//!include shared/linear.wgsl

struct Params {
    rows: u32,
    k: u32,
    dim: u32,
    trials: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

// Points whose distances are summed together.
const BLOCK: u32 = 64u;
const MAX_TRIALS: u32 = 16u;
const WORKGROUP: u32 = 256u;

//!pass measure
@group(0) @binding(1) var<storage, read> points: array<f32>;
@group(0) @binding(2) var<storage, read> drawn: array<u32>;
@group(0) @binding(3) var<storage, read> best: array<u32>;
@group(0) @binding(4) var<storage, read_write> nearest: array<f32>;
@group(0) @binding(5) var<storage, read_write> trial_sq_dist: array<f32>;
@group(0) @binding(6) var<storage, read_write> left: array<f32>;

// Neighbouring lanes share rows, so that they read neighbouring coordinates.
const LANES: u32 = 16u;
// Candidates measured at a time.
const TRIALS: u32 = 4u;

var<workgroup> lane_sums: array<vec4<f32>, WORKGROUP>;
var<workgroup> terms: array<f32, TRIALS * BLOCK>;

// Where a row begins; past the last row, the last.
fn row_start(row: u32) -> u32 {
    return min(row, params.rows - 1u) * params.dim;
}

fn candidate_start(t: u32) -> u32 {
    return row_start(drawn[min(t, params.trials - 1u)]);
}

// Joins what the lanes hold of four rows each. Lane i < BLOCK gets the sum of row i.
fn row_sum(lane: u32, sums: vec4<f32>) -> f32 {
    // What the call before left may still be read.
    workgroupBarrier();
    lane_sums[lane] = sums;
    workgroupBarrier();
    var sum = 0.0;
    if lane < BLOCK {
        for (var i = 0u; i < LANES; i += 1u) {
            sum += lane_sums[lane % LANES * LANES + i][lane / LANES];
        }
    }
    return sum;
}

fn store(lane: u32, row: u32, t: u32, near: f32, sq_dist: f32) {
    if lane < BLOCK {
        let exists = row < params.rows;
        if exists && t < params.trials {
            trial_sq_dist[t * params.rows + row] = sq_dist;
        }
        terms[t % TRIALS * BLOCK + lane] = select(0.0, min(near, sq_dist), exists);
    }
}

@compute @workgroup_size(WORKGROUP)
fn measure(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = linear_group(group, groups);
    let blocks = (params.rows - 1u) / BLOCK + 1u;
    if block >= blocks {
        return;
    }
    // The row whose distances a lane stores.
    let own = block * BLOCK + lane;
    var near = 0.0;
    if lane < BLOCK && own < params.rows {
        near = min(nearest[own], trial_sq_dist[min(best[0], params.trials - 1u) * params.rows + own]);
        nearest[own] = near;
    }
    // Rows of the block that a lane measures.
    let row = block * BLOCK + lane / LANES;
    let a = vec4(row_start(row), row_start(row + 16u), row_start(row + 32u), row_start(row + 48u));
    for (var t = 0u; t < params.trials; t += TRIALS) {
        let b = vec4(candidate_start(t), candidate_start(t + 1u), candidate_start(t + 2u), candidate_start(t + 3u));
        var s0 = vec4<f32>();
        var s1 = vec4<f32>();
        var s2 = vec4<f32>();
        var s3 = vec4<f32>();
        for (var d = lane % LANES; d < params.dim; d += LANES) {
            let x = vec4(points[a.x + d], points[a.y + d], points[a.z + d], points[a.w + d]);
            let e0 = x - points[b.x + d];
            let e1 = x - points[b.y + d];
            let e2 = x - points[b.z + d];
            let e3 = x - points[b.w + d];
            s0 += e0 * e0;
            s1 += e1 * e1;
            s2 += e2 * e2;
            s3 += e3 * e3;
        }
        store(lane, own, t, near, row_sum(lane, s0));
        store(lane, own, t + 1u, near, row_sum(lane, s1));
        store(lane, own, t + 2u, near, row_sum(lane, s2));
        store(lane, own, t + 3u, near, row_sum(lane, s3));
        workgroupBarrier();
        if lane < TRIALS && t + lane < params.trials {
            var sum = 0.0;
            for (var i = 0u; i < BLOCK; i += 1u) {
                sum += terms[lane * BLOCK + i];
            }
            left[(t + lane) * blocks + block] = sum;
        }
    }
}

//!pass draw
@group(0) @binding(1) var<storage, read> nearest: array<f32>;
@group(0) @binding(2) var<storage, read> trial_sq_dist: array<f32>;
@group(0) @binding(3) var<storage, read> left: array<f32>;
@group(0) @binding(4) var<storage, read> uniforms: array<f32>;
@group(0) @binding(5) var<storage, read_write> best: array<u32>;
@group(0) @binding(6) var<storage, read_write> drawn: array<u32>;
@group(0) @binding(7) var<storage, read_write> picks: array<u32>;

// Running sums by groups of lanes, by lanes, each of which sums neighbouring blocks, by blocks and by rows: few roundings.
const GROUPS: u32 = 16u;
const GROUP_LANES: u32 = WORKGROUP / GROUPS;
// Candidates whose rows are looked through at a time.
const TRIALS: u32 = WORKGROUP / BLOCK;

var<workgroup> group_sums: array<f32, GROUPS>;
var<workgroup> lane_sums: array<f32, WORKGROUP>;
var<workgroup> row_terms: array<f32, WORKGROUP>;

struct Found {
    index: u32,
    // What the terms before leave of the goal.
    rest: f32,
}

var<workgroup> found_blocks: array<Found, MAX_TRIALS>;

fn block_count() -> u32 {
    return (params.rows - 1u) / BLOCK + 1u;
}

// Blocks that a lane sums.
fn share() -> u32 {
    return (block_count() - 1u) / WORKGROUP + 1u;
}

// What a candidate leaves, whose running sums stay in workgroup memory.
fn sum_left(lane: u32, t: u32) -> f32 {
    let end = min((lane + 1u) * share(), block_count());
    var sum = 0.0;
    for (var b = lane * share(); b < end; b += 1u) {
        sum += left[t * block_count() + b];
    }
    // What the call before left may still be read.
    workgroupBarrier();
    lane_sums[lane] = sum;
    workgroupBarrier();
    if lane < GROUPS {
        sum = 0.0;
        for (var i = 0u; i < GROUP_LANES; i += 1u) {
            sum += lane_sums[lane * GROUP_LANES + i];
        }
        group_sums[lane] = sum;
    }
    workgroupBarrier();
    sum = 0.0;
    for (var i = 0u; i < GROUPS; i += 1u) {
        sum += group_sums[i];
    }
    return sum;
}

const BY_GROUP: u32 = 0u;
const BY_LANE: u32 = 1u;
const BY_BLOCK: u32 = 2u;
const BY_ROW: u32 = 3u;

fn term(level: u32, i: u32, t: u32) -> f32 {
    switch level {
        case BY_GROUP: { return group_sums[i]; }
        case BY_LANE: { return lane_sums[i]; }
        case BY_BLOCK: { return left[t * block_count() + i]; }
        default: { return row_terms[i]; }
    }
}

// The first term at which the running sum exceeds the goal, or the last that is not zero, or the first.
fn locate(level: u32, t: u32, first: u32, end: u32, goal: f32) -> Found {
    var found = Found(first, goal);
    var before = 0.0;
    for (var i = first; i < end; i += 1u) {
        let next = term(level, i, t);
        if next > 0.0 {
            found = Found(i, goal - before);
            before += next;
            if before > goal {
                break;
            }
        }
    }
    return found;
}

@compute @workgroup_size(WORKGROUP)
fn draw(@builtin(local_invocation_index) lane: u32) {
    // Every lane comes to the same choice.
    var chosen = 0u;
    var least = 0.0;
    for (var t = 0u; t < params.trials; t += 1u) {
        let sum = sum_left(lane, t);
        if t == 0u || sum < least {
            chosen = t;
            least = sum;
        }
    }
    let total = sum_left(lane, chosen);
    let round = picks[0];
    let is_open = round < params.k;
    let pick = drawn[chosen];
    if lane < params.trials && lane < MAX_TRIALS {
        let goal = uniforms[min(round, params.k - 1u) * params.trials + lane] * total;
        var found = locate(BY_GROUP, chosen, 0u, GROUPS, goal);
        let first_lane = found.index * GROUP_LANES;
        found = locate(BY_LANE, chosen, first_lane, first_lane + GROUP_LANES, found.rest);
        let first = found.index * share();
        found_blocks[lane] = locate(BY_BLOCK, chosen, first, min(first + share(), block_count()), found.rest);
    }
    for (var t = 0u; t < params.trials; t += TRIALS) {
        workgroupBarrier();
        let trial = t + lane / BLOCK;
        let found = found_blocks[min(trial, MAX_TRIALS - 1u)];
        let row = found.index * BLOCK + lane % BLOCK;
        var value = 0.0;
        if trial < params.trials && row < params.rows {
            value = min(nearest[row], trial_sq_dist[chosen * params.rows + row]);
        }
        row_terms[lane] = value;
        workgroupBarrier();
        if lane % BLOCK == 0u && trial < params.trials && is_open {
            let of_block = locate(BY_ROW, chosen, lane, lane + BLOCK, found.rest);
            drawn[trial] = found.index * BLOCK + of_block.index - lane;
        }
    }
    if lane == 0u && is_open {
        best[0] = chosen;
        picks[1u + round] = pick;
        picks[0] = round + 1u;
    }
}
