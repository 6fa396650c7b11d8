//! Zarr 3 arrays whose chunks are files that appear when they are complete and on the disk, written by any number of processes.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};
use zarrs::array::codec::ZstdCodec;
use zarrs::array::{
    Array, ArrayBuilder, ArrayBytes, ArrayToBytesCodecTraits as _, DataType, FillValue, data_type,
};
use zarrs::filesystem::FilesystemStore;

use crate::data::files::{make_folder, remove_leftovers, write_atomically};
use crate::error::{Error, Result};

/// The type of an array's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    U8,
    U16,
    U32,
    I32,
    F16,
    F32,
}

impl Element {
    fn data_type(self) -> DataType {
        match self {
            Self::U8 => data_type::uint8(),
            Self::U16 => data_type::uint16(),
            Self::U32 => data_type::uint32(),
            Self::I32 => data_type::int32(),
            Self::F16 => data_type::float16(),
            Self::F32 => data_type::float32(),
        }
    }

    /// What stands where nothing was computed: no number, a place outside every volume, black, or no
    /// object.
    fn fill(self) -> FillValue {
        match self {
            Self::U8 => FillValue::from(0_u8),
            Self::U16 => FillValue::from(0_u16),
            Self::U32 => FillValue::from(0_u32),
            Self::I32 => FillValue::from(-1_i32),
            Self::F16 => FillValue::from(half::f16::NAN),
            Self::F32 => FillValue::from(f32::NAN),
        }
    }

    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 | Self::F16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
        }
    }
}

/// An array in a folder.
pub(crate) struct ZarrFiles {
    folder: PathBuf,
    chunk: Vec<u64>,
    element: Element,
    array: Array<FilesystemStore>,
}

impl ZarrFiles {
    /// Describes an array; nothing is written.
    pub(crate) fn new(
        folder: &Path,
        shape: &[u64],
        chunk: &[u64],
        element: Element,
        names: &[&str],
        attributes: Map<String, Value>,
    ) -> Result<Self> {
        let wrong = |e: String| Error::Input(format!("{}: {e}", folder.display()));
        let store = FilesystemStore::new(folder).map_err(|e| wrong(e.to_string()))?;
        let mut builder =
            ArrayBuilder::new(shape.to_vec(), chunk.to_vec(), element.data_type(), element.fill());
        // Level 1: numbers hardly compress further. The checksum tells a damaged chunk.
        let array = builder
            .bytes_to_bytes_codecs(vec![Arc::new(ZstdCodec::new(1, true))])
            .dimension_names(Some(names.iter().copied()))
            .attributes(attributes)
            .build(Arc::new(store), "/")
            .map_err(|e| wrong(e.to_string()))?;
        Ok(Self { folder: folder.to_path_buf(), chunk: chunk.to_vec(), element, array })
    }

    fn metadata(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self.array.metadata())
            .map_err(|e| Error::Input(format!("{}: {e}", self.folder.display())))
    }

    /// Makes the array. Several processes may do so at once.
    pub(crate) fn write_metadata(&self) -> Result<()> {
        remove_leftovers(&self.folder, |name| name == "zarr.json");
        // The chunks of a list lie side by side, too many to look among them for each.
        if self.chunk.len() == 1 {
            remove_leftovers(&self.folder.join("c"), |name| name.parse::<u64>().is_ok());
        }
        place(&self.folder.join("zarr.json"), &self.metadata()?)
    }

    /// Whether the same array is there; none if there is no array.
    pub(crate) fn is_there(&self) -> Result<Option<bool>> {
        match std::fs::read(self.folder.join("zarr.json")) {
            Ok(bytes) => Ok(Some(bytes == self.metadata()?)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(&self.folder, "reading its zarr.json", e)),
        }
    }

    /// The file of a chunk.
    pub(crate) fn file(&self, indices: &[u64]) -> PathBuf {
        indices.iter().fold(self.folder.join("c"), |path, i| path.join(i.to_string()))
    }

    /// Numbers in a chunk.
    fn chunk_len(&self) -> usize {
        self.chunk.iter().product::<u64>() as usize
    }

    /// Writes a chunk from the numbers' bytes in the machine's order; what lacks at its end is filled up.
    pub(crate) fn write(&self, indices: &[u64], bytes: &[u8]) -> Result<()> {
        let whole = self.chunk_len() * self.element.bytes();
        let fill = self.element.fill();
        let mut all = Vec::with_capacity(whole);
        all.extend_from_slice(bytes);
        while all.len() < whole {
            all.extend_from_slice(fill.as_ne_bytes());
        }
        let wrong = |e: String| Error::Input(format!("{}: {e}", self.file(indices).display()));
        let shape = self.array.chunk_shape(indices).map_err(|e| wrong(e.to_string()))?;
        let (data_type, fill) = (self.array.data_type(), self.array.fill_value());
        let bytes = ArrayBytes::new_flen(all);
        let encoded =
            self.array.codecs().encode(bytes, &shape, data_type, fill, &Default::default());
        let file = self.file(indices);
        if let (true, Some(folder), Some(own)) =
            (self.chunk.len() > 1, file.parent(), file.file_name())
        {
            remove_leftovers(folder, |name| own == name);
        }
        place(&file, &encoded.map_err(|e| wrong(e.to_string()))?)
    }

    /// The bytes of a chunk, which must be there.
    pub(crate) fn read(&self, indices: &[u64]) -> std::result::Result<Vec<u8>, String> {
        let bytes = self
            .array
            .retrieve_chunk_if_exists::<ArrayBytes<'static>>(indices)
            .map_err(|e| format!("damaged: {e}"))?
            .ok_or("missing")?;
        let bytes = bytes.into_fixed().map_err(|e| e.to_string())?.into_owned();
        if bytes.len() != self.chunk_len() * self.element.bytes() {
            return Err(format!("damaged: {} bytes", bytes.len()));
        }
        Ok(bytes)
    }
}

/// Whether a file is there with something in it.
pub(crate) fn is_filled(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() > 0)
}

/// Removes the chunks and the description of an array; what else lies there stays.
pub(crate) fn remove_array(folder: &Path) -> Result<()> {
    let gone = |removed: std::io::Result<()>| match removed {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(folder, "removing the old array", e))
        }
        _ => Ok(()),
    };
    gone(std::fs::remove_file(folder.join("zarr.json")))?;
    gone(std::fs::remove_dir_all(folder.join("c")))?;
    // Only where nothing else is in it.
    let _ = std::fs::remove_dir(folder);
    Ok(())
}

/// Who writes to some arrays: any number of processes together, or one alone. Ends with the process, however that ends.
pub(crate) struct Owners {
    lock: File,
}

impl Owners {
    /// Opens the lock that lies in the folder of an array, where no reader of Zarr looks.
    pub(crate) fn of(folder: &Path) -> Result<Self> {
        make_folder(folder)?;
        let path = folder.join("lock");
        let lock = OpenOptions::new().create(true).append(true).open(&path);
        Ok(Self { lock: lock.map_err(|e| Error::io(&path, "opening the lock", e))? })
    }

    /// Waits for nobody: an error if others write there. Where the file system knows no locks, nobody can tell.
    pub(crate) fn be_alone(&self, what: &Path) -> Result<()> {
        match self.lock.try_lock() {
            Err(TryLockError::WouldBlock) => Err(Error::Input(format!(
                "{}: another askem process is writing there; wait until it has ended before --force, or choose another --out",
                what.display()
            ))),
            _ => Ok(()),
        }
    }

    /// Writes there together with others, after one that is alone.
    pub(crate) fn join(&self) {
        let _ = self.lock.unlock();
        let _ = self.lock.lock_shared();
    }
}

/// Writes a file of an array, and the folders that it lies in.
pub(crate) fn place(path: &Path, bytes: &[u8]) -> Result<()> {
    make_folder(path.parent().unwrap_or(Path::new(".")))?;
    write_atomically(path, bytes)
}
