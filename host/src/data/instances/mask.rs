//! Which voxels are foreground: one bit for each, in a file that goes away with this value.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::data::files::{Partial, remove_leftovers};
use crate::data::volume::{Region, show_shape};
use crate::error::{Error, Result};

/// The foreground of a volume, on disk beside an output, an eighth of a byte for each voxel.
///
/// Rows lie one behind the other; each begins at a byte, lowest bit first.
pub struct Mask {
    /// For messages.
    path: PathBuf,
    file: File,
    /// Removes the file in the end.
    _partial: Partial,
    shape: [usize; 3],
    row_bytes: usize,
}

impl Mask {
    /// A mask of `shape` (sections, rows, columns) without foreground, beside the file `output`
    /// that is to come.
    ///
    /// # Errors
    /// [`Error::Input`] if a side is 0 or does not fit 32 bits, [`Error::Io`] if the folder can't
    /// be written to.
    pub fn create(output: &Path, shape: [usize; 3]) -> Result<Self> {
        let row_bytes = shape[2].div_ceil(8);
        let bytes = shape[0].checked_mul(shape[1]).and_then(|rows| rows.checked_mul(row_bytes));
        let fits = shape.iter().all(|&side| side > 0 && u32::try_from(side).is_ok());
        let Some(bytes) = bytes.filter(|_| fits) else {
            return Err(Error::Input(format!(
                "a volume of {} (sections x rows x columns) can't be divided into objects",
                show_shape(shape)
            )));
        };
        if let Some(own) = output.file_name() {
            let folder = output.parent().filter(|p| !p.as_os_str().is_empty());
            remove_leftovers(folder.unwrap_or(Path::new(".")), |name| own == name);
        }
        let (partial, file) = Partial::create(output)
            .and_then(|(partial, file)| file.set_len(bytes as u64).map(|()| (partial, file)))
            .map_err(|e| Error::io(output, "creating a file beside it", e))?;
        Ok(Self { path: output.to_path_buf(), file, _partial: partial, shape, row_bytes })
    }

    /// Sections, rows, columns.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Says of a block which of its voxels are foreground: section by section and row by row.
    /// Blocks may come in any order.
    ///
    /// # Errors
    /// If the disk is full or refuses.
    ///
    /// # Panics
    /// If the block is not as large as `foreground`, reaches beyond the volume, or begins or ends
    /// (before the last column) at a column that is no multiple of 8.
    pub fn write(
        &mut self,
        block: &Region,
        foreground: impl ExactSizeIterator<Item = bool>,
    ) -> Result<()> {
        let (height, width) = (block.height(), block.width());
        assert_eq!(foreground.len(), block.z.len() * height * width);
        assert!(block.z.end <= self.shape[0] && block.y.end <= self.shape[1]);
        assert!(block.x.start.is_multiple_of(8) && block.x.end <= self.shape[2]);
        assert!(block.x.end.is_multiple_of(8) || block.x.end == self.shape[2]);
        let bytes = width.div_ceil(8);
        let mut foreground = foreground;
        let mut packed = vec![0_u8; height * bytes];
        for z in block.z.clone() {
            packed.fill(0);
            for row in packed.chunks_mut(bytes) {
                for (x, is_foreground) in foreground.by_ref().take(width).enumerate() {
                    row[x / 8] |= u8::from(is_foreground) << (x % 8);
                }
            }
            // Rows that lie together are written together.
            let together = if bytes == self.row_bytes { height * bytes } else { bytes };
            for (part, packed) in packed.chunks(together).enumerate() {
                let y = block.y.start + part * (together / bytes);
                self.at(z, y, block.x.start / 8)
                    .and_then(|mut file| file.write_all(packed))
                    .map_err(|e| Error::io(&self.path, "writing a file beside it", e))?;
            }
        }
        Ok(())
    }

    fn at(&self, z: usize, y: usize, byte: usize) -> std::io::Result<&File> {
        let offset = (z * self.shape[1] + y) * self.row_bytes + byte;
        (&self.file).seek(SeekFrom::Start(offset as u64))?;
        Ok(&self.file)
    }

    /// The bits of some rows of a section, and the bytes of each row.
    pub(super) fn rows(&self, z: usize, y: Range<usize>) -> Result<(Vec<u8>, usize)> {
        let mut bits = vec![0; y.len() * self.row_bytes];
        self.at(z, y.start, 0)
            .and_then(|mut file| file.read_exact(&mut bits))
            .map_err(|e| Error::io(&self.path, "reading a file beside it", e))?;
        Ok((bits, self.row_bytes))
    }
}

/// The stretches of foreground in a row of `width` bits, as columns from and to.
pub(super) fn stretches(bits: &[u8], width: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = next(bits, at, width, true)?;
        at = next(bits, start, width, false).unwrap_or(width);
        Some((start, at))
    })
}

/// The first bit that is `wanted`, of those from `from` on.
fn next(bits: &[u8], from: usize, width: usize, wanted: bool) -> Option<usize> {
    let mut at = from;
    while at < width {
        let byte = if wanted { bits[at / 8] } else { !bits[at / 8] };
        let rest = byte >> (at % 8);
        if rest != 0 {
            let found = at + rest.trailing_zeros() as usize;
            return (found < width).then_some(found);
        }
        at = (at / 8 + 1) * 8;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a voxel is foreground: some rule.
    fn rule(z: usize, y: usize, x: usize) -> bool {
        (z * 7 + y * 5 + x * x) % 11 < 5
    }

    #[test]
    fn blocks_in_any_order_make_one_mask() {
        let folder = tempfile::tempdir().unwrap();
        let shape = [3, 5, 43];
        for [depth, height, width] in [[3, 5, 43], [1, 5, 43], [2, 2, 8], [1, 3, 16], [3, 1, 40]] {
            let mut mask = Mask::create(&folder.path().join("a.tif"), shape).unwrap();
            let mut blocks = Vec::new();
            for z in (0..3).step_by(depth) {
                for y in (0..5).step_by(height) {
                    for x in (0..43).step_by(width) {
                        let z = z..(z + depth).min(3);
                        let y = y..(y + height).min(5);
                        blocks.push(Region { z, y, x: x..(x + width).min(43) });
                    }
                }
            }
            for block in blocks.iter().rev() {
                let mut values = Vec::new();
                for z in block.z.clone() {
                    for y in block.y.clone() {
                        values.extend(block.x.clone().map(|x| rule(z, y, x)));
                    }
                }
                mask.write(block, values.into_iter()).unwrap();
            }
            for z in 0..3 {
                let (bits, bytes) = mask.rows(z, 1..5).unwrap();
                for (row, y) in bits.chunks(bytes).zip(1..) {
                    let mut found = [false; 43];
                    for (start, end) in stretches(row, 43) {
                        assert!(start < end && (start == 0 || !found[start - 1]));
                        found[start..end].fill(true);
                    }
                    assert_eq!(found, std::array::from_fn(|x| rule(z, y, x)));
                }
            }
            drop(mask);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn long_and_full_rows_have_their_stretches() {
        let found = |bits: &[u8], width| stretches(bits, width).collect::<Vec<_>>();
        assert_eq!(found(&[0xff; 4], 32), [(0, 32)]);
        assert_eq!(found(&[0xff; 4], 29), [(0, 29)]);
        assert_eq!(found(&[0; 4], 32), []);
        assert_eq!(found(&[0, 0x80, 0xff, 0x01], 32), [(15, 25)]);
        assert_eq!(found(&[0b1010_0101], 7), [(0, 1), (2, 3), (5, 6)]);
    }
}
