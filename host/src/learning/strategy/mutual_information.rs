//! BALD as the field understands it now: mutual information between label and dropout mask (Houlsby et al., arXiv 1112.5745; Gal et al.,
//! arXiv 1703.02910).

use super::{Candidates, Criterion, Needs, Pick, Strategy, best};
use crate::error::Result;
use crate::learning::geometry::Geometry;

/// The patches on whose labels dropout passes disagree most.
#[derive(Clone, Copy, Debug)]
pub struct MutualInformation;

impl Strategy for MutualInformation {
    fn name(&self) -> &'static str {
        "mutual_information"
    }

    fn needs(&self) -> Needs {
        Needs::scores(Criterion::MutualInformation)
    }

    fn select(
        &self,
        candidates: &Candidates<'_>,
        k: usize,
        _: &mut dyn Geometry,
    ) -> Result<Vec<Pick>> {
        best(candidates, k, true)
    }
}
