//! By which grey values a network sees a volume that it was not trained on.

use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;

use crate::data::pool::{Region, Scaling};
use crate::data::volume::Volume;
use crate::error::Result;

/// `--normalise`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Normalise {
    /// By the mean and deviation of the training's images.
    Weights,
    /// By those of the volume itself.
    Volume,
}

impl Normalise {
    /// The scaling of a volume; says where the network's own does not fit.
    pub(super) fn scaling(
        self,
        raw: &Arc<dyn Volume>,
        region: &Region,
        known: Scaling,
        path: &Path,
    ) -> Result<Scaling> {
        // One grey value everywhere has no deviation to scale by.
        let own = match (Scaling::estimate(raw, region), self) {
            (Err(_), Self::Weights) => return Ok(known),
            (own, _) => own?,
        };
        if self == Self::Volume {
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
}
