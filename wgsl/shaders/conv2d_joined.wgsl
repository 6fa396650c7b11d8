// conv2d_joined: conv2d of two inputs that lie one behind the other.

struct Params {
    n: u32,
    // Channels of both inputs together.
    c_in: u32,
    // Of the first.
    c_a: u32,
    c_out: u32,
    h: u32,
    w: u32,
    kernel: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

//!pass forward
//!include shared/conv_tile.wgsl
//!include shared/joined.wgsl
//!stored x
//!stored y
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<stored_y>;

//!tensor fn input_scale() -> f32 { return 1.0; }
fn channels_out() -> u32 { return params.c_out; }
fn input_plane(sample: u32, channel: u32) -> u32 { return joined_plane(sample, channel); }
fn output_plane(sample: u32, channel: u32) -> u32 { return sample * params.c_out + channel; }
fn input_at(index: u32) -> f32 { return f32(x[index]); }
fn weight_at(out: u32, in: u32, tap: u32) -> f32 {
    return weight[(out * params.c_in + in) * params.kernel * params.kernel + tap];
}
fn finish_of(sample: u32, out: u32) -> vec3<f32> { return vec3(0.0, 1.0, 0.0); }
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
//!include shared/joined.wgsl
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

// The same correlation with the channels exchanged and the kernel turned by half a turn.
//!tensor fn input_scale() -> f32 { return gradient_scale(); }
fn channels_out() -> u32 { return params.c_in; }
fn input_plane(sample: u32, channel: u32) -> u32 { return sample * params.c_out + channel; }
fn output_plane(sample: u32, channel: u32) -> u32 { return joined_plane(sample, channel); }
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
