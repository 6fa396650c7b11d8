//! The arrays of a store, and its description.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::About;
use crate::error::{Error, Result};
use crate::zarr_files::{Element, ZarrFiles, place};

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

pub(super) fn write_about(path: &Path, about: &About) -> Result<()> {
    let group = json!({
        "zarr_format": 3,
        "node_type": "group",
        "attributes": { "askem": about },
    });
    let text = serde_json::to_vec_pretty(&group)
        .map_err(|e| Error::Input(format!("{}: {e}", path.display())))?;
    place(&path.join("zarr.json"), &text)
}

/// Whether a folder has no files but those that a process which makes the store may have written already.
pub(super) fn is_empty(path: &Path) -> Result<bool> {
    let entries = std::fs::read_dir(path).map_err(|e| Error::io(path, "reading the folder", e))?;
    let ours = ["scores", "positions", "embeddings"];
    Ok(entries.flatten().all(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        ours.contains(&&*name) || name.ends_with(".partial")
    }))
}
