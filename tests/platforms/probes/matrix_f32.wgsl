// A tile of a product on matrix units, 8 x 8, of f32: what Metal devices offer.
enable wgpu_cooperative_matrix;

struct Params {
    depth: u32,
    columns: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;

@compute @workgroup_size(32)
fn product() {
    let depth = params.depth;
    let columns = params.columns;
    var sum = coop_mat8x8<f32, C>();
    for (var k = 0u; k < depth; k += 8u) {
        let left = coopLoadT<coop_mat8x8<f32, A>>(&a[k], depth);
        let right = coopLoadT<coop_mat8x8<f32, B>>(&b[k * columns], columns);
        sum = coopMultiplyAdd(left, right, sum);
    }
    coopStoreT(sum, &c[0], columns);
}
