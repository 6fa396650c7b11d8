//! Which patches may be chosen beside those that are.

use std::collections::HashSet;

use super::Request;
use crate::data::pool::{Distance, Position};

/// What is chosen and labelled so far.
pub(super) struct Rule {
    distance: Distance,
    labelled: HashSet<Position>,
    chosen: Vec<(usize, Position)>,
}

impl Rule {
    pub(super) fn new(request: &Request<'_>) -> Self {
        let labelled = request.labelled.iter().copied().collect();
        Self { distance: request.distance, labelled, chosen: Vec::new() }
    }

    pub(super) fn is_labelled(&self, position: Position) -> bool {
        self.labelled.contains(&position)
    }

    /// Whether a patch may be chosen.
    pub(super) fn allows(&self, store: usize, position: Position) -> bool {
        let near = |other: Position| self.distance.forbids(position, other);
        let far_enough = |&(other, chosen): &(usize, Position)| other != store || !near(chosen);
        !self.is_labelled(position)
            && self.chosen.iter().all(far_enough)
            && (self.distance.pixels == 0 || !self.labelled.iter().any(|&other| near(other)))
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
