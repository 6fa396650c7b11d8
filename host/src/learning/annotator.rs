//! Who answers queries with labels.

use askem_kernels::rng::{Rng, below};

use crate::data::pool::{Position, read_labels};
use crate::data::volume::{CachedLabels, IGNORED};
use crate::error::Result;

/// Somebody who labels patches.
pub trait Annotator {
    /// The labels of a patch of `patch x patch` pixels: 0 background, 1 foreground, 255 not labelled.
    fn annotate(&self, at: Position, patch: usize) -> Result<Vec<u8>>;

    /// Whether a patch has a pixel that can be labelled. Who can't tell says yes.
    fn can_label(&self, _at: Position, _patch: usize) -> Result<bool> {
        Ok(true)
    }

    /// Whether a query is answered at once. Else the protocol ends after each, and goes on from
    /// its progress when the labels are there.
    fn answers_at_once(&self) -> bool {
        true
    }

    /// The patches that were labelled without having been asked for.
    fn unasked(&self) -> Vec<Position> {
        Vec::new()
    }
}

/// Leaves labels only in a square that covers about a `share` of a patch, at a place that `rng` draws; the others become 255.
///
/// The square's side is `patch * sqrt(share)`, rounded and at least 1.
pub fn keep_square(labels: &mut [u8], patch: usize, share: f64, rng: &mut impl Rng) {
    let side = ((patch as f64 * share.sqrt()).round() as usize).clamp(1, patch);
    let places = (patch - side + 1) as u64;
    let [top, left] = [(); 2].map(|()| below(rng, places) as usize);
    for (y, row) in labels.chunks_mut(patch).enumerate() {
        for (x, label) in row.iter_mut().enumerate() {
            let inside = (top..top + side).contains(&y) && (left..left + side).contains(&x);
            if !inside {
                *label = IGNORED;
            }
        }
    }
}

/// Answers with labels that exist already, as experiments do.
#[derive(Debug)]
pub struct SimulatedAnnotator<'a> {
    labels: Vec<&'a CachedLabels>,
}

impl<'a> SimulatedAnnotator<'a> {
    /// Answers from `labels`.
    pub fn new(labels: &'a CachedLabels) -> Self {
        Self::of_volumes([labels])
    }

    /// Answers from the labels of each volume of a data set.
    pub fn of_volumes(labels: impl IntoIterator<Item = &'a CachedLabels>) -> Self {
        Self { labels: labels.into_iter().collect() }
    }
}

impl Annotator for SimulatedAnnotator<'_> {
    fn annotate(&self, at: Position, patch: usize) -> Result<Vec<u8>> {
        read_labels(self.labels[at.volume], at, patch)
    }

    fn can_label(&self, at: Position, patch: usize) -> Result<bool> {
        let labels = self.labels[at.volume];
        // Where all pixels are known nothing has to be read.
        Ok(!labels.inner().may_be_unknown()
            || read_labels(labels, at, patch)?.iter().any(|&label| label != IGNORED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use askem_kernels::rng::{Purpose, stream};

    #[test]
    fn a_square_of_the_share_keeps_its_labels() {
        for (share, side) in [(1.0, 16), (0.25, 8), (0.1, 5), (1e-9, 1)] {
            let labels: Vec<u8> = (0..256).map(|i| (i % 2) as u8).collect();
            let mut corners = std::collections::BTreeSet::new();
            for seed in 0..20 {
                let mut kept = labels.clone();
                keep_square(&mut kept, 16, share, &mut stream(seed, Purpose::Test, 0, 0));
                let inside: Vec<usize> = (0..256).filter(|&i| kept[i] != IGNORED).collect();
                assert_eq!(inside.len(), side * side, "{share}");
                assert!(inside.iter().all(|&i| kept[i] == labels[i]));
                assert_eq!(inside[inside.len() - 1] - inside[0], (side - 1) * 17, "a square");
                corners.insert(inside[0]);
            }
            assert_eq!(corners.len() == 1, share == 1.0, "places differ");
        }
    }
}
