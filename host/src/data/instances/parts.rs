//! The parts of components that were cut, as runs, in a file that goes away with this value.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::runs::Run;
use crate::data::files::Partial;
use crate::error::{Error, Result};

/// Bytes of a run.
const BYTES: usize = 16;

/// Runs by section.
pub(super) struct Parts {
    /// For messages.
    path: PathBuf,
    file: File,
    /// Removes the file in the end.
    _partial: Partial,
    end: u64,
    /// Of each section, where runs lie in the file, and how many.
    sections: Vec<Vec<(u64, usize)>>,
}

impl Parts {
    /// No runs, of a volume of `depth` sections, beside the file `output` that is to come.
    pub(super) fn create(output: &Path, depth: usize) -> Result<Self> {
        let (partial, file) = Partial::create(output)
            .map_err(|e| Error::io(output, "creating a file beside it", e))?;
        let sections = vec![Vec::new(); depth];
        Ok(Self { path: output.to_path_buf(), file, _partial: partial, end: 0, sections })
    }

    /// Adds runs of a section.
    pub(super) fn push(&mut self, z: usize, runs: &[Run]) -> Result<()> {
        let numbers = runs.iter().flat_map(|run| [run.y, run.start, run.end, run.label]);
        let bytes: Vec<u8> = numbers.flat_map(u32::to_le_bytes).collect();
        self.file
            .seek(SeekFrom::Start(self.end))
            .and_then(|_| self.file.write_all(&bytes))
            .map_err(|e| Error::io(&self.path, "writing a file beside it", e))?;
        self.sections[z].push((self.end, runs.len()));
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Adds the runs of a section to `runs`, in no order.
    pub(super) fn section(&self, z: usize, runs: &mut Vec<Run>) -> Result<()> {
        for &(at, count) in &self.sections[z] {
            let mut bytes = vec![0; count * BYTES];
            (&self.file)
                .seek(SeekFrom::Start(at))
                .and_then(|_| (&self.file).read_exact(&mut bytes))
                .map_err(|e| Error::io(&self.path, "reading a file beside it", e))?;
            runs.extend(bytes.chunks_exact(BYTES).map(|run| {
                let number = |i: usize| u32::from_le_bytes([0, 1, 2, 3].map(|k| run[4 * i + k]));
                Run { y: number(0), start: number(1), end: number(2), label: number(3) }
            }));
        }
        Ok(())
    }
}
