//!include shared/reduce.wgsl

// Sums over `planes` planes of `size` elements, the first at `first` and one every `stride`: a channel of a batch
// (stride c * size) or a single plane. The including pass says what is summed:
//   terms(index, shift) -> vec2<f32>
//
// The planes are one line of elements, and a lane takes every 256th of them, so that small planes keep all lanes
// busy. Four at a time and without a branch, for the memory to have something to do: what is past the end reads the
// first element and is not used.
fn plane_sum(lane: u32, first: u32, stride: u32, planes: u32, size: u32, shift: f32) -> vec2<f32> {
    return plane_sum_part(lane, first, stride, vec2(0u, planes * size), size, shift);
}

// The same over some elements of the line, from range.x to before range.y.
fn plane_sum_part(
    lane: u32,
    first: u32,
    stride: u32,
    range: vec2<u32>,
    size: u32,
    shift: f32,
) -> vec2<f32> {
    let begin = range.x + lane;
    // A step of WORKGROUP elements, in planes and elements: no division within the loop.
    let step_planes = WORKGROUP / size;
    let step_elements = WORKGROUP % size;
    var element = begin % size;
    var at = first + begin / size * stride;
    var sums = vec2<f32>();
    for (var k = begin; k < range.y; k += 4u * WORKGROUP) {
        var part = array<vec2<f32>, 4>();
        for (var j = 0u; j < 4u; j += 1u) {
            let exists = k + j * WORKGROUP < range.y;
            part[j] = select(vec2<f32>(), terms(select(first, at + element, exists), shift), exists);
            element += step_elements;
            at += step_planes * stride;
            if element >= size {
                element -= size;
                at += stride;
            }
        }
        sums += (part[0] + part[1]) + (part[2] + part[3]);
    }
    return workgroup_sum(lane, sums);
}
