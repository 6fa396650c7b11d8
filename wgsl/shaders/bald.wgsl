// bald: what a pixel's label would tell about the network, from several passes with dropout.
//!include shared/planes.wgsl
//!include shared/entropy.wgsl

struct Params {
    n: u32,
    c: u32,
    hw: u32,
    passes: u32,
    // Those of them that lie one behind another in p.
    stacked: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

//!pass accumulate
@group(0) @binding(1) var<storage, read> p: array<f32>;
@group(0) @binding(2) var<storage, read_write> sum_p: array<f32>;
@group(0) @binding(3) var<storage, read_write> sum_entropy: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn accumulate(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(group, groups, lane, params.n, params.hw);
    let pass_len = params.n * params.c * params.hw;
    for (var i = part.first; i < part.end; i += WORKGROUP) {
        for (var t = 0u; t < params.stacked; t += 1u) {
            var sum = 0.0;
            for (var c = 0u; c < params.c; c += 1u) {
                let at = (part.plane * params.c + c) * params.hw + i;
                let value = p[t * pass_len + at];
                sum_p[at] += value;
                sum += entropy_term(value);
            }
            sum_entropy[part.plane * params.hw + i] -= sum;
        }
    }
}

//!pass entropy_of_mean
@group(0) @binding(1) var<storage, read> sum_p: array<f32>;
@group(0) @binding(2) var<storage, read_write> map: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn entropy_of_mean(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(group, groups, lane, params.n, params.hw);
    for (var i = part.first; i < part.end; i += WORKGROUP) {
        var sum = 0.0;
        for (var c = 0u; c < params.c; c += 1u) {
            let at = (part.plane * params.c + c) * params.hw + i;
            sum += entropy_term(sum_p[at] / f32(params.passes));
        }
        map[part.plane * params.hw + i] = -sum;
    }
}

//!pass mutual_information
@group(0) @binding(1) var<storage, read> sum_p: array<f32>;
@group(0) @binding(2) var<storage, read> sum_entropy: array<f32>;
@group(0) @binding(3) var<storage, read_write> map: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn mutual_information(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(group, groups, lane, params.n, params.hw);
    let passes = f32(params.passes);
    for (var i = part.first; i < part.end; i += WORKGROUP) {
        var sum = 0.0;
        for (var c = 0u; c < params.c; c += 1u) {
            let at = (part.plane * params.c + c) * params.hw + i;
            sum += entropy_term(sum_p[at] / passes);
        }
        let at = part.plane * params.hw + i;
        // Rounding can take it below zero where all passes agree.
        map[at] = max(-sum - sum_entropy[at] / passes, 0.0);
    }
}
