//!include shared/linear.wgsl

const WORKGROUP: u32 = 64u;

// The sum over slices of one of `count` elements, in order, but for four at a time, for the memory to have something to do. The
// including pass says where they are:
//   partial_at(index) -> f32
fn sum_slices(element: u32, count: u32, slices: u32) -> f32 {
    var sum = 0.0;
    var slice = 0u;
    for (; slice + 4u <= slices; slice += 4u) {
        let at = slice * count + element;
        let a = partial_at(at);
        let b = partial_at(at + count);
        let c = partial_at(at + 2u * count);
        let d = partial_at(at + 3u * count);
        sum += (a + b) + (c + d);
    }
    for (; slice < slices; slice += 1u) {
        sum += partial_at(slice * count + element);
    }
    return sum;
}
