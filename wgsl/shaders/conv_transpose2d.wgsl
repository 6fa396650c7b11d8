// conv_transpose2d: y[2i+a, 2j+b] = bias + sum over c_in of x[i, j] * weight[c_in, c_out, a, b]; kernel 2, stride 2.
//
// The four values of a kernel make a vec4 (a b = 00, 01, 10, 11), as do the four outputs of an input pixel:
// windows do not overlap, so that the passes are products of matrices with elements of four.

struct Params {
    n: u32,
    c_in: u32,
    c_out: u32,
    // Of the input; the output is twice as high and wide.
    h: u32,
    w: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

//!include shared/upsampled.wgsl

//!pass forward
//!include shared/upsampled_tile.wgsl
//!stored x
//!stored y
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<stored_y>;

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    //!tensor @builtin(subgroup_id) subgroup_id: u32,
    //!tensor @builtin(num_subgroups) subgroup_count: u32,
) {
    //!tensor subgroup = subgroup_id;
    //!tensor subgroups = subgroup_count;
    upsampled_tile(linear_group(group, groups), lane);
}

//!pass backward_input
//!include shared/upsampled_input_tile.wgsl
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn backward_input(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    //!tensor @builtin(subgroup_id) subgroup_id: u32,
    //!tensor @builtin(num_subgroups) subgroup_count: u32,
) {
    //!tensor subgroup = subgroup_id;
    //!tensor subgroups = subgroup_count;
    input_tile(linear_group(group, groups), lane);
}

//!pass backward_weight
//!include shared/upsampled_weight_tile.wgsl
//!stored x
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dweight: array<f32>;

fn store(index: u32, value: f32) { dweight[index] = value; }

@compute @workgroup_size(WORKGROUP)
fn backward_weight(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    //!tensor @builtin(subgroup_id) subgroup_id: u32,
    //!tensor @builtin(num_subgroups) subgroup_count: u32,
) {
    //!tensor subgroup = subgroup_id;
    //!tensor subgroups = subgroup_count;
    weight_tile(linear_group(group, groups), 0u, params.n * chunks_of_sample(), lane);
}

//!pass backward_bias
//!include shared/linear.wgsl
//!include shared/plane_sum.wgsl
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dbias: array<f32>;

fn terms(index: u32, shift: f32) -> vec2<f32> {
    return vec2(dy[index], 0.0);
}

@compute @workgroup_size(WORKGROUP)
fn backward_bias(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let channel = linear_group(group, groups);
    if channel >= params.c_out {
        return;
    }
    let size = 4u * params.h * params.w;
    let sum = plane_sum(lane, channel * size, params.c_out * size, params.n, size, 0.0);
    if lane == 0u {
        dbias[channel] = sum.x;
    }
}
