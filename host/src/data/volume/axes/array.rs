//! Arrays of any number of axes as volumes.

use std::ops::Range;

use super::super::chunks::{Chunked, ChunkedVolume, Chunks};
use super::super::{Dtype, Grid, Region};
use super::Arrangement;
use crate::Result;

/// An array of any number of axes that is read by block.
pub(in super::super) trait NdArray: Send + Sync {
    /// What messages call it.
    fn name(&self) -> String;

    /// The sides, slowest axis first.
    fn shape(&self) -> &[u64];

    /// The sides of the blocks that are decoded at once.
    fn blocks(&self) -> Blocks;

    /// How a number is stored.
    fn dtype(&self) -> Dtype;

    /// A block in the array's own order, in the machine's order of bytes.
    fn decode(&self, ranges: &[Range<u64>]) -> Result<Vec<u8>>;

    /// What was noticed when it was opened.
    fn noticed(&self) -> Vec<String> {
        Vec::new()
    }

    /// Where the numbers along each axis lie, of OME-Zarr images.
    fn grids(&self) -> Vec<Option<Grid>> {
        vec![None; self.shape().len()]
    }

    /// How far apart neighbours along each axis are, in nanometres, where the file says so.
    fn steps_nm(&self) -> Vec<Option<f64>> {
        vec![None; self.shape().len()]
    }
}

/// How an array is stored.
pub(in super::super) enum Blocks {
    /// In chunks of these sides.
    Chunks(Vec<u64>),
    /// Number after number.
    Contiguous,
    /// In images of the last two axes, each decoded as a whole.
    Pages,
}

/// Sides of what is read at once of an array that lies in the file number after number, but not
/// section after section.
const CUBE: u64 = 64;
/// Bytes of the sections that are read at once where each of them lies in all pages of the file.
const SLAB_BYTES: u64 = 64 << 20;

/// An array as a volume of sections, rows and columns.
///
/// Memory: as [`Chunks`].
pub(in super::super) struct Arranged<A> {
    array: A,
    arrangement: Arrangement,
    chunks: Chunks,
}

impl<A: NdArray> Arranged<A> {
    /// Reads an array by this arrangement of its axes.
    ///
    /// Errors: what is wrong with its sizes, without the file's name.
    pub(in super::super) fn volume(
        array: A,
        arrangement: Arrangement,
    ) -> std::result::Result<ChunkedVolume<Self>, String> {
        let shape = arrangement.sides(array.shape());
        let dtype = array.dtype();
        let chunk = match array.blocks() {
            Blocks::Chunks(sides) => arrangement.sides(&sides),
            // Of sections whose columns lie apart, strips of columns are what lies together.
            Blocks::Contiguous if arrangement.is_in_order() => Chunks::strip(shape, 1, dtype),
            Blocks::Contiguous if arrangement.is_by_section() => {
                let [z, y, x] = shape;
                let [z, x, y] = Chunks::strip([z, x, y], 1, dtype);
                [z, y, x]
            }
            Blocks::Contiguous => [CUBE; 3],
            Blocks::Pages if arrangement.is_by_section() => [1, shape[1], shape[2]],
            Blocks::Pages => {
                let bytes = shape[1].saturating_mul(shape[2]).saturating_mul(dtype.bytes().into());
                [(SLAB_BYTES / bytes.max(1)).max(1), shape[1], shape[2]]
            }
        };
        let chunks = Chunks::new(shape, chunk, dtype)?;
        Ok(ChunkedVolume(Self { array, arrangement, chunks }))
    }
}

impl<A: NdArray> Chunked for Arranged<A> {
    fn name(&self) -> String {
        self.array.name()
    }

    fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    fn decode(&self, chunk: &Region) -> Result<Vec<u8>> {
        let bytes = self.array.decode(&self.arrangement.ranges(chunk))?;
        Ok(self.arrangement.in_order(bytes, chunk, self.array.dtype().bytes().into()))
    }

    fn noticed(&self) -> Vec<String> {
        let note = self.arrangement.note().map(|note| format!("{}: {note}", self.name()));
        self.array.noticed().into_iter().chain(note).collect()
    }

    fn voxel_nm(&self) -> Option<[f64; 3]> {
        self.arrangement.voxel_nm(&self.array.steps_nm())
    }

    fn grid(&self) -> Option<[Grid; 3]> {
        self.arrangement.along(&self.array.grids())
    }
}
