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
        let middle = shape[1] / 2;
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
