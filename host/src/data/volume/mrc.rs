//! MRC files, as microscopes and IMOD write them: one header of 1024 bytes, then the pixels.
//!
//! Source: [MRC2014](https://www.ccpem.ac.uk/mrc-format/mrc2014/); the sign of mode 0 in IMOD's
//! files as
//! [IMOD](https://bio3d.colorado.edu/imod/doc/mrc_format.txt) says. Rows are handed out in the
//! order of the file, as Python's mrcfile does; programs that
//! count rows from below show the sections upside down.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Dtype;
use super::axes::{Arranged, Axis, Blocks, NdArray};
use super::chunks::ChunkedVolume;
use super::open::Opening;
use crate::{Error, Result};

const HEADER: usize = 1024;
/// What IMOD writes where its fields of the header begin.
const IMOD_STAMP: i32 = 1_146_047_817;

/// The header's fields that matter here, by their first byte.
mod at {
    pub(super) const COLUMNS: usize = 0;
    pub(super) const MODE: usize = 12;
    pub(super) const INTERVALS: usize = 28;
    pub(super) const CELL: usize = 40;
    pub(super) const MAPPED: usize = 64;
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

/// A file whose numbers lie one after another.
pub(super) struct MrcVolume {
    path: PathBuf,
    /// Slowest axis first.
    shape: [u64; 3],
    dtype: Dtype,
    /// How far apart neighbours along the axes are, in nanometres.
    steps: [Option<f64>; 3],
    /// Whether the file's bytes are in the order of a big-endian machine.
    big_endian: bool,
    /// The first byte of the pixels.
    start: u64,
    notes: Vec<String>,
}

impl MrcVolume {
    /// Reads the header and compares it with the length of the file.
    pub(super) fn open(path: &Path, opening: &Opening) -> Result<ChunkedVolume<Arranged<Self>>> {
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
                    "MRC mode {mode} can't be read (3 and 4 are transforms, 16 is colour, 101 \
                    has 4 bits); save it as \
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
        // Which of x, y and z the columns, rows and sections of the file are; nothing in old files.
        let mapped = [2, 1, 0].map(|axis| number(at::MAPPED + 4 * axis));
        let said = mapped.map(|number| match number {
            1 => Axis::X,
            2 => Axis::Y,
            3 => Axis::Z,
            _ => Axis::Other(format!("number {number}")),
        });
        let said = (mapped != [0; 3]).then_some(&said[..]);
        let arrangement = opening.arrange(&shape, said).map_err(wrong)?;
        // Along x, y and z: Angstrom, and into how many intervals these are divided.
        let lengths =
            [0, 1, 2].map(|axis| f64::from(f32::from_bits(number(at::CELL + 4 * axis) as u32)));
        let intervals = [0, 1, 2].map(|axis| f64::from(number(at::INTERVALS + 4 * axis)));
        // A pixel of 1 Angstrom is what programs write that don't know it.
        let is_known = (0..3).any(|axis| lengths[axis] != intervals[axis]);
        let step = |axis: usize| Some(lengths[axis] / intervals[axis] / 10.0).filter(|_| is_known);
        let of_axis =
            |number: i32, axis: usize| step(usize::try_from(number - 1).unwrap_or(axis).min(2));
        let steps = [0, 1, 2].map(|i| of_axis(mapped[i], 2 - i));
        let mrc = Self { path: path.into(), shape, dtype, steps, big_endian, start, notes };
        Arranged::volume(mrc, arrangement).map_err(wrong)
    }
}

impl NdArray for MrcVolume {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn shape(&self) -> &[u64] {
        &self.shape
    }

    fn blocks(&self) -> Blocks {
        Blocks::Contiguous
    }

    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn noticed(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn steps_nm(&self) -> Vec<Option<f64>> {
        self.steps.to_vec()
    }

    fn decode(&self, ranges: &[Range<u64>]) -> Result<Vec<u8>> {
        let pixel = u64::from(self.dtype.bytes());
        let [_, height, width] = self.shape;
        let [sections, rows, columns] = [0, 1, 2].map(|axis| &ranges[axis]);
        let length = |range: &Range<u64>| range.end - range.start;
        let all = length(sections) * length(rows) * length(columns) * pixel;
        let mut bytes = vec![0; all as usize];
        // Rows that are read whole lie one after another.
        let (parts, part) = match length(columns) == width {
            true => (1, length(rows) * width * pixel),
            false => (length(rows), length(columns) * pixel),
        };
        let read = |file: &mut File, bytes: &mut [u8]| {
            for (i, bytes) in bytes.chunks_exact_mut(part as usize).enumerate() {
                let (section, row) = (i as u64 / parts, i as u64 % parts);
                let first = ((sections.start + section) * height + rows.start + row) * width;
                file.seek(SeekFrom::Start(self.start + (first + columns.start) * pixel))?;
                file.read_exact(bytes)?;
            }
            Ok(())
        };
        File::open(&self.path)
            .and_then(|mut file| read(&mut file, &mut bytes))
            .map_err(|e| Error::io(&self.path, "reading it", e))?;
        if self.big_endian != cfg!(target_endian = "big") && pixel > 1 {
            bytes.chunks_exact_mut(pixel as usize).for_each(<[u8]>::reverse);
        }
        Ok(bytes)
    }
}

fn word(header: &[u8; HEADER], at: usize) -> [u8; 4] {
    [0, 1, 2, 3].map(|i| header[at + i])
}

fn truncated(path: &Path, length: u64, needed: u64) -> Error {
    Error::Input(format!(
        "{}: the MRC file is truncated: it is {length} bytes long and its header promises \
        {needed}; copy it again",
        path.display()
    ))
}
