//! Zarr arrays, versions 2 and 3, OME-Zarr images, and N5 arrays.
//!
//! Source: the specifications of [Zarr 2](https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html),
//! [Zarr 3](https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html) and [OME-Zarr](https://ngff.openmicroscopy.org/0.5/).

mod archive;
mod bounds;
mod n5;
mod node;
mod place;
mod shards;

use std::num::NonZeroU64;
use std::path::Path;

use zarrs::array::{
    Array, ArrayBytes, ArrayError, ArrayShardedExt, ArrayShardedReadableExt,
    ArrayShardedReadableExtCache, ArraySubset, CodecOptions,
};
use zarrs::plugin::ExtensionName;
use zarrs::storage::ReadableStorageTraits;

use super::axes::{Arranged, Axis, Blocks, NdArray, names};
use super::chunks::ChunkedVolume;
use super::open::Opening;
use super::{Dtype, Grid};
use crate::{Error, Result};
use bounds::Compressor;
use place::Place;
use shards::ShardIndex;

pub(super) use n5::is_n5;
pub(super) use node::is_zarr;
pub(super) use place::archive_of;

/// An array that is read by chunk.
///
/// Memory: up to 256 MiB of decoded chunks, or one chunk if that is larger.
pub(super) struct ZarrVolume {
    place: Place,
    array: Array<dyn ReadableStorageTraits>,
    options: CodecOptions,
    dtype: Dtype,
    /// The sides of what is decoded at once: chunks, or those that a shard holds.
    sides: Vec<u64>,
    /// How far apart neighbours along the axes are, in nanometres.
    steps: Vec<Option<f64>>,
    /// Where the numbers along the axes lie.
    grids: Vec<Option<Grid>>,
    compressor: Compressor,
    shards: Option<Shards>,
    is_n5: bool,
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
    pub(super) fn open(path: &Path, opening: &Opening) -> Result<ChunkedVolume<Arranged<Self>>> {
        match is_zarr(path) {
            true => Self::at(node::find_array(&Place::folder(path))?, false, opening),
            false => Self::at(Place::folder(&n5::find_array(path)?), true, opening),
        }
    }

    /// Opens what [`open`](Self::open) does in a ZIP archive, or what `rest` names in it.
    pub(super) fn open_archive(
        archive: &Path,
        rest: &Path,
        opening: &Opening,
    ) -> Result<ChunkedVolume<Arranged<Self>>> {
        Self::at(node::find_array(&Place::in_archive(archive, rest)?)?, false, opening)
    }

    fn at(place: Place, is_n5: bool, opening: &Opening) -> Result<ChunkedVolume<Arranged<Self>>> {
        let path = place.path();
        let wrong = |what: String| Error::Input(format!("{}: {what}", path.display()));
        let store = place.store().map_err(|e| wrong(e.to_string()))?;
        let opened = match is_n5 {
            true => n5::open(path, store),
            false => Array::open(store, "/")
                .map_err(|e| format!("not a Zarr array that can be read: {e}")),
        };
        let array = opened.map_err(wrong)?;
        let axes = array.shape().len();
        let first = vec![0; axes];
        let sides_of = |shape: &[NonZeroU64]| shape.iter().map(|side| side.get()).collect();
        // What a file holds, and what is decoded at once.
        let stored: Vec<u64> =
            sides_of(&array.chunk_shape(&first).map_err(|e| wrong(e.to_string()))?);
        let sides: Vec<u64> =
            array.effective_subchunk_shape().map_or(stored.clone(), |inner| sides_of(&inner));
        let (named, steps, grids) = if is_n5 {
            let (named, steps) = n5::axes_of(path);
            (named, steps, Vec::new())
        } else {
            let (named, grids) = node::axes_of_image(&place);
            let nm = |grid: &Option<Grid>| grid.filter(|grid| grid.is_nm).map(|grid| grid.step);
            (named, grids.iter().map(nm).collect(), grids)
        };
        let said = named.or_else(|| axes_of(&array));
        let arrangement = opening.arrange(array.shape(), said.as_deref()).map_err(wrong)?;
        let dtype = dtype(&array).map_err(wrong)?;
        let compressor = match array.is_sharded() && !array.is_exclusively_sharded() {
            true => Compressor::Unknown,
            false if is_n5 => n5::compressor(path),
            false => Compressor::of(&array),
        };
        let shards = array.is_exclusively_sharded().then(|| Shards {
            index: ShardIndex::of(&array, &stored, &sides),
            chunk: sides.clone(),
            cache: ArrayShardedReadableExtCache::new(&array),
        });
        let zarr = Self {
            // Scoring has threads of its own; two pools would get in each other's way.
            options: CodecOptions::default().with_concurrent_target(1),
            place: place.clone(),
            array,
            dtype,
            sides,
            steps,
            grids,
            compressor,
            shards,
            is_n5,
        };
        Arranged::volume(zarr, arrangement).map_err(wrong)
    }

    /// The file that holds the first pixel of these ranges.
    fn file_of(&self, ranges: &[std::ops::Range<u64>]) -> Place {
        let first = vec![0; ranges.len()];
        let Ok(chunk) = self.array.chunk_shape(&first) else { return self.place.clone() };
        let indices: Vec<u64> =
            ranges.iter().zip(chunk.iter()).map(|(r, side)| r.start / side.get()).collect();
        self.place.join(self.array.chunk_key(&indices).as_str())
    }
}

impl NdArray for ZarrVolume {
    fn name(&self) -> String {
        self.place.path().display().to_string()
    }

    fn shape(&self) -> &[u64] {
        self.array.shape()
    }

    fn blocks(&self) -> Blocks {
        Blocks::Chunks(self.sides.clone())
    }

    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn steps_nm(&self) -> Vec<Option<f64>> {
        self.steps.clone()
    }

    fn grids(&self) -> Vec<Option<Grid>> {
        self.grids.clone()
    }

    fn decode(&self, ranges: &[std::ops::Range<u64>]) -> Result<Vec<u8>> {
        let pixel = u64::from(self.dtype.bytes());
        let subset = ArraySubset::new_with_ranges(ranges);
        let expected = ranges.iter().map(|range| range.end - range.start).product::<u64>() * pixel;
        let file = self.file_of(ranges);
        let wrong = |what: String| {
            Error::Input(format!(
                "{}: {what}; the chunk is damaged, copy it again or delete it to read its fill value",
                file.path().display()
            ))
        };
        let undecoded = |e: ArrayError| wrong(format!("it can't be decoded: {e}"));
        let bytes = match &self.shards {
            None if self.is_n5 => {
                let whole = self.sides.iter().product::<u64>() * pixel;
                n5::check(file.path(), &self.sides, self.compressor, whole).map_err(wrong)?;
                self.array.retrieve_array_subset_opt::<ArrayBytes<'static>>(&subset, &self.options)
            }
            None => {
                // Chunks reach beyond the end of the array.
                let whole =
                    self.array.chunk_shape(&vec![0; ranges.len()]).map_or(u64::MAX, |shape| {
                        let sides = shape.iter().map(|side| side.get());
                        sides.product::<u64>() * pixel
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
                    let whole = pixels * pixel;
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
        if bytes.len() as u64 != expected {
            return Err(wrong(format!(
                "it decodes to {} bytes in place of {expected}",
                bytes.len()
            )));
        }
        Ok(bytes)
    }
}

/// What the axes are by the array's own metadata, or by what xarray and ilastik write beside it.
fn axes_of(array: &Array<dyn ReadableStorageTraits>) -> Option<Vec<Axis>> {
    let dimension_names = || {
        let names = array.dimension_names().as_ref()?.iter();
        Some(names.map(|name| Axis::named(name.as_deref().unwrap_or_default())).collect())
    };
    let attribute = |name: &str| array.attributes().get(name);
    let tags = || {
        let tags = attribute("axistags")?;
        names::of_axistags(&tags.as_str().map_or_else(|| tags.to_string(), str::to_owned))
    };
    dimension_names().or_else(|| names::of_list(attribute("_ARRAY_DIMENSIONS")?)).or_else(tags)
}

fn dtype(array: &Array<dyn ReadableStorageTraits>) -> std::result::Result<Dtype, String> {
    let name = array.data_type().name_v3().unwrap_or_else(|| array.data_type().to_string().into());
    Ok(match &*name {
        "uint8" | "bool" => Dtype::U8,
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
