//! A query as an OME-Zarr image with labels, for napari, webknossos and the like.
//!
//! The format: <https://ngff.openmicroscopy.org/0.5/>. Labels lie in `labels/start`.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::data::volume::Dtype;
use crate::data::volume::calibration::{ome_axes, ome_dataset};
use crate::data::zarr_files::{Element, ZarrFiles, place};
use crate::error::{Error, Result};

/// Writes pages of `side` x `side` values and their labels, over those that are there.
pub(super) fn write(
    folder: &Path,
    dtype: Dtype,
    side: usize,
    voxel_nm: Option<[f64; 3]>,
    raw: &[Vec<f32>],
    labels: &[Vec<f32>],
) -> Result<()> {
    let element = match dtype {
        Dtype::U8 => Element::U8,
        Dtype::U16 => Element::U16,
        _ => Element::F32,
    };
    write_array(&folder.join("0"), element, side, raw)?;
    let name = folder.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    write_group(
        folder,
        json!({ "multiscales": [multiscale(&format!("query {name}"), voxel_nm)] }),
    )?;
    let group = folder.join("labels");
    let start = group.join("start");
    write_array(&start.join("0"), Element::U8, side, labels)?;
    let colour = |label: u8, rgba: [u8; 4]| json!({ "label-value": label, "rgba": rgba });
    let about = json!({
        "multiscales": [multiscale("start", voxel_nm)],
        "image-label": {
            "colors": [colour(1, [230, 159, 0, 160]), colour(254, [240, 228, 66, 160])],
            "source": { "image": "../../" },
        },
    });
    write_group(&start, about)?;
    write_group(&group, json!({ "labels": ["start"] }))
}

/// An image of one resolution.
fn multiscale(name: &str, voxel_nm: Option<[f64; 3]>) -> Value {
    let datasets = [ome_dataset("0", 0, voxel_nm, None)];
    json!({ "name": name, "axes": ome_axes(voxel_nm), "datasets": datasets })
}

fn write_group(folder: &Path, mut ome: Value) -> Result<()> {
    ome["version"] = "0.5".into();
    let group = json!({ "zarr_format": 3, "node_type": "group", "attributes": { "ome": ome } });
    let path = folder.join("zarr.json");
    let text = serde_json::to_vec_pretty(&group)
        .map_err(|e| Error::Input(format!("{}: {e}", path.display())))?;
    place(&path, &text)
}

fn write_array(folder: &Path, element: Element, side: usize, pages: &[Vec<f32>]) -> Result<()> {
    let side = side as u64;
    let shape = [pages.len() as u64, side, side];
    let names = ["z", "y", "x"];
    let files = ZarrFiles::new(folder, &shape, &[1, side, side], element, &names, Map::new())?;
    files.write_metadata()?;
    for (z, page) in pages.iter().enumerate() {
        let bytes: Vec<u8> = match element {
            Element::U8 => page.iter().map(|&v| v as u8).collect(),
            Element::U16 => page.iter().flat_map(|&v| (v as u16).to_ne_bytes()).collect(),
            _ => page.iter().flat_map(|&v| v.to_ne_bytes()).collect(),
        };
        files.write(&[z as u64, 0, 0], &bytes)?;
    }
    Ok(())
}
