//! Taking the last step of a project back: an import, or a round.

use std::collections::HashMap;
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

/// What lies in `before-import/NNN/import.json`: how the patches were before an import.
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
    /// What tells the labels that were imported from others, and the state that the import gave.
    imported: String,
    imported_state: State,
}

const FOLDER: &str = "before-import";
const FILE: &str = "import.json";

/// The folders of what imports have changed, by their numbers.
fn kept(project: &Path) -> Vec<(u32, PathBuf)> {
    let entries = fs::read_dir(project.join(FOLDER)).into_iter().flatten().flatten();
    let number = |entry: fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().parse().ok()?;
        Some((name, entry.path()))
    };
    let mut all: Vec<(u32, PathBuf)> = entries.filter_map(number).collect();
    all.sort();
    all.retain(|(_, folder)| folder.join(FILE).exists());
    all
}

/// Keeps what an import is about to change. The list of it is written last: without it there is none.
pub(super) fn keep_before_import(
    project: &mut Project,
    found: &[(u32, Vec<u8>, State)],
) -> Result<()> {
    let number = kept(project.path()).last().map_or(0, |(number, _)| number + 1);
    let folder = project.path().join(FOLDER).join(format!("{number:03}"));
    make_folder(&folder)?;
    let asked = project.patches();
    let side = project.config().patch;
    let mut before = Before { rounds: project.query(), patches: Vec::new() };
    for (id, labels, imported_state) in found {
        let Some(patch) = asked.iter().find(|patch| patch.id == *id) else { continue };
        let was = project.labels(*id)?;
        let name = was.iter().any(|&label| label != UNLABELLED).then(|| {
            let name = format!("{}.png", name_of(patch.at));
            let picture = label_files::encode(was, [side, side])?;
            write_atomically(&folder.join(&name), &picture)?;
            Ok::<_, Error>(name)
        });
        before.patches.push(Patch {
            id: *id,
            state: patch.state,
            labels: name.transpose()?,
            imported: etag(labels),
            imported_state: *imported_state,
        });
    }
    let path = folder.join(FILE);
    let text = serde_json::to_string_pretty(&before)
        .map_err(|e| Error::Input(format!("{}: {e}", path.display())))?;
    write_atomically(&path, (text + "\n").as_bytes())
}

/// Takes the last step back: the last import if no round came after it, else the last round. A label that a
/// person has given is never lost: patches that were painted since stay as they are, and labelled ones
/// of a query that is taken back become the person's own.
///
/// # Errors
/// [`Error::Usage`] where nothing was done yet; else if a file can't be read or written.
pub fn undo(project: &mut Project) -> Result<Undone> {
    let last = match kept(project.path()).pop() {
        Some((_, folder)) => Some((read(&folder)?, folder)),
        None => None,
    };
    match last {
        Some((before, folder)) if before.rounds == project.query() => {
            undo_import(project, before, &folder)
        }
        _ => undo_round(project),
    }
}

fn read(folder: &Path) -> Result<Before> {
    let path = folder.join(FILE);
    let text = fs::read(&path)
        .map_err(|e| Error::io(&path, "can't read what was before the import", e))?;
    serde_json::from_slice(&text)
        .map_err(|e| Error::Input(format!("{}: damaged ({e}){}", path.display(), way_out(folder))))
}

/// What to do where what was kept can't be read.
fn way_out(folder: &Path) -> String {
    format!("; put back a copy, or delete {} to keep the import", folder.display())
}

fn undo_import(project: &mut Project, before: Before, folder: &Path) -> Result<Undone> {
    let (mut patches, mut kept) = (0, 0);
    let side = project.config().patch;
    let states: HashMap<u32, State> =
        project.patches().iter().map(|asked| (asked.id, asked.state)).collect();
    let read = |name: &Option<String>| match name {
        None => Ok(None),
        Some(name) => label_files::read_from(&folder.join(name), side)
            .map(Some)
            .map_err(|e| Error::Input(format!("{e}{}", way_out(folder)))),
    };
    // All of it is read before anything is changed.
    let labels: Vec<Option<Vec<u8>>> =
        before.patches.iter().map(|patch| read(&patch.labels)).collect::<Result<_>>()?;
    for (Patch { id, state, imported, imported_state, .. }, labels) in
        before.patches.into_iter().zip(labels)
    {
        let Some(&now) = states.get(&id) else {
            kept += 1;
            continue;
        };
        // One that is as before already is left over from an undo, or an import, that was interrupted.
        let unlabelled = vec![UNLABELLED; side * side];
        let old = etag(labels.as_ref().unwrap_or(&unlabelled));
        let etag = project.etag(id)?;
        if etag != imported && etag != old {
            kept += 1;
            continue;
        }
        if now == imported_state && now != state {
            project.set_state(id, State::Open)?;
        }
        match labels {
            Some(labels) => drop(project.set_labels(id, &labels)?),
            None => project.erase_labels(id)?,
        }
        // What was said of it since stays.
        if now == imported_state || now == State::Open {
            project.set_state(id, state)?;
        }
        patches += 1;
    }
    fs::remove_dir_all(folder).map_err(|e| Error::io(folder, "can't remove it", e))?;
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
    for patch in &asked {
        if project.labels(patch.id)?.iter().any(|&label| label != UNLABELLED) {
            labelled.push(patch.clone());
        }
    }
    project.take_round_back(round, &asked, &labelled)?;
    Ok(Undone::Round { round, asked: asked.len(), kept: labelled.len() })
}
