//! Finding out what a path is, and opening it.

use super::axes::{Arrangement, AxesOptions, Axis, arrange};
use super::folder::FolderVolume;
use super::mrc::{self, MrcVolume};
use super::pixels::Palette;
use super::tiff::{OmeSet, TiffStack};
use super::{Dtype, LabelOptions, LabelVolume, Volume, png};
use crate::{Error, Result};
use std::borrow::Cow;
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
    /// OME-XML, which describes TIFF files.
    Ome,
}

/// How a file is opened.
pub(super) struct Opening<'a> {
    pub(super) axes: &'a AxesOptions,
    pub(super) palette: Palette,
    /// Whether letters and choices of axes that the file lacks are those of other files.
    pub(super) lenient: bool,
}

impl Opening<'_> {
    /// Whether labels are wanted.
    pub(super) fn is_labels(&self) -> bool {
        self.palette == Palette::Index
    }

    /// Which of a file's axes are sections, rows and columns; `said` is what the file says.
    ///
    /// Errors: what can't be decided, without the file's name.
    pub(super) fn arrange(
        &self,
        shape: &[u64],
        said: Option<&[Axis]>,
    ) -> std::result::Result<Arrangement, String> {
        arrange(shape, said, self.axes, self.lenient)
    }
}

/// Opens a Zarr, OME-Zarr or N5 array (feature `zarr`), a Zarr hierarchy in a ZIP archive, a dataset of an HDF5 file (`file.h5:/path`,
/// feature `hdf5`), an MRC file, a multi-page TIFF, a set of OME-TIFF files, a folder of TIFF or PNG sections, or a single
/// image, as a grey volume.
///
/// Headers of all sections are read and compared; no pixels are. In a folder the order is that of
/// the number in the file names that differs from file to file; 9 comes before 10. Images of 1, 2
/// and 4 bits are stretched to 0 to 255. RGB images must be grey, alpha is ignored. Axes are
/// followed by the names that the file gives them.
///
/// Errors: [`Error::Input`] with the file's name where a file is missing, truncated, of another
/// size than the others, in colour, of a format that isn't read, or where its axes can't be told;
/// [`Error::Io`] where the
/// system refuses.
pub fn open_raw(path: &Path) -> Result<Box<dyn Volume>> {
    open_raw_as(path, &AxesOptions::default())
}

/// [`open_raw`] of a file whose axes, channel or time point the caller knows.
///
/// Errors: as [`open_raw`].
pub fn open_raw_as(path: &Path, axes: &AxesOptions) -> Result<Box<dyn Volume>> {
    let volume = open(path, &Opening { axes, palette: Palette::Refuse, lenient: false }, "--raw")?;
    let name = match volume.dtype() {
        Dtype::U64 => "uint64",
        Dtype::I64 => "int64",
        _ => return Ok(volume),
    };
    Err(Error::Input(format!(
        "{}: its numbers are {name}; integers of 8, 16 and 32 bits and floats are read as \
        images, of 64 bits only as labels",
        path.display()
    )))
}

/// Opens labels; accepts what [`open_raw`] accepts.
///
/// A palette of colours is read by its indices, of a PNG if its first entry is black. Integers may
/// have 64 bits.
///
/// Errors: as [`open_raw`].
pub fn open_labels(path: &Path, options: LabelOptions) -> Result<LabelVolume> {
    open_labels_as(path, options, &AxesOptions::default())
}

/// [`open_labels`] of a file whose axes, channel or time point the caller knows. The letters C and
/// T, a channel and a time point that it does not have are those of its images, and no error.
///
/// Errors: as [`open_raw`].
pub fn open_labels_as(
    path: &Path,
    options: LabelOptions,
    axes: &AxesOptions,
) -> Result<LabelVolume> {
    let opening = Opening { axes, palette: Palette::Index, lenient: true };
    Ok(LabelVolume::new(open(path, &opening, "--labels")?, options))
}

/// Opens labels or probabilities with their own values; accepts what [`open_labels`] accepts.
///
/// Errors: as [`open_raw`].
pub fn open_segmentation(path: &Path, axes: &AxesOptions) -> Result<Box<dyn Volume>> {
    let opening = Opening { axes, palette: Palette::Index, lenient: false };
    open(path, &opening, "--prediction")
}

fn open(path: &Path, opening: &Opening, option: &str) -> Result<Box<dyn Volume>> {
    let path = &*local_path(path)?;
    #[cfg(feature = "zarr")]
    if super::zarr::is_zarr(path) || super::zarr::is_n5(path) {
        return Ok(Box::new(super::zarr::ZarrVolume::open(path, opening)?));
    }
    #[cfg(feature = "zarr")]
    if let Some((archive, rest)) = super::zarr::archive_of(path) {
        return Ok(Box::new(super::zarr::ZarrVolume::open_archive(archive, rest, opening)?));
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
        return FolderVolume::open(path, opening.palette)?.arranged(path, opening);
    }
    let format = sniff(path)?;
    if let (Some(dataset), false) = (dataset, format == Format::Hdf5) {
        return Err(Error::Input(format!(
            "{}: this is no HDF5 file, so it has no dataset {dataset}; give its name alone",
            path.display()
        )));
    }
    Ok(match format {
        Format::Tiff => TiffStack::open(path, opening)?,
        Format::Png => FolderVolume::single(path, opening.palette)?.arranged(path, opening)?,
        Format::Ome => OmeSet::open_companion(path, opening)?,
        Format::Mrc => Box::new(MrcVolume::open(path, opening)?),
        #[cfg(feature = "hdf5")]
        Format::Hdf5 => Box::new(super::hdf5::Hdf5Volume::open(path, dataset, opening)?),
        #[cfg(not(feature = "hdf5"))]
        Format::Hdf5 => {
            return Err(unsupported(path, "HDF5 (in a build without the feature `hdf5`)"));
        }
    })
}

/// The path that a `file://` address means, and any other path as it is.
///
/// Errors: [`Error::Input`] for addresses of other machines, with what to do.
pub fn local_path(path: &Path) -> Result<Cow<'_, Path>> {
    let Some((scheme, rest)) = path.to_str().and_then(|text| text.split_once("://")) else {
        return Ok(path.into());
    };
    match scheme {
        // What follows `file://` up to the next `/` is a machine.
        "file" => Ok(PathBuf::from(rest.strip_prefix("localhost").unwrap_or(rest)).into()),
        "http" | "https" | "s3" | "gs" | "ftp" => Err(Error::Input(format!(
            "{}: files of other machines are not read; copy it to a local disk first (with wget, \
            rclone or aws s3 sync), or mount it",
            path.display()
        ))),
        _ => Ok(path.into()),
    }
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

/// How MRC files are called, in any case.
const MRC_ENDINGS: [&str; 8] = ["mrc", "rec", "st", "map", "mrcs", "ali", "preali", "ccp4"];

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
    if is_ome_xml(path, &start) {
        return Ok(Format::Ome);
    }
    // Files of before the year 2000 are told by their names alone.
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if mrc::is_mrc(&start) || MRC_ENDINGS.contains(&&*ending) {
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
            "{}: neither a TIFF, PNG, HDF5 nor MRC file by its first bytes; name a volume in one \
            of these formats, a \
             Zarr array or a folder of TIFF or PNG sections",
            path.display()
        )));
    };
    Err(unsupported(path, name))
}

/// Whether a file is OME-XML, by how it begins, and, as it may begin with words about itself, by its
/// name.
fn is_ome_xml(path: &Path, start: &[u8]) -> bool {
    let start = String::from_utf8_lossy(start);
    let start = start.trim_start_matches(['\u{feff}', ' ', '\n', '\r', '\t']);
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    start.starts_with('<')
        && (start.contains("<OME") || name.ends_with(".ome") || name.ends_with(".ome.xml"))
}

/// Folders of formats that aren't read.
fn unsupported_folder(path: &Path) -> Option<&'static str> {
    let holds = |name: &str| path.join(name).exists();
    if holds(".zarray") || holds(".zgroup") || holds("zarr.json") {
        Some("Zarr (in a build without the feature `zarr`)")
    } else if holds("attributes.json") {
        Some("N5 (in a build without the feature `zarr`)")
    } else {
        None
    }
}

/// The refusal of a known format.
fn unsupported(path: &Path, name: &str) -> Error {
    Error::Input(format!(
        "{}: {name} is not supported yet; convert it to Zarr, a multi-page TIFF or a folder of \
        TIFF or PNG \
         sections",
        path.display()
    ))
}
