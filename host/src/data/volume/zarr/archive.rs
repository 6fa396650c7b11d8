//! ZIP archives that hold a Zarr hierarchy, read in place: chunk by chunk, without unpacking them.
//!
//! Source: the [ZIP file
//! format](https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT), whose directory is read by
//! the crate `zip`, and [zipped OME-Zarr](https://ngff.openmicroscopy.org/rfc/9/). Entries are
//! stored, or deflated on top of what Zarr does; others are refused.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Cursor, Error as IoError, Read, Result as IoResult, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::Crc;
use flate2::read::DeflateDecoder;
use zarrs::storage::byte_range::{ByteRange, ByteRangeIterator, InvalidByteRangeError};
use zarrs::storage::{MaybeBytesIterator, ReadableStorageTraits, StorageError, StoreKey};
use zip::{CompressionMethod, ZipArchive};

use super::node::MAX_METADATA;
use crate::data::volume::block_cache::BlockCache;
use crate::{Error, Result};

/// The largest entry that is inflated, in bytes. Chunks are far smaller.
const MAX_INFLATED: u64 = 1 << 30;
/// What arrays and groups are described in.
const METADATA: [&str; 4] = ["zarr.json", ".zarray", ".zgroup", ".zattrs"];
/// Deflate makes at most 1032 bytes of one.
const MAX_RATIO: u64 = 1032;
/// Bytes of inflated entries that are kept.
const KEPT: usize = 64 << 20;

/// An archive that stays open.
///
/// Memory: its directory, and 64 MiB of entries that were inflated, or one that is larger.
pub(super) struct Archive {
    path: PathBuf,
    length: u64,
    zip: Mutex<ZipArchive<BufReader<File>>>,
    /// The number of each file in the directory, by its name.
    files: BTreeMap<String, usize>,
    inflated: BlockCache,
}

/// Where a file of an archive lies.
#[derive(Clone, Copy, Debug)]
struct Entry {
    number: usize,
    start: u64,
    stored: u64,
    size: u64,
    checksum: u32,
    is_deflated: bool,
}

/// Bytes that can be read from any place.
pub(super) trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

impl Archive {
    /// Reads the directory of an archive.
    ///
    /// # Errors
    /// [`Error::Input`] where it is damaged, or has names that lead out of it;
    /// [`Error::Io`] where the system refuses.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let wrong = |what: String| Error::Input(format!("{}: {what}", path.display()));
        let file = File::open(path).map_err(|e| Error::io(path, "opening it", e))?;
        let length = file.metadata().map_err(|e| Error::io(path, "reading it", e))?.len();
        let zip = ZipArchive::new(BufReader::new(file)).map_err(|e| {
            wrong(format!("the directory of the ZIP archive can't be read ({e}); copy it again"))
        })?;
        // Of entries of one name the last counts: so zarr-python changes attributes.
        let mut files = BTreeMap::new();
        for (number, name) in zip.file_names().enumerate() {
            let name = name.map_err(|e| wrong(format!("a name in the archive is none ({e})")))?;
            if !is_inside(&name) {
                return Err(wrong(format!(
                    "an entry of the archive is called {name:?}, which leads out of it; pack it \
                    anew"
                )));
            }
            if !name.ends_with('/') {
                files.insert(name.into_owned(), number);
            }
        }
        let (path, inflated) = (path.to_path_buf(), BlockCache::new(KEPT));
        Ok(Self { path, length, zip: Mutex::new(zip), files, inflated })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// The names of files and folders in a folder, in order; its own ends in `/` unless it is the
    /// root.
    pub(super) fn names_in(&self, folder: &str) -> Vec<String> {
        let inside = self.files.range(folder.to_owned()..).map(|(name, _)| name.as_str());
        let inside = inside.map_while(|name| name.strip_prefix(folder));
        let mut names: Vec<String> =
            inside.filter_map(|rest| Some(rest.split('/').next()?.to_owned())).collect();
        names.dedup();
        names
    }

    /// The bytes of a file, to be read from any place; nothing where there is none.
    ///
    /// Errors: where it is damaged, larger than anything here, or packed otherwise.
    pub(super) fn reader(&self, name: &str) -> IoResult<Option<Box<dyn ReadSeek>>> {
        let Some(entry) = self.entry(name)? else { return Ok(None) };
        Ok(Some(match entry.is_deflated {
            true => Box::new(Cursor::new(Shared(self.inflate(entry)?))),
            false => {
                let file = File::open(&self.path)?;
                Box::new(Part { file, start: entry.start, length: entry.size, at: 0 })
            }
        }))
    }

    /// The size of a file; nothing where there is none.
    pub(super) fn size(&self, name: &str) -> IoResult<Option<u64>> {
        Ok(self.entry(name)?.map(|entry| entry.size))
    }

    fn entry(&self, name: &str) -> IoResult<Option<Entry>> {
        let Some(&number) = self.files.get(name) else { return Ok(None) };
        let wrong = |what: String| IoError::other(format!("{name} in the archive {what}"));
        let mut zip = self.zip.lock().unwrap_or_else(PoisonError::into_inner);
        let file = zip.by_index_raw(number).map_err(|e| wrong(format!("can't be found: {e}")))?;
        let (method, start) = (file.compression(), file.data_start());
        let is_deflated = method == CompressionMethod::DEFLATE;
        if file.encrypted() || !(is_deflated || method == CompressionMethod::Stored) {
            let how = if file.encrypted() { "encrypted".into() } else { method.to_string() };
            return Err(wrong(format!(
                "is packed in a way that isn't read ({how}); pack it anew, stored or deflated"
            )));
        }
        let (stored, size, checksum) = (file.compressed_size(), file.size(), file.crc32());
        let start = start.ok_or_else(|| wrong("has no place".into()))?;
        let most = match is_deflated {
            true => stored.saturating_mul(MAX_RATIO).saturating_add(64),
            false => stored,
        };
        let is_short = start.checked_add(stored).is_none_or(|end| end > self.length);
        if is_short || size > most || (!is_deflated && size != stored) {
            return Err(wrong(format!(
                "can't be right: {stored} bytes from byte {start} on, of {}, for {size} of it",
                self.length
            )));
        }
        Ok(Some(Entry { number, start, stored, size, checksum, is_deflated }))
    }

    /// The bytes of a deflated file.
    fn inflate(&self, entry: Entry) -> IoResult<Arc<Vec<u8>>> {
        if entry.size > MAX_INFLATED {
            return Err(IoError::other(format!(
                "{} bytes in the archive are deflated as one; pack it anew without compression",
                entry.size
            )));
        }
        let load = || -> IoResult<Vec<u8>> {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(entry.start))?;
            let mut bytes = Vec::new();
            let decoder = DeflateDecoder::new(BufReader::new(file.take(entry.stored)));
            decoder.take(entry.size + 1).read_to_end(&mut bytes)?;
            check(&bytes, entry)?;
            Ok(bytes)
        };
        let load = || load().map_err(|e| Error::Input(e.to_string()));
        self.inflated.get(entry.number as u64, load).map_err(|e| IoError::other(e.to_string()))
    }

    /// A part of a file.
    fn bytes(&self, entry: Entry, start: u64, end: u64) -> IoResult<Vec<u8>> {
        if entry.is_deflated {
            return Ok(self.inflate(entry)?[start as usize..end as usize].to_vec());
        }
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(entry.start + start))?;
        let mut bytes = Vec::new();
        file.take(end - start).read_to_end(&mut bytes)?;
        if end - start == entry.size {
            check(&bytes, entry)?;
        }
        Ok(bytes)
    }
}

/// Refuses bytes that are not those that were packed.
fn check(bytes: &[u8], entry: Entry) -> IoResult<()> {
    let mut checksum = Crc::new();
    checksum.update(bytes);
    match bytes.len() as u64 == entry.size && checksum.sum() == entry.checksum {
        true => Ok(()),
        false => Err(IoError::other("its bytes in the archive are not those that were packed")),
    }
}

/// Whether a name in an archive is that of something below its root.
fn is_inside(name: &str) -> bool {
    let parts = name.strip_suffix('/').unwrap_or(name).split('/');
    let is_good = |part: &str| !matches!(part, "" | "." | "..");
    !name.contains(['\\', '\0']) && parts.into_iter().all(is_good)
}

/// Bytes that others keep too.
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A part of a file, as a file.
struct Part {
    file: File,
    start: u64,
    length: u64,
    at: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        let left = self.length.saturating_sub(self.at);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        self.file.seek(SeekFrom::Start(self.start + self.at))?;
        let read = self.file.read(&mut buffer[..most])?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Part {
    fn seek(&mut self, to: SeekFrom) -> IoResult<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.filter(|&at| at <= self.length).ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// A folder of an archive as a store of Zarr.
pub(super) struct ArchiveStore {
    archive: Arc<Archive>,
    /// Ends in `/`, unless it is the archive's root.
    folder: String,
}

impl ArchiveStore {
    pub(super) fn new(archive: Arc<Archive>, folder: String) -> Self {
        Self { archive, folder }
    }

    fn entry(&self, key: &StoreKey) -> std::result::Result<Option<Entry>, StorageError> {
        let name = format!("{}{}", self.folder, key.as_str());
        let entry = self.archive.entry(&name).map_err(|e| StorageError::Other(e.to_string()))?;
        // Chunks are held against their array's metadata, and these are small.
        let is_metadata = METADATA.contains(&name.rsplit('/').next().unwrap_or_default());
        match entry.filter(|entry| is_metadata && entry.size > MAX_METADATA) {
            Some(entry) => Err(StorageError::Other(format!(
                "{name}: {} bytes are too many for metadata",
                entry.size
            ))),
            None => Ok(entry),
        }
    }
}

impl ReadableStorageTraits for ArchiveStore {
    fn get_partial_many<'a>(
        &'a self,
        key: &StoreKey,
        ranges: ByteRangeIterator<'a>,
    ) -> std::result::Result<MaybeBytesIterator<'a>, StorageError> {
        let Some(entry) = self.entry(key)? else { return Ok(None) };
        let read = move |range: ByteRange| {
            let (start, end) = ends(range, entry.size)
                .ok_or_else(|| InvalidByteRangeError::new(range, entry.size))?;
            let bytes = self.archive.bytes(entry, start, end);
            bytes.map(Into::into).map_err(|e| StorageError::Other(e.to_string()))
        };
        Ok(Some(Box::new(ranges.map(read))))
    }

    fn size_key(&self, key: &StoreKey) -> std::result::Result<Option<u64>, StorageError> {
        Ok(self.entry(key)?.map(|entry| entry.size))
    }

    fn supports_get_partial(&self) -> bool {
        true
    }
}

/// Where a range begins and ends; nothing where it reaches beyond `size`.
fn ends(range: ByteRange, size: u64) -> Option<(u64, u64)> {
    let (start, end) = match range {
        ByteRange::FromStart(start, None) => (start, size),
        ByteRange::FromStart(start, Some(length)) => (start, start.checked_add(length)?),
        ByteRange::Suffix(length) => (size.checked_sub(length)?, size),
    };
    (start <= end && end <= size).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        for name in ["zarr.json", "0/c/1/2", "a folder/", "..."] {
            assert!(is_inside(name), "{name}");
        }
        for name in ["../a", "a/../b", "/etc/passwd", "a//b", "c:\\a", "./a", "", "/"] {
            assert!(!is_inside(name), "{name}");
        }
    }

    #[test]
    fn ranges_end_where_the_file_does() {
        assert_eq!(ends(ByteRange::FromStart(2, None), 5), Some((2, 5)));
        assert_eq!(ends(ByteRange::FromStart(2, Some(3)), 5), Some((2, 5)));
        assert_eq!(ends(ByteRange::Suffix(4), 5), Some((1, 5)));
        assert_eq!(ends(ByteRange::Suffix(6), 5), None);
        assert_eq!(ends(ByteRange::FromStart(2, Some(4)), 5), None);
        assert_eq!(ends(ByteRange::FromStart(6, None), 5), None);
        assert_eq!(ends(ByteRange::FromStart(1, Some(u64::MAX)), 5), None);
    }
}
