//! Volumes: stacks of equally large sections, read by section or by block.
//!
//! A [`Volume`] knows its shape before any pixel is read, and hands out pixels as `f32` in the
//! file's own units (8-bit files 0 to 255, 16-bit files 0 to 65535). Nothing here holds a whole
//! volume in memory except [`ArrayVolume`], which exists for arrays that are there already.
//!
//! | where the pixels are | how to open them |
//! |---|---|
//! | an array | [`ArrayVolume::new`] |
//! | a multi-page TIFF, a folder of TIFF or PNG sections | `open_raw`, `open_labels` (feature `files`) |
//! | an MRC file | the same |
//! | a Zarr, OME-Zarr or N5 array | the same (feature `zarr`) |
//! | a dataset of an HDF5 file, `file.h5:/path` | the same (feature `hdf5`) |
//!
//! [`pair()`] puts raw sections and labels side by side or says why it can't, [`inspect()`] says what
//! a volume is and what looks wrong with it, and [`CachedVolume`] keeps the last few sections.

use crate::{Error, Result};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

pub(crate) mod bands;
mod cache;
mod inspect;
mod label_value;
mod labels;
mod pair;
mod partly;
pub(crate) mod place;
mod region;

#[cfg(feature = "files")]
mod axes;
#[cfg(feature = "files")]
mod block_cache;
#[cfg(feature = "files")]
pub(crate) mod calibration;
#[cfg(feature = "files")]
mod chunks;
#[cfg(feature = "files")]
mod folder;
#[cfg(feature = "hdf5")]
mod hdf5;
#[cfg(feature = "files")]
mod mrc;
#[cfg(feature = "files")]
mod numbering;
#[cfg(feature = "zarr")]
mod ome_zarr;
#[cfg(feature = "files")]
mod open;
#[cfg(feature = "files")]
mod pixels;
#[cfg(feature = "files")]
mod png;
#[cfg(feature = "files")]
mod tiff;
#[cfg(feature = "files")]
mod write;
#[cfg(feature = "zarr")]
mod zarr;

pub(crate) use bands::{bands, check_rows};
pub use cache::{CachedLabels, CachedVolume, SectionCache};
pub use inspect::{Inspection, inspect, inspect_labels, inspect_some};
pub use label_value::LabelValue;
pub use labels::{BACKGROUND, FOREGROUND, IGNORED, LabelOptions, LabelVolume, is_foreground};
pub use pair::{Pair, pair, pair_at};
pub use place::Grid;
pub use region::{PATCH_MULTIPLE, Region};

#[cfg(feature = "files")]
pub use axes::{AxesOptions, AxisLetters};
#[cfg(feature = "zarr")]
pub use ome_zarr::{OmeKind, OmeZarrWriter, is_our_ome_zarr};
#[cfg(feature = "files")]
pub use open::{local_path, open_labels, open_labels_as, open_raw, open_raw_as, open_segmentation};
#[cfg(feature = "files")]
pub use write::{TiffStackWriter, is_our_tiff, write_tiff_labels, write_tiff_probabilities};

/// How a file stores a pixel. Pixels are handed out as `f32` whatever this says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dtype {
    /// Unsigned, 8 bits. Images of 1, 2 and 4 bits count as 8-bit, stretched to 0 to 255.
    U8,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 16 bits.
    U16,
    /// Signed, 16 bits.
    I16,
    /// Unsigned, 32 bits. Above 2^24 an `f32` no longer tells neighbouring values apart.
    U32,
    /// Signed, 32 bits. Beyond 2^24 an `f32` no longer tells neighbouring values apart.
    I32,
    /// Unsigned, 64 bits: numbers of segments, for labels only.
    U64,
    /// Signed, 64 bits, for labels only.
    I64,
    /// Half precision float.
    F16,
    /// Single precision float.
    F32,
    /// Double precision float, rounded to `f32` when read.
    F64,
}

impl Dtype {
    /// The name as NumPy and Rust spell it, such as `u8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }

    /// Bytes of a pixel as it is stored.
    pub fn bytes(self) -> u8 {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// One section: a grey image, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `height * width` values in the file's own units, row by row.
    pub pixels: Vec<f32>,
}

/// A stack of equally large sections.
///
/// Only the first three methods are needed to bring a format of your own; the others help
/// messages to name files.
pub trait Volume: Send + Sync {
    /// Sections, rows, columns: `[z, y, x]`. None is 0.
    fn shape(&self) -> [usize; 3];

    /// How the pixels are stored; the widest type where files differ.
    fn dtype(&self) -> Dtype;

    /// Reads one section. Errors name the file; `z` beyond the shape is an error too.
    fn read_section(&self, z: usize) -> Result<Section>;

    /// Reads one section as labels: gives `label` the value of each pixel, row by row and as the file stores it, and collects what it says.
    ///
    /// Values of integers never pass through floats. Where a TIFF says that its smallest value is white, the stored values count all the same.
    ///
    /// Errors: as [`Volume::read_section`].
    fn read_labels(&self, z: usize, label: &mut dyn FnMut(LabelValue) -> u8) -> Result<Vec<u8>> {
        // Exact for what this format keeps as floats.
        Ok(self.read_section(z)?.pixels.into_iter().map(|value| label(value.into())).collect())
    }

    /// [`read_labels`](Self::read_labels) of some rows of a section: `label` is given the pixels of these and no others. Volumes in
    /// other blocks than sections ([`Volume::chunk`]) give them in the order of their blocks.
    ///
    /// Errors: as [`Volume::read_section`]; rows beyond the shape are one too.
    fn read_label_rows(
        &self,
        z: usize,
        rows: Range<usize>,
        label: &mut dyn FnMut(LabelValue) -> u8,
    ) -> Result<Vec<u8>> {
        bands::label_rows_of_section(self, z, rows, label)
    }

    /// The block in which pixels are stored: `[sections, rows, columns]`, never 0. To read any of it costs as much as to
    /// read it all, so readers of large volumes go along these blocks.
    fn chunk(&self) -> [usize; 3] {
        let [_, height, width] = self.shape();
        [1, height, width]
    }

    /// Bytes that the volume keeps in memory at most, beside what it hands out.
    fn memory_bytes(&self) -> usize {
        0
    }

    /// Reads a block: its pixels, section by section and row by row.
    ///
    /// Errors: as [`Volume::read_section`]; a block beyond the shape is one too.
    fn read_block(&self, block: &Region) -> Result<Vec<f32>> {
        block_of_sections(self, block)
    }

    /// The pixels of a section that lie in memory already, so that nothing has to be read; `None` where they don't.
    fn section_in_memory(&self, _z: usize) -> Option<&[f32]> {
        None
    }

    /// What to call the section in a message: its file, or its place in the stack.
    fn section_name(&self, z: usize) -> String {
        format!("section {z}")
    }

    /// The number in the name of the section's file, for volumes that are a folder of files.
    fn section_number(&self, _z: usize) -> Option<u64> {
        None
    }

    /// The file that holds the section and no other, of folders of files and single pictures.
    fn section_file(&self, _z: usize) -> Option<&Path> {
        None
    }

    /// What was noticed when the volume was opened and does not stop the work.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// How large a pixel is along z, y and x, in nanometres, where the file says all three.
    fn voxel_nm(&self) -> Option<[f64; 3]> {
        None
    }

    /// Where voxels lie along z, y and x in a space that other volumes may share, of OME-Zarr images.
    fn grid(&self) -> Option<[Grid; 3]> {
        None
    }
}

/// What a pointer points to is read through it.
macro_rules! read_through {
    ($($pointer:ident),*) => {
        $(
            impl<V: Volume + ?Sized> Volume for $pointer<V> {
                fn shape(&self) -> [usize; 3] {
                    (**self).shape()
                }
                fn dtype(&self) -> Dtype {
                    (**self).dtype()
                }
                fn read_section(&self, z: usize) -> Result<Section> {
                    (**self).read_section(z)
                }
                fn read_labels(&self, z: usize, label: &mut dyn FnMut(LabelValue) -> u8) -> Result<Vec<u8>> {
                    (**self).read_labels(z, label)
                }
                fn read_label_rows(
                    &self,
                    z: usize,
                    rows: Range<usize>,
                    label: &mut dyn FnMut(LabelValue) -> u8,
                ) -> Result<Vec<u8>> {
                    (**self).read_label_rows(z, rows, label)
                }
                fn chunk(&self) -> [usize; 3] {
                    (**self).chunk()
                }
                fn memory_bytes(&self) -> usize {
                    (**self).memory_bytes()
                }
                fn read_block(&self, block: &Region) -> Result<Vec<f32>> {
                    (**self).read_block(block)
                }
                fn section_in_memory(&self, z: usize) -> Option<&[f32]> {
                    (**self).section_in_memory(z)
                }
                fn section_name(&self, z: usize) -> String {
                    (**self).section_name(z)
                }
                fn section_number(&self, z: usize) -> Option<u64> {
                    (**self).section_number(z)
                }
                fn notes(&self) -> Vec<String> {
                    (**self).notes()
                }
                fn voxel_nm(&self) -> Option<[f64; 3]> {
                    (**self).voxel_nm()
                }
                fn section_file(&self, z: usize) -> Option<&Path> {
                    (**self).section_file(z)
                }
                fn grid(&self) -> Option<[Grid; 3]> {
                    (**self).grid()
                }
            }
        )*
    };
}

read_through!(Box, Arc);

/// A volume whose pixels are in memory already.
///
/// ```
/// use askem::data::volume::{ArrayVolume, Volume};
///
/// let pixels: Vec<f32> = (0..2 * 3 * 4).map(|i| i as f32).collect();
/// let volume = ArrayVolume::new([2, 3, 4], pixels)?;
/// assert_eq!(volume.read_section(1)?.pixels[0], 12.0);
/// # Ok::<(), askem::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ArrayVolume {
    shape: [usize; 3],
    dtype: Dtype,
    pixels: Vec<f32>,
}

impl ArrayVolume {
    /// A volume of `f32` values in any unit, section by section and row by row.
    ///
    /// Errors: [`Error::Input`] where a side is 0 or the number of values is not `z * y * x`.
    pub fn new(shape: [usize; 3], pixels: Vec<f32>) -> Result<Self> {
        let expected = shape.iter().try_fold(1usize, |n, &side| n.checked_mul(side));
        if expected != Some(pixels.len()) || pixels.is_empty() {
            return Err(Error::Input(format!(
                "an array of {} values can't be a volume of {} (sections x rows x columns)",
                pixels.len(),
                show_shape(shape),
            )));
        }
        Ok(Self { shape, dtype: Dtype::F32, pixels })
    }

    /// A volume from 8-bit values.
    ///
    /// Errors: as [`ArrayVolume::new`].
    pub fn from_u8(shape: [usize; 3], pixels: &[u8]) -> Result<Self> {
        let floats = pixels.iter().map(|&p| f32::from(p)).collect();
        Ok(Self { dtype: Dtype::U8, ..Self::new(shape, floats)? })
    }

    /// A volume from 16-bit values.
    ///
    /// Errors: as [`ArrayVolume::new`].
    pub fn from_u16(shape: [usize; 3], pixels: &[u16]) -> Result<Self> {
        let floats = pixels.iter().map(|&p| f32::from(p)).collect();
        Ok(Self { dtype: Dtype::U16, ..Self::new(shape, floats)? })
    }
}

impl Volume for ArrayVolume {
    fn shape(&self) -> [usize; 3] {
        self.shape
    }

    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn read_section(&self, z: usize) -> Result<Section> {
        let [depth, height, width] = self.shape;
        check_section(z, depth, "the array")?;
        let area = height * width;
        Ok(Section { height, width, pixels: self.pixels[z * area..(z + 1) * area].to_vec() })
    }

    fn section_in_memory(&self, z: usize) -> Option<&[f32]> {
        let area = self.shape[1] * self.shape[2];
        self.pixels.get(z * area..(z + 1) * area)
    }
}

/// An error where `z` is not a section of a volume of `depth` sections.
pub(crate) fn check_section(z: usize, depth: usize, what: &str) -> Result<()> {
    if z < depth {
        return Ok(());
    }
    Err(Error::Input(format!("section {z} was asked of {what}, which has {depth}, counted from 0")))
}

/// A block out of sections that are read whole.
fn block_of_sections<V: Volume + ?Sized>(volume: &V, block: &Region) -> Result<Vec<f32>> {
    let [_, height, width] = volume.shape();
    check_block(block, volume.shape())?;
    if block.z.len() == 1 && block.y == (0..height) && block.x == (0..width) {
        // The section itself, so that it is not in memory twice.
        return Ok(volume.read_section(block.z.start)?.pixels);
    }
    let mut pixels = Vec::with_capacity(block.z.len() * block.y.len() * block.x.len());
    for z in block.z.clone() {
        let section = volume.read_section(z)?;
        for y in block.y.clone() {
            pixels.extend(&section.pixels[y * section.width..][block.x.clone()]);
        }
    }
    Ok(pixels)
}

/// An error where a block reaches beyond a volume's shape.
pub(crate) fn check_block(block: &Region, shape: [usize; 3]) -> Result<()> {
    let ends = [&block.z, &block.y, &block.x].map(|side| side.end);
    if ends.iter().zip(shape).all(|(&end, side)| end <= side) {
        return Ok(());
    }
    Err(Error::Input(format!(
        "a block up to {} was asked of a volume of {}",
        show_shape(ends),
        show_shape(shape)
    )))
}

/// A shape as people write it: `20 x 1024 x 1024`.
pub(crate) fn show_shape(shape: [usize; 3]) -> String {
    format!("{} x {} x {}", shape[0], shape[1], shape[2])
}

/// The sides of a voxel along z, y and x as people write them: `40 x 4.6 x 4.6 nm`.
#[cfg(feature = "cli")]
pub(crate) fn show_voxel(sides_nm: [f64; 3]) -> String {
    let [z, y, x] = sides_nm.map(show_side);
    format!("{z} x {y} x {x} nm")
}

/// A length with six significant digits at most: in the others lies what was lost when units were
/// converted, or a file kept it in 32 bits.
pub(crate) fn show_side(side: f64) -> String {
    format!("{side:.5e}").parse::<f64>().unwrap_or(side).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_have_as_many_digits_as_they_need() {
        for (side, text) in [
            (0.1 + 0.2, "0.3"),
            (4.6000000000000005, "4.6"),
            (f64::from(4.6_f32), "4.6"),
            (3.64, "3.64"),
            (1234.567, "1234.57"),
            (40.0, "40"),
            (1e6, "1000000"),
            (1e-3, "0.001"),
        ] {
            assert_eq!(show_side(side), text);
        }
        #[cfg(feature = "cli")]
        assert_eq!(show_voxel([40.0, 4.6000000000000005, 4.6]), "40 x 4.6 x 4.6 nm");
    }
}
