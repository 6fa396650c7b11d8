//!include shared/linear.wgsl
//!include shared/gradient_scale.wgsl

// shared/weight_tile.wgsl for matrix units: for each tap a product of SIDE channels of `dy` by SIDE pixels of a row with
// those pixels by SIDE channels of the input, with factors of f16 and sums of f32.
//
// The including pass says the same. It leaves the number of its subgroup in `subgroup`, and how many there are in `subgroups`.
//
// The rows of a band are cut in four tasks of two rows, one for each subgroup of a device with 32 lanes to a subgroup. Where
// there are fewer subgroups, each does several tasks; where there are more, the others do the last again and are not counted.
alias Gradients = coop_mat{SIDE}x{SIDE}<f16, A>;
alias Inputs = coop_mat{SIDE}x{SIDE}<f16, B>;
alias Sums = coop_mat{SIDE}x{SIDE}<f32, C>;

const SIDE: u32 = {SIDE}u;
const WORKGROUP: u32 = 128u;
const TASKS: u32 = 4u;
const BAND: u32 = 8u;
const TILE_OUT: u32 = SIDE;
const TILE_IN: u32 = SIDE;
const TILE_W: u32 = SIDE;
const HALO_W: u32 = TILE_W + 2u;
const HALO: u32 = (BAND + 2u) * HALO_W;
const PIXELS: u32 = BAND * TILE_W;
// Channels vary fastest; eight more, so that the rows of a matrix begin at multiples of 16 bytes, as Vulkan wants it, and in
// different banks.
const STRIDE: u32 = SIDE + 8u;

var<private> subgroup: u32;
var<private> subgroups: u32;

var<workgroup> dy_tile: array<f16, PIXELS * STRIDE>;
var<workgroup> x_tile: array<f16, HALO * STRIDE>;
var<workgroup> sum_tile: array<f32, TASKS * SIDE * SIDE>;

fn stage(lane: u32, sample: u32, first_out: u32, first_in: u32, y0: u32, x0: u32) {
    let scale = gradient_scale();
    let plane = params.h * params.w;
    // A lane takes a pixel of several channels: its place is computed once. Without a branch, all its reads are under way at
    // the same time; what does not exist reads the first number and is not used.
    let pixel = lane % PIXELS;
    let row = y0 + pixel / TILE_W;
    let col = x0 + pixel % TILE_W;
    let is_inside = row < params.h && col < params.w;
    let first = (sample * params.c_out + first_out) * plane + row * params.w + col;
    for (var j = 0u; j < SIDE; j += WORKGROUP / PIXELS) {
        let i = j + lane / PIXELS;
        let exists = is_inside && first_out + i < params.c_out;
        let value = factor(dy[select(0u, first + i * plane, exists)] * scale);
        dy_tile[pixel * STRIDE + i] = select(0.0h, value, exists);
    }
    for (var t = lane; t < 2u * HALO; t += WORKGROUP) {
        let pixel = t % HALO;
        // Outside the image the subtraction wraps to a number that is no row or column either.
        let row = y0 + pixel / HALO_W - 1u;
        let col = x0 + pixel % HALO_W - 1u;
        let is_inside = row < params.h && col < params.w;
        for (var j = 0u; j < SIDE / 2u; j += 1u) {
            let i = t / HALO * (SIDE / 2u) + j;
            let exists = is_inside && first_in + i < params.c_in;
            let at = x_plane(sample, first_in + i) * plane + row * params.w + col;
            let value = factor(f32(x[select(0u, at, exists)]));
            x_tile[pixel * STRIDE + i] = select(0.0h, value, exists);
        }
    }
}

fn bands_of_sample() -> u32 {
    return (params.h + BAND - 1u) / BAND;
}

// Adds the tasks of a tap, in order, and writes the filters' tap.
fn store_tap(lane: u32, tap: u32, first_out: u32, first_in: u32) {
    workgroupBarrier();
    let scale = 1.0 / gradient_scale();
    for (var t = lane; t < SIDE * SIDE; t += WORKGROUP) {
        var sum = 0.0;
        for (var task = 0u; task < min(TASKS, subgroups); task += 1u) {
            sum += sum_tile[task * SIDE * SIDE + t];
        }
        let out = first_out + t / SIDE;
        let in = first_in + t % SIDE;
        if out < params.c_out && in < params.c_in {
            let kernel = out * params.c_in + in;
            if params.kernel == 3u {
                store(kernel * 9u + tap, sum * scale);
            } else if tap == 4u {
                store(kernel, sum * scale);
            }
        }
    }
    workgroupBarrier();
}

// One tile over the bands from `first_band` on; bands are counted over all samples.
fn weight_tile(tile: u32, first_band: u32, end_band: u32, lane: u32) {
    let tiles_in = (params.c_in + TILE_IN - 1u) / TILE_IN;
    let first_out = tile / tiles_in * TILE_OUT;
    let first_in = tile % tiles_in * TILE_IN;
    // Matrices want all lanes to the end: past the work there is nothing to sum and nothing to store.
    let end = select(first_band, end_band, first_out < params.c_out);
    // The sums of each tap, by row and column.
    var c00 = Sums();
    var c01 = Sums();
    var c02 = Sums();
    var c10 = Sums();
    var c11 = Sums();
    var c12 = Sums();
    var c20 = Sums();
    var c21 = Sums();
    var c22 = Sums();
    let bands = bands_of_sample();
    let rounds = (TASKS + subgroups - 1u) / subgroups;
    for (var band = first_band; band < end; band += 1u) {
        let sample = band / bands;
        let y0 = band % bands * BAND;
        for (var x0 = 0u; x0 < params.w; x0 += TILE_W) {
            workgroupBarrier();
            stage(lane, sample, first_out, first_in, y0, x0);
            workgroupBarrier();
            for (var round = 0u; round < rounds; round += 1u) {
                let task = min(round * subgroups + subgroup, TASKS - 1u);
                // Two rows of gradients, and the four of inputs that belong to their taps.
                let gradient = 2u * task * TILE_W * STRIDE;
                let a0 = coopLoad<Gradients>(&dy_tile[gradient], STRIDE);
                let a1 = coopLoad<Gradients>(&dy_tile[gradient + TILE_W * STRIDE], STRIDE);
                let below = HALO_W * STRIDE;
                let left = 2u * task * below;
                let l0 = coopLoadT<Inputs>(&x_tile[left], STRIDE);
                let l1 = coopLoadT<Inputs>(&x_tile[left + below], STRIDE);
                let l2 = coopLoadT<Inputs>(&x_tile[left + 2u * below], STRIDE);
                let l3 = coopLoadT<Inputs>(&x_tile[left + 3u * below], STRIDE);
                c00 = coopMultiplyAdd(a0, l0, c00);
                c10 = coopMultiplyAdd(a0, l1, c10);
                c20 = coopMultiplyAdd(a0, l2, c20);
                c00 = coopMultiplyAdd(a1, l1, c00);
                c10 = coopMultiplyAdd(a1, l2, c10);
                c20 = coopMultiplyAdd(a1, l3, c20);
                let centre = left + STRIDE;
                let m0 = coopLoadT<Inputs>(&x_tile[centre], STRIDE);
                let m1 = coopLoadT<Inputs>(&x_tile[centre + below], STRIDE);
                let m2 = coopLoadT<Inputs>(&x_tile[centre + 2u * below], STRIDE);
                let m3 = coopLoadT<Inputs>(&x_tile[centre + 3u * below], STRIDE);
                c01 = coopMultiplyAdd(a0, m0, c01);
                c11 = coopMultiplyAdd(a0, m1, c11);
                c21 = coopMultiplyAdd(a0, m2, c21);
                c01 = coopMultiplyAdd(a1, m1, c01);
                c11 = coopMultiplyAdd(a1, m2, c11);
                c21 = coopMultiplyAdd(a1, m3, c21);
                let right = centre + STRIDE;
                let r0 = coopLoadT<Inputs>(&x_tile[right], STRIDE);
                let r1 = coopLoadT<Inputs>(&x_tile[right + below], STRIDE);
                let r2 = coopLoadT<Inputs>(&x_tile[right + 2u * below], STRIDE);
                let r3 = coopLoadT<Inputs>(&x_tile[right + 3u * below], STRIDE);
                c02 = coopMultiplyAdd(a0, r0, c02);
                c12 = coopMultiplyAdd(a0, r1, c12);
                c22 = coopMultiplyAdd(a0, r2, c22);
                c02 = coopMultiplyAdd(a1, r1, c02);
                c12 = coopMultiplyAdd(a1, r2, c12);
                c22 = coopMultiplyAdd(a1, r3, c22);
            }
        }
    }

    // A tap at a time, so that little memory does.
    let place = min(subgroup, TASKS - 1u) * SIDE * SIDE;
    let side = SIDE;
    coopStoreT(c00, &sum_tile[place], side);
    store_tap(lane, 0u, first_out, first_in);
    coopStoreT(c01, &sum_tile[place], side);
    store_tap(lane, 1u, first_out, first_in);
    coopStoreT(c02, &sum_tile[place], side);
    store_tap(lane, 2u, first_out, first_in);
    coopStoreT(c10, &sum_tile[place], side);
    store_tap(lane, 3u, first_out, first_in);
    coopStoreT(c11, &sum_tile[place], side);
    store_tap(lane, 4u, first_out, first_in);
    coopStoreT(c12, &sum_tile[place], side);
    store_tap(lane, 5u, first_out, first_in);
    coopStoreT(c20, &sum_tile[place], side);
    store_tap(lane, 6u, first_out, first_in);
    coopStoreT(c21, &sum_tile[place], side);
    store_tap(lane, 7u, first_out, first_in);
    coopStoreT(c22, &sum_tile[place], side);
    store_tap(lane, 8u, first_out, first_in);
}
