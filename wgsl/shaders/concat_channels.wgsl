// concat_channels: y = [a; b] along channels.
//!include shared/planes.wgsl

struct Params {
    n: u32,
    c_a: u32,
    c_b: u32,
    hw: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

// Where a plane of y comes from: a plane of a, or one of b.
struct Origin {
    in_a: bool,
    plane: u32,
}

fn origin(plane: u32) -> Origin {
    let sample = plane / (params.c_a + params.c_b);
    let channel = plane % (params.c_a + params.c_b);
    if channel < params.c_a {
        return Origin(true, sample * params.c_a + channel);
    }
    return Origin(false, sample * params.c_b + channel - params.c_a);
}

//!pass forward
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(group, groups, lane, params.n * (params.c_a + params.c_b), params.hw);
    let home = origin(part.plane);
    for (var i = part.first; i < part.end; i += WORKGROUP) {
        let at = part.plane * params.hw + i;
        if home.in_a {
            y[at] = a[home.plane * params.hw + i];
        } else {
            y[at] = b[home.plane * params.hw + i];
        }
    }
}

//!pass backward_input
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> da: array<f32>;
@group(0) @binding(3) var<storage, read_write> db: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn backward_input(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(group, groups, lane, params.n * (params.c_a + params.c_b), params.hw);
    let home = origin(part.plane);
    for (var i = part.first; i < part.end; i += WORKGROUP) {
        let value = dy[part.plane * params.hw + i];
        if home.in_a {
            da[home.plane * params.hw + i] = value;
        } else {
            db[home.plane * params.hw + i] = value;
        }
    }
}
