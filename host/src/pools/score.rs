//! Scoring a pool of any size into a store: reading, computing and writing at the same time.

use std::ops::Range;
use std::slice::from_ref;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use half::f16;
use sha2::{Digest, Sha256};

use crate::data::files::hexadecimal;
use crate::data::pool::{Batch, PatchReader, Position, Sites, read_ahead};
use crate::error::{Error, Result};
use crate::learning::predict::{self, McOptions};
use crate::learning::strategy::Criterion;
use crate::network::model::{Model, Started};
use crate::network::unet::Output;
use crate::pools::score_store::{Rows, ScoreStore};

/// Chunks that wait to be written.
const BEHIND: usize = 2;

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Chunks that were computed.
    pub computed: u64,
    /// Chunks that were there already.
    pub skipped: u64,
    /// Of the computed chunks those that were there, but not whole.
    pub damaged: u64,
    /// Patches in the computed chunks.
    pub patches: u64,
}

/// What a batch belongs to: the chunk, and the number in the pool of its first patch.
type Part = (u64, u64);

/// Scores those of the `chunks` that the store lacks. `advance` hears of the patches that are done, and of those that were there
/// already; an error from it stops the work after the chunks that are complete are written.
///
/// The numbers of a chunk do not depend on which others are computed. Memory: a few batches and chunks, and what the reader keeps.
///
/// # Errors
/// If a patch can't be read, a score is not a number, a chunk can't be written, or `advance` wants to stop.
pub fn score_chunks(
    model: &mut Model,
    reader: &PatchReader,
    sites: &Sites,
    store: &ScoreStore,
    chunks: Range<u64>,
    advance: &mut predict::Advance<'_>,
) -> Result<Outcome> {
    let about = store.about();
    let mut outcome = Outcome::default();
    let mut todo = Vec::new();
    for chunk in chunks {
        if store.is_whole(chunk) {
            outcome.skipped += 1;
            advance(about.patches_of(chunk).count())?;
        } else {
            outcome.damaged += u64::from(store.has_scores(chunk));
            todo.push(chunk);
        }
    }
    let (patch, threads) = (model.patch(), model.reading_threads());
    let batch = model.score_batch();
    let to_read = todo.iter().flat_map(|&chunk| {
        let patches = about.patches_of(chunk);
        patches.clone().step_by(batch).map(move |first| {
            let numbers = first..(first + batch as u64).min(patches.end);
            ((chunk, first), numbers.map(|i| sites.position(i)).collect())
        })
    });
    thread::scope(|scope| {
        let (write, done) = sync_channel::<(u64, Rows)>(BEHIND);
        let writer = scope.spawn(move || write_chunks(store, &done));
        let computed = read_ahead(from_ref(reader), patch, threads, to_read, |batches| {
            compute(model, store, &batches, &write, &mut outcome, advance)
        });
        // The writer ends when nothing more comes.
        drop(write);
        let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // A full disk is why the computing stopped, where it stopped for that.
        written.and(computed)
    })?;
    Ok(outcome)
}

fn write_chunks(store: &ScoreStore, from: &Receiver<(u64, Rows)>) -> Result<()> {
    from.iter().try_for_each(|(chunk, rows)| store.write(chunk, &rows))
}

fn compute(
    model: &mut Model,
    store: &ScoreStore,
    batches: &Receiver<Result<Batch<Part>>>,
    write: &SyncSender<(u64, Rows)>,
    outcome: &mut Outcome,
    advance: &mut predict::Advance<'_>,
) -> Result<()> {
    let about = store.about();
    let share = shown_once(about.shape, about.patch);
    let what = What {
        criterion: about.criterion,
        mc: McOptions { passes: about.mc_passes.unwrap_or(1), seed: about.seed, iteration: 0 },
        embedding: about.embedding,
    };
    let mut rows = Rows::default();
    let mut before = None;
    let mut batches = batches.iter();
    // While one batch is written down, the device works on the next.
    loop {
        let next = match batches.next() {
            Some(batch) => {
                let batch = batch?;
                let (chunk, first) = batch.tag;
                let started = Scoring::start(model, &what, first, &batch.x)?;
                Some((chunk, batch.positions, started))
            }
            None if before.is_none() => return Ok(()),
            None => None,
        };
        let Some((chunk, positions, started)) = std::mem::replace(&mut before, next) else {
            continue;
        };
        let count = positions.len();
        let (scores, embeddings) = started.finish(model, &what)?;
        require_finite(&scores, &positions)?;
        rows.scores.extend(scores.iter().map(|score| score * share));
        rows.positions.extend(positions);
        rows.embeddings.extend(embeddings.into_iter().map(f16::from_f32));
        if rows.scores.len() == about.patches_of(chunk).count() {
            outcome.computed += 1;
            outcome.patches += rows.scores.len() as u64;
            if write.send((chunk, std::mem::take(&mut rows))).is_err() {
                return Ok(()); // The writer says why.
            }
        }
        advance(count)?;
    }
}

/// The share of a patch's pixels that are no mirror images: those alone count in its score.
fn shown_once([_, height, width]: [usize; 3], patch: usize) -> f32 {
    (height.min(patch) * width.min(patch)) as f32 / (patch * patch) as f32
}

/// An error if a score is not a number.
fn require_finite(scores: &[f32], positions: &[Position]) -> Result<()> {
    let Some(i) = scores.iter().position(|score| !score.is_finite()) else { return Ok(()) };
    Err(Error::Input(format!(
        "the score of the patch at {:?} is not a number: the network has diverged, or the volume has pixels that are not numbers there",
        positions[i]
    )))
}

/// What is computed of patches.
#[derive(Clone, Copy, Debug)]
pub struct What {
    /// The score.
    pub criterion: Criterion,
    /// Dropout passes, of criteria that need them.
    pub mc: McOptions,
    /// The embedding, if one is wanted.
    pub embedding: Option<predict::Embedding>,
}

/// The scores of patches of one volume, and their embeddings one after another if they are wanted:
/// the numbers that [`score_chunks`] writes for a pool of these patches in this order, where
/// embeddings are rounded. `advance` hears of the patches that are done; an error from it stops the work.
///
/// # Errors
/// If a patch can't be read, a score is not a number, or `advance` wants to stop.
pub fn score_patches(
    model: &mut Model,
    reader: &PatchReader,
    positions: &[Position],
    what: &What,
    advance: &mut predict::Advance<'_>,
) -> Result<(Vec<f32>, Vec<f32>)> {
    let (patch, batch, threads) = (model.patch(), model.score_batch(), model.reading_threads());
    let region = &reader.region;
    let share = shown_once([region.z.len(), region.height(), region.width()], patch);
    let to_read = positions.chunks(batch).enumerate().map(|(i, at)| (i * batch, at.to_vec()));
    let (mut scores, mut embeddings) = (Vec::with_capacity(positions.len()), Vec::new());
    read_ahead(from_ref(reader), patch, threads, to_read, |taken| {
        let mut before: Option<(Vec<Position>, Scoring)> = None;
        let mut taken = taken.iter();
        // While one batch is written down, the device works on the next.
        loop {
            let next = match taken.next() {
                Some(read) => {
                    let read = read?;
                    let started = Scoring::start(model, what, read.tag as u64, &read.x)?;
                    Some((read.positions, started))
                }
                None if before.is_none() => return Ok(()),
                None => None,
            };
            let Some((positions, started)) = std::mem::replace(&mut before, next) else { continue };
            let (found, mut embedded) = started.finish(model, what)?;
            require_finite(&found, &positions)?;
            scores.extend(found.iter().map(|score| score * share));
            embeddings.append(&mut embedded);
            advance(positions.len())?;
        }
    })?;
    Ok((scores, embeddings))
}

/// A batch on the device.
struct Scoring {
    scores: Started,
    /// The embeddings, where one pass does not give both.
    embeddings: Option<Started>,
}

impl Scoring {
    fn start(model: &mut Model, what: &What, first: u64, x: &[f32]) -> Result<Self> {
        let embedding = what.embedding.map(predict::Embedding::output);
        if let (Some(score), Some(embedding)) = (what.criterion.output(), embedding) {
            let scores = model.start_forward(x, &[score, embedding])?;
            return Ok(Self { scores, embeddings: None });
        }
        let scores = predict::start_scores(model, x, first, what.criterion, what.mc)?;
        let embeddings = embedding.map(|embedding| model.start_forward(x, &[embedding]));
        Ok(Self { scores, embeddings: embeddings.transpose()? })
    }

    /// Scores and embeddings.
    fn finish(self, model: &mut Model, what: &What) -> Result<(Vec<f32>, Vec<f32>)> {
        let mut found = model.finish(self.scores)?;
        let embeddings = match self.embeddings {
            Some(started) => model.finish(started)?.swap_remove(0),
            None if what.criterion.output().is_some() && what.embedding.is_some() => {
                found.pop().unwrap_or_default()
            }
            None => Vec::new(),
        };
        Ok((found.swap_remove(predict::score_of(what.criterion)), embeddings))
    }
}

/// Numbers in an embedding of this network.
pub fn embedding_dim(model: &mut Model, embedding: Option<predict::Embedding>) -> Result<usize> {
    let Some(embedding) = embedding else { return Ok(0) };
    let zeros = vec![0.0; model.sample_len()];
    Ok(model.forward(&zeros, &[embedding.output()])?[0].len())
}

/// SHA-256 of some of a volume's scaled pixels, all over what is read of it, by which another volume of the same shape is told.
///
/// # Errors
/// If they can't be read.
pub fn hash_of_pixels(reader: &PatchReader) -> Result<String> {
    const SAMPLES: usize = 32;
    const SIDE: usize = 32;
    let mut hasher = Sha256::new();
    for (position, side) in reader.region.samples(SAMPLES, SIDE) {
        let mut x = Vec::new();
        reader.read(position, side, &mut x)?;
        x.iter().for_each(|v| hasher.update(v.to_le_bytes()));
    }
    Ok(hexadecimal(hasher))
}

/// The output of a forward pass without dropout that is a score.
impl Criterion {
    fn output(self) -> Option<Output> {
        match self {
            Self::Entropy => Some(Output::Entropy),
            Self::LeastConfidence => Some(Output::LeastConfidence),
            Self::BaldEntropy | Self::MutualInformation => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirror_images_do_not_count() {
        assert_eq!(shown_once([3, 64, 500], 64), 1.0);
        assert_eq!(shown_once([3, 16, 500], 64), 0.25);
        assert_eq!(shown_once([1, 1, 1], 64), 1.0 / 4096.0);
    }
}
