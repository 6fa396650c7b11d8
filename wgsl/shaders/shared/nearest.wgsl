//!include shared/sq_dist_tile.wgsl

// The nearest column of each row, the lowest on ties. Beside what sq_dist_tile asks for, the including pass has
//   store_nearest(row, column, sq_dist)
const NONE: u32 = 0xffffffffu;

struct Nearest {
    column: u32,
    sq_dist: f32,
}

var<workgroup> lane_nearest: array<Nearest, TILE * HALF>;

// The nearer of the two; the lower column where they are equally near.
fn nearer(a: Nearest, b: Nearest) -> Nearest {
    let b_wins = b.sq_dist < a.sq_dist || (b.sq_dist == a.sq_dist && b.column < a.column);
    if b.column != NONE && (a.column == NONE || b_wins) {
        return b;
    }
    return a;
}

fn candidate(column: u32, sq_dist: f32) -> Nearest {
    return Nearest(select(NONE, column, column < column_count()), sq_dist);
}

// For the TILE rows from `first_row` on.
fn nearest_tile(lane: u32, first_row: u32) {
    var upper = Nearest(NONE, 0.0);
    var lower = Nearest(NONE, 0.0);
    for (var first = 0u; first < column_count(); first += TILE) {
        let distances = sq_dist_tile(lane, first_row, first);
        let column = first + lane % HALF;
        upper = nearer(upper, candidate(column, distances.x));
        upper = nearer(upper, candidate(column + HALF, distances.y));
        lower = nearer(lower, candidate(column, distances.z));
        lower = nearer(lower, candidate(column + HALF, distances.w));
    }
    lane_nearest[lane] = upper;
    lane_nearest[lane + WORKGROUP] = lower;
    workgroupBarrier();
    if lane < TILE && first_row + lane < row_count() {
        var best = lane_nearest[lane * HALF];
        for (var i = 1u; i < HALF; i += 1u) {
            best = nearer(best, lane_nearest[lane * HALF + i]);
        }
        store_nearest(first_row + lane, best.column, best.sq_dist);
    }
}
