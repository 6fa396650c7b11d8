//! Who answers queries with labels.

use crate::error::Result;
use crate::pool::{Position, read_labels};
use crate::volume::CachedLabels;

/// Somebody who labels patches.
pub trait Annotator {
    /// The labels of a patch of `patch x patch` pixels: 0 background, 1 foreground, 255 not labelled.
    fn annotate(&self, at: Position, patch: usize) -> Result<Vec<u8>>;
}

/// Answers with labels that exist already, as experiments do.
#[derive(Debug)]
pub struct SimulatedAnnotator<'a> {
    labels: &'a CachedLabels,
}

impl<'a> SimulatedAnnotator<'a> {
    /// Answers from `labels`.
    pub fn new(labels: &'a CachedLabels) -> Self {
        Self { labels }
    }
}

impl Annotator for SimulatedAnnotator<'_> {
    fn annotate(&self, at: Position, patch: usize) -> Result<Vec<u8>> {
        read_labels(self.labels, at, patch)
    }
}
