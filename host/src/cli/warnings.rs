//! What `inspect` warns of, said by every command that reads the same data: once, on standard error.

use std::path::Path;

use crate::data::volume::{LabelVolume, Pair, Region, Volume, inspect_labels, inspect_some};
use crate::error::Result;

/// Pixels that are looked at, at most: a second's work.
const PIXELS: u64 = 1 << 28;

/// What looks wrong with images, and with their labels.
pub(super) fn warnings_of(raw: &dyn Volume, labels: Option<&LabelVolume>) -> Result<Vec<String>> {
    Ok(inspect_some(raw, labels, PIXELS)?.warnings)
}

/// Says what looks wrong with the labels of a pair, and with how they were paired.
pub(super) fn warn_of_labels(pair: &Pair) -> Result<()> {
    let (_, found) = inspect_labels(&pair.labels, PIXELS)?;
    say_each(pair.warnings.iter().chain(&found));
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

/// Says that sections are smaller than the network's patches, where they are.
pub(super) fn warn_of_mirrors(region: &Region, patch: usize, path: &Path) {
    say_each(&mirrored(region, patch, &path.display().to_string()));
}

fn say_each<'a>(warnings: impl IntoIterator<Item = &'a String>) {
    for warning in warnings {
        note!("askem: note: {warning}");
    }
}
