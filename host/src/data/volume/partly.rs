//! Labels of a part of a volume, as labels of all of it.

use super::{Dtype, Grid, IGNORED, LabelValue, Region, Section, Volume, check_section};
use crate::Result;
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
    /// A section with `rest` in all pixels that the labels do not have.
    fn spread<T: Copy>(&self, labels: &[T], rest: T) -> Vec<T> {
        let [height, width] = self.size;
        let [_, _, own] = self.source.shape();
        let [top, left] = self.part.corner;
        let mut whole = vec![rest; height * width];
        for (y, row) in labels.chunks(own).enumerate() {
            whole[(top + y) * width + left..][..own].copy_from_slice(row);
        }
        whole
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
        Ok(Section { height, width, pixels: self.spread(&own, 0.0) })
    }

    fn read_labels(&self, z: usize, label: &mut dyn FnMut(LabelValue) -> u8) -> Result<Vec<u8>> {
        check_section(z, self.part.sections.len(), "the labels")?;
        let own = match self.part.sections[z] {
            Some(section) => self.source.read_labels(section, label)?,
            None => Vec::new(),
        };
        Ok(self.spread(&own, IGNORED))
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
