//! The algorithms as plans, for devices with a memory of their own.

use askem_kernels::k_means::fast::Stop;
use askem_kernels::rng::{Rng, below, uniform};
use askem_kernels::{Call, k_center_greedy as k_center, k_means, k_means_plus_plus, min_sq_dist};

use super::seeding::Device;
use super::{Clusters, Points, seeding};
use crate::compute::executor::{Executor, PlanId};
use crate::compute::plan::PlanBuilder;
use crate::error::Result;

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
    let call = Call::KCenterGreedyAddCenter(params);
    let mut b = PlanBuilder::new("k_center_greedy", ROUNDS);
    let x = b.kept("points", rows * dim);
    let sq_dist = b.kept("sq_dist", rows);
    let blocks = call.len("far_row");
    // The farthest of each block, before and after a round, by turns.
    let far = ["even", "odd"].map(|turn| {
        let name = |what: &str| format!("{turn} {what}");
        [b.kept_uint(&name("far_row"), blocks), b.kept(&name("far_sq_dist"), blocks)]
    });
    let picks = b.kept_uint("picks", k + 1);
    let rounds = Rounds::add(&mut b, k, |b, round| {
        let ([row, distance], [next_row, next_distance]) = (far[round % 2], far[(round + 1) % 2]);
        b.step(call, &[x, row, distance], &[sq_dist, next_row, next_distance, picks]);
    });
    let id = executor.prepare(b.build())?;
    executor.write(id, x.buffer, bytemuck::cast_slice(points.values))?;
    executor.write(id, sq_dist.buffer, bytemuck::cast_slice(&start))?;
    // The first center is the farthest of all, whichever block's the device takes it for.
    let first = (1..rows).fold(0, |a, i| if start[i] > start[a] { i } else { a });
    let [row, distance] = far[0];
    executor.write(id, row.buffer, &vec![first as u32; blocks])?;
    executor.write(id, distance.buffer, &vec![start[first].to_bits(); blocks])?;
    executor.write(id, picks.buffer, &vec![0; k + 1])?;
    rounds.run(executor, id, |_| Ok(true))?;
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
    fn plus_plus(
        &mut self,
        points: Points<'_>,
        k: usize,
        mut rng: &mut dyn Rng,
    ) -> Result<Vec<f32>> {
        let (rows, dim, trials) = (points.rows(), points.dim, seeding::candidates(k));
        let params = k_means_plus_plus::Params {
            rows: rows as u32,
            k: k as u32,
            dim: dim as u32,
            trials: trials as u32,
        };
        let (measure, draw) =
            (Call::KMeansPlusPlusMeasure(params), Call::KMeansPlusPlusDraw(params));
        let mut b = PlanBuilder::new("k_means_start", ROUNDS);
        let x = b.kept("points", points.values.len());
        let nearest = b.kept("nearest", rows);
        let sq_dist = b.kept("trial_sq_dist", rows * trials);
        let left = b.transient("left", measure.len("left"));
        let uniforms = b.kept("uniforms", k * trials);
        let best = b.kept_uint("best", 1);
        let drawn = b.kept_uint("drawn", trials);
        let picks = b.kept_uint("picks", k + 1);
        let rounds = Rounds::add(&mut b, k, |b, _| {
            b.step(measure, &[x, drawn, best], &[nearest, sq_dist, left]);
            b.step(draw, &[nearest, sq_dist, left, uniforms], &[best, drawn, picks]);
        });
        let executor = &mut *self.0;
        let id = executor.prepare(b.build())?;
        // All random numbers, in the order in which `seeding::plus_plus` draws them. The last round's draws are not used.
        let first = below(&mut rng, rows as u64) as u32;
        let mut numbers: Vec<f32> =
            (0..(k - 1) * trials).map(|_| uniform(&mut rng) as f32).collect();
        numbers.resize(k * trials, 0.0);
        executor.write(id, x.buffer, bytemuck::cast_slice(points.values))?;
        executor.write(id, nearest.buffer, &vec![f32::MAX.to_bits(); rows])?;
        executor.write(id, sq_dist.buffer, &vec![f32::MAX.to_bits(); rows * trials])?;
        executor.write(id, uniforms.buffer, bytemuck::cast_slice(&numbers))?;
        executor.write(id, best.buffer, &[0])?;
        executor.write(id, drawn.buffer, &vec![first; trials])?;
        executor.write(id, picks.buffer, &vec![0; k + 1])?;
        rounds.run(executor, id, |_| Ok(true))?;
        let mut out = vec![0; k + 1];
        executor.read(id, picks.buffer, &mut out)?;
        let centroids =
            out[1..].iter().flat_map(|&row| points.row(row as usize)).copied().collect();
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
        let (assign, update, check) = (
            Call::KMeansAssign(params),
            Call::KMeansUpdate(params),
            Call::KMeansCheckConvergence(params),
        );
        let mut b = PlanBuilder::new("k_means", "assign");
        let x = b.kept("points", rows * dim);
        let c = b.kept("centroids", k * dim);
        let assignment = b.kept_uint("assignment", rows);
        let sq_dist = b.kept("sq_dist", rows);
        let changes = b.transient_uint("changes", assign.len("changes"));
        let movements = b.transient("movements", update.len("movements"));
        let limit = b.kept("limit", 1);
        let state = b.kept_uint("state", 2);
        b.step(assign, &[x, c, state], &[assignment, sq_dist, changes]);
        b.section(ROUNDS);
        let rounds = Rounds::add(&mut b, stop.rounds, |b, _| {
            b.step(update, &[x, assignment, state], &[c, movements]);
            b.step(assign, &[x, c, state], &[assignment, sq_dist, changes]);
            b.step(check, &[changes, movements, limit], &[state]);
        });
        let executor = &mut *self.0;
        let id = executor.prepare(b.build())?;
        executor.write(id, x.buffer, bytemuck::cast_slice(points.values))?;
        executor.write(id, c.buffer, bytemuck::cast_slice(centroids))?;
        executor.write(id, limit.buffer, &[(stop.movement as f32).to_bits()])?;
        executor.run(id, "assign")?;
        let mut now = [0; 2];
        rounds.run(executor, id, |executor| {
            executor.read(id, state.buffer, &mut now)?;
            Ok(now[1] == 0)
        })?;
        executor.read(id, state.buffer, &mut now)?;
        let mut clusters = Clusters {
            assignment: vec![0; rows],
            sq_dist: vec![0.0; rows],
            rounds: now[0] as usize,
        };
        executor.read(id, c.buffer, bytemuck::cast_slice_mut(centroids))?;
        executor.read(id, assignment.buffer, &mut clusters.assignment)?;
        executor.read(id, sq_dist.buffer, bytemuck::cast_slice_mut(&mut clusters.sq_dist))?;
        executor.release(id);
        Ok(clusters)
    }
}

/// The section of [`Rounds::IN_A_RUN`] rounds.
const ROUNDS: &str = "rounds";
/// The section of those that are left over.
const REST: &str = "rest";

/// Rounds of an algorithm as sections of a plan, many to a run, which the device does without the host in between.
struct Rounds(usize);

impl Rounds {
    /// Few enough that a run of slow rounds ends before a driver takes the device for hung. Even, since buffers take turns.
    const IN_A_RUN: usize = 16;

    /// Appends the steps of so many rounds to the open section, which is [`ROUNDS`], and opens another.
    fn add(
        b: &mut PlanBuilder,
        count: usize,
        mut round: impl FnMut(&mut PlanBuilder, usize),
    ) -> Self {
        if count >= Self::IN_A_RUN {
            (0..Self::IN_A_RUN).for_each(|i| round(b, i));
        }
        b.section(REST);
        (0..count % Self::IN_A_RUN).for_each(|i| round(b, i));
        Self(count)
    }

    /// Runs the rounds, as long as `more` agrees after each run.
    fn run(
        &self,
        executor: &mut dyn Executor,
        id: PlanId,
        mut more: impl FnMut(&mut dyn Executor) -> Result<bool>,
    ) -> Result<()> {
        for _ in 0..self.0 / Self::IN_A_RUN {
            executor.run(id, ROUNDS)?;
            if !more(executor)? {
                return Ok(());
            }
        }
        executor.run(id, REST)
    }
}

fn sq_dist_of(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}
