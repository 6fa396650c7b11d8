//! Choosing patches from stores of scores: exact over any number of stores, on the processor.
//!
//! Scores are read chunk by chunk and never held as a whole. Embeddings are held in half precision, 512 bytes for 256 numbers.

mod embeddings;
mod rule;
mod scores;

use std::collections::HashSet;

use askem_kernels::rng::{Purpose, below, stream};

pub use crate::data::pool::Distance;
use crate::data::pool::Position;
use crate::error::{Error, Result};
use crate::learning::strategy::Criterion;
use crate::pools::score_store::ScoreStore;
#[cfg(feature = "cli")]
pub(crate) use embeddings::distances;

/// What to choose.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// `random`, `entropy`, `least_confidence`, `bald`, `mutual_information`, `k_means` or `core_set`.
    pub strategy: &'a str,
    /// Number of patches.
    pub query: usize,
    /// How near picks may lie to each other and to what is labelled.
    pub distance: Distance,
    /// Patches that are labelled already.
    pub labelled: &'a [LabelledPatch],
    /// Decides everything random.
    pub seed: u64,
}

/// A patch that is labelled already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LabelledPatch {
    /// The store of the volume that it lies in, by its number in the list; without it, it counts in all.
    pub store: Option<usize>,
    /// Where it is; its volume does not count.
    pub at: Position,
}

/// A chosen patch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// The store, by its number in the list.
    pub store: usize,
    /// The patch's number in the store.
    pub index: u64,
    /// Where it is.
    pub position: Position,
    /// A score, or a squared distance; none for a random choice.
    pub score: Option<f32>,
}

/// The strategies that [`select`] knows.
pub const STRATEGIES: [&str; 7] =
    ["random", "entropy", "least_confidence", "bald", "mutual_information", "k_means", "core_set"];

/// Chooses patches, best first; fewer than wanted where the rules leave no more.
///
/// Ties go to the first store and there to the lowest number. `core_set` starts from the labelled patches that the stores have.
///
/// # Errors
/// [`Error::Usage`] for an unknown strategy or one whose scores the stores do not hold; [`Error::Input`] if a store is incomplete,
/// damaged, or of other weights than the first.
pub fn select(stores: &[ScoreStore], request: &Request<'_>) -> Result<Vec<Choice>> {
    let criterion = match request.strategy {
        "random" | "k_means" | "core_set" => None,
        "entropy" => Some(Criterion::Entropy),
        "least_confidence" => Some(Criterion::LeastConfidence),
        "bald" => Some(Criterion::BaldEntropy),
        "mutual_information" => Some(Criterion::MutualInformation),
        name => {
            return Err(Error::Usage(format!(
                "--strategy {name}: stores are selected from with one of: {}",
                STRATEGIES.join(", ")
            )));
        }
    };
    check(stores, criterion, request)?;
    let mut seen = HashSet::new();
    let place = |store: &ScoreStore| store.path().canonicalize().unwrap_or(store.path().into());
    if let Some(store) = stores.iter().find(|store| !seen.insert(place(store))) {
        return Err(Error::Usage(format!("{} is named twice", store.path().display())));
    }
    match (request.strategy, criterion) {
        (_, Some(criterion)) => scores::extremes(stores, request, criterion),
        ("k_means", _) => embeddings::k_means(stores, request),
        ("core_set", _) => embeddings::core_set(stores, request),
        _ => random(stores, request),
    }
}

fn check(stores: &[ScoreStore], criterion: Option<Criterion>, request: &Request<'_>) -> Result<()> {
    let first = stores.first().ok_or_else(|| Error::Usage("name at least one store".into()))?;
    for store in stores {
        let path = store.path().display();
        let missing = store.missing();
        if let Some(chunk) = missing.first() {
            return Err(Error::Input(format!(
                "{path}: {} of {} chunks are missing (the first is {chunk}); finish it with the askem score command that made it",
                missing.len(),
                store.about().chunks()
            )));
        }
        let (a, b) = (first.about(), store.about());
        if (&a.weights, a.criterion, a.patch) != (&b.weights, b.criterion, b.patch) {
            return Err(Error::Input(format!(
                "{path}: it was scored with other weights, another criterion or other patches than {}",
                first.path().display()
            )));
        }
        if criterion.is_some_and(|criterion| criterion != b.criterion) {
            return Err(Error::Usage(format!(
                "--strategy {}: {path} holds scores of {:?}; score it again with --criterion {}",
                request.strategy, b.criterion, request.strategy
            )));
        }
        let embeds = matches!(request.strategy, "k_means" | "core_set");
        if embeds && (b.dim == 0 || b.dim != a.dim) {
            return Err(Error::Usage(format!(
                "--strategy {}: {path} has no embeddings, or others than the first store; score it without --embedding none",
                request.strategy
            )));
        }
    }
    Ok(())
}

/// Uniform draws without replacement; those that the rules forbid are drawn again.
fn random(stores: &[ScoreStore], request: &Request<'_>) -> Result<Vec<Choice>> {
    let total: u64 = stores.iter().map(|store| store.about().patches).sum();
    let mut rng = stream(request.seed, Purpose::Strategy, 0, 0);
    let mut rule = rule::Rule::new(request);
    let mut tried = HashSet::new();
    let mut choices = Vec::new();
    while choices.len() < request.query && (tried.len() as u64) < total {
        let mut index = below(&mut rng, total);
        // Where nearly all were tried, the next untried one.
        while !tried.insert(index) {
            index = (index + 1) % total;
        }
        let mut store = 0;
        while index >= stores[store].about().patches {
            index -= stores[store].about().patches;
            store += 1;
        }
        let about = stores[store].about();
        let rows = stores[store].read(index / about.rows, false)?;
        let position = rows.positions[(index % about.rows) as usize];
        if rule.take(store, position) {
            choices.push(Choice { store, index, position, score: None });
        }
    }
    Ok(choices)
}
