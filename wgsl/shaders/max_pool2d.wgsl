// max_pool2d: the maximum of each 2x2 window, stride 2.
//!include shared/planes.wgsl

struct Params {
    n: u32,
    c: u32,
    h: u32,
    w: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

//!pass forward
//!stored x
//!stored y
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read_write> y: array<stored_y>;
@group(0) @binding(3) var<storage, read_write> indices: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let out_w = params.w / 2u;
    let windows = (params.h / 2u) * out_w;
    let part = plane_part(group, groups, lane, params.n * params.c, windows);
    let plane = part.plane * params.h * params.w;
    for (var i = part.first; i < part.end; i += WORKGROUP) {
        let row = i / out_w;
        let first = 2u * row * params.w + 2u * (i - row * out_w);
        // In row-major order, and only a larger value takes over: the first wins ties.
        var index = first;
        var best = f32(x[plane + first]);
        let right = f32(x[plane + first + 1u]);
        if right > best {
            best = right;
            index = first + 1u;
        }
        let below = f32(x[plane + first + params.w]);
        if below > best {
            best = below;
            index = first + params.w;
        }
        let across = f32(x[plane + first + params.w + 1u]);
        if across > best {
            best = across;
            index = first + params.w + 1u;
        }
        y[part.plane * windows + i] = as_y(best);
        indices[part.plane * windows + i] = index;
    }
}

//!pass backward_input
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn backward_input(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let windows = (params.h / 2u) * (params.w / 2u);
    let part = plane_part(group, groups, lane, params.n * params.c, windows);
    let plane = part.plane * params.h * params.w;
    // Windows do not overlap, so that no two lanes add to the same element.
    for (var i = part.first; i < part.end; i += WORKGROUP) {
        let at = part.plane * windows + i;
        if indices[at] < params.h * params.w {
            dx[plane + indices[at]] += dy[at];
        }
    }
}
