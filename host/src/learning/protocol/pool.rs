//! The patches that an experiment may have labelled.

use askem_kernels::rng::{Purpose, sample_without_replacement, stream};

use super::Config;
use crate::data::pool::{Position, Region, draw_pool_of_volumes};
use crate::error::Result;
use crate::learning::annotator::Annotator;

/// The pool of an experiment on one region of each of some volumes, ordered by position: patches at
/// places drawn by chance, or with [`Config::tiles`] those tiles of which a pixel can be labelled, and
/// where there are more than wanted, some of them drawn by chance.
///
/// # Errors
/// If a patch does not fit, there are too few places, or labels can't be read.
pub fn pool_of(
    config: &Config,
    regions: &[&Region],
    annotator: &dyn Annotator,
) -> Result<Vec<Position>> {
    let Config { patch, pool, seed, .. } = *config;
    if !config.tiles {
        return draw_pool_of_volumes(regions, patch, pool, seed);
    }
    let mut tiles = Vec::new();
    for (volume, region) in regions.iter().enumerate() {
        region.require_patch(patch, "training region")?;
        for at in region.tiles(patch) {
            let at = Position { volume, ..at };
            if annotator.can_label(at, patch)? {
                tiles.push(at);
            }
        }
    }
    if tiles.len() > pool {
        let mut rng = stream(seed, Purpose::Pool, 0, 0);
        tiles = sample_without_replacement(&mut rng, &mut tiles, pool).to_vec();
        tiles.sort_unstable();
    }
    Ok(tiles)
}
