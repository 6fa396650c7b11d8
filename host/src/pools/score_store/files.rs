//! The arrays of a store, and its description.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::About;
use crate::data::files::remove_leftovers;
use crate::data::zarr_files::{Element, ZarrFiles, place, remove_array};
use crate::error::{Error, Result};

/// An array `[patches]` or `[patches, columns]` in chunks of rows.
pub(super) struct ArrayFiles {
    columns: Option<u64>,
    element: Element,
    files: ZarrFiles,
}

impl ArrayFiles {
    pub(super) fn new(
        store: &Path,
        name: &str,
        patches: u64,
        rows: u64,
        columns: Option<u64>,
        element: Element,
    ) -> Result<Self> {
        let with_columns =
            |first: u64| [Some(first), columns].into_iter().flatten().collect::<Vec<u64>>();
        let names = &["patch", "column"][..1 + usize::from(columns.is_some())];
        let (shape, chunk) = (with_columns(patches), with_columns(rows));
        let files = ZarrFiles::new(&store.join(name), &shape, &chunk, element, names, Map::new())?;
        Ok(Self { columns, element, files })
    }

    pub(super) fn write_metadata(&self) -> Result<()> {
        self.files.write_metadata()
    }

    /// The file of a chunk.
    pub(super) fn file(&self, chunk: u64) -> PathBuf {
        self.files.file(&self.indices(chunk))
    }

    fn indices(&self, chunk: u64) -> Vec<u64> {
        if self.columns.is_some() { vec![chunk, 0] } else { vec![chunk] }
    }

    /// Writes a chunk; rows beyond the last patch are filled up.
    pub(super) fn write(&self, chunk: u64, bytes: &[u8]) -> Result<()> {
        self.files.write(&self.indices(chunk), bytes)
    }

    /// The bytes of a chunk's first `count` rows.
    pub(super) fn read(&self, chunk: u64, count: usize) -> Result<Vec<u8>> {
        let mut bytes = self.files.read(&self.indices(chunk)).map_err(|what| {
            Error::Input(format!(
                "{}: {what}; delete the chunk's files and run askem score again",
                self.file(chunk).display()
            ))
        })?;
        bytes.truncate(count * self.columns.unwrap_or(1) as usize * self.element.bytes());
        Ok(bytes)
    }
}

/// The store's description, if a folder has one.
pub(super) fn read_about(path: &Path) -> Result<Option<Value>> {
    let file = path.join("zarr.json");
    let text = match std::fs::read(&file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(&file, "reading it", e)),
    };
    let mut value: Value = serde_json::from_slice(&text)
        .map_err(|e| Error::Input(format!("{}: not JSON: {e}", file.display())))?;
    Ok(value.pointer_mut("/attributes/askem").map(Value::take))
}

/// Whether a description is that of a store of scores, and not of another thing that this program writes.
pub(super) fn is_store(about: &Value) -> bool {
    ["criterion", "patches", "rows"].iter().all(|key| about.get(key).is_some())
}

pub(super) fn write_about(path: &Path, about: &About) -> Result<()> {
    remove_leftovers(path, |name| name == "zarr.json");
    place(&path.join("zarr.json"), &description(path, about)?)
}

/// Whether a store is described as this one.
pub(super) fn is_described(path: &Path, about: &About) -> Result<bool> {
    let there = std::fs::read(path.join("zarr.json"));
    Ok(there.is_ok_and(|there| description(path, about).is_ok_and(|own| own == there)))
}

fn description(path: &Path, about: &About) -> Result<Vec<u8>> {
    let group = json!({
        "zarr_format": 3,
        "node_type": "group",
        "attributes": { "askem": about },
    });
    serde_json::to_vec_pretty(&group).map_err(|e| Error::Input(format!("{}: {e}", path.display())))
}

/// Removes what of a folder is a store's, its description first; not the lock. Says whether there was one.
pub(super) fn remove(path: &Path) -> Result<bool> {
    if !read_about(path)?.is_some_and(|about| is_store(&about)) {
        return Ok(false);
    }
    let file = path.join("zarr.json");
    std::fs::remove_file(&file).map_err(|e| Error::io(&file, "removing the old store", e))?;
    ARRAYS.iter().try_for_each(|name| remove_array(&path.join(name))).map(|()| true)
}

/// Whether a folder has no files but those that a process which makes the store may have written already: no chunks, which would be of
/// nobody knows what.
pub(super) fn is_empty(path: &Path) -> Result<bool> {
    let has_chunks = |name: &&str| {
        std::fs::read_dir(path.join(name).join("c")).is_ok_and(|mut chunks| chunks.next().is_some())
    };
    if ARRAYS.iter().any(has_chunks) {
        return Ok(false);
    }
    let entries = std::fs::read_dir(path).map_err(|e| Error::io(path, "reading the folder", e))?;
    Ok(entries.flatten().all(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        ARRAYS.contains(&&*name) || name.starts_with(".zarr.json.") && name.ends_with(".partial")
    }))
}

const ARRAYS: [&str; 3] = ["scores", "positions", "embeddings"];
