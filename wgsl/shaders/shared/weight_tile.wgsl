//!include shared/linear.wgsl

// Gradients of filters by tiles: a workgroup computes TILE_OUT x TILE_IN kernels over some bands of BAND image rows.
//
// The including pass has `x`, `dy` and the sizes of a convolution in `params`, and says where results go:
//   x_plane(sample, channel) -> u32
//   store(index, value)                index into [c_out, c_in, kernel, kernel]
//
// A lane holds the nine sums of the kernels of four outputs, over its row of each band: what it reads of the input serves all
// of them. The rows are added at the end, in order.
const LANES_OUT: u32 = 4u;
const TILE_OUT: u32 = 4u * LANES_OUT;
const TILE_IN: u32 = 8u;
const PAIRS: u32 = LANES_OUT * TILE_IN;
const BAND: u32 = 8u;
const WORKGROUP: u32 = PAIRS * BAND;
const TILE_W: u32 = 16u;
const HALO_W: u32 = TILE_W + 2u;
const HALO: u32 = (BAND + 2u) * HALO_W;
const PIXELS: u32 = BAND * TILE_W;
// Channels vary fastest, so that the lanes of a warp read neighbours; one more spreads the writes over the banks.
const X_STRIDE: u32 = TILE_IN + 1u;

// Four channels to a vec4. At the end the rows are added in it.
var<workgroup> dy_tile: array<vec4<f32>, PIXELS * LANES_OUT>;
var<workgroup> x_tile: array<f32, HALO * X_STRIDE>;

fn stage(lane: u32, sample: u32, first_out: u32, first_in: u32, y0: u32, x0: u32) {
    let plane = params.h * params.w;
    // A lane takes a pixel of several channels: its place is computed once. Without a branch, all its reads are under way at
    // the same time; what does not exist reads the first number and is not used.
    let pixel = lane % PIXELS;
    let row = y0 + pixel / TILE_W;
    let col = x0 + pixel % TILE_W;
    let is_inside = row < params.h && col < params.w;
    let first = (sample * params.c_out + first_out) * plane + row * params.w + col;
    for (var j = 0u; j < LANES_OUT; j += WORKGROUP / PIXELS) {
        let four = j + lane / PIXELS;
        var values = vec4<f32>();
        for (var k = 0u; k < 4u; k += 1u) {
            let i = 4u * four + k;
            let exists = is_inside && first_out + i < params.c_out;
            values[k] = select(0.0, dy[select(0u, first + i * plane, exists)], exists);
        }
        dy_tile[pixel * LANES_OUT + four] = values;
    }
    for (var t = lane; t < HALO; t += WORKGROUP) {
        // Outside the image the subtraction wraps to a number that is no row or column either.
        let row = y0 + t / HALO_W - 1u;
        let col = x0 + t % HALO_W - 1u;
        let is_inside = row < params.h && col < params.w;
        for (var i = 0u; i < TILE_IN; i += 1u) {
            let exists = is_inside && first_in + i < params.c_in;
            let at = x_plane(sample, first_in + i) * plane + row * params.w + col;
            let value = f32(x[select(0u, at, exists)]);
            x_tile[t * X_STRIDE + i] = select(0.0, value, exists);
        }
    }
}

// The halo's pixels above, at and below a row, in one column.
fn x_column(at: u32) -> vec3<f32> {
    return vec3(x_tile[at], x_tile[at + HALO_W * X_STRIDE], x_tile[at + 2u * HALO_W * X_STRIDE]);
}

fn bands_of_sample() -> u32 {
    return (params.h + BAND - 1u) / BAND;
}

// Adds the rows of a tap and writes the filters' tap.
fn store_tap(lane: u32, tap: u32, first_out: u32, first_in: u32, of_row: vec4<f32>) {
    workgroupBarrier();
    dy_tile[lane] = of_row;
    workgroupBarrier();
    let in = first_in + lane % TILE_IN;
    if lane >= PAIRS || in >= params.c_in {
        return;
    }
    var sum = vec4<f32>();
    for (var row = 0u; row < BAND; row += 1u) {
        sum += dy_tile[row * PAIRS + lane];
    }
    for (var k = 0u; k < 4u; k += 1u) {
        let out = first_out + lane / TILE_IN * 4u + k;
        let kernel = out * params.c_in + in;
        if out < params.c_out && params.kernel == 3u {
            store(kernel * 9u + tap, sum[k]);
        } else if out < params.c_out && tap == 4u {
            store(kernel, sum[k]);
        }
    }
}

// One tile over the bands from `first_band` on; bands are counted over all samples.
fn weight_tile(tile: u32, first_band: u32, end_band: u32, lane: u32) {
    let tiles_in = (params.c_in + TILE_IN - 1u) / TILE_IN;
    let first_out = tile / tiles_in * TILE_OUT;
    let first_in = tile % tiles_in * TILE_IN;
    if first_out >= params.c_out {
        return;
    }
    let row = lane / PAIRS;
    let four = lane % PAIRS / TILE_IN;
    let in = lane % TILE_IN;

    // The sums of each tap, by row and column; the components are outputs.
    var s00 = vec4<f32>();
    var s01 = vec4<f32>();
    var s02 = vec4<f32>();
    var s10 = vec4<f32>();
    var s11 = vec4<f32>();
    var s12 = vec4<f32>();
    var s20 = vec4<f32>();
    var s21 = vec4<f32>();
    var s22 = vec4<f32>();
    let bands = bands_of_sample();
    for (var band = first_band; band < end_band; band += 1u) {
        let sample = band / bands;
        let y0 = band % bands * BAND;
        for (var x0 = 0u; x0 < params.w; x0 += TILE_W) {
            workgroupBarrier();
            stage(lane, sample, first_out, first_in, y0, x0);
            workgroupBarrier();
            // The window moves to the right: each column is read once. Four at a time, as far as the image goes.
            var at = row * HALO_W * X_STRIDE + in;
            var left = x_column(at);
            var centre = x_column(at + X_STRIDE);
            let columns = min(TILE_W, params.w - x0);
            for (var first = 0u; first < columns; first += 4u) {
                for (var j = 0u; j < 4u; j += 1u) {
                    let right = x_column(at + 2u * X_STRIDE);
                    let d = dy_tile[(row * TILE_W + first + j) * LANES_OUT + four];
                    s00 += d * left.x;
                    s01 += d * centre.x;
                    s02 += d * right.x;
                    s10 += d * left.y;
                    s11 += d * centre.y;
                    s12 += d * right.y;
                    s20 += d * left.z;
                    s21 += d * centre.z;
                    s22 += d * right.z;
                    left = centre;
                    centre = right;
                    at += X_STRIDE;
                }
            }
        }
    }

    store_tap(lane, 0u, first_out, first_in, s00);
    store_tap(lane, 1u, first_out, first_in, s01);
    store_tap(lane, 2u, first_out, first_in, s02);
    store_tap(lane, 3u, first_out, first_in, s10);
    store_tap(lane, 4u, first_out, first_in, s11);
    store_tap(lane, 5u, first_out, first_in, s12);
    store_tap(lane, 6u, first_out, first_in, s20);
    store_tap(lane, 7u, first_out, first_in, s21);
    store_tap(lane, 8u, first_out, first_in, s22);
}
