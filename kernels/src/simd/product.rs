//! Products of matrices whose sums are held in registers, tile by tile.

use super::Simd;

/// The left factor: element `(r, k)` lies at `r * row + k * step`.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) row: usize,
    pub(crate) step: usize,
}

/// The right factor, whose columns are read as vectors.
#[derive(Clone, Copy)]
pub(crate) enum Right<'a> {
    /// Panels of [`panel`] columns, each `[k][columns]`; the last may be one vector wide.
    Packed(&'a [f32]),
    /// Row `k` begins at `k * stride`.
    Rows(&'a [f32], usize),
}

/// What a product is added to.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    Zero,
    /// What lies in the output.
    Output,
    /// The same number for each row of a column.
    Row(&'a [f32]),
}

/// Columns of a packed panel.
pub(crate) const fn panel(lanes: usize) -> usize {
    2 * lanes
}

/// `out[r * out_row + c] = start + sum_k left[r, k] right[k, c]` for `m` rows and `n` columns, a multiple of
/// the vector. Each sum runs over `k` in order, whatever the tile.
#[inline(always)]
pub(crate) fn product<S: Simd>(
    simd: S,
    [m, n, k]: [usize; 3],
    left: Left<'_>,
    right: Right<'_>,
    start: Start<'_>,
    out: &mut [f32],
    out_row: usize,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(n.is_multiple_of(S::LANES), "columns come in vectors");
    assert!(out.len() >= (m - 1) * out_row + n, "the output holds all rows");
    if k > 0 {
        assert!(left.data.len() > (m - 1) * left.row + (k - 1) * left.step, "the left factor");
        match right {
            Right::Packed(b) => assert!(b.len() >= n * k, "the right factor"),
            Right::Rows(b, stride) => assert!(b.len() >= (k - 1) * stride + n, "the right factor"),
        }
    }
    if let Start::Row(row) = start {
        assert!(row.len() >= n, "a start for each column");
    }
    let wide = panel(S::LANES);
    let mut c = 0;
    while c < n {
        let width = wide.min(n - c);
        let (right, right_step) = match right {
            // SAFETY of the pointers below: panels lie one after another, `n * k` numbers in all.
            Right::Packed(b) => (&b[c * k..], width),
            Right::Rows(b, stride) => (&b[c.min(b.len())..], stride),
        };
        let mut at = Operands {
            k,
            left: left.data.as_ptr(),
            left_row: left.row,
            left_step: left.step,
            right: right.as_ptr(),
            right_step,
            start,
            column: c,
            out: out.as_mut_ptr().wrapping_add(c),
            out_row,
        };
        // SAFETY: the assertions above bound every row, column and step.
        unsafe {
            if width == wide {
                rows::<S, 2>(simd, m, &mut at);
            } else {
                rows::<S, 1>(simd, m, &mut at);
            }
        }
        c += width;
    }
}

/// Where a tile's operands begin.
struct Operands<'a> {
    k: usize,
    left: *const f32,
    left_row: usize,
    left_step: usize,
    right: *const f32,
    right_step: usize,
    start: Start<'a>,
    column: usize,
    out: *mut f32,
    out_row: usize,
}

/// Runs the tiles of `V` vectors over all rows, the tallest that fit.
///
/// # Safety
/// `m` rows and `k` steps of the operands are within their slices.
#[inline(always)]
unsafe fn rows<S: Simd, const V: usize>(simd: S, m: usize, at: &mut Operands<'_>) {
    let mut left = m;
    while left > 0 {
        // SAFETY: no tile is taller than the rows that are left.
        let taken = unsafe {
            match left.min(if V == 1 { 2 * S::TILE } else { S::TILE }) {
                12.. => tile::<S, 12, V>(simd, at),
                8..12 => tile::<S, 8, V>(simd, at),
                6..8 => tile::<S, 6, V>(simd, at),
                4..6 => tile::<S, 4, V>(simd, at),
                2..4 => tile::<S, 2, V>(simd, at),
                _ => tile::<S, 1, V>(simd, at),
            }
        };
        at.left = at.left.wrapping_add(taken * at.left_row);
        at.out = at.out.wrapping_add(taken * at.out_row);
        left -= taken;
    }
}

/// A tile of `R` rows by `V` vectors; gives back `R`.
///
/// # Safety
/// `R` rows and `k` steps of the operands are within their slices.
#[inline(always)]
unsafe fn tile<S: Simd, const R: usize, const V: usize>(simd: S, at: &Operands<'_>) -> usize {
    let mut sums = [[simd.splat(0.0); V]; R];
    // SAFETY: the caller promises that all that is read and written lies within the slices.
    unsafe {
        match at.start {
            Start::Zero => {}
            Start::Output => {
                for r in 0..R {
                    for v in 0..V {
                        sums[r][v] = simd.read(at.out.add(r * at.out_row + v * S::LANES));
                    }
                }
            }
            Start::Row(row) => {
                for v in 0..V {
                    let start = simd.load(&row[at.column + v * S::LANES..]);
                    for r in 0..R {
                        sums[r][v] = start;
                    }
                }
            }
        }
        let (mut left, mut right) = (at.left, at.right);
        for _ in 0..at.k {
            let mut columns = [simd.splat(0.0); V];
            for v in 0..V {
                columns[v] = simd.read(right.add(v * S::LANES));
            }
            for r in 0..R {
                let number = simd.splat(*left.add(r * at.left_row));
                for v in 0..V {
                    sums[r][v] = simd.mul_add(number, columns[v], sums[r][v]);
                }
            }
            left = left.wrapping_add(at.left_step);
            right = right.wrapping_add(at.right_step);
        }
        for r in 0..R {
            for v in 0..V {
                simd.write(sums[r][v], at.out.add(r * at.out_row + v * S::LANES));
            }
        }
    }
    R
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Kernel, testing};
    use crate::tolerance::testing::draw;

    struct Case {
        m: usize,
        vectors: usize,
        k: usize,
        packed: bool,
        start: u32,
    }

    impl Kernel for &Case {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, simd: S) {
            let Case { m, vectors, k, packed, start } = *self;
            let n = vectors * S::LANES;
            let (row, step, stride, out_row) = (k + 3, 1, n + 5, n + 2);
            let left = draw(1, m * row, -1.0..1.0);
            let rows = draw(2, k * stride + n, -1.0..1.0);
            let bias = draw(3, n, -1.0..1.0);
            let mut panels = Vec::new();
            for c in (0..n).step_by(panel(S::LANES)) {
                for k in 0..k {
                    panels.extend(&rows[k * stride + c..][..panel(S::LANES).min(n - c)]);
                }
            }
            let right = if packed { Right::Packed(&panels) } else { Right::Rows(&rows, stride) };
            let start_with = [Start::Zero, Start::Output, Start::Row(&bias)][start as usize];
            let before = draw(4, m * out_row, -1.0..1.0);
            let mut out = before.clone();
            let left = Left { data: &left, row, step };
            product(simd, [m, n, k], left, right, start_with, &mut out, out_row);
            for r in 0..m {
                for c in 0..out_row {
                    let got = out[r * out_row + c];
                    if c >= n {
                        assert_eq!(got, before[r * out_row + c], "outside of the product");
                        continue;
                    }
                    let mut want = [0.0, before[r * out_row + c], bias[c]][start as usize];
                    for k in 0..k {
                        let (a, b) = (left.data[r * row + k], rows[k * stride + c]);
                        // The first level has no fused product.
                        want = if S::LANES == 4 && cfg!(target_arch = "x86_64") {
                            a * b + want
                        } else {
                            a.mul_add(b, want)
                        };
                    }
                    assert_eq!(got, want, "row {r} column {c}");
                }
            }
        }
    }

    #[test]
    fn products_sum_in_order_on_every_level() {
        for level in testing::levels() {
            for m in [1, 2, 3, 5, 6, 7, 11, 12, 13, 25] {
                for (vectors, k, packed, start) in
                    [(1, 3, true, 0), (2, 1, false, 1), (3, 17, true, 2), (5, 0, true, 1)]
                {
                    level.run(&Case { m, vectors, k, packed, start });
                    level.run(&Case { m, vectors, k, packed: !packed, start });
                }
            }
        }
    }
}
