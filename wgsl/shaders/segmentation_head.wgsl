// segmentation_head: 1x1 convolution to classes, softmax and a score of each pixel, of which only sums are written.
//!include shared/linear.wgsl

struct Params {
    n: u32,
    // Samples of each patch, one behind another.
    stacked: u32,
    c: u32,
    classes: u32,
    hw: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

// At most as many as kernels/src/segmentation_head.rs takes.
const MAX_CLASSES: u32 = 8u;
// Pixels to a workgroup, one to a lane.
const BLOCK: u32 = 256u;

struct Pixel {
    // exp(logit - largest) of each class, their sum, and the sum of (logit - largest) exp(logit - largest).
    exps: array<f32, MAX_CLASSES>,
    sum: f32,
    weighted: f32,
}

fn pixel_of(logits: array<f32, MAX_CLASSES>) -> Pixel {
    var z = logits;
    var largest = z[0];
    for (var k = 1u; k < MAX_CLASSES; k += 1u) {
        if k < params.classes {
            largest = max(largest, z[k]);
        }
    }
    var pixel = Pixel();
    for (var k = 0u; k < MAX_CLASSES; k += 1u) {
        if k < params.classes {
            let below = z[k] - largest;
            let e = exp(below);
            pixel.exps[k] = e;
            pixel.sum += e;
            pixel.weighted += below * e;
        }
    }
    return pixel;
}

fn entropy_of(pixel: Pixel) -> f32 {
    return log(pixel.sum) - pixel.weighted / pixel.sum;
}

//!pass entropy
//!include shared/logits.wgsl
//!include shared/reduce.wgsl
//!stored x
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn entropy(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let blocks = (params.hw + BLOCK - 1u) / BLOCK;
    let index = linear_group(group, groups);
    if index >= params.stacked * params.n * blocks {
        return;
    }
    let i = index % blocks * BLOCK + lane;
    var score = 0.0;
    if i < params.hw {
        score = entropy_of(pixel_of(logits_of(index / blocks, i)));
    }
    let sum = workgroup_sum(lane, vec2(score, 0.0));
    if lane == 0u {
        partials[index] = sum.x;
    }
}

//!pass least_confidence
//!include shared/logits.wgsl
//!include shared/reduce.wgsl
//!stored x
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn least_confidence(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let blocks = (params.hw + BLOCK - 1u) / BLOCK;
    let index = linear_group(group, groups);
    if index >= params.stacked * params.n * blocks {
        return;
    }
    let i = index % blocks * BLOCK + lane;
    var score = 0.0;
    if i < params.hw {
        score = 1.0 / pixel_of(logits_of(index / blocks, i)).sum;
    }
    let sum = workgroup_sum(lane, vec2(score, 0.0));
    if lane == 0u {
        partials[index] = sum.x;
    }
}

//!pass accumulate
//!include shared/logits.wgsl
//!stored x
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> sum_p: array<f32>;
@group(0) @binding(5) var<storage, read_write> sum_entropy: array<f32>;

@compute @workgroup_size(BLOCK)
fn accumulate(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let blocks = (params.hw + BLOCK - 1u) / BLOCK;
    let index = linear_group(group, groups);
    let sample = index / blocks;
    let i = index % blocks * BLOCK + lane;
    if sample >= params.n || i >= params.hw {
        return;
    }
    // The sums stay in registers from pass to pass.
    var sums = array<f32, MAX_CLASSES>();
    for (var k = 0u; k < MAX_CLASSES; k += 1u) {
        if k < params.classes {
            sums[k] = sum_p[(sample * params.classes + k) * params.hw + i];
        }
    }
    var entropies = sum_entropy[sample * params.hw + i];
    for (var t = 0u; t < params.stacked; t += 1u) {
        var pixel = pixel_of(logits_of(t * params.n + sample, i));
        for (var k = 0u; k < MAX_CLASSES; k += 1u) {
            if k < params.classes {
                sums[k] += pixel.exps[k] / pixel.sum;
            }
        }
        entropies += entropy_of(pixel);
    }
    for (var k = 0u; k < MAX_CLASSES; k += 1u) {
        if k < params.classes {
            sum_p[(sample * params.classes + k) * params.hw + i] = sums[k];
        }
    }
    sum_entropy[sample * params.hw + i] = entropies;
}
