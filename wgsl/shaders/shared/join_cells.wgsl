//!include shared/reduce.wgsl

fn pixels_of(cell: u32) -> f32 {
    let plane = cells();
    let size = cell_size(cell % plane.x * CELL, cell / plane.x % plane.y * CELL);
    return f32(size.x * size.y);
}

// Mean, and squares of differences from it, of `count` pixels in `end` cells of whole planes, which begin at the cell `first`.
fn join_cells(lane: u32, first: u32, end: u32, count: f32) -> vec2<f32> {
    var sum = 0.0;
    for (var cell = lane; cell < end; cell += WORKGROUP) {
        sum += pixels_of(cell) * partials[2u * (first + cell)];
    }
    let average = workgroup_sum(lane, vec2(sum, 0.0)).x / count;
    var part = 0.0;
    for (var cell = lane; cell < end; cell += WORKGROUP) {
        let at = 2u * (first + cell);
        let difference = partials[at] - average;
        part += partials[at + 1u] + pixels_of(cell) * (difference * difference);
    }
    return vec2(average, workgroup_sum(lane, vec2(part, 0.0)).x);
}
