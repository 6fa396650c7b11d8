//!include shared/linear.wgsl
//!include shared/gradient_scale.wgsl

// shared/upsampled_weight_tile.wgsl for matrix units: for each tap a product of SIDE channels of the input by SIDE pixels with
// those pixels by SIDE channels of `dy`, with factors of f16 and sums of f32.
//
// The including pass says the same. It leaves the number of its subgroup in `subgroup`, and how many there are in `subgroups`.
//
// The pixels of a chunk are cut in four tasks, one for each subgroup of a device with 32 lanes to a subgroup. Where there are
// fewer subgroups, each does several tasks; where there are more, the others do the last again and are not counted.
alias Inputs = coop_mat{SIDE}x{SIDE}<f16, A>;
alias Gradients = coop_mat{SIDE}x{SIDE}<f16, B>;
alias Sums = coop_mat{SIDE}x{SIDE}<f32, C>;

const SIDE: u32 = {SIDE}u;
const WORKGROUP: u32 = 128u;
const TASKS: u32 = 4u;
const TAPS: u32 = 4u;
const TILE_IN: u32 = SIDE;
const TILE_OUT: u32 = SIDE;
const CHUNK: u32 = 64u;
const TASK_PIXELS: u32 = CHUNK / TASKS;
// Eight more, so that the rows of a matrix lie in different banks.
const STRIDE: u32 = CHUNK + 8u;
const TAP_STRIDE: u32 = SIDE * STRIDE;

var<private> subgroup: u32;
var<private> subgroups: u32;

var<workgroup> x_tile: array<f16, SIDE * STRIDE>;
var<workgroup> dy_tile: array<f16, TAPS * TAP_STRIDE>;
var<workgroup> sum_tile: array<f32, TASKS * SIDE * SIDE>;

// `dy` has four times as many pixels as the sizes say.
fn dy_scale() -> f32 {
    return 4.0 * gradient_scale();
}

fn stage(lane: u32, sample: u32, first_in: u32, first_out: u32, first_pixel: u32) {
    let hw = params.h * params.w;
    let scale = dy_scale();
    for (var t = lane; t < SIDE * CHUNK; t += WORKGROUP) {
        let in = first_in + t / CHUNK;
        let out = first_out + t / CHUNK;
        let pixel = first_pixel + t % CHUNK;
        let place = t / CHUNK * STRIDE + t % CHUNK;
        var value = 0.0;
        if in < params.c_in && pixel < hw {
            value = f32(x[(sample * params.c_in + in) * hw + pixel]);
        }
        x_tile[place] = factor(value);
        var gradient = vec4<f32>();
        if out < params.c_out && pixel < hw {
            let upper = output_index(sample, out, pixel);
            let lower = upper + 2u * params.w;
            gradient = vec4(dy[upper], dy[upper + 1u], dy[lower], dy[lower + 1u]) * scale;
        }
        dy_tile[place] = factor(gradient.x);
        dy_tile[place + TAP_STRIDE] = factor(gradient.y);
        dy_tile[place + 2u * TAP_STRIDE] = factor(gradient.z);
        dy_tile[place + 3u * TAP_STRIDE] = factor(gradient.w);
    }
}

fn chunks_of_sample() -> u32 {
    return (params.h * params.w + CHUNK - 1u) / CHUNK;
}

// Adds the tasks of a tap, in order, and writes the filters' tap.
fn store_tap(lane: u32, tap: u32, first_in: u32, first_out: u32) {
    workgroupBarrier();
    let scale = 1.0 / dy_scale();
    for (var t = lane; t < SIDE * SIDE; t += WORKGROUP) {
        var sum = 0.0;
        for (var task = 0u; task < min(TASKS, subgroups); task += 1u) {
            sum += sum_tile[task * SIDE * SIDE + t];
        }
        let in = first_in + t / SIDE;
        let out = first_out + t % SIDE;
        if in < params.c_in && out < params.c_out {
            store(4u * (in * params.c_out + out) + tap, sum * scale);
        }
    }
    workgroupBarrier();
}

// One tile over the chunks from `begin_chunk` to before `end_chunk`; chunks are counted over all samples.
fn weight_tile(tile: u32, begin_chunk: u32, end_chunk: u32, lane: u32) {
    let tiles_out = (params.c_out + TILE_OUT - 1u) / TILE_OUT;
    let first_in = tile / tiles_out * TILE_IN;
    let first_out = tile % tiles_out * TILE_OUT;
    // Matrices want all lanes to the end: past the work there is nothing to sum and nothing to store.
    let end = select(begin_chunk, end_chunk, first_in < params.c_in);
    var c0 = Sums();
    var c1 = Sums();
    var c2 = Sums();
    var c3 = Sums();
    let chunks = chunks_of_sample();
    let rounds = (TASKS + subgroups - 1u) / subgroups;
    for (var chunk = begin_chunk; chunk < end; chunk += 1u) {
        workgroupBarrier();
        stage(lane, chunk / chunks, first_in, first_out, chunk % chunks * CHUNK);
        workgroupBarrier();
        for (var round = 0u; round < rounds; round += 1u) {
            let task = min(round * subgroups + subgroup, TASKS - 1u);
            for (var i = 0u; i < TASK_PIXELS; i += SIDE) {
                let pixel = task * TASK_PIXELS + i;
                let a = coopLoadT<Inputs>(&x_tile[pixel], STRIDE);
                let b0 = coopLoad<Gradients>(&dy_tile[pixel], STRIDE);
                c0 = coopMultiplyAdd(a, b0, c0);
                let b1 = coopLoad<Gradients>(&dy_tile[TAP_STRIDE + pixel], STRIDE);
                c1 = coopMultiplyAdd(a, b1, c1);
                let b2 = coopLoad<Gradients>(&dy_tile[2u * TAP_STRIDE + pixel], STRIDE);
                c2 = coopMultiplyAdd(a, b2, c2);
                let b3 = coopLoad<Gradients>(&dy_tile[3u * TAP_STRIDE + pixel], STRIDE);
                c3 = coopMultiplyAdd(a, b3, c3);
            }
        }
    }

    // A tap at a time, so that little memory does.
    let place = min(subgroup, TASKS - 1u) * SIDE * SIDE;
    let side = SIDE;
    coopStoreT(c0, &sum_tile[place], side);
    store_tap(lane, 0u, first_in, first_out);
    coopStoreT(c1, &sum_tile[place], side);
    store_tap(lane, 1u, first_in, first_out);
    coopStoreT(c2, &sum_tile[place], side);
    store_tap(lane, 2u, first_in, first_out);
    coopStoreT(c3, &sum_tile[place], side);
    store_tap(lane, 3u, first_in, first_out);
}
