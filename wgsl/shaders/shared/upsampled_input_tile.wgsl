//!include shared/linear.wgsl

// Gradients of what is upsampled, by tiles: dx[i, j] = sum over c_out, a, b of weight[c_in, c_out, a, b] * dy[2i+a, 2j+b].
//
// The including pass has `dy`, `weight`, `dx` and the sizes in `params`.
//
// As in shared/upsampled_tile.wgsl, with the input's channels in the place of the output's.
const TILE_PIXELS: u32 = 64u;
const TILE_IN: u32 = 16u;
const WORKGROUP: u32 = TILE_PIXELS / 4u * TILE_IN / 2u;
const CHUNK_OUT: u32 = 8u;
const QUARTER: u32 = TILE_PIXELS / 4u;

var<workgroup> dy_tile: array<vec4<f32>, CHUNK_OUT * TILE_PIXELS>;
var<workgroup> weight_tile: array<vec4<f32>, CHUNK_OUT * TILE_IN>;

fn input_tile(group: u32, lane: u32) {
    let hw = params.h * params.w;
    let tiles_in = (params.c_in + TILE_IN - 1u) / TILE_IN;
    let tiles = (hw + TILE_PIXELS - 1u) / TILE_PIXELS;
    let first_in = group % tiles_in * TILE_IN;
    let first_pixel = group / tiles_in % tiles * TILE_PIXELS;
    let sample = group / (tiles_in * tiles);
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
