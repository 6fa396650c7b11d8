//! The arrays of a store as files that appear when they are complete.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use zarrs::array::codec::ZstdCodec;
use zarrs::array::{
    Array, ArrayBuilder, ArrayBytes, ArrayToBytesCodecTraits as _, DataType, FillValue, data_type,
};
use zarrs::filesystem::FilesystemStore;

use super::About;
use crate::error::{Error, Result};

/// The type of an array's numbers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Element {
    F32,
    F16,
    I32,
}

impl Element {
    fn data_type(self) -> DataType {
        match self {
            Self::F32 => data_type::float32(),
            Self::F16 => data_type::float16(),
            Self::I32 => data_type::int32(),
        }
    }

    /// What stands where nothing was computed: no number, or a place outside the volume.
    fn fill(self) -> FillValue {
        match self {
            Self::F32 => FillValue::from(f32::NAN),
            Self::F16 => FillValue::from(half::f16::NAN),
            Self::I32 => FillValue::from(-1_i32),
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::F32 | Self::I32 => 4,
            Self::F16 => 2,
        }
    }
}

/// An array `[patches]` or `[patches, columns]` in chunks of `rows`.
pub(super) struct ArrayFiles {
    folder: PathBuf,
    rows: usize,
    columns: Option<u64>,
    element: Element,
    array: Array<FilesystemStore>,
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
        let folder = store.join(name);
        let array = build(&folder, patches, rows, columns, element)?;
        Ok(Self { folder, rows: rows as usize, columns, element, array })
    }

    pub(super) fn write_metadata(&self) -> Result<()> {
        let text = serde_json::to_vec_pretty(self.array.metadata())
            .map_err(|e| Error::Input(format!("{}: {e}", self.folder.display())))?;
        place(&self.folder.join("zarr.json"), &text)
    }

    /// The file of a chunk.
    pub(super) fn file(&self, chunk: u64) -> PathBuf {
        let mut file = self.folder.join("c").join(chunk.to_string());
        if self.columns.is_some() {
            file.push("0");
        }
        file
    }

    fn indices(&self, chunk: u64) -> Vec<u64> {
        if self.columns.is_some() { vec![chunk, 0] } else { vec![chunk] }
    }

    fn row_bytes(&self) -> usize {
        self.columns.unwrap_or(1) as usize * self.element.bytes()
    }

    /// Writes a chunk; rows beyond the last patch are filled up.
    pub(super) fn write(&self, chunk: u64, bytes: &[u8]) -> Result<()> {
        let whole = self.rows * self.row_bytes();
        let fill = self.element.fill();
        let mut all = bytes.to_vec();
        while all.len() < whole {
            all.extend_from_slice(fill.as_ne_bytes());
        }
        let shape: Vec<_> = self
            .array
            .chunk_shape(&self.indices(chunk))
            .map_err(|e| self.wrong(chunk, e.to_string()))?
            .to_vec();
        let encoded = self
            .array
            .codecs()
            .encode(
                ArrayBytes::new_flen(all),
                &shape,
                self.array.data_type(),
                self.array.fill_value(),
                &Default::default(),
            )
            .map_err(|e| self.wrong(chunk, e.to_string()))?;
        place(&self.file(chunk), &encoded)
    }

    /// The bytes of a chunk's first `count` rows.
    pub(super) fn read(&self, chunk: u64, count: usize) -> Result<Vec<u8>> {
        let damaged = |what: String| {
            self.wrong(chunk, format!("{what}; delete the chunk's files and run askem score again"))
        };
        let bytes = self
            .array
            .retrieve_chunk_if_exists::<ArrayBytes<'static>>(&self.indices(chunk))
            .map_err(|e| damaged(format!("damaged: {e}")))?
            .ok_or_else(|| damaged("missing".into()))?;
        let mut bytes = bytes.into_fixed().map_err(|e| damaged(e.to_string()))?.into_owned();
        if bytes.len() < count * self.row_bytes() {
            return Err(damaged("too short".into()));
        }
        bytes.truncate(count * self.row_bytes());
        Ok(bytes)
    }

    fn wrong(&self, chunk: u64, what: String) -> Error {
        Error::Input(format!("{}: {what}", self.file(chunk).display()))
    }
}

fn build(
    folder: &Path,
    patches: u64,
    rows: u64,
    columns: Option<u64>,
    element: Element,
) -> Result<Array<FilesystemStore>> {
    let wrong = |e: String| Error::Input(format!("{}: {e}", folder.display()));
    let store = FilesystemStore::new(folder).map_err(|e| wrong(e.to_string()))?;
    let with_columns =
        |first: u64| [Some(first), columns].into_iter().flatten().collect::<Vec<u64>>();
    let names = ["patch", "column"].into_iter().take(1 + usize::from(columns.is_some()));
    ArrayBuilder::new(
        with_columns(patches),
        with_columns(rows),
        element.data_type(),
        element.fill(),
    )
    // Level 1: scores hardly compress. The checksum tells a damaged chunk.
    .bytes_to_bytes_codecs(vec![Arc::new(ZstdCodec::new(1, true))])
    .dimension_names(Some(names))
    .build(Arc::new(store), "/")
    .map_err(|e| wrong(e.to_string()))
}

/// Writes a file that has its name only when it is complete, whoever else writes the same.
fn place(path: &Path, bytes: &[u8]) -> Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, "making the folder", e))?;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Other machines may write to the same store: the process's number alone does not tell them apart.
    let host = std::env::var("HOSTNAME").unwrap_or_default();
    let partial = folder.join(format!(".{name}.{host}.{}.{number}.partial", std::process::id()));
    let written = std::fs::write(&partial, bytes).and_then(|()| std::fs::rename(&partial, path));
    written.map_err(|e| {
        let _ = std::fs::remove_file(&partial);
        Error::io(path, "writing it", e)
    })
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
