//! The largest or smallest scores of all stores.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::rule::Rule;
use super::{Choice, Request};
use crate::data::pool::Position;
use crate::error::{Error, Result};
use crate::learning::strategy::Criterion;
use crate::pools::score_store::ScoreStore;

/// A patch by its rank: the greatest is the best, of equals the first.
#[derive(Clone, Copy, Debug)]
struct Ranked {
    /// Larger is better.
    merit: f32,
    store: usize,
    index: u64,
    position: Position,
    score: f32,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        let place = (other.store, other.index).cmp(&(self.store, self.index));
        self.merit.total_cmp(&other.merit).then(place)
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}

/// Takes patches from the best on, if the rules allow them.
///
/// Memory: some times as many candidates as are wanted; should the rules forbid most of those, the stores are read again for more.
pub(super) fn extremes(
    stores: &[ScoreStore],
    request: &Request<'_>,
    criterion: Criterion,
) -> Result<Vec<Choice>> {
    let smallest = criterion == Criterion::LeastConfidence;
    let total: u64 = stores.iter().map(|store| store.about().patches).sum();
    let mut keep = (request.query.saturating_mul(16)).max(4096);
    loop {
        let candidates = best(stores, keep, smallest)?;
        let mut rule = Rule::new(request);
        let mut choices = Vec::new();
        for c in candidates {
            if choices.len() == request.query {
                break;
            }
            if rule.take(c.store, c.position) {
                let Ranked { store, index, position, score, .. } = c;
                choices.push(Choice { store, index, position, score: Some(score) });
            }
        }
        if choices.len() == request.query || keep as u64 >= total {
            return Ok(choices);
        }
        keep = keep.saturating_mul(16);
    }
}

/// The `keep` best patches of all stores, best first.
fn best(stores: &[ScoreStore], keep: usize, smallest: bool) -> Result<Vec<Ranked>> {
    // The worst of those kept is on top.
    let mut heap = BinaryHeap::new();
    for (number, store) in stores.iter().enumerate() {
        for chunk in 0..store.about().chunks() {
            let rows = store.read(chunk, false)?;
            let first = store.about().patches_of(chunk).start;
            for (i, (&score, &position)) in rows.scores.iter().zip(&rows.positions).enumerate() {
                if !score.is_finite() {
                    return Err(Error::Input(format!(
                        "{}: patch {} has the score {score}; score it again with weights that have not diverged",
                        store.path().display(),
                        first + i as u64
                    )));
                }
                let merit = if smallest { -score } else { score } + 0.0;
                let ranked =
                    Ranked { merit, store: number, index: first + i as u64, position, score };
                if heap.len() < keep {
                    heap.push(std::cmp::Reverse(ranked));
                } else if heap.peek().is_some_and(|worst| worst.0 < ranked) {
                    heap.pop();
                    heap.push(std::cmp::Reverse(ranked));
                }
            }
        }
    }
    let mut candidates: Vec<Ranked> = heap.into_iter().map(|reversed| reversed.0).collect();
    candidates.sort_by(|a, b| b.cmp(a));
    Ok(candidates)
}
