//! LZW, for which the crate `tiff` fails now and then (see `needs_lzw`).
//!
//! Source: [TIFF 6.0](https://www.loc.gov/preservation/digital/formats/fdd/fdd000022.shtml),
//! sections 13 and 14 (the horizontal predictor), and Adobe's Photoshop TIFF Technical Note 3 (the
//! predictor of floats).

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use ::tiff::decoder::ChunkType;
use ::tiff::tags::{ByteOrder, Tag};
use weezl::BitOrder;
use weezl::decode::Decoder;

use super::survey::chunk_table;
use super::{Open, failed};
use crate::data::volume::Dtype;
use crate::data::volume::pixels::Header;
use crate::{Error, Result};

/// The machine's order of bytes.
pub(super) const NATIVE: ByteOrder =
    if cfg!(target_endian = "big") { ByteOrder::BigEndian } else { ByteOrder::LittleEndian };

/// The tiles or strips of the current page of a decoder.
pub(super) struct LzwTiles {
    offsets: Vec<u64>,
    counts: Vec<u64>,
    /// Rows and columns of a tile.
    size: [usize; 2],
    /// Rows of the page, where its strips end with it.
    height: Option<usize>,
    /// Numbers of a pixel that lie together.
    together: usize,
    /// Bytes of a number.
    bytes: usize,
    is_foreign: bool,
    predictor: Predictor,
}

/// What the numbers of a row were turned into before they were packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Predictor {
    None,
    /// Differences from the pixel on the left.
    Horizontal,
    /// The same of bytes, the first bytes of all numbers before the second ones.
    Floats,
}

impl LzwTiles {
    /// Reads where the tiles lie; of planar pages each tile has one channel.
    pub(super) fn of(
        path: &Path,
        decoder: &mut Open,
        header: Header,
        together: usize,
    ) -> Result<Self> {
        let tiff = |e| failed(path, e);
        let (offsets, counts) = chunk_table(decoder).map_err(tiff)?;
        let (columns, rows) = decoder.chunk_dimensions();
        let predictor = match decoder.find_tag_unsigned::<u16>(Tag::Predictor).map_err(tiff)? {
            None | Some(1) => Predictor::None,
            Some(2) => Predictor::Horizontal,
            Some(3) => Predictor::Floats,
            Some(other) => {
                return Err(Error::Input(format!(
                    "{}: LZW with the predictor {other} can't be read; save it without a predictor",
                    path.display()
                )));
            }
        };
        let is_strip = decoder.get_chunk_type() == ChunkType::Strip;
        Ok(Self {
            offsets,
            counts,
            size: [rows as usize, columns as usize],
            together,
            bytes: usize::from(header.bits / 8),
            is_foreign: decoder.byte_order() != NATIVE,
            height: is_strip.then_some(header.height),
            predictor,
        })
    }

    /// The numbers of a tile, also those beyond the image, in the machine's order of bytes.
    pub(super) fn read(&self, path: &Path, decoder: &mut Open, index: usize) -> Result<Vec<u8>> {
        let wrong = |what: &str| {
            Error::Input(format!(
                "{}: tile {index} {what}; the file is damaged, copy or export it again",
                path.display()
            ))
        };
        let (Some(&offset), Some(&count)) = (self.offsets.get(index), self.counts.get(index))
        else {
            return Err(wrong("is missing"));
        };
        let mut packed = Vec::new();
        let file = decoder.inner();
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.take(count).read_to_end(&mut packed))
            .map_err(|e| Error::io(path, "reading it", e))?;
        let [rows, columns] = self.size;
        let rows = self.height.map_or(rows, |height| {
            let top = index % height.div_ceil(rows) * rows;
            rows.min(height - top)
        });
        let row = columns * self.together * self.bytes;
        let mut pixels = vec![0; rows * row];
        let (mut read, mut filled) = (0, 0);
        let mut lzw = Decoder::with_tiff_size_switch(BitOrder::Msb, 8);
        while filled < pixels.len() {
            let step = lzw.decode_bytes(&packed[read..], &mut pixels[filled..]);
            read += step.consumed_in;
            filled += step.consumed_out;
            match step.status {
                Err(e) => return Err(wrong(&format!("can't be decoded ({e})"))),
                Ok(_) if step.consumed_in + step.consumed_out == 0 => break,
                Ok(_) => {}
            }
        }
        if filled < pixels.len() {
            return Err(wrong(&format!("holds {filled} bytes in place of {}", pixels.len())));
        }
        if self.is_foreign && self.bytes > 1 && self.predictor != Predictor::Floats {
            pixels.chunks_exact_mut(self.bytes).for_each(<[u8]>::reverse);
        }
        match self.predictor {
            Predictor::None => {}
            Predictor::Horizontal => {
                pixels.chunks_exact_mut(row).for_each(|row| self.add_up(row));
            }
            Predictor::Floats => pixels.chunks_exact_mut(row).for_each(|row| self.collect(row)),
        }
        Ok(pixels)
    }

    fn add_up(&self, row: &mut [u8]) {
        let together = self.together;
        match self.bytes {
            1 => add_each(row, together, |[a], [b]| [a.wrapping_add(b)]),
            2 => add_each(row, together, |a, b| {
                u16::from_ne_bytes(a).wrapping_add(u16::from_ne_bytes(b)).to_ne_bytes()
            }),
            4 => add_each(row, together, |a, b| {
                u32::from_ne_bytes(a).wrapping_add(u32::from_ne_bytes(b)).to_ne_bytes()
            }),
            _ => add_each(row, together, |a, b| {
                u64::from_ne_bytes(a).wrapping_add(u64::from_ne_bytes(b)).to_ne_bytes()
            }),
        }
    }

    /// Brings the bytes of each float together again, of which the highest come first.
    fn collect(&self, row: &mut [u8]) {
        add_each(row, self.together, |[a], [b]| [a.wrapping_add(b)]);
        let apart = row.to_vec();
        let count = row.len() / self.bytes;
        for (i, float) in row.chunks_exact_mut(self.bytes).enumerate() {
            for (k, byte) in float.iter_mut().enumerate() {
                *byte = apart[k * count + i];
            }
            if NATIVE == ByteOrder::LittleEndian {
                float.reverse();
            }
        }
    }

    /// The first columns of the first rows of a tile.
    pub(super) fn crop(&self, tile: &[u8], rows: usize, columns: usize) -> Vec<u8> {
        let pixel = self.together * self.bytes;
        let row = self.size[1] * pixel;
        tile.chunks_exact(row).take(rows).flat_map(|row| &row[..columns * pixel]).copied().collect()
    }
}

/// Turns differences from the pixel on the left into values.
fn add_each<const N: usize>(
    row: &mut [u8],
    together: usize,
    add: impl Fn([u8; N], [u8; N]) -> [u8; N],
) {
    let (numbers, _) = row.as_chunks_mut::<N>();
    for i in together..numbers.len() {
        numbers[i] = add(numbers[i - together], numbers[i]);
    }
}

/// All numbers of the current page, channels together or, of a planar page, one after another, in
/// the machine's order of bytes.
pub(super) fn page(
    path: &Path,
    decoder: &mut Open,
    header: Header,
    channels: usize,
    planar: bool,
) -> Result<Vec<u8>> {
    let (planes, together) = if planar { (channels, 1) } else { (1, channels) };
    let tiles = LzwTiles::of(path, decoder, header, together)?;
    let Header { height, width, .. } = header;
    let [rows, columns] = tiles.size;
    let pixel = together * tiles.bytes;
    let mut bytes = vec![0; planes * height * width * pixel];
    let (down, across) = (height.div_ceil(rows), width.div_ceil(columns));
    for index in 0..planes * down * across {
        let (plane, top, left) =
            (index / (down * across), index / across % down * rows, index % across * columns);
        let tile = tiles.read(path, decoder, index)?;
        let part = columns.min(width - left) * pixel;
        for (y, row) in tile.chunks_exact(columns * pixel).take(height - top).enumerate() {
            let at = ((plane * height + top + y) * width + left) * pixel;
            bytes[at..at + part].copy_from_slice(&row[..part]);
        }
    }
    Ok(bytes)
}

/// Turns values around, of images whose smallest value is white.
///
/// Errors: for types that have no largest value.
pub(super) fn turn(bytes: &mut [u8], dtype: Dtype) -> std::result::Result<(), String> {
    match dtype {
        Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64 => {
            bytes.iter_mut().for_each(|byte| *byte = !*byte);
            Ok(())
        }
        _ => Err(format!(
            "its smallest value is said to be white (MinIsWhite), and its numbers are {dtype}"
        )),
    }
}
