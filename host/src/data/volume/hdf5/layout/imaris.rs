//! Files of Imaris (`.ims`).
//!
//! Source: [Imaris' file format](https://imaris.oxinst.com/support/imaris-file-format). Datasets
//! are filled up to whole chunks; attributes, which are arrays of characters, say how much of them
//! is the image.

use std::collections::BTreeSet;

use rust_hdf5::{H5File, H5Group};

use super::{Layout, MOST, SPACE, Steps};
use crate::data::volume::axes::Axis;
use crate::data::volume::axes::units::in_nm;

const INFO: &str = "DataSetInfo/Image";

/// Where a dataset stands among those of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    level: u64,
    time: u64,
    channel: u64,
}

impl Place {
    fn of(name: &str) -> Option<Self> {
        let mut parts = name.split('/');
        let mut next = |start: &str| parts.next()?.strip_prefix(start);
        next("DataSet").filter(|rest| rest.is_empty())?;
        let level = next("ResolutionLevel ")?.parse().ok()?;
        let time = next("TimePoint ")?.parse().ok()?;
        let channel = next("Channel ")?.parse().ok()?;
        next("Data").filter(|rest| rest.is_empty())?;
        Some(Self { level, time, channel })
    }

    fn group(self) -> String {
        let Self { level, time, channel } = self;
        format!("DataSet/ResolutionLevel {level}/TimePoint {time}/Channel {channel}")
    }
}

/// The image in full resolution, or the dataset of this name, if the file is one of Imaris.
pub(super) fn find(
    file: &H5File,
    names: &BTreeSet<&str>,
    wanted: Option<&str>,
) -> Result<Option<Layout>, String> {
    let places: Vec<Place> = names.iter().filter_map(|name| Place::of(name)).collect();
    let chosen = match wanted {
        Some(name) => match Place::of(name).filter(|place| places.contains(place)) {
            Some(place) => vec![place],
            None => return Ok(None),
        },
        None => places.into_iter().filter(|place| place.level == 0).collect(),
    };
    let Some(&first) = chosen.first() else { return Ok(None) };
    let root = file.root_group();
    let Ok(info) = root.group(INFO) else { return Ok(None) };
    let (times, channels) = match wanted {
        Some(_) => (1, 1),
        None => {
            let longest = |of: fn(&Place) -> u64| chosen.iter().map(of).max().unwrap_or(0);
            (longest(|p| p.time).saturating_add(1), longest(|p| p.channel).saturating_add(1))
        }
    };
    if times.checked_mul(channels).is_none_or(|all| all > MOST as u64) {
        return Err(format!("{times} time points of {channels} channels can't be right"));
    }
    let mut datasets = Vec::new();
    let mut sides: Option<[u64; 3]> = None;
    for time in 0..times {
        for channel in 0..channels {
            let place = match wanted {
                Some(_) => first,
                None => Place { level: 0, time, channel },
            };
            let group = place.group();
            let name = format!("{group}/Data");
            if !names.contains(&*name) {
                return Err(format!(
                    "it is an Imaris file of {times} time points and {channels} channels, and \
                     lacks /{name}; save it again"
                ));
            }
            let size = size_of(&info, root.group(&group).ok(), place)?;
            if let Some(other) = sides.filter(|other| *other != size) {
                return Err(format!(
                    "/{name} has {size:?} voxels (z, y, x), and others have {other:?}; name one \
                     dataset, as in FILE.ims:/{name}"
                ));
            }
            sides = Some(size);
            datasets.push(name);
        }
    }
    let sides = sides.unwrap_or_default();
    let lead = match wanted {
        Some(_) => Vec::new(),
        None => vec![(Axis::Time, times), (Axis::Channel, channels)],
    };
    Ok(Some(Layout {
        datasets,
        lead,
        said: Some(SPACE.to_vec()),
        sides: Some(sides.to_vec()),
        steps: Steps::File(steps_nm(&info, sides)),
        unsigned: false,
    }))
}

/// The size of the image along z, y and x: of full resolution that of the file's description, with
/// which that of the dataset's group has to agree; of others the latter.
fn size_of(info: &H5Group, group: Option<H5Group>, place: Place) -> Result<[u64; 3], String> {
    let read = |group: &H5Group, start: &str| -> Option<[u64; 3]> {
        let side = |letter| text(group, &format!("{start}{letter}"))?.parse().ok();
        Some([side('Z')?, side('Y')?, side('X')?]).filter(|sides: &[u64; 3]| !sides.contains(&0))
    };
    let own = group.and_then(|group| read(&group, "ImageSize"));
    let whole = if place.level == 0 { read(info, "") } else { None };
    match (whole, own) {
        (Some(whole), Some(own)) if whole != own => Err(format!(
            "/{INFO} says that the image has {whole:?} voxels (z, y, x), and /{} that it has \
             {own:?}; save it again",
            place.group()
        )),
        (Some(size), _) | (None, Some(size)) => Ok(size),
        (None, None) => Err(format!(
            "it is an Imaris file that does not say in /{INFO} or /{} how large the image is (X, \
             Y, Z); save it again",
            place.group()
        )),
    }
}

/// How far apart voxels are: the image reaches from `ExtMin` to `ExtMax`, in micrometres unless
/// `Unit` says otherwise.
fn steps_nm(info: &H5Group, sides: [u64; 3]) -> Vec<Option<f64>> {
    let unit = text(info, "Unit").unwrap_or_else(|| "um".into());
    let reach = |axis: usize| {
        let end_of =
            |name: &str| -> Option<f64> { text(info, &format!("{name}{axis}"))?.parse().ok() };
        let extent = end_of("ExtMax")? - end_of("ExtMin")?;
        Some(extent.abs() * in_nm(&unit)?)
    };
    // They are numbered x, y, z.
    let step = |at: usize| Some(reach(2 - at)? / sides[at] as f64);
    (0..3).map(step).collect()
}

fn text(group: &H5Group, name: &str) -> Option<String> {
    Some(group.attr_string(name).ok()?.trim_matches(['\0', ' ']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_places() {
        let place = Place { level: 1, time: 20, channel: 3 };
        assert_eq!(Place::of(&format!("{}/Data", place.group())), Some(place));
        for name in ["DataSet", "DataSet/ResolutionLevel 0/TimePoint 0/Channel 0/Histogram", ""] {
            assert_eq!(Place::of(name), None, "{name}");
        }
    }
}
