//! Which datasets of a file make one array, where a program lays out its files in a way of its own:
//! Imaris, and BigDataViewer.

use std::collections::BTreeSet;
use std::path::Path;

use rust_hdf5::{H5Dataset, H5File};

use super::axes;
use crate::data::volume::axes::Axis;

mod bdv;
mod imaris;

/// The datasets that make an array, and what is known of it.
pub(super) struct Layout {
    /// In the order of `lead`, the last of its axes fastest.
    pub(super) datasets: Vec<String>,
    /// The axes that lead from dataset to dataset, and how long they are.
    pub(super) lead: Vec<(Axis, u64)>,
    /// What the axes of a dataset are.
    pub(super) said: Option<Vec<Axis>>,
    /// How much of a dataset counts, where less than all does.
    pub(super) sides: Option<Vec<u64>>,
    pub(super) steps: Steps,
    /// Whether signed numbers of 16 bits are meant without a sign.
    pub(super) unsigned: bool,
}

/// How far apart neighbours are, in nanometres.
pub(super) enum Steps {
    /// Along z, y and x, whatever axes these are.
    Space(Option<[f64; 3]>),
    /// Along the axes of a dataset.
    File(Vec<Option<f64>>),
}

/// Sections, rows and columns, as both programs store them.
const SPACE: [Axis; 3] = [Axis::Z, Axis::Y, Axis::X];
/// No file has more datasets than this for one image.
const MOST: usize = 1 << 20;

impl Layout {
    /// What `wanted` means in a file, or the image of a file that is one of these programs'.
    /// Nothing where it is not.
    ///
    /// Errors: what is wrong with the file, without its name.
    pub(super) fn find(
        path: &Path,
        file: &H5File,
        names: &[String],
        wanted: Option<&str>,
    ) -> Result<Option<Self>, String> {
        let names: BTreeSet<&str> = names.iter().map(|name| name.trim_matches('/')).collect();
        match imaris::find(file, &names, wanted)? {
            Some(found) => Ok(Some(found)),
            None => bdv::find(path, file, &names, wanted),
        }
    }

    /// A dataset on its own.
    pub(super) fn of_dataset(name: &str, dataset: &H5Dataset, path: &Path) -> Self {
        Self {
            datasets: vec![name.to_owned()],
            lead: Vec::new(),
            said: axes::of(dataset, path),
            sides: None,
            steps: Steps::Space(axes::voxel_nm(dataset)),
            unsigned: false,
        }
    }
}
