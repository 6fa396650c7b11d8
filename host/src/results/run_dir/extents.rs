//! How large the volumes of a run are, so that its page needs no volume to say so.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::data::files::write_atomically;
use crate::data::pool::PatchReader;
use crate::error::{Error, Result};

/// A volume, and the part of it that trains or tests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Extent {
    /// Sections, rows and columns of the volume.
    pub shape: [usize; 3],
    /// The part: its first section, row and column, and how many of each.
    pub part: [[usize; 2]; 3],
    /// How large a pixel is along z, y and x, in nanometres, where the file says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voxel_nm: Option<[f64; 3]>,
}

/// The volumes of a run. Lie in `details/volumes.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Extents {
    /// The volumes that train.
    pub train: Vec<Extent>,
    /// The volumes that test.
    pub test: Vec<Extent>,
}

/// The name of the file in the folder `details`.
pub(super) const NAME: &str = "volumes.json";

impl Extents {
    /// Those of the readers of a training and of a test.
    pub fn of(train: &[PatchReader], test: &[PatchReader]) -> Self {
        let extent = |reader: &PatchReader| {
            let region = &reader.region;
            let part = [&region.z, &region.y, &region.x].map(|range| [range.start, range.len()]);
            Extent { shape: reader.shape(), part, voxel_nm: reader.voxel_nm() }
        };
        Self { train: train.iter().map(extent).collect(), test: test.iter().map(extent).collect() }
    }

    fn file(run: &Path) -> PathBuf {
        run.join("details").join(NAME)
    }

    /// Keeps them with a run.
    ///
    /// # Errors
    /// [`Error::Io`] where the file can't be written.
    pub fn write(&self, run: &Path) -> Result<()> {
        let path = Self::file(run);
        let folder = run.join("details");
        fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, "can't make the folder", e))?;
        let text = serde_json::to_vec(self)
            .map_err(|e| Error::Input(format!("{}: {e}", path.display())))?;
        write_atomically(&path, &text)
    }

    /// Those of a run; none of runs of earlier versions.
    pub fn read(run: &Path) -> Self {
        let read = || serde_json::from_slice(&fs::read(Self::file(run)).ok()?).ok();
        read().unwrap_or_default()
    }
}
