//! Writing OME-Zarr 0.5: a volume in chunks, in any order and by several processes, then its pyramid.
//!
//! Source: [OME-Zarr 0.5](https://ngff.openmicroscopy.org/0.5/).

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::calibration::{ome_axes, ome_dataset};
use super::{Region, Volume, open_raw, show_shape};
use crate::data::zarr_files::{Element, Owners, ZarrFiles, is_filled, place, remove_array};
use crate::{Error, Result};

/// Sides of a chunk: 4 MiB of labels, and 250,000 files for a teravoxel.
const CHUNK: [usize; 3] = [16, 512, 512];
/// Chunks along each axis that are computed together.
const BLOCK: [usize; 3] = [1, 2, 2];
/// Levels of the pyramid go on until rows and columns fit this.
const SMALLEST: usize = 256;

/// What a volume's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OmeKind {
    /// 0 and 255; a coarser pixel is foreground where at least half of its four are.
    Labels,
    /// Classes from 0 on; a coarser pixel is the commonest of its four, of equally common ones rather
    /// another than 0, then the lowest.
    Classes,
    /// 8-bit grey values; a coarser pixel is the mean of its four.
    Grey,
    /// 32-bit floats; a coarser pixel is the mean of its four.
    Probabilities,
    /// Numbers of objects up to 2^24, as 32-bit integers, and 0 for none; a coarser pixel has the
    /// commonest of its four numbers, of equally common ones rather an object's than 0, then the
    /// lowest.
    Instances,
}

impl OmeKind {
    fn element(self) -> Element {
        match self {
            Self::Labels | Self::Classes | Self::Grey => Element::U8,
            Self::Probabilities => Element::F32,
            Self::Instances => Element::U32,
        }
    }

    /// Whether a number names a class or an object, and measures nothing.
    fn is_label(self) -> bool {
        match self {
            Self::Labels | Self::Classes | Self::Instances => true,
            Self::Grey | Self::Probabilities => false,
        }
    }

    /// Values in the form in which they are stored.
    fn bytes(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::Probabilities => values.iter().flat_map(|v| v.to_ne_bytes()).collect(),
            Self::Grey | Self::Labels | Self::Classes => {
                values.iter().map(|v| v.round() as u8).collect()
            }
            Self::Instances => values.iter().flat_map(|&v| (v as u32).to_ne_bytes()).collect(),
        }
    }

    fn coarser(self, values: &[f32]) -> f32 {
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        match self {
            Self::Labels => f32::from(u8::from(mean >= 127.5)) * 255.0,
            Self::Grey | Self::Probabilities => mean,
            Self::Classes | Self::Instances => commonest(values),
        }
    }
}

/// The commonest of a few numbers; of equally common ones rather another than 0, then the lowest.
fn commonest(numbers: &[f32]) -> f32 {
    let count = |wanted: f32| numbers.iter().filter(|&&number| number == wanted).count();
    let better = |a: f32, b: f32| {
        let by_count = count(a).cmp(&count(b));
        by_count.then((a != 0.0).cmp(&(b != 0.0))).then(b.total_cmp(&a)).is_gt()
    };
    numbers
        .iter()
        .copied()
        .reduce(|best, next| if better(next, best) { next } else { best })
        .unwrap_or(0.0)
}

/// Writes an OME-Zarr image.
///
/// The full resolution is the array `s0`. Until [`finish`](Self::finish) the folder has no metadata of its own, so that no reader
/// takes it for an image.
pub struct OmeZarrWriter {
    path: PathBuf,
    shape: [usize; 3],
    chunk: [usize; 3],
    kind: OmeKind,
    files: ZarrFiles,
    about: Value,
    voxel_nm: Option<[f64; 3]>,
    origin: Option<[f64; 3]>,
    /// Held while this writes.
    _owners: Owners,
}

impl OmeZarrWriter {
    /// Makes an image of `shape` (sections, rows, columns), or goes on with the one that is there. `about` says what it is of; an
    /// image of something else is not gone on with. With `anew` an image that this program wrote there goes first; nothing else does.
    ///
    /// # Errors
    /// [`Error::Input`] if there is another image or another folder, or, for `anew`, another process at work there.
    pub fn create(
        path: &Path,
        shape: [usize; 3],
        kind: OmeKind,
        about: Value,
        anew: bool,
    ) -> Result<Self> {
        let chunk = [0, 1, 2].map(|i| CHUNK[i].min(shape[i]));
        let attributes = Map::from_iter([("askem".to_string(), about.clone())]);
        let files = level(path, 0, shape, chunk, kind, attributes)?;
        require_image(path, &files)?;
        let owners = Owners::of(&path.join("s0"))?;
        if anew {
            owners.be_alone(path)?;
        }
        // What else lies in the folder of an image that was removed is no reason to refuse it.
        let removed = anew && remove(path)?;
        owners.join();
        if !removed {
            require_image(path, &files)?;
        }
        match files.is_there()? {
            Some(true) => {}
            Some(false) => {
                return Err(Error::Input(format!(
                    "{}: there is an image of other weights, settings or data; choose another --out, or start over with --force",
                    path.display()
                )));
            }
            None => files.write_metadata()?,
        }
        let path = path.to_path_buf();
        Ok(Self {
            path,
            shape,
            chunk,
            kind,
            files,
            about,
            voxel_nm: None,
            origin: None,
            _owners: owners,
        })
    }

    /// Says how large voxels are along z, y and x, in nanometres.
    #[must_use]
    pub fn with_voxel_nm(mut self, voxel_nm: Option<[f64; 3]>) -> Self {
        self.voxel_nm = voxel_nm;
        self
    }

    /// Says where the first voxel lies along z, y and x: in nanometres, or in voxels where their
    /// size is not known.
    #[must_use]
    pub fn with_origin(mut self, origin: Option<[f64; 3]>) -> Self {
        self.origin = origin;
        self
    }

    /// Chunks along each axis.
    pub fn grid(&self) -> [usize; 3] {
        [0, 1, 2].map(|i| self.shape[i].div_ceil(self.chunk[i]))
    }

    /// Number of chunks.
    pub fn chunks(&self) -> u64 {
        self.grid().iter().map(|&n| n as u64).product()
    }

    fn indices(&self, chunk: u64) -> [u64; 3] {
        let [_, ys, xs] = self.grid().map(|n| n as u64);
        [chunk / (ys * xs), chunk / xs % ys, chunk % xs]
    }

    /// Blocks along each axis.
    fn grid_of_blocks(&self) -> [u64; 3] {
        let grid = self.grid();
        [0, 1, 2].map(|i| grid[i].div_ceil(BLOCK[i]) as u64)
    }

    /// Number of blocks: neighbouring chunks of the same sections that are best computed together.
    pub fn blocks(&self) -> u64 {
        self.grid_of_blocks().iter().product()
    }

    /// The first and the last chunk of a block along each axis, the last one not included.
    fn block(&self, number: u64) -> [Range<u64>; 3] {
        let [_, ys, xs] = self.grid_of_blocks();
        let at = [number / (ys * xs), number / xs % ys, number % xs];
        let grid = self.grid();
        [0, 1, 2].map(|i| {
            let first = at[i] * BLOCK[i] as u64;
            first..(first + BLOCK[i] as u64).min(grid[i] as u64)
        })
    }

    /// The chunks of a block.
    pub fn chunks_of(&self, block: u64) -> Vec<u64> {
        let [_, ys, xs] = self.grid().map(|n| n as u64);
        let [z, y, x] = self.block(block);
        let number = move |z: u64, y: u64, x: u64| (z * ys + y) * xs + x;
        let rows = z.flat_map(|z| y.clone().map(move |y| (z, y)));
        rows.flat_map(|(z, y)| x.clone().map(move |x| number(z, y, x))).collect()
    }

    /// What a block covers.
    pub fn region_of_block(&self, block: u64) -> Region {
        let chunks = self.block(block);
        let side = |i: usize| {
            let at = |chunk: u64| (chunk as usize * self.chunk[i]).min(self.shape[i]);
            at(chunks[i].start)..at(chunks[i].end)
        };
        Region { z: side(0), y: side(1), x: side(2) }
    }

    /// What a chunk covers; those at the end of the volume are smaller.
    pub fn region(&self, chunk: u64) -> Region {
        region(self.shape, self.chunk, self.indices(chunk))
    }

    /// Whether a chunk is there with something in it.
    pub fn is_done(&self, chunk: u64) -> bool {
        is_filled(&self.files.file(&self.indices(chunk)))
    }

    /// Whether a chunk can be read to its end: its checksum fits.
    pub fn is_whole(&self, chunk: u64) -> bool {
        self.is_done(chunk) && self.files.read(&self.indices(chunk)).is_ok()
    }

    /// Whether a chunk was written once, whatever became of it.
    pub fn is_there(&self, chunk: u64) -> bool {
        self.files.file(&self.indices(chunk)).exists()
    }

    /// Whether all chunks are there.
    pub fn is_complete(&self) -> bool {
        (0..self.chunks()).all(|chunk| self.is_done(chunk))
    }

    /// Writes a chunk from the values of its [`region`](Self::region).
    ///
    /// # Errors
    /// If the disk is full or refuses, or another process has made another image there; then the chunk is not there.
    ///
    /// # Panics
    /// If the values are not as many as the region's.
    pub fn write(&self, chunk: u64, values: &[f32]) -> Result<()> {
        let region = self.region(chunk);
        let indices = self.indices(chunk);
        self.require_ours()?;
        write(&self.files, self.kind, self.chunk, &indices, &region, values)?;
        // An image that takes this one's place loses its description first: what was written before that is gone with it, and what was
        // written after is taken back here.
        self.require_ours().inspect_err(|_| {
            // It may be gone already.
            let _ = std::fs::remove_file(self.files.file(&indices));
        })
    }

    /// An error if the image is no longer the one that was opened: locks do not reach every file system, and an image can be deleted by hand.
    fn require_ours(&self) -> Result<()> {
        if self.files.is_there()? == Some(true) {
            return Ok(());
        }
        Err(Error::Input(format!(
            "{}: the image has been deleted or started over by someone else while this process wrote to it; its work is not kept there",
            self.path.display()
        )))
    }

    /// Removes the image, after a failure.
    pub(crate) fn abandon(&self) {
        // What can't be removed stays, without metadata of its own. The user is told of the failure.
        let _ = remove(&self.path);
        let _ = std::fs::remove_file(self.path.join("s0").join("lock"));
        let _ = std::fs::remove_dir(self.path.join("s0"));
        let _ = std::fs::remove_dir(&self.path);
    }

    /// Writes the coarser levels and the image's metadata: rows and columns are halved, sections stay, since they are thicker than
    /// pixels are wide. Several processes may do so at once.
    ///
    /// # Errors
    /// If chunks are missing, or something can't be read or written.
    pub fn finish(&self) -> Result<()> {
        let missing = (0..self.chunks()).find(|&chunk| !self.is_whole(chunk));
        if let Some(chunk) = missing {
            return Err(Error::Input(format!(
                "{}: the chunk is missing or damaged; repeat the command that makes it",
                self.files.file(&self.indices(chunk)).display()
            )));
        }
        self.require_ours()?;
        let mut shape = self.shape;
        let dataset = |level| ome_dataset(&format!("s{level}"), level, self.voxel_nm, self.origin);
        let mut datasets = vec![dataset(0)];
        while shape[1] > SMALLEST || shape[2] > SMALLEST {
            let finer = open_raw(&self.path.join(format!("s{}", datasets.len() - 1)))?;
            shape = [shape[0], shape[1].div_ceil(2), shape[2].div_ceil(2)];
            let chunk = [0, 1, 2].map(|i| CHUNK[i].min(shape[i]));
            let files = level(&self.path, datasets.len(), shape, chunk, self.kind, Map::new())?;
            files.write_metadata()?;
            let [zs, ys, xs] = [0, 1, 2].map(|i| shape[i].div_ceil(chunk[i]) as u64);
            for number in 0..zs * ys * xs {
                let indices = [number / (ys * xs), number / xs % ys, number % xs];
                let region = region(shape, chunk, indices);
                let values = halved(&*finer, &region, self.kind)?;
                write(&files, self.kind, chunk, &indices, &region, &values)?;
            }
            datasets.push(dataset(datasets.len()));
        }
        let axes = ome_axes(self.voxel_nm);
        let name = self.path.file_stem().unwrap_or_default().to_string_lossy();
        let mut ome = json!({
            "version": "0.5",
            "multiscales": [{"name": name, "axes": axes, "datasets": datasets}],
        });
        if self.kind.is_label() {
            // So that viewers show labels, each in a colour of its own, and no grey values. Since 0.5 the
            // version is that of `ome`, and has no place in here.
            ome["image-label"] = json!({});
        }
        let group = json!({
            "zarr_format": 3,
            "node_type": "group",
            "attributes": { "ome": ome, "askem": self.about },
        });
        let text = serde_json::to_vec_pretty(&group)
            .map_err(|e| Error::Input(format!("{}: {e}", self.path.display())))?;
        place(&self.path.join("zarr.json"), &text)
    }
}

/// Whether a folder is an OME-Zarr image that this program wrote, or began to.
pub fn is_our_ome_zarr(path: &Path) -> bool {
    about_of(path).is_some() || path.join("s0").join("lock").exists() && !is_other(path)
}

/// What the description of the full resolution says of an image of this program.
fn about_of(path: &Path) -> Option<Value> {
    let metadata = std::fs::read(path.join("s0").join("zarr.json")).ok()?;
    let mut metadata: Value = serde_json::from_slice(&metadata).ok()?;
    let about = metadata.pointer_mut("/attributes/askem")?.take();
    about.get("foreground").is_some().then_some(about)
}

/// Whether there is something else than an image that was begun and has no description yet.
fn is_other(path: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(path) else { return path.exists() };
    let begun = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).all(|name| {
            let name = name.to_string_lossy();
            name == "lock" || name.starts_with(".zarr.json.") && name.ends_with(".partial")
        })
    };
    let only_begun = |entry: std::fs::DirEntry| entry.file_name() == "s0" && begun(&entry.path());
    !entries.flatten().all(only_begun)
}

/// An error if there is something else than an image of askem predict, the same image whoever began it, or the beginning of one.
fn require_image(path: &Path, files: &ZarrFiles) -> Result<()> {
    if files.is_there()? == Some(true) {
        return Ok(());
    }
    // Twice, since another process may describe it in the meantime.
    if about_of(path).is_none() && is_other(path) && about_of(path).is_none() {
        return Err(Error::Input(format!(
            "{}: something that is no image of askem predict; choose another --out",
            path.display()
        )));
    }
    Ok(())
}

/// Removes what of a folder is an image's, its description first; not the lock. Says whether there was one.
fn remove(path: &Path) -> Result<bool> {
    if about_of(path).is_none() {
        return Ok(false);
    }
    remove_array(&path.join("s0"))?;
    let group = path.join("zarr.json");
    match std::fs::remove_file(&group) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io(&group, "removing the old image", e));
        }
        _ => {}
    }
    // Coarser levels, each half as large.
    (1..64).try_for_each(|number| remove_array(&path.join(format!("s{number}"))))?;
    Ok(true)
}

fn level(
    path: &Path,
    number: usize,
    shape: [usize; 3],
    chunk: [usize; 3],
    kind: OmeKind,
    attributes: Map<String, Value>,
) -> Result<ZarrFiles> {
    if shape.contains(&0) {
        return Err(Error::Input(format!(
            "{}: an image of {} can't be written",
            path.display(),
            show_shape(shape)
        )));
    }
    let folder = path.join(format!("s{number}"));
    let [shape, chunk] = [shape, chunk].map(|sides| sides.map(|side| side as u64));
    ZarrFiles::new(&folder, &shape, &chunk, kind.element(), &["z", "y", "x"], attributes)
}

fn region(shape: [usize; 3], chunk: [usize; 3], indices: [u64; 3]) -> Region {
    let side = |i: usize| {
        let start = indices[i] as usize * chunk[i];
        start..(start + chunk[i]).min(shape[i])
    };
    Region { z: side(0), y: side(1), x: side(2) }
}

/// Writes the values of a region as a chunk, which is larger at the end of the volume.
fn write(
    files: &ZarrFiles,
    kind: OmeKind,
    chunk: [usize; 3],
    indices: &[u64; 3],
    region: &Region,
    values: &[f32],
) -> Result<()> {
    let (height, width) = (region.height(), region.width());
    assert_eq!(values.len(), region.z.len() * height * width);
    if (height, width) == (chunk[1], chunk[2]) {
        return files.write(indices, &kind.bytes(values));
    }
    let mut whole = vec![0.0; chunk.iter().product()];
    for (row, values) in values.chunks(width).enumerate() {
        let (z, y) = (row / height, row % height);
        whole[(z * chunk[1] + y) * chunk[2]..][..width].copy_from_slice(values);
    }
    files.write(indices, &kind.bytes(&whole))
}

/// A region of the coarser level.
fn halved(finer: &dyn Volume, region: &Region, kind: OmeKind) -> Result<Vec<f32>> {
    let [_, height, width] = finer.shape();
    let twice = |side: &Range<usize>, end: usize| 2 * side.start..(2 * side.end).min(end);
    let from =
        Region { z: region.z.clone(), y: twice(&region.y, height), x: twice(&region.x, width) };
    let fine = finer.read_block(&from)?;
    let mut out = Vec::with_capacity(region.z.len() * region.height() * region.width());
    for section in fine.chunks(from.height() * from.width()) {
        for y in (0..from.height()).step_by(2) {
            for x in (0..from.width()).step_by(2) {
                let mut four = [0.0; 4];
                let mut count = 0;
                for row in y..(y + 2).min(from.height()) {
                    for column in x..(x + 2).min(from.width()) {
                        four[count] = section[row * from.width() + column];
                        count += 1;
                    }
                }
                out.push(kind.coarser(&four[..count]));
            }
        }
    }
    Ok(out)
}
