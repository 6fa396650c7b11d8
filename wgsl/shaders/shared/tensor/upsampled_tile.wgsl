//!include shared/linear.wgsl
//!include shared/gradient_scale.wgsl

// shared/upsampled_tile.wgsl for matrix units: for each tap a product of its weights by a tile's inputs, with factors of f16 and
// sums of f32.
//
// The including pass has the same. It leaves the number of its subgroup in `subgroup`, and how many there are in `subgroups`.
//
// The four taps are four tasks, one for each subgroup of a device with 32 lanes to a subgroup: four products for OUT_BLOCKS times
// SIDE channels of PIXEL_BLOCKS times SIDE pixels. Where there are more subgroups, the others do the last task too; where there are
// fewer, the tile is gone through several times.
alias Weights = coop_mat{SIDE}x{SIDE}<f16, A>;
alias Inputs = coop_mat{SIDE}x{SIDE}<f16, B>;
alias Sums = coop_mat{SIDE}x{SIDE}<f32, C>;

const SIDE: u32 = {SIDE}u;
const WORKGROUP: u32 = 128u;
const TAPS: u32 = 4u;
//!const OUT_BLOCKS 2 1
//!const PIXEL_BLOCKS 2 4
const TILE_OUT: u32 = OUT_BLOCKS * SIDE;
const TILE_PIXELS: u32 = PIXEL_BLOCKS * SIDE;
const CHUNK_IN: u32 = 2u * SIDE;
// Eight more, so that the rows of a matrix lie in different banks.
const X_STRIDE: u32 = TILE_PIXELS + 8u;
const WEIGHT_STRIDE: u32 = TILE_OUT + 8u;
const TAP_STRIDE: u32 = CHUNK_IN * WEIGHT_STRIDE;

var<private> subgroup: u32;
var<private> subgroups: u32;

var<workgroup> x_tile: array<f16, CHUNK_IN * X_STRIDE>;
var<workgroup> weight_tile: array<f16, TAPS * TAP_STRIDE>;
var<workgroup> sum_tile: array<f32, TAPS * SIDE * SIDE>;

fn stage(lane: u32, sample: u32, first_in: u32, first_out: u32, first_pixel: u32) {
    let hw = params.h * params.w;
    for (var t = lane; t < CHUNK_IN * TILE_PIXELS; t += WORKGROUP) {
        let channel = first_in + t / TILE_PIXELS;
        let pixel = first_pixel + t % TILE_PIXELS;
        var value = 0.0;
        if channel < params.c_in && pixel < hw {
            value = f32(x[(sample * params.c_in + channel) * hw + pixel]);
        }
        x_tile[t / TILE_PIXELS * X_STRIDE + t % TILE_PIXELS] = factor(value);
    }
    for (var t = lane; t < CHUNK_IN * TILE_OUT; t += WORKGROUP) {
        let channel = first_in + t / TILE_OUT;
        let out = first_out + t % TILE_OUT;
        var value = vec4<f32>();
        if channel < params.c_in && out < params.c_out {
            let at = 4u * (channel * params.c_out + out);
            value = vec4(weight[at], weight[at + 1u], weight[at + 2u], weight[at + 3u]);
        }
        let place = t / TILE_OUT * WEIGHT_STRIDE + t % TILE_OUT;
        weight_tile[place] = factor(value.x);
        weight_tile[place + TAP_STRIDE] = factor(value.y);
        weight_tile[place + 2u * TAP_STRIDE] = factor(value.z);
        weight_tile[place + 3u * TAP_STRIDE] = factor(value.w);
    }
}

// The block `block` of each tap that this round does, from `sum_tile` to where results go.
fn store_blocks(lane: u32, round: u32, block: u32, sample: u32, first_out: u32, first_pixel: u32) {
    workgroupBarrier();
    for (var t = lane; t < SIDE * SIDE; t += WORKGROUP) {
        let out = first_out + block / PIXEL_BLOCKS * SIDE + t / SIDE;
        let pixel = first_pixel + block % PIXEL_BLOCKS * SIDE + t % SIDE;
        if sample < params.n && out < params.c_out && pixel < params.h * params.w {
            let at = output_index(sample, out, pixel);
            let first = round * subgroups;
            for (var tap = first; tap < min(first + subgroups, TAPS); tap += 1u) {
                let value = sum_tile[tap * SIDE * SIDE + t] + bias[out];
                y[at + tap / 2u * 2u * params.w + tap % 2u] = as_y(value);
            }
        }
    }
    workgroupBarrier();
}

fn upsampled_tile(group: u32, lane: u32) {
    let tiles_out = (params.c_out + TILE_OUT - 1u) / TILE_OUT;
    let tiles = (params.h * params.w + TILE_PIXELS - 1u) / TILE_PIXELS;
    let first_out = group % tiles_out * TILE_OUT;
    let first_pixel = group / tiles_out % tiles * TILE_PIXELS;
    let sample = group / (tiles_out * tiles);
    // Matrices want all lanes to the end: past the work there is nothing to sum and nothing to store.
    let end = select(0u, params.c_in, sample < params.n);

    let rounds = (TAPS + subgroups - 1u) / subgroups;
    for (var round = 0u; round < rounds; round += 1u) {
        let tap = min(round * subgroups + subgroup, TAPS - 1u);
        var c0 = Sums();
        var c1 = Sums();
        var c2 = Sums();
        var c3 = Sums();
        for (var first_in = 0u; first_in < end; first_in += CHUNK_IN) {
            workgroupBarrier();
            stage(lane, sample, first_in, first_out, first_pixel);
            workgroupBarrier();
            for (var in = 0u; in < CHUNK_IN; in += SIDE) {
                let weight = tap * TAP_STRIDE + in * WEIGHT_STRIDE;
                let input = in * X_STRIDE;
                let a0 = coopLoad<Weights>(&weight_tile[weight], WEIGHT_STRIDE);
                let b0 = coopLoadT<Inputs>(&x_tile[input], X_STRIDE);
                let b1 = coopLoadT<Inputs>(&x_tile[input + SIDE], X_STRIDE);
                c0 = coopMultiplyAdd(a0, b0, c0);
                c1 = coopMultiplyAdd(a0, b1, c1);
                if OUT_BLOCKS == 2u {
                    let a1 = coopLoad<Weights>(&weight_tile[weight + SIDE], WEIGHT_STRIDE);
                    c2 = coopMultiplyAdd(a1, b0, c2);
                    c3 = coopMultiplyAdd(a1, b1, c3);
                } else {
                    let b2 = coopLoadT<Inputs>(&x_tile[input + 2u * SIDE], X_STRIDE);
                    let b3 = coopLoadT<Inputs>(&x_tile[input + 3u * SIDE], X_STRIDE);
                    c2 = coopMultiplyAdd(a0, b2, c2);
                    c3 = coopMultiplyAdd(a0, b3, c3);
                }
            }
        }

        // A block at a time, so that little memory does.
        let place = tap * SIDE * SIDE;
        let side = SIDE;
        coopStoreT(c0, &sum_tile[place], side);
        store_blocks(lane, round, 0u, sample, first_out, first_pixel);
        coopStoreT(c1, &sum_tile[place], side);
        store_blocks(lane, round, 1u, sample, first_out, first_pixel);
        coopStoreT(c2, &sum_tile[place], side);
        store_blocks(lane, round, 2u, sample, first_out, first_pixel);
        coopStoreT(c3, &sum_tile[place], side);
        store_blocks(lane, round, 3u, sample, first_out, first_pixel);
    }
}
