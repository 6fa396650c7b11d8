//! Zarr arrays, versions 2 and 3, and OME-Zarr images.
//!
//! Source: the specifications of [Zarr 2](https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html),
//! [Zarr 3](https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html) and [OME-Zarr](https://ngff.openmicroscopy.org/0.5/).

mod bounds;
mod node;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zarrs::array::{Array, ArrayBytes, ArrayShardedExt, ArraySubset, CodecOptions};
use zarrs::filesystem::FilesystemStore;
use zarrs::plugin::ExtensionName;
use zarrs::storage::StoreKey;

use super::block_cache::BlockCache;
use super::{Dtype, Region, Section, Volume, check_block, check_section, show_shape};
use crate::{Error, Result};
use bounds::Compressor;

pub(super) use node::is_zarr;

/// Bytes of decoded chunks that a volume keeps.
const CACHE_BYTES: usize = 256 << 20;
/// The largest chunk that is decoded, in bytes. Writers stay far below.
const MAX_CHUNK_BYTES: u64 = 1 << 30;
/// Pixels beyond which a size is no volume's but a mistake.
const MAX_PIXELS: u64 = 1 << 50;

/// An array of two or three axes, or of more where the first ones have length 1, read by chunk.
///
/// Memory: up to 256 MiB of decoded chunks, or one chunk if that is larger.
pub(super) struct ZarrVolume {
    path: PathBuf,
    array: Array<FilesystemStore>,
    store: Arc<FilesystemStore>,
    options: CodecOptions,
    shape: [usize; 3],
    /// What is decoded at once: a chunk, or one of those that a shard holds.
    chunk: [usize; 3],
    dtype: Dtype,
    compressor: Compressor,
    cache: BlockCache,
}

impl ZarrVolume {
    /// Opens an array, or the full resolution of an OME-Zarr image, or the only array of a group.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let path = node::find_array(path)?;
        let wrong = |what: String| Error::Input(format!("{}: {what}", path.display()));
        let store = FilesystemStore::new(&path).map_err(|e| wrong(e.to_string()))?;
        let store = Arc::new(store);
        let array = Array::open(Arc::clone(&store), "/")
            .map_err(|e| wrong(format!("not a Zarr array that can be read: {e}")))?;
        let axes = array.shape().len();
        let first = vec![0; axes];
        let decoded = match array.effective_subchunk_shape() {
            Some(inner) => inner,
            None => array.chunk_shape(&first).map_err(|e| wrong(e.to_string()))?,
        };
        let chunk: Vec<u64> = decoded.iter().map(|side| side.get()).collect();
        let shape = three(array.shape()).ok_or_else(|| {
            wrong(format!(
                "its shape is {:?}; sections, rows and columns are wanted, before them only axes of length 1",
                array.shape()
            ))
        })?;
        if shape.contains(&0) {
            return Err(wrong(format!("it is empty: its shape is {:?}", array.shape())));
        }
        let pixels = product(&shape).filter(|&n| n <= MAX_PIXELS);
        let (Some(_), Some(chunk)) = (pixels, three(&chunk)) else {
            let (shape, all) = (show(array.shape()), show(&chunk));
            return Err(wrong(format!(
                "a shape of {shape} in chunks of {all} can't be right; its metadata may be damaged"
            )));
        };
        let dtype = dtype(&array).map_err(wrong)?;
        let bytes = product(&chunk).and_then(|n| n.checked_mul(u64::from(dtype.bytes())));
        if bytes.is_none_or(|bytes| bytes > MAX_CHUNK_BYTES) {
            return Err(wrong(format!(
                "its chunks of {} are larger than 1 GiB; write it in smaller ones",
                show(&chunk)
            )));
        }
        let compressor =
            if array.is_sharded() { Compressor::Unknown } else { Compressor::of(&array) };
        let [shape, chunk] = [shape, chunk].map(|sides| sides.map(|side| side as usize));
        Ok(Self {
            // Scoring has threads of its own; two pools would get in each other's way.
            options: CodecOptions::default().with_concurrent_target(1),
            chunk: [0, 1, 2].map(|i| chunk[i].min(shape[i])),
            path,
            array,
            store,
            shape,
            dtype,
            compressor,
            cache: BlockCache::new(CACHE_BYTES),
        })
    }

    /// The pixels of a chunk as they are stored, in the machine's order of bytes; at the end of the array only those inside.
    fn decode(&self, block: &Region) -> Result<Vec<u8>> {
        let axes = self.array.shape().len();
        // An image of two axes has one section; axes before the sections have one plane.
        let ranges: Vec<_> = (0..axes)
            .map(|axis| match (axis + 3).checked_sub(axes) {
                None => 0..1,
                Some(0) => range(&block.z),
                Some(1) => range(&block.y),
                Some(_) => range(&block.x),
            })
            .collect();
        let subset = ArraySubset::new_with_ranges(&ranges);
        let expected =
            block.z.len() * block.y.len() * block.x.len() * usize::from(self.dtype.bytes());
        let file = self.file_of(&ranges);
        let wrong = |what: String| {
            Error::Input(format!(
                "{}: {what}; the chunk is damaged, copy it again or delete it to read its fill value",
                file.display()
            ))
        };
        let chunk: u64 = self.array.chunk_shape(&vec![0; axes]).map_or(u64::MAX, |shape| {
            shape.iter().map(|side| side.get()).product::<u64>() * u64::from(self.dtype.bytes())
        });
        self.compressor.check(&file, chunk).map_err(wrong)?;
        let bytes =
            self.array.retrieve_array_subset_opt::<ArrayBytes<'static>>(&subset, &self.options);
        let bytes = bytes.map_err(|e| wrong(format!("it can't be decoded: {e}")))?;
        let bytes = bytes.into_fixed().map_err(|e| wrong(e.to_string()))?.into_owned();
        if bytes.len() != expected {
            return Err(wrong(format!(
                "it decodes to {} bytes in place of {expected}",
                bytes.len()
            )));
        }
        Ok(bytes)
    }

    /// The file that holds the first pixel of these ranges.
    fn file_of(&self, ranges: &[std::ops::Range<u64>]) -> PathBuf {
        let first = vec![0; ranges.len()];
        let Ok(chunk) = self.array.chunk_shape(&first) else { return self.path.clone() };
        let indices: Vec<u64> =
            ranges.iter().zip(chunk.iter()).map(|(r, side)| r.start / side.get()).collect();
        let key: StoreKey = self.array.chunk_key(&indices);
        self.store.key_to_fspath(&key)
    }

    /// Copies what of a chunk lies in `block`, as floats.
    fn copy(&self, chunk: &Region, bytes: &[u8], block: &Region, pixels: &mut [f32]) {
        let common = |a: &std::ops::Range<usize>, b: &std::ops::Range<usize>| {
            a.start.max(b.start)..a.end.min(b.end)
        };
        let (zs, ys) = (common(&chunk.z, &block.z), common(&chunk.y, &block.y));
        let xs = common(&chunk.x, &block.x);
        let size = usize::from(self.dtype.bytes());
        let place = |region: &Region, z: usize, y: usize| {
            let row = (z - region.z.start) * region.y.len() + y - region.y.start;
            row * region.x.len() + xs.start - region.x.start
        };
        for z in zs {
            for y in ys.clone() {
                let from = &bytes[place(chunk, z, y) * size..][..xs.len() * size];
                let to = &mut pixels[place(block, z, y)..][..xs.len()];
                convert(self.dtype, from, to);
            }
        }
    }
}

impl Volume for ZarrVolume {
    fn shape(&self) -> [usize; 3] {
        self.shape
    }

    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn read_section(&self, z: usize) -> Result<Section> {
        let [depth, height, width] = self.shape;
        check_section(z, depth, &self.path.display().to_string())?;
        let pixels = self.read_block(&Region { z: z..z + 1, y: 0..height, x: 0..width })?;
        Ok(Section { height, width, pixels })
    }

    fn chunk(&self) -> [usize; 3] {
        self.chunk
    }

    fn memory_bytes(&self) -> usize {
        CACHE_BYTES
    }

    fn read_block(&self, block: &Region) -> Result<Vec<f32>> {
        check_block(block, self.shape)?;
        let pixels =
            product(&[block.z.len(), block.y.len(), block.x.len()].map(|side| side as u64));
        let mut out = Vec::new();
        let room = pixels.and_then(|n| usize::try_from(n).ok());
        let Some(room) = room.filter(|&n| out.try_reserve_exact(n).is_ok()) else {
            return Err(Error::Input(format!(
                "{}: {} pixels at once do not fit the memory",
                self.path.display(),
                show_shape([block.z.len(), block.y.len(), block.x.len()])
            )));
        };
        out.resize(room, 0.0);
        let of = |side: &std::ops::Range<usize>, chunk: usize| {
            side.start / chunk..side.end.div_ceil(chunk)
        };
        let [cz, cy, cx] = self.chunk;
        let grid = [0, 1, 2].map(|i| self.shape[i].div_ceil(self.chunk[i]));
        for k in of(&block.z, cz) {
            for i in of(&block.y, cy) {
                for j in of(&block.x, cx) {
                    let within =
                        |at: usize, side: usize, end: usize| at * side..((at + 1) * side).min(end);
                    let chunk = Region {
                        z: within(k, cz, self.shape[0]),
                        y: within(i, cy, self.shape[1]),
                        x: within(j, cx, self.shape[2]),
                    };
                    let number = (k * grid[1] + i) as u64 * grid[2] as u64 + j as u64;
                    let bytes = self.cache.get(number, || self.decode(&chunk))?;
                    self.copy(&chunk, &bytes, block, &mut out);
                }
            }
        }
        Ok(out)
    }

    fn section_name(&self, z: usize) -> String {
        format!("section {z} of {}", self.path.display())
    }
}

fn range(range: &std::ops::Range<usize>) -> std::ops::Range<u64> {
    range.start as u64..range.end as u64
}

fn product(sides: &[u64; 3]) -> Option<u64> {
    sides.iter().try_fold(1_u64, |n, &side| n.checked_mul(side))
}

fn show(sides: &[u64]) -> String {
    sides.iter().map(u64::to_string).collect::<Vec<_>>().join(" x ")
}

/// Sections, rows and columns, where all axes before them have length 1.
fn three(sides: &[u64]) -> Option<[u64; 3]> {
    match sides {
        [y, x] => Some([1, *y, *x]),
        [ones @ .., z, y, x] if ones.iter().all(|&side| side == 1) => Some([*z, *y, *x]),
        _ => None,
    }
}

fn dtype(array: &Array<FilesystemStore>) -> std::result::Result<Dtype, String> {
    let name = array.data_type().name_v3().unwrap_or_else(|| array.data_type().to_string().into());
    Ok(match &*name {
        "uint8" => Dtype::U8,
        "int8" => Dtype::I8,
        "uint16" => Dtype::U16,
        "int16" => Dtype::I16,
        "uint32" => Dtype::U32,
        "int32" => Dtype::I32,
        "float16" => Dtype::F16,
        "float32" => Dtype::F32,
        "float64" => Dtype::F64,
        _ => {
            return Err(format!(
                "its numbers are {name}; integers of 8, 16 and 32 bits and floats are read"
            ));
        }
    })
}

/// Numbers in the machine's order of bytes as floats.
fn convert(dtype: Dtype, from: &[u8], to: &mut [f32]) {
    fn each<const N: usize>(from: &[u8], to: &mut [f32], float: impl Fn([u8; N]) -> f32) {
        let (numbers, _) = from.as_chunks::<N>();
        to.iter_mut().zip(numbers).for_each(|(to, &bytes)| *to = float(bytes));
    }
    match dtype {
        Dtype::U8 => each(from, to, |[b]| f32::from(b)),
        Dtype::I8 => each(from, to, |[b]| f32::from(b as i8)),
        Dtype::U16 => each(from, to, |b| f32::from(u16::from_ne_bytes(b))),
        Dtype::I16 => each(from, to, |b| f32::from(i16::from_ne_bytes(b))),
        Dtype::U32 => each(from, to, |b| u32::from_ne_bytes(b) as f32),
        Dtype::I32 => each(from, to, |b| i32::from_ne_bytes(b) as f32),
        Dtype::F16 => each(from, to, |b| half::f16::from_ne_bytes(b).to_f32()),
        Dtype::F32 => each(from, to, f32::from_ne_bytes),
        Dtype::F64 => each(from, to, |b| f64::from_ne_bytes(b) as f32),
    }
}
