// dropout_masks: the masks of channels of several layers, one behind the other.

struct Params {
    n: u32,
    layers: u32,
    threshold: u32,
    scale: f32,
    // Numbers and channels of layers, four to a vector.
    layer: array<vec4<u32>, 6>,
    c: array<vec4<u32>, 6>,
}

@group(0) @binding(0) var<uniform> params: Params;

//!pass draw
//!include shared/linear.wgsl
//!include shared/random.wgsl
@group(0) @binding(1) var<storage, read> keys: array<u32>;
@group(0) @binding(2) var<storage, read_write> masks: array<f32>;

const WORKGROUP: u32 = 64u;
// Elements that a stream draws, as in kernels/src/rng.rs.
const MASK_BLOCK: u32 = 256u;
// Where masks begin, as in kernels/src/dropout_masks.rs.
const ALIGNMENT: u32 = 64u;

// A lane draws a block, and writes it as it comes: masks of channels are small.
@compute @workgroup_size(WORKGROUP)
fn draw(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    var block = linear_group(group, groups) * WORKGROUP + lane;
    // Where the layer's mask begins.
    var start = 0u;
    for (var i = 0u; i < params.layers; i += 1u) {
        let c = params.c[i / 4u][i % 4u];
        let len = params.n * c;
        let padded = (len + ALIGNMENT - 1u) / ALIGNMENT * ALIGNMENT;
        let blocks = (c + MASK_BLOCK - 1u) / MASK_BLOCK;
        if block < params.n * blocks {
            let sample = block / blocks;
            let first = block % blocks * MASK_BLOCK;
            let key = vec2(keys[2u * sample], keys[2u * sample + 1u]);
            var state = mask_stream(key, params.layer[i / 4u][i % 4u], block % blocks);
            for (var at = first; at < min(first + MASK_BLOCK, c); at += 1u) {
                let kept = next_u32(&state) >= params.threshold;
                masks[start + sample * c + at] = select(0.0, params.scale, kept);
            }
            // The last lane of a layer writes the zeros behind it.
            if block + 1u == params.n * blocks {
                for (var at = len; at < padded; at += 1u) {
                    masks[start + at] = 0.0;
                }
            }
            return;
        }
        block -= params.n * blocks;
        start += padded;
    }
}
