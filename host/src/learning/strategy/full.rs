//! Full supervision: every label of the pool, the ceiling of the other strategies' curves.

use super::{Candidates, Needs, Pick, Strategy};
use crate::error::Result;
use crate::learning::geometry::Geometry;

/// Labels the whole pool before the first training.
#[derive(Clone, Copy, Debug)]
pub struct Full;

impl Strategy for Full {
    fn name(&self) -> &'static str {
        "full"
    }

    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn labels_everything(&self) -> bool {
        true
    }

    fn select(&self, _: &Candidates<'_>, _: usize, _: &mut dyn Geometry) -> Result<Vec<Pick>> {
        Ok(Vec::new())
    }
}
