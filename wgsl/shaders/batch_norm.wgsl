// batch_norm: every channel to zero mean and unit variance over samples and pixels.

struct Params {
    n: u32,
    c: u32,
    hw: u32,
    eps: f32,
    momentum: f32,
}

@group(0) @binding(0) var<uniform> params: Params;

//!pass statistics
//!include shared/linear.wgsl
//!include shared/plane_sum.wgsl
//!stored x
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> rstd: array<f32>;
@group(0) @binding(4) var<storage, read_write> running_mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> running_var: array<f32>;

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
    let channel = linear_group(group, groups);
    if channel >= params.c {
        return;
    }
    // The mean first, then the squares of differences to it: squares of raw values would cancel.
    let first = channel * params.hw;
    let stride = params.c * params.hw;
    let count = params.n * params.hw;
    let average = plane_sum(lane, first, stride, params.n, params.hw, 0.0).x / f32(count);
    let squares = plane_sum(lane, first, stride, params.n, params.hw, average).y;
    if lane == 0u {
        mean[channel] = average;
        rstd[channel] = 1.0 / sqrt(squares / f32(count) + params.eps);
        let unbiased = squares / f32(max(count - 1u, 1u));
        let kept = 1.0 - params.momentum;
        running_mean[channel] = kept * running_mean[channel] + params.momentum * average;
        running_var[channel] = kept * running_var[channel] + params.momentum * unbiased;
    }
}

//!pass forward
//!include shared/planes.wgsl
//!stored x
//!stored y
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read> mean: array<f32>;
@group(0) @binding(3) var<storage, read> rstd: array<f32>;
@group(0) @binding(4) var<storage, read> weight: array<f32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<stored_y>;

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(group, groups, lane, params.n * params.c, params.hw);
    let channel = part.plane % params.c;
    let centre = mean[channel];
    let scale = rstd[channel] * weight[channel];
    let offset = bias[channel];
    for (var i = part.first; i < part.end; i += WORKGROUP) {
        let at = part.plane * params.hw + i;
        y[at] = as_y((f32(x[at]) - centre) * scale + offset);
    }
}

//!pass forward_eval
//!include shared/planes.wgsl
//!stored x
//!stored y
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read> running_mean: array<f32>;
@group(0) @binding(3) var<storage, read> running_var: array<f32>;
@group(0) @binding(4) var<storage, read> weight: array<f32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<stored_y>;

@compute @workgroup_size(WORKGROUP)
fn forward_eval(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(group, groups, lane, params.n * params.c, params.hw);
    let channel = part.plane % params.c;
    let centre = running_mean[channel];
    let scale = 1.0 / sqrt(running_var[channel] + params.eps) * weight[channel];
    let offset = bias[channel];
    for (var i = part.first; i < part.end; i += WORKGROUP) {
        let at = part.plane * params.hw + i;
        y[at] = as_y((f32(x[at]) - centre) * scale + offset);
    }
}

//!pass backward_weight
//!include shared/linear.wgsl
//!include shared/plane_sum.wgsl
//!stored x
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> mean: array<f32>;
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
@group(0) @binding(5) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(6) var<storage, read_write> dbias: array<f32>;

fn terms(index: u32, shift: f32) -> vec2<f32> {
    let d = dy[index];
    return vec2(d * (f32(x[index]) - shift), d);
}

@compute @workgroup_size(WORKGROUP)
fn backward_weight(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let channel = linear_group(group, groups);
    if channel >= params.c {
        return;
    }
    let first = channel * params.hw;
    let sums = plane_sum(lane, first, params.c * params.hw, params.n, params.hw, mean[channel]);
    if lane == 0u {
        dweight[channel] = sums.x * rstd[channel];
        dbias[channel] = sums.y;
    }
}

//!pass backward_input
//!include shared/planes.wgsl
//!stored x
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> mean: array<f32>;
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
@group(0) @binding(5) var<storage, read> weight: array<f32>;
@group(0) @binding(6) var<storage, read> dweight: array<f32>;
@group(0) @binding(7) var<storage, read> dbias: array<f32>;
@group(0) @binding(8) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn backward_input(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(group, groups, lane, params.n * params.c, params.hw);
    let channel = part.plane % params.c;
    let count = f32(params.n * params.hw);
    let centre = mean[channel];
    let inverse = rstd[channel];
    let scale = weight[channel] * inverse;
    let mean_dy = dbias[channel] / count;
    let mean_dy_xhat = dweight[channel] / count;
    for (var i = part.first; i < part.end; i += WORKGROUP) {
        let at = part.plane * params.hw + i;
        let xhat = (f32(x[at]) - centre) * inverse;
        dx[at] = scale * (dy[at] - mean_dy - xhat * mean_dy_xhat);
    }
}
