//! `askem bench`: throughput on this machine, on random data.

#[cfg(feature = "gpu")]
mod kernels;
mod select;
#[cfg(feature = "gpu")]
mod start;
#[cfg(feature = "gpu")]
mod tune;

use std::path::PathBuf;
use std::slice::from_ref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use askem_kernels::crop::Site;
use askem_kernels::rng::{Purpose, Rng, normal, stream};
use clap::{Args as ClapArgs, Subcommand};
use serde::Serialize;

use super::axes::AxesArgs;
use super::table::Table;
use super::{Common, say, say_json};
use crate::data::pool::{PatchReader, Position, Scaling, draw_pool, read_ahead};
use crate::data::volume::{Region, Volume, open_raw_as};
use crate::error::{Error, Result};
use crate::network::model::{Model, Started};
use crate::network::unet::{Norm, Output, UNet};

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Training steps: forward, loss, backward and Adam.
    Train(TrainArgs),
    /// Scores of a pool of patches.
    Score(ScoreArgs),
    /// Selection from embeddings.
    Select(select::Args),
    /// Time of each shader on a GPU, and its share of what the GPU can do.
    #[cfg(feature = "gpu")]
    Kernels(kernels::Args),
    /// Time until a device is ready, and the shaders that it compiles until then.
    #[cfg(feature = "gpu")]
    Start(start::Args),
    /// Measure which forms of shaders are the fastest on a GPU, and keep it for later runs; a hardware GPU does so by itself.
    #[cfg(feature = "gpu")]
    Tune(tune::Args),
}

#[derive(Debug, ClapArgs)]
struct NetArgs {
    /// Feature maps of the first level.
    #[arg(long, value_name = "MAPS", default_value_t = 16)]
    width: usize,
    /// Side of a patch in pixels.
    #[arg(long, value_name = "PIXELS", default_value_t = 128)]
    patch: usize,
    /// Normalisation after each convolution.
    #[arg(long, default_value = "batch")]
    norm: Norm,
    /// Probability of dropout.
    #[arg(long, value_name = "P", default_value_t = 0.25)]
    dropout: f32,
    /// Timings, of which the median is reported.
    #[arg(long, value_name = "N", default_value_t = 5)]
    repeats: usize,
}

impl NetArgs {
    fn net(&self) -> Result<UNet> {
        let net =
            UNet { width: self.width, norm: self.norm, dropout: self.dropout, ..UNet::paper() };
        net.validate()?;
        Ok(net)
    }

    fn model(&self, common: &Common) -> Result<Model> {
        let net = self.net()?;
        let mut model = Model::new(common.open_device()?, net, self.patch)?;
        model.set_weights(&net.init(0))?;
        Ok(model)
    }
}

#[derive(Debug, ClapArgs)]
struct TrainArgs {
    /// Batch sizes.
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "1,4,16,20")]
    batch: Vec<usize>,
    #[command(flatten)]
    net: NetArgs,
}

#[derive(Debug, ClapArgs)]
struct ScoreArgs {
    /// Patches in the pool.
    #[arg(long, value_name = "N", default_value_t = 512)]
    patches: usize,
    /// What is computed: entropy, least_confidence, bald, embedding.
    #[arg(
        long,
        value_name = "NAME,NAME",
        value_delimiter = ',',
        default_value = "entropy,bald,embedding"
    )]
    criteria: Vec<Scored>,
    /// Dropout passes of bald.
    #[arg(long, value_name = "N", default_value_t = 10)]
    mc_passes: usize,
    /// A volume whose patches are scored, at random places; they are read each time. Without it patches are random numbers in memory.
    #[arg(long, value_name = "PATH")]
    raw: Option<PathBuf>,
    #[command(flatten)]
    axes: AxesArgs,
    #[command(flatten)]
    net: NetArgs,
}

/// Where scored patches come from.
enum Pool {
    Memory(Vec<f32>),
    Volume(PatchReader, Vec<Position>),
}

impl Pool {
    fn open(args: &ScoreArgs) -> Result<Self> {
        let patch = args.net.patch;
        let Some(path) = &args.raw else {
            return Ok(Self::Memory(random(args.patches * patch * patch)));
        };
        let raw: Arc<dyn Volume> = Arc::from(open_raw_as(path, &args.axes.of_images())?);
        let region = Region::whole(raw.shape());
        region.require_patch(patch, "volume")?;
        let places = region.positions(patch);
        if args.patches as u64 > places {
            return Err(Error::Usage(format!(
                "--patches {}: {} has only {places} different patches of {patch} x {patch}",
                args.patches,
                path.display()
            )));
        }
        let positions = draw_pool(&region, patch, args.patches, 0)?;
        let scaling = Scaling::measure(&*raw, &region)?;
        Ok(Self::Volume(PatchReader::new(raw, region, scaling), positions))
    }

    /// Calls `score` with batches of patches and the number of the first in each; so many threads read them.
    fn for_each_batch(
        &self,
        (patch, batch_size, threads): (usize, usize, usize),
        mut score: impl FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let pixels = patch * patch;
        match self {
            Self::Memory(x) => (0..)
                .zip(x.chunks(batch_size * pixels))
                .try_for_each(|(batch, x)| score(batch * batch_size, x)),
            Self::Volume(reader, positions) => {
                let batches = positions.chunks(batch_size).enumerate();
                let batches = batches.map(|(i, at)| (i * batch_size, at.to_vec()));
                read_ahead(from_ref(reader), patch, threads, batches, |taken| {
                    taken.iter().try_for_each(|read| {
                        let read = read?;
                        score(read.tag, &read.x)
                    })
                })
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
enum Scored {
    Entropy,
    LeastConfidence,
    Bald,
    Embedding,
}

pub(super) fn execute(args: &Args, common: &Common) -> Result<()> {
    match &args.what {
        What::Train(args) => train(args, common),
        What::Score(args) => score(args, common),
        What::Select(args) => select::execute(args, common),
        #[cfg(feature = "gpu")]
        What::Kernels(args) => kernels::execute(args, common),
        #[cfg(feature = "gpu")]
        What::Start(args) => start::execute(args, common),
        #[cfg(feature = "gpu")]
        What::Tune(args) => tune::execute(args, common),
    }
}

/// The median time of one round of `work`, each timing lasting a good part of a second.
fn median(repeats: usize, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    median_of_groups(repeats, |rounds| (0..rounds).try_for_each(|_| work()))
}

/// The same for work that is done in groups of so many rounds, at whose ends it waits for the device.
fn median_of_groups(repeats: usize, mut group: impl FnMut(u32) -> Result<()>) -> Result<f64> {
    // What the first round makes ready does not count.
    group(1)?;
    let clock = Instant::now();
    group(1)?;
    let rounds = (0.3 / clock.elapsed().as_secs_f64()).ceil().clamp(1.0, 1000.0) as u32;
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..repeats.max(1) {
        let clock = Instant::now();
        group(rounds)?;
        times.push(clock.elapsed() / rounds);
    }
    times.sort();
    Ok(times[times.len() / 2].as_secs_f64())
}

fn random(count: usize) -> Vec<f32> {
    let mut rng = stream(1, Purpose::Test, 0, 0);
    (0..count).map(|_| normal(&mut rng) as f32).collect()
}

fn at_least_one(option: &str, value: usize) -> Result<()> {
    if value == 0 {
        return Err(Error::Usage(format!("{option} 0: give at least 1")));
    }
    Ok(())
}

#[derive(Serialize)]
struct TrainResult<'a> {
    device: &'a str,
    batch: usize,
    ms_per_step: f64,
    samples_per_second: f64,
}

fn train(args: &TrainArgs, common: &Common) -> Result<()> {
    for &batch in &args.batch {
        at_least_one("--batch", batch)?;
    }
    let mut model = args.net.model(common)?;
    let device = model.device_name();
    let pixels = args.net.patch * args.net.patch;
    let mut table = Table::new(&["batch", "ms per step", "samples per second"]);
    for &batch in &args.batch {
        let x = random(batch * pixels);
        let mut rng = stream(2, Purpose::Test, 0, 0);
        let labels: Vec<u8> = (0..batch * pixels).map(|_| rng.next_u32() as u8 & 1).collect();
        let (batch, _) = model.prepare_training(batch, batch, false)?;
        model.load_patches(&x, &labels)?;
        let sites: Vec<Site> =
            (0..batch as u32).map(|z| Site { z, symmetry: z % 8, ..Site::default() }).collect();
        let keys: Vec<u64> = (0..batch as u64).collect();
        let seconds = median_of_groups(args.net.repeats, |steps| {
            for _ in 0..steps {
                model.train_step(&sites, None, &keys, &[1.0, 1.0], [1e-3, 1.0])?;
            }
            // Reading the loss waits for the device. A training reads it once an epoch.
            let loss = model.loss()?;
            if loss.is_finite() {
                Ok(())
            } else {
                Err(Error::Device(format!("the loss is {loss}")))
            }
        })?;
        let result = TrainResult {
            device: &device,
            batch,
            ms_per_step: 1e3 * seconds,
            samples_per_second: batch as f64 / seconds,
        };
        if common.json {
            say_json(&result)?;
        } else {
            table.row(vec![
                batch.to_string(),
                format!("{:.1}", result.ms_per_step),
                format!("{:.1}", result.samples_per_second),
            ]);
        }
    }
    if common.json { Ok(()) } else { say(format_args!("{device}\n{table}")) }
}

#[derive(Serialize)]
struct ScoreResult<'a> {
    device: &'a str,
    criterion: Scored,
    patches: usize,
    mvoxel_per_second: f64,
}

fn score(args: &ScoreArgs, common: &Common) -> Result<()> {
    at_least_one("--patches", args.patches)?;
    at_least_one("--mc-passes", args.mc_passes)?;
    let pool = Pool::open(args)?;
    let mut model = args.net.model(common)?;
    let device = model.device_name();
    let pixels = args.net.patch * args.net.patch;
    let mut table = Table::new(&["criterion", "patches", "Mvoxel per second"]);
    for &criterion in &args.criteria {
        let seconds = median(args.net.repeats, || {
            let finish = |model: &mut Model, started: Started| {
                let values = model.finish(started)?;
                if values[0].iter().any(|v| !v.is_finite()) {
                    return Err(Error::Device("a score is not a number".into()));
                }
                Ok(())
            };
            let mut before = None;
            let sizes = (args.net.patch, model.score_batch(), model.reading_threads());
            pool.for_each_batch(sizes, |first, x| {
                let count = x.len() / pixels;
                let next = match criterion {
                    Scored::Entropy => model.start_forward(x, &[Output::Entropy])?,
                    Scored::LeastConfidence => {
                        model.start_forward(x, &[Output::LeastConfidence])?
                    }
                    Scored::Embedding => model.start_forward(x, &[Output::EmbeddingMean])?,
                    Scored::Bald => {
                        let key = |pass: usize, i: usize| (pass * args.patches + i) as u64;
                        let samples = first..first + count;
                        let keys: Vec<Vec<u64>> = (0..args.mc_passes)
                            .map(|pass| samples.clone().map(|i| key(pass, i)).collect())
                            .collect();
                        model.start_mc_dropout(x, &keys)?
                    }
                };
                // While one batch is read, the device works on the next, as when a pool is scored.
                before.replace(next).map_or(Ok(()), |before| finish(&mut model, before))
            })?;
            before.map_or(Ok(()), |last| finish(&mut model, last))
        })?;
        let mvoxel_per_second = (args.patches * pixels) as f64 / seconds / 1e6;
        let result =
            ScoreResult { device: &device, criterion, patches: args.patches, mvoxel_per_second };
        if common.json {
            say_json(&result)?;
        } else {
            let name = serde_json::to_value(criterion).map_err(|e| Error::Input(e.to_string()))?;
            let name = name.as_str().unwrap_or_default().to_string();
            let rate = format!("{mvoxel_per_second:.3}");
            table.row(vec![name, args.patches.to_string(), rate]);
        }
    }
    if common.json { Ok(()) } else { say(format_args!("{device}\n{table}")) }
}
