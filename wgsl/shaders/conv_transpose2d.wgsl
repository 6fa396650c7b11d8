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
//!include shared/linear.wgsl
//!stored x
//!stored y
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<stored_y>;

// A workgroup computes TILE_OUT channels of TILE_PIXELS pixels; a lane two channels of four pixels that lie a
// quarter of the tile apart, so that neighbouring lanes read neighbouring pixels.
const TILE_PIXELS: u32 = 64u;
const TILE_OUT: u32 = 16u;
const WORKGROUP: u32 = TILE_PIXELS / 4u * TILE_OUT / 2u;
const CHUNK_IN: u32 = 8u;
const QUARTER: u32 = TILE_PIXELS / 4u;

var<workgroup> x_tile: array<f32, CHUNK_IN * TILE_PIXELS>;
var<workgroup> weight_tile: array<vec4<f32>, CHUNK_IN * TILE_OUT>;

fn store(sample: u32, out: u32, pixel: u32, value: vec4<f32>) {
    if out >= params.c_out || pixel >= params.h * params.w {
        return;
    }
    let at = output_index(sample, out, pixel);
    let four = value + bias[out];
    y[at] = as_y(four.x);
    y[at + 1u] = as_y(four.y);
    y[at + 2u * params.w] = as_y(four.z);
    y[at + 2u * params.w + 1u] = as_y(four.w);
}

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let hw = params.h * params.w;
    let tiles_out = (params.c_out + TILE_OUT - 1u) / TILE_OUT;
    let tiles = (hw + TILE_PIXELS - 1u) / TILE_PIXELS;
    let index = linear_group(group, groups);
    let first_out = index % tiles_out * TILE_OUT;
    let first_pixel = index / tiles_out % tiles * TILE_PIXELS;
    let sample = index / (tiles_out * tiles);
    if sample >= params.n {
        return;
    }

    let pixel = lane % QUARTER;
    let out = lane / QUARTER * 2u;
    var a = array<vec4<f32>, 4>();
    var b = array<vec4<f32>, 4>();
    for (var first_in = 0u; first_in < params.c_in; first_in += CHUNK_IN) {
        workgroupBarrier();
        for (var t = lane; t < CHUNK_IN * TILE_PIXELS; t += WORKGROUP) {
            let channel = first_in + t / TILE_PIXELS;
            let at = first_pixel + t % TILE_PIXELS;
            var value = 0.0;
            if channel < params.c_in && at < hw {
                value = f32(x[(sample * params.c_in + channel) * hw + at]);
            }
            x_tile[t] = value;
        }
        for (var t = lane; t < CHUNK_IN * TILE_OUT; t += WORKGROUP) {
            let channel = first_in + t / TILE_OUT;
            let o = first_out + t % TILE_OUT;
            var value = vec4<f32>();
            if channel < params.c_in && o < params.c_out {
                let at = 4u * (channel * params.c_out + o);
                value = vec4(weight[at], weight[at + 1u], weight[at + 2u], weight[at + 3u]);
            }
            weight_tile[t] = value;
        }
        workgroupBarrier();
        for (var i = 0u; i < min(CHUNK_IN, params.c_in - first_in); i += 1u) {
            let wa = weight_tile[i * TILE_OUT + out];
            let wb = weight_tile[i * TILE_OUT + out + 1u];
            let at = i * TILE_PIXELS + pixel;
            let x0 = x_tile[at];
            let x1 = x_tile[at + QUARTER];
            let x2 = x_tile[at + 2u * QUARTER];
            let x3 = x_tile[at + 3u * QUARTER];
            a[0] += wa * x0;
            a[1] += wa * x1;
            a[2] += wa * x2;
            a[3] += wa * x3;
            b[0] += wb * x0;
            b[1] += wb * x1;
            b[2] += wb * x2;
            b[3] += wb * x3;
        }
    }
    for (var j = 0u; j < 4u; j += 1u) {
        store(sample, first_out + out, first_pixel + pixel + j * QUARTER, a[j]);
        store(sample, first_out + out + 1u, first_pixel + pixel + j * QUARTER, b[j]);
    }
}

//!pass backward_input
//!include shared/linear.wgsl
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

// As in forward, with the input's channels in the place of the output's.
const TILE_PIXELS: u32 = 64u;
const TILE_IN: u32 = 16u;
const WORKGROUP: u32 = TILE_PIXELS / 4u * TILE_IN / 2u;
const CHUNK_OUT: u32 = 8u;
const QUARTER: u32 = TILE_PIXELS / 4u;

var<workgroup> dy_tile: array<vec4<f32>, CHUNK_OUT * TILE_PIXELS>;
var<workgroup> weight_tile: array<vec4<f32>, CHUNK_OUT * TILE_IN>;

@compute @workgroup_size(WORKGROUP)
fn backward_input(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let hw = params.h * params.w;
    let tiles_in = (params.c_in + TILE_IN - 1u) / TILE_IN;
    let tiles = (hw + TILE_PIXELS - 1u) / TILE_PIXELS;
    let index = linear_group(group, groups);
    let first_in = index % tiles_in * TILE_IN;
    let first_pixel = index / tiles_in % tiles * TILE_PIXELS;
    let sample = index / (tiles_in * tiles);
    if sample >= params.n {
        return;
    }

    let pixel = lane % QUARTER;
    let in = lane / QUARTER * 2u;
    // Four pixels each of two channels.
    var a = vec4<f32>();
    var b = vec4<f32>();
    for (var first_out = 0u; first_out < params.c_out; first_out += CHUNK_OUT) {
        workgroupBarrier();
        for (var t = lane; t < CHUNK_OUT * TILE_PIXELS; t += WORKGROUP) {
            let channel = first_out + t / TILE_PIXELS;
            let at = first_pixel + t % TILE_PIXELS;
            var value = vec4<f32>();
            if channel < params.c_out && at < hw {
                let upper = output_index(sample, channel, at);
                let lower = upper + 2u * params.w;
                value = vec4(dy[upper], dy[upper + 1u], dy[lower], dy[lower + 1u]);
            }
            dy_tile[t] = value;
        }
        for (var t = lane; t < CHUNK_OUT * TILE_IN; t += WORKGROUP) {
            let channel = first_out + t % CHUNK_OUT;
            let i = first_in + t / CHUNK_OUT;
            var value = vec4<f32>();
            if channel < params.c_out && i < params.c_in {
                let at = 4u * (i * params.c_out + channel);
                value = vec4(weight[at], weight[at + 1u], weight[at + 2u], weight[at + 3u]);
            }
            weight_tile[t] = value;
        }
        workgroupBarrier();
        for (var o = 0u; o < min(CHUNK_OUT, params.c_out - first_out); o += 1u) {
            let wa = weight_tile[in * CHUNK_OUT + o];
            let wb = weight_tile[(in + 1u) * CHUNK_OUT + o];
            let at = o * TILE_PIXELS + pixel;
            let d0 = dy_tile[at];
            let d1 = dy_tile[at + QUARTER];
            let d2 = dy_tile[at + 2u * QUARTER];
            let d3 = dy_tile[at + 3u * QUARTER];
            a += vec4(dot(wa, d0), dot(wa, d1), dot(wa, d2), dot(wa, d3));
            b += vec4(dot(wb, d0), dot(wb, d1), dot(wb, d2), dot(wb, d3));
        }
    }
    for (var j = 0u; j < 4u; j += 1u) {
        let at = first_pixel + pixel + j * QUARTER;
        let channel = first_in + in;
        if at < hw && channel < params.c_in {
            dx[(sample * params.c_in + channel) * hw + at] = a[j];
        }
        if at < hw && channel + 1u < params.c_in {
            dx[(sample * params.c_in + channel + 1u) * hw + at] = b[j];
        }
    }
}

//!pass backward_weight
//!include shared/upsampled_weight_tile.wgsl
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dweight: array<f32>;

fn store(index: u32, value: f32) { dweight[index] = value; }

@compute @workgroup_size(WORKGROUP)
fn backward_weight(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
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
