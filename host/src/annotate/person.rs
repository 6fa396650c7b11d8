//! What a person has labelled, as the protocol's annotator.

use std::collections::{HashMap, HashSet};

use crate::data::pool::Position;
use crate::data::volume::{BACKGROUND, FOREGROUND, IGNORED};
use crate::error::Result;
use crate::learning::annotator::Annotator;

/// What a person has labelled so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Person {
    /// 0, 1 or 255, by position; only of patches with a label.
    pub(super) labels: HashMap<Position, Vec<u8>>,
    /// Those of them that were not asked for.
    pub(super) own: Vec<Position>,
}

impl Person {
    /// The labelled patches in order of position, with their labels.
    pub(super) fn patches(&self) -> Vec<(Position, &[u8])> {
        let mut all: Vec<_> = self.labels.iter().map(|(&at, labels)| (at, &labels[..])).collect();
        all.sort_unstable_by_key(|(at, _)| *at);
        all
    }

    /// Where patches lie whose labels are others in `other`.
    pub(super) fn unlike(&self, other: &Self) -> Vec<Position> {
        let places: HashSet<&Position> = self.labels.keys().chain(other.labels.keys()).collect();
        let differs = |at: &&Position| self.labels.get(at) != other.labels.get(at);
        places.into_iter().filter(differs).copied().collect()
    }

    /// Labelled pixels of background, and of foreground.
    pub(super) fn counts(&self) -> [usize; 2] {
        let all = || self.labels.values().flatten();
        [BACKGROUND, FOREGROUND].map(|class| all().filter(|&&label| label == class).count())
    }
}

impl Annotator for Person {
    fn annotate(&self, at: Position, patch: usize) -> Result<Vec<u8>> {
        Ok(self.labels.get(&at).cloned().unwrap_or_else(|| vec![IGNORED; patch * patch]))
    }

    fn answers_at_once(&self) -> bool {
        false
    }

    fn unasked(&self) -> Vec<Position> {
        self.own.clone()
    }
}
