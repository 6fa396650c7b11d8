//! Writing multi-page TIFF: labels as 0 and 255, probabilities as 32-bit float, numbers of objects.
//!
//! A file appears under its name only when it is complete and on the disk: until then it has a
//! temporary name beside it, which is removed if the writing fails. Its pages say who wrote them.

use super::calibration::{STACKED, describe_stack};
use super::show_shape;
use crate::data::files::{Partial, remove_leftovers};
use crate::{Error, Result};
use ::tiff::decoder::Decoder;
use ::tiff::encoder::colortype::{ColorType, Gray8, Gray16, Gray32, Gray32Float};
use ::tiff::encoder::{TiffEncoder, TiffKind, TiffKindBig, TiffKindStandard, TiffValue};
use ::tiff::tags::Tag;
use ::tiff::{TiffError, TiffResult};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Standard TIFF counts bytes in 32 bits. Beyond this, with room for the directories, BigTIFF is
/// written.
const STANDARD_LIMIT: u64 = 4_000_000_000;

enum Encoder {
    Standard(TiffEncoder<Shared, TiffKindStandard>),
    Big(TiffEncoder<Shared, TiffKindBig>),
}

/// A file that stays in reach while an encoder, which never gives it back, writes to it: closing
/// it has to report a full disk.
#[derive(Clone)]
struct Shared(Arc<Mutex<BufWriter<File>>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BufWriter<File>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lock().flush()
    }
}

impl Seek for Shared {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.lock().seek(to)
    }
}

/// Writes a multi-page TIFF, one section after the other.
///
/// [`TiffStackWriter::finish`] gives the file its name. Without it nothing is left behind.
pub struct TiffStackWriter {
    path: PathBuf,
    /// Gone when the file has its name.
    partial: Option<Partial>,
    shape: [usize; 3],
    written: usize,
    voxel_nm: Option<[f64; 3]>,
    file: Shared,
    /// Gone after a failure.
    encoder: Option<Encoder>,
}

impl TiffStackWriter {
    /// Starts a file of `shape` (sections, rows, columns).
    ///
    /// Errors: [`Error::Io`] where the folder can't be written to, [`Error::Input`] where a side is 0
    /// or rows or columns don't fit the format.
    pub fn create(path: &Path, shape: [usize; 3]) -> Result<Self> {
        if shape.contains(&0) || shape[1..].iter().any(|&side| u32::try_from(side).is_err()) {
            return Err(Error::Input(format!(
                "{}: a TIFF of {} (sections x rows x columns) can't be written",
                path.display(),
                show_shape(shape)
            )));
        }
        if let Some(own) = path.file_name() {
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
            remove_leftovers(folder.unwrap_or(Path::new(".")), |name| own == name);
        }
        let (partial, file) =
            Partial::create(path).map_err(|e| Error::io(path, "creating it", e))?;
        let file = Shared(Arc::new(Mutex::new(BufWriter::new(file))));
        let mut writer = Self {
            path: path.to_path_buf(),
            partial: Some(partial),
            shape,
            written: 0,
            voxel_nm: None,
            file: file.clone(),
            encoder: None,
        };
        // Four bytes per pixel, the most that is written here.
        let bytes = shape.iter().map(|&side| side as u64).product::<u64>().saturating_mul(4);
        let encoder = if bytes < STANDARD_LIMIT {
            TiffEncoder::new(file).map(Encoder::Standard)
        } else {
            TiffEncoder::new_big(file).map(Encoder::Big)
        };
        writer.encoder = Some(encoder.map_err(|e| failed(path, e))?);
        Ok(writer)
    }

    /// Says how large voxels are along z, y and x, in nanometres.
    #[must_use]
    pub fn with_voxel_nm(mut self, voxel_nm: Option<[f64; 3]>) -> Self {
        self.voxel_nm = voxel_nm;
        self
    }

    /// Adds a section of labels, losslessly compressed: 0 stays 0, everything else becomes 255.
    pub fn push_labels(&mut self, labels: &[u8]) -> Result<()> {
        let values: Vec<u8> = labels.iter().map(|&l| if l == 0 { 0 } else { 255 }).collect();
        self.push::<Gray8>(&values)
    }

    /// Adds a section of classes, losslessly compressed, as they are.
    pub fn push_classes(&mut self, classes: &[u8]) -> Result<()> {
        self.push::<Gray8>(classes)
    }

    /// Adds a section of probabilities, losslessly compressed.
    pub fn push_probabilities(&mut self, probabilities: &[f32]) -> Result<()> {
        self.push::<Gray32Float>(probabilities)
    }

    /// Adds a section of numbers of objects, losslessly compressed.
    pub fn push_u16(&mut self, numbers: &[u16]) -> Result<()> {
        self.push::<Gray16>(numbers)
    }

    /// Adds a section of larger numbers of objects, losslessly compressed.
    pub fn push_u32(&mut self, numbers: &[u32]) -> Result<()> {
        self.push::<Gray32>(numbers)
    }

    fn push<C: ColorType>(&mut self, values: &[C::Inner]) -> Result<()>
    where
        [C::Inner]: TiffValue,
    {
        let [depth, height, width] = self.shape;
        if values.len() != height * width || self.written == depth {
            return Err(Error::Input(format!(
                "{}: section {} of {} values doesn't belong to a volume of {}",
                self.path.display(),
                self.written,
                values.len(),
                show_shape(self.shape)
            )));
        }
        let size = [width as u32, height as u32];
        let stack = (self.written == 0).then_some((depth, self.voxel_nm));
        let encoder = self.encoder.take().ok_or_else(|| {
            Error::Input(format!("{}: writing failed before", self.path.display()))
        })?;
        // The encoder takes its compression by value.
        let compression = STACKED;
        let result = match encoder {
            Encoder::Standard(encoder) => {
                let mut encoder = encoder.with_compression(compression);
                write_page::<_, C, _>(&mut encoder, size, stack, values)
                    .map(|()| Encoder::Standard(encoder))
            }
            Encoder::Big(encoder) => {
                let mut encoder = encoder.with_compression(compression);
                write_page::<_, C, _>(&mut encoder, size, stack, values)
                    .map(|()| Encoder::Big(encoder))
            }
        };
        self.encoder = Some(result.map_err(|e| failed(&self.path, e))?);
        self.written += 1;
        Ok(())
    }

    /// Closes the file and gives it its name, over a file of that name.
    ///
    /// Errors: [`Error::Input`] where sections are missing, [`Error::Io`] where the system refuses.
    pub fn finish(mut self) -> Result<()> {
        if self.written != self.shape[0] {
            return Err(Error::Input(format!(
                "{}: {} of {} sections were written; the file is not kept",
                self.path.display(),
                self.written,
                self.shape[0]
            )));
        }
        let Some(partial) = self.partial.take() else { return Ok(()) };
        let mut file = self.file.lock();
        let placed = file.flush().and_then(|()| partial.place(file.get_ref()));
        placed.map_err(|e| Error::io(&self.path, "writing it", e))
    }
}

/// Writes a page, and in it who wrote it; in the first one also how many there are, and how large voxels are.
fn write_page<K: TiffKind, C: ColorType, W: Write + Seek>(
    encoder: &mut TiffEncoder<W, K>,
    [width, height]: [u32; 2],
    stack: Option<(usize, Option<[f64; 3]>)>,
    values: &[C::Inner],
) -> TiffResult<()>
where
    [C::Inner]: TiffValue,
{
    let mut page = encoder.new_image::<C>(width, height)?;
    page.encoder().write_tag(Tag::Software, SOFTWARE)?;
    if let Some((pages, voxel_nm)) = stack {
        describe_stack(page.encoder(), pages, voxel_nm)?;
    }
    page.write_data(values)
}

/// What the tag `Software` says in files of this program.
const SOFTWARE: &str = concat!("askem ", env!("CARGO_PKG_VERSION"));

/// Whether a file is a TIFF that this program wrote, by its tag `Software`.
pub fn is_our_tiff(path: &Path) -> bool {
    let software = File::open(path).ok().and_then(|file| {
        let mut decoder = Decoder::new(BufReader::new(file)).ok()?;
        decoder.get_tag_ascii_string(Tag::Software).ok()
    });
    software.is_some_and(|software| software.starts_with("askem "))
}

/// Writes labels of `shape` as a multi-page TIFF; `section(z)` gives each section in turn.
///
/// Errors: as [`TiffStackWriter`], and those of `section`.
pub fn write_tiff_labels(
    path: &Path,
    shape: [usize; 3],
    mut section: impl FnMut(usize) -> Result<Vec<u8>>,
) -> Result<()> {
    let mut writer = TiffStackWriter::create(path, shape)?;
    for z in 0..shape[0] {
        writer.push_labels(&section(z)?)?;
    }
    writer.finish()
}

/// Writes probabilities of `shape` as a multi-page TIFF; `section(z)` gives each section in turn.
///
/// Errors: as [`TiffStackWriter`], and those of `section`.
pub fn write_tiff_probabilities(
    path: &Path,
    shape: [usize; 3],
    mut section: impl FnMut(usize) -> Result<Vec<f32>>,
) -> Result<()> {
    let mut writer = TiffStackWriter::create(path, shape)?;
    for z in 0..shape[0] {
        writer.push_probabilities(&section(z)?)?;
    }
    writer.finish()
}

fn failed(path: &Path, error: TiffError) -> Error {
    match error {
        TiffError::IoError(e) => Error::io(path, "writing it", e),
        other => Error::Input(format!("{}: writing it failed ({other})", path.display())),
    }
}
