// crop: patches cut from sections, turned by quarters and mirrored.
//!include shared/planes.wgsl

struct Params {
    n: u32,
    h: u32,
    w: u32,
    depth: u32,
    height: u32,
    width: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

// Where in a patch of the sections the pixel `i` of a patch comes from: column and row.
fn origin(symmetry: u32, i: u32) -> vec2<u32> {
    let row = i / params.w;
    let column = i % params.w;
    let turns = symmetry & 3u;
    var at = vec2(column, row);
    // After an odd number of quarter turns the patch in the sections is w x h.
    var columns = params.w;
    if turns == 1u {
        at = vec2(params.h - 1u - row, column);
        columns = params.h;
    } else if turns == 2u {
        at = vec2(params.w - 1u - column, params.h - 1u - row);
    } else if turns == 3u {
        at = vec2(row, params.w - 1u - column);
        columns = params.h;
    }
    if (symmetry & 4u) != 0u {
        at.x = columns - 1u - at.x;
    }
    return at;
}

// a + b, or `last` where that is less.
fn inside(a: u32, b: u32, last: u32) -> u32 {
    return min(a, last) + min(b, last - min(a, last));
}

// The pixel of the sections for the pixel `i` of a patch at `site`.
fn source(site: vec4<u32>, i: u32) -> u32 {
    let at = origin(site.w, i);
    let z = min(site.x, params.depth - 1u);
    let y = inside(site.y, at.y, params.height - 1u);
    let x = inside(site.z, at.x, params.width - 1u);
    return (z * params.height + y) * params.width + x;
}

//!pass images
//!include shared/site.wgsl
//!stored x
@group(0) @binding(1) var<storage, read> sections: array<f32>;
@group(0) @binding(2) var<storage, read> sites: array<u32>;
@group(0) @binding(3) var<storage, read_write> x: array<stored_x>;

@compute @workgroup_size(WORKGROUP)
fn images(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(group, groups, lane, params.n, params.h * params.w);
    let site = site_of(part.plane);
    for (var i = part.first; i < part.end; i += WORKGROUP) {
        x[part.plane * params.h * params.w + i] = as_x(sections[source(site, i)]);
    }
}

//!pass labels
//!include shared/site.wgsl
@group(0) @binding(1) var<storage, read> packed_labels: array<u32>;
@group(0) @binding(2) var<storage, read> sites: array<u32>;
@group(0) @binding(3) var<storage, read_write> labels_: array<u32>;

@compute @workgroup_size(WORKGROUP)
fn labels(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(group, groups, lane, params.n, params.h * params.w);
    let site = site_of(part.plane);
    for (var i = part.first; i < part.end; i += WORKGROUP) {
        let at = source(site, i);
        let label = (packed_labels[at / 4u] >> (8u * (at % 4u))) & 255u;
        labels_[part.plane * params.h * params.w + i] = label;
    }
}
