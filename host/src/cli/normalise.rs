//! By which grey values a network sees a volume that it was not trained on.

use std::path::Path;
use std::sync::Arc;

use crate::data::pool::{Normalise, Region, Scaling};
use crate::data::volume::Volume;
use crate::error::Result;

/// The scaling of a volume, where `known` is that of the training; says where that does not fit.
pub(super) fn scaling_of(
    by: Normalise,
    raw: &Arc<dyn Volume>,
    region: &Region,
    known: Scaling,
    path: &Path,
) -> Result<Scaling> {
    // One grey value everywhere has no deviation to scale by.
    let own = match (Scaling::estimate(raw, region), by) {
        (Err(_), Normalise::Weights) => return Ok(known),
        (own, _) => own?,
    };
    if by == Normalise::Volume {
        return Ok(own);
    }
    if known.is_far_from(&own) {
        note!(
            "askem: note: {}: its grey values (mean {:.4}, deviation {:.4}) are far from those of the training (mean {:.4}, deviation {:.4}), so that the network will hardly know it; --normalise volume scales it by its own",
            path.display(),
            own.mean,
            own.deviation,
            known.mean,
            known.deviation
        );
    }
    Ok(known)
}
