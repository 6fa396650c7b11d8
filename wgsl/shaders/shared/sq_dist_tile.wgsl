// Squared distances by direct differences, TILE rows against TILE columns at a time, both with params.dim
// coordinates. A lane computes two rows by two columns, half a tile apart.
//
// The including pass says what they are:
//   row_count() -> u32, column_count() -> u32
//   row_at(index) -> f32, column_at(index) -> f32     index into [count, dim]
const WORKGROUP: u32 = 256u;
const TILE: u32 = 32u;
const HALF: u32 = TILE / 2u;
// Coordinates staged at a time, in fours; one more four against bank conflicts.
const FOURS: u32 = 4u;
const TILE_STRIDE: u32 = FOURS + 1u;

var<workgroup> row_tile: array<vec4<f32>, TILE * TILE_STRIDE>;
var<workgroup> column_tile: array<vec4<f32>, TILE * TILE_STRIDE>;

// Four coordinates of a row; zeros past its end add nothing to a distance.
fn row_four(row: u32, d: u32) -> vec4<f32> {
    var four = vec4<f32>();
    if row < row_count() {
        let at = row * params.dim + d;
        if d < params.dim { four.x = row_at(at); }
        if d + 1u < params.dim { four.y = row_at(at + 1u); }
        if d + 2u < params.dim { four.z = row_at(at + 2u); }
        if d + 3u < params.dim { four.w = row_at(at + 3u); }
    }
    return four;
}

fn column_four(column: u32, d: u32) -> vec4<f32> {
    var four = vec4<f32>();
    if column < column_count() {
        let at = column * params.dim + d;
        if d < params.dim { four.x = column_at(at); }
        if d + 1u < params.dim { four.y = column_at(at + 1u); }
        if d + 2u < params.dim { four.z = column_at(at + 2u); }
        if d + 3u < params.dim { four.w = column_at(at + 3u); }
    }
    return four;
}

// Distances of rows `lane / HALF` and `+ HALF` of the tile (components xy and zw) to columns `lane % HALF` and
// `+ HALF` (xz and yw).
fn sq_dist_tile(lane: u32, first_row: u32, first_column: u32) -> vec4<f32> {
    let row = lane / HALF;
    let column = lane % HALF;
    var sums = vec4<f32>();
    for (var d = 0u; d < params.dim; d += 4u * FOURS) {
        workgroupBarrier();
        for (var t = lane; t < 2u * TILE * FOURS; t += WORKGROUP) {
            let i = t / FOURS % TILE;
            let four = t % FOURS;
            if t < TILE * FOURS {
                row_tile[i * TILE_STRIDE + four] = row_four(first_row + i, d + 4u * four);
            } else {
                column_tile[i * TILE_STRIDE + four] = column_four(first_column + i, d + 4u * four);
            }
        }
        workgroupBarrier();
        for (var four = 0u; four < FOURS; four += 1u) {
            let a0 = row_tile[row * TILE_STRIDE + four];
            let a1 = row_tile[(row + HALF) * TILE_STRIDE + four];
            let b0 = column_tile[column * TILE_STRIDE + four];
            let b1 = column_tile[(column + HALF) * TILE_STRIDE + four];
            sums += vec4(
                dot(a0 - b0, a0 - b0),
                dot(a0 - b1, a0 - b1),
                dot(a1 - b0, a1 - b0),
                dot(a1 - b1, a1 - b1),
            );
        }
    }
    return sums;
}
