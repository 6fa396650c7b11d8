//! `askem bench select`: choosing patches from their embeddings.

use std::path::{Path, PathBuf};

use askem_kernels::k_center_greedy;
use clap::{Args as ClapArgs, ValueEnum};
use half::f16;
use rayon::prelude::*;
use serde::Serialize;

use super::{at_least_one, median, random};
use crate::cli::table::Table;
use crate::cli::{Common, say, say_json};
use crate::error::{Error, Result};
use crate::learning::geometry::{DeviceGeometry, Geometry, Points};
use crate::pools::select::distances;

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Number of embeddings.
    #[arg(long, value_name = "N", default_value_t = 65_536, conflicts_with = "points")]
    pool: usize,
    /// Numbers in each.
    #[arg(long, value_name = "N", default_value_t = 256)]
    dim: usize,
    /// A file of embeddings to use in place of random ones: f32 numbers, little-endian, `--dim` to each, and
    /// nothing else (as NumPy's `tofile` writes them).
    #[arg(long, value_name = "FILE")]
    points: Option<PathBuf>,
    /// Patches to choose.
    #[arg(long, value_name = "K", default_value_t = 20)]
    query: usize,
    /// Embeddings, from the first on, that count as labelled for k_center_greedy.
    #[arg(long, value_name = "N", default_value_t = 20)]
    labelled: usize,
    /// Decides the random numbers of k_means.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// How the embeddings lie in memory: f32, or f16 as `askem select` holds them, which only k_center_greedy on a processor reads.
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    storage: Storage,
    /// Timings, of which the median is reported.
    #[arg(long, value_name = "N", default_value_t = 3)]
    repeats: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Storage {
    F32,
    F16,
}

#[derive(Serialize)]
struct Outcome<'a> {
    device: &'a str,
    algorithm: &'a str,
    pool: usize,
    dim: usize,
    query: usize,
    storage: Storage,
    seconds: f64,
    /// Time to copy the embeddings within memory once for each patch chosen, on all threads: what the algorithm would take at least
    /// if it read them all in each round.
    #[serde(skip_serializing_if = "Option::is_none")]
    copy_seconds: Option<f64>,
    /// The rows that k_center_greedy picked.
    #[serde(skip_serializing_if = "Option::is_none")]
    picks: Option<Vec<usize>>,
    /// The sum of squared distances that k_means left.
    #[serde(skip_serializing_if = "Option::is_none")]
    inertia: Option<f64>,
    /// The rounds that k_means took.
    #[serde(skip_serializing_if = "Option::is_none")]
    rounds: Option<usize>,
}

pub(super) fn execute(args: &Args, common: &Common) -> Result<()> {
    at_least_one("--pool", args.pool)?;
    at_least_one("--dim", args.dim)?;
    at_least_one("--query", args.query)?;
    let values = match &args.points {
        Some(path) => read(path, args.dim)?,
        None => random(args.pool * args.dim),
    };
    let points = Points { values: &values, dim: args.dim };
    let labelled = args.labelled.min(points.rows());
    let labelled = Points { values: &values[..labelled * args.dim], dim: args.dim };
    let mut executor = common.open_device()?;
    let device = executor.name();
    if args.storage == Storage::F16 && executor.threads().is_none() {
        return Err(Error::Usage(
            "--storage f16: embeddings in half precision are chosen from on a processor; take --device cpu".into(),
        ));
    }
    let mut geometry = DeviceGeometry::new(&mut *executor);
    let outcome = |algorithm| Outcome {
        device: &device,
        algorithm,
        pool: points.rows(),
        dim: args.dim,
        query: args.query,
        storage: args.storage,
        seconds: 0.0,
        copy_seconds: None,
        picks: None,
        inertia: None,
        rounds: None,
    };

    let mut picks = Vec::new();
    let (seconds, copy) = match args.storage {
        Storage::F32 => {
            let seconds = median(args.repeats, || {
                picks = geometry.k_center_greedy(points, labelled, args.query)?;
                Ok(())
            })?;
            (seconds, copy_seconds(args, &values)?)
        }
        Storage::F16 => {
            let halves: Vec<f16> = values.iter().map(|&value| f16::from_f32(value)).collect();
            let seconds = median(args.repeats, || {
                picks = choose_f16(&halves, labelled, args.query)?;
                Ok(())
            })?;
            (seconds, copy_seconds(args, &halves)?)
        }
    };
    let rows = picks.into_iter().map(|(row, _)| row).collect();
    let copy_seconds = Some(copy * args.query as f64);
    let k_center =
        Outcome { seconds, copy_seconds, picks: Some(rows), ..outcome("k_center_greedy") };

    let results = match args.storage {
        Storage::F32 => vec![k_center, k_means(args, &mut geometry, points, outcome("k_means"))?],
        Storage::F16 => vec![k_center],
    };
    let mut table =
        Table::new(&["algorithm", "pool", "numbers", "chosen", "seconds", "copies of the pool"]);
    for result in results {
        if common.json {
            say_json(&result)?;
        } else {
            let copies = result.copy_seconds.map(|all| result.seconds / (all / args.query as f64));
            table.row(vec![
                result.algorithm.into(),
                result.pool.to_string(),
                result.dim.to_string(),
                result.query.to_string(),
                format!("{:.3}", result.seconds),
                copies.map_or_else(String::new, |copies| format!("{copies:.1}")),
            ]);
        }
    }
    if common.json { Ok(()) } else { say(format_args!("{device}\n{table}")) }
}

fn k_means<'a>(
    args: &Args,
    geometry: &mut DeviceGeometry<'_>,
    points: Points<'_>,
    outcome: Outcome<'a>,
) -> Result<Outcome<'a>> {
    let mut clusters = None;
    let seconds = median(args.repeats, || {
        clusters = Some(geometry.k_means(points, args.query, args.seed)?);
        Ok(())
    })?;
    let inertia = clusters.as_ref().map(|c| c.sq_dist.iter().map(|&d| f64::from(d)).sum());
    let rounds = clusters.map(|c| c.rounds);
    Ok(Outcome { seconds, inertia, rounds, ..outcome })
}

/// What `askem select` does with embeddings in half precision.
fn choose_f16(values: &[f16], labelled: Points<'_>, query: usize) -> Result<Vec<(usize, f32)>> {
    let rows = values.len() / labelled.dim;
    let mut sq_dist = vec![f32::MAX; rows];
    if !labelled.values.is_empty() {
        distances(values, labelled.dim, labelled.values, &mut sq_dist)?;
    }
    let p = k_center_greedy::Params {
        rows: rows as u32,
        dim: labelled.dim as u32,
        capacity: query.min(rows) as u32,
    };
    let picks = k_center_greedy::fast::greedy_f16(&p, values, &sq_dist, |_, _| {})?;
    Ok(picks.into_iter().map(|(row, sq_dist)| (row as usize, sq_dist)).collect())
}

/// Time to copy these once, on all threads.
fn copy_seconds<T: Copy + Default + Send + Sync>(args: &Args, values: &[T]) -> Result<f64> {
    const PIECE: usize = 1 << 18;
    let mut copy = vec![T::default(); values.len()];
    median(args.repeats, || {
        let pieces = copy.par_chunks_mut(PIECE).zip(values.par_chunks(PIECE));
        pieces.for_each(|(to, from)| to.copy_from_slice(from));
        std::hint::black_box(&mut copy);
        Ok(())
    })
}

/// The numbers in a file: at least one row of them.
fn read(path: &Path, dim: usize) -> Result<Vec<f32>> {
    let name = path.display();
    let bytes = std::fs::read(path).map_err(|error| Error::Input(format!("{name}: {error}")))?;
    let row = dim.saturating_mul(4);
    if bytes.is_empty() || bytes.len() % row != 0 {
        let len = bytes.len();
        return Err(Error::Input(format!(
            "{name}: {len} bytes are not rows of {dim} f32 numbers ({row} bytes each); give --dim"
        )));
    }
    let values: Vec<f32> =
        bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    match values.iter().position(|x| !x.is_finite()) {
        Some(i) => Err(Error::Input(format!("{name}: number {i} is {}", values[i]))),
        None => Ok(values),
    }
}
