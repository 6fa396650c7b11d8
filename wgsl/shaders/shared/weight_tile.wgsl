//!include shared/linear.wgsl

// Gradients of filters by tiles: a workgroup computes TILE_OUT x TILE_IN kernels over some bands of BAND image rows.
//
// The including pass has `x`, `dy` and the sizes of a convolution in `params`, and says where results go:
//   x_plane(sample, channel) -> u32
//   store(index, value)                index into [c_out, c_in, kernel, kernel]
//
// A lane holds the nine sums of two kernels, LANES_OUT outputs apart, over its row of each band: what it reads of the input
// serves both. The rows are added at the end, in order.
const LANES_OUT: u32 = 8u;
const TILE_OUT: u32 = 2u * LANES_OUT;
const TILE_IN: u32 = 4u;
const PAIRS: u32 = LANES_OUT * TILE_IN;
const BAND: u32 = 8u;
const WORKGROUP: u32 = PAIRS * BAND;
const TILE_W: u32 = 16u;
const HALO_W: u32 = TILE_W + 2u;
const HALO_H: u32 = BAND + 2u;
// Channels vary fastest, so that the lanes of a warp read neighbours; one more spreads the writes over the banks.
const DY_STRIDE: u32 = TILE_OUT + 1u;
const X_STRIDE: u32 = TILE_IN + 1u;

var<workgroup> dy_tile: array<f32, BAND * TILE_W * DY_STRIDE>;
var<workgroup> x_tile: array<f32, HALO_H * HALO_W * X_STRIDE>;
var<workgroup> row_sums: array<f32, WORKGROUP>;

fn stage(lane: u32, sample: u32, first_out: u32, first_in: u32, y0: u32, x0: u32) {
    for (var t = lane; t < TILE_OUT * BAND * TILE_W; t += WORKGROUP) {
        let pixel = t % (BAND * TILE_W);
        let channel = first_out + t / (BAND * TILE_W);
        let row = y0 + pixel / TILE_W;
        let col = x0 + pixel % TILE_W;
        var value = 0.0;
        if channel < params.c_out && row < params.h && col < params.w {
            value = dy[((sample * params.c_out + channel) * params.h + row) * params.w + col];
        }
        dy_tile[pixel * DY_STRIDE + t / (BAND * TILE_W)] = value;
    }
    for (var t = lane; t < TILE_IN * HALO_H * HALO_W; t += WORKGROUP) {
        let pixel = t % (HALO_H * HALO_W);
        let channel = first_in + t / (HALO_H * HALO_W);
        // Outside the image the subtraction wraps to a number that is no row or column either.
        let row = y0 + pixel / HALO_W - 1u;
        let col = x0 + pixel % HALO_W - 1u;
        var value = 0.0;
        if channel < params.c_in && row < params.h && col < params.w {
            value = f32(x[(x_plane(sample, channel) * params.h + row) * params.w + col]);
        }
        x_tile[pixel * X_STRIDE + t / (HALO_H * HALO_W)] = value;
    }
}

// The halo's pixels above, at and below a row, in one column.
fn x_column(at: u32) -> vec3<f32> {
    return vec3(x_tile[at], x_tile[at + HALO_W * X_STRIDE], x_tile[at + 2u * HALO_W * X_STRIDE]);
}

fn bands_of_sample() -> u32 {
    return (params.h + BAND - 1u) / BAND;
}

fn add_rows(lane: u32, value: f32) -> f32 {
    workgroupBarrier();
    row_sums[lane] = value;
    workgroupBarrier();
    var sum = 0.0;
    for (var s = 0u; s < BAND; s += 1u) {
        sum += row_sums[s * PAIRS + lane % PAIRS];
    }
    return sum;
}

fn store_kernel(
    lane: u32,
    is_first_row: bool,
    out: u32,
    in: u32,
    left: vec3<f32>,
    centre: vec3<f32>,
    right: vec3<f32>,
) {
    let taps = array(
        vec3(left.x, centre.x, right.x),
        vec3(left.y, centre.y, right.y),
        vec3(left.z, centre.z, right.z),
    );
    let writes = is_first_row && out < params.c_out && in < params.c_in;
    let kernel = out * params.c_in + in;
    for (var tap = 0u; tap < 9u; tap += 1u) {
        let sum = add_rows(lane, taps[tap / 3u][tap % 3u]);
        if writes && params.kernel == 3u {
            store(kernel * 9u + tap, sum);
        } else if writes && tap == 4u {
            store(kernel, sum);
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
    let out = lane % PAIRS / TILE_IN;
    let in = lane % TILE_IN;

    // Columns of both kernels; the components are their rows.
    var left_a = vec3<f32>();
    var centre_a = vec3<f32>();
    var right_a = vec3<f32>();
    var left_b = vec3<f32>();
    var centre_b = vec3<f32>();
    var right_b = vec3<f32>();
    let bands = bands_of_sample();
    for (var band = first_band; band < end_band; band += 1u) {
        let sample = band / bands;
        let y0 = band % bands * BAND;
        for (var x0 = 0u; x0 < params.w; x0 += TILE_W) {
            workgroupBarrier();
            stage(lane, sample, first_out, first_in, y0, x0);
            workgroupBarrier();
            // The window moves to the right: each column is read once.
            var at = row * HALO_W * X_STRIDE + in;
            var x_left = x_column(at);
            var x_centre = x_column(at + X_STRIDE);
            for (var col = 0u; col < TILE_W; col += 1u) {
                let x_right = x_column(at + 2u * X_STRIDE);
                let pixel = (row * TILE_W + col) * DY_STRIDE + out;
                let a = dy_tile[pixel];
                let b = dy_tile[pixel + LANES_OUT];
                left_a += x_left * a;
                centre_a += x_centre * a;
                right_a += x_right * a;
                left_b += x_left * b;
                centre_b += x_centre * b;
                right_b += x_right * b;
                x_left = x_centre;
                x_centre = x_right;
                at += X_STRIDE;
            }
        }
    }

    store_kernel(lane, row == 0u, first_out + out, first_in + in, left_a, centre_a, right_a);
    store_kernel(lane, row == 0u, first_out + LANES_OUT + out, first_in + in, left_b, centre_b, right_b);
}
