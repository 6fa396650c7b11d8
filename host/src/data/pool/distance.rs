//! How near two chosen patches may lie.

use super::Position;

/// How near two patches may lie: nearer are those of one volume at most `sections` apart whose rows and columns both differ by less than
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
        a.volume == b.volume
            && a.z.abs_diff(b.z) <= self.sections
            && a.y.abs_diff(b.y) < self.pixels
            && a.x.abs_diff(b.x) < self.pixels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_in_rows_and_columns_and_sections() {
        let at = |z, y, x| Position { volume: 0, z, y, x };
        let rule = Distance { pixels: 10, sections: 1 };
        assert!(rule.forbids(at(3, 0, 0), at(4, 9, 9)));
        assert!(!rule.forbids(at(3, 0, 0), at(3, 10, 0)));
        assert!(!rule.forbids(at(3, 0, 0), at(5, 0, 0)));
        assert!(!Distance::default().forbids(at(0, 0, 0), at(0, 0, 0)));
        let elsewhere = Position { volume: 1, ..at(3, 0, 0) };
        assert!(!rule.forbids(at(3, 0, 0), elsewhere), "another volume");
    }
}
