//! N5 arrays, read as Zarr arrays.
//!
//! Source: the [N5 specification](https://github.com/saalfeldlab/n5#file-system-specification). Its axes are stored fastest first: x, y, z.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::Value;
use zarrs::array::{Array, ArrayMetadata, ArrayMetadataV3};
use zarrs::storage::{ReadableStorage, ReadableStorageTraits};
use zarrs_n5::N5ArrayMetadata;

use super::bounds::Compressor;
use super::node::read_json;
use super::place::Place;
use crate::data::volume::axes::units::in_nm;
use crate::data::volume::axes::{Axis, names};
use crate::{Error, Result};

const METADATA: &str = "attributes.json";

/// Whether a folder holds an N5 array or group.
pub(in super::super) fn is_n5(path: &Path) -> bool {
    path.join(METADATA).is_file()
}

/// The attributes of an array; nothing where a folder holds none.
fn array_at(path: &Path) -> Result<Option<Value>> {
    let attributes = read_json(&Place::folder(path).join(METADATA))?;
    Ok(attributes.filter(|found| found["dimensions"].is_array() && found["blockSize"].is_array()))
}

/// The array at `path`, or the full resolution `s0` of a pyramid there, or the only array of a group.
pub(super) fn find_array(path: &Path) -> Result<PathBuf> {
    let wrong = |what: String| Error::Input(format!("{}: {what}", path.display()));
    for array in [path.to_path_buf(), path.join("s0")] {
        let Some(attributes) = array_at(&array)? else { continue };
        if attributes["dimensions"].as_array().is_some_and(|sides| sides.iter().any(|s| *s == 0)) {
            return Err(wrong("a side of it is 0, so it has no voxels".into()));
        }
        let compression = &attributes["compression"];
        let name = match compression["useZlib"].as_bool() {
            Some(true) => "gzip with useZlib",
            _ => compression["type"].as_str().unwrap_or("nothing that it names"),
        };
        return match name {
            "raw" | "gzip" | "bzip2" | "zstd" | "blosc" => Ok(array),
            _ => Err(wrong(format!(
                "its blocks are compressed with {name}, which is not read; of N5, raw, gzip, \
                 bzip2, zstd and blosc are. Save it anew with one of them"
            ))),
        };
    }
    let folders = std::fs::read_dir(path).map_err(|e| Error::io(path, "reading the folder", e))?;
    let mut inside: Vec<PathBuf> = folders
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|inside| inside.is_dir() && is_n5(inside))
        .collect();
    inside.sort();
    match &inside[..] {
        [] => Err(wrong(
            "an N5 group without arrays; name an array inside it, as in volume.n5/volumes/raw/s0"
                .into(),
        )),
        [only] => find_array(only),
        several => {
            let names = several.iter().filter_map(|p| Some(p.file_name()?.to_string_lossy()));
            Err(wrong(format!(
                "an N5 group with several arrays or groups ({}); name one, as in {}",
                names.collect::<Vec<_>>().join(", "),
                several[0].display()
            )))
        }
    }
}

/// Opens an array as the Zarr array that it is like.
///
/// Errors: what is wrong with its metadata, without its name.
pub(super) fn open(
    array: &Path,
    store: ReadableStorage,
) -> std::result::Result<Array<dyn ReadableStorageTraits>, String> {
    let wrong = |e: String| format!("not an N5 array that can be read: {e}");
    let mut attributes = array_at(array).map_err(|e| e.to_string())?.unwrap_or_default();
    // Blocks say themselves how their bytes are shuffled; the metadata lacks what describes it.
    if attributes["compression"]["type"] == "blosc" {
        attributes["compression"]["shuffle"] = 0.into();
    }
    let n5: N5ArrayMetadata =
        serde_json::from_value(attributes).map_err(|e| wrong(e.to_string()))?;
    let zarr = ArrayMetadataV3::try_from(n5).map_err(|e| wrong(e.to_string()))?;
    Array::new_with_metadata(store, "/", ArrayMetadata::V3(zarr)).map_err(|e| wrong(e.to_string()))
}

/// What the axes of an array are, and how far apart neighbours along them are in nanometres, as far as it says so.
pub(super) fn axes_of(array: &Path) -> (Option<Vec<Axis>>, Vec<Option<f64>>) {
    let read = |folder: &Path| read_json(&Place::folder(folder).join(METADATA)).ok().flatten();
    let Some(attributes) = read(array) else { return (None, Vec::new()) };
    let dimensions = attributes["dimensions"].as_array().map_or(0, Vec::len);
    // Only up to three axes have an order that all writers agree on.
    let usual = [Axis::X, Axis::Y, Axis::Z].into_iter().take(dimensions);
    let axes = names::of_list(&attributes["axes"])
        .filter(|axes| axes.len() == dimensions)
        .or_else(|| (dimensions <= 3).then(|| usual.collect()));
    // Viewers look for the voxel's size at the array, or at the pyramid that it is the top of.
    let above = array.parent().filter(|_| array.file_name().is_some_and(|name| name == "s0"));
    let steps = [Some(attributes), above.and_then(read)]
        .into_iter()
        .flatten()
        .find_map(|said| steps_nm(&said, axes.as_deref()?));
    (axes, steps.unwrap_or_default())
}

/// Distances along the axes, by one of the attributes that viewers write.
fn steps_nm(attributes: &Value, axes: &[Axis]) -> Option<Vec<Option<f64>>> {
    let numbers = |value: &Value| -> Option<Vec<f64>> {
        value.as_array()?.iter().map(Value::as_f64).collect()
    };
    let in_order = |steps: Vec<f64>, unit: &dyn Fn(usize) -> Option<f64>| {
        (steps.len() == axes.len())
            .then(|| steps.iter().enumerate().map(|(i, step)| Some(step * unit(i)?)).collect())
    };
    let unit_of = |value: &Value| value.as_str().and_then(in_nm);
    // BigDataViewer and n5-viewer.
    if let Some(steps) = numbers(&attributes["pixelResolution"]["dimensions"]) {
        return in_order(steps, &|_| unit_of(&attributes["pixelResolution"]["unit"]));
    }
    // Paintera and n5-ij.
    if let Some(steps) = numbers(&attributes["resolution"]) {
        let units = &attributes["units"];
        return in_order(steps, &|i| unit_of(units.get(i).unwrap_or(&attributes["unit"])));
    }
    // COSEM, which names the axes in the order of its own lists.
    let transform = &attributes["transform"];
    let named = names::of_list(&transform["axes"])?;
    let steps = numbers(&transform["scale"])?;
    let step = |axis: &Axis| {
        let at = named.iter().position(|named| named == axis)?;
        Some(steps.get(at)? * unit_of(transform["units"].get(at)?)?)
    };
    Some(axes.iter().map(step).collect())
}

/// The compression of an array's blocks.
pub(super) fn compressor(array: &Path) -> Compressor {
    let compression = array_at(array).ok().flatten().map(|mut said| said["compression"].take());
    Compressor::named(compression.as_ref().and_then(|said| said["type"].as_str()))
}

/// Refuses a block whose header is not that of a block of numbers with `sides` at most, or that decodes to more than its `bytes`: its
/// decoder would stumble over them. A file that is not there is a block of zeros.
pub(super) fn check(
    file: &Path,
    sides: &[u64],
    compressor: Compressor,
    bytes: u64,
) -> std::result::Result<(), String> {
    // What is no file, such as a pipe, would be read for ever.
    if std::fs::metadata(file).is_ok_and(|found| !found.is_file()) {
        return Err("it is no file".into());
    }
    let stored = match std::fs::read(file) {
        Ok(stored) => stored,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(format!("it can't be read: {e}")),
    };
    let Some((header, numbers)) = stored.split_at_checked(4 + 4 * sides.len()) else {
        return Err("it is too short for a block's header".into());
    };
    let (kind, axes) = (&header[..2], u16::from_be_bytes([header[2], header[3]]));
    if kind != [0, 0] {
        return Err("it is no block of numbers of one size each".into());
    }
    if usize::from(axes) != sides.len() {
        return Err(format!("it has {axes} axes in place of {}", sides.len()));
    }
    for (side, most) in header[4..].chunks_exact(4).zip(sides) {
        let side = u64::from(u32::from_be_bytes([side[0], side[1], side[2], side[3]]));
        if side == 0 || side > *most {
            return Err(format!("it has a side of {side} where blocks have {most}"));
        }
    }
    compressor.check_bytes(numbers, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn blocks_with_other_headers_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("0");
        let verdict = |bytes: &[u8]| {
            std::fs::write(&file, bytes).unwrap();
            check(&file, &[5, 7], Compressor::Unknown, 35)
        };
        let good = [0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 3];
        assert_eq!(verdict(&good), Ok(()));
        assert_eq!(check(&folder.path().join("none"), &[5, 7], Compressor::Zstd, 35), Ok(()));
        assert!(verdict(&good[..11]).unwrap_err().contains("short"));
        assert!(verdict(&[]).unwrap_err().contains("short"));
        for (at, value, word) in
            [(1, 1, "numbers"), (3, 3, "axes"), (7, 0, "a side of 0"), (11, 8, "a side of 8")]
        {
            let mut other = good;
            other[at] = value;
            assert!(verdict(&other).unwrap_err().contains(word), "{word}");
        }
    }

    #[test]
    fn voxels_have_the_size_that_viewers_write() {
        let axes = [Axis::X, Axis::Y, Axis::Z];
        let want = Some(vec![Some(4.0), Some(4.0), Some(40.0)]);
        for said in [
            json!({ "pixelResolution": { "dimensions": [4, 4, 40], "unit": "nm" } }),
            json!({ "resolution": [0.004, 0.004, 0.04], "units": ["um", "um", "um"] }),
            json!({ "transform": { "axes": ["z", "y", "x"], "scale": [40, 4, 4], "units": ["nm", "nm", "nm"] } }),
        ] {
            let found = steps_nm(&said, &axes);
            let close = found.iter().flatten().zip(want.iter().flatten());
            assert!(
                found.is_some()
                    && close.clone().count() == 3
                    && close.into_iter().all(|(a, b)| (a.unwrap() - b.unwrap()).abs() < 1e-9),
                "{said}: {found:?}"
            );
        }
        // Without a unit nobody knows.
        let said = json!({ "resolution": [4, 4, 40] });
        assert_eq!(steps_nm(&said, &axes), Some(vec![None; 3]));
        assert_eq!(steps_nm(&json!({}), &axes), None);
    }
}
