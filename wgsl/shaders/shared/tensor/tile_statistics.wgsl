// shared/tile_statistics.wgsl for matrix units.
//
// Blocks of sums come one after another. Of each a lane takes a run of CELL pixels beside each other, and keeps their mean and the
// squares of differences from it; a cell's runs, one for each row, are joined in the end. Inputs may not be scaled.
const BLOCKS: u32 = OUT_BLOCKS * TASK_ROWS;
const RUNS_ACROSS: u32 = SIDE / CELL;
const RUNS: u32 = TASKS * SIDE * RUNS_ACROSS;

// Mean and squares of the lane's run of each block.
var<private> runs: array<vec2<f32>, BLOCKS>;

fn block_statistics(lane: u32, round: u32, block: u32, x0: u32) {
    if lane >= RUNS || lane / (SIDE * RUNS_ACROSS) / subgroups != round {
        return;
    }
    let columns = cell_size(x0 + lane % RUNS_ACROSS * CELL, 0u).x;
    var sum = 0.0;
    for (var i = 0u; i < CELL; i += 1u) {
        // Each four lanes begin elsewhere, against bank conflicts.
        let column = (i + lane / 4u) % CELL;
        if column < columns { sum += sum_tile[lane * CELL + column]; }
    }
    let average = sum / f32(max(columns, 1u));
    var squares = 0.0;
    for (var i = 0u; i < CELL; i += 1u) {
        let column = (i + lane / 4u) % CELL;
        let difference = sum_tile[lane * CELL + column] - average;
        if column < columns { squares += difference * difference; }
    }
    runs[block] = vec2(average, squares);
}

fn tile_statistics(lane: u32, sample: u32, first_out: u32, y0: u32, x0: u32) {
    // All runs together fill `sum_tile`.
    if lane < RUNS {
        for (var block = 0u; block < BLOCKS; block += 1u) {
            sum_tile[2u * (block * RUNS + lane)] = runs[block].x;
            sum_tile[2u * (block * RUNS + lane) + 1u] = runs[block].y;
        }
    }
    workgroupBarrier();
    let channel = lane / RUNS_ACROSS % TILE_OUT;
    let first_row = lane / RUNS_ACROSS / TILE_OUT * CELL;
    let x = x0 + lane % RUNS_ACROSS * CELL;
    let out = first_out + channel;
    let size = cell_size(x, y0 + first_row);
    let is_cell = first_row < TILE_H && size.x * size.y > 0u;
    if !is_cell || sample >= params.n || out >= channels_out() {
        return;
    }
    // As many pixels in each run.
    var sum = 0.0;
    for (var row = 0u; row < size.y; row += 1u) {
        sum += sum_tile[run_at(channel, first_row + row, lane % RUNS_ACROSS)];
    }
    let average = sum / f32(size.y);
    var squares = 0.0;
    for (var row = 0u; row < size.y; row += 1u) {
        let at = run_at(channel, first_row + row, lane % RUNS_ACROSS);
        let difference = sum_tile[at] - average;
        squares += sum_tile[at + 1u] + f32(size.x) * (difference * difference);
    }
    store_cell(sample, out, y0 + first_row, x, average, squares);
}

// Where the run of a row of the tile lies in `sum_tile`.
fn run_at(channel: u32, row: u32, across: u32) -> u32 {
    let block = channel / SIDE * TASK_ROWS + row % TASK_ROWS;
    let lane = (row / TASK_ROWS * SIDE + channel % SIDE) * RUNS_ACROSS + across;
    return 2u * (block * RUNS + lane);
}
