//! Datasets of HDF5 files, such as ilastik, BigDataViewer and CREMI's tools write them: `file.h5:/path/in/it`.
//!
//! Source: the [HDF5 file format](https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html), read by the crate `rust-hdf5`.

use std::path::Path;

use rust_hdf5::format::messages::datatype::DatatypeMessage;
use rust_hdf5::types::H5Type;
use rust_hdf5::{H5Dataset, H5File};

use super::chunks::{Chunked, ChunkedVolume, Chunks};
use super::{Dtype, Region};
use crate::{Error, Result};

/// A dataset of two or three axes, or of more where the first ones have length 1, read by chunk.
///
/// Memory: as [`Chunks`], and the index of the dataset's chunks.
pub(super) struct Hdf5Volume {
    /// File and dataset, for messages.
    name: String,
    dataset: H5Dataset,
    axes: usize,
    chunks: Chunks,
}

impl Hdf5Volume {
    /// Opens a dataset, or the only one of the file that can be a volume.
    pub(super) fn open(file: &Path, dataset: Option<&str>) -> Result<ChunkedVolume<Self>> {
        let show = file.display();
        let opened = H5File::options().best_effort_locking().open(file).map_err(|e| {
            Error::Input(format!("{show}: not an HDF5 file that can be read ({e}); copy it again"))
        })?;
        let names = opened.dataset_names();
        let name = match dataset {
            Some(name) => name.trim_matches('/').to_owned(),
            None => only_volume(file, &opened, &names)?,
        };
        let wrong = |what: String| Error::Input(format!("{show}:/{name}: {what}"));
        let dataset = opened.dataset(&name).map_err(|e| {
            let known = names.iter().any(|known| known.trim_matches('/') == name);
            if known {
                wrong(format!("it can't be read: {e}"))
            } else {
                wrong(format!("there is no such dataset; {}", list(&names)))
            }
        })?;
        let shape: Vec<u64> = dataset.shape().iter().map(|&side| side as u64).collect();
        let sides = three(&shape).ok_or_else(|| {
            wrong(format!(
                "its shape is {shape:?}; sections, rows and columns are wanted, before them only axes of length 1"
            ))
        })?;
        let datatype = dataset.datatype().map_err(|e| wrong(e.to_string()))?;
        let dtype = dtype(&datatype).map_err(wrong)?;
        let chunk = match dataset.chunk_dims() {
            Some(chunk) => {
                let chunk: Vec<u64> = chunk.iter().map(|&side| side as u64).collect();
                three(&chunk).ok_or_else(|| wrong(format!("its chunks are {chunk:?}")))?
            }
            None => Chunks::strip(sides, 1, dtype),
        };
        let chunks = Chunks::new(sides, chunk, dtype).map_err(wrong)?;
        Ok(ChunkedVolume(Self {
            name: format!("{show}:/{name}"),
            dataset,
            axes: shape.len(),
            chunks,
        }))
    }

    fn bytes_of<T: H5Type + bytemuck::NoUninit>(
        &self,
        starts: &[usize],
        counts: &[usize],
    ) -> rust_hdf5::Result<Vec<u8>> {
        let numbers = self.dataset.read_slice::<T>(starts, counts)?;
        Ok(bytemuck::cast_slice(&numbers).to_vec())
    }
}

impl Chunked for Hdf5Volume {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    fn decode(&self, block: &Region) -> Result<Vec<u8>> {
        let ranges: Vec<_> = (0..self.axes)
            .map(|axis| match (axis + 3).checked_sub(self.axes) {
                None => 0..1,
                Some(0) => block.z.clone(),
                Some(1) => block.y.clone(),
                Some(_) => block.x.clone(),
            })
            .collect();
        let starts: Vec<_> = ranges.iter().map(|range| range.start).collect();
        let counts: Vec<_> = ranges.iter().map(ExactSizeIterator::len).collect();
        // The crate compares the length of the numbers alone, and their bytes are what is wanted.
        let bytes = match self.chunks.dtype().bytes() {
            1 => self.dataset.read_slice::<u8>(&starts, &counts),
            2 => self.bytes_of::<u16>(&starts, &counts),
            4 => self.bytes_of::<u32>(&starts, &counts),
            _ => self.bytes_of::<u64>(&starts, &counts),
        };
        bytes.map_err(|e| {
            Error::Input(format!(
                "{}: what lies at section {}, row {}, column {} can't be read ({e}); the file is damaged or packed in a way \
                 that isn't read here, copy it again or store it with gzip",
                self.name, block.z.start, block.y.start, block.x.start
            ))
        })
    }
}

/// The name of the only dataset that can be a volume.
fn only_volume(path: &Path, file: &H5File, names: &[String]) -> Result<String> {
    let dtype_of = |name: &String| {
        let dataset = file.dataset(name).ok()?;
        let shape: Vec<u64> = dataset.shape().iter().map(|&side| side as u64).collect();
        three(&shape)?;
        dtype(&dataset.datatype().ok()?).ok()
    };
    let known: Vec<(&String, Dtype)> =
        names.iter().filter_map(|name| Some((name, dtype_of(name)?))).collect();
    // Numbers of segments beside images are not meant, unless they are all there is.
    let is_image = |dtype: &Dtype| !matches!(dtype, Dtype::U64 | Dtype::I64);
    let any_image = known.iter().any(|(_, dtype)| is_image(dtype));
    let volumes: Vec<&String> = known
        .iter()
        .filter(|(_, dtype)| is_image(dtype) || !any_image)
        .map(|(name, _)| *name)
        .collect();
    let show = path.display();
    match volumes[..] {
        [name] => Ok(name.trim_matches('/').to_owned()),
        [] => Err(Error::Input(format!("{show}: no dataset can be a volume; {}", list(names)))),
        [first, ..] => Err(Error::Input(format!(
            "{show}: several datasets can be a volume; name one, such as {show}:/{}; {}",
            first.trim_matches('/'),
            list(names)
        ))),
    }
}

/// What a file holds, in a message.
fn list(names: &[String]) -> String {
    const MOST: usize = 20;
    if names.is_empty() {
        return "the file holds no dataset".into();
    }
    let shown: Vec<_> =
        names.iter().take(MOST).map(|name| format!("/{}", name.trim_matches('/'))).collect();
    let more = if names.len() > MOST { ", …" } else { "" };
    format!("the file holds {}{more}", shown.join(", "))
}

/// Sections, rows and columns, where all axes before them have length 1.
fn three(sides: &[u64]) -> Option<[u64; 3]> {
    match sides {
        [y, x] => Some([1, *y, *x]),
        [ones @ .., z, y, x] if ones.iter().all(|&side| side == 1) => Some([*z, *y, *x]),
        _ => None,
    }
}

fn dtype(datatype: &DatatypeMessage) -> std::result::Result<Dtype, String> {
    let whole = |size: u32, offset: u16, precision: u16| {
        offset == 0 && u32::from(precision) == size.saturating_mul(8)
    };
    let found = match *datatype {
        DatatypeMessage::FixedPoint { size, signed, bit_offset, bit_precision, .. }
            if whole(size, bit_offset, bit_precision) =>
        {
            match (size, signed) {
                (1, false) => Some(Dtype::U8),
                (1, true) => Some(Dtype::I8),
                (2, false) => Some(Dtype::U16),
                (2, true) => Some(Dtype::I16),
                (4, false) => Some(Dtype::U32),
                (4, true) => Some(Dtype::I32),
                (8, false) => Some(Dtype::U64),
                (8, true) => Some(Dtype::I64),
                _ => None,
            }
        }
        DatatypeMessage::FloatingPoint {
            size, bit_offset, bit_precision, exponent_size, ..
        } if whole(size, bit_offset, bit_precision) => match (size, exponent_size) {
            (2, 5) => Some(Dtype::F16),
            (4, 8) => Some(Dtype::F32),
            (8, 11) => Some(Dtype::F64),
            _ => None,
        },
        // Booleans of h5py are an enumeration of 8 bits.
        DatatypeMessage::Enum { ref base, .. } => return dtype(base),
        _ => None,
    };
    found.ok_or_else(|| {
        format!(
            "its numbers are {datatype}; integers of 8, 16 and 32 bits and IEEE floats are read, of 64 bits as labels"
        )
    })
}
