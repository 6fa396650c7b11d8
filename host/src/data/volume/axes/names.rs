//! The names that files give to axes.

use serde_json::Value;

use super::Axis;

impl Axis {
    /// What a name means, in any case.
    pub(in super::super) fn named(name: &str) -> Self {
        match &*name.trim().to_lowercase() {
            "z" | "depth" | "section" | "sections" | "slice" | "slices" | "plane" | "planes" => {
                Self::Z
            }
            "y" | "row" | "rows" | "height" => Self::Y,
            "x" | "col" | "cols" | "column" | "columns" | "width" => Self::X,
            "c" | "ch" | "channel" | "channels" | "s" | "sample" | "samples" | "band" | "rgb" => {
                Self::Channel
            }
            "t" | "time" | "times" | "frame" | "frames" => Self::Time,
            other => match other.strip_prefix("dim").unwrap_or(other).trim_start_matches('_') {
                // As xarray and h5py number axes that nobody named.
                number if number.bytes().all(|b| b.is_ascii_digit()) => Self::Other(String::new()),
                _ => Self::Other(name.trim().to_owned()),
            },
        }
    }

    /// What OME-Zarr says of an axis: an object with name and type, or a name alone (0.3).
    fn of_ome(axis: &Value) -> Self {
        let name = axis.as_str().or(axis["name"].as_str()).unwrap_or_default();
        match axis["type"].as_str() {
            Some("channel") => Self::Channel,
            Some("time") => Self::Time,
            _ => Self::named(name),
        }
    }
}

/// A list of names, in JSON, of which some may be null.
pub(in super::super) fn of_list(names: &Value) -> Option<Vec<Axis>> {
    let names = names.as_array()?.iter();
    Some(names.map(|name| Axis::named(name.as_str().unwrap_or_default())).collect())
}

/// The axes of the first image in the attributes of an OME-Zarr group, and how many datasets it has
/// there. Before version 0.3 they are always t, c, z, y, x.
pub(in super::super) fn of_multiscales(multiscales: &Value) -> Option<Vec<Axis>> {
    let known = |version: &str| matches!(version, "0.1" | "0.2");
    match multiscales.get("axes") {
        Some(axes) => Some(axes.as_array()?.iter().map(Axis::of_ome).collect()),
        None => multiscales["version"]
            .as_str()
            .filter(|v| known(v))
            .map(|_| vec![Axis::Time, Axis::Channel, Axis::Z, Axis::Y, Axis::X]),
    }
}

/// The axes of ilastik's and vigra's `axistags`: JSON, slowest first.
pub(in super::super) fn of_axistags(text: &str) -> Option<Vec<Axis>> {
    let tags: Value = serde_json::from_str(text).ok()?;
    let keys = tags["axes"].as_array()?.iter();
    Some(keys.map(|axis| Axis::named(axis["key"].as_str().unwrap_or_default())).collect())
}
