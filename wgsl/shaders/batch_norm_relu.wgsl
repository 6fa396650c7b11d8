// batch_norm_relu: batch norm with the batch's statistics, dropout and ReLU in one pass over the map.

struct Params {
    n: u32,
    c: u32,
    hw: u32,
    // 0: no dropout; 1: a value of the mask for each channel of a sample; 2: for each element.
    mask: u32,
    // The mask's value where something is kept.
    scale: f32,
    // 1: weight and bias are used; 0: they are one unused element each.
    affine: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

// Elements that a lane reads before it computes with them.
const AT_ONCE: u32 = 4u;

// The gradient that reaches the normalisation. Where the mask is 0 so is y.
fn through_relu(y: f32, dy: f32) -> f32 {
    return select(0.0, dy * params.scale, y > 0.0);
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
@group(0) @binding(6) var<storage, read> mask: array<f32>;
@group(0) @binding(7) var<storage, read_write> y: array<stored_y>;

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(group, groups, lane, params.n * params.c, params.hw);
    let channel = part.plane % params.c;
    let centre = mean[channel];
    var scale = rstd[channel];
    var offset = 0.0;
    if params.affine == 1u {
        scale *= weight[channel];
        offset = bias[channel];
    }
    var kept = 1.0;
    if params.mask == 1u {
        kept = mask[part.plane];
    }
    let plane = part.plane * params.hw;
    if params.mask == 2u {
        for (var i = part.first; i < part.end; i += WORKGROUP) {
            let normed = (f32(x[plane + i]) - centre) * scale + offset;
            y[plane + i] = as_y(max(normed * mask[plane + i], 0.0));
        }
        return;
    }
    // Reads are under way together: past the end the last element is read again.
    for (var i = part.first; i < part.end; i += AT_ONCE * WORKGROUP) {
        var values = array<f32, AT_ONCE>();
        for (var j = 0u; j < AT_ONCE; j += 1u) {
            values[j] = f32(x[plane + min(i + j * WORKGROUP, part.end - 1u)]);
        }
        for (var j = 0u; j < AT_ONCE; j += 1u) {
            if i + j * WORKGROUP < part.end {
                let normed = (values[j] - centre) * scale + offset;
                y[plane + i + j * WORKGROUP] = as_y(max(normed * kept, 0.0));
            }
        }
    }
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
@group(0) @binding(6) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(7) var<storage, read_write> dbias: array<f32>;
@group(0) @binding(8) var<storage, read_write> coefficients: array<f32>;

fn terms(index: u32, shift: f32) -> vec2<f32> {
    let g = through_relu(f32(y[index]), dy[index]);
    return vec2(g * (f32(x[index]) - shift), g);
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
    let centre = mean[channel];
    let sums = plane_sum(lane, first, params.c * params.hw, params.n, params.hw, centre);
    if lane == 0u {
        let inverse = rstd[channel];
        let with_xhat = sums.x * inverse;
        let count = f32(params.n * params.hw);
        dweight[channel] = with_xhat;
        dbias[channel] = sums.y;
        coefficients[4u * channel] = centre;
        coefficients[4u * channel + 1u] = inverse;
        coefficients[4u * channel + 2u] = sums.y / count;
        coefficients[4u * channel + 3u] = with_xhat / count;
    }
}

//!pass backward_input
//!include shared/planes.wgsl
//!stored x
//!stored y
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read> y: array<stored_y>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read> coefficients: array<f32>;
@group(0) @binding(5) var<storage, read> weight: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn backward_input(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(group, groups, lane, params.n * params.c, params.hw);
    let channel = part.plane % params.c;
    let centre = coefficients[4u * channel];
    let inverse = coefficients[4u * channel + 1u];
    let mean_g = coefficients[4u * channel + 2u];
    let mean_g_xhat = coefficients[4u * channel + 3u];
    var scale = inverse;
    if params.affine == 1u {
        scale *= weight[channel];
    }
    let plane = part.plane * params.hw;
    // Reads are under way together: past the end the last element is read again.
    for (var i = part.first; i < part.end; i += AT_ONCE * WORKGROUP) {
        var values = array<f32, AT_ONCE>();
        for (var j = 0u; j < AT_ONCE; j += 1u) {
            let at = plane + min(i + j * WORKGROUP, part.end - 1u);
            let xhat = (f32(x[at]) - centre) * inverse;
            let g = through_relu(f32(y[at]), dy[at]);
            values[j] = scale * (g - mean_g - xhat * mean_g_xhat);
        }
        for (var j = 0u; j < AT_ONCE; j += 1u) {
            if i + j * WORKGROUP < part.end {
                dx[plane + i + j * WORKGROUP] = values[j];
            }
        }
    }
}
