//! Taking the last step of a project back: an import, or a round.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::label_files::{self, UNLABELLED, etag, name_of};
use super::marks::State;
use super::project::{Asked, Project};
use crate::data::files::{make_folder, write_atomically};
use crate::error::{Error, Result};

/// What was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undone {
    /// Labels of the last import.
    Import {
        /// Patches that have their labels of before.
        patches: usize,
        /// Patches that were painted since, and are left as they are.
        kept: usize,
    },
    /// The last round, with its network and its query.
    Round {
        /// Its number.
        round: usize,
        /// Patches that it had asked for.
        asked: usize,
        /// Those of them with labels, which are the person's own now.
        kept: usize,
    },
}

/// What lies in `before-import/import.json`: the state of each patch before the import.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Before {
    /// Rounds that were done.
    rounds: usize,
    patches: Vec<Patch>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    id: u32,
    state: State,
    /// Its labels' file beside this one; nothing where it had no label.
    labels: Option<String>,
    /// What tells the labels that were imported from others.
    imported: String,
}

const FOLDER: &str = "before-import";
const FILE: &str = "import.json";

/// Keeps what an import is about to change; what the import before has kept goes.
pub(super) fn keep_before_import(project: &mut Project, found: &[(u32, Vec<u8>)]) -> Result<()> {
    let folder = project.path().join(FOLDER);
    forget(project.path())?;
    make_folder(&folder)?;
    let asked = project.patches();
    let side = project.config().patch;
    let mut before = Before { rounds: project.query(), patches: Vec::new() };
    for (id, labels) in found {
        let Some(patch) = asked.iter().find(|patch| patch.id == *id) else { continue };
        let was = project.labels(*id)?;
        let name = was.iter().any(|&label| label != UNLABELLED).then(|| {
            let name = format!("{}.png", name_of(patch.at));
            let picture = label_files::encode(was, [side, side])?;
            write_atomically(&folder.join(&name), &picture)?;
            Ok::<_, Error>(name)
        });
        let (state, imported) = (patch.state, etag(labels));
        before.patches.push(Patch { id: *id, state, labels: name.transpose()?, imported });
    }
    let path = folder.join(FILE);
    let text = serde_json::to_string_pretty(&before)
        .map_err(|e| Error::Input(format!("{}: {e}", path.display())))?;
    write_atomically(&path, (text + "\n").as_bytes())
}

/// Removes what was kept before an import.
fn forget(project: &Path) -> Result<()> {
    let folder = project.join(FOLDER);
    match fs::remove_dir_all(&folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io(&folder, "can't remove it", e))
        }
        _ => Ok(()),
    }
}

/// Takes the last step back: the last import if no round came after it, else the last round. A label that a
/// person has given is never lost: patches that were painted since stay as they are, and labelled ones
/// of a query that is taken back become the person's own.
///
/// # Errors
/// [`Error::Usage`] where nothing was done yet; else if a file can't be read or written.
pub fn undo(project: &mut Project) -> Result<Undone> {
    match read(project.path())?.filter(|before| before.rounds == project.query()) {
        Some(before) => undo_import(project, before),
        None => undo_round(project),
    }
}

fn read(project: &Path) -> Result<Option<Before>> {
    let path: PathBuf = project.join(FOLDER).join(FILE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(&path, "can't read what was before the import", e)),
    };
    serde_json::from_slice(&text).map(Some).map_err(|e| {
        let folder = project.join(FOLDER);
        Error::Input(format!(
            "{}: damaged ({e}); delete {} to take back the last round in place of the import",
            path.display(),
            folder.display()
        ))
    })
}

fn undo_import(project: &mut Project, before: Before) -> Result<Undone> {
    let (mut patches, mut kept) = (0, 0);
    let side = project.config().patch;
    let there: HashSet<u32> = project.patches().iter().map(|asked| asked.id).collect();
    for Patch { id, state, labels, imported } in before.patches {
        if !there.contains(&id) || project.etag(id)? != imported {
            kept += 1;
            continue;
        }
        let labels = match labels {
            Some(name) => label_files::read_from(&project.path().join(FOLDER).join(name), side)?,
            None => vec![UNLABELLED; side * side],
        };
        project.set_state(id, State::Open)?;
        project.set_labels(id, &labels)?;
        project.set_state(id, state)?;
        patches += 1;
    }
    forget(project.path())?;
    Ok(Undone::Import { patches, kept })
}

fn undo_round(project: &mut Project) -> Result<Undone> {
    let query = project.query();
    let Some(round) = query.checked_sub(1) else {
        return Err(Error::Usage(format!(
            "{}: neither a round nor an import is there to take back",
            project.path().display()
        )));
    };
    let asked: Vec<Asked> =
        project.patches().into_iter().filter(|asked| asked.query == Some(query)).collect();
    let mut labelled = Vec::new();
    for Asked { id, at, state, .. } in &asked {
        if project.labels(*id)?.iter().any(|&label| label != UNLABELLED) {
            labelled.push((*at, *state));
        }
    }
    let ids: Vec<u32> = asked.iter().map(|asked| asked.id).collect();
    project.take_round_back(round, &ids)?;
    for (at, state) in &labelled {
        let id = project.add_own(*at)?;
        project.set_state(id, *state)?;
    }
    Ok(Undone::Round { round, asked: asked.len(), kept: labelled.len() })
}
