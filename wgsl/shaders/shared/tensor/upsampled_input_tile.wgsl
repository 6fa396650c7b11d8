//!include shared/linear.wgsl
//!include shared/gradient_scale.wgsl

// shared/upsampled_input_tile.wgsl for matrix units: a product of weights by gradients for each tap, with factors of f16 and
// sums of f32.
//
// The including pass has the same. It leaves the number of its subgroup in `subgroup`, and how many there are in `subgroups`.
//
// A tile is cut in four tasks, one for each subgroup of a device with 32 lanes to a subgroup. A task is SIDE pixels of IN_BLOCKS
// times SIDE channels. Where there are more subgroups, the others do the last task too; where there are fewer, the tile is gone
// through several times.
alias Weights = coop_mat{SIDE}x{SIDE}<f16, A>;
alias Gradients = coop_mat{SIDE}x{SIDE}<f16, B>;
alias Sums = coop_mat{SIDE}x{SIDE}<f32, C>;

const SIDE: u32 = {SIDE}u;
const WORKGROUP: u32 = 128u;
const TASKS: u32 = 4u;
const TAPS: u32 = 4u;
//!const IN_BLOCKS 4 2
const TILE_IN: u32 = IN_BLOCKS * SIDE;
const TILE_PIXELS: u32 = TASKS * SIDE;
// Eight more, so that the rows of a matrix lie in different banks.
const DY_STRIDE: u32 = TILE_PIXELS + 8u;
const WEIGHT_STRIDE: u32 = SIDE + 8u;
// From tap to tap.
const DY_TAP: u32 = SIDE * DY_STRIDE;
const WEIGHT_TAP: u32 = TILE_IN * WEIGHT_STRIDE;

var<private> subgroup: u32;
var<private> subgroups: u32;

var<workgroup> dy_tile: array<f16, TAPS * DY_TAP>;
var<workgroup> weight_tile: array<f16, TAPS * WEIGHT_TAP>;
var<workgroup> sum_tile: array<f32, SIDE * TILE_PIXELS>;

// `dy` has four times as many pixels as the sizes say.
fn dy_scale() -> f32 {
    return 4.0 * gradient_scale();
}

fn stage(lane: u32, sample: u32, first_out: u32, first_in: u32, first_pixel: u32) {
    let scale = dy_scale();
    for (var t = lane; t < SIDE * TILE_PIXELS; t += WORKGROUP) {
        let channel = first_out + t / TILE_PIXELS;
        let pixel = first_pixel + t % TILE_PIXELS;
        var value = vec4<f32>();
        if channel < params.c_out && pixel < params.h * params.w {
            let upper = output_index(sample, channel, pixel);
            let lower = upper + 2u * params.w;
            value = vec4(dy[upper], dy[upper + 1u], dy[lower], dy[lower + 1u]) * scale;
        }
        let place = t / TILE_PIXELS * DY_STRIDE + t % TILE_PIXELS;
        dy_tile[place] = factor(value.x);
        dy_tile[place + DY_TAP] = factor(value.y);
        dy_tile[place + 2u * DY_TAP] = factor(value.z);
        dy_tile[place + 3u * DY_TAP] = factor(value.w);
    }
    for (var t = lane; t < TILE_IN * SIDE; t += WORKGROUP) {
        let channel = first_in + t / SIDE;
        let out = first_out + t % SIDE;
        var value = vec4<f32>();
        if channel < params.c_in && out < params.c_out {
            let at = 4u * (channel * params.c_out + out);
            value = vec4(weight[at], weight[at + 1u], weight[at + 2u], weight[at + 3u]);
        }
        let place = t / SIDE * WEIGHT_STRIDE + t % SIDE;
        weight_tile[place] = factor(value.x);
        weight_tile[place + WEIGHT_TAP] = factor(value.y);
        weight_tile[place + 2u * WEIGHT_TAP] = factor(value.z);
        weight_tile[place + 3u * WEIGHT_TAP] = factor(value.w);
    }
}

// The block `block` of each task that this round does, from `sum_tile` to where results go.
fn store_blocks(lane: u32, round: u32, block: u32, sample: u32, first_in: u32, first_pixel: u32) {
    workgroupBarrier();
    let hw = params.h * params.w;
    let scale = 1.0 / dy_scale();
    for (var t = lane; t < SIDE * TILE_PIXELS; t += WORKGROUP) {
        let channel = first_in + block * SIDE + t / TILE_PIXELS;
        let pixel = first_pixel + t % TILE_PIXELS;
        let is_of_round = t % TILE_PIXELS / SIDE / subgroups == round;
        if is_of_round && sample < params.n && channel < params.c_in && pixel < hw {
            dx[(sample * params.c_in + channel) * hw + pixel] = sum_tile[t] * scale;
        }
    }
    workgroupBarrier();
}

fn input_tile(group: u32, lane: u32) {
    let tiles_in = (params.c_in + TILE_IN - 1u) / TILE_IN;
    let tiles = (params.h * params.w + TILE_PIXELS - 1u) / TILE_PIXELS;
    let first_in = group % tiles_in * TILE_IN;
    let first_pixel = group / tiles_in % tiles * TILE_PIXELS;
    let sample = group / (tiles_in * tiles);
    // Matrices want all lanes to the end: past the work there is nothing to sum and nothing to store.
    let end = select(0u, params.c_out, sample < params.n);

    let rounds = (TASKS + subgroups - 1u) / subgroups;
    for (var round = 0u; round < rounds; round += 1u) {
        let task = min(round * subgroups + subgroup, TASKS - 1u);
        var c0 = Sums();
        var c1 = Sums();
        var c2 = Sums();
        var c3 = Sums();
        for (var first_out = 0u; first_out < end; first_out += SIDE) {
            workgroupBarrier();
            stage(lane, sample, first_out, first_in, first_pixel);
            workgroupBarrier();
            for (var tap = 0u; tap < TAPS; tap += 1u) {
                let gradient = tap * DY_TAP + task * SIDE;
                let weight = tap * WEIGHT_TAP;
                let block = SIDE * WEIGHT_STRIDE;
                let b = coopLoadT<Gradients>(&dy_tile[gradient], DY_STRIDE);
                let a0 = coopLoadT<Weights>(&weight_tile[weight], WEIGHT_STRIDE);
                c0 = coopMultiplyAdd(a0, b, c0);
                let a1 = coopLoadT<Weights>(&weight_tile[weight + block], WEIGHT_STRIDE);
                c1 = coopMultiplyAdd(a1, b, c1);
                if IN_BLOCKS == 4u {
                    let a2 = coopLoadT<Weights>(&weight_tile[weight + 2u * block], WEIGHT_STRIDE);
                    c2 = coopMultiplyAdd(a2, b, c2);
                    let a3 = coopLoadT<Weights>(&weight_tile[weight + 3u * block], WEIGHT_STRIDE);
                    c3 = coopMultiplyAdd(a3, b, c3);
                }
            }
        }

        // A block at a time, so that little memory does.
        let place = task * SIDE;
        let stride = TILE_PIXELS;
        coopStoreT(c0, &sum_tile[place], stride);
        store_blocks(lane, round, 0u, sample, first_in, first_pixel);
        coopStoreT(c1, &sum_tile[place], stride);
        store_blocks(lane, round, 1u, sample, first_in, first_pixel);
        if IN_BLOCKS == 4u {
            coopStoreT(c2, &sum_tile[place], stride);
            store_blocks(lane, round, 2u, sample, first_in, first_pixel);
            coopStoreT(c3, &sum_tile[place], stride);
            store_blocks(lane, round, 3u, sample, first_in, first_pixel);
        }
    }
}
