//! Choices by distances between embeddings.

use askem_kernels::k_center_greedy::{self, fast::greedy_f16};
use askem_kernels::min_sq_dist;
use half::f16;
use half::slice::HalfFloatSliceExt;

use super::rule::Rule;
use super::{Choice, Request};
use crate::compute::cpu::CpuExecutor;
use crate::data::pool::Position;
use crate::error::{Error, Result};
use crate::learning::geometry::{DeviceGeometry, Geometry, Points};
use crate::pools::score_store::ScoreStore;

/// All patches of all stores.
struct Pool {
    dim: usize,
    /// Store and number of each patch.
    names: Vec<(u32, u64)>,
    positions: Vec<Position>,
    embeddings: Vec<f16>,
}

impl Pool {
    fn read(stores: &[ScoreStore]) -> Result<Self> {
        let total: u64 = stores.iter().map(|store| store.about().patches).sum();
        let dim = stores[0].about().dim;
        let too_many = || {
            Error::Input(format!(
                "{total} embeddings of {dim} numbers do not fit the memory; select from fewer stores at a time"
            ))
        };
        let rows = u32::try_from(total).map_err(|_| too_many())? as usize;
        let mut embeddings = Vec::new();
        embeddings.try_reserve_exact(rows * dim).map_err(|_| too_many())?;
        let (mut names, mut positions) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        for (number, store) in stores.iter().enumerate() {
            for chunk in 0..store.about().chunks() {
                let rows = store.read(chunk, true)?;
                if rows.embeddings.iter().any(|v| !v.is_finite()) {
                    return Err(Error::Input(format!(
                        "{}: chunk {chunk} has embeddings that are not numbers",
                        store.path().display()
                    )));
                }
                let patches = store.about().patches_of(chunk);
                names.extend(patches.map(|index| (number as u32, index)));
                positions.extend(rows.positions);
                embeddings.extend(rows.embeddings);
            }
        }
        Ok(Self { dim, names, positions, embeddings })
    }

    /// Its score is a squared distance; `f32::MAX` is that of the first of all, which is far from nothing.
    fn choice(&self, row: usize, score: f32) -> Choice {
        let (store, index) = self.names[row];
        let score = (score < f32::MAX).then_some(score);
        Choice { store: store as usize, index, position: self.positions[row], score }
    }

    fn store(&self, row: usize) -> usize {
        self.names[row].0 as usize
    }

    /// Rows as f32.
    fn floats(&self, rows: impl Iterator<Item = usize>) -> Vec<f32> {
        let mut out = Vec::new();
        let mut room = vec![0.0; self.dim];
        for row in rows {
            self.embeddings[row * self.dim..][..self.dim].convert_to_f32_slice(&mut room);
            out.extend_from_slice(&room);
        }
        out
    }
}

/// k-center greedy from the labelled patches of the stores.
pub(super) fn core_set(stores: &[ScoreStore], request: &Request<'_>) -> Result<Vec<Choice>> {
    let pool = Pool::read(stores)?;
    let rule = Rule::new(request);
    let rows = pool.names.len();
    let labelled = (0..rows).filter(|&row| rule.is_labelled(pool.store(row), pool.positions[row]));
    let centers = pool.floats(labelled);
    let mut sq_dist = vec![f32::MAX; rows];
    if !centers.is_empty() {
        distances(&pool.embeddings, pool.dim, &centers, &mut sq_dist)?;
    }
    // Those that may not be picked: the pool without them is what the greedy choice sees.
    let allowed: Vec<usize> =
        (0..rows).filter(|&row| rule.allows(pool.store(row), pool.positions[row])).collect();
    let pool = if allowed.len() == rows { pool } else { pool.only(&allowed) };
    let sq_dist: Vec<f32> = allowed.iter().map(|&row| sq_dist[row]).collect();
    let p = k_center_greedy::Params {
        rows: allowed.len() as u32,
        dim: pool.dim as u32,
        capacity: request.query.min(allowed.len()) as u32,
    };
    if allowed.is_empty() || request.query == 0 {
        return Ok(Vec::new());
    }
    let picks = greedy_f16(&p, &pool.embeddings, &sq_dist, |pick, forbid| {
        if request.distance.pixels == 0 {
            return;
        }
        let (store, at) = (pool.store(pick as usize), pool.positions[pick as usize]);
        for (row, &other) in pool.positions.iter().enumerate() {
            if pool.store(row) == store && request.distance.forbids(at, other) {
                forbid(row as u32);
            }
        }
    })?;
    Ok(picks.into_iter().map(|(row, sq_dist)| pool.choice(row as usize, sq_dist)).collect())
}

impl Pool {
    fn only(&self, rows: &[usize]) -> Self {
        let embedding = |&row: &usize| &self.embeddings[row * self.dim..][..self.dim];
        Self {
            dim: self.dim,
            names: rows.iter().map(|&row| self.names[row]).collect(),
            positions: rows.iter().map(|&row| self.positions[row]).collect(),
            embeddings: rows.iter().flat_map(embedding).copied().collect(),
        }
    }
}

/// Squared distances of the rows of `[rows, dim]` to the nearest of the centres `[centers, dim]`.
pub(crate) fn distances(
    values: &[f16],
    dim: usize,
    centers: &[f32],
    sq_dist: &mut [f32],
) -> Result<()> {
    const ROWS: usize = 4096;
    let count = (centers.len() / dim) as u32;
    let mut room = vec![0.0; ROWS * dim];
    for (values, sq_dist) in values.chunks(ROWS * dim).zip(sq_dist.chunks_mut(ROWS)) {
        let floats = &mut room[..values.len()];
        values.convert_to_f32_slice(floats);
        let p = min_sq_dist::Params { rows: sq_dist.len() as u32, centers: count, dim: dim as u32 };
        let mut index = vec![0; sq_dist.len()];
        min_sq_dist::fast::forward(&p, floats, centers, sq_dist, &mut index)?;
    }
    Ok(())
}

/// From each of `query` clusters the patch closest to its centroid; where the rules forbid it the next one.
pub(super) fn k_means(stores: &[ScoreStore], request: &Request<'_>) -> Result<Vec<Choice>> {
    let pool = Pool::read(stores)?;
    let mut rule = Rule::new(request);
    let rows: Vec<usize> = (0..pool.names.len())
        .filter(|&row| rule.allows(pool.store(row), pool.positions[row]))
        .collect();
    let k = request.query.min(rows.len());
    if k == 0 {
        return Ok(Vec::new());
    }
    let values = pool.floats(rows.iter().copied());
    let mut executor = CpuExecutor::new(None)?;
    let points = Points { values: &values, dim: pool.dim };
    let clusters = DeviceGeometry::new(&mut executor).k_means(points, k, request.seed)?;
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|&a, &b| clusters.sq_dist[a].total_cmp(&clusters.sq_dist[b]));
    let mut taken = vec![false; k];
    let (mut choices, mut rest) = (Vec::new(), Vec::new());
    for i in order {
        let (row, cluster) = (rows[i], clusters.assignment[i] as usize);
        if taken[cluster] {
            rest.push(i);
        } else if rule.take(pool.store(row), pool.positions[row]) {
            taken[cluster] = true;
            choices.push(pool.choice(row, clusters.sq_dist[i]));
        }
    }
    // Where clusters are empty or all of them is forbidden, the closest of the others' rest.
    for i in rest {
        if choices.len() == k {
            break;
        }
        if rule.take(pool.store(rows[i]), pool.positions[rows[i]]) {
            choices.push(pool.choice(rows[i], clusters.sq_dist[i]));
        }
    }
    Ok(choices)
}
