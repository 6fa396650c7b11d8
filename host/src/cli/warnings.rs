//! What `inspect` warns of, said by every command that reads the same data: once, on standard error.

use std::path::Path;

use crate::data::volume::{LabelVolume, Region, Volume, inspect_labels, inspect_some, show_voxel};
use crate::error::Result;
use crate::network::weights::TrainedNetwork;

/// Pixels that are looked at, at most: a second's work.
const PIXELS: u64 = 1 << 28;

/// What looks wrong with images, and with their labels.
pub(super) fn warnings_of(raw: &dyn Volume, labels: Option<&LabelVolume>) -> Result<Vec<String>> {
    Ok(inspect_some(raw, labels, PIXELS)?.warnings)
}

/// Says what looks wrong with labels, and `paired`, what was noticed when they were paired.
pub(super) fn warn_of_labels(labels: &LabelVolume, paired: &[String]) -> Result<()> {
    let (_, found) = inspect_labels(labels, PIXELS)?;
    say_each(paired.iter().chain(&found));
    Ok(())
}

/// Says what looks wrong with images.
pub(super) fn warn_of_images(raw: &dyn Volume) -> Result<()> {
    say_each(&warnings_of(raw, None)?);
    Ok(())
}

/// What is to be said of a region smaller than the network's patches; `what` names it.
pub(super) fn mirrored(region: &Region, patch: usize, what: &str) -> Option<String> {
    let (height, width) = (region.height(), region.width());
    (height < patch || width < patch).then(|| {
        format!(
            "{what}: its sections of {height} x {width} pixels are smaller than the network's \
             patches of {patch} x {patch}, and it sees mirror images beyond their edges"
        )
    })
}

/// What is to be said of images whose pixels have another size than those `known` to a network, which sees
/// `context` neighbouring sections on each side: larger or smaller by a fifth along rows or columns, or along z
/// where it looks that way.
pub(super) fn other_pixel_size(
    raw: &dyn Volume,
    known: Option<[f64; 3]>,
    context: usize,
    name: &str,
) -> Option<String> {
    let (here, known) = (raw.voxel_nm()?, known?);
    let first = if context > 0 { 0 } else { 1 };
    let is_far = |axis: usize| !(1.0 / 1.2..=1.2).contains(&(here[axis] / known[axis]));
    (first..3).any(is_far).then(|| {
        format!(
            "{name}: a voxel is {} (section, row, column), and {} in the training, so that what the network \
             looks for is smaller or larger here; resample the images to the training's size",
            show_voxel(here),
            show_voxel(known)
        )
    })
}

/// Says that the images have other pixels than those of the training, where they do.
pub(super) fn warn_of_pixel_size(raw: &dyn Volume, trained: &TrainedNetwork, path: &Path) {
    let name = path.display().to_string();
    say_each(&other_pixel_size(raw, trained.voxel_nm, trained.net.context, &name));
}

/// Says that sections are smaller than the network's patches, where they are.
pub(super) fn warn_of_mirrors(region: &Region, patch: usize, path: &Path) {
    say_each(&mirrored(region, patch, &path.display().to_string()));
}

fn say_each<'a>(warnings: impl IntoIterator<Item = &'a String>) {
    for warning in warnings {
        note!("askem: note: {warning}");
    }
}
