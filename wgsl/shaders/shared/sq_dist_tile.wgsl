// Squared distances of TILE_ROWS rows to TILE_COLUMNS columns, both with params.dim coordinates, as products:
//   |a - r|^2 + |b - r|^2 - 2 (a - r)(b - r)
// with the first column for r, since a shift changes no distance, and makes long vectors that lie close together short.
// Where that would cancel, the including pass asks for direct differences, which take twice the instructions.
// A lane computes four rows, ROW_LANES apart, by four columns side by side.
//
// The including pass says what they are:
//   row_count() -> u32, column_count() -> u32
//   row_at(index) -> f32, column_at(index) -> f32     index into [count, dim]
const WORKGROUP: u32 = 128u;
const TILE_ROWS: u32 = 64u;
const TILE_COLUMNS: u32 = 32u;
const COLUMN_LANES: u32 = TILE_COLUMNS / 4u;
const ROW_LANES: u32 = WORKGROUP / COLUMN_LANES;
// Coordinates staged at a time, and one more four in a row against bank conflicts.
const CHUNK: u32 = 16u;
const FOURS: u32 = CHUNK / 4u;
const ROW_STRIDE: u32 = FOURS + 1u;
const COLUMN_STRIDE: u32 = COLUMN_LANES + 1u;
// Products of fewer coordinates cancel too often to be worth it.
const LEAST_DIM: u32 = 64u;
// Products of longer vectors might overflow, and squares of shorter ones might get lost.
const MAX_NORMS: f32 = 1e37;
const MIN_NORMS: f32 = 1e-30;
const UNIT: f32 = 1.0 / 16777216.0;

// Fours of coordinates of a row; a coordinate of four columns.
var<workgroup> row_tile: array<vec4<f32>, TILE_ROWS * ROW_STRIDE>;
var<workgroup> column_tile: array<vec4<f32>, CHUNK * COLUMN_STRIDE>;

// Of each of the lane's rows, the lane's columns. Not matrices: in a struct those get strides, which spirv-val refuses here.
struct Tile {
    sq_dist: array<vec4<f32>, 4>,
    // |a - r|^2 + |b - r|^2; zeros of direct differences.
    norms: array<vec4<f32>, 4>,
}

// Where a row or a column begins; past the last one, whose distances nobody uses, the last one.
fn row_start(row: u32) -> u32 {
    return min(row, row_count() - 1u) * params.dim;
}

fn column_start(column: u32) -> u32 {
    return min(column, column_count() - 1u) * params.dim;
}

// Coordinates that do not exist are zeros, which add nothing to a distance.
fn row_four(start: u32, d: u32) -> vec4<f32> {
    let at = start + min(vec4(d, d + 1u, d + 2u, d + 3u), vec4(params.dim - 1u));
    let four = vec4(row_at(at.x), row_at(at.y), row_at(at.z), row_at(at.w));
    return select(vec4(0.0), four, vec4(d, d + 1u, d + 2u, d + 3u) < vec4(params.dim));
}

fn column_four(start: u32, d: u32) -> vec4<f32> {
    let at = start + min(vec4(d, d + 1u, d + 2u, d + 3u), vec4(params.dim - 1u));
    let four = vec4(column_at(at.x), column_at(at.y), column_at(at.z), column_at(at.w));
    return select(vec4(0.0), four, vec4(d, d + 1u, d + 2u, d + 3u) < vec4(params.dim));
}

// A coordinate of four columns.
fn four_columns(starts: vec4<u32>, d: u32) -> vec4<f32> {
    let at = starts + min(d, params.dim - 1u);
    let four = vec4(column_at(at.x), column_at(at.y), column_at(at.z), column_at(at.w));
    return select(vec4(0.0), four, d < params.dim);
}

// Adds the products of a row's four coordinates with those of four columns.
fn add_products(sum: vec4<f32>, a: vec4<f32>, b: mat4x4<f32>) -> vec4<f32> {
    return fma(vec4(a.w), b[3], fma(vec4(a.z), b[2], fma(vec4(a.y), b[1], fma(vec4(a.x), b[0], sum))));
}

fn add_squares(sum: vec4<f32>, a: vec4<f32>, b: mat4x4<f32>) -> vec4<f32> {
    let x = a.x - b[0];
    let y = a.y - b[1];
    let z = a.z - b[2];
    let w = a.w - b[3];
    return fma(w, w, fma(z, z, fma(y, y, fma(x, x, sum))));
}

// Of rows first_row + lane / COLUMN_LANES + i ROW_LANES and columns first_column + lane % COLUMN_LANES * 4 + j.
fn sq_dist_tile(lane: u32, first_row: u32, first_column: u32, is_direct: bool) -> Tile {
    let row = lane / COLUMN_LANES;
    let column = lane % COLUMN_LANES;
    // What the lane stages: a four of two rows, and a coordinate of four columns.
    let staged_row = lane / FOURS;
    let staged_d = lane % CHUNK;
    let staged_column = lane / CHUNK;
    let upper_start = row_start(first_row + staged_row);
    let lower_start = row_start(first_row + staged_row + TILE_ROWS / 2u);
    let at = first_column + 4u * staged_column;
    let starts = vec4(column_start(at), column_start(at + 1u), column_start(at + 2u), column_start(at + 3u));
    var row_norms = vec2<f32>();
    var column_norms = vec4<f32>();
    var sums = mat4x4<f32>();
    for (var d = 0u; d < params.dim; d += CHUNK) {
        let four_d = d + lane % FOURS * 4u;
        var upper = row_four(upper_start, four_d);
        var lower = row_four(lower_start, four_d);
        var columns = four_columns(starts, d + staged_d);
        if !is_direct {
            let reference = column_four(0u, four_d);
            upper -= reference;
            lower -= reference;
            columns -= four_columns(vec4(0u), d + staged_d).x;
            row_norms += vec2(dot(upper, upper), dot(lower, lower));
            column_norms += columns * columns;
        }
        workgroupBarrier();
        row_tile[staged_row * ROW_STRIDE + lane % FOURS] = upper;
        row_tile[(staged_row + TILE_ROWS / 2u) * ROW_STRIDE + lane % FOURS] = lower;
        column_tile[staged_d * COLUMN_STRIDE + staged_column] = columns;
        workgroupBarrier();
        // A chunk for itself has few roundings, and so has the sum of the chunks.
        var s0 = vec4<f32>();
        var s1 = vec4<f32>();
        var s2 = vec4<f32>();
        var s3 = vec4<f32>();
        for (var four = 0u; four < FOURS; four += 1u) {
            let a0 = row_tile[row * ROW_STRIDE + four];
            let a1 = row_tile[(row + ROW_LANES) * ROW_STRIDE + four];
            let a2 = row_tile[(row + 2u * ROW_LANES) * ROW_STRIDE + four];
            let a3 = row_tile[(row + 3u * ROW_LANES) * ROW_STRIDE + four];
            let first = 4u * four * COLUMN_STRIDE + column;
            let b = mat4x4(
                column_tile[first],
                column_tile[first + COLUMN_STRIDE],
                column_tile[first + 2u * COLUMN_STRIDE],
                column_tile[first + 3u * COLUMN_STRIDE],
            );
            if is_direct {
                s0 = add_squares(s0, a0, b);
                s1 = add_squares(s1, a1, b);
                s2 = add_squares(s2, a2, b);
                s3 = add_squares(s3, a3, b);
            } else {
                s0 = add_products(s0, a0, b);
                s1 = add_products(s1, a1, b);
                s2 = add_products(s2, a2, b);
                s3 = add_products(s3, a3, b);
            }
        }
        sums += mat4x4(s0, s1, s2, s3);
    }
    if is_direct {
        return Tile(array(sums[0], sums[1], sums[2], sums[3]), array<vec4<f32>, 4>());
    }
    return from_products(lane, sums, row_norms, column_norms);
}

// Joins what the lanes hold of the norms, in the tiles' memory.
fn from_products(lane: u32, products: mat4x4<f32>, row_norms: vec2<f32>, column_norms: vec4<f32>) -> Tile {
    let row = lane / COLUMN_LANES;
    let column = lane % COLUMN_LANES;
    workgroupBarrier();
    row_tile[lane] = vec4(row_norms, 0.0, 0.0);
    column_tile[lane] = column_norms;
    workgroupBarrier();
    var upper = vec2<f32>();
    var lower = vec2<f32>();
    for (var i = 0u; i < FOURS; i += 1u) {
        upper += row_tile[row * FOURS + i].xy;
        lower += row_tile[(row + ROW_LANES) * FOURS + i].xy;
    }
    var columns = vec4<f32>();
    for (var i = 0u; i < CHUNK; i += 1u) {
        columns += column_tile[column * CHUNK + i];
    }
    let norms = mat4x4(columns + upper.x, columns + lower.x, columns + upper.y, columns + lower.y);
    let sq_dist = norms - 2.0 * products;
    return Tile(
        array(sq_dist[0], sq_dist[1], sq_dist[2], sq_dist[3]),
        array(norms[0], norms[1], norms[2], norms[3]),
    );
}

// How far a product may lie from its distance, over its norms: the roundings of the subtraction, of a chunk and of the sum of all
// chunks, for (|a - r| + |b - r|)^2, which is at most twice the norms.
fn product_error() -> f32 {
    return 2.0 * UNIT * (f32(params.dim / CHUNK) + f32(CHUNK) + 14.0);
}

// Whether a distance from products is as good as direct differences have to be.
fn is_accurate(sq_dist: f32, norms: f32) -> bool {
    return norms > MIN_NORMS && norms < MAX_NORMS
        && norms * product_error() < sq_dist * UNIT * f32(params.dim);
}
