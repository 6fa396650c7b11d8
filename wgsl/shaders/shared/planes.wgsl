//!include shared/linear.wgsl

// Work on planes of `size` consecutive elements, cut in chunks. A workgroup stays within one plane, so that the
// sample and the channel are the same for all its lanes and cost one division a workgroup instead of one an
// element.
const WORKGROUP: u32 = 64u;
const CHUNK: u32 = 512u;

struct Part {
    plane: u32,
    // Elements of the plane, from the lane's first; the step is WORKGROUP.
    first: u32,
    end: u32,
}

fn plane_part(group: vec3<u32>, groups: vec3<u32>, lane: u32, planes: u32, size: u32) -> Part {
    let index = linear_group(group, groups);
    let chunks = (size + CHUNK - 1u) / CHUNK;
    let plane = index / chunks;
    if plane >= planes {
        return Part(0u, 0u, 0u);
    }
    let start = (index - plane * chunks) * CHUNK;
    return Part(plane, start + lane, min(start + CHUNK, size));
}
