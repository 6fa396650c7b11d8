// allclose: where two results differ, by number and place.
//!include shared/linear.wgsl

struct Params {
    len: u32,
    slices: u32,
    atol: f32,
    rtol: f32,
}

@group(0) @binding(0) var<uniform> params: Params;

//!pass count
//!stored got
//!stored want
@group(0) @binding(1) var<storage, read> got: array<stored_got>;
@group(0) @binding(2) var<storage, read> want: array<stored_want>;
@group(0) @binding(3) var<storage, read_write> counts: array<u32>;

const WORKGROUP: u32 = 256u;

// Numbers that are not equal, numbers that are not close, and the first of those, of each lane.
var<workgroup> lane_counts: array<vec3<u32>, WORKGROUP>;

// By its bits: compilers may take all numbers for finite.
fn is_finite(value: f32) -> bool {
    return (bitcast<u32>(value) & 0x7f800000u) != 0x7f800000u;
}

fn joined_counts(a: vec3<u32>, b: vec3<u32>) -> vec3<u32> {
    return vec3(a.xy + b.xy, min(a.z, b.z));
}

@compute @workgroup_size(WORKGROUP)
fn count(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let slice = linear_group(group, groups);
    if slice >= params.slices {
        return;
    }
    let span = (params.len + params.slices - 1u) / params.slices;
    // Empty slices may begin beyond the end.
    let first = min(slice * span, params.len);
    let end = min(first + span, params.len);
    var total = vec3(0u, 0u, params.len);
    for (var i = first + lane; i < end; i += WORKGROUP) {
        let a = f32(got[i]);
        let b = f32(want[i]);
        let are_finite = is_finite(a) && is_finite(b);
        let is_equal = are_finite && a == b;
        let is_close = are_finite && abs(a - b) <= params.atol + params.rtol * abs(b);
        let of_number = vec3(
            select(1u, 0u, is_equal),
            select(1u, 0u, is_close),
            select(i, params.len, is_close),
        );
        total = joined_counts(total, of_number);
    }
    lane_counts[lane] = total;
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if lane < half {
            lane_counts[lane] = joined_counts(lane_counts[lane], lane_counts[lane + half]);
        }
        workgroupBarrier();
    }
    if lane == 0u {
        counts[3u * slice] = lane_counts[0].x;
        counts[3u * slice + 1u] = lane_counts[0].y;
        counts[3u * slice + 2u] = lane_counts[0].z;
    }
}
