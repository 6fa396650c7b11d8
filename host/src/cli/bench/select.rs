//! `askem bench select`: choosing patches from their embeddings.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use serde::Serialize;

use super::{at_least_one, median, random};
use crate::cli::table::Table;
use crate::cli::{Common, say, say_json};
use crate::error::{Error, Result};
use crate::geometry::{DeviceGeometry, Geometry, Points};

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
    /// Timings, of which the median is reported.
    #[arg(long, value_name = "N", default_value_t = 3)]
    repeats: usize,
}

#[derive(Serialize)]
struct Outcome<'a> {
    device: &'a str,
    algorithm: &'a str,
    pool: usize,
    dim: usize,
    query: usize,
    seconds: f64,
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
    let mut geometry = DeviceGeometry::new(&mut *executor);
    let outcome = |algorithm| Outcome {
        device: &device,
        algorithm,
        pool: points.rows(),
        dim: args.dim,
        query: args.query,
        seconds: 0.0,
        picks: None,
        inertia: None,
        rounds: None,
    };

    let mut picks = Vec::new();
    let seconds = median(args.repeats, || {
        picks = geometry.k_center_greedy(points, labelled, args.query)?;
        Ok(())
    })?;
    let rows = picks.into_iter().map(|(row, _)| row).collect();
    let k_center = Outcome { seconds, picks: Some(rows), ..outcome("k_center_greedy") };

    let mut clusters = None;
    let seconds = median(args.repeats, || {
        clusters = Some(geometry.k_means(points, args.query, args.seed)?);
        Ok(())
    })?;
    let inertia = clusters.as_ref().map(|c| c.sq_dist.iter().map(|&d| f64::from(d)).sum());
    let rounds = clusters.map(|c| c.rounds);
    let k_means = Outcome { seconds, inertia, rounds, ..outcome("k_means") };

    let mut table = Table::new(&["algorithm", "pool", "numbers", "chosen", "seconds"]);
    for result in [k_center, k_means] {
        if common.json {
            say_json(&result)?;
        } else {
            table.row(vec![
                result.algorithm.into(),
                result.pool.to_string(),
                result.dim.to_string(),
                result.query.to_string(),
                format!("{:.3}", result.seconds),
            ]);
        }
    }
    if common.json { Ok(()) } else { say(format_args!("{device}\n{table}")) }
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
