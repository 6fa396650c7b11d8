// batch_norm_split: the sums over a channel that batch norm needs, in slices of the channel.

struct Params {
    n: u32,
    c: u32,
    hw: u32,
    slices: u32,
    eps: f32,
    momentum: f32,
    // The value of a mask of dropout where something is kept.
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;

// The elements of a slice of a channel, counted over its planes.
fn elements_of(slice: u32) -> vec2<u32> {
    let count = params.n * params.hw;
    return vec2(slice * count / params.slices, (slice + 1u) * count / params.slices);
}

//!pass statistics
//!include shared/linear.wgsl
//!include shared/plane_sum.wgsl
//!stored x
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

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
    let index = linear_group(group, groups);
    let channel = index / params.slices;
    if channel >= params.c {
        return;
    }
    // The slice's mean first, then the squares of differences to it: squares of raw values would cancel.
    let elements = elements_of(index % params.slices);
    let first = channel * params.hw;
    let stride = params.c * params.hw;
    let sum = plane_sum_part(lane, first, stride, elements, params.hw, 0.0).x;
    let average = sum / f32(elements.y - elements.x);
    let squares = plane_sum_part(lane, first, stride, elements, params.hw, average).y;
    if lane == 0u {
        partials[2u * index] = average;
        partials[2u * index + 1u] = squares;
    }
}

//!pass merge
//!include shared/linear.wgsl
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> rstd: array<f32>;
@group(0) @binding(4) var<storage, read_write> running_mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> running_var: array<f32>;

const WORKGROUP: u32 = 64u;

@compute @workgroup_size(WORKGROUP)
fn merge(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let channel = linear_group(group, groups) * WORKGROUP + lane;
    if channel >= params.c {
        return;
    }
    let count = params.n * params.hw;
    var sum = 0.0;
    for (var t = 0u; t < params.slices; t += 1u) {
        let elements = elements_of(t);
        sum += f32(elements.y - elements.x) * partials[2u * (channel * params.slices + t)];
    }
    let average = sum / f32(count);
    var squares = 0.0;
    for (var t = 0u; t < params.slices; t += 1u) {
        let elements = elements_of(t);
        let at = 2u * (channel * params.slices + t);
        let difference = partials[at] - average;
        squares += partials[at + 1u] + f32(elements.y - elements.x) * (difference * difference);
    }
    mean[channel] = average;
    rstd[channel] = 1.0 / sqrt(squares / f32(count) + params.eps);
    let unbiased = squares / f32(max(count - 1u, 1u));
    let kept = 1.0 - params.momentum;
    running_mean[channel] = kept * running_mean[channel] + params.momentum * average;
    running_var[channel] = kept * running_var[channel] + params.momentum * unbiased;
}

//!pass backward_weight
//!include shared/linear.wgsl
//!include shared/plane_sum.wgsl
//!stored x
//!stored y
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read> y: array<stored_y>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read> mean: array<f32>;
@group(0) @binding(5) var<storage, read> rstd: array<f32>;
@group(0) @binding(6) var<storage, read_write> dpartials: array<f32>;

fn terms(index: u32, shift: f32) -> vec2<f32> {
    let g = select(0.0, dy[index] * params.scale, f32(y[index]) > 0.0);
    return vec2(g * (f32(x[index]) - shift), g);
}

@compute @workgroup_size(WORKGROUP)
fn backward_weight(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = linear_group(group, groups);
    let channel = index / params.slices;
    if channel >= params.c {
        return;
    }
    let elements = elements_of(index % params.slices);
    let stride = params.c * params.hw;
    let centre = mean[channel];
    let first = channel * params.hw;
    let sums = plane_sum_part(lane, first, stride, elements, params.hw, centre);
    if lane == 0u {
        dpartials[2u * index] = sums.x * rstd[channel];
        dpartials[2u * index + 1u] = sums.y;
    }
}

//!pass merge_backward_weight
//!include shared/linear.wgsl
@group(0) @binding(1) var<storage, read> dpartials: array<f32>;
@group(0) @binding(2) var<storage, read> mean: array<f32>;
@group(0) @binding(3) var<storage, read> rstd: array<f32>;
@group(0) @binding(4) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(5) var<storage, read_write> dbias: array<f32>;
@group(0) @binding(6) var<storage, read_write> coefficients: array<f32>;

const WORKGROUP: u32 = 64u;

@compute @workgroup_size(WORKGROUP)
fn merge_backward_weight(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let channel = linear_group(group, groups) * WORKGROUP + lane;
    if channel >= params.c {
        return;
    }
    var sums = vec2<f32>();
    for (var t = 0u; t < params.slices; t += 1u) {
        let at = 2u * (channel * params.slices + t);
        sums += vec2(dpartials[at], dpartials[at + 1u]);
    }
    let count = f32(params.n * params.hw);
    dweight[channel] = sums.x;
    dbias[channel] = sums.y;
    coefficients[4u * channel] = mean[channel];
    coefficients[4u * channel + 1u] = rstd[channel];
    coefficients[4u * channel + 2u] = sums.y / count;
    coefficients[4u * channel + 3u] = sums.x / count;
}
