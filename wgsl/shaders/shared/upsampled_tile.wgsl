//!include shared/linear.wgsl

// Upsampling by tiles: y[2i+a, 2j+b] = bias + sum over c_in of x[i, j] * weight[c_in, c_out, a, b].
//
// The including pass has `x`, `weight`, `bias`, `y` and the sizes in `params`.
//
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

fn upsampled_tile(group: u32, lane: u32) {
    let hw = params.h * params.w;
    let tiles_out = (params.c_out + TILE_OUT - 1u) / TILE_OUT;
    let tiles = (hw + TILE_PIXELS - 1u) / TILE_PIXELS;
    let first_out = group % tiles_out * TILE_OUT;
    let first_pixel = group / tiles_out % tiles * TILE_PIXELS;
    let sample = group / (tiles_out * tiles);
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
