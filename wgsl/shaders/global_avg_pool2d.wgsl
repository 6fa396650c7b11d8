// global_avg_pool2d: the mean of each plane.
//!include shared/linear.wgsl
//!include shared/plane_sum.wgsl

struct Params {
    n: u32,
    c: u32,
    hw: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

//!pass forward
//!stored x
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

fn terms(index: u32, shift: f32) -> vec2<f32> {
    return vec2(f32(x[index]), 0.0);
}

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let plane = linear_group(group, groups);
    if plane >= params.n * params.c {
        return;
    }
    let sum = plane_sum(lane, plane * params.hw, 0u, 1u, params.hw, 0.0);
    if lane == 0u {
        y[plane] = sum.x / f32(params.hw);
    }
}
