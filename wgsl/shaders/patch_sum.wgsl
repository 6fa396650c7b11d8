// patch_sum: a patch's score is the sum of its map.
//!include shared/linear.wgsl
//!include shared/plane_sum.wgsl

struct Params {
    n: u32,
    hw: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

//!pass forward
@group(0) @binding(1) var<storage, read> map: array<f32>;
@group(0) @binding(2) var<storage, read_write> score: array<f32>;

fn terms(index: u32, shift: f32) -> vec2<f32> {
    return vec2(map[index], 0.0);
}

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let patch_index = linear_group(group, groups);
    if patch_index >= params.n {
        return;
    }
    let sum = plane_sum(lane, patch_index * params.hw, 0u, 1u, params.hw, 0.0);
    if lane == 0u {
        score[patch_index] = sum.x;
    }
}
