// A sum over a subgroup of any width, as a reduction without workgroup memory needs it.
struct Params {
    len: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn sums(
    @builtin(global_invocation_id) id: vec3u,
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(subgroup_size) width: u32,
) {
    var value = 0.0;
    if id.x < params.len {
        value = x[id.x];
    }
    let sum = subgroupAdd(value);
    let neighbour = subgroupShuffleXor(value, 1u);
    if id.x < params.len {
        y[id.x] = select(sum / f32(width), sum - neighbour, lane == 0u);
    }
}
