//! Zarr arrays, versions 2 and 3, and OME-Zarr images.
//!
//! Source: the specifications of [Zarr 2](https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html),
//! [Zarr 3](https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html) and [OME-Zarr](https://ngff.openmicroscopy.org/0.5/).

mod bounds;
mod node;
mod shards;

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zarrs::array::{
    Array, ArrayBytes, ArrayError, ArrayShardedExt, ArrayShardedReadableExt,
    ArrayShardedReadableExtCache, ArraySubset, CodecOptions,
};
use zarrs::filesystem::FilesystemStore;
use zarrs::plugin::ExtensionName;
use zarrs::storage::StoreKey;

use super::chunks::{Chunked, ChunkedVolume, Chunks};
use super::{Dtype, Region};
use crate::{Error, Result};
use bounds::Compressor;
use shards::ShardIndex;

pub(super) use node::is_zarr;

/// An array of two or three axes, or of more where the first ones have length 1, read by chunk.
///
/// Memory: up to 256 MiB of decoded chunks, or one chunk if that is larger.
pub(super) struct ZarrVolume {
    path: PathBuf,
    array: Array<FilesystemStore>,
    store: Arc<FilesystemStore>,
    options: CodecOptions,
    /// What is decoded at once: chunks, or those that a shard holds.
    chunks: Chunks,
    compressor: Compressor,
    shards: Option<Shards>,
}

/// What is known of an array's shards.
struct Shards {
    /// Sides of the chunks in them.
    chunk: Vec<u64>,
    index: Option<ShardIndex>,
    /// The indices of those that were read last.
    cache: ArrayShardedReadableExtCache,
}

/// Indices of shards that are kept.
const SHARDS: usize = 64;

impl ZarrVolume {
    /// Opens an array, or the full resolution of an OME-Zarr image, or the only array of a group.
    pub(super) fn open(path: &Path) -> Result<ChunkedVolume<Self>> {
        let path = node::find_array(path)?;
        let wrong = |what: String| Error::Input(format!("{}: {what}", path.display()));
        let store = FilesystemStore::new(&path).map_err(|e| wrong(e.to_string()))?;
        let store = Arc::new(store);
        let array = Array::open(Arc::clone(&store), "/")
            .map_err(|e| wrong(format!("not a Zarr array that can be read: {e}")))?;
        let axes = array.shape().len();
        let first = vec![0; axes];
        let sides_of = |shape: &[NonZeroU64]| shape.iter().map(|side| side.get()).collect();
        // What a file holds, and what is decoded at once.
        let stored: Vec<u64> =
            sides_of(&array.chunk_shape(&first).map_err(|e| wrong(e.to_string()))?);
        let sides: Vec<u64> =
            array.effective_subchunk_shape().map_or(stored.clone(), |inner| sides_of(&inner));
        let shape = three(array.shape()).ok_or_else(|| {
            wrong(format!(
                "its shape is {:?}; sections, rows and columns are wanted, before them only axes of length 1",
                array.shape()
            ))
        })?;
        let chunk = three(&sides).ok_or_else(|| wrong(format!("its chunks are {sides:?}")))?;
        let dtype = dtype(&array).map_err(wrong)?;
        let chunks = Chunks::new(shape, chunk, dtype).map_err(wrong)?;
        let compressor = match array.is_sharded() && !array.is_exclusively_sharded() {
            true => Compressor::Unknown,
            false => Compressor::of(&array),
        };
        let shards = array.is_exclusively_sharded().then(|| Shards {
            index: ShardIndex::of(&array, &stored, &sides),
            chunk: sides,
            cache: ArrayShardedReadableExtCache::new(&array),
        });
        Ok(ChunkedVolume(Self {
            // Scoring has threads of its own; two pools would get in each other's way.
            options: CodecOptions::default().with_concurrent_target(1),
            path,
            array,
            store,
            chunks,
            compressor,
            shards,
        }))
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
}

impl Chunked for ZarrVolume {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn chunks(&self) -> &Chunks {
        &self.chunks
    }

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
        let expected = block.z.len()
            * block.y.len()
            * block.x.len()
            * usize::from(self.chunks.dtype().bytes());
        let file = self.file_of(&ranges);
        let wrong = |what: String| {
            Error::Input(format!(
                "{}: {what}; the chunk is damaged, copy it again or delete it to read its fill value",
                file.display()
            ))
        };
        let undecoded = |e: ArrayError| wrong(format!("it can't be decoded: {e}"));
        let bytes = match &self.shards {
            None => {
                // Chunks reach beyond the end of the array.
                let whole = self.array.chunk_shape(&vec![0; axes]).map_or(u64::MAX, |shape| {
                    let sides = shape.iter().map(|side| side.get());
                    sides.product::<u64>() * u64::from(self.chunks.dtype().bytes())
                });
                self.compressor.check(&file, whole).map_err(wrong)?;
                self.array.retrieve_array_subset_opt::<ArrayBytes<'static>>(&subset, &self.options)
            }
            Some(shards) => {
                if shards.cache.len() > SHARDS {
                    shards.cache.clear();
                }
                if let Some(index) = &shards.index {
                    let indices = ranges.iter().zip(&shards.chunk);
                    let indices: Vec<u64> = indices.map(|(at, side)| at.start / side).collect();
                    let pixels: u64 = shards.chunk.iter().product();
                    let whole = pixels * u64::from(self.chunks.dtype().bytes());
                    index.check(&file, &indices, self.compressor, whole).map_err(wrong)?;
                }
                self.array.retrieve_array_subset_sharded_opt::<ArrayBytes<'static>>(
                    &shards.cache,
                    &subset,
                    &self.options,
                )
            }
        };
        let bytes = bytes.map_err(undecoded)?;
        let bytes = bytes.into_fixed().map_err(|e| wrong(e.to_string()))?.into_owned();
        if bytes.len() != expected {
            return Err(wrong(format!(
                "it decodes to {} bytes in place of {expected}",
                bytes.len()
            )));
        }
        Ok(bytes)
    }
}

fn range(range: &std::ops::Range<usize>) -> std::ops::Range<u64> {
    range.start as u64..range.end as u64
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
        "uint64" => Dtype::U64,
        "int64" => Dtype::I64,
        "float16" => Dtype::F16,
        "float32" => Dtype::F32,
        "float64" => Dtype::F64,
        _ => {
            return Err(format!(
                "its numbers are {name}; integers of 8, 16 and 32 bits and floats are read, of 64 bits as labels"
            ));
        }
    })
}
