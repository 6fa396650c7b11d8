//! A file whose rows or columns are other axes than those of its pages, as an array.

use std::ops::Range;

use super::axes::FileAxes;
use super::{TiffStack, read_at};
use crate::Result;
use crate::data::volume::axes::{Blocks, NdArray};
use crate::data::volume::pixels::AsStored;
use crate::data::volume::{Dtype, Volume};

/// All pages of a file.
pub(super) struct TiffArray {
    stack: TiffStack,
    axes: FileAxes,
    labels: bool,
}

impl TiffArray {
    /// With `labels` the numbers are those of the file, also where it says how to show them.
    pub(super) fn new(stack: TiffStack, axes: FileAxes, labels: bool) -> Self {
        Self { stack, axes, labels }
    }

    /// The numbers of a page.
    fn page(&self, index: &[u64]) -> Result<Vec<u8>> {
        let TiffStack { path, contents, .. } = &self.stack;
        let place = self.axes.place(index);
        let numbers = self.stack.with_decoder(|decoder| match self.labels {
            true => read_at(path, decoder, contents, place, &mut AsStored::<true>(self.dtype())),
            false => read_at(path, decoder, contents, place, &mut AsStored::<false>(self.dtype())),
        })?;
        let bytes = usize::from(self.dtype().bytes());
        Ok(numbers.iter().flat_map(|number| &number[..bytes]).copied().collect())
    }
}

impl NdArray for TiffArray {
    fn name(&self) -> String {
        self.stack.path.display().to_string()
    }

    fn shape(&self) -> &[u64] {
        &self.axes.shape
    }

    fn blocks(&self) -> Blocks {
        Blocks::Pages
    }

    fn dtype(&self) -> Dtype {
        self.stack.dtype()
    }

    fn steps_nm(&self) -> Vec<Option<f64>> {
        self.axes.steps.clone()
    }

    fn decode(&self, ranges: &[Range<u64>]) -> Result<Vec<u8>> {
        let pixel = usize::from(self.dtype().bytes());
        let width = self.stack.contents.header.width;
        let FileAxes { rows, columns, .. } = self.axes;
        // How far apart neighbours along each axis lie.
        let mut steps = vec![0; ranges.len()];
        let mut size = pixel;
        for (step, range) in steps.iter_mut().zip(ranges).rev() {
            *step = size;
            size *= (range.end - range.start) as usize;
        }
        let mut bytes = vec![0; size];
        let mut index: Vec<u64> = ranges.iter().map(|range| range.start).collect();
        loop {
            let page = self.page(&index)?;
            let place = |axis: usize, at: u64| (at - ranges[axis].start) as usize * steps[axis];
            let first: usize = (0..index.len()).map(|axis| place(axis, index[axis])).sum();
            for y in ranges[rows].clone() {
                for x in ranges[columns].clone() {
                    let to = first + place(rows, y) + place(columns, x);
                    let from = (y as usize * width + x as usize) * pixel;
                    bytes[to..to + pixel].copy_from_slice(&page[from..from + pixel]);
                }
            }
            // The next page, as a counter goes on.
            let others = (0..index.len()).rev().filter(|axis| ![rows, columns].contains(axis));
            let mut is_last = true;
            for axis in others {
                index[axis] += 1;
                if index[axis] < ranges[axis].end {
                    is_last = false;
                    break;
                }
                index[axis] = ranges[axis].start;
            }
            if is_last {
                return Ok(bytes);
            }
        }
    }

    fn noticed(&self) -> Vec<String> {
        let slow = "the sections lie across the pages, so that reading one reads the whole file; \
        write it anew in the order z, y, x, or as Zarr";
        let mut notes = self.stack.notes();
        notes.push(format!("{}: {slow}", self.name()));
        notes
    }
}
