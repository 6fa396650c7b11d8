//! HDF5 files of BigDataViewer: `t00000/s00/0/cells`, a time point, a setup and a resolution.
//!
//! Source: [BigDataViewer's file format](https://imagej.net/plugins/bdv/). Numbers of 16 bits have
//! no sign there, though they are stored with one, since Java had no other.

use std::collections::BTreeSet;
use std::path::Path;

use roxmltree::{Document, Node};
use rust_hdf5::H5File;

use super::{Layout, SPACE, Steps};
use crate::data::volume::axes::Axis;
use crate::data::volume::axes::units::in_nm;

/// What describes a file is small.
const MAX_XML: u64 = 16 << 20;

/// Where a dataset stands among those of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cells<'a> {
    time: &'a str,
    setup: &'a str,
    level: usize,
}

impl<'a> Cells<'a> {
    fn of(name: &'a str) -> Option<Self> {
        let mut parts = name.split('/');
        let time = parts.next().filter(|part| number(part, 't').is_some())?;
        let setup = parts.next().filter(|part| number(part, 's').is_some())?;
        let level = parts.next()?.parse().ok()?;
        (parts.next() == Some("cells") && parts.next().is_none()).then_some(Self {
            time,
            setup,
            level,
        })
    }
}

/// The number behind a letter.
fn number(part: &str, letter: char) -> Option<u64> {
    part.strip_prefix(letter)?.parse().ok()
}

/// The only setup in full resolution, or the setup or dataset of this name, if the file is one of
/// BigDataViewer.
pub(super) fn find(
    path: &Path,
    file: &H5File,
    names: &BTreeSet<&str>,
    wanted: Option<&str>,
) -> Result<Option<Layout>, String> {
    let all: Vec<Cells> = names.iter().filter_map(|name| Cells::of(name)).collect();
    let setups: BTreeSet<&str> = all.iter().map(|cells| cells.setup).collect();
    let named = wanted.and_then(Cells::of).filter(|cells| all.contains(cells));
    let setup = match (named, wanted) {
        (Some(cells), _) => cells.setup,
        (None, Some(name)) => match setups.get(name) {
            Some(setup) => *setup,
            None => return Ok(None),
        },
        (None, None) => match setups.iter().collect::<Vec<_>>()[..] {
            [] => return Ok(None),
            [only] => only,
            [first, ..] => {
                return Err(format!(
                    "it is a BigDataViewer file of {} setups ({}); name one, as in {}:/{first}",
                    setups.len(),
                    setups.iter().copied().collect::<Vec<_>>().join(", "),
                    path.display()
                ));
            }
        },
    };
    let resolutions = resolutions(file, setup)?;
    let full = || {
        let voxels = |level: &usize| resolutions[*level].iter().product::<f64>();
        (0..resolutions.len()).min_by(|a, b| voxels(a).total_cmp(&voxels(b))).unwrap_or(0)
    };
    let level = named.map_or_else(full, |cells| cells.level);
    let mut times: Vec<&str> = all.iter().filter(|c| c.setup == setup).map(|c| c.time).collect();
    match named {
        Some(cells) => times = vec![cells.time],
        None => {
            times.dedup();
            times.sort_by_key(|time| number(time, 't'));
        }
    }
    let mut datasets = Vec::new();
    for time in times {
        let name = format!("{time}/{setup}/{level}/cells");
        if !names.contains(&*name) {
            return Err(format!("it is a BigDataViewer file that lacks /{name}; save it again"));
        }
        datasets.push(name);
    }
    let lead = match named {
        Some(_) => Vec::new(),
        None => vec![(Axis::Time, datasets.len() as u64)],
    };
    let voxel = number(setup, 's').and_then(|id| voxel_nm(path, id));
    // Both are stored as x, y, z.
    let step = |axis: usize| Some(voxel?[axis] * resolutions.get(level).map_or(1.0, |r| r[axis]));
    Ok(Some(Layout {
        datasets,
        lead,
        said: Some(SPACE.to_vec()),
        sides: None,
        steps: Steps::File([2, 1, 0].map(step).to_vec()),
        unsigned: true,
    }))
}

/// How many voxels of the full resolution one of each level is, along x, y and z; none where the
/// file does not say, which then has one level.
fn resolutions(file: &H5File, setup: &str) -> Result<Vec<[f64; 3]>, String> {
    let Ok(dataset) = file.dataset(&format!("{setup}/resolutions")) else { return Ok(Vec::new()) };
    // Levels halve an image.
    const MOST: usize = 64;
    let wrong = || format!("/{setup}/resolutions can't be right: it has to hold 3 numbers a level");
    let [levels @ 1..=MOST, 3] = dataset.shape()[..] else { return Err(wrong()) };
    let numbers = dataset.read_numeric_as::<f64>().map_err(|_| wrong())?;
    let rows = numbers.as_chunks::<3>().0.to_vec();
    let good = |factor: &f64| factor.is_finite() && *factor > 0.0;
    (rows.len() == levels && rows.as_flattened().iter().all(good)).then_some(rows).ok_or_else(wrong)
}

/// The size of a setup's voxels along x, y and z, by the XML beside a file.
fn voxel_nm(path: &Path, setup: u64) -> Option<[f64; 3]> {
    let beside = path.with_extension("xml");
    if std::fs::metadata(&beside).ok()?.len() > MAX_XML {
        return None;
    }
    let xml = std::fs::read_to_string(beside).ok()?;
    of_xml(&xml, path.file_name()?.to_str()?, setup)
}

fn of_xml(xml: &str, file: &str, setup: u64) -> Option<[f64; 3]> {
    let document = Document::parse(xml).ok()?;
    let text = |node: Node, name: &str| -> Option<String> {
        let inside = node.children().find(|child| child.has_tag_name(name))?;
        Some(inside.text()?.trim().to_owned())
    };
    let all = |name: &'static str| document.descendants().filter(move |n| n.has_tag_name(name));
    // It may have been written for another file of this name.
    all("ImageLoader").find(|loader| {
        let name = text(*loader, "hdf5");
        name.is_some_and(|name| Path::new(&name).file_name().is_some_and(|name| name == file))
    })?;
    let view = all("ViewSetup")
        .find(|view| text(*view, "id").and_then(|id| id.parse().ok()) == Some(setup))?;
    let voxel = view.children().find(|child| child.has_tag_name("voxelSize"))?;
    let unit = in_nm(&text(voxel, "unit")?)?;
    let sizes = text(voxel, "size")?;
    let sizes: Option<Vec<f64>> = sizes.split_whitespace().map(|size| size.parse().ok()).collect();
    let [x, y, z] = sizes?[..] else { return None };
    Some([x, y, z].map(|size| size * unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cells() {
        let cells = Cells { time: "t00012", setup: "s03", level: 2 };
        assert_eq!(Cells::of("t00012/s03/2/cells"), Some(cells));
        for name in ["t00012/s03/2", "s03/resolutions", "t/s/0/cells", "t0/s0/0/cells/more"] {
            assert_eq!(Cells::of(name), None, "{name}");
        }
    }

    #[test]
    fn the_xml_of_another_file_says_nothing() {
        let xml = "<SpimData><SequenceDescription><ImageLoader format=\"bdv.hdf5\">\
            <hdf5 type=\"relative\">a.h5</hdf5></ImageLoader><ViewSetups><ViewSetup><id>1</id>\
            <voxelSize><unit>um</unit><size>0.004 0.008 0.04</size></voxelSize></ViewSetup>\
            </ViewSetups></SequenceDescription></SpimData>";
        let found = of_xml(xml, "a.h5", 1).unwrap();
        assert!(found.iter().zip([4.0, 8.0, 40.0]).all(|(a, b)| (a - b).abs() < 1e-9));
        assert_eq!(of_xml(xml, "b.h5", 1), None);
        assert_eq!(of_xml(xml, "a.h5", 0), None);
        assert_eq!(of_xml("<SpimData>", "a.h5", 1), None);
    }
}
