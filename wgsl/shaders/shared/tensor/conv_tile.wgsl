//!include shared/linear.wgsl
//!include shared/gradient_scale.wgsl

// shared/conv_tile.wgsl for matrix units: a product of matrices for each tap, with factors of f16 and sums of f32.
//
// The including pass says the same, and `input_scale()`: by what inputs are multiplied before they become f16. It leaves the
// number of its subgroup in `subgroup`, and how many there are in `subgroups`.
//
// A tile is cut in four tasks, one for each subgroup of a device with 32 lanes to a subgroup. A task is TASK_ROWS rows of
// SIDE pixels for OUT_BLOCKS times SIDE channels: four products. Where there are more subgroups, the others do the last task
// too; where there are fewer, the tile is gone through several times.
alias Weights = coop_mat{SIDE}x{SIDE}<f16, A>;
alias Inputs = coop_mat{SIDE}x{SIDE}<f16, B>;
alias Sums = coop_mat{SIDE}x{SIDE}<f32, C>;

const SIDE: u32 = {SIDE}u;
const WORKGROUP: u32 = 128u;
const TASKS: u32 = 4u;
//!const OUT_BLOCKS 2 1
//!const TASK_ROWS 2 4
const TILE_OUT: u32 = OUT_BLOCKS * SIDE;
const TILE_H: u32 = TASKS * TASK_ROWS;
const TILE_W: u32 = SIDE;
const HALO_W: u32 = TILE_W + 2u;
const HALO: u32 = (TILE_H + 2u) * HALO_W;
// Channels vary fastest; eight more, so that the rows of a matrix begin at multiples of 16 bytes, as Vulkan wants it, and in
// different banks.
const STRIDE: u32 = SIDE + 8u;

var<private> subgroup: u32;
var<private> subgroups: u32;

var<workgroup> input_tile: array<f16, HALO * STRIDE>;
var<workgroup> weight_tile: array<f16, 9u * TILE_OUT * STRIDE>;
var<workgroup> sum_tile: array<f32, TASKS * SIDE * SIDE>;

fn stage_inputs(lane: u32, sample: u32, first_in: u32, end_in: u32, y0: u32, x0: u32) {
    let scale = input_scale();
    let plane = params.h * params.w;
    // A lane takes a pixel of half the channels: its place is computed once. Without a branch, all its reads are under way
    // at the same time; what does not exist reads the first number and is not used.
    for (var t = lane; t < 2u * HALO; t += WORKGROUP) {
        let pixel = t % HALO;
        // Outside the image the subtraction wraps to a number that is no row or column either.
        let y = y0 + pixel / HALO_W - 1u;
        let x = x0 + pixel % HALO_W - 1u;
        let is_inside = y < params.h && x < params.w;
        for (var j = 0u; j < SIDE / 2u; j += 1u) {
            let i = t / HALO * (SIDE / 2u) + j;
            let exists = is_inside && first_in + i < end_in;
            let at = input_plane(sample, first_in + i) * plane + y * params.w + x;
            let value = input_at(select(0u, at, exists));
            input_tile[pixel * STRIDE + i] = select(0.0h, factor(value * scale), exists);
        }
    }
}

// `taps` is kernel * kernel, as a literal in each call, so that the loop over them can be unrolled.
fn stage_weights(lane: u32, first_in: u32, end_in: u32, first_out: u32, taps: u32) {
    for (var t = lane; t < TILE_OUT * SIDE; t += WORKGROUP) {
        let out = t / SIDE;
        let in = t % SIDE;
        let exists = first_in + in < end_in && first_out + out < channels_out();
        let from_out = min(first_out + out, channels_out() - 1u);
        let from_in = min(first_in + in, end_in - 1u);
        for (var tap = 0u; tap < taps; tap += 1u) {
            let value = factor(weight_at(from_out, from_in, tap));
            weight_tile[(tap * TILE_OUT + out) * STRIDE + in] = select(0.0h, value, exists);
        }
    }
}

// Tiles of all samples.
fn tile_count() -> u32 {
    let tiles_x = (params.w + TILE_W - 1u) / TILE_W;
    let tiles_y = (params.h + TILE_H - 1u) / TILE_H;
    return params.n * tiles_x * tiles_y * ((channels_out() + TILE_OUT - 1u) / TILE_OUT);
}

// The block `block` of each task that this round does, from `sum_tile` to where results go.
fn store_blocks(lane: u32, round: u32, block: u32, sample: u32, first_out: u32, y0: u32, x0: u32) {
    workgroupBarrier();
    let scale = 1.0 / input_scale();
    for (var t = lane; t < TASKS * SIDE * SIDE; t += WORKGROUP) {
        let task = t / (SIDE * SIDE);
        let out = first_out + block / TASK_ROWS * SIDE + t / SIDE % SIDE;
        let y = y0 + task * TASK_ROWS + block % TASK_ROWS;
        let x = x0 + t % SIDE;
        let is_of_round = task / subgroups == round;
        if is_of_round && sample < params.n && out < channels_out() && y < params.h && x < params.w {
            let finish = finish_of(sample, out);
            let value = (sum_tile[t] * scale - finish.x) * finish.y + finish.z;
            store((output_plane(sample, out) * params.h + y) * params.w + x, value);
        }
    }
    //!with shared/tile_statistics.wgsl block_statistics(lane, round, block, x0);
    workgroupBarrier();
}

// One tile, summed over the input channels from `begin_in` to before `end_in`.
fn conv_tile(group: u32, lane: u32, begin_in: u32, end_in: u32) {
    let tiles_x = (params.w + TILE_W - 1u) / TILE_W;
    let tiles_y = (params.h + TILE_H - 1u) / TILE_H;
    let tiles_out = (channels_out() + TILE_OUT - 1u) / TILE_OUT;
    // Channels vary fastest: neighbouring workgroups read the same inputs.
    let first_out = group % tiles_out * TILE_OUT;
    let tile = group / tiles_out;
    let x0 = tile % tiles_x * TILE_W;
    let y0 = tile / tiles_x % tiles_y * TILE_H;
    let sample = tile / (tiles_x * tiles_y);
    // Matrices want all lanes to the end: past the work there is nothing to sum and nothing to store.
    let end = select(begin_in, end_in, sample < params.n);

    let rounds = (TASKS + subgroups - 1u) / subgroups;
    for (var round = 0u; round < rounds; round += 1u) {
        let task = min(round * subgroups + subgroup, TASKS - 1u);
        var c0 = Sums();
        var c1 = Sums();
        var c2 = Sums();
        var c3 = Sums();
        for (var first_in = begin_in; first_in < end; first_in += SIDE) {
            workgroupBarrier();
            stage_inputs(lane, sample, first_in, end_in, y0, x0);
            if params.kernel == 3u {
                stage_weights(lane, first_in, end_in, first_out, 9u);
            } else {
                stage_weights(lane, first_in, end_in, first_out, 1u);
            }
            workgroupBarrier();
            let below = HALO_W * STRIDE;
            let first_row = task * TASK_ROWS * below;
            if params.kernel == 3u {
                // A column of the kernel at a time: TASK_ROWS + 2 rows of inputs serve its three taps.
                for (var column = 0u; column < 3u; column += 1u) {
                    let input = first_row + column * STRIDE;
                    let b0 = coopLoad<Inputs>(&input_tile[input], STRIDE);
                    let b1 = coopLoad<Inputs>(&input_tile[input + below], STRIDE);
                    let b2 = coopLoad<Inputs>(&input_tile[input + 2u * below], STRIDE);
                    let b3 = coopLoad<Inputs>(&input_tile[input + 3u * below], STRIDE);
                    let upper = column * TILE_OUT * STRIDE;
                    let middle = upper + 3u * TILE_OUT * STRIDE;
                    let lower = middle + 3u * TILE_OUT * STRIDE;
                    let a0 = coopLoadT<Weights>(&weight_tile[upper], STRIDE);
                    let a1 = coopLoadT<Weights>(&weight_tile[middle], STRIDE);
                    let a2 = coopLoadT<Weights>(&weight_tile[lower], STRIDE);
                    c0 = coopMultiplyAdd(a0, b0, c0);
                    c1 = coopMultiplyAdd(a0, b1, c1);
                    c0 = coopMultiplyAdd(a1, b1, c0);
                    c1 = coopMultiplyAdd(a1, b2, c1);
                    c0 = coopMultiplyAdd(a2, b2, c0);
                    c1 = coopMultiplyAdd(a2, b3, c1);
                    if OUT_BLOCKS == 2u {
                        let next = SIDE * STRIDE;
                        let d0 = coopLoadT<Weights>(&weight_tile[upper + next], STRIDE);
                        let d1 = coopLoadT<Weights>(&weight_tile[middle + next], STRIDE);
                        let d2 = coopLoadT<Weights>(&weight_tile[lower + next], STRIDE);
                        c2 = coopMultiplyAdd(d0, b0, c2);
                        c3 = coopMultiplyAdd(d0, b1, c3);
                        c2 = coopMultiplyAdd(d1, b1, c2);
                        c3 = coopMultiplyAdd(d1, b2, c3);
                        c2 = coopMultiplyAdd(d2, b2, c2);
                        c3 = coopMultiplyAdd(d2, b3, c3);
                    } else {
                        let b4 = coopLoad<Inputs>(&input_tile[input + 4u * below], STRIDE);
                        let b5 = coopLoad<Inputs>(&input_tile[input + 5u * below], STRIDE);
                        c2 = coopMultiplyAdd(a0, b2, c2);
                        c3 = coopMultiplyAdd(a0, b3, c3);
                        c2 = coopMultiplyAdd(a1, b3, c2);
                        c3 = coopMultiplyAdd(a1, b4, c3);
                        c2 = coopMultiplyAdd(a2, b4, c2);
                        c3 = coopMultiplyAdd(a2, b5, c3);
                    }
                }
            } else {
                // Only the centre.
                let input = first_row + below + STRIDE;
                let a0 = coopLoadT<Weights>(&weight_tile[0], STRIDE);
                let b0 = coopLoad<Inputs>(&input_tile[input], STRIDE);
                let b1 = coopLoad<Inputs>(&input_tile[input + below], STRIDE);
                c0 = coopMultiplyAdd(a0, b0, c0);
                c1 = coopMultiplyAdd(a0, b1, c1);
                if OUT_BLOCKS == 2u {
                    let d0 = coopLoadT<Weights>(&weight_tile[SIDE * STRIDE], STRIDE);
                    c2 = coopMultiplyAdd(d0, b0, c2);
                    c3 = coopMultiplyAdd(d0, b1, c3);
                } else {
                    let b2 = coopLoad<Inputs>(&input_tile[input + 2u * below], STRIDE);
                    let b3 = coopLoad<Inputs>(&input_tile[input + 3u * below], STRIDE);
                    c2 = coopMultiplyAdd(a0, b2, c2);
                    c3 = coopMultiplyAdd(a0, b3, c3);
                }
            }
        }

        // A block at a time, so that little memory does.
        let place = task * SIDE * SIDE;
        let side = SIDE;
        coopStoreT(c0, &sum_tile[place], side);
        store_blocks(lane, round, 0u, sample, first_out, y0, x0);
        coopStoreT(c1, &sum_tile[place], side);
        store_blocks(lane, round, 1u, sample, first_out, y0, x0);
        coopStoreT(c2, &sum_tile[place], side);
        store_blocks(lane, round, 2u, sample, first_out, y0, x0);
        coopStoreT(c3, &sum_tile[place], side);
        store_blocks(lane, round, 3u, sample, first_out, y0, x0);
    }
    //!with shared/tile_statistics.wgsl tile_statistics(lane, sample, first_out, y0, x0);
}
