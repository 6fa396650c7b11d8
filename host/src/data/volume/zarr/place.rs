//! Where a hierarchy lies: in a folder, or in a folder of an archive.

use std::fs::File;
use std::io::{ErrorKind, Read, Result as IoResult};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use zarrs::filesystem::FilesystemStore;
use zarrs::storage::{ReadableStorage, StorageError};

use super::archive::{Archive, ArchiveStore, ReadSeek};
use crate::{Error, Result};

/// How ZIP files begin, with and without entries.
const ZIP: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// A file or folder.
#[derive(Clone)]
pub(super) struct Place {
    /// What messages call it; of folders that is where they are.
    path: PathBuf,
    inside: Option<(Arc<Archive>, Vec<String>)>,
}

impl Place {
    pub(super) fn folder(path: &Path) -> Self {
        Self { path: path.to_path_buf(), inside: None }
    }

    /// The hierarchy in an archive, or what a path beyond the archive names of it.
    ///
    /// Errors: those of opening it; an archive that holds none.
    pub(super) fn in_archive(archive: &Path, rest: &Path) -> Result<Self> {
        let archive = Arc::new(Archive::open(archive)?);
        let path = archive.path().to_path_buf();
        let root = Self { path, inside: Some((Arc::clone(&archive), Vec::new())) };
        // Some pack what is in the folder, and some the folder.
        let folders = root.names()?;
        let folders: Vec<&String> = folders.iter().filter(|name| *name != "__MACOSX").collect();
        let only = match folders[..] {
            [only] => Some(root.join(only)),
            _ => None,
        };
        let all = [Some(root), only].into_iter().flatten();
        let named = |place: Self| match rest.to_str() {
            Some("") => Some(place),
            rest => Some(place.join(rest?)),
        };
        let found = all.filter_map(named).find(|place| place.is_group_or_array());
        found.ok_or_else(|| {
            let what = if rest.as_os_str().is_empty() { "" } else { " of that name" };
            Error::Input(format!(
                "{}: the ZIP archive holds no Zarr array or group{what} (zarr.json, .zarray or \
                .zgroup); unpack it, and name what is in it",
                archive.path().join(rest).display()
            ))
        })
    }

    pub(super) fn is_group_or_array(&self) -> bool {
        ["zarr.json", ".zarray", ".zgroup"].iter().any(|name| self.join(name).is_file())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What lies at a relative path from here.
    pub(super) fn join(&self, name: &str) -> Self {
        let inside = self.inside.as_ref().map(|(archive, parts)| {
            let more = Path::new(name).components().filter_map(|part| match part {
                Component::Normal(part) => Some(part.to_string_lossy().into_owned()),
                _ => None,
            });
            (Arc::clone(archive), parts.iter().cloned().chain(more).collect())
        });
        Self { path: self.path.join(name), inside }
    }

    /// The folders above it, the nearest first, as far as they belong to the same archive.
    pub(super) fn above(&self) -> Vec<Self> {
        let paths = self.path.ancestors().skip(1);
        match &self.inside {
            None => paths.map(Self::folder).collect(),
            Some((archive, parts)) => paths
                .zip((0..parts.len()).rev())
                .map(|(path, left)| {
                    let inside = Some((Arc::clone(archive), parts[..left].to_vec()));
                    Self { path: path.to_path_buf(), inside }
                })
                .collect(),
        }
    }

    pub(super) fn is_file(&self) -> bool {
        match &self.inside {
            None => self.path.is_file(),
            Some((archive, parts)) => archive.has(&parts.join("/")),
        }
    }

    /// What lies in a folder, in the order of the names.
    pub(super) fn children(&self) -> Result<Vec<Self>> {
        Ok(self.names()?.iter().map(|name| self.join(name)).collect())
    }

    fn names(&self) -> Result<Vec<String>> {
        if let Some((archive, parts)) = &self.inside {
            return Ok(archive.names_in(&folder(parts)));
        }
        let folders = std::fs::read_dir(&self.path)
            .map_err(|e| Error::io(&self.path, "reading the folder", e))?;
        // A name that is no text can't be named either.
        let mut names: Vec<String> =
            folders.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        Ok(names)
    }

    /// The bytes of a file, to be read from any place; nothing where there is none.
    pub(super) fn open(&self) -> IoResult<Option<Box<dyn ReadSeek>>> {
        match &self.inside {
            Some((archive, parts)) => archive.reader(&parts.join("/")),
            None => match File::open(&self.path) {
                Ok(file) => Ok(Some(Box::new(file))),
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
                Err(e) => Err(e),
            },
        }
    }

    /// All bytes of a small file, if it is there.
    ///
    /// Errors: [`Error::Input`] where it has more than `most`; those of reading it.
    pub(super) fn read(&self, most: u64) -> Result<Option<Vec<u8>>> {
        if !self.is_file() {
            return Ok(None);
        }
        let failed = |e| Error::io(&self.path, "reading it", e);
        if let Some(size) = self.size().map_err(failed)?.filter(|&size| size > most) {
            let show = self.path.display();
            return Err(Error::Input(format!("{show}: {size} bytes are too many for metadata")));
        }
        let Some(file) = self.open().map_err(failed)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes).map_err(failed)?;
        Ok(Some(bytes))
    }

    /// The size of a file, if it is there.
    pub(super) fn size(&self) -> IoResult<Option<u64>> {
        match &self.inside {
            Some((archive, parts)) => archive.size(&parts.join("/")),
            None => match std::fs::metadata(&self.path) {
                Ok(metadata) => Ok(Some(metadata.len())),
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
                Err(e) => Err(e),
            },
        }
    }

    /// Whether it lies in an archive.
    pub(super) fn is_packed(&self) -> bool {
        self.inside.is_some()
    }

    /// A folder as a store of Zarr.
    pub(super) fn store(&self) -> std::result::Result<ReadableStorage, StorageError> {
        Ok(match &self.inside {
            Some((archive, parts)) => {
                Arc::new(ArchiveStore::new(Arc::clone(archive), folder(parts)))
            }
            None => Arc::new(
                FilesystemStore::new(&self.path).map_err(|e| StorageError::Other(e.to_string()))?,
            ),
        })
    }
}

/// The name of a folder in an archive, as its files' names begin.
fn folder(parts: &[String]) -> String {
    parts.iter().map(|part| format!("{part}/")).collect()
}

/// The ZIP archive that a path names, and what of the path names something in it.
pub(in super::super) fn archive_of(path: &Path) -> Option<(&Path, &Path)> {
    let archive = path.ancestors().find(|above| above.is_file())?;
    let mut start = Vec::new();
    File::open(archive).ok()?.take(4).read_to_end(&mut start).ok()?;
    let rest = path.strip_prefix(archive).ok()?;
    ZIP.contains(&&start[..]).then_some((archive, rest))
}
