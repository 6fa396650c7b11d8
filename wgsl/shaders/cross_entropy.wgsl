// cross_entropy: the weighted mean over pixels of the negative logarithm of the label's probability.

struct Params {
    n: u32,
    c: u32,
    hw: u32,
    ignore_label: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

// Consecutive pixels of the flat order that share a pair of partial sums.
const PIXEL_BLOCK: u32 = 1024u;

fn counts(label: u32) -> bool {
    return label != params.ignore_label && label < params.c;
}

//!pass forward
//!include shared/linear.wgsl
//!include shared/reduce.wgsl
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read> class_weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> partials: array<f32>;

// w * nll and w of a pixel.
fn pixel_loss(pixel: u32) -> vec2<f32> {
    let label = labels[pixel];
    if !counts(label) {
        return vec2<f32>();
    }
    let sample = pixel / params.hw;
    let first = sample * params.c * params.hw + (pixel - sample * params.hw);
    var largest = logits[first];
    for (var c = 1u; c < params.c; c += 1u) {
        largest = max(largest, logits[first + c * params.hw]);
    }
    var sum = 0.0;
    for (var c = 0u; c < params.c; c += 1u) {
        sum += exp(logits[first + c * params.hw] - largest);
    }
    let nll = log(sum) + (largest - logits[first + label * params.hw]);
    let weight = class_weights[label];
    return vec2(weight * nll, weight);
}

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let pixels = params.n * params.hw;
    let block = linear_group(group, groups);
    let start = block * PIXEL_BLOCK;
    if start >= pixels {
        return;
    }
    var sums = vec2<f32>();
    for (var i = lane; i < min(PIXEL_BLOCK, pixels - start); i += WORKGROUP) {
        sums += pixel_loss(start + i);
    }
    let total = workgroup_sum(lane, sums);
    if lane == 0u {
        partials[2u * block] = total.x;
        partials[2u * block + 1u] = total.y;
    }
}

//!pass reduce
//!include shared/reduce.wgsl
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn reduce(@builtin(local_invocation_index) lane: u32) {
    let blocks = (params.n * params.hw + PIXEL_BLOCK - 1u) / PIXEL_BLOCK;
    var sums = vec2<f32>();
    for (var block = lane; block < blocks; block += WORKGROUP) {
        sums += vec2(partials[2u * block], partials[2u * block + 1u]);
    }
    let total = workgroup_sum(lane, sums);
    if lane == 0u {
        // Where no pixel counts, the loss and all gradients are zero.
        var mean = 0.0;
        var inverse = 0.0;
        if total.y > 0.0 {
            mean = total.x / total.y;
            inverse = 1.0 / total.y;
        }
        loss[0] = mean;
        loss[1] = total.y;
        loss[2] = inverse;
    }
}

//!pass backward_input
//!include shared/planes.wgsl
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read> class_weights: array<f32>;
@group(0) @binding(4) var<storage, read> loss: array<f32>;
@group(0) @binding(5) var<storage, read_write> dlogits: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn backward_input(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(group, groups, lane, params.n, params.hw);
    let sample = part.plane * params.c * params.hw;
    for (var i = part.first; i < part.end; i += WORKGROUP) {
        let label = labels[part.plane * params.hw + i];
        if !counts(label) {
            for (var c = 0u; c < params.c; c += 1u) {
                dlogits[sample + c * params.hw + i] = 0.0;
            }
            continue;
        }
        var largest = logits[sample + i];
        for (var c = 1u; c < params.c; c += 1u) {
            largest = max(largest, logits[sample + c * params.hw + i]);
        }
        var sum = 0.0;
        for (var c = 0u; c < params.c; c += 1u) {
            sum += exp(logits[sample + c * params.hw + i] - largest);
        }
        let scale = class_weights[label] * loss[2];
        for (var c = 0u; c < params.c; c += 1u) {
            let at = sample + c * params.hw + i;
            let onehot = select(0.0, 1.0, c == label);
            dlogits[at] = scale * (exp(logits[at] - largest) / sum - onehot);
        }
    }
}
