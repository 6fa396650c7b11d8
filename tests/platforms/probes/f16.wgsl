// Half-precision storage, arithmetic and workgroup memory, as a shader with f16 weights needs them.
enable f16;

struct Params {
    len: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f16>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

var<workgroup> tile: array<f16, 64>;

@compute @workgroup_size(64)
fn scaled(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
    let inside = id.x < params.len;
    tile[lane] = select(0h, x[min(id.x, params.len - 1u)], inside);
    workgroupBarrier();
    if inside {
        let pair = vec2<f16>(tile[lane], tile[63u - lane]);
        y[id.x] = params.scale * f32(dot(pair, vec2<f16>(1h, 0.5h)));
    }
}
