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
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

fn channels_in() -> u32 { return params.c_in; }
fn channels_out() -> u32 { return params.c_out; }
fn input_at(index: u32) -> f32 { return x[index]; }
fn weight_at(out: u32, in: u32, tap: u32) -> f32 {
    return weight[(out * params.c_in + in) * params.kernel * params.kernel + tap];
}
fn start_of(out: u32) -> f32 {
    if params.has_bias == 0u {
        return 0.0;
    }
    return bias[out];
}
fn store(index: u32, value: f32) { y[index] = value; }

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    conv_tile(linear_group(group, groups), lane);
}

//!pass backward_input
//!include shared/conv_tile.wgsl
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

// The same correlation with the channels exchanged and the kernel turned by half a turn.
fn channels_in() -> u32 { return params.c_out; }
fn channels_out() -> u32 { return params.c_in; }
fn input_at(index: u32) -> f32 { return dy[index]; }
fn weight_at(out: u32, in: u32, tap: u32) -> f32 {
    let taps = params.kernel * params.kernel;
    return weight[(in * params.c_in + out) * taps + (taps - 1u - tap)];
}
fn start_of(out: u32) -> f32 { return 0.0; }
fn store(index: u32, value: f32) { dx[index] = value; }

@compute @workgroup_size(WORKGROUP)
fn backward_input(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    conv_tile(linear_group(group, groups), lane);
}

//!pass backward_weight
//!include shared/linear.wgsl
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dweight: array<f32>;

// A workgroup computes TILE_OUT x TILE_IN kernels. A lane holds one kernel's nine sums over the rows of one
// of SLICES slices: its slice's row in each tile of SLICES x TILE_W pixels. The slices are added at the end, in order.
const TILE_OUT: u32 = 8u;
const TILE_IN: u32 = 4u;
const PAIRS: u32 = TILE_OUT * TILE_IN;
const SLICES: u32 = 8u;
const WORKGROUP: u32 = PAIRS * SLICES;
const TILE_W: u32 = 16u;
const HALO_W: u32 = TILE_W + 2u;
const HALO_H: u32 = SLICES + 2u;
// Channels vary fastest, so that the lanes of a warp read neighbours; one more spreads the writes over the banks.
const DY_STRIDE: u32 = TILE_OUT + 1u;
const X_STRIDE: u32 = TILE_IN + 1u;

var<workgroup> dy_tile: array<f32, SLICES * TILE_W * DY_STRIDE>;
var<workgroup> x_tile: array<f32, HALO_H * HALO_W * X_STRIDE>;
var<workgroup> slice_sums: array<f32, WORKGROUP>;

fn stage(lane: u32, sample: u32, first_out: u32, first_in: u32, y0: u32, x0: u32) {
    for (var t = lane; t < TILE_OUT * SLICES * TILE_W; t += WORKGROUP) {
        let pixel = t % (SLICES * TILE_W);
        let channel = first_out + t / (SLICES * TILE_W);
        let row = y0 + pixel / TILE_W;
        let col = x0 + pixel % TILE_W;
        var value = 0.0;
        if channel < params.c_out && row < params.h && col < params.w {
            value = dy[((sample * params.c_out + channel) * params.h + row) * params.w + col];
        }
        dy_tile[pixel * DY_STRIDE + t / (SLICES * TILE_W)] = value;
    }
    for (var t = lane; t < TILE_IN * HALO_H * HALO_W; t += WORKGROUP) {
        let pixel = t % (HALO_H * HALO_W);
        let channel = first_in + t / (HALO_H * HALO_W);
        // Outside the image the subtraction wraps to a number that is no row or column either.
        let row = y0 + pixel / HALO_W - 1u;
        let col = x0 + pixel % HALO_W - 1u;
        var value = 0.0;
        if channel < params.c_in && row < params.h && col < params.w {
            value = x[((sample * params.c_in + channel) * params.h + row) * params.w + col];
        }
        x_tile[pixel * X_STRIDE + t / (HALO_H * HALO_W)] = value;
    }
}

// The halo's pixels above, at and below a row, in one column.
fn x_column(at: u32) -> vec3<f32> {
    return vec3(x_tile[at], x_tile[at + HALO_W * X_STRIDE], x_tile[at + 2u * HALO_W * X_STRIDE]);
}

fn add_slices(lane: u32, value: f32) -> f32 {
    workgroupBarrier();
    slice_sums[lane] = value;
    workgroupBarrier();
    var sum = 0.0;
    for (var s = 0u; s < SLICES; s += 1u) {
        sum += slice_sums[s * PAIRS + lane % PAIRS];
    }
    return sum;
}

@compute @workgroup_size(WORKGROUP)
fn backward_weight(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tiles_in = (params.c_in + TILE_IN - 1u) / TILE_IN;
    let tile = linear_group(group, groups);
    let first_out = tile / tiles_in * TILE_OUT;
    let first_in = tile % tiles_in * TILE_IN;
    if first_out >= params.c_out {
        return;
    }
    let slice = lane / PAIRS;
    let out = lane % PAIRS / TILE_IN;
    let in = lane % TILE_IN;

    // A kernel's columns; the components are its rows.
    var left = vec3<f32>();
    var centre = vec3<f32>();
    var right = vec3<f32>();
    for (var sample = 0u; sample < params.n; sample += 1u) {
        for (var y0 = 0u; y0 < params.h; y0 += SLICES) {
            for (var x0 = 0u; x0 < params.w; x0 += TILE_W) {
                workgroupBarrier();
                stage(lane, sample, first_out, first_in, y0, x0);
                workgroupBarrier();
                // The window moves to the right: each column is read once.
                var at = slice * HALO_W * X_STRIDE + in;
                var x_left = x_column(at);
                var x_centre = x_column(at + X_STRIDE);
                for (var col = 0u; col < TILE_W; col += 1u) {
                    let x_right = x_column(at + 2u * X_STRIDE);
                    let d = dy_tile[(slice * TILE_W + col) * DY_STRIDE + out];
                    left += x_left * d;
                    centre += x_centre * d;
                    right += x_right * d;
                    x_left = x_centre;
                    x_centre = x_right;
                    at += X_STRIDE;
                }
            }
        }
    }

    let rows = array(
        vec3(left.x, centre.x, right.x),
        vec3(left.y, centre.y, right.y),
        vec3(left.z, centre.z, right.z),
    );
    let writes = slice == 0u && first_out + out < params.c_out && first_in + in < params.c_in;
    let kernel = (first_out + out) * params.c_in + first_in + in;
    for (var tap = 0u; tap < 9u; tap += 1u) {
        let sum = add_slices(lane, rows[tap / 3u][tap % 3u]);
        if writes && params.kernel == 3u {
            dweight[kernel * 9u + tap] = sum;
        } else if writes && tap == 4u {
            dweight[kernel] = sum;
        }
    }
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
