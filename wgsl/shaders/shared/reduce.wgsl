// Sums over a workgroup of 256 lanes, halving: the order depends on nothing but the lane.
const WORKGROUP: u32 = 256u;

var<workgroup> reduce_scratch: array<vec2<f32>, WORKGROUP>;

// Every lane gets the sum. Two sums at once, since the passes that need one mostly need two.
fn workgroup_sum(lane: u32, value: vec2<f32>) -> vec2<f32> {
    // What an earlier sum left may still be read.
    workgroupBarrier();
    reduce_scratch[lane] = value;
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if lane < half {
            reduce_scratch[lane] += reduce_scratch[lane + half];
        }
        workgroupBarrier();
    }
    return reduce_scratch[0];
}
