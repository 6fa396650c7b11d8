//! The journal: a line for each iteration, with a checksum of all that is not time.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use super::RunDir;
use crate::data::files::sha256;
use crate::error::{Error, Result};
use crate::learning::protocol::Record;

const FILE: &str = "journal.jsonl";

/// What a journal holds.
pub(super) struct Journal {
    pub(super) records: Vec<Record>,
    /// Where each line ends, in bytes.
    pub(super) ends: Vec<u64>,
    /// What is left out of it at its end, and why.
    pub(super) note: Option<String>,
}

impl RunDir {
    /// The journal of a run, without what of its last line is missing or damaged. Writes nothing.
    ///
    /// # Errors
    /// If it can't be read or has been changed.
    pub fn read_records(run: &Path) -> Result<Vec<Record>> {
        Self::records_of(&run.join(FILE))
    }

    /// [`read_records`](Self::read_records) of a journal of any name.
    ///
    /// # Errors
    /// As there.
    pub fn records_of(journal: &Path) -> Result<Vec<Record>> {
        Ok(read(journal)?.records)
    }

    /// The journal to be gone on with, and what of its end is left out, and why.
    ///
    /// # Errors
    /// As [`read_records`](Self::read_records).
    pub fn read_for_more(&self) -> Result<(Vec<Record>, Option<String>)> {
        let Journal { records, note, .. } = self.read_journal()?;
        Ok((records, note))
    }

    /// The journal, whose next line is to follow the last good one.
    pub(super) fn read_journal(&self) -> Result<Journal> {
        let journal = read(&self.file(FILE))?;
        self.keep_lines(&journal.ends);
        Ok(journal)
    }

    /// Cuts off what of the journal is torn, damaged or computed again, as [`standing`](Self::standing) has found.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn cut_journal(&self) -> Result<()> {
        let path = self.file(FILE);
        let Some(kept) = self.journal.take().filter(|_| path.exists()) else { return Ok(()) };
        let cut = OpenOptions::new().write(true).open(&path).and_then(|file| {
            if file.metadata()?.len() > kept {
                file.set_len(kept)?;
                file.sync_all()?;
            }
            Ok(())
        });
        cut.map_err(|e| Error::io(&path, "can't cut off the end of the journal", e))
    }

    /// Takes the last line away.
    ///
    /// # Errors
    /// As [`read_records`](Self::read_records), and if the system refuses.
    pub fn take_last_back(&self) -> Result<()> {
        let mut ends = self.read_journal()?.ends;
        ends.pop();
        self.keep_lines(&ends);
        self.cut_journal()
    }

    /// Lines behind these are cut off before one is added.
    pub(super) fn keep_lines(&self, ends: &[u64]) {
        self.journal.set(Some(ends.last().copied().unwrap_or(0)));
    }

    /// Appends a line to the journal and waits until it is on the disk. Gives the line.
    ///
    /// # Errors
    /// If the disk is full or refuses.
    pub fn append(&self, record: &Record) -> Result<String> {
        let path = self.file(FILE);
        let line = serde_json::to_string(record)
            .map_err(|e| Error::Input(format!("{}: {e}", path.display())))?;
        let line = with_checksum(&line);
        self.cut_journal()?;
        let file = OpenOptions::new().create(true).append(true).open(&path);
        file.and_then(|mut f| {
            f.write_all(line.as_bytes())?;
            f.write_all(b"\n")?;
            f.sync_all()
        })
        .map_err(|e| Error::io(&path, "can't write the journal", e))?;
        Ok(line)
    }
}

/// Whether a file begins with a journal's line.
pub(super) fn is_journal(path: &Path) -> bool {
    let text = fs::read(path).unwrap_or_default();
    let first = text.split(|&b| b == b'\n').next().unwrap_or_default();
    serde_json::from_slice::<Record>(first).is_ok() || first.starts_with(b"{\"iteration\":")
}

/// What stands before the checksum, and before the times, which differ from run to run.
const CHECKSUM: &str = ",\"checksum\":\"";
const SECONDS: &str = ",\"seconds\":{";

fn checksum(line: &str) -> String {
    let results = line.rfind(SECONDS).map_or(line, |at| &line[..at]);
    sha256(results.as_bytes())[..16].to_string()
}

/// Adds a checksum to an object that is a line of JSON.
fn with_checksum(line: &str) -> String {
    format!("{}{CHECKSUM}{}\"}}", line.strip_suffix('}').unwrap_or(line), checksum(line))
}

/// Whether a line has its checksum; none where it was written before there were any: then the times are the last of it.
fn is_whole(line: &str) -> Option<bool> {
    let Some((before, after)) = line.rsplit_once(CHECKSUM) else {
        return if line.ends_with("}}") { None } else { Some(false) };
    };
    Some(after.strip_suffix("\"}").is_some_and(|sum| sum == checksum(before)))
}

fn read(path: &Path) -> Result<Journal> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(Error::io(path, "can't read the journal", e)),
    };
    // Up to the last end of a line.
    let whole = &bytes[..bytes.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1)];
    let mut journal = Journal { records: Vec::new(), ends: Vec::new(), note: None };
    if whole.len() < bytes.len() {
        journal.note = Some(format!(
            "{}: the last line is torn; its iteration is computed again",
            path.display()
        ));
    }
    let mut has_checksums = false;
    let mut start = 0;
    while start < whole.len() {
        let length = whole[start..].iter().position(|&b| b == b'\n').unwrap_or(0);
        let end = start + length + 1;
        let parsed = parse(&whole[start..end - 1], &mut has_checksums);
        let number = journal.records.len() + 1;
        let record = match parsed {
            Ok(record) => record,
            // Of the iteration before it the network is still there.
            Err(Wrong::Damaged) if end == whole.len() && journal.note.is_none() && number > 1 => {
                journal.note = Some(format!(
                    "{}: line {number} is damaged; its iteration is computed again",
                    path.display()
                ));
                break;
            }
            Err(Wrong::Damaged) => {
                return Err(Error::Input(format!(
                    "{}: line {number} is damaged, its checksum does not fit; put back a copy of the file, or start the run anew with --force",
                    path.display()
                )));
            }
            Err(Wrong::NoRecord(why)) => {
                return Err(Error::Input(format!(
                    "{}: line {number} is no line of a journal ({why}); put back a copy of the file, or start the run anew with --force",
                    path.display()
                )));
            }
        };
        if record.iteration != journal.records.len() {
            return Err(Error::Input(format!(
                "{}: line {number} is iteration {} where {} is due; the journal has been changed",
                path.display(),
                record.iteration,
                journal.records.len()
            )));
        }
        journal.records.push(record);
        journal.ends.push(end as u64);
        start = end;
    }
    Ok(journal)
}

enum Wrong {
    Damaged,
    NoRecord(String),
}

/// Reads a line. Once a line has had a checksum, all that follow need one.
fn parse(line: &[u8], has_checksums: &mut bool) -> std::result::Result<Record, Wrong> {
    let text = str::from_utf8(line).map_err(|_| Wrong::Damaged)?;
    match is_whole(text) {
        Some(true) => *has_checksums = true,
        None if !*has_checksums => {}
        _ => return Err(Wrong::Damaged),
    }
    serde_json::from_str(text).map_err(|e| Wrong::NoRecord(e.to_string()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::learning::protocol::{BestEpoch, Seconds};
    use std::time::Duration;

    pub(in crate::results::run_dir) fn record(iteration: usize) -> Record {
        Record {
            iteration,
            strategy: "entropy".into(),
            seed: 3,
            labelled: 20,
            labelled_foreground: 0.1,
            labelled_pixels: Some(20 * 16384),
            loss: f64::from(0.1_f32),
            initial: None,
            epochs: Some(100),
            best: Some(BestEpoch { epoch: 90, held_out_loss: f64::from(0.3_f32) }),
            jaccard: Some(0.25),
            class_jaccard: None,
            unseen_jaccard: None,
            changed_pixels: None,
            mean_entropy: None,
            picked: Vec::new(),
            seconds: Seconds { train: 0.1, score: 0.7, evaluate: 1e-3 },
        }
    }

    #[test]
    fn a_torn_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let dir = RunDir::open(folder.path(), false, false, Duration::ZERO).unwrap();
        dir.append(&record(0)).unwrap();
        let path = dir.file(FILE);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"iteration\":1,").unwrap();
        assert_eq!(dir.read_journal().unwrap().records, [record(0)]);
        dir.append(&record(1)).unwrap();
        assert_eq!(dir.read_journal().unwrap().records, [record(0), record(1)]);
    }

    #[test]
    fn every_flipped_bit_of_a_result_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let dir = RunDir::open(folder.path(), false, false, Duration::ZERO).unwrap();
        let all = [record(0), record(1), record(2)];
        all.iter().for_each(|record| drop(dir.append(record).unwrap()));
        let path = dir.file(FILE);
        let good = fs::read(&path).unwrap();
        for bit in 0..8 * good.len() {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, bytes).unwrap();
            let Ok(journal) = read(&path) else { continue };
            for (found, want) in journal.records.iter().zip(&all) {
                let found = Record { seconds: want.seconds, ..found.clone() };
                assert_eq!(&found, want, "bit {bit}");
            }
            assert!(journal.records.len() == 3 || journal.note.is_some(), "bit {bit}");
            // Nor is a flip in the name of the checksum, which would make it a line of before there were any.
            let bytes = fs::read(&path).unwrap();
            for line in bytes.split(|&b| b == b'\n').take(journal.records.len()) {
                assert_eq!(is_whole(str::from_utf8(line).unwrap()), Some(true), "bit {bit}");
            }
        }
    }

    #[test]
    fn lines_of_before_there_were_checksums_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let lines = [record(0), record(1)].map(|r| serde_json::to_string(&r).unwrap());
        fs::write(&path, format!("{}\n", lines.join("\n"))).unwrap();
        assert_eq!(RunDir::read_records(folder.path()).unwrap(), [record(0), record(1)]);
    }
}
