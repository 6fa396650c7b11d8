//! Pages read by tile, or by strip of rows: of a mosaic of gigabytes only what is asked for.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ::tiff::decoder::{ChunkType, DecodingResult};
use ::tiff::tags::{CompressionMethod, Tag};

use super::lzw::{self, LzwTiles};
use super::read::{as_stored, is_white_zero};
use super::survey::{chunk_table, compression, needs_lzw, samples_per_pixel};
use super::{Contents, Layout, Open, failed};
use crate::data::volume::Region;
use crate::data::volume::chunks::Chunks;
use crate::data::volume::pixels::Header;
use crate::{Error, Result};

/// Sections in strips are read whole up to this size.
const WHOLE_BYTES: u64 = 16 << 20;

/// Rows and columns of the tiles or strips of the current page, if its tiles can be read one by
/// one: grey, of whole bytes and not packed as a picture of its own. Of a large strip that is all of
/// the page, and not packed, each row counts as one.
pub(super) fn size(decoder: &mut Open, header: Header) -> Option<[u32; 2]> {
    let colour = decoder.colortype().ok()?;
    let plain = colour.num_samples() == 1 && samples_per_pixel(decoder) == 1 && header.bits >= 8;
    let lossless = !matches!(
        compression(decoder).ok()?,
        CompressionMethod::ModernJPEG | CompressionMethod::Fax4
    );
    let bytes = header.height as u64 * header.width as u64 * u64::from(header.bits / 8);
    if plain && bytes > WHOLE_BYTES && is_one_strip(decoder, header) {
        return Some([1, header.width as u32]);
    }
    let (width, height) = decoder.chunk_dimensions();
    let whole = match decoder.get_chunk_type() {
        ChunkType::Tile => {
            u64::from(height) >= header.height as u64 && u64::from(width) >= header.width as u64
        }
        ChunkType::Strip => bytes <= WHOLE_BYTES || u64::from(height) >= header.height as u64,
    };
    (plain && lossless && !whole && width > 0 && height > 0).then_some([height, width])
}

/// Whether the rows of the current page lie in the file one after another and as they are handed out, but for the order of bytes: in
/// one strip that is not packed, as ImageJ and tifffile write it.
fn is_one_strip(decoder: &mut Open, header: Header) -> bool {
    let (_, rows) = decoder.chunk_dimensions();
    decoder.get_chunk_type() == ChunkType::Strip
        && header.height > 1
        && u64::from(rows) >= header.height as u64
        && compression(decoder).is_ok_and(|method| method == CompressionMethod::None)
        && matches!(decoder.find_tag_unsigned::<u16>(Tag::Predictor), Ok(None | Some(1)))
        && !is_white_zero(decoder)
}

/// Which numbers of a page are meant that says that its smallest value is white.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum As {
    /// What a viewer shows: images.
    Shown,
    /// What the file holds: labels.
    Stored,
}

/// The tiles of a file as a grid; several strips make one chunk of it.
pub(super) struct Tiles {
    pub(super) chunks: Chunks,
    /// The same grid of numbers as they are stored. A volume is read as images or as labels, and keeps no chunks of the other.
    pub(super) stored: Chunks,
    header: Header,
    /// Rows and columns.
    size: [usize; 2],
    /// The directory of each section.
    pages: Vec<usize>,
    /// Where the tiles of the page that was read last lie, if they need a decoder of their own.
    lzw: Mutex<Option<(usize, Arc<LzwTiles>)>>,
}

impl Tiles {
    /// Nothing where sections have to be read whole.
    pub(super) fn of(contents: &Contents) -> Option<Self> {
        let header @ Header { height, width, dtype, .. } = contents.header;
        let (Layout::Pages(pages), Some(size)) = (&contents.layout, contents.tile) else {
            return None;
        };
        let pages: Vec<usize> = contents.sections.iter().map(|place| pages[place.image]).collect();
        let shape = [pages.len(), height, width].map(|side| side as u64);
        let [rows, columns] = size.map(u64::from);
        let chunk = match columns >= shape[2] {
            true => Chunks::strip(shape, rows, dtype),
            false => [1, rows, columns],
        };
        let chunks = Chunks::new(shape, chunk, dtype).ok()?;
        let stored = Chunks::new(shape, chunk, dtype).ok()?;
        let size = size.map(|side| side as usize);
        Some(Self { chunks, stored, header, size, pages, lzw: Mutex::default() })
    }

    /// The pixels of a chunk of the grid, in the machine's order of bytes.
    pub(super) fn read(
        &self,
        path: &Path,
        decoder: &mut Open,
        region: &Region,
        wanted: As,
    ) -> Result<Vec<u8>> {
        let tiff = |e| failed(path, e);
        let page = self.pages[region.z.start];
        decoder.seek_to_image(page).map_err(tiff)?;
        if is_one_strip(decoder, self.header) {
            return self.rows_of_strip(path, decoder, region);
        }
        let [rows, columns] = self.size;
        let across = self.header.width.div_ceil(columns);
        if needs_lzw(decoder, self.header) {
            let tiles = self.lzw_tiles(path, decoder, page)?;
            let mut bytes = Vec::new();
            for row in region.y.start / rows..region.y.end.div_ceil(rows) {
                let tile = tiles.read(path, decoder, row * across + region.x.start / columns)?;
                let left = rows.min(region.y.end - row * rows);
                bytes.extend(tiles.crop(&tile, left, region.x.len()));
            }
            if wanted == As::Shown && is_white_zero(decoder) {
                lzw::turn(&mut bytes, self.header.dtype)
                    .map_err(|what| Error::Input(format!("{}: {what}", path.display())))?;
            }
            return Ok(bytes);
        }
        let mut bytes = Vec::new();
        for row in region.y.start / rows..region.y.end.div_ceil(rows) {
            let index = (row * across + region.x.start / columns) as u32;
            let mut tile = decoder.read_chunk(index).map_err(tiff)?;
            if wanted == As::Stored && is_white_zero(decoder) {
                as_stored(&mut tile);
            }
            bytes.extend_from_slice(match &tile {
                DecodingResult::U8(v) => v,
                DecodingResult::I8(v) => bytemuck::cast_slice(v),
                DecodingResult::U16(v) => bytemuck::cast_slice(v),
                DecodingResult::I16(v) => bytemuck::cast_slice(v),
                DecodingResult::U32(v) => bytemuck::cast_slice(v),
                DecodingResult::I32(v) => bytemuck::cast_slice(v),
                DecodingResult::U64(v) => bytemuck::cast_slice(v),
                DecodingResult::I64(v) => bytemuck::cast_slice(v),
                DecodingResult::F16(v) => bytemuck::cast_slice(v),
                DecodingResult::F32(v) => bytemuck::cast_slice(v),
                DecodingResult::F64(v) => bytemuck::cast_slice(v),
            });
        }
        let pixel = usize::from(self.header.dtype.bytes());
        let expected = region.y.len() * region.x.len() * pixel;
        if bytes.len() != expected {
            return Err(Error::Input(format!(
                "{}: the tile at page {}, row {}, column {} holds {} bytes in place of \
                {expected}; the file is damaged, copy it again",
                path.display(),
                region.z.start + 1,
                region.y.start,
                region.x.start,
                bytes.len()
            )));
        }
        Ok(bytes)
    }

    /// Rows of the decoder's page, which [`is_one_strip`].
    fn rows_of_strip(&self, path: &Path, decoder: &mut Open, region: &Region) -> Result<Vec<u8>> {
        let (offsets, _) = chunk_table(decoder).map_err(|e| failed(path, e))?;
        let pixel = usize::from(self.header.dtype.bytes());
        let row = self.header.width * pixel;
        // That the strip lies in the file was seen when it was opened.
        let first = offsets.first().copied().unwrap_or(0) + (region.y.start * row) as u64;
        let mut bytes = vec![0; region.y.len() * row];
        let file = decoder.inner();
        file.seek(SeekFrom::Start(first))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|e| Error::io(path, "reading it", e))?;
        if decoder.byte_order() != lzw::NATIVE && pixel > 1 {
            bytes.chunks_exact_mut(pixel).for_each(<[u8]>::reverse);
        }
        Ok(bytes)
    }

    /// Where the tiles of the decoder's page lie.
    fn lzw_tiles(&self, path: &Path, decoder: &mut Open, page: usize) -> Result<Arc<LzwTiles>> {
        let mut known = self.lzw.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, tiles)) = known.as_ref().filter(|(of, _)| *of == page) {
            return Ok(Arc::clone(tiles));
        }
        let tiles = Arc::new(LzwTiles::of(path, decoder, self.header, 1)?);
        *known = Some((page, Arc::clone(&tiles)));
        Ok(tiles)
    }
}
