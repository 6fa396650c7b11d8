//! A box of a volume.

use crate::error::{Error, Result};
use std::ops::Range;

/// Sides of a patch are multiples of this: the network halves them four times.
pub const PATCH_MULTIPLE: usize = 16;

/// A box of a volume, in sections, rows and columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Sections.
    pub z: Range<usize>,
    /// Rows.
    pub y: Range<usize>,
    /// Columns.
    pub x: Range<usize>,
}

impl Region {
    /// The whole of a volume of this shape.
    pub fn whole([z, y, x]: [usize; 3]) -> Self {
        Self { z: 0..z, y: 0..y, x: 0..x }
    }

    /// Two halves along `y`: the first rows, the last rows.
    pub fn split_y(shape: [usize; 3]) -> (Self, Self) {
        Self::split_at_row(shape, shape[1] / 2)
    }

    /// The rows before `middle`, and the others.
    pub fn split_at_row(shape: [usize; 3], middle: usize) -> (Self, Self) {
        let whole = Self::whole(shape);
        let first = Self { y: 0..middle, ..whole.clone() };
        let second = Self { y: middle..shape[1], ..whole };
        (first, second)
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.y.len()
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.x.len()
    }

    /// The part of the region where every patch shows as much as it can of a box: along rows and
    /// columns patches of this side lie in the box, or the box in them; along z it is the box with
    /// so many more `sections` on each side. The region itself where the box lies outside.
    #[must_use]
    pub fn around(&self, part: &Self, patch: usize, sections: usize) -> Self {
        let common = |a: &Range<usize>, b: &Range<usize>| a.start.max(b.start)..a.end.min(b.end);
        let z = common(&self.z, &part.z);
        let (y, x) = (common(&self.y, &part.y), common(&self.x, &part.x));
        if z.is_empty() || y.is_empty() || x.is_empty() {
            return self.clone();
        }
        let more = |of: Range<usize>, before: usize, after: usize, within: &Range<usize>| {
            common(&(of.start.saturating_sub(before)..of.end.saturating_add(after)), within)
        };
        let reach = |side: Range<usize>, within: &Range<usize>| {
            let lacks = patch.saturating_sub(side.len());
            more(side, lacks, lacks, within)
        };
        Self { z: more(z, sections, sections, &self.z), y: reach(y, &self.y), x: reach(x, &self.x) }
    }

    /// Number of places where a patch fits.
    pub fn positions(&self, patch: usize) -> u64 {
        let fits = |side: usize| (side + 1).saturating_sub(patch) as u64;
        self.z.len() as u64 * fits(self.height()) * fits(self.width())
    }

    /// Refuses a patch that does not fit.
    ///
    /// # Errors
    /// [`Error::Usage`] with both sizes and the largest patch that fits; `what` names the region.
    pub fn require_patch(&self, patch: usize, what: &str) -> Result<()> {
        if self.positions(patch) > 0 {
            return Ok(());
        }
        let (height, width) = (self.height(), self.width());
        let largest = height.min(width) / PATCH_MULTIPLE * PATCH_MULTIPLE;
        let help = match largest {
            0 => format!(
                "no patch fits, whose side is at least {PATCH_MULTIPLE} pixels; give a larger volume"
            ),
            _ => format!("the largest patch that fits is --patch {largest}"),
        };
        Err(Error::Usage(format!(
            "--patch {patch}: the {what} region is only {height} x {width} pixels (rows x \
             columns); {help}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn around_a_box_patches_lie_in_it_or_it_in_them() {
        let region = Region { z: 2..30, y: 10..500, x: 0..300 };
        let part = Region { z: 4..9, y: 100..140, x: 290..299 };
        let found = region.around(&part, 32, 1);
        // 40 rows are more than a patch; 9 columns are less, and the region ends behind them.
        assert_eq!(found, Region { z: 3..10, y: 100..140, x: 267..300 });
        let found = region.around(&Region { z: 0..40, y: 0..30, x: 0..300 }, 64, 3);
        assert_eq!(found, Region { z: 2..30, y: 10..74, x: 0..300 });
        assert_eq!(region.around(&region, 128, 0), region);
        assert_eq!(region.around(&Region { y: 0..10, ..part }, 32, 0), region, "outside");
    }
}
