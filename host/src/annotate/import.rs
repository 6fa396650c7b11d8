//! Labels from other tools.

use std::fs;
use std::path::{Path, PathBuf};

use super::label_files::{UNLABELLED, UNSURE, position_of};
use super::marks::State;
use super::project::{Asked, Project};
use super::undo::keep_before_import;
use crate::data::pool::Position;
use crate::data::volume::{
    AxesOptions, BACKGROUND, FOREGROUND, IGNORED, LabelOptions, LabelValue, LabelVolume,
    open_labels_as, show_shape,
};
use crate::error::{Error, Result};

/// What an import has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Patches that got labels.
    pub patches: usize,
    /// Those of them in which every pixel is labelled or unsure.
    pub whole: usize,
    /// Those of them that are background alone, as a new layer of other programs is before anybody paints.
    pub background: usize,
    /// Their labelled pixels, and those of them that are foreground.
    pub pixels: [usize; 2],
    /// Patches of the query that is to be answered now without a label still.
    pub missing: Vec<Position>,
    /// What was noticed in the files and is no reason to refuse them, such as how a TIFF stores its
    /// values; each said once.
    pub notes: Vec<String>,
}

/// Reads labels into the patches of a project, over those that are there.
///
/// A file or folder is one of: a stack with a page for each patch of the query `query` (by order;
/// without one, of the query to be answered now, if [`write_query`](super::write_query) wrote it; or,
/// or by the positions in the names of a folder's files, such as `z00003_y000120_x000744`); one
/// patch whose name has its position; labels of the whole volume, of which all patches that were
/// asked for are cut out. Of an OME-Zarr image with labels those are read.
///
/// Unless `options` say otherwise, 255 is not labelled and 254 unsure, but in labels with values
/// beyond 255, which number instances.
///
/// # Errors
/// If a file can't be read, fits nothing, names a patch that was not asked for, or holds 0 and 255
/// alone, of which nobody knows whether 255 is foreground. All files are read before the first label
/// is changed.
pub fn import(
    project: &mut Project,
    files: &[&Path],
    query: Option<usize>,
    options: LabelOptions,
    axes: &AxesOptions,
) -> Result<Imported> {
    let query = (query.unwrap_or(project.query()), query.is_none());
    let asked = project.patches();
    let mut found: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut imported = Imported::default();
    for path in &one_by_one(files)? {
        let given = open(path, options, axes)?;
        for note in given.volume.source().notes() {
            if !imported.notes.contains(&note) {
                imported.notes.push(note);
            }
        }
        let taken = patches_of(project, path, &given, query, &asked)?;
        if taken.is_empty() {
            return Err(Error::Input(format!(
                "{}: holds no label of a patch that was asked for",
                path.display()
            )));
        }
        for (id, labels) in taken {
            if found.iter().any(|(other, _)| *other == id) {
                return Err(Error::Usage(format!(
                    "{}: its patch is in another of the files too; give one of them",
                    path.display()
                )));
            }
            // A page that says nothing takes nothing away.
            if labels.iter().any(|&label| label != UNLABELLED) {
                found.push((id, labels));
            }
        }
    }
    let found: Vec<(u32, Vec<u8>, State)> = found
        .into_iter()
        .map(|(id, labels)| {
            let is_whole = !labels.contains(&UNLABELLED);
            (id, labels, if is_whole { State::Done } else { State::Open })
        })
        .collect();
    keep_before_import(project, &found)?;
    for (id, labels, state) in found {
        project.set_labels(id, &labels)?;
        project.set_state(id, state)?;
        let is_whole = state == State::Done;
        imported.patches += 1;
        imported.background += usize::from(labels.iter().all(|&label| label == BACKGROUND));
        imported.whole += usize::from(is_whole);
        imported.pixels[0] += labels.iter().filter(|&&label| label <= FOREGROUND).count();
        imported.pixels[1] += labels.iter().filter(|&&label| label == FOREGROUND).count();
    }
    let now = project.query();
    for a in project.patches().into_iter().filter(|a| a.query == Some(now)) {
        let is_open = a.state == State::Open;
        if is_open && project.labels(a.id)?.iter().all(|&label| label == UNLABELLED) {
            imported.missing.push(a.at);
        }
    }
    Ok(imported)
}

/// The files, and in place of a folder whose pictures are all named like patches those pictures.
fn one_by_one(files: &[&Path]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in files {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let mut pictures: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        pictures.retain(|path| {
            let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
            ["png", "tif", "tiff"].contains(&ending.to_ascii_lowercase().as_str())
        });
        pictures.sort();
        let is_named = |path: &PathBuf| {
            path.file_name().is_some_and(|name| position_of(&name.to_string_lossy()).is_some())
        };
        if !pictures.is_empty() && pictures.iter().all(is_named) {
            all.append(&mut pictures);
        } else {
            all.push(labels_within(path)?);
        }
    }
    Ok(all)
}

/// The labels of an OME-Zarr image that has some, in place of the image.
fn labels_within(image: &Path) -> Result<PathBuf> {
    let group = image.join("labels");
    let is_group = ["zarr.json", ".zgroup"].iter().any(|file| group.join(file).is_file());
    if !is_group {
        return Ok(image.to_path_buf());
    }
    let entries = fs::read_dir(&group).into_iter().flatten().flatten();
    let mut names: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    names.retain(|path| path.is_dir());
    match <[PathBuf; 1]>::try_from(names) {
        Ok([only]) => Ok(only),
        Err(names) => Err(Error::Usage(format!(
            "{}: an image with {} sets of labels; give one of them, such as {}/NAME",
            image.display(),
            names.len(),
            group.display()
        ))),
    }
}

/// Labels and whether 254 is unsure in them.
struct Given {
    volume: LabelVolume,
    has_unsure: bool,
}

/// Opens labels and finds out what their values mean.
fn open(path: &Path, options: LabelOptions, axes: &AxesOptions) -> Result<Given> {
    let volume = open_labels_as(path, options, axes)?;
    let unlabelled = LabelValue::Integer(UNLABELLED.into());
    if options.ignore.is_some() || options.value == Some(unlabelled) {
        return Ok(Given { volume, has_unsure: false });
    }
    let (mut has_255, mut has_others, mut has_instances) = (false, false, false);
    let mut strange = None;
    for z in 0..volume.shape()[0] {
        volume.source().read_labels(z, &mut |value| {
            match value {
                LabelValue::Integer(0) => {}
                LabelValue::Integer(255) => has_255 = true,
                LabelValue::Integer(256..) => has_instances = true,
                LabelValue::Integer(..0) | LabelValue::Float(_) => strange = Some(value),
                _ => has_others = true,
            }
            0
        })?;
    }
    if let (Some(value), None) = (strange, options.value) {
        return Err(Error::Usage(format!(
            "{}: labels are whole numbers from 0, and there is a {value}; threshold it first, or \
             say which value is foreground (--label-value)",
            path.display()
        )));
    }
    if has_instances {
        return Ok(Given { volume, has_unsure: false });
    }
    if has_255 && !has_others && options.value.is_none() {
        return Err(Error::Usage(format!(
            "{}: the labels are 0 and 255 alone: is 255 foreground, or not labelled? Say \
             --label-value 255 or --ignore-value 255",
            path.display()
        )));
    }
    let options = LabelOptions { ignore: Some(unlabelled), ..options };
    Ok(Given { volume: open_labels_as(path, options, axes)?, has_unsure: true })
}

/// The patches that labels say something of.
fn patches_of(
    project: &Project,
    path: &Path,
    given: &Given,
    (query, is_guess): (usize, bool),
    asked: &[Asked],
) -> Result<Vec<(u32, Vec<u8>)>> {
    let volume = &given.volume;
    let patch = project.config().patch;
    let shape = volume.shape();
    let of_query: Vec<&Asked> = asked.iter().filter(|a| a.query == Some(query)).collect();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if shape[1..] == [patch, patch] {
        if let (1, Some(at)) = (shape[0], position_of(&name)) {
            let known = asked.iter().find(|a| a.at == at);
            let unknown = || {
                Error::Input(format!(
                    "{}: its name is of no patch that was asked for; see \
                     queries/{query:03}/query.json for the names",
                    path.display()
                ))
            };
            return Ok(vec![(known.ok_or_else(unknown)?.id, labels_of(given, 0)?)]);
        }
        if shape[0] == of_query.len() {
            if is_guess && !project.path().join(format!("queries/{query:03}")).exists() {
                return Err(Error::Usage(format!(
                    "{}: a stack is taken for a query page by page, and query {query}, which is to \
                     be answered now, was never written (askem query); say --query N if it is for \
                     an earlier one",
                    path.display()
                )));
            }
            require_same_query(project, query, &of_query)?;
            let labels = |(z, a): (usize, &&Asked)| Ok((a.id, labels_of(given, z)?));
            return of_query.iter().enumerate().map(labels).collect();
        }
    }
    if shape == project.raw().shape() {
        return cut_out(given, asked, patch);
    }
    Err(Error::Input(format!(
        "{}: labels of {} (sections x rows x columns) are neither the {} patches of {patch} x \
         {patch} pixels of query {query} (--query N takes another) nor the whole volume of {}",
        path.display(),
        show_shape(shape),
        of_query.len(),
        show_shape(project.raw().shape())
    )))
}

/// An error if the query that was written is of other patches than the project asks for now.
fn require_same_query(project: &Project, query: usize, asked: &[&Asked]) -> Result<()> {
    let path = project.path().join(format!("queries/{query:03}/query.json"));
    let Ok(text) = fs::read(&path) else { return Ok(()) };
    let written: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let place = |of: &serde_json::Value| ["z", "y", "x"].map(|axis| of[axis].as_u64());
    let there: Vec<_> = written["patches"].as_array().into_iter().flatten().map(place).collect();
    let now = asked.iter().map(|a| [a.at.z, a.at.y, a.at.x].map(|at| Some(at as u64)));
    if there.is_empty() || now.eq(there) {
        return Ok(());
    }
    Err(Error::Input(format!(
        "{}: it was written for other patches than query {query} has now; write it anew (askem query), \
         label what that has, or import pictures that are named like their patches",
        path.display()
    )))
}

/// All that was asked for, out of labels of the whole volume, where any pixel is labelled.
fn cut_out(given: &Given, asked: &[Asked], patch: usize) -> Result<Vec<(u32, Vec<u8>)>> {
    let width = given.volume.shape()[2];
    let mut order: Vec<&Asked> = asked.iter().collect();
    order.sort_by_key(|a| a.at);
    let mut section: Option<(usize, Vec<u8>)> = None;
    let mut found = Vec::new();
    for a in order {
        if section.as_ref().is_none_or(|(z, _)| *z != a.at.z) {
            section = Some((a.at.z, labels_of(given, a.at.z)?));
        }
        let Some((_, all)) = &section else { continue };
        let rows = a.at.y..a.at.y + patch;
        let labels: Vec<u8> =
            rows.flat_map(|y| &all[y * width + a.at.x..][..patch]).copied().collect();
        if labels.iter().any(|&label| label != UNLABELLED) {
            found.push((a.id, labels));
        }
    }
    Ok(found)
}

/// A section of labels: 0, 1, 254 where the file says so, 255 where it is not labelled.
fn labels_of(given: &Given, z: usize) -> Result<Vec<u8>> {
    let options = given.volume.options();
    given.volume.source().read_labels(z, &mut |value| match options.label(value) {
        None | Some(IGNORED) => UNLABELLED,
        _ if given.has_unsure && value == LabelValue::Integer(UNSURE.into()) => UNSURE,
        Some(label) => label,
    })
}
