//!include shared/linear.wgsl

// Gradients of upsampling filters by tiles: dweight[c_in, c_out, a, b] = sum over pixels of x[i, j] * dy[2i+a, 2j+b].
//
// The including pass has `x`, `dy` and the sizes in `params`, and says where results go:
//   store(index, value)    index into [c_in, c_out, 2, 2]
//
// A workgroup computes TILE_IN x TILE_OUT kernels. A lane holds one kernel's four sums over every SLICES-th pixel;
// the slices are added at the end, in order.
const TILE_IN: u32 = 8u;
const TILE_OUT: u32 = 4u;
const PAIRS: u32 = TILE_IN * TILE_OUT;
const SLICES: u32 = 8u;
const WORKGROUP: u32 = PAIRS * SLICES;
const CHUNK: u32 = 64u;
// One more than the channels, against bank conflicts of the writes.
const X_STRIDE: u32 = TILE_IN + 1u;
const DY_STRIDE: u32 = TILE_OUT + 1u;

var<workgroup> x_tile: array<f32, CHUNK * X_STRIDE>;
var<workgroup> dy_tile: array<vec4<f32>, CHUNK * DY_STRIDE>;
var<workgroup> slice_sums: array<vec4<f32>, WORKGROUP>;

fn chunks_of_sample() -> u32 {
    return (params.h * params.w + CHUNK - 1u) / CHUNK;
}

// One tile over the chunks from `begin_chunk` to before `end_chunk`; chunks are counted over all samples.
fn weight_tile(tile: u32, begin_chunk: u32, end_chunk: u32, lane: u32) {
    let hw = params.h * params.w;
    let tiles_out = (params.c_out + TILE_OUT - 1u) / TILE_OUT;
    let first_in = tile / tiles_out * TILE_IN;
    let first_out = tile % tiles_out * TILE_OUT;
    if first_in >= params.c_in {
        return;
    }
    let slice = lane / PAIRS;
    let in = lane % PAIRS / TILE_OUT;
    let out = lane % TILE_OUT;

    var sum = vec4<f32>();
    let chunks = chunks_of_sample();
    for (var chunk = begin_chunk; chunk < end_chunk; chunk += 1u) {
        let sample = chunk / chunks;
        let first = chunk % chunks * CHUNK;
        workgroupBarrier();
        for (var t = lane; t < CHUNK * TILE_IN; t += WORKGROUP) {
            let pixel = t % CHUNK;
            let channel = first_in + t / CHUNK;
            var value = 0.0;
            if channel < params.c_in && first + pixel < hw {
                value = f32(x[(sample * params.c_in + channel) * hw + first + pixel]);
            }
            x_tile[pixel * X_STRIDE + t / CHUNK] = value;
        }
        for (var t = lane; t < CHUNK * TILE_OUT; t += WORKGROUP) {
            let pixel = t % CHUNK;
            let channel = first_out + t / CHUNK;
            var value = vec4<f32>();
            if channel < params.c_out && first + pixel < hw {
                let upper = output_index(sample, channel, first + pixel);
                let lower = upper + 2u * params.w;
                value = vec4(dy[upper], dy[upper + 1u], dy[lower], dy[lower + 1u]);
            }
            dy_tile[pixel * DY_STRIDE + t / CHUNK] = value;
        }
        workgroupBarrier();
        for (var pixel = slice; pixel < CHUNK; pixel += SLICES) {
            sum += dy_tile[pixel * DY_STRIDE + out] * x_tile[pixel * X_STRIDE + in];
        }
    }

    slice_sums[lane] = sum;
    workgroupBarrier();
    if slice == 0u && first_in + in < params.c_in && first_out + out < params.c_out {
        var total = vec4<f32>();
        for (var s = 0u; s < SLICES; s += 1u) {
            total += slice_sums[s * PAIRS + lane];
        }
        let at = 4u * ((first_in + in) * params.c_out + first_out + out);
        store(at, total.x);
        store(at + 1u, total.y);
        store(at + 2u, total.z);
        store(at + 3u, total.w);
    }
}
