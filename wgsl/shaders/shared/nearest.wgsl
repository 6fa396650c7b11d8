//!include shared/sq_dist_tile.wgsl

// The nearest column of each row, the lowest on ties. Beside what sq_dist_tile asks for, the including pass has
//   store_nearest(row, column, sq_dist)
//
// Products decide where the nearest column is nearer than the next by more than they may err; else the tile's rows are compared
// again by direct differences. What is stored is a direct difference too, unless the product is as good.
const MAX_F32: f32 = 0x1.fffffep+127f;

struct Nearest {
    column: u32,
    sq_dist: f32,
    // The next smallest distance.
    second: f32,
    // The largest norms there were.
    norms: f32,
}

var<workgroup> row_nearest: array<Nearest, TILE_ROWS>;
var<workgroup> lane_sums: array<f32, WORKGROUP>;
var<workgroup> is_unsure: u32;

// The nearer of the two; the lower column where they are equally near.
fn nearer(a: Nearest, b: Nearest) -> Nearest {
    let norms = max(a.norms, b.norms);
    if b.sq_dist < a.sq_dist || (b.sq_dist == a.sq_dist && b.column < a.column) {
        return Nearest(b.column, b.sq_dist, min(a.sq_dist, b.second), norms);
    }
    return Nearest(a.column, a.sq_dist, min(b.sq_dist, a.second), norms);
}

// The nearest of a row's columns that a lane computes, and of the columns before them.
fn nearest_of_four(before: Nearest, first_column: u32, sq_dist: vec4<f32>, norms: vec4<f32>) -> Nearest {
    var best = before;
    for (var j = 0u; j < 4u; j += 1u) {
        if first_column + j < column_count() {
            best = nearer(best, Nearest(first_column + j, sq_dist[j], MAX_F32, norms[j]));
        }
    }
    return best;
}

// Leaves the nearest of each row of the tile in row_nearest.
fn find_nearest(lane: u32, first_row: u32, is_direct: bool) {
    let none = Nearest(column_count(), MAX_F32, MAX_F32, 0.0);
    var best = array<Nearest, 4>(none, none, none, none);
    for (var first = 0u; first < column_count(); first += TILE_COLUMNS) {
        let tile = sq_dist_tile(lane, first_row, first, is_direct);
        let column = first + lane % COLUMN_LANES * 4u;
        best[0] = nearest_of_four(best[0], column, tile.sq_dist[0], tile.norms[0]);
        best[1] = nearest_of_four(best[1], column, tile.sq_dist[1], tile.norms[1]);
        best[2] = nearest_of_four(best[2], column, tile.sq_dist[2], tile.norms[2]);
        best[3] = nearest_of_four(best[3], column, tile.sq_dist[3], tile.norms[3]);
    }
    // The lanes of a row take turns.
    for (var turn = 0u; turn < COLUMN_LANES; turn += 1u) {
        if lane % COLUMN_LANES == turn {
            for (var i = 0u; i < 4u; i += 1u) {
                let row = lane / COLUMN_LANES + i * ROW_LANES;
                if turn > 0u {
                    best[i] = nearer(row_nearest[row], best[i]);
                }
                row_nearest[row] = best[i];
            }
        }
        workgroupBarrier();
    }
}

// Whether products have decided for every row of the tile.
fn is_decided(lane: u32, first_row: u32) -> bool {
    if lane == 0u {
        var count = 0u;
        for (var i = 0u; i < min(TILE_ROWS, row_count() - first_row); i += 1u) {
            let best = row_nearest[i];
            let error = best.norms * product_error() + MIN_NORMS;
            count += u32(!(best.norms < MAX_NORMS && best.second - best.sq_dist > 2.0 * error));
        }
        is_unsure = count;
    }
    return workgroupUniformLoad(&is_unsure) == 0u;
}

// Stores direct differences, with neighbouring coordinates in neighbouring lanes.
fn store_tile(lane: u32, first_row: u32) {
    let d_lane = lane % CHUNK;
    for (var first = 0u; first < TILE_ROWS; first += WORKGROUP / CHUNK) {
        let i = first + lane / CHUNK;
        let row = first_row + i;
        let best = row_nearest[i];
        let is_good = row >= row_count() || best.norms == 0.0 || is_accurate(best.sq_dist, best.norms);
        var sum = 0.0;
        if !is_good {
            for (var d = d_lane; d < params.dim; d += CHUNK) {
                let difference = row_at(row * params.dim + d) - column_at(best.column * params.dim + d);
                sum = fma(difference, difference, sum);
            }
        }
        lane_sums[lane] = sum;
        workgroupBarrier();
        if d_lane == 0u && row < row_count() {
            for (var j = 1u; j < CHUNK; j += 1u) {
                sum += lane_sums[lane + j];
            }
            store_nearest(row, best.column, select(sum, best.sq_dist, is_good));
        }
        workgroupBarrier();
    }
}

// For the TILE_ROWS rows from `first_row` on.
fn nearest_tile(lane: u32, first_row: u32) {
    var is_direct = params.dim < LEAST_DIM;
    loop {
        find_nearest(lane, first_row, is_direct);
        if is_direct { break; }
        if is_decided(lane, first_row) { break; }
        is_direct = true;
    }
    store_tile(lane, first_row);
}
