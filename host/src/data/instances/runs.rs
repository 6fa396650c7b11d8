//! Connected components, run by run: a section is held as its stretches of foreground, never as
//! pixels.
//!
//! Rows are labelled in the order of the file. A run takes the label of a run before it that it
//! touches, or a new one; of further runs that it touches is noted that their labels are one
//! component. So nothing but the runs of two sections is needed, and there are no blocks on which a
//! result could depend.
//!
//! Source: A. Rosenfeld and J. L. Pfaltz, Sequential operations in digital picture processing, J.
//! ACM 13 (1966).

use petgraph::unionfind::UnionFind;

use super::Connectivity;
use super::mask::{Mask, stretches};
use crate::error::{Error, Result};

/// A stretch of voxels of one label in a row of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The row.
    pub y: u32,
    /// The first column.
    pub start: u32,
    /// The column behind the last one.
    pub end: u32,
    /// What it belongs to.
    pub label: u32,
}

impl Run {
    /// Number of voxels.
    pub fn voxels(&self) -> u64 {
        u64::from(self.end - self.start)
    }
}

/// The runs of a section, row by row and in each row by column.
#[derive(Clone, Debug, Default)]
pub(super) struct SectionRuns {
    runs: Vec<Run>,
    /// Where each row begins, and the end.
    rows: Vec<usize>,
}

impl SectionRuns {
    /// A section from runs in their order.
    pub(super) fn new(runs: Vec<Run>, height: usize) -> Self {
        let mut rows = Vec::with_capacity(height + 1);
        let mut at = 0;
        for y in 0..height {
            rows.push(at);
            at += runs[at..].iter().take_while(|run| run.y as usize == y).count();
        }
        rows.push(at);
        Self { runs, rows }
    }

    pub(super) fn all(&self) -> &[Run] {
        &self.runs
    }

    /// The runs of a row; none where there is no such row.
    pub(super) fn row(&self, y: usize) -> &[Run] {
        match (self.rows.get(y), self.rows.get(y + 1)) {
            (Some(&from), Some(&to)) => &self.runs[from..to],
            _ => &[],
        }
    }
}

/// Calls `meet` for all pairs of runs of two rows that share a column, or, for a `reach` of 1, lie
/// corner to corner: with the number of the first run in its row, and with the second run.
pub(super) fn touching(a: &[Run], b: &[Run], reach: u32, mut meet: impl FnMut(usize, &Run)) {
    let mut first = 0;
    for (number, run) in a.iter().enumerate() {
        while first < b.len() && b[first].end + reach <= run.start {
            first += 1;
        }
        for other in b[first..].iter().take_while(|other| other.start < run.end + reach) {
            meet(number, other);
        }
    }
}

/// Not labelled yet.
const NONE: u32 = u32::MAX;

/// Bytes of bits that are read at once.
const READ: usize = 1 << 22;

/// Labels section after section. Labels are provisional: those of one component may differ.
///
/// Twice the same mask gives twice the same labels.
pub(super) struct Labeller<'a> {
    mask: &'a Mask,
    connectivity: Connectivity,
    /// The section before.
    before: SectionRuns,
    next_section: usize,
    next_label: u32,
}

impl<'a> Labeller<'a> {
    pub(super) fn new(mask: &'a Mask, connectivity: Connectivity) -> Self {
        Self { mask, connectivity, before: SectionRuns::default(), next_section: 0, next_label: 0 }
    }

    /// The runs of the next section. `sets` learns which labels there are and which are one
    /// component.
    ///
    /// # Errors
    /// If the mask can't be read, or the labels are more than 32 bits can number.
    pub(super) fn section(
        &mut self,
        mut sets: Option<&mut UnionFind<u32>>,
    ) -> Result<&SectionRuns> {
        let [_, height, width] = self.mask.shape();
        let z = self.next_section;
        self.next_section += 1;
        let mut section = SectionRuns { runs: Vec::new(), rows: Vec::with_capacity(height + 1) };
        let band = (READ / width.div_ceil(8)).max(1);
        for first in (0..height).step_by(band) {
            let rows = first..(first + band).min(height);
            let (bits, bytes) = self.mask.rows(z, rows.clone())?;
            for (y, bits) in rows.zip(bits.chunks(bytes)) {
                section.rows.push(section.runs.len());
                section.runs.extend(stretches(bits, width).map(|(start, end)| Run {
                    y: y as u32,
                    start: start as u32,
                    end: end as u32,
                    label: NONE,
                }));
                self.label_row(&mut section, y, sets.as_deref_mut())?;
            }
        }
        section.rows.push(section.runs.len());
        self.before = section;
        Ok(&self.before)
    }

    /// Labels row `y`, the last one of the section so far, by the rows before it.
    fn label_row(
        &mut self,
        section: &mut SectionRuns,
        y: usize,
        mut sets: Option<&mut UnionFind<u32>>,
    ) -> Result<()> {
        let (done, row) = section.runs.split_at_mut(section.rows[y]);
        let above = if y > 0 { &done[section.rows[y - 1]..] } else { &[] };
        let corners = self.connectivity == Connectivity::Corners;
        let behind =
            [y.checked_sub(1).filter(|_| corners), Some(y), Some(y + 1).filter(|_| corners)];
        let behind = behind.into_iter().flatten().map(|y| self.before.row(y));
        let mut found: Vec<u32> = vec![NONE; row.len()];
        for other in std::iter::once(above).chain(behind) {
            touching(row, other, u32::from(corners), |number, other| {
                let label = &mut found[number];
                if *label == NONE {
                    *label = other.label;
                } else if let Some(sets) = &mut sets
                    && *label != other.label
                {
                    sets.union(*label, other.label);
                }
            });
        }
        for (run, label) in row.iter_mut().zip(found) {
            run.label = label;
            if label != NONE {
                continue;
            }
            run.label = self.next_label;
            self.next_label += 1;
            if self.next_label == NONE {
                return Err(Error::Input(
                    "the foreground falls into more than 4 billion pieces: it is noise; give a \
                    higher --threshold"
                        .into(),
                ));
            }
            if let Some(sets) = &mut sets {
                sets.new_set();
            }
        }
        Ok(())
    }
}
