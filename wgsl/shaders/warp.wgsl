// warp: patches turned, scaled and sheared about their centres, with other contrast and brightness.
//!include shared/planes.wgsl

struct Params {
    n: u32,
    c: u32,
    h: u32,
    w: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

// One in a transform's matrix, and a pixel in the positions that follow from it.
const ONE: i32 = 16384i;
const PIXEL: i32 = 32768i;

// Where along an axis a pixel comes from, mirrored at the first and the last one.
fn mirrored(turned: i32, size: u32) -> i32 {
    let last = (i32(size) - 1i) * PIXEL;
    if last == 0i {
        return 0i;
    }
    let period = 2i * last;
    var at = (turned + last / 2i) % period;
    if at < 0i {
        at += period;
    }
    return min(at, period - at);
}

// The row and column that the pixel `i` of a patch comes from.
fn source(matrix: vec4<i32>, i: u32) -> vec2<i32> {
    let row = 2i * i32(i / params.w) - (i32(params.h) - 1i);
    let column = 2i * i32(i % params.w) - (i32(params.w) - 1i);
    return vec2(
        mirrored(matrix.x * row + matrix.y * column, params.h),
        mirrored(matrix.z * row + matrix.w * column, params.w),
    );
}

//!pass images
//!stored y
//!include shared/transform.wgsl
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> transforms: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<stored_y>;

@compute @workgroup_size(WORKGROUP)
fn images(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(group, groups, lane, params.n * params.c, params.h * params.w);
    let sample = part.plane / params.c;
    let matrix = matrix_of(sample);
    let gain = bitcast<f32>(transforms[6u * sample + 4u]);
    let offset = bitcast<f32>(transforms[6u * sample + 5u]);
    let plane = part.plane * params.h * params.w;
    for (var i = part.first; i < part.end; i += WORKGROUP) {
        let at = source(matrix, i);
        let first = vec2<u32>(at / PIXEL);
        let next = min(first + 1u, vec2(params.h, params.w) - 1u);
        // Exact, as a division need not be.
        let share = vec2<f32>(at % PIXEL) * (1.0 / 32768.0);
        let upper = plane + first.x * params.w;
        let lower = plane + next.x * params.w;
        let above = (1.0 - share.y) * x[upper + first.y] + share.y * x[upper + next.y];
        let below = (1.0 - share.y) * x[lower + first.y] + share.y * x[lower + next.y];
        y[plane + i] = as_y(gain * ((1.0 - share.x) * above + share.x * below) + offset);
    }
}

//!pass labels
//!include shared/transform.wgsl
@group(0) @binding(1) var<storage, read> labels_: array<u32>;
@group(0) @binding(2) var<storage, read> transforms: array<u32>;
@group(0) @binding(3) var<storage, read_write> warped: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn labels(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(group, groups, lane, params.n, params.h * params.w);
    let matrix = matrix_of(part.plane);
    let plane = part.plane * params.h * params.w;
    for (var i = part.first; i < part.end; i += WORKGROUP) {
        let at = vec2<u32>((source(matrix, i) + ONE) / PIXEL);
        warped[plane + i] = labels_[plane + at.x * params.w + at.y];
    }
}
