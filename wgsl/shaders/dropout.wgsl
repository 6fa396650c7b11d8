// dropout: y = x * mask, with a mask for each channel of a sample or for each element.

struct Params {
    n: u32,
    c: u32,
    hw: u32,
    // 0: a value of the mask for each channel of a sample; 1: for each element.
    element: u32,
    layer: u32,
    threshold: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;

//!pass mask
//!include shared/linear.wgsl
//!include shared/random.wgsl
@group(0) @binding(1) var<storage, read> keys: array<u32>;
@group(0) @binding(2) var<storage, read_write> mask_: array<f32>;

const WORKGROUP: u32 = 64u;
// Elements that a stream draws, as in kernels/src/rng.rs.
const MASK_BLOCK: u32 = 256u;
// A lane draws a block in order. What the lanes draw in a round goes through workgroup memory, so that
// neighbouring lanes write neighbouring elements; the odd stride keeps them in different banks.
const ROUND: u32 = 16u;
const STRIDE: u32 = ROUND + 1u;

var<workgroup> drawn: array<f32, WORKGROUP * STRIDE>;

@compute @workgroup_size(WORKGROUP)
fn mask(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let values = params.c * select(1u, params.hw, params.element != 0u);
    let blocks = (values + MASK_BLOCK - 1u) / MASK_BLOCK;
    let first_block = linear_group(group, groups) * WORKGROUP;
    let sample = min((first_block + lane) / blocks, params.n - 1u);
    let key = vec2(keys[2u * sample], keys[2u * sample + 1u]);
    var state = mask_stream(key, params.layer, (first_block + lane) % blocks);
    // A short block ends the sample: no later round has anything to draw in a mask of few values.
    let longest = min(MASK_BLOCK, values);
    for (var round = 0u; round < longest; round += ROUND) {
        for (var j = 0u; j < ROUND; j += 1u) {
            let kept = next_u32(&state) >= params.threshold;
            drawn[lane * STRIDE + j] = select(0.0, params.scale, kept);
        }
        workgroupBarrier();
        for (var t = lane; t < WORKGROUP * ROUND; t += WORKGROUP) {
            let block = first_block + t / ROUND;
            let element = (block % blocks) * MASK_BLOCK + round + t % ROUND;
            if block < params.n * blocks && element < values {
                mask_[(block / blocks) * values + element] = drawn[t / ROUND * STRIDE + t % ROUND];
            }
        }
        workgroupBarrier();
    }
}

//!pass forward
//!include shared/planes.wgsl
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> mask: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(group, groups, lane, params.n * params.c, params.hw);
    for (var i = part.first; i < part.end; i += WORKGROUP) {
        let at = part.plane * params.hw + i;
        y[at] = x[at] * mask[select(part.plane, at, params.element != 0u)];
    }
}

//!pass backward_input
//!include shared/planes.wgsl
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> mask: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn backward_input(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(group, groups, lane, params.n * params.c, params.hw);
    for (var i = part.first; i < part.end; i += WORKGROUP) {
        let at = part.plane * params.hw + i;
        dx[at] = dy[at] * mask[select(part.plane, at, params.element != 0u)];
    }
}
