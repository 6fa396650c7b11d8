//! PNG: one section per file. 1 to 16 bits, grey, palette or RGB, with or without alpha.
//!
//! The format: <https://www.w3.org/TR/png-3/>.

use super::Dtype;
use super::pixels::{
    Header, MAX_RATIO, Palette, Reading, check_size, one_channel, stretch, unpack,
};
use crate::{Error, Result};
use ::png::{BitDepth, ColorType, Decoder, DecodingError, Limits, Reader};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// The first bytes of every PNG.
pub(super) const MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Reads the header and walks over the chunks, so that a file that was cut off is found out
/// before the work begins.
pub(super) fn header(path: &Path, palette: Palette) -> Result<Header> {
    let length = walk_chunks(path)?;
    let reader = open(path)?;
    let info = reader.info();
    let (height, width) = check_size(path, info.height.into(), info.width.into())?;
    if info.color_type == ColorType::Indexed {
        Lookup::new(path, info.palette.as_deref().unwrap_or(&[]), palette)?;
    }
    let bits = info.bit_depth as u8;
    let unpacked = reader.output_buffer_size().map_or(u64::MAX, |size| size as u64);
    if length.saturating_mul(MAX_RATIO) < unpacked {
        return Err(Error::Input(format!(
            "{}: {length} bytes can't hold the {height} x {width} pixels that the header claims; the \
             file is damaged, copy or export it again",
            path.display()
        )));
    }
    Ok(Header { height, width, bits, dtype: if bits == 16 { Dtype::U16 } else { Dtype::U8 } })
}

/// Reads the pixels.
pub(super) fn read<R: Reading>(
    path: &Path,
    header: Header,
    palette: Palette,
    reading: &mut R,
) -> Result<Vec<R::Out>> {
    let name = path.display().to_string();
    let mut reader = open(path)?;
    let info = reader.info();
    let (colour, depth) = (info.color_type, info.bit_depth);
    let lookup = match colour {
        ColorType::Indexed => {
            Some(Lookup::new(path, info.palette.as_deref().unwrap_or(&[]), palette)?)
        }
        _ => None,
    };
    let found = check_size(path, info.height.into(), info.width.into())?;
    if (found.0, found.1, depth as u8) != (header.height, header.width, header.bits) {
        return Err(changed(path));
    }
    let size = reader.output_buffer_size().ok_or_else(|| changed(path))?;
    let mut buffer = vec![0; size];
    reader.next_frame(&mut buffer).map_err(|e| failed(path, e))?;

    let Header { height, width, bits, .. } = header;
    if depth == BitDepth::Sixteen {
        let values = buffer.chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]]));
        return one_channel(&name, header, colour.samples(), values, reading);
    }
    if bits < 8 {
        // Only grey and palette images have so few bits.
        buffer = unpack(&buffer, bits, height, width);
    }
    match lookup {
        Some(lookup) => {
            let values = buffer.iter().map(|&index| lookup.value(index));
            one_channel(&name, header, 1, values, reading)
        }
        None if bits < 8 => {
            let values = buffer.iter().map(|&v| stretch(v, bits));
            one_channel(&name, header, 1, values, reading)
        }
        None => {
            let values = buffer.iter().copied();
            one_channel(&name, header, colour.samples(), values, reading)
        }
    }
}

/// What palette indices stand for.
struct Lookup(Option<Vec<u8>>);

impl Lookup {
    /// A grey palette gives its greys; a coloured one gives the index, where that makes sense.
    fn new(path: &Path, entries: &[u8], palette: Palette) -> Result<Self> {
        let entries = entries.as_chunks::<3>().0;
        if entries.iter().all(|[r, g, b]| r == g && g == b) {
            return Ok(Self(Some(entries.iter().map(|entry| entry[0]).collect())));
        }
        match palette {
            Palette::Refuse => Err(Error::Input(format!(
                "{}: the palette holds colours; this is a colour image, give a grey one",
                path.display()
            ))),
            Palette::Index if entries[0] != [0, 0, 0] => Err(Error::Input(format!(
                "{}: the palette's first entry is not black, so there is no telling which colour is \
                 background; save the labels as a grey image",
                path.display()
            ))),
            Palette::Index => Ok(Self(None)),
        }
    }

    /// The value of a pixel.
    fn value(&self, index: u8) -> u8 {
        match &self.0 {
            Some(greys) => greys.get(usize::from(index)).copied().unwrap_or(0),
            None => index,
        }
    }
}

/// Opens a file up to its pixels.
fn open(path: &Path) -> Result<Reader<BufReader<File>>> {
    let file = File::open(path).map_err(|e| Error::io(path, "opening it", e))?;
    // Sizes are checked against `MAX_PIXELS`; the crate's own limit would refuse large sections.
    let mut decoder = Decoder::new_with_limits(BufReader::new(file), Limits { bytes: 1 << 34 });
    decoder.set_transformations(::png::Transformations::IDENTITY);
    // Text and colour profiles are not needed, and may be damaged without harm.
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.read_info().map_err(|e| failed(path, e))
}

/// Follows the chunks' lengths to the closing one; gives the length of the file.
fn walk_chunks(path: &Path) -> Result<u64> {
    let io = |e| Error::io(path, "reading it", e);
    let file = File::open(path).map_err(|e| Error::io(path, "opening it", e))?;
    let length = file.metadata().map_err(io)?.len();
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(MAGIC.len() as u64)).map_err(io)?;
    let mut at = MAGIC.len() as u64;
    while at + 12 <= length {
        let mut head = [0; 8];
        reader.read_exact(&mut head).map_err(io)?;
        let [a, b, c, d, kind @ ..] = head;
        at += 12 + u64::from(u32::from_be_bytes([a, b, c, d]));
        if &kind == b"IEND" {
            return Ok(length);
        }
        // Relative, so that the buffer stays: image data come in chunks of a few kilobytes.
        let skip = 4 + i64::from(u32::from_be_bytes([a, b, c, d]));
        reader.seek_relative(skip).map_err(io)?;
    }
    Err(truncated(path))
}

/// The message for a file that ends too early.
fn truncated(path: &Path) -> Error {
    Error::Input(format!(
        "{}: the PNG file is truncated (it has no end chunk); copy or export it again",
        path.display()
    ))
}

/// The message for a file that is no longer what it was when the volume was opened.
fn changed(path: &Path) -> Error {
    Error::Input(format!("{}: the file changed while it was in use; start again", path.display()))
}

/// A decoder's error with the file's name.
fn failed(path: &Path, error: DecodingError) -> Error {
    match error {
        DecodingError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            truncated(path)
        }
        DecodingError::IoError(e) => Error::io(path, "reading it", e),
        other => Error::Input(format!(
            "{}: not a PNG file that can be read ({other}); copy or export it again",
            path.display()
        )),
    }
}
