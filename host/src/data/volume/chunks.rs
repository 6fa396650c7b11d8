//! Volumes that are stored in chunks: which chunks a block needs, and those decoded last.

use std::fmt::Display;
use std::ops::Range;

use super::block_cache::BlockCache;
use super::pixels::check_finite;
use super::{
    Dtype, Grid, LabelValue, Region, Section, Volume, check_block, check_section, show_shape,
};
use crate::{Error, Result};

/// Bytes of decoded chunks that a volume keeps.
const CACHE_BYTES: usize = 256 << 20;
/// The largest chunk that is decoded, in bytes. Writers stay far below.
const MAX_CHUNK_BYTES: u64 = 1 << 30;
/// What a strip of rows has at least, where a volume is stored by rows.
const STRIP_BYTES: u64 = 4 << 20;
/// Pixels beyond which a size is no volume's but a mistake.
const MAX_PIXELS: u64 = 1 << 50;

/// The chunks of a volume: a grid from its first pixel on, cut off at its end.
///
/// Memory: up to 256 MiB of decoded chunks, or one chunk if that is larger.
pub(super) struct Chunks {
    shape: [usize; 3],
    chunk: [usize; 3],
    dtype: Dtype,
    cache: BlockCache,
}

impl Chunks {
    /// A volume of `shape` in chunks of `chunk`, as its metadata say: `[sections, rows, columns]`.
    ///
    /// Errors: what is wrong with these sizes, without the file's name.
    pub(super) fn new(
        shape: [u64; 3],
        chunk: [u64; 3],
        dtype: Dtype,
    ) -> std::result::Result<Self, String> {
        if shape.contains(&0) {
            return Err(format!("it is empty: its shape is {}", show(shape)));
        }
        if product(shape).is_none_or(|n| n > MAX_PIXELS) || chunk.contains(&0) {
            return Err(format!(
                "a shape of {} in chunks of {} can't be right; its metadata may be damaged",
                show(shape),
                show(chunk)
            ));
        }
        let chunk = [0, 1, 2].map(|i| chunk[i].min(shape[i]));
        let bytes = product(chunk).and_then(|n| n.checked_mul(u64::from(dtype.bytes())));
        if bytes.is_none_or(|bytes| bytes > MAX_CHUNK_BYTES) {
            return Err(format!(
                "its chunks of {} are larger than 1 GiB; write it in smaller ones",
                show(chunk)
            ));
        }
        let [shape, chunk] = [shape, chunk].map(|sides| sides.map(|side| side as usize));
        Ok(Self { shape, chunk, dtype, cache: BlockCache::new(CACHE_BYTES) })
    }

    /// A chunk for volumes whose rows lie one after another: whole rows of one section, a multiple of `rows` unless the section ends.
    pub(super) fn strip(shape: [u64; 3], rows: u64, dtype: Dtype) -> [u64; 3] {
        let [_, height, width] = shape;
        let bytes = width.saturating_mul(dtype.bytes().into()).saturating_mul(rows).max(1);
        let strips = STRIP_BYTES.div_ceil(bytes);
        [1, strips.saturating_mul(rows).clamp(1, height.max(1)), width]
    }

    pub(super) fn shape(&self) -> [usize; 3] {
        self.shape
    }

    pub(super) fn chunk(&self) -> [usize; 3] {
        self.chunk
    }

    pub(super) fn dtype(&self) -> Dtype {
        self.dtype
    }

    pub(super) fn memory_bytes(&self) -> usize {
        CACHE_BYTES
    }

    /// Reads a block. `decode` gives a chunk, without what of it lies beyond the volume, as it is stored but in the machine's order of
    /// bytes; `name` is the volume's in messages.
    pub(super) fn read(
        &self,
        name: &dyn Display,
        block: &Region,
        decode: impl Fn(&Region) -> Result<Vec<u8>>,
    ) -> Result<Vec<f32>> {
        let mut to_floats = |from: &[u8], to: &mut [f32]| to_floats(self.dtype, from, to);
        let pixels = self.read_as(name, block, decode, &mut to_floats)?;
        if matches!(self.dtype, Dtype::F16 | Dtype::F32 | Dtype::F64) {
            check_sections(name, block, &pixels)?;
        }
        Ok(pixels)
    }

    /// Reads a block as [`read`](Self::read) does; `convert` turns a row's bytes, in the machine's order, into numbers.
    pub(super) fn read_as<T: Copy + Default>(
        &self,
        name: &dyn Display,
        block: &Region,
        decode: impl Fn(&Region) -> Result<Vec<u8>>,
        convert: &mut dyn FnMut(&[u8], &mut [T]),
    ) -> Result<Vec<T>> {
        check_block(block, self.shape)?;
        let sides = [block.z.len(), block.y.len(), block.x.len()];
        let mut pixels = Vec::new();
        let room = product(sides.map(|side| side as u64)).and_then(|n| usize::try_from(n).ok());
        let Some(room) = room.filter(|&n| pixels.try_reserve_exact(n).is_ok()) else {
            return Err(Error::Input(format!(
                "{name}: {} pixels at once do not fit the memory",
                show_shape(sides)
            )));
        };
        pixels.resize(room, T::default());
        let numbers =
            |side: &Range<usize>, chunk: usize| side.start / chunk..side.end.div_ceil(chunk);
        let [cz, cy, cx] = self.chunk;
        let grid = [0, 1, 2].map(|i| self.shape[i].div_ceil(self.chunk[i]) as u64);
        for k in numbers(&block.z, cz) {
            for i in numbers(&block.y, cy) {
                for j in numbers(&block.x, cx) {
                    let within =
                        |at: usize, side: usize, end: usize| at * side..((at + 1) * side).min(end);
                    let chunk = Region {
                        z: within(k, cz, self.shape[0]),
                        y: within(i, cy, self.shape[1]),
                        x: within(j, cx, self.shape[2]),
                    };
                    let number = (k as u64 * grid[1] + i as u64) * grid[2] + j as u64;
                    let bytes = self.cache.get(number, || decode(&chunk))?;
                    self.copy(&chunk, &bytes, block, &mut pixels, convert);
                }
            }
        }
        Ok(pixels)
    }

    /// Reads rows of a section as labels, chunk by chunk; `decode` and `name` are as in [`read`](Self::read).
    pub(super) fn read_labels(
        &self,
        name: &dyn Display,
        z: usize,
        rows: Range<usize>,
        decode: impl Fn(&Region) -> Result<Vec<u8>>,
        label: &mut dyn FnMut(LabelValue) -> u8,
    ) -> Result<Vec<u8>> {
        let [depth, _, width] = self.shape;
        check_section(z, depth, &name.to_string())?;
        let block = Region { z: z..z + 1, y: rows, x: 0..width };
        if matches!(self.dtype, Dtype::F16 | Dtype::F32 | Dtype::F64) {
            // Says what is no number, and where.
            self.read(name, &block, &decode)?;
        }
        let mut to_labels =
            |from: &[u8], to: &mut [u8]| to_labels(self.dtype, from, to, &mut *label);
        self.read_as(name, &block, decode, &mut to_labels)
    }

    /// Copies what of a chunk lies in `block`, converted.
    fn copy<T>(
        &self,
        chunk: &Region,
        bytes: &[u8],
        block: &Region,
        pixels: &mut [T],
        convert: &mut dyn FnMut(&[u8], &mut [T]),
    ) {
        let common = |a: &Range<usize>, b: &Range<usize>| a.start.max(b.start)..a.end.min(b.end);
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
                convert(from, to);
            }
        }
    }
}

/// An error where a pixel of a block is no finite number.
fn check_sections(name: &dyn Display, block: &Region, pixels: &[f32]) -> Result<()> {
    let area = (block.y.len() * block.x.len()).max(1);
    for (z, pixels) in block.z.clone().zip(pixels.chunks(area)) {
        let section = format!("section {z} of {name}");
        check_finite(&section, block.y.start, block.x.start, block.x.len(), pixels)?;
    }
    Ok(())
}

/// A file format that decodes one chunk at a time; [`ChunkedVolume`] makes a volume of it.
pub(super) trait Chunked: Send + Sync {
    /// What messages call it.
    fn name(&self) -> String;

    fn chunks(&self) -> &Chunks;

    /// A chunk, without what of it lies beyond the volume, as it is stored but in the machine's order of bytes.
    fn decode(&self, chunk: &Region) -> Result<Vec<u8>>;

    /// What was noticed when it was opened.
    fn noticed(&self) -> Vec<String> {
        Vec::new()
    }

    /// As [`Volume::voxel_nm`].
    fn voxel_nm(&self) -> Option<[f64; 3]> {
        None
    }

    /// As [`Volume::grid`].
    fn grid(&self) -> Option<[Grid; 3]> {
        None
    }
}

/// A volume of such a format.
pub(super) struct ChunkedVolume<F>(pub(super) F);

impl<F: Chunked> Volume for ChunkedVolume<F> {
    fn shape(&self) -> [usize; 3] {
        self.0.chunks().shape()
    }

    fn dtype(&self) -> Dtype {
        self.0.chunks().dtype()
    }

    fn read_section(&self, z: usize) -> Result<Section> {
        let [depth, height, width] = self.shape();
        check_section(z, depth, &self.0.name())?;
        let pixels = self.read_block(&Region { z: z..z + 1, y: 0..height, x: 0..width })?;
        Ok(Section { height, width, pixels })
    }

    fn read_labels(&self, z: usize, label: &mut dyn FnMut(LabelValue) -> u8) -> Result<Vec<u8>> {
        let [_, height, _] = self.shape();
        self.read_label_rows(z, 0..height, label)
    }

    fn read_label_rows(
        &self,
        z: usize,
        rows: Range<usize>,
        label: &mut dyn FnMut(LabelValue) -> u8,
    ) -> Result<Vec<u8>> {
        let decode = |chunk: &Region| self.0.decode(chunk);
        self.0.chunks().read_labels(&self.0.name(), z, rows, decode, label)
    }

    fn chunk(&self) -> [usize; 3] {
        self.0.chunks().chunk()
    }

    fn memory_bytes(&self) -> usize {
        self.0.chunks().memory_bytes()
    }

    fn read_block(&self, block: &Region) -> Result<Vec<f32>> {
        self.0.chunks().read(&self.0.name(), block, |chunk| self.0.decode(chunk))
    }

    fn section_name(&self, z: usize) -> String {
        format!("section {z} of {}", self.0.name())
    }

    fn notes(&self) -> Vec<String> {
        self.0.noticed()
    }

    fn voxel_nm(&self) -> Option<[f64; 3]> {
        self.0.voxel_nm()
    }

    fn grid(&self) -> Option<[Grid; 3]> {
        self.0.grid()
    }
}

fn product(sides: [u64; 3]) -> Option<u64> {
    sides.iter().try_fold(1_u64, |n, &side| n.checked_mul(side))
}

fn show(sides: [u64; 3]) -> String {
    sides.map(|side| side.to_string()).join(" x ")
}

/// Numbers in the machine's order of bytes as floats.
fn to_floats(dtype: Dtype, from: &[u8], to: &mut [f32]) {
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
        Dtype::U64 => each(from, to, |b| u64::from_ne_bytes(b) as f32),
        Dtype::I64 => each(from, to, |b| i64::from_ne_bytes(b) as f32),
        Dtype::F16 => each(from, to, |b| half::f16::from_ne_bytes(b).to_f32()),
        Dtype::F32 => each(from, to, f32::from_ne_bytes),
        Dtype::F64 => each(from, to, |b| f64::from_ne_bytes(b) as f32),
    }
}

/// Numbers in the machine's order of bytes as labels.
fn to_labels(dtype: Dtype, from: &[u8], to: &mut [u8], label: &mut dyn FnMut(LabelValue) -> u8) {
    fn each<const N: usize>(from: &[u8], to: &mut [u8], mut label: impl FnMut([u8; N]) -> u8) {
        let (numbers, _) = from.as_chunks::<N>();
        to.iter_mut().zip(numbers).for_each(|(to, &bytes)| *to = label(bytes));
    }
    match dtype {
        Dtype::U8 => each(from, to, |[b]| label(b.into())),
        Dtype::I8 => each(from, to, |[b]| label((b as i8).into())),
        Dtype::U16 => each(from, to, |b| label(u16::from_ne_bytes(b).into())),
        Dtype::I16 => each(from, to, |b| label(i16::from_ne_bytes(b).into())),
        Dtype::U32 => each(from, to, |b| label(u32::from_ne_bytes(b).into())),
        Dtype::I32 => each(from, to, |b| label(i32::from_ne_bytes(b).into())),
        Dtype::U64 => each(from, to, |b| label(u64::from_ne_bytes(b).into())),
        Dtype::I64 => each(from, to, |b| label(i64::from_ne_bytes(b).into())),
        Dtype::F16 => each(from, to, |b| label(half::f16::from_ne_bytes(b).to_f32().into())),
        Dtype::F32 => each(from, to, |b| label(f32::from_ne_bytes(b).into())),
        Dtype::F64 => each(from, to, |b| label(f64::from_ne_bytes(b).into())),
    }
}
