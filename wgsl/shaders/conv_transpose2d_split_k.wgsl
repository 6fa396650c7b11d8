// conv_transpose2d_split_k: the filters' gradient of conv_transpose2d in slices of the pixels.
//!include shared/upsampled.wgsl

struct Params {
    n: u32,
    c_in: u32,
    c_out: u32,
    // Of the input; the output is twice as high and wide.
    h: u32,
    w: u32,
    slices: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

fn filters() -> u32 {
    return params.c_in * params.c_out * 4u;
}

//!pass backward_weight
//!include shared/upsampled_weight_tile.wgsl
//!stored x
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> partials: array<f32>;

var<private> start: u32;

fn store(index: u32, value: f32) { partials[start + index] = value; }

@compute @workgroup_size(WORKGROUP)
fn backward_weight(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    //!tensor @builtin(subgroup_id) subgroup_id: u32,
    //!tensor @builtin(num_subgroups) subgroup_count: u32,
) {
    //!tensor subgroup = subgroup_id;
    //!tensor subgroups = subgroup_count;
    let tiles_out = (params.c_out + TILE_OUT - 1u) / TILE_OUT;
    let tiles = tiles_out * ((params.c_in + TILE_IN - 1u) / TILE_IN);
    let index = linear_group(group, groups);
    // Tiles vary fastest: neighbouring workgroups read the same pixels.
    let slice = index / tiles;
    if slice >= params.slices {
        return;
    }
    start = slice * filters();
    let chunks = params.n * chunks_of_sample();
    let begin = slice * chunks / params.slices;
    weight_tile(index % tiles, begin, (slice + 1u) * chunks / params.slices, lane);
}

//!pass reduce
//!include shared/sum_slices.wgsl
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> dweight: array<f32>;

fn partial_at(index: u32) -> f32 { return partials[index]; }

@compute @workgroup_size(WORKGROUP)
fn reduce(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let element = linear_group(group, groups) * WORKGROUP + lane;
    if element < filters() {
        dweight[element] = sum_slices(element, filters(), params.slices);
    }
}
