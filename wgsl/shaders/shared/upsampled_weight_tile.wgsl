//!include shared/linear.wgsl

// Gradients of upsampling filters by tiles: dweight[c_in, c_out, a, b] = sum over pixels of x[i, j] * dy[2i+a, 2j+b].
//
// The including pass has `x`, `dy` and the sizes in `params`, and says where results go:
//   store(index, value)    index into [c_in, c_out, 2, 2]
//
// A workgroup computes TILE_IN x TILE_OUT kernels. A lane holds those of four inputs with one output, four sums each, over
// every SLICES-th pixel; the slices are added at the end, in order.
const LANES_IN: u32 = 4u;
const TILE_IN: u32 = 4u * LANES_IN;
const TILE_OUT: u32 = 8u;
const PAIRS: u32 = LANES_IN * TILE_OUT;
const SLICES: u32 = 8u;
const WORKGROUP: u32 = PAIRS * SLICES;
const CHUNK: u32 = 64u;
// One more than the channels, against bank conflicts of the writes.
const X_STRIDE: u32 = LANES_IN + 1u;
const DY_STRIDE: u32 = TILE_OUT + 1u;

// Four channels to a vec4.
var<workgroup> x_tile: array<vec4<f32>, CHUNK * X_STRIDE>;
// The four outputs of a pixel to a vec4. At the end the slices are added in it.
var<workgroup> dy_tile: array<vec4<f32>, CHUNK * DY_STRIDE>;

fn chunks_of_sample() -> u32 {
    return (params.h * params.w + CHUNK - 1u) / CHUNK;
}

// What does not exist reads the first number, so that there is no branch, and is not used.
fn stage(lane: u32, sample: u32, first_in: u32, first_out: u32, first: u32) {
    let hw = params.h * params.w;
    let pixel = lane % CHUNK;
    let is_inside = first + pixel < hw;
    // As many lanes as four channels of a chunk.
    let four = lane / CHUNK;
    let at = (sample * params.c_in + first_in + 4u * four) * hw + first + pixel;
    var values = vec4<f32>();
    for (var k = 0u; k < 4u; k += 1u) {
        let exists = is_inside && first_in + 4u * four + k < params.c_in;
        values[k] = select(0.0, f32(x[select(0u, at + k * hw, exists)]), exists);
    }
    x_tile[pixel * X_STRIDE + four] = values;
    for (var i = lane / CHUNK; i < TILE_OUT; i += WORKGROUP / CHUNK) {
        let exists = is_inside && first_out + i < params.c_out;
        let upper = select(0u, output_index(sample, first_out + i, first + pixel), exists);
        let lower = upper + 2u * params.w;
        let gradients = vec4(dy[upper], dy[upper + 1u], dy[lower], dy[lower + 1u]);
        dy_tile[pixel * DY_STRIDE + i] = select(vec4<f32>(), gradients, exists);
    }
}

// Adds the slices of a kernel and writes it.
fn store_kernel(lane: u32, in: u32, out: u32, of_slice: vec4<f32>) {
    workgroupBarrier();
    dy_tile[lane] = of_slice;
    workgroupBarrier();
    if lane >= PAIRS || in >= params.c_in || out >= params.c_out {
        return;
    }
    var total = vec4<f32>();
    for (var s = 0u; s < SLICES; s += 1u) {
        total += dy_tile[s * PAIRS + lane];
    }
    let at = 4u * (in * params.c_out + out);
    store(at, total.x);
    store(at + 1u, total.y);
    store(at + 2u, total.z);
    store(at + 3u, total.w);
}

// One tile over the chunks from `begin_chunk` to before `end_chunk`; chunks are counted over all samples.
fn weight_tile(tile: u32, begin_chunk: u32, end_chunk: u32, lane: u32) {
    let tiles_out = (params.c_out + TILE_OUT - 1u) / TILE_OUT;
    let first_in = tile / tiles_out * TILE_IN;
    let first_out = tile % tiles_out * TILE_OUT;
    if first_in >= params.c_in {
        return;
    }
    let slice = lane / PAIRS;
    let four = lane % PAIRS / TILE_OUT;
    let out = lane % TILE_OUT;

    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    var sum2 = vec4<f32>();
    var sum3 = vec4<f32>();
    let chunks = chunks_of_sample();
    for (var chunk = begin_chunk; chunk < end_chunk; chunk += 1u) {
        workgroupBarrier();
        stage(lane, chunk / chunks, first_in, first_out, chunk % chunks * CHUNK);
        workgroupBarrier();
        for (var i = 0u; i < CHUNK / SLICES; i += 1u) {
            let pixel = slice + i * SLICES;
            let d = dy_tile[pixel * DY_STRIDE + out];
            let inputs = x_tile[pixel * X_STRIDE + four];
            sum0 += d * inputs.x;
            sum1 += d * inputs.y;
            sum2 += d * inputs.z;
            sum3 += d * inputs.w;
        }
    }

    let in = first_in + 4u * four;
    store_kernel(lane, in, first_out + out, sum0);
    store_kernel(lane, in + 1u, first_out + out, sum1);
    store_kernel(lane, in + 2u, first_out + out, sum2);
    store_kernel(lane, in + 3u, first_out + out, sum3);
}
