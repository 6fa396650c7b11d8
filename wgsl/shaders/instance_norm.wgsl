// instance_norm: every plane to zero mean and unit variance over its pixels.

struct Params {
    n: u32,
    c: u32,
    hw: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;

//!pass statistics
//!include shared/linear.wgsl
//!include shared/plane_sum.wgsl
//!stored x
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> rstd: array<f32>;

fn terms(index: u32, shift: f32) -> vec2<f32> {
    let difference = f32(x[index]) - shift;
    return vec2(difference, difference * difference);
}

@compute @workgroup_size(WORKGROUP)
fn statistics(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let plane = linear_group(group, groups);
    if plane >= params.n * params.c {
        return;
    }
    // The mean first, then the squares of differences to it: squares of raw values would cancel.
    let first = plane * params.hw;
    let average = plane_sum(lane, first, 0u, 1u, params.hw, 0.0).x / f32(params.hw);
    let squares = plane_sum(lane, first, 0u, 1u, params.hw, average).y;
    if lane == 0u {
        mean[plane] = average;
        rstd[plane] = 1.0 / sqrt(squares / f32(params.hw) + params.eps);
    }
}

//!pass forward
//!include shared/planes.wgsl
//!stored x
//!stored y
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read> mean: array<f32>;
@group(0) @binding(3) var<storage, read> rstd: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<stored_y>;

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(group, groups, lane, params.n * params.c, params.hw);
    let centre = mean[part.plane];
    let scale = rstd[part.plane];
    for (var i = part.first; i < part.end; i += WORKGROUP) {
        let at = part.plane * params.hw + i;
        y[at] = as_y((f32(x[at]) - centre) * scale);
    }
}

//!pass backward_statistics
//!include shared/linear.wgsl
//!include shared/plane_sum.wgsl
//!stored x
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> mean: array<f32>;
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
@group(0) @binding(5) var<storage, read_write> sum_dy: array<f32>;
@group(0) @binding(6) var<storage, read_write> sum_dy_xhat: array<f32>;

fn terms(index: u32, shift: f32) -> vec2<f32> {
    let d = dy[index];
    return vec2(d, d * (f32(x[index]) - shift));
}

@compute @workgroup_size(WORKGROUP)
fn backward_statistics(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let plane = linear_group(group, groups);
    if plane >= params.n * params.c {
        return;
    }
    let sums = plane_sum(lane, plane * params.hw, 0u, 1u, params.hw, mean[plane]);
    if lane == 0u {
        sum_dy[plane] = sums.x;
        sum_dy_xhat[plane] = sums.y * rstd[plane];
    }
}

//!pass backward_input
//!include shared/planes.wgsl
//!stored x
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> mean: array<f32>;
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
@group(0) @binding(5) var<storage, read> sum_dy: array<f32>;
@group(0) @binding(6) var<storage, read> sum_dy_xhat: array<f32>;
@group(0) @binding(7) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn backward_input(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(group, groups, lane, params.n * params.c, params.hw);
    let centre = mean[part.plane];
    let inverse = rstd[part.plane];
    let mean_dy = sum_dy[part.plane] / f32(params.hw);
    let mean_dy_xhat = sum_dy_xhat[part.plane] / f32(params.hw);
    for (var i = part.first; i < part.end; i += WORKGROUP) {
        let at = part.plane * params.hw + i;
        let xhat = (f32(x[at]) - centre) * inverse;
        dx[at] = inverse * (dy[at] - mean_dy - xhat * mean_dy_xhat);
    }
}
