//! Where labels of a part of a volume lie in it, by what files and their names say.

use super::{Volume, show_side};

/// Where the voxels of an axis lie in a space that other volumes may share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// From one to the next.
    pub step: f64,
    /// The place of the first one, where the file says it.
    pub origin: Option<f64>,
    /// Whether these are nanometres; else the file names no unit of length.
    pub is_nm: bool,
}

/// Parts of a voxel up to which a place counts as that of the voxel.
const NEAR: f64 = 1e-3;
/// Relative difference up to which steps are alike.
const ALIKE: f64 = 1e-6;

/// The voxel of `raw` where `labels` begin, by the translations of both; none where the labels have
/// none, or `raw` is of a format without.
///
/// Errors: why these places are none, in words that follow "by their translations".
pub(super) fn by_grids(
    raw: &dyn Volume,
    labels: &dyn Volume,
) -> Result<Option<[usize; 3]>, String> {
    let (Some(ours), Some(theirs)) = (raw.grid(), labels.grid()) else { return Ok(None) };
    let mut at = [0; 3];
    for (i, axis) in ["z", "y", "x"].into_iter().enumerate() {
        let (our, their) = (ours[i], theirs[i]);
        let Some(origin) = their.origin else { return Ok(None) };
        if our.is_nm != their.is_nm {
            return Err(format!(
                "they can't be placed: along {axis} only one has a unit of length"
            ));
        }
        if (their.step / our.step - 1.0).abs() > ALIKE {
            let (theirs, ours) = match (show_side(their.step), show_side(our.step)) {
                // What tells them apart lies in further digits.
                (a, b) if a == b => (their.step.to_string(), our.step.to_string()),
                shown => shown,
            };
            return Err(format!(
                "they can't be placed: along {axis} their voxels are {theirs} apart, and those of \
                 the raw volume {ours}"
            ));
        }
        let voxels = (origin - our.origin.unwrap_or(0.0)) / our.step;
        if (voxels - voxels.round()).abs() > NEAR {
            return Err(format!(
                "they begin {voxels:.3} voxels behind the raw volume along {axis}, which is no \
                 whole number"
            ));
        }
        if voxels.round() < 0.0 {
            return Err(format!(
                "they begin {} voxels before the raw volume along {axis}",
                -voxels.round()
            ));
        }
        at[i] = voxels.round() as usize;
    }
    Ok(Some(at))
}

/// Where the first voxel of what is made of a volume lies, in nanometres, or in voxels where the
/// volume names no unit and takes voxels for it; none where its file does not say.
pub(crate) fn origin_of(volume: &dyn Volume) -> Option<[f64; 3]> {
    let grid = volume.grid()?;
    let kept = |axis: &Grid| axis.is_nm || axis.step == 1.0;
    let alike = grid.iter().all(|axis| kept(axis) && axis.is_nm == grid[0].is_nm);
    let [z, y, x] = grid.map(|axis| axis.origin.filter(|_| alike));
    Some([z?, y?, x?])
}

/// The section of a folder to which a picture belongs that is alone, by the number in its name: as
/// the folder's names have it, digit by digit.
pub(super) fn by_name(raw: &dyn Volume, labels: &dyn Volume) -> Option<usize> {
    let depth = raw.shape()[0];
    let stem = |volume: &'_ dyn Volume, z: usize| -> Option<Vec<String>> {
        let stem = volume.section_file(z)?.file_stem()?.to_string_lossy().into_owned();
        let runs = stem.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty());
        Some(runs.map(str::to_owned).collect())
    };
    let names: Vec<Vec<String>> = (0..depth).map(|z| stem(raw, z)).collect::<Option<_>>()?;
    let own = stem(labels, 0)?;
    // Which number in the names, from the last one on, is the section's.
    let from_end =
        |runs: &[String], i: usize| runs.len().checked_sub(i + 1).map(|at| runs[at].clone());
    let is_numbers = |i: usize| {
        let number = |z: usize| from_end(&names[z], i)?.parse::<u64>().ok();
        (0..depth).all(|z| number(z).is_some() && number(z) == raw.section_number(z))
    };
    let shortest = names.iter().map(Vec::len).min()?;
    let place = (0..shortest).find(|&i| is_numbers(i))?;
    let candidates: Vec<String> = match own.len() == names[0].len() {
        true => from_end(&own, place).into_iter().collect(),
        false => own,
    };
    let section_of =
        |run: &String| (0..depth).find(|&z| from_end(&names[z], place).as_ref() == Some(run));
    let mut found: Vec<usize> = candidates.iter().filter_map(section_of).collect();
    found.dedup();
    match found[..] {
        [only] => Some(only),
        _ => None,
    }
}
