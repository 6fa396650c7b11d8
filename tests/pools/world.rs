//! A small volume in two formats, weights, and stores of its scores.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use askem::data::phantom::Phantom;
use askem::data::volume::Volume;
use serde_json::json;
use tempfile::TempDir;
use tiff::encoder::colortype::Gray8;

use crate::program::{Call, askem};

pub(crate) const SHAPE: [usize; 3] = [6, 96, 150];
const CHUNK: [usize; 3] = [4, 32, 64];
/// Patches in a chunk of the stores.
pub(crate) const ROWS: u64 = 16;

/// What all tests read and none changes.
pub(crate) struct World {
    folder: TempDir,
}

pub(crate) fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(World::new)
}

impl World {
    fn new() -> Self {
        let world = Self { folder: TempDir::new().unwrap() };
        let pixels = pixels();
        write_tiff(&world.tiff(), SHAPE, &pixels);
        write_zarr(&world.zarr(), &pixels);
        for (name, seed) in [("a", "1"), ("b", "2")] {
            askem([
                "run",
                "--phantom-shape",
                "6x256x256",
                "--patch",
                "32",
                "--width",
                "2",
                "--epochs",
                "2",
            ])
            .args([
                "--initial",
                "4",
                "--pool",
                "12",
                "--query",
                "2",
                "--iterations",
                "1",
                "--finetune-epochs",
                "1",
            ])
            .args(["--seed", seed, "--device", "cpu"])
            .path("--out", &world.folder.path().join(name))
            .succeed();
        }
        let whole = world.whole();
        world.score("a").path("--out", &whole).succeed();
        world
    }

    pub(crate) fn tiff(&self) -> PathBuf {
        self.folder.path().join("raw.tif")
    }

    pub(crate) fn zarr(&self) -> PathBuf {
        self.folder.path().join("raw.zarr")
    }

    /// The run `a` or `b`.
    pub(crate) fn run(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The store of the entropies of a grid, scored at once.
    pub(crate) fn whole(&self) -> PathBuf {
        self.folder.path().join("whole.zarr")
    }

    /// Scoring the Zarr volume with the weights of a run.
    pub(crate) fn score(&self, run: &str) -> Call {
        self.score_of(&self.zarr(), run)
    }

    pub(crate) fn score_of(&self, raw: &Path, run: &str) -> Call {
        let rows = ROWS.to_string();
        askem(["score", "--stride", "16", "--chunk-patches", &rows, "--device", "cpu"])
            .path("--raw", raw)
            .path("--weights", &self.run(run).join("weights.safetensors"))
    }
}

fn pixels() -> Vec<u8> {
    let phantom = Phantom::pair(SHAPE, 10).unwrap();
    let sections = (0..SHAPE[0]).map(|z| phantom.raw.read_section(z).unwrap().pixels);
    sections.flatten().map(|v| v as u8).collect()
}

pub(crate) fn write_tiff(path: &Path, shape: [usize; 3], pixels: &[u8]) {
    let mut encoder = tiff::encoder::TiffEncoder::new(fs::File::create(path).unwrap()).unwrap();
    for section in pixels.chunks(shape[1] * shape[2]) {
        encoder.write_image::<Gray8>(shape[2] as u32, shape[1] as u32, section).unwrap();
    }
}

/// Zarr 2 without compression, by the specification.
fn write_zarr(path: &Path, pixels: &[u8]) {
    fs::create_dir_all(path).unwrap();
    let metadata = json!({
        "zarr_format": 2, "shape": SHAPE, "chunks": CHUNK, "dtype": "|u1", "compressor": null,
        "fill_value": 0, "order": "C", "filters": null
    });
    fs::write(path.join(".zarray"), metadata.to_string()).unwrap();
    let counts = [0, 1, 2].map(|i| SHAPE[i].div_ceil(CHUNK[i]));
    for k in 0..counts[0] {
        for i in 0..counts[1] {
            for j in 0..counts[2] {
                let mut bytes = Vec::new();
                for z in 0..CHUNK[0] {
                    for y in 0..CHUNK[1] {
                        for x in 0..CHUNK[2] {
                            let (z, y, x) = (k * CHUNK[0] + z, i * CHUNK[1] + y, j * CHUNK[2] + x);
                            let inside = z < SHAPE[0] && y < SHAPE[1] && x < SHAPE[2];
                            let at = (z * SHAPE[1] + y) * SHAPE[2] + x;
                            bytes.push(if inside { pixels[at] } else { 0 });
                        }
                    }
                }
                fs::write(path.join(format!("{k}.{i}.{j}")), bytes).unwrap();
            }
        }
    }
}

/// All files below a folder with their bytes, in the order of their names.
pub(crate) fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(&path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_path_buf();
                all.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    all.sort();
    all
}

/// Two stores have the same files.
pub(crate) fn assert_same(a: &Path, b: &Path) {
    let (a, b) = (files(a), files(b));
    let names =
        |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|f| f.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&a), names(&b));
    for (a, b) in a.iter().zip(&b) {
        assert!(a.1 == b.1, "{} differs", a.0.display());
    }
}
