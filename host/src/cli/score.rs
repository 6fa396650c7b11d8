//! `askem score`: every patch of a volume into a store of scores.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::axes::AxesArgs;
use super::inputs::refuse_inputs_as_outputs;
use super::network::NetworkArgs;
use super::normalise::scaling_of;
use super::processes::Share;
use super::progress::{Bar, catch_interrupt, human_bytes, human_time, interrupted};
use super::warnings::{warn_of_images, warn_of_mirrors, warn_of_pixel_size};
use super::{Common, say, say_json};
use crate::data::pool::{Normalise, PatchReader, Region, Sampling, Sites};
use crate::data::volume::{Dtype, Volume, open_raw_as};
use crate::error::{Error, Result};
use crate::learning::predict::{self, Embedding, McOptions};
use crate::learning::protocol::{MOST_PASSES, MOST_PATCHES};
use crate::learning::strategy::Criterion;
use crate::network::model::Model;
use crate::pools::score::{embedding_dim, hash_of_pixels, score_chunks};
use crate::pools::score_store::{About, ScoreStore};
use crate::pools::shard::{Shard, ShardChoice};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    network: NetworkArgs,
    /// Images: a Zarr or OME-Zarr array, an HDF5 dataset (file.h5:/path), an MRC file, a multi-page TIFF, or a folder of TIFF or PNG sections.
    #[arg(long, value_name = "PATH")]
    raw: PathBuf,
    #[command(flatten)]
    axes: AxesArgs,
    /// What is computed: entropy, least_confidence, bald (entropy of the mean over dropout passes), mutual_information.
    #[arg(long, value_name = "NAME", default_value = "entropy")]
    criterion: Named,
    /// A grid of patches, so many pixels apart in rows and columns [default: the patch's side]
    #[arg(long, value_name = "PIXELS", conflicts_with = "random")]
    stride: Option<usize>,
    /// Of a grid, every so many sections.
    #[arg(long, value_name = "SECTIONS", default_value_t = 1, conflicts_with = "random")]
    stride_z: usize,
    /// So many patches at random places instead of a grid.
    #[arg(long, value_name = "N")]
    random: Option<usize>,
    /// The store, a Zarr 3 group with the arrays scores, positions and embeddings. A store of the same weights and settings
    /// is gone on with.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Compute part I of N, from 0: parts write to one store without locks. `auto` takes both from SLURM_ARRAY_TASK_ID and
    /// _COUNT, or from HQ_TASK_ID or JOB_COMPLETION_INDEX with the number of parts in ASKEM_SHARDS.
    #[arg(long, value_name = "I/N|auto")]
    shard: Option<ShardChoice>,
    /// Dropout passes of bald and mutual_information.
    #[arg(long, value_name = "N", default_value_t = 10)]
    mc_passes: usize,
    /// How grey values are scaled: as those of the training were, or by this volume's own mean and deviation
    /// [default: weights; volume for a network that was trained on several volumes]
    #[arg(long, value_name = "BY")]
    normalise: Option<Normalise>,
    /// Decides everything random.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Embeddings that are stored beside the scores, for core_set and k_means.
    #[arg(long, value_name = "FORM", default_value = "mean")]
    embedding: Stored,
    /// Patches in a chunk of the store: what one process owns, and what is lost at most by a kill.
    #[arg(long, value_name = "PATCHES", default_value_t = 1024)]
    chunk_patches: u64,
    /// Say what it would cost and stop: patches, bytes to read, time from a probe of a second, memory.
    #[arg(long)]
    dry_run: bool,
    /// Start over where --out holds a store of scores, of something else or not.
    #[arg(long, conflicts_with = "shard")]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Named {
    Entropy,
    LeastConfidence,
    Bald,
    MutualInformation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stored {
    Mean,
    Flat,
    None,
}

impl Args {
    fn criterion(&self) -> Criterion {
        match self.criterion {
            Named::Entropy => Criterion::Entropy,
            Named::LeastConfidence => Criterion::LeastConfidence,
            Named::Bald => Criterion::BaldEntropy,
            Named::MutualInformation => Criterion::MutualInformation,
        }
    }

    fn embedding(&self) -> Option<Embedding> {
        match self.embedding {
            Stored::Mean => Some(Embedding::Mean),
            Stored::Flat => Some(Embedding::Flat),
            Stored::None => None,
        }
    }

    fn sampling(&self, patch: usize) -> Sampling {
        match self.random {
            Some(count) => Sampling::Random { count, seed: self.seed },
            None => {
                Sampling::Grid { stride: self.stride.unwrap_or(patch), stride_z: self.stride_z }
            }
        }
    }

    fn shard(&self) -> Result<Shard> {
        match self.shard {
            None => Ok(Shard::WHOLE),
            Some(ShardChoice::Given(shard)) => Ok(shard),
            Some(ShardChoice::Auto) => Shard::from_environment(|name| std::env::var(name).ok()),
        }
    }
}

pub(super) fn execute(args: &Args, common: &Common) -> Result<()> {
    for (option, value) in
        [("--mc-passes", args.mc_passes as u64), ("--chunk-patches", args.chunk_patches)]
    {
        if value == 0 {
            return Err(Error::Usage(format!("{option} 0: give at least 1")));
        }
    }
    for (option, value, most) in [
        ("--mc-passes", args.mc_passes, MOST_PASSES),
        ("--random", args.random.unwrap_or(0), MOST_PATCHES),
    ] {
        if value > most {
            return Err(Error::Usage(format!("{option} {value}: give at most {most}")));
        }
    }
    let source = args.network.find()?;
    refuse_inputs_as_outputs(
        &[("--raw", &args.raw), (source.option, &source.path)],
        std::slice::from_ref(&args.out),
    )?;
    let share = Share::of(args.shard()?, common)?;
    common.validate()?;
    let (trained, hash) = source.load()?;
    let raw: Arc<dyn Volume> = Arc::from(open_raw_as(&args.raw, &args.axes.of_images())?);
    let (shape, chunk, dtype) = (raw.shape(), raw.chunk(), raw.dtype());
    let region = Region::whole(shape);
    let patch = trained.patch;
    let sampling = args.sampling(patch);
    let sites = Sites::new(sampling, &region, patch, chunk)?;
    let scaling = scaling_of(
        args.normalise.unwrap_or(trained.normalise),
        &raw,
        &region,
        trained.scaling,
        &args.raw,
    )?;
    if !share.is_helper {
        source.announce();
        warn_of_images(&*raw)?;
        warn_of_pixel_size(&*raw, &trained, &args.raw);
        warn_of_mirrors(&region, patch, &args.raw);
    }
    let reader = PatchReader::with_context(raw, region, scaling, trained.net.context);
    let mut model = Model::new(share.open_device(common)?, trained.net, patch)?;
    model.set_weights(&trained.weights)?;
    let criterion = args.criterion();
    let about = About {
        askem: env!("CARGO_PKG_VERSION").into(),
        weights: hash,
        criterion,
        mc_passes: criterion.is_under_dropout().then_some(args.mc_passes),
        seed: args.seed,
        patch,
        sampling,
        scaling,
        shape,
        chunk,
        pixels: hash_of_pixels(&reader)?,
        embedding: args.embedding(),
        dim: embedding_dim(&mut model, args.embedding())?,
        patches: sites.len(),
        rows: args.chunk_patches.min(sites.len()),
    };
    if args.dry_run {
        return dry_run(&about, &mut model, &reader, &sites, &share, dtype, common);
    }
    let store = ScoreStore::create(&args.out, about, args.force && !share.is_helper)?;
    score(args, common, &mut model, &reader, &sites, &store, &share)
}

#[derive(Serialize, Deserialize)]
struct Done {
    device: String,
    criterion: Criterion,
    patches: u64,
    seconds: f64,
    mvoxel_per_second: f64,
    computed_chunks: u64,
    skipped_chunks: u64,
    /// Of the whole store.
    missing_chunks: usize,
}

fn score(
    args: &Args,
    common: &Common,
    model: &mut Model,
    reader: &PatchReader,
    sites: &Sites,
    store: &ScoreStore,
    share: &Share,
) -> Result<()> {
    let about = store.about();
    let chunks = share.shard.of(about.chunks());
    let total =
        about.patches.min(chunks.end * about.rows) - (chunks.start * about.rows).min(about.patches);
    catch_interrupt();
    let bar = Bar::new("scoring".into(), 0, total);
    let clock = Instant::now();
    let others = share.start_others(common)?;
    let outcome = score_chunks(model, reader, sites, store, chunks, &mut |done| {
        bar.advance(done as u64);
        if !interrupted() {
            return Ok(());
        }
        Err(Error::Interrupted(format!(
            "interrupted; the complete chunks are in {}. Go on with the same command",
            args.out.display()
        )))
    })?;
    drop(bar);
    if outcome.damaged > 0 {
        note!(
            "askem: note: {}: {} chunks were there but damaged, and were computed again",
            args.out.display(),
            outcome.damaged
        );
    }
    let mut done = Done {
        device: model.device_name(),
        criterion: about.criterion,
        patches: outcome.patches,
        seconds: 0.0,
        mvoxel_per_second: 0.0,
        computed_chunks: outcome.computed,
        skipped_chunks: outcome.skipped,
        missing_chunks: 0,
    };
    for said in others.wait()? {
        let other: Done = serde_json::from_value(said)
            .map_err(|e| Error::Device(format!("another device's process said: {e}")))?;
        done.device = format!("{} and {}", done.device, other.device);
        done.patches += other.patches;
        done.computed_chunks += other.computed_chunks;
        done.skipped_chunks += other.skipped_chunks;
    }
    done.seconds = clock.elapsed().as_secs_f64();
    let voxels = done.patches as f64 * (about.patch * about.patch) as f64;
    done.mvoxel_per_second = voxels / done.seconds / 1e6;
    done.missing_chunks = store.missing().len();
    if common.json {
        return say_json(&done);
    }
    let rest = match done.missing_chunks {
        0 => "the store is complete".into(),
        n => format!("{n} of {} chunks are missing", about.chunks()),
    };
    say(format_args!(
        "{}: {} patches scored in {} ({:.2} Mvoxel/s on {}), {} chunks were there; {rest}",
        args.out.display(),
        done.patches,
        human_time(done.seconds),
        done.mvoxel_per_second,
        done.device,
        done.skipped_chunks
    ))
}

#[derive(Serialize)]
struct Cost<'a> {
    device: &'a str,
    patches: u64,
    chunks: u64,
    /// Decoded bytes of the volume that the patches touch, at least.
    bytes_to_read: u64,
    bytes_to_write: u64,
    mvoxel_per_second: f64,
    seconds: f64,
    memory_bytes: u64,
}

/// Says what the part would cost, from a probe of a second on the first of its devices.
fn dry_run(
    about: &About,
    model: &mut Model,
    reader: &PatchReader,
    sites: &Sites,
    share: &Share,
    dtype: Dtype,
    common: &Common,
) -> Result<()> {
    let device = model.device_name();
    let chunks = share.whole.of(about.chunks());
    let patches: u64 = chunks.clone().map(|chunk| about.patches_of(chunk).count() as u64).sum();
    let mc = McOptions { passes: about.mc_passes.unwrap_or(1), seed: about.seed, iteration: 0 };
    let batch = about.patches.min(model.score_batch() as u64);
    let (mut read, mut computed, mut rounds) = (0.0, 0.0, 0_u32);
    // The first round prepares the plan and is not counted.
    for round in 0_u64.. {
        let first = (round * batch) % (about.patches - batch + 1);
        let clock = Instant::now();
        let mut x = Vec::new();
        for i in first..first + batch {
            reader.read(sites.position(i), about.patch, &mut x)?;
        }
        let reading = clock.elapsed().as_secs_f64();
        let started = predict::start_scores(model, &x, first, about.criterion, mc)?;
        model.finish(started)?;
        if round > 0 {
            (read, computed) = (read + reading, computed + clock.elapsed().as_secs_f64() - reading);
            rounds += 1;
        }
        if round > 0 && read + computed > 1.0 {
            break;
        }
    }
    // Reading hides behind computing, or the other way round.
    let per_patch = f64::max(read, computed) / f64::from(rounds) / batch as f64;
    let pixels = (about.patch * about.patch) as u64;
    let volume = about.shape.iter().map(|&side| side as u64).product::<u64>();
    let size = u64::from(dtype.bytes());
    let batch_bytes = model.score_batch() as u64 * pixels * 4;
    let row = 16 + 2 * about.dim as u64;
    let cost = Cost {
        device: &device,
        patches,
        chunks: chunks.end - chunks.start,
        bytes_to_read: (patches * pixels).min(volume / share.whole.count) * size,
        bytes_to_write: patches * row,
        mvoxel_per_second: pixels as f64 / per_patch / 1e6,
        seconds: per_patch * patches as f64 / share.devices() as f64,
        memory_bytes: reader.memory_bytes() as u64 + 6 * batch_bytes + 4 * about.rows * row,
    };
    if common.json {
        return say_json(&cost);
    }
    say(format_args!(
        "{} patches in {} chunks; reads {} (decoded), writes {}\nabout {} on {device} ({:.2} Mvoxel/s in a probe), {} of memory beside the network's",
        cost.patches,
        cost.chunks,
        human_bytes(cost.bytes_to_read as usize),
        human_bytes(cost.bytes_to_write as usize),
        human_time(cost.seconds),
        cost.mvoxel_per_second,
        human_bytes(cost.memory_bytes as usize)
    ))
}
