// conv2d: y = W * x + bias, a cross-correlation with kernel 1 or 3, stride 1 and zero padding.

struct Params {
    n: u32,
    c_in: u32,
    c_out: u32,
    h: u32,
    w: u32,
    kernel: u32,
    has_bias: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

//!pass forward
//!include shared/conv_tile.wgsl
//!stored x
//!stored y
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<stored_y>;

//!tensor fn input_scale() -> f32 { return 1.0; }
fn channels_out() -> u32 { return params.c_out; }
fn input_plane(sample: u32, channel: u32) -> u32 { return sample * params.c_in + channel; }
fn output_plane(sample: u32, channel: u32) -> u32 { return sample * params.c_out + channel; }
fn input_at(index: u32) -> f32 { return f32(x[index]); }
fn weight_at(out: u32, in: u32, tap: u32) -> f32 {
    return weight[(out * params.c_in + in) * params.kernel * params.kernel + tap];
}
fn finish_of(sample: u32, out: u32) -> vec3<f32> {
    if params.has_bias == 0u {
        return vec3(0.0, 1.0, 0.0);
    }
    return vec3(0.0, 1.0, bias[out]);
}
fn store(index: u32, value: f32) { y[index] = as_y(value); }

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
    conv_tile(linear_group(group, groups), lane, 0u, params.c_in);
}

//!pass backward_input
//!include shared/conv_tile.wgsl
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

// The same correlation with the channels exchanged and the kernel turned by half a turn.
//!tensor fn input_scale() -> f32 { return gradient_scale(); }
fn channels_out() -> u32 { return params.c_in; }
fn input_plane(sample: u32, channel: u32) -> u32 { return sample * params.c_out + channel; }
fn output_plane(sample: u32, channel: u32) -> u32 { return sample * params.c_in + channel; }
fn input_at(index: u32) -> f32 { return dy[index]; }
fn weight_at(out: u32, in: u32, tap: u32) -> f32 {
    let taps = params.kernel * params.kernel;
    return weight[(in * params.c_in + out) * taps + (taps - 1u - tap)];
}
fn finish_of(sample: u32, out: u32) -> vec3<f32> { return vec3(0.0, 1.0, 0.0); }
fn store(index: u32, value: f32) { dx[index] = value; }

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
    conv_tile(linear_group(group, groups), lane, 0u, params.c_out);
}

//!pass backward_weight
//!include shared/weight_tile.wgsl
//!stored x
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dweight: array<f32>;

fn x_plane(sample: u32, channel: u32) -> u32 { return sample * params.c_in + channel; }
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
    weight_tile(linear_group(group, groups), 0u, params.n * bands_of_sample(), lane);
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
    let hw = params.h * params.w;
    let sum = plane_sum(lane, channel * hw, params.c_out * hw, params.n, hw, 0.0);
    if lane == 0u {
        dbias[channel] = sum.x;
    }
}
