//! Finding out what a path is, and opening it.

use super::folder::FolderVolume;
use super::pixels::Palette;
use super::tiff::TiffStack;
use super::{LabelOptions, LabelVolume, Volume, png};
use crate::{Error, Result};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A format that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Tiff,
    Png,
}

/// Opens a Zarr or OME-Zarr array (feature `zarr`), a multi-page TIFF, a folder of TIFF or PNG sections, or a single image, as a grey
/// volume.
///
/// Headers of all sections are read and compared; no pixels are. In a folder the order is that of the
/// number in the file names that differs from file to file; 9 comes before 10.
/// Images of 1, 2 and 4 bits are stretched to 0 to 255. RGB images must be grey, alpha is ignored.
///
/// Errors: [`Error::Input`] with the file's name where a file is missing, truncated, of another
/// size than the others, in colour, or of a format that isn't read; [`Error::Io`] where the
/// system refuses.
pub fn open_raw(path: &Path) -> Result<Box<dyn Volume>> {
    open(path, Palette::Refuse, "--raw")
}

/// Opens labels; accepts what [`open_raw`] accepts.
///
/// A palette of colours is read by its indices, if its first entry is black.
///
/// Errors: as [`open_raw`].
pub fn open_labels(path: &Path, options: LabelOptions) -> Result<LabelVolume> {
    Ok(LabelVolume::new(open(path, Palette::Index, "--labels")?, options))
}

fn open(path: &Path, palette: Palette, option: &str) -> Result<Box<dyn Volume>> {
    #[cfg(feature = "zarr")]
    if super::zarr::is_zarr(path) {
        return Ok(Box::new(super::zarr::ZarrVolume::open(path)?));
    }
    if let Some(name) = unsupported_by_name(path) {
        return Err(unsupported(path, name));
    }
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Input(format!(
                "{}: no such file or folder; check the path given with {option}",
                path.display()
            )));
        }
        Err(e) => return Err(Error::io(path, "opening it", e)),
    };
    if metadata.is_dir() {
        return Ok(Box::new(FolderVolume::open(path, palette)?));
    }
    match sniff(path)? {
        Format::Tiff => Ok(Box::new(TiffStack::open(path)?)),
        Format::Png => Ok(Box::new(FolderVolume::single(path, palette)?)),
    }
}

/// What a file is, by its first bytes: endings are wrong too often.
pub(super) fn sniff(path: &Path) -> Result<Format> {
    let mut start = Vec::with_capacity(512);
    File::open(path)
        .map_err(|e| Error::io(path, "opening it", e))?
        .take(512)
        .read_to_end(&mut start)
        .map_err(|e| Error::io(path, "reading it", e))?;
    let starts = |magics: &[&[u8]]| magics.iter().any(|magic| start.starts_with(magic));
    if starts(&[b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"]) {
        return Ok(Format::Tiff);
    }
    if starts(&[png::MAGIC]) {
        return Ok(Format::Png);
    }
    if start.is_empty() {
        return Err(Error::Input(format!(
            "{}: the file is empty; copy or export it again",
            path.display()
        )));
    }
    let name = if starts(&[b"\x89HDF"]) {
        "HDF5"
    } else if start.get(208..212) == Some(b"MAP ") {
        "MRC"
    } else if starts(&[b"\xff\xd8\xff"]) {
        "JPEG"
    } else if starts(&[b"BM"]) {
        "BMP"
    } else if starts(&[b"GIF8"]) {
        "GIF"
    } else if starts(&[b"\x93NUMPY"]) {
        "NumPy"
    } else if starts(&[b"NRRD"]) {
        "NRRD"
    } else if starts(&[b"\x1f\x8b", b"PK\x03\x04"]) {
        "compressed archives"
    } else {
        return Err(Error::Input(format!(
            "{}: neither a TIFF nor a PNG file by its first bytes; name a multi-page TIFF or a folder \
             of TIFF or PNG sections",
            path.display()
        )));
    };
    Err(unsupported(path, name))
}

/// Formats that are told by their names, since `file.h5:/path` and folders have no first bytes.
fn unsupported_by_name(path: &Path) -> Option<&'static str> {
    let text = path.to_string_lossy().to_lowercase();
    if path.is_dir() {
        let holds = |name: &str| path.join(name).exists();
        return if holds(".zarray") || holds(".zgroup") || holds("zarr.json") {
            Some("Zarr (in a build without the feature `zarr`)")
        } else if holds("attributes.json") {
            Some("N5")
        } else {
            None
        };
    }
    let inside = |ending: &str| text.ends_with(ending) || text.contains(&format!("{ending}:/"));
    if inside(".h5") || inside(".hdf5") || inside(".hdf") {
        Some("HDF5")
    } else if [".mrc", ".rec", ".st", ".map"].iter().any(|e| text.ends_with(e)) {
        Some("MRC")
    } else {
        None
    }
}

/// The refusal of a known format.
fn unsupported(path: &Path, name: &str) -> Error {
    Error::Input(format!(
        "{}: {name} is not supported yet; convert it to Zarr, a multi-page TIFF or a folder of TIFF or PNG \
         sections",
        path.display()
    ))
}
