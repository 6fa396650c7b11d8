// conv2d_norm_relu: convolution, batch norm with the running statistics, dropout and ReLU; only the result is written.

struct Params {
    n: u32,
    c_in: u32,
    // Of the first of two joined inputs; c_in where there is one.
    c_a: u32,
    c_out: u32,
    h: u32,
    w: u32,
    kernel: u32,
    // 0: no dropout; 1: a value of the mask for each channel of a sample; 2: for each element.
    mask: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;

//!pass forward_eval
//!include shared/conv_tile.wgsl
//!include shared/joined.wgsl
//!stored x
//!stored y
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> running_mean: array<f32>;
@group(0) @binding(4) var<storage, read> running_var: array<f32>;
@group(0) @binding(5) var<storage, read> norm_weight: array<f32>;
@group(0) @binding(6) var<storage, read> norm_bias: array<f32>;
@group(0) @binding(7) var<storage, read> mask: array<f32>;
@group(0) @binding(8) var<storage, read_write> y: array<stored_y>;

//!tensor fn input_scale() -> f32 { return 1.0; }
fn channels_out() -> u32 { return params.c_out; }
fn input_plane(sample: u32, channel: u32) -> u32 { return joined_plane(sample, channel); }
fn output_plane(sample: u32, channel: u32) -> u32 { return sample * params.c_out + channel; }
fn input_at(index: u32) -> f32 { return f32(x[index]); }
fn weight_at(out: u32, in: u32, tap: u32) -> f32 {
    return weight[(out * params.c_in + in) * params.kernel * params.kernel + tap];
}
// A mask of channels is not below zero, and so may go through the ReLU.
fn finish_of(sample: u32, out: u32) -> vec3<f32> {
    var kept = 1.0;
    if params.mask == 1u {
        kept = mask[sample * params.c_out + out];
    }
    let scale = norm_weight[out] / sqrt(running_var[out] + params.eps);
    return vec3(running_mean[out], scale * kept, norm_bias[out] * kept);
}
fn store(index: u32, value: f32) {
    var kept = 1.0;
    if params.mask == 2u {
        kept = mask[index];
    }
    y[index] = as_y(max(value * kept, 0.0));
}

@compute @workgroup_size(WORKGROUP)
fn forward_eval(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    //!tensor @builtin(subgroup_id) subgroup_id: u32,
    //!tensor @builtin(num_subgroups) subgroup_count: u32,
) {
    //!tensor subgroup = subgroup_id;
    //!tensor subgroups = subgroup_count;
    conv_tile(linear_group(group, groups), lane, 0u, params.c_in);
}
