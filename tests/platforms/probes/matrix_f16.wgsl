// A tile of a product on matrix units, 16 x 16, of f16 into f32: what Vulkan devices offer.
enable f16;
enable wgpu_cooperative_matrix;

struct Params {
    depth: u32,
    columns: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f16>;
@group(0) @binding(2) var<storage, read> b: array<f16>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;

@compute @workgroup_size(32)
fn product() {
    let depth = params.depth;
    let columns = params.columns;
    var sum = coop_mat16x16<f32, C>();
    for (var k = 0u; k < depth; k += 16u) {
        let left = coopLoadT<coop_mat16x16<f16, A>>(&a[k], depth);
        let right = coopLoadT<coop_mat16x16<f16, B>>(&b[k * columns], columns);
        sum = coopMultiplyAdd(left, right, sum);
    }
    coopStoreT(sum, &c[0], columns);
}
