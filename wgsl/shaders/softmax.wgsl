// softmax: over channels, p = exp(logit - max) / sum. A lane goes through the channels of its pixel.
//!include shared/planes.wgsl

struct Params {
    n: u32,
    c: u32,
    hw: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

//!pass forward
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> p: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(group, groups, lane, params.n, params.hw);
    let sample = part.plane * params.c * params.hw;
    for (var i = part.first; i < part.end; i += WORKGROUP) {
        var largest = logits[sample + i];
        for (var c = 1u; c < params.c; c += 1u) {
            largest = max(largest, logits[sample + c * params.hw + i]);
        }
        var sum = 0.0;
        for (var c = 0u; c < params.c; c += 1u) {
            let at = sample + c * params.hw + i;
            let e = exp(logits[at] - largest);
            p[at] = e;
            sum += e;
        }
        for (var c = 0u; c < params.c; c += 1u) {
            let at = sample + c * params.hw + i;
            p[at] = p[at] / sum;
        }
    }
}

//!pass backward_input
@group(0) @binding(1) var<storage, read> p: array<f32>;
@group(0) @binding(2) var<storage, read> dp: array<f32>;
@group(0) @binding(3) var<storage, read_write> dlogits: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn backward_input(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(group, groups, lane, params.n, params.hw);
    let sample = part.plane * params.c * params.hw;
    for (var i = part.first; i < part.end; i += WORKGROUP) {
        var dot = 0.0;
        for (var c = 0u; c < params.c; c += 1u) {
            let at = sample + c * params.hw + i;
            dot += p[at] * dp[at];
        }
        for (var c = 0u; c < params.c; c += 1u) {
            let at = sample + c * params.hw + i;
            dlogits[at] = p[at] * (dp[at] - dot);
        }
    }
}
