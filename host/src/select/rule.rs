//! Which patches may be chosen beside those that are.

use std::collections::HashSet;

use super::Request;
use crate::pool::Position;

/// How near two patches may lie: nearer are those at most `sections` apart whose rows and columns both differ by less than
/// `pixels`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Distance {
    /// Least difference in rows or in columns; 0 forbids nothing.
    pub pixels: usize,
    /// Up to so many sections apart; 0 means within a section.
    pub sections: usize,
}

impl Distance {
    /// Whether two patches are too near.
    pub fn forbids(self, a: Position, b: Position) -> bool {
        a.z.abs_diff(b.z) <= self.sections
            && a.y.abs_diff(b.y) < self.pixels
            && a.x.abs_diff(b.x) < self.pixels
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_in_rows_and_columns_and_sections() {
        let at = |z, y, x| Position { z, y, x };
        let rule = Distance { pixels: 10, sections: 1 };
        assert!(rule.forbids(at(3, 0, 0), at(4, 9, 9)));
        assert!(!rule.forbids(at(3, 0, 0), at(3, 10, 0)));
        assert!(!rule.forbids(at(3, 0, 0), at(5, 0, 0)));
        assert!(!Distance::default().forbids(at(0, 0, 0), at(0, 0, 0)));
    }
}
