//! Datasets of HDF5 files, such as ilastik, BigDataViewer and CREMI's tools write them:
//! `file.h5:/path/in/it`.
//!
//! Source: the [HDF5 file
//! format](https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html), read by the crate
//! `rust-hdf5`.

use std::ops::Range;
use std::path::Path;

use rust_hdf5::format::messages::datatype::DatatypeMessage;
use rust_hdf5::types::H5Type;
use rust_hdf5::{H5Dataset, H5File};

use super::Dtype;
use super::axes::{Arranged, Blocks, NdArray};
use super::chunks::ChunkedVolume;
use super::open::Opening;
use crate::{Error, Result};

mod axes;

/// A dataset that is read by chunk.
///
/// Memory: 256 MiB of decoded chunks, or one chunk if that is larger, and the index of the
/// dataset's chunks.
pub(super) struct Hdf5Volume {
    /// File and dataset, for messages.
    name: String,
    dataset: H5Dataset,
    shape: Vec<u64>,
    dtype: Dtype,
    /// How far apart neighbours along the axes are, in nanometres.
    steps: Vec<Option<f64>>,
}

impl Hdf5Volume {
    /// Opens a dataset, or the only one of the file that can be a volume.
    pub(super) fn open(
        file: &Path,
        dataset: Option<&str>,
        opening: &Opening,
    ) -> Result<ChunkedVolume<Arranged<Self>>> {
        let show = file.display();
        let opened = H5File::options().best_effort_locking().open(file).map_err(|e| {
            Error::Input(format!("{show}: not an HDF5 file that can be read ({e}); copy it again"))
        })?;
        let names = opened.dataset_names();
        let name = match dataset {
            Some(name) => name.trim_matches('/').to_owned(),
            None => only_volume(file, &opened, &names, opening)?,
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
        let shape = sides(&dataset);
        let said = axes::of(&dataset, file);
        let arrangement = opening.arrange(&shape, said.as_deref()).map_err(wrong)?;
        let datatype = dataset.datatype().map_err(|e| wrong(e.to_string()))?;
        let dtype = dtype(&datatype).map_err(wrong)?;
        let mut steps = vec![None; shape.len()];
        for (axis, step) in
            arrangement.axes().iter().zip(axes::voxel_nm(&dataset).into_iter().flatten())
        {
            if let Some(axis) = *axis {
                steps[axis] = Some(step);
            }
        }
        let hdf5 = Self { name: format!("{show}:/{name}"), dataset, shape, dtype, steps };
        Arranged::volume(hdf5, arrangement).map_err(wrong)
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

impl NdArray for Hdf5Volume {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn shape(&self) -> &[u64] {
        &self.shape
    }

    fn blocks(&self) -> Blocks {
        match self.dataset.chunk_dims() {
            Some(chunk) => Blocks::Chunks(chunk.iter().map(|&side| side as u64).collect()),
            None => Blocks::Contiguous,
        }
    }

    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn steps_nm(&self) -> Vec<Option<f64>> {
        self.steps.clone()
    }

    fn decode(&self, ranges: &[Range<u64>]) -> Result<Vec<u8>> {
        let starts: Vec<_> = ranges.iter().map(|range| range.start as usize).collect();
        let counts: Vec<_> =
            ranges.iter().map(|range| (range.end - range.start) as usize).collect();
        // The crate compares the length of the numbers alone, and their bytes are what is wanted.
        let bytes = match self.dtype.bytes() {
            1 => self.dataset.read_slice::<u8>(&starts, &counts),
            2 => self.bytes_of::<u16>(&starts, &counts),
            4 => self.bytes_of::<u32>(&starts, &counts),
            _ => self.bytes_of::<u64>(&starts, &counts),
        };
        bytes.map_err(|e| {
            Error::Input(format!(
                "{}: what lies at {starts:?} (slowest axis first) can't be read ({e}); the file \
                is damaged or packed in a way that isn't read here, copy it \
                 again or store it with gzip",
                self.name
            ))
        })
    }
}

fn sides(dataset: &H5Dataset) -> Vec<u64> {
    dataset.shape().iter().map(|&side| side as u64).collect()
}

/// The name of the only dataset that can be a volume.
fn only_volume(path: &Path, file: &H5File, names: &[String], opening: &Opening) -> Result<String> {
    // Numbers of at least two axes that are longer than 1.
    let dtype_of = |dataset: &H5Dataset| {
        let longer = sides(dataset).iter().filter(|&&side| side > 1).count();
        dtype(&dataset.datatype().ok()?).ok().filter(|_| longer >= 2)
    };
    let fits = |dataset: &H5Dataset| {
        opening.arrange(&sides(dataset), axes::of(dataset, path).as_deref()).is_ok()
    };
    let datasets = names.iter().filter_map(|name| Some((name, file.dataset(name).ok()?)));
    let known: Vec<(&String, Dtype, bool)> = datasets
        .filter_map(|(name, dataset)| Some((name, dtype_of(&dataset)?, fits(&dataset))))
        .collect();
    // Numbers of segments beside images are not meant, unless they are all there is, and neither is
    // what is no stack of sections.
    let is_image = |dtype: Dtype| !matches!(dtype, Dtype::U64 | Dtype::I64);
    let any_image = known.iter().any(|&(_, dtype, fits)| is_image(dtype) && fits);
    let any_fits = known.iter().any(|&(_, _, fits)| fits);
    let volumes: Vec<&String> = known
        .iter()
        .filter(|&&(_, dtype, fits)| (is_image(dtype) || !any_image) && (fits || !any_fits))
        .map(|&(name, _, _)| name)
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
            "its numbers are {datatype}; integers of 8, 16 and 32 bits and IEEE floats are read, \
            of 64 bits as labels"
        )
    })
}
