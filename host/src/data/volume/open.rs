//! Finding out what a path is, and opening it.

use super::folder::FolderVolume;
use super::mrc::{self, MrcVolume};
use super::pixels::Palette;
use super::tiff::TiffStack;
use super::{Dtype, LabelOptions, LabelVolume, Volume, png};
use crate::{Error, Result};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A format that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Tiff,
    Png,
    Mrc,
    Hdf5,
}

/// Opens a Zarr or OME-Zarr array (feature `zarr`), a dataset of an HDF5 file (`file.h5:/path`, feature `hdf5`), an MRC file, a
/// multi-page TIFF, a folder of TIFF or PNG sections, or a single image, as a grey volume.
///
/// Headers of all sections are read and compared; no pixels are. In a folder the order is that of the
/// number in the file names that differs from file to file; 9 comes before 10.
/// Images of 1, 2 and 4 bits are stretched to 0 to 255. RGB images must be grey, alpha is ignored.
///
/// Errors: [`Error::Input`] with the file's name where a file is missing, truncated, of another
/// size than the others, in colour, or of a format that isn't read; [`Error::Io`] where the
/// system refuses.
pub fn open_raw(path: &Path) -> Result<Box<dyn Volume>> {
    let volume = open(path, Palette::Refuse, "--raw")?;
    let name = match volume.dtype() {
        Dtype::U64 => "uint64",
        Dtype::I64 => "int64",
        _ => return Ok(volume),
    };
    Err(Error::Input(format!(
        "{}: its numbers are {name}; integers of 8, 16 and 32 bits and floats are read as images, of 64 bits only as labels",
        path.display()
    )))
}

/// Opens labels; accepts what [`open_raw`] accepts.
///
/// A palette of colours is read by its indices, if its first entry is black. Integers may have 64 bits.
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
    let (file, dataset) = split(path);
    let path = &*file;
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
        if let Some(name) = unsupported_folder(path) {
            return Err(unsupported(path, name));
        }
        return Ok(Box::new(FolderVolume::open(path, palette)?));
    }
    let format = sniff(path)?;
    if let (Some(dataset), false) = (dataset, format == Format::Hdf5) {
        return Err(Error::Input(format!(
            "{}: this is no HDF5 file, so it has no dataset {dataset}; give its name alone",
            path.display()
        )));
    }
    Ok(match format {
        Format::Tiff => Box::new(TiffStack::open(path)?),
        Format::Png => Box::new(FolderVolume::single(path, palette)?),
        Format::Mrc => Box::new(MrcVolume::open(path)?),
        #[cfg(feature = "hdf5")]
        Format::Hdf5 => Box::new(super::hdf5::Hdf5Volume::open(path, dataset)?),
        #[cfg(not(feature = "hdf5"))]
        Format::Hdf5 => {
            return Err(unsupported(path, "HDF5 (in a build without the feature `hdf5`)"));
        }
    })
}

/// A file, and what `file:/dataset` names in it.
fn split(path: &Path) -> (PathBuf, Option<&str>) {
    match path.to_str().and_then(|text| text.split_once(":/")) {
        // Drives of Windows have a colon too.
        Some((file, dataset)) if file.len() > 1 && !path.exists() => {
            (file.into(), Some(dataset).filter(|name| !name.is_empty()))
        }
        _ => (path.into(), None),
    }
}

/// Bytes by which a format shows.
const START: usize = 520;

/// What a file is, by its first bytes: endings are wrong too often.
pub(super) fn sniff(path: &Path) -> Result<Format> {
    let mut start = Vec::with_capacity(START);
    File::open(path)
        .map_err(|e| Error::io(path, "opening it", e))?
        .take(START as u64)
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
    // MATLAB puts text of 512 bytes before its files.
    if [0, 512].iter().any(|&at| start.get(at..at + 8) == Some(b"\x89HDF\r\n\x1a\n")) {
        return Ok(Format::Hdf5);
    }
    // Files of before the year 2000 are told by their names alone.
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if mrc::is_mrc(&start) || ["mrc", "rec", "st", "map", "mrcs"].contains(&ending) {
        return Ok(Format::Mrc);
    }
    let name = if starts(&[b"\xff\xd8\xff"]) {
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
            "{}: neither a TIFF, PNG, HDF5 nor MRC file by its first bytes; name a volume in one of these formats, a \
             Zarr array or a folder of TIFF or PNG sections",
            path.display()
        )));
    };
    Err(unsupported(path, name))
}

/// Folders of formats that aren't read.
fn unsupported_folder(path: &Path) -> Option<&'static str> {
    let holds = |name: &str| path.join(name).exists();
    if holds(".zarray") || holds(".zgroup") || holds("zarr.json") {
        Some("Zarr (in a build without the feature `zarr`)")
    } else if holds("attributes.json") {
        Some("N5")
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
