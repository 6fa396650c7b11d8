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
use rust_hdf5::{ByteOrder, Filter, H5Dataset, H5File};

use super::Dtype;
use super::axes::{Arranged, Blocks, NdArray};
use super::chunks::ChunkedVolume;
use super::open::Opening;
use crate::{Error, Result};

mod axes;
mod filters;
mod layout;

use layout::{Layout, Steps};

/// A dataset, or several that make one array, read by chunk.
///
/// Memory: 256 MiB of decoded chunks, or one chunk if that is larger, and the index of the
/// dataset's chunks.
pub(super) struct Hdf5Volume {
    /// File and dataset, for messages.
    name: String,
    /// In the order of the axes that lead from one to the next, the last of these fastest.
    datasets: Vec<H5Dataset>,
    /// How many axes lead from dataset to dataset.
    lead: usize,
    shape: Vec<u64>,
    dtype: Dtype,
    /// How far apart neighbours along the axes are, in nanometres.
    steps: Vec<Option<f64>>,
    /// The filters of chunks that are unpacked here, and whether their numbers then lie in the
    /// other order of bytes.
    unpacked: Option<(Vec<Filter>, bool)>,
}

/// What is decoded at once at most.
const MAX_CHUNK: usize = 1 << 30;

impl Hdf5Volume {
    /// Opens a dataset, or the only one of the file that can be a volume, or the image of a file of
    /// Imaris or BigDataViewer.
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
        let wanted = dataset.map(|name| name.trim_matches('/'));
        let layout = Layout::find(file, &opened, &names, wanted)
            .map_err(|what| Error::Input(format!("{show}: {what}")))?;
        let open = |name: &str| open_dataset(file, &opened, &names, name);
        let (name, layout, datasets) = match (layout, wanted) {
            (Some(layout), _) => {
                let datasets = layout.datasets.iter().map(|name| open(name));
                let datasets = datasets.collect::<Result<Vec<_>>>()?;
                (layout.datasets[0].clone(), layout, datasets)
            }
            (None, wanted) => {
                let name = match wanted {
                    Some(name) => name.to_owned(),
                    None => only_volume(file, &opened, &names, opening)?,
                };
                let dataset = open(&name)?;
                let layout = Layout::of_dataset(&name, &dataset, file);
                (name, layout, vec![dataset])
            }
        };
        let wrong = |what: String| Error::Input(format!("{show}:/{name}: {what}"));
        let stored = Stored::of(&datasets[0]).map_err(wrong)?;
        for (other, name) in datasets.iter().zip(&layout.datasets).skip(1) {
            if Stored::of(other).map_err(wrong)? != stored {
                return Err(wrong(format!("/{name} differs from it in size, type or packing")));
            }
        }
        let sides = layout.sides.clone().unwrap_or_else(|| stored.shape.clone());
        let fits = |(side, all): (&u64, &u64)| side <= all;
        if sides.len() != stored.shape.len() || !sides.iter().zip(&stored.shape).all(fits) {
            return Err(wrong(format!(
                "its image has {sides:?} voxels by the file's description, and the dataset \
                {:?}; save it again",
                stored.shape
            )));
        }
        let lead = layout.lead.len();
        let shape: Vec<u64> =
            layout.lead.iter().map(|&(_, length)| length).chain(sides.iter().copied()).collect();
        let said = layout.said.map(|said| {
            layout.lead.iter().map(|(axis, _)| axis.clone()).chain(said).collect::<Vec<_>>()
        });
        let arrangement = opening.arrange(&shape, said.as_deref()).map_err(wrong)?;
        let mut steps = vec![None; shape.len()];
        match layout.steps {
            Steps::Space(voxel) => {
                for (axis, step) in arrangement.axes().iter().zip(voxel.into_iter().flatten()) {
                    if let Some(axis) = *axis {
                        steps[axis] = Some(step);
                    }
                }
            }
            Steps::File(of_axes) => steps[lead..].copy_from_slice(&of_axes),
        }
        let dtype = match stored.dtype {
            Dtype::I16 if layout.unsigned => Dtype::U16,
            dtype => dtype,
        };
        let unpacked = filters::is_unpacked_here(&stored.filters)
            .then(|| (stored.filters.clone(), stored.is_swapped));
        let name = format!("{show}:/{name}");
        let hdf5 = Self { name, datasets, lead, shape, dtype, steps, unpacked };
        Arranged::volume(hdf5, arrangement).map_err(wrong)
    }

    /// A block of one of the datasets.
    fn part(&self, dataset: &H5Dataset, starts: &[usize], counts: &[usize]) -> PartResult {
        if let Some(unpacked) = &self.unpacked
            && let Some(bytes) = self.unpack(dataset, unpacked, starts, counts)
        {
            return bytes;
        }
        // The crate compares the length of the numbers alone, and their bytes are what is wanted.
        let bytes = match self.dtype.bytes() {
            1 => dataset.read_slice::<u8>(starts, counts),
            2 => bytes_of::<u16>(dataset, starts, counts),
            4 => bytes_of::<u32>(dataset, starts, counts),
            _ => bytes_of::<u64>(dataset, starts, counts),
        };
        bytes.map_err(|e| e.to_string())
    }

    /// A block that lies in one chunk; nothing where that was never written.
    fn unpack(
        &self,
        dataset: &H5Dataset,
        (filters, is_swapped): &(Vec<Filter>, bool),
        starts: &[usize],
        counts: &[usize],
    ) -> Option<PartResult> {
        let chunk = dataset.chunk_dims()?;
        let number = usize::from(self.dtype.bytes());
        let place: Vec<usize> = starts.iter().zip(&chunk).map(|(at, side)| at / side).collect();
        let (stored, mask) = dataset.read_chunk_raw_at(&place).ok()?;
        let image = chunk.iter().try_fold(number, |all, &side| all.checked_mul(side));
        let Some(image) = image.filter(|&image| image <= MAX_CHUNK) else {
            return Some(Err("its chunks are larger than 1 GiB".into()));
        };
        let mut bytes = match filters::unpack(filters, &stored, mask, image) {
            Ok(bytes) => bytes,
            Err(what) => return Some(Err(what)),
        };
        if *is_swapped {
            bytes.chunks_exact_mut(number).for_each(<[u8]>::reverse);
        }
        let first: Vec<usize> = starts.iter().zip(&chunk).map(|(at, side)| at % side).collect();
        Some(Ok(cut(&bytes, &chunk, &first, counts, number)))
    }
}

type PartResult = std::result::Result<Vec<u8>, String>;

fn bytes_of<T: H5Type + bytemuck::NoUninit>(
    dataset: &H5Dataset,
    starts: &[usize],
    counts: &[usize],
) -> rust_hdf5::Result<Vec<u8>> {
    Ok(bytemuck::cast_slice(&dataset.read_slice::<T>(starts, counts)?).to_vec())
}

/// The block of `counts` numbers from `first` on of an array of these sides.
fn cut(bytes: &[u8], sides: &[usize], first: &[usize], counts: &[usize], number: usize) -> Vec<u8> {
    let ([side, sides @ ..], [start, first @ ..], [count, counts @ ..]) = (sides, first, counts)
    else {
        return bytes.to_vec();
    };
    let step = bytes.len() / side;
    if sides.is_empty() {
        return bytes[start * number..(start + count) * number].to_vec();
    }
    let rows = bytes.chunks_exact(step.max(1)).skip(*start).take(*count);
    rows.flat_map(|row| cut(row, sides, first, counts, number)).collect()
}

impl NdArray for Hdf5Volume {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn shape(&self) -> &[u64] {
        &self.shape
    }

    fn blocks(&self) -> Blocks {
        match self.datasets[0].chunk_dims() {
            Some(chunk) => {
                let lead = std::iter::repeat_n(1, self.lead);
                Blocks::Chunks(lead.chain(chunk.iter().map(|&side| side as u64)).collect())
            }
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
        let (lead, inside) = ranges.split_at(self.lead);
        let starts: Vec<_> = inside.iter().map(|range| range.start as usize).collect();
        let counts: Vec<_> =
            inside.iter().map(|range| (range.end - range.start) as usize).collect();
        // The numbers of the datasets, the last axis fastest.
        let numbers = lead.iter().zip(&self.shape).fold(vec![0], |numbers, (range, &side)| {
            let next =
                |number: usize| range.clone().map(move |at| number * side as usize + at as usize);
            numbers.into_iter().flat_map(next).collect::<Vec<_>>()
        });
        let mut bytes = Vec::new();
        for number in numbers {
            let part = self.part(&self.datasets[number], &starts, &counts).map_err(|e| {
                Error::Input(format!(
                    "{}: what lies at {starts:?} (slowest axis first) can't be read ({e}); the \
                    file is damaged, copy it again",
                    self.name
                ))
            })?;
            match bytes.is_empty() {
                true => bytes = part,
                false => bytes.extend(part),
            }
        }
        Ok(bytes)
    }
}

/// How the numbers of a dataset are stored.
#[derive(PartialEq)]
struct Stored {
    shape: Vec<u64>,
    chunk: Option<Vec<usize>>,
    dtype: Dtype,
    is_swapped: bool,
    filters: Vec<Filter>,
}

impl Stored {
    /// Errors: what can't be read of it.
    fn of(dataset: &H5Dataset) -> std::result::Result<Self, String> {
        let datatype = dataset.datatype().map_err(|e| e.to_string())?;
        let filters = dataset.filters().map_err(|e| e.to_string())?;
        filters::check(&filters)?;
        let dtype = dtype(&datatype)?;
        let machine = if cfg!(target_endian = "big") {
            ByteOrder::BigEndian
        } else {
            ByteOrder::LittleEndian
        };
        Ok(Self {
            shape: sides(dataset),
            chunk: dataset.chunk_dims(),
            dtype,
            is_swapped: order_of(&datatype) != machine,
            filters,
        })
    }
}

fn order_of(datatype: &DatatypeMessage) -> ByteOrder {
    match datatype {
        DatatypeMessage::FixedPoint { byte_order, .. }
        | DatatypeMessage::FloatingPoint { byte_order, .. } => *byte_order,
        DatatypeMessage::Enum { base, .. } => order_of(base),
        _ => ByteOrder::LittleEndian,
    }
}

/// Opens the dataset of a name.
fn open_dataset(path: &Path, file: &H5File, names: &[String], name: &str) -> Result<H5Dataset> {
    file.dataset(name).map_err(|e| {
        let known = names.iter().any(|known| known.trim_matches('/') == name);
        let what = match known {
            true => format!("it can't be read: {e}"),
            false => format!("there is no such dataset; {}", list(names)),
        };
        Error::Input(format!("{}:/{name}: {what}", path.display()))
    })
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
