// entropy: map = -sum over channels of p ln p, in nats. A lane goes through the channels of its pixel.
//!include shared/planes.wgsl
//!include shared/entropy.wgsl

struct Params {
    n: u32,
    c: u32,
    hw: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

//!pass forward
@group(0) @binding(1) var<storage, read> p: array<f32>;
@group(0) @binding(2) var<storage, read_write> map: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(group, groups, lane, params.n, params.hw);
    for (var i = part.first; i < part.end; i += WORKGROUP) {
        var sum = 0.0;
        for (var c = 0u; c < params.c; c += 1u) {
            sum += entropy_term(p[(part.plane * params.c + c) * params.hw + i]);
        }
        map[part.plane * params.hw + i] = -sum;
    }
}
