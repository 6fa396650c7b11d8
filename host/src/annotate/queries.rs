//! A query as files for other tools: `queries/NNN/`.

mod ome_zarr;

use std::path::{Path, PathBuf};

use serde::Serialize;
use tiff::encoder::colortype::{ColorType, Gray8, Gray16, Gray32Float};
use tiff::encoder::{TiffEncoder, TiffValue};

use super::label_files::name_of;
use super::marks::State;
use super::project::{Asked, Project, make_folder};
use crate::data::files::write_atomically;
use crate::data::pool::{Position, Region};
use crate::data::volume::calibration::{STACKED, describe_stack};
use crate::data::volume::{Dtype, Volume};
use crate::error::{Error, Result};
use crate::network::model::Model;
use crate::network::unet::Output;

/// What `query.json` holds.
#[derive(Serialize)]
struct About<'a> {
    query: usize,
    volume: String,
    /// Sections, rows, columns.
    shape: [usize; 3],
    /// Side of a patch in pixels.
    patch: usize,
    /// Pixels around each patch in `context.tif`.
    margin: usize,
    /// Values of labels that are read back.
    labels: &'a str,
    /// Page by page.
    patches: Vec<Page>,
}

#[derive(Serialize)]
struct Page {
    page: usize,
    id: u32,
    name: String,
    z: usize,
    y: usize,
    x: usize,
    score: Option<f32>,
    state: State,
}

const LABELS: &str = "0 is background, 254 unsure, 255 not labelled, every other value foreground";

/// Writes the query that is to be answered now, anew if it is there: `raw.tif` (a page for each
/// patch, in the volume's own values), `context.tif` (the same with a margin of half a patch,
/// 0 beyond the volume), `start.tif` (the labels so far, else what the network foretells, else
/// 255), `query.zarr` (raw and start as OME-Zarr) and `query.json`. Gives the folder and the
/// patches.
///
/// # Errors
/// If something can't be read or written.
pub fn write_query(
    project: &mut Project,
    model: Option<&mut Model>,
) -> Result<(PathBuf, Vec<Asked>)> {
    let number = project.query();
    let all = project.patches();
    let asked: Vec<Asked> = all.into_iter().filter(|a| a.query == Some(number)).collect();
    let patch = project.config().patch;
    let margin = patch / 2;
    let folder = project.path().join("queries").join(format!("{number:03}"));
    make_folder(&folder)?;
    let volume = std::sync::Arc::clone(project.raw());
    let pages = |margin: usize| -> Result<Vec<Vec<f32>>> {
        asked.iter().map(|a| square(&*volume, a.at, patch, margin)).collect()
    };
    let raw = pages(0)?;
    let (dtype, voxel_nm) = (volume.dtype(), volume.voxel_nm());
    write_stack(&folder.join("raw.tif"), dtype, patch, voxel_nm, &raw)?;
    let side = patch + 2 * margin;
    write_stack(&folder.join("context.tif"), dtype, side, voxel_nm, &pages(margin)?)?;
    let mut start = Vec::new();
    let reader = project.reader();
    let mut model = model;
    for a in &asked {
        let labels = project.labels(a.id)?;
        let is_new = labels.iter().all(|&label| label == super::UNLABELLED);
        let mut values: Vec<f32> = labels.iter().map(|&label| f32::from(label)).collect();
        if let (true, Some(model)) = (is_new, &mut model) {
            let mut x = Vec::with_capacity(reader.sample_len(patch));
            reader.read(a.at, patch, &mut x)?;
            let p = model.forward(&x, &[Output::Probabilities])?.remove(0);
            values = p[..patch * patch].iter().map(|&p| if p < 0.5 { 1.0 } else { 0.0 }).collect();
        }
        start.push(values);
    }
    write_stack(&folder.join("start.tif"), Dtype::U8, patch, voxel_nm, &start)?;
    ome_zarr::write(&folder.join("query.zarr"), dtype, patch, voxel_nm, &raw, &start)?;
    let page = |(page, a): (usize, &Asked)| {
        let Position { z, y, x, .. } = a.at;
        let (name, score, state) = (name_of(a.at), a.score, a.state);
        Page { page, id: a.id, name, z, y, x, score, state }
    };
    let about = About {
        query: number,
        volume: project.volume_name(),
        shape: volume.shape(),
        patch,
        margin,
        labels: LABELS,
        patches: asked.iter().enumerate().map(page).collect(),
    };
    let path = folder.join("query.json");
    let text = serde_json::to_string_pretty(&about)
        .map_err(|e| Error::Input(format!("{}: {e}", path.display())))?;
    write_atomically(&path, (text + "\n").as_bytes())?;
    Ok((folder, asked))
}

/// The pixels of a patch with a margin, row by row; 0 beyond the volume.
fn square(volume: &dyn Volume, at: Position, patch: usize, margin: usize) -> Result<Vec<f32>> {
    let [_, height, width] = volume.shape();
    let side = patch + 2 * margin;
    let rows = at.y.saturating_sub(margin)..(at.y + patch + margin).min(height);
    let columns = at.x.saturating_sub(margin)..(at.x + patch + margin).min(width);
    let block = Region { z: at.z..at.z + 1, y: rows.clone(), x: columns.clone() };
    let pixels = volume.read_block(&block)?;
    let mut square = vec![0.0; side * side];
    let [top, left] = [rows.start + margin - at.y, columns.start + margin - at.x];
    for (row, from) in pixels.chunks(columns.len()).enumerate() {
        square[(top + row) * side + left..][..columns.len()].copy_from_slice(from);
    }
    Ok(square)
}

/// Writes pages of `side` x `side` values as a stack that ImageJ and tifffile take for sections.
fn write_stack(
    path: &Path,
    dtype: Dtype,
    side: usize,
    voxel_nm: Option<[f64; 3]>,
    pages: &[Vec<f32>],
) -> Result<()> {
    match dtype {
        Dtype::U8 => write_pages::<Gray8>(path, side, voxel_nm, pages, |v| v as u8),
        Dtype::U16 => write_pages::<Gray16>(path, side, voxel_nm, pages, |v| v as u16),
        _ => write_pages::<Gray32Float>(path, side, voxel_nm, pages, |v| v),
    }
}

fn write_pages<C: ColorType>(
    path: &Path,
    side: usize,
    voxel_nm: Option<[f64; 3]>,
    pages: &[Vec<f32>],
    value: fn(f32) -> C::Inner,
) -> Result<()>
where
    [C::Inner]: TiffValue,
{
    let failed =
        |e: tiff::TiffError| Error::io(path, "can't write", std::io::Error::other(e.to_string()));
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes).map_err(failed)?.with_compression(STACKED);
    for (number, page) in pages.iter().enumerate() {
        let mut image = encoder.new_image::<C>(side as u32, side as u32).map_err(failed)?;
        if number == 0 {
            describe_stack(image.encoder(), pages.len(), voxel_nm).map_err(failed)?;
        }
        let values: Vec<C::Inner> = page.iter().map(|&v| value(v)).collect();
        image.write_data(&values).map_err(failed)?;
    }
    write_atomically(path, &bytes.into_inner())
}
