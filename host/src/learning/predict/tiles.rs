//! How an area of a section is cut in windows, which a network sees one at a time.
//!
//! A window is seen whole, and its rim is not kept. Inside of a section the rim is as wide as a pixel's
//! receptive field reaches, so that no pixel that is kept sees where its window ends, and windows
//! meet without a seam. At the edge of a section, beyond which there is nothing, the
//! network sees a mirror image for some pixels.
//!
//! Instance norm makes a window's statistics a part of what is seen, whatever its size. Its windows have the
//! size of the patches that the network knows, each place lies in four of them, and their weights
//! fall to zero where they end.

use std::f64::consts::PI;
use std::ops::Range;

use crate::data::pool::{Region, Window};
use crate::network::unet::PATCH_MULTIPLE;

/// How far the receptive field reaches from where pooled pixels begin: two 3 x 3 convolutions on each
/// level on the way down and on the way up, each of which reaches a pixel of its level further.
/// From the top: 2 pixels; their 1 pixel of level 1 and 2 more; 2 of level 2 and 2 more; the same on
/// level 3; on level 4 2 and 2 more, which are 64 pixels of the image. On the way down 16, 8, 4 and
/// 2 pixels are added, which makes 94.
const REACH: usize = 96;

/// Pixels that are mirrored at the edge of a section.
const MIRRORED: usize = 32;

/// A window and what is kept of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tile {
    /// First row and column of the window.
    pub(super) corner: [isize; 2],
    /// Rows and columns of the window.
    pub(super) shape: [usize; 2],
    /// The rows and columns that are kept.
    pub(super) kept: [Range<usize>; 2],
    /// Where the first kept ones lie in the area.
    pub(super) in_area: [usize; 2],
}

impl Tile {
    /// The window in a section.
    pub(super) fn window(&self, z: usize) -> Window {
        Window { z, corner: self.corner, shape: self.shape }
    }

    /// Where the kept rows and columns lie in the window.
    pub(super) fn kept_of_window(&self) -> [Range<usize>; 2] {
        [0, 1].map(|side| {
            let at = |place: usize| place.strict_sub_signed(self.corner[side]);
            at(self.kept[side].start)..at(self.kept[side].end)
        })
    }
}

/// How windows are laid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// As few as possible, of which a rim is not kept; no side is longer than this.
    Cut(usize),
    /// Of this side, every half of it.
    Blended(usize),
}

impl Layout {
    /// The weight of each place along a window's side; `None` where all weigh the same. Those of two windows
    /// half a side apart add up to one.
    pub(super) fn weights(self) -> Option<Vec<f32>> {
        let Self::Blended(side) = self else { return None };
        let weight = |i: usize| ((i as f64 + 0.5) / side as f64 * PI).sin().powi(2) as f32;
        Some((0..side).map(weight).collect())
    }

    fn side(self, length: usize, wanted: &Range<usize>) -> Side {
        match self {
            Self::Cut(limit) => cut(length, wanted, limit),
            Self::Blended(side) => blended(wanted, side),
        }
    }
}

/// What windows along one side have in common, and where each begins and what of it is kept.
struct Side {
    length: usize,
    windows: Vec<(isize, Range<usize>)>,
}

/// The fewest windows of one length, `limit` at most, for the places `wanted` of a side that has
/// `length` of them.
fn cut(length: usize, wanted: &Range<usize>, limit: usize) -> Side {
    let whole = length.next_multiple_of(PATCH_MULTIPLE);
    let first = wanted.start / PATCH_MULTIPLE * PATCH_MULTIPLE;
    let end = wanted.end.next_multiple_of(PATCH_MULTIPLE);
    // Where the edge can be seen, a window sees what is mirrored there, as one of the whole side does.
    let edge = MIRRORED as isize;
    let start = if first >= REACH { (first - REACH) as isize } else { -edge };
    let stop = if end + REACH <= whole { (end + REACH) as isize } else { whole as isize + edge };
    let seen = (stop - start) as usize;
    // Each but the last begins anew 2 * REACH before the end of the one before.
    let count = match seen <= limit {
        true => 1,
        false => (seen - 2 * REACH).div_ceil(limit - 2 * REACH),
    };
    let length = (seen + 2 * REACH * (count - 1)).div_ceil(count).next_multiple_of(PATCH_MULTIPLE);
    // The last one ends where it is to.
    let begins = |i: usize| match i {
        0 => start,
        i => {
            let room = seen - length;
            start + (room * i / (count - 1)).next_multiple_of(PATCH_MULTIPLE) as isize
        }
    };
    let from = |i: usize| match i {
        0 => wanted.start,
        i => begins(i).strict_add_unsigned(REACH) as usize,
    };
    let to = |i: usize| if i + 1 == count { wanted.end } else { from(i + 1) };
    Side { length, windows: (0..count).map(|i| (begins(i), from(i)..to(i))).collect() }
}

/// The windows every half of a side that reach into `wanted`. The first one of the whole begins half a
/// side before its first place.
fn blended(wanted: &Range<usize>, side: usize) -> Side {
    let half = side / 2;
    let window = |number: usize| {
        // One half further than it begins.
        let middle = number * half;
        let kept = wanted.start.max(middle.saturating_sub(half))..wanted.end.min(middle + half);
        (middle as isize - half as isize, kept)
    };
    let numbers = wanted.start / half..=(wanted.end - 1) / half + 1;
    Side { length: side, windows: numbers.map(window).collect() }
}

/// The windows for an area of sections of so many rows and columns: of one shape, in order of rows and columns.
pub(super) fn tiles_of([height, width]: [usize; 2], area: &Region, layout: Layout) -> Vec<Tile> {
    let (rows, columns) = (layout.side(height, &area.y), layout.side(width, &area.x));
    let first = [area.y.start, area.x.start];
    let shape = [rows.length, columns.length];
    let tile = |(y, kept): &(isize, Range<usize>)| {
        let (y, kept) = (*y, kept.clone());
        columns.windows.iter().map(move |(x, columns)| Tile {
            corner: [y, *x],
            shape,
            in_area: [kept.start - first[0], columns.start - first[1]],
            kept: [kept.clone(), columns.clone()],
        })
    };
    rows.windows.iter().flat_map(tile).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each place of `wanted` is kept once, sees enough on both sides, and windows lie where those of the whole do.
    fn require(length: usize, wanted: Range<usize>, limit: usize) {
        let cut = cut(length, &wanted, limit);
        let about = format!("{wanted:?} of {length}, at most {limit}: {:?}", cut.windows);
        assert!(cut.length <= limit && cut.length.is_multiple_of(16), "{about}");
        let mut next = wanted.start;
        for (start, kept) in &cut.windows {
            assert_eq!(kept.start, next, "{about}");
            next = kept.end;
            assert!(!kept.is_empty(), "{about}");
            assert_eq!(start.rem_euclid(16), 0, "{about}");
            let end = start + cut.length as isize;
            let pooled = |at: usize, up: usize| ((at + up) / 16 * 16) as isize;
            let whole = length.next_multiple_of(16) as isize;
            let before = (pooled(kept.start, 0) - 96).max(-32);
            let behind = (pooled(kept.end, 15) + 96).min(whole + 32);
            assert!(*start <= before && behind <= end, "{about}");
            // More mirror images than a window of the whole would see change what the network says.
            assert!(*start >= -32 && end <= whole + 32, "{about}");
        }
        assert_eq!(next, wanted.end, "{about}");
    }

    #[test]
    fn every_place_is_kept_once_and_sees_what_it_can() {
        for length in [1, 15, 16, 17, 100, 255, 256, 257, 500, 1000, 1024, 1025, 3001] {
            for limit in [256, 272, 400, 1024, 1216] {
                require(length, 0..length, limit);
                for wanted in [0..1, length - 1..length, length / 3..length / 2 + 1] {
                    require(length, wanted, limit);
                }
            }
        }
    }

    #[test]
    fn weights_of_blended_windows_add_up_to_one_everywhere() {
        let layout = Layout::Blended(64);
        let weights = layout.weights().unwrap();
        assert!(weights[0] < 1e-3 && weights[63] < 1e-3 && weights[32] > 0.99);
        for wanted in [0..1, 0..100, 31..33, 95..96, 7..250] {
            let mut sums = vec![0.0; 250];
            let side = layout.side(250, &wanted);
            for (start, kept) in side.windows {
                assert!(wanted.start <= kept.start && kept.end <= wanted.end && !kept.is_empty());
                assert_eq!(start.rem_euclid(32), 0);
                kept.for_each(|at| sums[at] += weights[(at as isize - start) as usize]);
            }
            for (at, sum) in sums.iter().enumerate() {
                let want = if wanted.contains(&at) { 1.0 } else { 0.0 };
                assert!((sum - want).abs() < 1e-6, "{sum} at {at} of {wanted:?}");
            }
        }
    }

    #[test]
    fn windows_of_an_area_are_as_small_as_what_it_sees() {
        let area = Region { z: 1..2, y: 400..528, x: 0..100 };
        let [tile] = &tiles_of([1024, 900], &area, Layout::Cut(1024))[..] else {
            panic!("one window suffices")
        };
        assert_eq!(tile.corner, [400 - 96, -32]);
        assert_eq!(tile.kept, [400..528, 0..100]);
        assert_eq!(tile.shape, [128 + 192, 112 + 32 + 96]);
        assert_eq!(tile.kept_of_window(), [96..224, 32..132]);
        assert_eq!(tile.in_area, [0, 0]);
        let second = &tiles_of([1024, 900], &area, Layout::Cut(256))[1];
        assert_eq!(second.in_area, [second.kept[0].start - 400, 0]);
    }
}
