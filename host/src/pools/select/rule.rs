//! Which patches may be chosen beside those that are.

use std::collections::HashSet;

use super::{LabelledPatch, Request};
use crate::data::pool::{Distance, Position};

/// What is chosen and labelled so far.
pub(super) struct Rule {
    distance: Distance,
    labelled: HashSet<LabelledPatch>,
    chosen: Vec<(usize, Position)>,
}

impl Rule {
    pub(super) fn new(request: &Request<'_>) -> Self {
        let of_one_volume = |&LabelledPatch { store, at }: &LabelledPatch| {
            let at = Position { volume: 0, ..at };
            LabelledPatch { store, at }
        };
        let labelled = request.labelled.iter().map(of_one_volume).collect();
        Self { distance: request.distance, labelled, chosen: Vec::new() }
    }

    pub(super) fn is_labelled(&self, store: usize, at: Position) -> bool {
        [None, Some(store)]
            .iter()
            .any(|&store| self.labelled.contains(&LabelledPatch { store, at }))
    }

    /// Whether a patch may be chosen.
    pub(super) fn allows(&self, store: usize, position: Position) -> bool {
        let near = |other: Position| self.distance.forbids(position, other);
        let far_enough = |&(other, chosen): &(usize, Position)| other != store || !near(chosen);
        let near_labelled = |other: &LabelledPatch| {
            other.store.is_none_or(|other| other == store) && near(other.at)
        };
        !self.is_labelled(store, position)
            && self.chosen.iter().all(far_enough)
            && (self.distance.pixels == 0 || !self.labelled.iter().any(near_labelled))
    }

    /// Chooses a patch if it may be chosen.
    pub(super) fn take(&mut self, store: usize, position: Position) -> bool {
        let allowed = self.allows(store, position);
        if allowed {
            self.chosen.push((store, position));
        }
        allowed
    }
}
