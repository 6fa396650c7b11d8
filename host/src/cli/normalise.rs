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
    let (scaling, far) = Scaling::of_volume(by, raw, region, known)?;
    if let Some(own) = far {
        note!(
            "askem: note: {}: its grey values (mean {:.4}, deviation {:.4}) are far from those of the training (mean {:.4}, deviation {:.4}), so that the network will hardly know it; --normalise volume scales it by its own",
            path.display(),
            own.mean,
            own.deviation,
            known.mean,
            known.deviation
        );
    }
    Ok(scaling)
}
