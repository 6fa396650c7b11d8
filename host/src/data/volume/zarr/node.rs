//! Which array of a hierarchy a path means.

use std::path::Path;

use serde_json::Value;

use super::place::Place;
use crate::data::volume::Grid;
use crate::data::volume::axes::units::in_nm;
use crate::data::volume::axes::{Axis, names};
use crate::{Error, Result};

/// Metadata files are small; what is larger is not one.
pub(super) const MAX_METADATA: u64 = 64 << 20;

/// Whether a folder holds a Zarr array or group.
pub(in super::super) fn is_zarr(path: &Path) -> bool {
    Place::folder(path).is_group_or_array()
}

/// The image of an OME-Zarr group above an array that the array belongs to, and where its path
/// stands in it.
fn image_of(array: &Place) -> Option<(Value, usize)> {
    // Images lie at most so deep in the groups of wells and labels.
    const ABOVE: usize = 3;
    array.above().iter().take(ABOVE).find_map(|group| {
        let inside = array.path().strip_prefix(group.path()).ok()?;
        let attributes = attributes(group).ok()??;
        let images =
            attributes.pointer("/ome/multiscales").or(attributes.pointer("/multiscales"))?;
        images.as_array()?.iter().find_map(|image| {
            let mut datasets = image["datasets"].as_array()?.iter();
            let level = datasets.position(|dataset| {
                dataset["path"].as_str().is_some_and(|p| Path::new(p) == inside)
            })?;
            Some((image.clone(), level))
        })
    })
}

/// What groups above an array say of its axes, if it belongs to an OME-Zarr image: what they are,
/// and where the numbers along them lie.
pub(super) fn axes_of_image(array: &Place) -> (Option<Vec<Axis>>, Vec<Option<Grid>>) {
    let Some((image, level)) = image_of(array) else { return (None, Vec::new()) };
    let Some(axes) = names::of_multiscales(&image) else { return (None, Vec::new()) };
    // The level's own transformations come first, then those of all levels.
    let transformations = [&image["datasets"][level], &image]
        .map(|of| of["coordinateTransformations"].as_array().map_or(&[][..], Vec::as_slice));
    let grid = |axis: usize| {
        let unit = image["axes"].get(axis).and_then(|axis| in_nm(axis["unit"].as_str()?));
        let (mut step, mut origin) = (unit.unwrap_or(1.0), None);
        for one in transformations.into_iter().flatten() {
            let number = |name: &str| {
                one[name].get(axis).and_then(Value::as_f64).filter(|_| one["type"] == name)
            };
            if let Some(scale) = number("scale") {
                step *= scale;
                origin = origin.map(|at: f64| at * scale);
            }
            if let Some(shift) = number("translation") {
                origin = Some(origin.unwrap_or(0.0) + shift * unit.unwrap_or(1.0));
            }
        }
        let is_right = step.is_finite() && step > 0.0 && origin.is_none_or(f64::is_finite);
        is_right.then_some(Grid { step, origin, is_nm: unit.is_some() })
    };
    let grids = (0..axes.len()).map(grid).collect();
    (Some(axes), grids)
}

/// The attributes of a group, if it is there.
fn attributes(group: &Place) -> Result<Option<Value>> {
    match read_json(&group.join("zarr.json"))? {
        Some(mut metadata) => Ok(Some(metadata["attributes"].take())),
        None => read_json(&group.join(".zattrs")),
    }
}

/// The array at a place, the full resolution of an OME-Zarr image there, or the only array of a
/// group.
pub(super) fn find_array(place: &Place) -> Result<Place> {
    if place.join(".zarray").is_file() {
        return Ok(place.clone());
    }
    let wrong = |what: String| Error::Input(format!("{}: {what}", place.path().display()));
    let metadata = read_json(&place.join("zarr.json"))?;
    if let Some(metadata) = &metadata {
        match metadata["node_type"].as_str() {
            Some("array") => return Ok(place.clone()),
            Some("group") => {}
            _ => {
                return Err(wrong(
                    "its zarr.json describes neither an array nor a group; it may be damaged"
                        .into(),
                ));
            }
        }
    }
    let attributes = match metadata {
        Some(mut metadata) => Some(metadata["attributes"].take()),
        None => read_json(&place.join(".zattrs"))?,
    };
    if let Some(first) = attributes.as_ref().and_then(full_resolution) {
        let array = place.join(first);
        let inside = Path::new(first).components().all(|part| {
            matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir)
        });
        if !inside || !is_array(&array) {
            return Err(wrong(format!(
                "its multiscales metadata names {first} as the full resolution, where no array is"
            )));
        }
        return Ok(array);
    }
    let inside = place.children()?;
    let several = |what: &str, of: &[&Place]| {
        let names = of.iter().filter_map(|p| Some(p.path().file_name()?.to_string_lossy()));
        Err(wrong(format!(
            "a Zarr group with several {what} ({}); name one, as in {}",
            names.collect::<Vec<_>>().join(", "),
            of[0].path().display()
        )))
    };
    let arrays: Vec<&Place> = inside.iter().filter(|place| is_array(place)).collect();
    match arrays[..] {
        [] => {}
        [only] => return Ok(only.clone()),
        _ => return several("arrays", &arrays),
    }
    // As bioformats2raw lays out files, and OME-Zarr the labels of an image.
    let images: Vec<&Place> = inside.iter().filter(|place| is_image(place)).collect();
    match images[..] {
        [] => Err(wrong("a Zarr group without arrays; name an array inside it".into())),
        [only] => find_array(only),
        _ => several("images", &images),
    }
}

/// Whether a folder is an OME-Zarr image.
fn is_image(group: &Place) -> bool {
    let attributes = attributes(group).ok().flatten();
    attributes.is_some_and(|attributes| full_resolution(&attributes).is_some())
}

fn is_array(place: &Place) -> bool {
    let is_v3 = || {
        let metadata = read_json(&place.join("zarr.json")).ok().flatten();
        metadata.is_some_and(|metadata| metadata["node_type"] == "array")
    };
    place.join(".zarray").is_file() || is_v3()
}

/// The first dataset of OME-Zarr's multiscales: 0.5 keeps them below `ome`, older ones beside it.
fn full_resolution(attributes: &Value) -> Option<&str> {
    let multiscales =
        attributes.pointer("/ome/multiscales/0").or(attributes.pointer("/multiscales/0"))?;
    multiscales.pointer("/datasets/0/path")?.as_str()
}

/// A file of metadata, if it is there.
pub(super) fn read_json(place: &Place) -> Result<Option<Value>> {
    let Some(text) = place.read(MAX_METADATA)? else { return Ok(None) };
    let value = serde_json::from_slice(&text)
        .map_err(|e| Error::Input(format!("{}: not JSON: {e}", place.path().display())))?;
    Ok(Some(value))
}
