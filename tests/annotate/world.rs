//! A small volume with known labels, and projects of it.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use askem::data::phantom::Phantom;
use serde_json::Value;
use tempfile::TempDir;
use tiff::encoder::{TiffEncoder, colortype::Gray8};

use crate::program::{Call, askem};

/// Sections, rows and columns.
pub(crate) const SHAPE: [usize; 3] = [4, 160, 176];
/// Side of a patch.
pub(crate) const PATCH: usize = 32;

/// A volume in a folder of its own.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    /// Labels of the volume: 0 or 1.
    labels: Vec<Vec<u8>>,
    /// Columns.
    width: usize,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of(SHAPE)
    }

    /// A phantom of so many sections, rows and columns.
    pub(crate) fn of(shape: [usize; 3]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pair = Phantom::pair(shape, 10).unwrap();
        let raw: Vec<Vec<u8>> = (0..shape[0])
            .map(|z| pair.raw.read_section(z).unwrap().pixels.iter().map(|&v| v as u8).collect())
            .collect();
        let labels = (0..shape[0]).map(|z| pair.labels.read_labels(z).unwrap()).collect();
        write_tiff(&folder.path().join("raw.tif"), [shape[1], shape[2]], &raw);
        Self { folder, labels, width: shape[2] }
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What is true in a patch.
    pub(crate) fn truth(&self, at: [usize; 3]) -> Vec<u8> {
        self.truth_of(at, PATCH)
    }

    /// What is true in a square of so many pixels.
    pub(crate) fn truth_of(&self, [z, y, x]: [usize; 3], side: usize) -> Vec<u8> {
        let rows = (y..y + side).flat_map(|y| &self.labels[z][y * self.width + x..][..side]);
        rows.copied().collect()
    }

    /// Labels of the whole volume.
    pub(crate) fn sections(&self) -> &[Vec<u8>] {
        &self.labels
    }

    /// Starts a project with settings that take seconds.
    pub(crate) fn init(&self, name: &str) -> PathBuf {
        let dir = self.at(name);
        small(askem(["init"]).args([&dir]).path("--raw", &self.at("raw.tif"))).succeed();
        dir
    }
}

/// A tiny network, and short trainings.
pub(crate) fn small(call: Call) -> Call {
    let options = [
        "--patch",
        "32",
        "--width",
        "4",
        "--pool",
        "60",
        "--initial",
        "4",
        "--query",
        "2",
        "--max-steps",
        "60",
        "--statistics-patches",
        "8",
    ];
    call.args(options)
}

/// A command on a project, on two threads.
pub(crate) fn on(command: &str, dir: &Path) -> Call {
    askem([command]).args([dir]).args(["--device", "cpu", "--threads", "2"])
}

/// Writes a TIFF of bytes with one page per entry.
pub(crate) fn write_tiff(path: &Path, [height, width]: [usize; 2], pages: &[Vec<u8>]) {
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
    for page in pages {
        encoder.write_image::<Gray8>(width as u32, height as u32, page).unwrap();
    }
    fs::write(path, bytes.into_inner()).unwrap();
}

/// Writes labels of a patch as a project keeps them.
pub(crate) fn write_png(path: &Path, pixels: &[u8]) {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, PATCH as u32, PATCH as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
    fs::write(path, bytes).unwrap();
}

/// The pixels of an 8-bit grey PNG.
pub(crate) fn read_png(path: &Path) -> Vec<u8> {
    let file = Cursor::new(fs::read(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    pixels
}

/// Where a patch of a JSON object lies.
pub(crate) fn place(of: &Value) -> [usize; 3] {
    ["z", "y", "x"].map(|axis| of[axis].as_u64().unwrap() as usize)
}

/// The file of a patch's labels.
pub(crate) fn label_file(dir: &Path, [z, y, x]: [usize; 3]) -> PathBuf {
    dir.join("labels").join(format!("z{z:05}_y{y:06}_x{x:06}.png"))
}
