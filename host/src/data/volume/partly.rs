//! Labels of a part of a volume, as labels of all of it.

use super::{Dtype, Grid, IGNORED, LabelValue, Region, Section, Volume, check_rows, check_section};
use crate::Result;
use std::ops::Range;
use std::path::Path;

/// The part of a volume that labels are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Of each section of the volume, which of the labels' is its.
    pub(super) sections: Vec<Option<usize>>,
    /// The row and the column of the volume where the labels begin.
    pub(super) corner: [usize; 2],
}

impl Part {
    /// A box of so many sections that begins at `at` (section, row, column), of `depth` sections.
    pub(super) fn new(at: [usize; 3], sections: usize, depth: usize) -> Self {
        let label = |z: usize| z.checked_sub(at[0]).filter(|&label| label < sections);
        Self { sections: (0..depth).map(label).collect(), corner: [at[1], at[2]] }
    }

    /// The box outside of which nothing is known, by the shape of the labels.
    pub(super) fn known(&self, [_, height, width]: [usize; 3]) -> Region {
        let first = self.sections.iter().position(Option::is_some).unwrap_or(0);
        let last = self.sections.iter().rposition(Option::is_some).map_or(first, |last| last + 1);
        let [y, x] = self.corner;
        Region { z: first..last, y: y..y + height, x: x..x + width }
    }
}

/// Labels of a part of a volume; of the other pixels nothing is known.
pub(super) struct Partly {
    pub(super) source: Box<dyn Volume>,
    pub(super) part: Part,
    /// Rows and columns of the volume.
    pub(super) size: [usize; 2],
}

impl Partly {
    /// The rows of a section that begin with row `first`, of `count` rows, with `rest` in all pixels that the labels do not have;
    /// `labels` are theirs from row `top` of the section on.
    fn spread<T: Copy>(
        &self,
        [first, count]: [usize; 2],
        labels: &[T],
        top: usize,
        rest: T,
    ) -> Vec<T> {
        let [_, width] = self.size;
        let [_, _, own] = self.source.shape();
        let left = self.part.corner[1];
        let mut rows = vec![rest; count * width];
        for (y, row) in labels.chunks(own).enumerate() {
            rows[(top - first + y) * width + left..][..own].copy_from_slice(row);
        }
        rows
    }
}

impl Volume for Partly {
    fn shape(&self) -> [usize; 3] {
        let [height, width] = self.size;
        [self.part.sections.len(), height, width]
    }

    fn dtype(&self) -> Dtype {
        self.source.dtype()
    }

    fn read_section(&self, z: usize) -> Result<Section> {
        let [height, width] = self.size;
        check_section(z, self.part.sections.len(), "the labels")?;
        let own = match self.part.sections[z] {
            Some(label) => self.source.read_section(label)?.pixels,
            None => Vec::new(),
        };
        let pixels = self.spread([0, height], &own, self.part.corner[0], 0.0);
        Ok(Section { height, width, pixels })
    }

    fn read_labels(&self, z: usize, label: &mut dyn FnMut(LabelValue) -> u8) -> Result<Vec<u8>> {
        self.read_label_rows(z, 0..self.size[0], label)
    }

    fn read_label_rows(
        &self,
        z: usize,
        rows: Range<usize>,
        label: &mut dyn FnMut(LabelValue) -> u8,
    ) -> Result<Vec<u8>> {
        check_section(z, self.part.sections.len(), "the labels")?;
        check_rows(&rows, self.size[0])?;
        let [_, height, _] = self.source.shape();
        let top = self.part.corner[0];
        // Those of the rows that the labels have.
        let known = rows.start.max(top)..rows.end.min(top + height);
        let own = match self.part.sections[z].filter(|_| !known.is_empty()) {
            Some(section) => {
                let own = known.start - top..known.end - top;
                self.source.read_label_rows(section, own, label)?
            }
            None => Vec::new(),
        };
        Ok(self.spread([rows.start, rows.len()], &own, known.start, IGNORED))
    }

    /// As tall as the blocks of the labels, for reading these by rows; the pixels come by section.
    fn chunk(&self) -> [usize; 3] {
        let [height, width] = self.size;
        let ([_, own, _], [_, rows, _]) = (self.source.shape(), self.source.chunk());
        [1, if rows < own { rows } else { height }, width]
    }

    fn memory_bytes(&self) -> usize {
        self.source.memory_bytes()
    }

    fn section_name(&self, z: usize) -> String {
        match self.part.sections[z] {
            Some(label) => self.source.section_name(label),
            None => {
                format!("section {z}, which has no labels beside {}", self.source.section_name(0))
            }
        }
    }

    fn section_number(&self, z: usize) -> Option<u64> {
        self.part.sections[z].and_then(|label| self.source.section_number(label))
    }

    fn section_file(&self, z: usize) -> Option<&Path> {
        self.part.sections[z].and_then(|label| self.source.section_file(label))
    }

    fn notes(&self) -> Vec<String> {
        self.source.notes()
    }

    fn voxel_nm(&self) -> Option<[f64; 3]> {
        self.source.voxel_nm()
    }

    fn grid(&self) -> Option<[Grid; 3]> {
        self.source.grid()
    }
}
