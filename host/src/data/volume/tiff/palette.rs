//! Pages with a palette, whose numbers are indices.
//!
//! The crate `tiff` refuses them. It reads them as grey pages when the tag that says so reads "the
//! smallest value is black" (1) in place of "palette" (3).

use std::fs::File;
use std::io::{Read, Result as IoResult, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use ::tiff::tags::Tag;

use super::{Open, failed};
use crate::data::volume::pixels::Palette;
use crate::{Error, Result};

const PHOTOMETRIC: u16 = 262;
const IS_PALETTE: u8 = 3;
const BLACK_IS_ZERO: u8 = 1;
/// No file has more pages; one that claims so goes in a circle.
const MOST_PAGES: usize = 1 << 24;

/// A file in which some bytes are read as 1.
pub(super) struct Source {
    file: File,
    at: u64,
    /// Where these bytes are, in ascending order.
    indices: Arc<[u64]>,
}

impl Source {
    pub(super) fn new(file: File, indices: Arc<[u64]>) -> Self {
        Self { file, at: 0, indices }
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        let read = self.file.read(buffer)?;
        let end = self.at + read as u64;
        let first = self.indices.partition_point(|&place| place < self.at);
        for &place in self.indices[first..].iter().take_while(|&&place| place < end) {
            buffer[(place - self.at) as usize] = BLACK_IS_ZERO;
        }
        self.at = end;
        Ok(read)
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> IoResult<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}

/// The bytes of a file by which its pages say that they have a palette; none if its first page has
/// none.
pub(super) fn indices(path: &Path) -> Result<Arc<[u64]>> {
    let file = File::open(path).map_err(|e| Error::io(path, "opening it", e))?;
    // What is damaged is for the decoder to say.
    Ok(Directories { file }.palettes().unwrap_or_default().into())
}

/// A file that is read directory by directory.
struct Directories {
    file: File,
}

impl Directories {
    fn bytes<const N: usize>(&mut self, at: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.file.seek(SeekFrom::Start(at)).ok()?;
        self.file.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }

    fn palettes(&mut self) -> Option<Vec<u64>> {
        let start: [u8; 8] = self.bytes(0)?;
        let little = &start[..2] == b"II";
        let number = |bytes: &[u8]| {
            let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
            match little {
                true => bytes.iter().rev().fold(0, add),
                false => bytes.iter().fold(0, add),
            }
        };
        let big = number(&start[2..4]) == 43;
        // Sizes of an entry, of the count of entries and of an offset, and where the value lies in
        // an entry.
        let (entry, counted, offset, value) = if big { (20, 8, 8, 12) } else { (12, 2, 4, 8) };
        let mut at = match big {
            true => number(&self.bytes::<8>(8)?),
            false => number(&start[4..8]),
        };
        let mut found = Vec::new();
        for page in 0..MOST_PAGES {
            let count = number(&self.bytes::<8>(at)?[..counted]);
            if at == 0 || count > u64::from(u16::MAX) {
                break;
            }
            let entries = at + counted as u64;
            let mut all = vec![0; count as usize * entry + offset];
            self.file.seek(SeekFrom::Start(entries)).ok()?;
            self.file.read_exact(&mut all).ok()?;
            let (table, next) = all.split_at(count as usize * entry);
            let photometric = table
                .chunks_exact(entry)
                .position(|entry| number(&entry[..2]) == u64::from(PHOTOMETRIC));
            if let Some(i) = photometric {
                let place = i * entry + value;
                let byte = if little { place } else { place + 1 };
                if table[byte] == IS_PALETTE && number(&table[place..place + 2]) == 3 {
                    found.push(entries + byte as u64);
                }
            }
            if page == 0 && found.is_empty() {
                break;
            }
            at = number(next);
            if at == 0 {
                break;
            }
        }
        found.sort_unstable();
        found.dedup();
        Some(found)
    }
}

/// Whether the first page's palette holds colours, so that its numbers are indices and nothing
/// else. Of a grey ramp they are grey values.
///
/// Errors: where images are wanted.
pub(super) fn is_index(path: &Path, decoder: &mut Open, wanted: Palette) -> Result<bool> {
    let map = decoder
        .find_tag_unsigned_vec::<u16>(Tag::ColorMap)
        .map_err(|e| failed(path, e))?
        .unwrap_or_default();
    let entries = map.len() / 3;
    let (red, rest) = map.split_at(entries);
    let ramp = |i: usize| i * 255 / (entries - 1).max(1);
    let is_grey = entries > 1
        && (0..entries).all(|i| {
            red[i] == rest[i]
                && red[i] == rest[entries + i]
                && usize::from(red[i] >> 8).abs_diff(ramp(i)) <= 1
        });
    match wanted {
        _ if is_grey => Ok(false),
        Palette::Index => Ok(true),
        Palette::Refuse => Err(Error::Input(format!(
            "{}: the palette holds colours; as labels its indices count, as an image give a grey \
            one (in ImageJ: Image > Type > RGB Color, then \
             8-bit)",
            path.display()
        ))),
    }
}
