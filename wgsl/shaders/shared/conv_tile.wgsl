//!include shared/linear.wgsl

// Cross-correlation with kernel 1 or 3, stride 1 and zero padding, by tiles: a workgroup computes TILE_OUT
// channels of TILE_H x TILE_W pixels, going through the input channels by CHUNK_IN at a time.
//
// The including pass says what is correlated with what:
//   channels_out() -> u32
//   input_plane(sample, channel) -> u32, output_plane(sample, channel) -> u32
//   input_at(index) -> f32            index into planes of h * w
//   weight_at(out, in, tap) -> f32    both channels exist, tap < kernel * kernel
//   finish_of(sample, out) -> vec3    what becomes of a sum: (sum - .x) * .y + .z
//   store(index, value)               index into planes of h * w
const WORKGROUP: u32 = 128u;
const TILE_W: u32 = 16u;
// Few channels take more pixels, so that no lane is idle.
//!const TILE_H 8 16 32
//!const TILE_OUT 32 16 8
const CHUNK_IN: u32 = 4u;

// A lane computes ROWS pixels below each other, each for 8 channels. The lanes of a warp of 32 share their
// channels, so that a weight is one broadcast; with a stride of 20 their pixels lie in different banks.
const ROWS: u32 = 4u;
const HALO_H: u32 = TILE_H + 2u;
const HALO_STRIDE: u32 = 20u;
const HALO: u32 = HALO_H * HALO_STRIDE;
// Four channels to a vec4, and one vec4 more between taps against bank conflicts of the writes.
const WEIGHT_STRIDE: u32 = TILE_OUT / 4u + 1u;

var<workgroup> input_tile: array<f32, CHUNK_IN * HALO>;
var<workgroup> weight_tile: array<vec4<f32>, CHUNK_IN * 9u * WEIGHT_STRIDE>;

// Sums of a lane: `a` its first four channels, `b` the other four; a digit for each row.
struct Sums {
    a0: vec4<f32>, a1: vec4<f32>, a2: vec4<f32>, a3: vec4<f32>,
    b0: vec4<f32>, b1: vec4<f32>, b2: vec4<f32>, b3: vec4<f32>,
}

fn stage_inputs(lane: u32, sample: u32, first_in: u32, end_in: u32, y0: u32, x0: u32) {
    let plane = params.h * params.w;
    // A lane takes a pixel of every channel: its place is computed once. Without a branch, all its reads are under way at
    // the same time; what does not exist reads the first number and is not used.
    for (var t = lane; t < HALO; t += WORKGROUP) {
        // The halo starts one row and column before the tile: where that is outside, the subtraction wraps to a
        // number that is no row or column either.
        let y = y0 + t / HALO_STRIDE - 1u;
        let x = x0 + t % HALO_STRIDE - 1u;
        let is_inside = y < params.h && x < params.w;
        for (var i = 0u; i < CHUNK_IN; i += 1u) {
            let exists = is_inside && first_in + i < end_in;
            let at = input_plane(sample, first_in + i) * plane + y * params.w + x;
            input_tile[i * HALO + t] = select(0.0, input_at(select(0u, at, exists)), exists);
        }
    }
}

// `taps` is kernel * kernel, as a literal in each call, so that the divisions below are by constants.
fn stage_weights(lane: u32, first_in: u32, end_in: u32, first_out: u32, taps: u32) {
    for (var t = lane; t < CHUNK_IN * taps * (TILE_OUT / 4u); t += WORKGROUP) {
        let k = t % (CHUNK_IN * taps);
        let four = t / (CHUNK_IN * taps);
        let channel = first_in + k / taps;
        let tap = k % taps;
        // Channels that are not there have the weights of the last one: their sums are never stored.
        let out = min(vec4(first_out + four * 4u) + vec4(0u, 1u, 2u, 3u), vec4(channels_out() - 1u));
        let in = min(channel, end_in - 1u);
        let value = vec4(
            weight_at(out.x, in, tap),
            weight_at(out.y, in, tap),
            weight_at(out.z, in, tap),
            weight_at(out.w, in, tap),
        );
        weight_tile[k * WEIGHT_STRIDE + four] = select(vec4<f32>(), value, channel < end_in);
    }
}

fn add_tap(sums: ptr<function, Sums>, weight: u32, i0: f32, i1: f32, i2: f32, i3: f32) {
    let a = weight_tile[weight];
    let b = weight_tile[weight + 1u];
    (*sums).a0 += a * i0;
    (*sums).a1 += a * i1;
    (*sums).a2 += a * i2;
    (*sums).a3 += a * i3;
    (*sums).b0 += b * i0;
    (*sums).b1 += b * i1;
    (*sums).b2 += b * i2;
    (*sums).b3 += b * i3;
}

// One column of a 3x3 kernel: six inputs serve three taps of four rows.
fn add_column(sums: ptr<function, Sums>, weight: u32, input: u32) {
    let i0 = input_tile[input];
    let i1 = input_tile[input + HALO_STRIDE];
    let i2 = input_tile[input + 2u * HALO_STRIDE];
    let i3 = input_tile[input + 3u * HALO_STRIDE];
    let i4 = input_tile[input + 4u * HALO_STRIDE];
    let i5 = input_tile[input + 5u * HALO_STRIDE];
    add_tap(sums, weight, i0, i1, i2, i3);
    add_tap(sums, weight + 3u * WEIGHT_STRIDE, i1, i2, i3, i4);
    add_tap(sums, weight + 6u * WEIGHT_STRIDE, i2, i3, i4, i5);
}

fn store_rows(sample: u32, out: u32, y: u32, x: u32, rows: vec4<f32>) {
    if out >= channels_out() || x >= params.w {
        return;
    }
    let at = (output_plane(sample, out) * params.h + y) * params.w + x;
    let finish = finish_of(sample, out);
    let values = (rows - finish.x) * finish.y + finish.z;
    if y < params.h { store(at, values.x); }
    if y + 1u < params.h { store(at + params.w, values.y); }
    if y + 2u < params.h { store(at + 2u * params.w, values.z); }
    if y + 3u < params.h { store(at + 3u * params.w, values.w); }
}

// Tiles of all samples.
fn tile_count() -> u32 {
    let tiles_x = (params.w + TILE_W - 1u) / TILE_W;
    let tiles_y = (params.h + TILE_H - 1u) / TILE_H;
    return params.n * tiles_x * tiles_y * ((channels_out() + TILE_OUT - 1u) / TILE_OUT);
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
    if sample >= params.n {
        return;
    }

    let x = lane % TILE_W;
    let y = lane / TILE_W % (TILE_H / ROWS) * ROWS;
    let eight = lane / (TILE_W * TILE_H / ROWS);
    let out = first_out + 8u * eight;
    var sums = Sums();
    for (var first_in = begin_in; first_in < end_in; first_in += CHUNK_IN) {
        workgroupBarrier();
        stage_inputs(lane, sample, first_in, end_in, y0, x0);
        if params.kernel == 3u {
            stage_weights(lane, first_in, end_in, first_out, 9u);
        } else {
            stage_weights(lane, first_in, end_in, first_out, 1u);
        }
        workgroupBarrier();
        if out < channels_out() {
            let channels = min(CHUNK_IN, end_in - first_in);
            for (var i = 0u; i < channels; i += 1u) {
                let input = i * HALO + y * HALO_STRIDE + x;
                if params.kernel == 3u {
                    let weight = i * 9u * WEIGHT_STRIDE + 2u * eight;
                    add_column(&sums, weight, input);
                    add_column(&sums, weight + WEIGHT_STRIDE, input + 1u);
                    add_column(&sums, weight + 2u * WEIGHT_STRIDE, input + 2u);
                } else {
                    let centre = input + HALO_STRIDE + 1u;
                    add_tap(
                        &sums,
                        i * WEIGHT_STRIDE + 2u * eight,
                        input_tile[centre],
                        input_tile[centre + HALO_STRIDE],
                        input_tile[centre + 2u * HALO_STRIDE],
                        input_tile[centre + 3u * HALO_STRIDE],
                    );
                }
            }
        }
    }

    store_rows(sample, out, y0 + y, x0 + x, vec4(sums.a0.x, sums.a1.x, sums.a2.x, sums.a3.x));
    store_rows(sample, out + 1u, y0 + y, x0 + x, vec4(sums.a0.y, sums.a1.y, sums.a2.y, sums.a3.y));
    store_rows(sample, out + 2u, y0 + y, x0 + x, vec4(sums.a0.z, sums.a1.z, sums.a2.z, sums.a3.z));
    store_rows(sample, out + 3u, y0 + y, x0 + x, vec4(sums.a0.w, sums.a1.w, sums.a2.w, sums.a3.w));
    store_rows(sample, out + 4u, y0 + y, x0 + x, vec4(sums.b0.x, sums.b1.x, sums.b2.x, sums.b3.x));
    store_rows(sample, out + 5u, y0 + y, x0 + x, vec4(sums.b0.y, sums.b1.y, sums.b2.y, sums.b3.y));
    store_rows(sample, out + 6u, y0 + y, x0 + x, vec4(sums.b0.z, sums.b1.z, sums.b2.z, sums.b3.z));
    store_rows(sample, out + 7u, y0 + y, x0 + x, vec4(sums.b0.w, sums.b1.w, sums.b2.w, sums.b3.w));
    //!with shared/tile_statistics.wgsl tile_statistics(lane, sample, first_out, y0, x0, sums);
}
