//! How far the patches of a project are, and which of them are the person's own: `patches.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::data::files::write_atomically;
use crate::data::pool::Position;
use crate::error::{Error, Result};
use crate::results::run_dir::PROJECT;

/// How far a patch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// To be labelled; what is labelled of it counts already.
    #[default]
    Open,
    /// Labelled.
    Done,
    /// Left out: its labels count for nothing.
    Skipped,
}

/// What `patches.json` holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Marks {
    /// Sections, rows and columns of the volume.
    pub(super) shape: [usize; 3],
    /// Where the patches of the first query lie, so that another volume or seed shows.
    pub(super) first: Vec<[usize; 3]>,
    /// By the patch's number; those that are not named are open.
    #[serde(default)]
    pub(super) states: BTreeMap<u32, State>,
    /// The person's own patches, in order of their numbers.
    #[serde(default)]
    pub(super) own: BTreeMap<u32, [usize; 3]>,
    /// The number of the next one; none is used twice.
    #[serde(default = "first_own")]
    pub(super) next_own: u32,
}

fn first_own() -> u32 {
    FIRST_OWN
}

/// The number of the first patch of the person's own; beyond any that are asked for.
pub(super) const FIRST_OWN: u32 = 1 << 30;

impl Marks {
    pub(super) fn read(project: &Path) -> Result<Self> {
        let path = project.join(PROJECT);
        let text =
            fs::read(&path).map_err(|e| Error::io(&path, "can't read the project's state", e))?;
        serde_json::from_slice(&text).map_err(|e| {
            Error::Input(format!(
                "{}: can't be read as the project's state ({e}); put back a copy of the file",
                path.display()
            ))
        })
    }

    pub(super) fn write(&self, project: &Path) -> Result<()> {
        let path = project.join(PROJECT);
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| Error::Input(format!("{}: {e}", path.display())))?;
        write_atomically(&path, (text + "\n").as_bytes())
    }

    pub(super) fn state(&self, id: u32) -> State {
        self.states.get(&id).copied().unwrap_or_default()
    }

    /// The person's own patches with their numbers.
    pub(super) fn own(&self) -> impl Iterator<Item = (u32, Position)> {
        self.own.iter().map(|(&id, &[z, y, x])| (id, Position { volume: 0, z, y, x }))
    }

    /// An error unless they are of this volume and these first patches.
    ///
    /// # Errors
    /// [`Error::Input`] that says what differs.
    pub(super) fn check(
        &self,
        project: &Path,
        [z, y, x]: [usize; 3],
        patch: usize,
        first: &[Position],
    ) -> Result<()> {
        let wrong = |what: &str| Err(Error::Input(format!("{}: {what}", project.display())));
        if self.shape != [z, y, x] {
            let [was_z, was_y, was_x] = self.shape;
            return wrong(&format!(
                "the project is of a volume of {was_z} x {was_y} x {was_x} voxels, and the one \
                 that config.toml names has {z} x {y} x {x}; name the right one there (data.raw)"
            ));
        }
        if !first.iter().map(|at| [at.z, at.y, at.x]).eq(self.first.iter().copied()) {
            return wrong(
                "config.toml asks for other first patches than the project was started with; put \
                 back seed, pool, initial and patch, or start another project",
            );
        }
        let fits = |&(&id, &at): &(&u32, &[usize; 3])| {
            let is_inside = at[0] < z && at[1] + patch <= y && at[2] + patch <= x;
            (FIRST_OWN..self.next_own).contains(&id) && is_inside
        };
        match self.own.iter().find(|own| !fits(own)) {
            None => Ok(()),
            Some((id, _)) => wrong(&format!(
                "patches.json has a patch {id} of the person's own that the volume has no place \
                 for; put back a copy of the file"
            )),
        }
    }
}
