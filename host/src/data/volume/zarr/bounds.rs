//! What a stored chunk says it decodes to, looked at before it is decoded.
//!
//! Decoders make room for whatever a file claims. A chunk has a known size, so a claim beyond it is damage or malice.

use std::io::{Cursor, Read, Seek, SeekFrom, Write};

use zarrs::array::{Array, ArrayMetadata};
use zarrs::storage::ReadableStorageTraits;

use super::place::Place;

/// The last compression that a chunk went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compressor {
    Zstd,
    Gzip,
    Zlib,
    Blosc,
    /// None, or one that is judged by the size after decoding alone.
    Unknown,
}

/// What other codecs may add to a chunk: checksums, padding.
const SLACK: u64 = 1 << 16;

impl Compressor {
    /// That of an array's chunks, or of the chunks in its shards.
    pub(super) fn of(array: &Array<dyn ReadableStorageTraits>) -> Self {
        let name = match array.metadata() {
            ArrayMetadata::V2(metadata) => metadata.compressor.as_ref().map(|c| c.id().to_string()),
            ArrayMetadata::V3(metadata) => {
                let last = metadata.codecs.last();
                match last.filter(|codec| codec.name() == "sharding_indexed") {
                    Some(shards) => shards.configuration().and_then(|configuration| {
                        let inner = configuration.get("codecs")?.as_array()?.last()?;
                        Some(inner.as_str().or(inner.get("name")?.as_str())?.to_string())
                    }),
                    None => last.map(|codec| codec.name().to_string()),
                }
            }
        };
        Self::named(name.as_deref())
    }

    /// The compression of this name.
    pub(super) fn named(name: Option<&str>) -> Self {
        match name {
            Some("zstd" | "numcodecs.zstd") => Self::Zstd,
            Some("gzip" | "numcodecs.gzip") => Self::Gzip,
            Some("zlib" | "numcodecs.zlib") => Self::Zlib,
            Some("blosc" | "numcodecs.blosc") => Self::Blosc,
            _ => Self::Unknown,
        }
    }

    /// Refuses a file that decodes to more than `expected` bytes. A file that is not there is a
    /// chunk of the fill value.
    pub(super) fn check(self, file: &Place, expected: u64) -> Result<(), String> {
        if file.is_packed() {
            // Archives may make many bytes of few. No compression makes twice as many of them.
            let size = file.size().map_err(|e| format!("it can't be read: {e}"))?;
            let most = expected.saturating_mul(2).saturating_add(SLACK);
            if let Some(size) = size.filter(|&size| size > most) {
                return Err(format!("it has {size} bytes where a chunk has {expected}"));
            }
        }
        if self == Self::Unknown {
            return Ok(());
        }
        let file = match file.open() {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(()),
            // A file without a reader is for the decoder to say, but for what archives say of it.
            Err(e) if file.is_packed() => return Err(format!("it can't be read: {e}")),
            Err(_) => return Ok(()),
        };
        self.check_stored(file, expected)
    }

    /// Refuses the bytes of a chunk that decode to more than `expected`.
    pub(super) fn check_bytes(self, bytes: &[u8], expected: u64) -> Result<(), String> {
        if self == Self::Unknown { Ok(()) } else { self.check_stored(Cursor::new(bytes), expected) }
    }

    fn check_stored(self, mut stored: impl Read + Seek, expected: u64) -> Result<(), String> {
        let most = expected.saturating_add(SLACK);
        let bytes =
            self.decoded(&mut stored, most).map_err(|e| format!("it can't be read: {e}"))?;
        if bytes > most {
            return Err(format!("it decodes to more than the {expected} bytes of a chunk"));
        }
        Ok(())
    }

    /// Bytes that a chunk decodes to, or some number beyond `most`.
    fn decoded<S: Read + Seek>(self, stored: &mut S, most: u64) -> std::io::Result<u64> {
        let len = stored.seek(SeekFrom::End(0))?;
        stored.rewind()?;
        let mut head = Vec::new();
        stored.by_ref().take(18).read_to_end(&mut head)?;
        stored.rewind()?;
        // What is damaged is for the decoder to say.
        let scan = |decoder: &mut dyn Read| Ok(count(decoder, most).unwrap_or(0));
        match self {
            Self::Zstd => match zstd_content_size(&head) {
                Some(bytes) => Ok(bytes),
                None => scan(&mut zstd::stream::read::Decoder::new(stored)?),
            },
            // Its last four bytes are the size modulo 2^32. Deflate makes at most 1032 bytes of one, so a small file
            // can't lie about it.
            Self::Gzip if len < (1 << 32) / 1032 => {
                let mut tail = [0; 4];
                stored.seek(SeekFrom::End(-4_i64.min(len as i64)))?;
                match stored.read_exact(&mut tail) {
                    Ok(()) => Ok(u64::from(u32::from_le_bytes(tail))),
                    Err(_) => Ok(0),
                }
            }
            Self::Gzip => scan(&mut flate2::read::GzDecoder::new(stored)),
            Self::Zlib => scan(&mut flate2::read::ZlibDecoder::new(stored)),
            Self::Blosc => {
                let size = head.get(4..8).and_then(|bytes| bytes.try_into().ok());
                Ok(size.map_or(0, |bytes| u64::from(u32::from_le_bytes(bytes))))
            }
            Self::Unknown => Ok(0),
        }
    }
}

/// Bytes that come out, up to a little beyond `most`.
fn count(from: impl Read, most: u64) -> std::io::Result<u64> {
    struct Sink;
    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    std::io::copy(&mut from.take(most + 1), &mut Sink)
}

/// The content size of a single zstd frame, if its header has it (RFC 8878, section 3.1.1.1).
fn zstd_content_size(head: &[u8]) -> Option<u64> {
    let (magic, rest) = head.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*magic) != 0xfd2f_b528 {
        return None;
    }
    let (&descriptor, rest) = rest.split_first()?;
    let single_segment = descriptor & 0x20 != 0;
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let rest = rest.get(usize::from(!single_segment) + dictionary..)?;
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b));
    match descriptor >> 6 {
        0 if single_segment => Some(number(rest.get(..1)?)),
        0 => None,
        1 => Some(number(rest.get(..2)?) + 256),
        2 => Some(number(rest.get(..4)?)),
        _ => Some(number(rest.get(..8)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_in_a_zstd_header_is_found() {
        for len in [0_usize, 5, 255, 256, 70_000, 5_000_000] {
            let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
            let bytes = compressor.compress(&vec![7; len]).unwrap();
            assert_eq!(zstd_content_size(&bytes), Some(len as u64));
        }
        assert_eq!(zstd_content_size(b"abc"), None);
        assert_eq!(zstd_content_size(&[0; 18]), None);
    }

    #[test]
    fn bombs_are_refused_and_honest_chunks_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chunk");
        let place = Place::folder(&path);
        let plain = vec![0; 1 << 20];
        let zlib = |bytes: &[u8]| {
            let mut encoder =
                flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let gzip = |bytes: &[u8]| {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        let streamed = |bytes: &[u8]| zstd::stream::encode_all(bytes, 1).unwrap();
        for (compressor, bytes) in [
            (Compressor::Zlib, zlib(&plain)),
            (Compressor::Gzip, gzip(&plain)),
            (Compressor::Zstd, streamed(&plain)),
        ] {
            std::fs::write(&path, bytes).unwrap();
            compressor.check(&place, 1 << 20).unwrap();
            let message = compressor.check(&place, 1 << 18).unwrap_err();
            assert!(message.contains("262144"), "{compressor:?}: {message}");
        }
        assert_eq!(Compressor::Zstd.check(&Place::folder(&folder.path().join("none")), 1), Ok(()));
    }
}
