//! MRC files, as microscopes and IMOD write them: one header of 1024 bytes, then the pixels.
//!
//! Source: [MRC2014](https://www.ccpem.ac.uk/mrc-format/mrc2014/); the sign of mode 0 in IMOD's files as
//! [IMOD](https://bio3d.colorado.edu/imod/doc/mrc_format.txt) says. Rows are handed out in the order of the file, as Python's mrcfile does; programs that
//! count rows from below show the sections upside down.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::chunks::{Chunked, ChunkedVolume, Chunks};
use super::{Dtype, Region};
use crate::{Error, Result};

const HEADER: usize = 1024;
/// What IMOD writes where its fields of the header begin.
const IMOD_STAMP: i32 = 1_146_047_817;

/// The header's fields that matter here, by their first byte.
mod at {
    pub(super) const COLUMNS: usize = 0;
    pub(super) const MODE: usize = 12;
    pub(super) const EXTENDED: usize = 92;
    pub(super) const IMOD_STAMP: usize = 152;
    pub(super) const IMOD_FLAGS: usize = 156;
    pub(super) const MAP: usize = 208;
    pub(super) const MACHINE: usize = 212;
}

/// Whether a file begins like one of this format, by its first 512 bytes.
pub(super) fn is_mrc(start: &[u8]) -> bool {
    start.get(at::MAP..at::MAP + 4).is_some_and(|map| map.starts_with(b"MAP"))
}

/// A file that is read by strips of rows.
///
/// Memory: as [`Chunks`].
pub(super) struct MrcVolume {
    path: PathBuf,
    chunks: Chunks,
    /// Whether the file's bytes are in the order of a big-endian machine.
    big_endian: bool,
    /// The first byte of the pixels.
    start: u64,
    notes: Vec<String>,
}

impl MrcVolume {
    /// Reads the header and compares it with the length of the file.
    pub(super) fn open(path: &Path) -> Result<ChunkedVolume<Self>> {
        let show = path.display();
        let mut file = File::open(path).map_err(|e| Error::io(path, "opening it", e))?;
        let length = file.metadata().map_err(|e| Error::io(path, "opening it", e))?.len();
        let mut header = [0; HEADER];
        file.read_exact(&mut header).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => truncated(path, length, HEADER as u64),
            _ => Error::io(path, "reading it", e),
        })?;
        let wrong = |what: String| Error::Input(format!("{show}: {what}"));
        // Files of before 2014 have no stamp; the mode is a small number in one order only.
        let big_endian = match header[at::MACHINE..at::MACHINE + 2] {
            [0x11, 0x11] => true,
            [0x44, 0x44 | 0x41] => false,
            _ => {
                i32::from_le_bytes(word(&header, at::MODE)).unsigned_abs()
                    > i32::from_be_bytes(word(&header, at::MODE)).unsigned_abs()
            }
        };
        let number = |at: usize| match big_endian {
            true => i32::from_be_bytes(word(&header, at)),
            false => i32::from_le_bytes(word(&header, at)),
        };
        let sides = [2, 1, 0].map(|axis| number(at::COLUMNS + 4 * axis));
        let shape = sides.map(|side| usize::try_from(side).unwrap_or(0));
        if shape.contains(&0) {
            return Err(wrong(format!(
                "a shape of {sides:?} can't be right; the MRC header may be damaged"
            )));
        }
        let imod = number(at::IMOD_STAMP) == IMOD_STAMP;
        let dtype = match number(at::MODE) {
            0 if imod && number(at::IMOD_FLAGS) & 1 == 0 => Dtype::U8,
            0 => Dtype::I8,
            1 => Dtype::I16,
            2 => Dtype::F32,
            6 => Dtype::U16,
            12 => Dtype::F16,
            mode => {
                return Err(wrong(format!(
                    "MRC mode {mode} can't be read (3 and 4 are transforms, 16 is colour, 101 has 4 bits); save it as \
                     mode 0, 1, 2, 6 or 12"
                )));
            }
        };
        let extended = u64::try_from(number(at::EXTENDED)).map_err(|_| {
            wrong("its extended header has a negative length; the MRC header may be damaged".into())
        })?;
        let start = HEADER as u64 + extended;
        let end = shape
            .iter()
            .try_fold(u64::from(dtype.bytes()), |n, &side| n.checked_mul(side as u64))
            .and_then(|bytes| bytes.checked_add(start));
        let Some(end) = end.filter(|&end| end <= length) else {
            return Err(truncated(path, length, end.unwrap_or(u64::MAX)));
        };
        let notes = (end < length)
            .then(|| {
                format!(
                    "{show}: {} bytes after the pixels of {} sections are not read",
                    length - end,
                    shape[0]
                )
            })
            .into_iter()
            .collect();
        let shape = shape.map(|side| side as u64);
        let chunks = Chunks::new(shape, Chunks::strip(shape, 1, dtype), dtype).map_err(wrong)?;
        Ok(ChunkedVolume(Self { path: path.into(), chunks, big_endian, start, notes }))
    }
}

impl Chunked for MrcVolume {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    fn noticed(&self) -> Vec<String> {
        self.notes.clone()
    }

    /// Whole rows.
    fn decode(&self, rows: &Region) -> Result<Vec<u8>> {
        let [_, height, width] = self.chunks.shape();
        let pixel = usize::from(self.chunks.dtype().bytes());
        let first = rows.z.start as u64 * height as u64 + rows.y.start as u64;
        let mut bytes = vec![0; rows.y.len() * width * pixel];
        File::open(&self.path)
            .and_then(|mut file| {
                file.seek(SeekFrom::Start(self.start + first * (width * pixel) as u64))?;
                file.read_exact(&mut bytes)
            })
            .map_err(|e| Error::io(&self.path, "reading it", e))?;
        if self.big_endian != cfg!(target_endian = "big") && pixel > 1 {
            bytes.chunks_exact_mut(pixel).for_each(<[u8]>::reverse);
        }
        Ok(bytes)
    }
}

fn word(header: &[u8; HEADER], at: usize) -> [u8; 4] {
    [0, 1, 2, 3].map(|i| header[at + i])
}

fn truncated(path: &Path, length: u64, needed: u64) -> Error {
    Error::Input(format!(
        "{}: the MRC file is truncated: it is {length} bytes long and its header promises {needed}; copy it again",
        path.display()
    ))
}
