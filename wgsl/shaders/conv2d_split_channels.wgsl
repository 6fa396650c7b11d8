// conv2d_split_channels: conv2d in slices of the channels that are summed over.

struct Params {
    n: u32,
    c_in: u32,
    // Of the first of two joined inputs; c_in where there is one.
    c_a: u32,
    c_out: u32,
    h: u32,
    w: u32,
    kernel: u32,
    slices: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

//!pass forward
//!include shared/conv_tile.wgsl
//!include shared/joined.wgsl
//!stored x
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> y_partials: array<f32>;

var<private> first: u32;

//!tensor fn input_scale() -> f32 { return 1.0; }
fn channels_out() -> u32 { return params.c_out; }
fn input_plane(sample: u32, channel: u32) -> u32 { return joined_plane(sample, channel); }
fn output_plane(sample: u32, channel: u32) -> u32 { return sample * params.c_out + channel; }
fn input_at(index: u32) -> f32 { return f32(x[index]); }
fn weight_at(out: u32, in: u32, tap: u32) -> f32 {
    return weight[(out * params.c_in + in) * params.kernel * params.kernel + tap];
}
fn finish_of(sample: u32, out: u32) -> vec3<f32> { return vec3(0.0, 1.0, 0.0); }
fn store(index: u32, value: f32) { y_partials[first + index] = value; }

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
    // Tiles vary fastest.
    let index = linear_group(group, groups);
    let slice = index / tile_count();
    if slice >= params.slices {
        return;
    }
    first = slice * params.n * params.c_out * params.h * params.w;
    let begin = slice * params.c_in / params.slices;
    conv_tile(index % tile_count(), lane, begin, (slice + 1u) * params.c_in / params.slices);
}

//!pass sum_forward
//!include shared/sum_slices.wgsl
//!stored y
@group(0) @binding(1) var<storage, read> y_partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<stored_y>;

fn partial_at(index: u32) -> f32 { return y_partials[index]; }

@compute @workgroup_size(WORKGROUP)
fn sum_forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_group(group, groups) * WORKGROUP + lane;
    let count = params.n * params.c_out * params.h * params.w;
    if element < count {
        y[element] = as_y(sum_slices(element, count, params.slices));
    }
}

//!pass backward_input
//!include shared/conv_tile.wgsl
//!include shared/joined.wgsl
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx_partials: array<f32>;

var<private> first: u32;

//!tensor fn input_scale() -> f32 { return gradient_scale(); }
fn channels_out() -> u32 { return params.c_in; }
fn input_plane(sample: u32, channel: u32) -> u32 { return sample * params.c_out + channel; }
fn output_plane(sample: u32, channel: u32) -> u32 { return joined_plane(sample, channel); }
fn input_at(index: u32) -> f32 { return dy[index]; }
// The same correlation with the channels exchanged and the kernel turned by half a turn.
fn weight_at(out: u32, in: u32, tap: u32) -> f32 {
    let taps = params.kernel * params.kernel;
    return weight[(in * params.c_in + out) * taps + (taps - 1u - tap)];
}
fn finish_of(sample: u32, out: u32) -> vec3<f32> { return vec3(0.0, 1.0, 0.0); }
fn store(index: u32, value: f32) { dx_partials[first + index] = value; }

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
    // Tiles vary fastest.
    let index = linear_group(group, groups);
    let slice = index / tile_count();
    if slice >= params.slices {
        return;
    }
    first = slice * params.n * params.c_in * params.h * params.w;
    let begin = slice * params.c_out / params.slices;
    conv_tile(index % tile_count(), lane, begin, (slice + 1u) * params.c_out / params.slices);
}

//!pass sum_backward_input
//!include shared/sum_slices.wgsl
@group(0) @binding(1) var<storage, read> dx_partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

fn partial_at(index: u32) -> f32 { return dx_partials[index]; }

@compute @workgroup_size(WORKGROUP)
fn sum_backward_input(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_group(group, groups) * WORKGROUP + lane;
    let count = params.n * params.c_in * params.h * params.w;
    if element < count {
        dx[element] = sum_slices(element, count, params.slices);
    }
}
