//! Which patches of a pool can be labelled: those with a pixel whose label is known.

use super::Config;
use crate::data::pool::Position;
use crate::error::{Error, Result};
use crate::learning::annotator::Annotator;
use crate::learning::strategy;

/// The patches of a pool that somebody can label, by their numbers in it, increasing.
///
/// # Errors
/// [`Error::Usage`] if they are fewer than the experiment asks for, or what the annotator says.
pub fn known_patches(
    config: &Config,
    annotator: &dyn Annotator,
    pool: &[Position],
) -> Result<Vec<usize>> {
    // Labels are read in order of position.
    let mut order: Vec<usize> = (0..pool.len()).collect();
    order.sort_by_key(|&index| pool[index]);
    let mut known = Vec::with_capacity(pool.len());
    for index in order {
        if annotator.can_label(pool[index], config.patch)? {
            known.push(index);
        }
    }
    known.sort_unstable();
    let strategy = strategy::by_name(&config.strategy, config.bald.criterion())?;
    let (asked, how) = if strategy.labels_everything() {
        (1, "the strategy needs at least one".to_string())
    } else {
        let asked = config.initial.saturating_add(config.iterations.saturating_mul(config.query));
        let Config { initial, iterations, query, .. } = config;
        (
            asked,
            format!("--initial {initial} and {iterations} times --query {query} ask for {asked}"),
        )
    };
    if known.len() < pool.len() && known.len() < asked {
        return Err(Error::Usage(format!(
            "of the {} patches of the pool {} have a pixel whose label is known, and {how}; ask \
             for fewer, enlarge --pool, or give more labels",
            pool.len(),
            known.len()
        )));
    }
    Ok(known)
}
