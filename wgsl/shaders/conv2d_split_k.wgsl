// conv2d_split_k: the filters' gradient of conv2d in slices of the image rows.

struct Params {
    n: u32,
    c_in: u32,
    // Of the first of two joined inputs; c_in where there is one.
    c_a: u32,
    c_out: u32,
    h: u32,
    w: u32,
    kernel: u32,
    slices: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

fn filters() -> u32 {
    return params.c_out * params.c_in * params.kernel * params.kernel;
}

//!pass backward_weight
//!include shared/weight_tile.wgsl
//!include shared/joined.wgsl
//!stored x
@group(0) @binding(1) var<storage, read> x: array<stored_x>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> partials: array<f32>;

var<private> first: u32;

fn x_plane(sample: u32, channel: u32) -> u32 { return joined_plane(sample, channel); }
fn store(index: u32, value: f32) { partials[first + index] = value; }

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
    // Tiles vary fastest: neighbouring workgroups read the same rows.
    let slice = index / tiles;
    if slice >= params.slices {
        return;
    }
    first = slice * filters();
    let bands = params.n * bands_of_sample();
    let start = slice * bands / params.slices;
    let end = (slice + 1u) * bands / params.slices;
    weight_tile(index % tiles, start, end, lane);
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
