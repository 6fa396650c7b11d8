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
    /// By the patch's number; those that are not named are open.
    #[serde(default)]
    pub(super) states: BTreeMap<u32, State>,
    /// The person's own patches, in order of their numbers.
    #[serde(default)]
    pub(super) own: BTreeMap<u32, [usize; 3]>,
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
        self.own.iter().map(|(&id, &[z, y, x])| (id, Position { z, y, x }))
    }

    /// The number of a patch of the person's own that is to be added.
    pub(super) fn next_own(&self) -> u32 {
        self.own.last_key_value().map_or(FIRST_OWN, |(&last, _)| last + 1)
    }
}
