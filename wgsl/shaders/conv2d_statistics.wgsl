// conv2d_statistics: a convolution that leaves the statistics of its output too, by cells of pixels, and joins these.

struct Params {
    n: u32,
    c_in: u32,
    // Of the first of two joined inputs; c_in where there is one.
    c_a: u32,
    c_out: u32,
    h: u32,
    w: u32,
    kernel: u32,
    eps: f32,
    momentum: f32,
}

@group(0) @binding(0) var<uniform> params: Params;

// Side of a cell. Tiles of all shapes are made of whole ones.
const CELL: u32 = 8u;

// Cells of a plane, across and down.
fn cells() -> vec2<u32> {
    return (vec2(params.w, params.h) + CELL - 1u) / CELL;
}

// Columns and rows of the cell that begins at a pixel; 0 outside the image.
fn cell_size(x: u32, y: u32) -> vec2<u32> {
    let size = vec2(params.w, params.h);
    return min(size - min(vec2(x, y), size), vec2(CELL));
}

//!pass forward
//!include shared/tile_statistics.wgsl
//!include shared/conv_tile.wgsl
//!include shared/joined.wgsl
//!stored x
//!stored y
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<stored_y>;
@group(0) @binding(4) var<storage, read_write> partials: array<f32>;

//!tensor fn input_scale() -> f32 { return 1.0; }
fn channels_out() -> u32 { return params.c_out; }
fn input_plane(sample: u32, channel: u32) -> u32 { return joined_plane(sample, channel); }
fn output_plane(sample: u32, channel: u32) -> u32 { return sample * params.c_out + channel; }
fn input_at(index: u32) -> f32 { return f32(x[index]); }
fn weight_at(out: u32, in: u32, tap: u32) -> f32 {
    return weight[(out * params.c_in + in) * params.kernel * params.kernel + tap];
}
fn finish_of(sample: u32, out: u32) -> vec3<f32> { return vec3(0.0, 1.0, 0.0); }
fn store(index: u32, value: f32) { y[index] = as_y(value); }
fn store_cell(sample: u32, out: u32, y: u32, x: u32, average: f32, squares: f32) {
    let plane = cells();
    let row = (out * params.n + sample) * plane.y + y / CELL;
    let at = 2u * (row * plane.x + x / CELL);
    partials[at] = average;
    partials[at + 1u] = squares;
}

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    //!tensor @builtin(subgroup_id) subgroup_id: u32,
    //!tensor @builtin(num_subgroups) subgroup_count: u32,
) {
    //!tensor subgroup = subgroup_id;
    //!tensor subgroups = subgroup_count;
    conv_tile(linear_group(group, groups), lane, 0u, params.c_in);
}

//!pass merge
//!include shared/linear.wgsl
//!include shared/join_cells.wgsl
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> rstd: array<f32>;
@group(0) @binding(4) var<storage, read_write> running_mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> running_var: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn merge(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let channel = linear_group(group, groups);
    if channel >= params.c_out {
        return;
    }
    let plane = cells();
    let end = params.n * plane.x * plane.y;
    let count = params.n * params.h * params.w;
    let joined = join_cells(lane, channel * end, end, f32(count));
    if lane == 0u {
        mean[channel] = joined.x;
        rstd[channel] = 1.0 / sqrt(joined.y / f32(count) + params.eps);
        let unbiased = joined.y / f32(max(count - 1u, 1u));
        let kept = 1.0 - params.momentum;
        running_mean[channel] = kept * running_mean[channel] + params.momentum * joined.x;
        running_var[channel] = kept * running_var[channel] + params.momentum * unbiased;
    }
}

//!pass merge_planes
//!include shared/linear.wgsl
//!include shared/join_cells.wgsl
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> plane_mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> plane_rstd: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn merge_planes(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = linear_group(group, groups);
    if index >= params.n * params.c_out {
        return;
    }
    let sample = index / params.c_out;
    let channel = index % params.c_out;
    let plane = cells();
    let end = plane.x * plane.y;
    let count = f32(params.h * params.w);
    let joined = join_cells(lane, (channel * params.n + sample) * end, end, count);
    if lane == 0u {
        plane_mean[index] = joined.x;
        plane_rstd[index] = 1.0 / sqrt(joined.y / count + params.eps);
    }
}
