//! Scores of a pool on disk: a Zarr 3 group that many processes fill at once.
//!
//! | array | shape | type |
//! |---|---|---|
//! | `scores` | `[patches]` | f32 |
//! | `positions` | `[patches, 3]`: section, first row, first column | i32 |
//! | `embeddings` | `[patches, dim]`, if wanted | f16 |
//!
//! All are cut into chunks of the same rows. A chunk belongs to one process; its files get their names when they are complete, that of the scores
//! last, so that a chunk whose scores are there is done. The group's attribute `askem` says what the numbers mean ([`About`]). Chunks carry
//! checksums. Writers hold a lock on `scores/lock` together; only a process that is alone may start over.

mod files;

use std::path::{Path, PathBuf};

use half::f16;
use serde::{Deserialize, Serialize};

use crate::data::pool::{Position, Sampling, Scaling};
use crate::data::zarr_files::{Element, Owners, is_filled};
use crate::error::{Error, Result};
use crate::learning::predict::Embedding;
use crate::learning::strategy::Criterion;
use files::ArrayFiles;

/// What the numbers of a store are: two stores with the same have the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The program that wrote it.
    pub askem: String,
    /// SHA-256 of the file of weights.
    pub weights: String,
    /// What was computed.
    pub criterion: Criterion,
    /// Dropout passes, of criteria that need them.
    pub mc_passes: Option<usize>,
    /// Decides dropout masks.
    pub seed: u64,
    /// Side of a patch in pixels.
    pub patch: usize,
    /// Which patches.
    pub sampling: Sampling,
    /// How grey values were scaled.
    pub scaling: Scaling,
    /// Shape of the volume, in sections, rows and columns.
    pub shape: [usize; 3],
    /// Blocks in which the volume is stored: the order of patches follows them.
    pub chunk: [usize; 3],
    /// SHA-256 of some of the pool's pixels, by which another volume is told.
    pub pixels: String,
    /// Which embeddings are kept.
    pub embedding: Option<Embedding>,
    /// Numbers in an embedding; 0 where there are none.
    pub dim: usize,
    /// Patches in the pool.
    pub patches: u64,
    /// Patches in a chunk.
    pub rows: u64,
}

impl About {
    /// Chunks of a store.
    pub fn chunks(&self) -> u64 {
        self.patches.div_ceil(self.rows)
    }

    /// The patches of a chunk.
    pub fn patches_of(&self, chunk: u64) -> std::ops::Range<u64> {
        chunk * self.rows..((chunk + 1) * self.rows).min(self.patches)
    }
}

/// What a chunk holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// One per patch.
    pub scores: Vec<f32>,
    /// One per patch.
    pub positions: Vec<Position>,
    /// `dim` per patch.
    pub embeddings: Vec<f16>,
}

/// A store of scores.
pub struct ScoreStore {
    path: PathBuf,
    about: About,
    scores: ArrayFiles,
    positions: ArrayFiles,
    embeddings: Option<ArrayFiles>,
    /// Held by those who write.
    owners: Option<Owners>,
}

impl ScoreStore {
    /// Makes a store, or opens the one that is there if it is the same. With `anew` a store of scores that is there goes first; nothing else
    /// does.
    ///
    /// # Errors
    /// [`Error::Input`] if there is a store of something else, saying what differs, a folder that is no store, or, for `anew`, another
    /// process at work in the store.
    pub fn create(path: &Path, about: About, anew: bool) -> Result<Self> {
        let mut store = Self::at(path, about)?;
        store.require_store()?;
        let owners = Owners::of(&path.join("scores"))?;
        if anew {
            owners.be_alone(path)?;
        }
        // What else lies in the folder of a store that was removed is no reason to refuse it.
        let removed = anew && files::remove(path)?;
        owners.join();
        if !removed && let Some(there) = store.require_store()? {
            store.require_same(&there)?;
        }
        for array in [&store.scores, &store.positions].into_iter().chain(&store.embeddings) {
            array.write_metadata()?;
        }
        files::write_about(path, &store.about)?;
        store.owners = Some(owners);
        Ok(store)
    }

    /// What the store there is of, if there is one; an error if there is something else.
    fn require_store(&self) -> Result<Option<serde_json::Value>> {
        let path = &self.path;
        if !path.exists() {
            return Ok(None);
        }
        // Twice, since another process may describe it in the meantime.
        for _ in 0..2 {
            let there = files::read_about(path)?.filter(files::is_store);
            if there.is_some() || files::is_empty(path)? {
                return Ok(there);
            }
        }
        Err(Error::Input(format!(
            "{}: a folder that is no store of scores; choose another --out",
            path.display()
        )))
    }

    /// Opens a store.
    ///
    /// # Errors
    /// [`Error::Input`] if there is none.
    pub fn open(path: &Path) -> Result<Self> {
        let none = || {
            Error::Input(format!(
                "{}: no store of scores; make one with askem score --out",
                path.display()
            ))
        };
        let about = files::read_about(path)?.ok_or_else(none)?;
        let about: About = serde_json::from_value(about).map_err(|e| {
            Error::Input(format!("{}: its attributes are not a score store's: {e}", path.display()))
        })?;
        if about.rows == 0 || about.patches == 0 {
            return Err(none());
        }
        Self::at(path, about)
    }

    fn at(path: &Path, about: About) -> Result<Self> {
        let array = |name: &str, columns: Option<u64>, element: Element| {
            ArrayFiles::new(path, name, about.patches, about.rows, columns, element)
        };
        let dim = about.dim as u64;
        Ok(Self {
            scores: array("scores", None, Element::F32)?,
            positions: array("positions", Some(3), Element::I32)?,
            embeddings: (dim > 0)
                .then(|| array("embeddings", Some(dim), Element::F16))
                .transpose()?,
            path: path.to_path_buf(),
            about,
            owners: None,
        })
    }

    fn require_same(&self, there: &serde_json::Value) -> Result<()> {
        let here = serde_json::to_value(&self.about)
            .map_err(|e| Error::Input(format!("{}: {e}", self.path.display())))?;
        let (Some(here), Some(there)) = (here.as_object(), there.as_object()) else {
            return Err(Error::Input(format!("{}: damaged attributes", self.path.display())));
        };
        let other: Vec<String> = here
            .iter()
            .filter(|(key, value)| there.get(*key) != Some(value))
            .map(|(key, value)| match there.get(key) {
                Some(old) => format!("{key} (there {old}, now {value})"),
                None => key.clone(),
            })
            .collect();
        if other.is_empty() {
            return Ok(());
        }
        Err(Error::Input(format!(
            "{}: the store there is of something else: {}; choose another --out, or start over with --force",
            self.path.display(),
            other.join(", ")
        )))
    }

    /// What its numbers are.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn arrays(&self) -> impl Iterator<Item = &ArrayFiles> {
        [&self.scores, &self.positions].into_iter().chain(&self.embeddings)
    }

    /// Whether a chunk's files are there, and none of them empty.
    pub fn is_done(&self, chunk: u64) -> bool {
        self.arrays().all(|array| is_filled(&array.file(chunk)))
    }

    /// Whether a chunk was written once, whatever became of it.
    pub fn has_scores(&self, chunk: u64) -> bool {
        self.scores.file(chunk).exists()
    }

    /// Whether a chunk can be read to its end: its checksums fit.
    pub fn is_whole(&self, chunk: u64) -> bool {
        self.is_done(chunk) && self.read(chunk, true).is_ok()
    }

    /// The chunks that are not there.
    pub fn missing(&self) -> Vec<u64> {
        (0..self.about.chunks()).filter(|&chunk| !self.is_done(chunk)).collect()
    }

    /// Writes a chunk.
    ///
    /// # Errors
    /// If the disk is full or refuses, or another process has made another store there; then the chunk is not there.
    ///
    /// # Panics
    /// If the rows are not the chunk's.
    pub fn write(&self, chunk: u64, rows: &Rows) -> Result<()> {
        let patches = self.about.patches_of(chunk);
        assert_eq!(rows.scores.len() as u64, patches.end - patches.start);
        assert_eq!(rows.positions.len(), rows.scores.len());
        self.require_ours()?;
        let positions: Vec<i32> =
            rows.positions.iter().flat_map(|p| [p.z, p.y, p.x]).map(|v| v as i32).collect();
        self.positions.write(chunk, bytemuck::cast_slice(&positions))?;
        if let Some(array) = &self.embeddings {
            array.write(chunk, bytemuck::cast_slice(&rows.embeddings))?;
        }
        self.scores.write(chunk, bytemuck::cast_slice(&rows.scores))?;
        // A store that takes this one's place loses its description first: what was written before that is gone with it, and what was
        // written after is taken back here.
        self.require_ours().inspect_err(|_| {
            for array in self.arrays() {
                // It may be gone already.
                let _ = std::fs::remove_file(array.file(chunk));
            }
        })
    }

    /// An error if the store is no longer the one that was opened: locks do not reach every file system, and a store can be deleted by hand.
    fn require_ours(&self) -> Result<()> {
        if files::is_described(&self.path, &self.about)? {
            return Ok(());
        }
        Err(Error::Input(format!(
            "{}: the store has been deleted or started over by someone else while this process wrote to it; its work is not kept there",
            self.path.display()
        )))
    }

    /// Reads a chunk's scores and positions, and its embeddings if wanted and there.
    ///
    /// # Errors
    /// [`Error::Input`] naming the file if one is missing or damaged.
    pub fn read(&self, chunk: u64, embeddings: bool) -> Result<Rows> {
        let count = self.about.patches_of(chunk).count();
        let scores = self.scores.read(chunk, count)?;
        let positions = self.positions.read(chunk, count)?;
        let positions: Vec<i32> = bytemuck::pod_collect_to_vec(&positions);
        let side = |v: i32, limit: usize| usize::try_from(v).ok().filter(|&v| v < limit);
        let [depth, height, width] = self.about.shape;
        let positions = positions.as_chunks::<3>().0.iter().map(|&[z, y, x]| {
            let (z, y, x) = (side(z, depth), side(y, height), side(x, width));
            Some(Position { volume: 0, z: z?, y: y?, x: x? })
        });
        let positions: Option<Vec<Position>> = positions.collect();
        let positions = positions.ok_or_else(|| {
            Error::Input(format!(
                "{}: a position outside the volume; delete the file and run askem score again",
                self.positions.file(chunk).display()
            ))
        })?;
        let embeddings = match &self.embeddings {
            Some(array) if embeddings => bytemuck::pod_collect_to_vec(&array.read(chunk, count)?),
            _ => Vec::new(),
        };
        Ok(Rows { scores: bytemuck::pod_collect_to_vec(&scores), positions, embeddings })
    }
}
