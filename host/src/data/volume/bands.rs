//! Sections in bands of rows, so that large ones never lie in memory whole.

use std::ops::Range;

use super::{BACKGROUND, LabelValue, Volume};
use crate::{Error, Result};

/// Pixels of a band, at least, unless the section ends: smaller sections are one band.
const BAND: usize = 1 << 22;

/// The rows of a section in the parts in which they are best read: whole rows of the blocks in which they are stored
/// ([`Volume::chunk`]), so that each block is read once. Of volumes that are read by section it is the whole section.
pub(crate) fn bands(volume: &dyn Volume) -> impl Iterator<Item = Range<usize>> + use<> {
    let ([_, height, width], [_, rows, _]) = (volume.shape(), volume.chunk());
    let block = rows.saturating_mul(width).max(1);
    let step = rows.saturating_mul(BAND.div_ceil(block)).clamp(1, height.max(1));
    (0..height).step_by(step).map(move |first| first..(first + step).min(height))
}

/// Rows of labels out of a section that is read whole, row by row.
pub(super) fn label_rows_of_section<V: Volume + ?Sized>(
    volume: &V,
    z: usize,
    rows: Range<usize>,
    label: &mut dyn FnMut(LabelValue) -> u8,
) -> Result<Vec<u8>> {
    let [_, height, width] = volume.shape();
    if rows == (0..height) {
        return volume.read_labels(z, label);
    }
    check_rows(&rows, height)?;
    let wanted = rows.start * width..rows.end * width;
    let mut labels = Vec::with_capacity(wanted.len());
    let mut at = 0;
    volume.read_labels(z, &mut |value| {
        if wanted.contains(&at) {
            labels.push(label(value));
        }
        at += 1;
        BACKGROUND
    })?;
    Ok(labels)
}

/// An error where rows reach beyond a section.
pub(crate) fn check_rows(rows: &Range<usize>, height: usize) -> Result<()> {
    if rows.end <= height {
        return Ok(());
    }
    Err(Error::Input(format!("rows up to {} were asked of sections of {height}", rows.end)))
}

/// Volumes of which nothing can be read but parts of sections.
#[cfg(test)]
pub(crate) mod testing {
    use std::ops::Range;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::Result;
    use crate::data::volume::{
        Dtype, LabelValue, Region, Section, Volume, check_block, check_rows,
    };

    /// Integers by section, row and column in blocks of 512 x 300 pixels; whole sections are refused.
    pub(crate) struct OnlyParts {
        pub(crate) shape: [usize; 3],
        pub(crate) pixel: fn(usize, usize, usize) -> u8,
        /// The most pixels that were asked for at once.
        pub(crate) most: AtomicUsize,
    }

    impl OnlyParts {
        pub(crate) fn new(shape: [usize; 3], pixel: fn(usize, usize, usize) -> u8) -> Self {
            Self { shape, pixel, most: AtomicUsize::new(0) }
        }

        fn part(&self, block: &Region) -> Result<impl Iterator<Item = u8>> {
            check_block(block, self.shape)?;
            let Region { z, y, x } = block.clone();
            self.most.fetch_max(z.len() * y.len() * x.len(), Ordering::Relaxed);
            let (pixel, width) = (self.pixel, x.len());
            let rows = z.flat_map(move |z| y.clone().map(move |y| (z, y)));
            Ok(rows.flat_map(move |(z, y)| (x.start..x.start + width).map(move |x| pixel(z, y, x))))
        }
    }

    impl Volume for OnlyParts {
        fn shape(&self) -> [usize; 3] {
            self.shape
        }
        fn dtype(&self) -> Dtype {
            Dtype::U8
        }
        fn chunk(&self) -> [usize; 3] {
            [1, 512, 300]
        }
        fn read_section(&self, z: usize) -> Result<Section> {
            panic!("section {z} is read whole")
        }
        fn read_labels(
            &self,
            z: usize,
            _label: &mut dyn FnMut(LabelValue) -> u8,
        ) -> Result<Vec<u8>> {
            panic!("section {z} is read whole")
        }
        fn read_block(&self, block: &Region) -> Result<Vec<f32>> {
            Ok(self.part(block)?.map(f32::from).collect())
        }
        fn read_label_rows(
            &self,
            z: usize,
            rows: Range<usize>,
            label: &mut dyn FnMut(LabelValue) -> u8,
        ) -> Result<Vec<u8>> {
            let [_, height, width] = self.shape;
            check_rows(&rows, height)?;
            let block = Region { z: z..z + 1, y: rows, x: 0..width };
            Ok(self.part(&block)?.map(|value| label(value.into())).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::OnlyParts;
    use super::*;
    use crate::data::volume::ArrayVolume;

    #[test]
    fn bands_are_whole_blocks_of_a_few_million_pixels() {
        let ends = |volume: &dyn Volume| -> Vec<[usize; 2]> {
            bands(volume).map(|rows| [rows.start, rows.end]).collect()
        };
        let of = |shape| ends(&OnlyParts::new(shape, |_, _, _| 0));
        assert_eq!(of([2, 6000, 2000]), [[0, 2560], [2560, 5120], [5120, 6000]]);
        assert_eq!(of([1, 1100, 100_000]), [[0, 512], [512, 1024], [1024, 1100]]);
        assert_eq!(of([1, 2048, 2048]), [[0, 2048]], "a small section is one band");
        let whole = ArrayVolume::from_u8([1, 5, 7], &[0; 35]).unwrap();
        assert_eq!(ends(&whole), [[0, 5]]);
    }
}
