//! Writes volumes as people have them.

use std::fs::{self, File};
use std::io::{BufWriter, Cursor};
use std::path::{Path, PathBuf};

use png::{BitDepth, ColorType};
use tempfile::{TempDir, tempdir};
use tiff::encoder::{TiffEncoder, TiffValue, colortype};

use crate::results::{SHAPE, phantom};

/// Rows and columns of the tiny volumes.
pub(crate) const SIZE: [u32; 2] = [SHAPE[1] as u32, SHAPE[2] as u32];

/// Writes a PNG; `data` is packed as the format stores it.
pub(crate) fn write_png(
    path: &Path,
    [height, width]: [u32; 2],
    colour: ColorType,
    depth: BitDepth,
    data: &[u8],
) {
    let file = BufWriter::new(File::create(path).unwrap());
    let mut encoder = png::Encoder::new(file, width, height);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    encoder.write_header().unwrap().write_image_data(data).unwrap();
}

/// Writes a TIFF with one page per entry.
pub(crate) fn write_tiff<C: colortype::ColorType>(
    path: &Path,
    [height, width]: [u32; 2],
    pages: &[Vec<C::Inner>],
) where
    [C::Inner]: TiffValue,
{
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
    for page in pages {
        encoder.write_image::<C>(width, height, page).unwrap();
    }
    fs::write(path, bytes.into_inner()).unwrap();
}

/// Writes sections as a folder of 8-bit grey PNG files, `9.png`, `10.png` and so on.
pub(crate) fn write_folder(folder: &Path, size: [u32; 2], sections: &[Vec<u8>]) {
    fs::create_dir_all(folder).unwrap();
    for (z, section) in sections.iter().enumerate() {
        let path = folder.join(format!("{}.png", z + 9));
        write_png(&path, size, ColorType::Grayscale, BitDepth::Eight, section);
    }
}

/// Labels as masks: 0 and 255.
pub(crate) fn masks(labels: &[Vec<u8>]) -> Vec<Vec<u8>> {
    labels.iter().map(|section| section.iter().map(|&l| l * 255).collect()).collect()
}

/// The phantom of the tiny experiments as two folders of PNG files, in a folder that goes with it.
pub(crate) struct PhantomFolders {
    folder: TempDir,
    pub(crate) raw: PathBuf,
    pub(crate) labels: PathBuf,
}

impl PhantomFolders {
    pub(crate) fn new() -> Self {
        let folder = tempdir().unwrap();
        let (raw, labels) = phantom_folders(folder.path());
        Self { folder, raw, labels }
    }

    /// A path beside them.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Writes the phantom of the tiny experiments as two folders of PNG files: raw and labels.
pub(crate) fn phantom_folders(folder: &Path) -> (PathBuf, PathBuf) {
    let (raw, labels) = phantom();
    let paths = (folder.join("raw"), folder.join("labels"));
    write_folder(&paths.0, SIZE, &raw);
    write_folder(&paths.1, SIZE, &masks(&labels));
    paths
}
