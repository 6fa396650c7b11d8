//! The algorithms as plans, for devices with a memory of their own.

use askem_kernels::k_means::fast::Stop;
use askem_kernels::rng::Rng;
use askem_kernels::{Call, k_center_greedy as k_center, k_means, min_sq_dist, pairwise_sq_dist};

use super::seeding::Device;
use super::{Clusters, Points, seeding};
use crate::error::Result;
use crate::executor::Executor;
use crate::plan::PlanBuilder;

/// The squared distance of each point to the nearest of `centers`.
fn min_sq_dist(
    executor: &mut dyn Executor,
    points: Points<'_>,
    centers: Points<'_>,
) -> Result<Vec<f32>> {
    let (rows, dim) = (points.rows(), points.dim);
    let mut b = PlanBuilder::new("min_sq_dist", "run");
    let x = b.kept("points", rows * dim);
    let c = b.kept("centers", centers.values.len());
    let sq_dist = b.kept("sq_dist", rows);
    let index = b.transient_uint("index", rows);
    let params =
        min_sq_dist::Params { rows: rows as u32, centers: centers.rows() as u32, dim: dim as u32 };
    b.step(Call::MinSqDistForward(params), &[x, c], &[sq_dist, index]);
    let id = executor.prepare(b.build())?;
    executor.write(id, x.buffer, bytemuck::cast_slice(points.values))?;
    executor.write(id, c.buffer, bytemuck::cast_slice(centers.values))?;
    executor.run(id, "run")?;
    let mut out = vec![0.0_f32; rows];
    executor.read(id, sq_dist.buffer, bytemuck::cast_slice_mut(&mut out))?;
    executor.release(id);
    Ok(out)
}

pub(super) fn k_center_greedy(
    executor: &mut dyn Executor,
    points: Points<'_>,
    chosen: Points<'_>,
    k: usize,
) -> Result<Vec<(usize, f32)>> {
    let (rows, dim) = (points.rows(), points.dim);
    let start = match chosen.rows() {
        0 => vec![f32::MAX; rows],
        _ => min_sq_dist(executor, points, chosen)?,
    };
    let params = k_center::Params { rows: rows as u32, dim: dim as u32, capacity: k as u32 };
    let mut b = PlanBuilder::new("k_center_greedy", "pick");
    let x = b.kept("points", rows * dim);
    let sq_dist = b.kept("sq_dist", rows);
    let picks = b.kept_uint("picks", k + 1);
    b.step(Call::KCenterGreedyPick(params), &[sq_dist], &[picks]);
    b.section("update");
    b.step(Call::KCenterGreedyUpdate(params), &[x, picks], &[sq_dist]);
    let id = executor.prepare(b.build())?;
    executor.write(id, x.buffer, bytemuck::cast_slice(points.values))?;
    executor.write(id, sq_dist.buffer, bytemuck::cast_slice(&start))?;
    executor.write(id, picks.buffer, &vec![0; k + 1])?;
    for _ in 0..k {
        executor.run(id, "pick")?;
        executor.run(id, "update")?;
    }
    let mut out = vec![0; k + 1];
    executor.read(id, picks.buffer, &mut out)?;
    executor.release(id);
    let picks: Vec<usize> = out[1..].iter().map(|&i| i as usize).collect();
    // The distance at the time of the pick: to the start set and the picks before.
    let distance = |round: usize, index: usize| {
        let point = points.row(index);
        let before = picks[..round].iter().map(|&p| sq_dist_of(point, points.row(p)));
        before.fold(start[index], f32::min)
    };
    Ok(picks.iter().enumerate().map(|(round, &i)| (i, distance(round, i))).collect())
}

/// k-means by plans.
pub(super) struct Plans<'a>(pub(super) &'a mut dyn Executor);

impl Device for Plans<'_> {
    fn plus_plus(&mut self, points: Points<'_>, k: usize, rng: &mut dyn Rng) -> Result<Vec<f32>> {
        let (dim, trials) = (points.dim, seeding::candidates(k));
        let mut b = PlanBuilder::new("k_means_start", "measure");
        let x = b.kept("points", points.values.len());
        let candidates = b.kept("candidates", trials * dim);
        let sq_dist = b.kept("sq_dist", points.rows() * trials);
        let params = pairwise_sq_dist::Params {
            rows_a: points.rows() as u32,
            rows_b: trials as u32,
            dim: dim as u32,
        };
        b.step(Call::PairwiseSqDistForward(params), &[x, candidates], &[sq_dist]);
        let executor = &mut *self.0;
        let id = executor.prepare(b.build())?;
        executor.write(id, x.buffer, bytemuck::cast_slice(points.values))?;
        let centroids = seeding::plus_plus(points, k, rng, |trials, out| {
            executor.write(id, candidates.buffer, bytemuck::cast_slice(trials.values))?;
            executor.run(id, "measure")?;
            executor.read(id, sq_dist.buffer, bytemuck::cast_slice_mut(out))
        })?;
        executor.release(id);
        Ok(centroids)
    }

    fn lloyd(
        &mut self,
        points: Points<'_>,
        centroids: &mut Vec<f32>,
        stop: Stop,
    ) -> Result<Clusters> {
        let (rows, dim) = (points.rows(), points.dim);
        let k = centroids.len() / dim;
        let params = k_means::Params { rows: rows as u32, k: k as u32, dim: dim as u32 };
        let mut b = PlanBuilder::new("k_means", "assign");
        let x = b.kept("points", rows * dim);
        let c = b.kept("centroids", k * dim);
        let assignment = b.kept_uint("assignment", rows);
        let sq_dist = b.kept("sq_dist", rows);
        b.step(Call::KMeansAssign(params), &[x, c], &[assignment, sq_dist]);
        b.section("update");
        b.step(Call::KMeansUpdate(params), &[x, assignment], &[c]);
        let executor = &mut *self.0;
        let id = executor.prepare(b.build())?;
        executor.write(id, x.buffer, bytemuck::cast_slice(points.values))?;
        executor.write(id, c.buffer, bytemuck::cast_slice(centroids))?;
        executor.run(id, "assign")?;
        let mut clusters =
            Clusters { assignment: vec![0; rows], sq_dist: vec![0.0; rows], rounds: 0 };
        executor.read(id, assignment.buffer, &mut clusters.assignment)?;
        let (mut now, mut moved) = (vec![0; rows], vec![0.0_f32; k * dim]);
        while clusters.rounds < stop.rounds {
            executor.run(id, "update")?;
            executor.run(id, "assign")?;
            clusters.rounds += 1;
            executor.read(id, c.buffer, bytemuck::cast_slice_mut(&mut moved))?;
            let steps = centroids.iter().zip(&moved).map(|(&a, &b)| f64::from(a) - f64::from(b));
            let movement: f64 = steps.map(|step| step * step).sum();
            std::mem::swap(centroids, &mut moved);
            executor.read(id, assignment.buffer, &mut now)?;
            std::mem::swap(&mut clusters.assignment, &mut now);
            if now == clusters.assignment || movement <= stop.movement {
                break;
            }
        }
        executor.read(id, sq_dist.buffer, bytemuck::cast_slice_mut(&mut clusters.sq_dist))?;
        executor.release(id);
        Ok(clusters)
    }
}

fn sq_dist_of(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}
