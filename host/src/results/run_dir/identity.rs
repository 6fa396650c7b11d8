//! By what a run tells that its data are still the same.

use std::sync::Arc;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::data::files::hexadecimal;
use crate::data::volume::{CachedVolume, LabelVolume, Region, Volume};
use crate::error::Result;

/// What of the data decides a run's result, as hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataIdentity {
    /// SHA-256 of shapes, types, regions and samples of the pixels.
    pub pixels: String,
    /// SHA-256 of all labels of the regions.
    pub labels: String,
}

/// Squares of pixels that are looked at in a region, and their side.
const SAMPLES: usize = 64;
const SIDE: usize = 32;

impl DataIdentity {
    /// Reads samples of the pixels and all labels of some regions: those for training and for the test.
    ///
    /// # Errors
    /// If something can't be read.
    pub fn of(regions: &[(&Arc<dyn Volume>, &LabelVolume, &Region)]) -> Result<Self> {
        let (mut pixels, mut all) = (Sha256::new(), Sha256::new());
        for (raw, labels, region) in regions {
            let about = format!("{:?} {} {region:?}\n", raw.shape(), raw.dtype());
            pixels.update(&about);
            all.update(&about);
            hash_samples(raw, region, &mut pixels)?;
            let sections: Vec<Result<_>> =
                region.z.clone().into_par_iter().map(|z| hash_labels(labels, z, region)).collect();
            for section in sections {
                all.update(section?);
            }
        }
        Ok(Self { pixels: hexadecimal(pixels), labels: hexadecimal(all) })
    }
}

fn hash_samples(raw: &Arc<dyn Volume>, region: &Region, to: &mut Sha256) -> Result<()> {
    let raw = CachedVolume::new(Arc::clone(raw), 1);
    for (at, side) in region.samples(SAMPLES, SIDE) {
        raw.for_each_row(at.z, at.y..at.y + side, at.x..at.x + side, |row| {
            row.iter().for_each(|value| to.update(value.to_le_bytes()));
        })?;
    }
    Ok(())
}

fn hash_labels(labels: &LabelVolume, z: usize, region: &Region) -> Result<[u8; 32]> {
    let width = labels.shape()[2];
    let section = labels.read_labels(z)?;
    let mut hasher = Sha256::new();
    for y in region.y.clone() {
        hasher.update(&section[y * width..][region.x.clone()]);
    }
    Ok(hasher.finalize().into())
}
