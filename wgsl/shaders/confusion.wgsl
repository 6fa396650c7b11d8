// confusion: counts of true positive, false positive, false negative and true negative pixels.

struct Params {
    len: u32,
    ignore_label: u32,
    threshold: f32,
}

@group(0) @binding(0) var<uniform> params: Params;

//!pass forward
@group(0) @binding(1) var<storage, read> p: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read_write> counts: array<u32>;

// One workgroup counts all: several would need counts that someone sets to zero before.
const WORKGROUP: u32 = 256u;

var<workgroup> lane_counts: array<vec4<u32>, WORKGROUP>;

// One in the component that pixel `i` belongs to.
fn outcome(i: u32) -> vec4<u32> {
    if i >= params.len || labels[i] == params.ignore_label {
        return vec4<u32>();
    }
    let predicted = p[i] > params.threshold;
    let labelled = labels[i] != 0u;
    return select(
        vec4<u32>(),
        vec4(1u),
        vec4(
            predicted && labelled,
            predicted && !labelled,
            !predicted && labelled,
            !predicted && !labelled,
        ),
    );
}

@compute @workgroup_size(WORKGROUP)
fn forward(@builtin(local_invocation_index) lane: u32) {
    var total = vec4<u32>();
    for (var i = lane; i < params.len; i += 4u * WORKGROUP) {
        let near = outcome(i) + outcome(i + WORKGROUP);
        total += near + (outcome(i + 2u * WORKGROUP) + outcome(i + 3u * WORKGROUP));
    }
    lane_counts[lane] = total;
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if lane < half {
            lane_counts[lane] += lane_counts[lane + half];
        }
        workgroupBarrier();
    }
    if lane == 0u {
        counts[0] = lane_counts[0].x;
        counts[1] = lane_counts[0].y;
        counts[2] = lane_counts[0].z;
        counts[3] = lane_counts[0].w;
    }
}
