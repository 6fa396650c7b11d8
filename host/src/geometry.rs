//! Distances between embeddings on a device: k-center greedy and k-means as plans.

use askem_kernels::rng::{Purpose, stream, uniform};
use askem_kernels::{Call, k_center_greedy as k_center, k_means as means, min_sq_dist};

use crate::error::Result;
use crate::executor::Executor;
use crate::plan::PlanBuilder;

/// Points that lie one after another, `dim` numbers each.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    /// `rows * dim` numbers.
    pub values: &'a [f32],
    /// Numbers per point.
    pub dim: usize,
}

impl<'a> Points<'a> {
    /// Number of points.
    pub fn rows(&self) -> usize {
        self.values.len() / self.dim
    }

    /// One point.
    pub fn row(&self, index: usize) -> &'a [f32] {
        &self.values[index * self.dim..][..self.dim]
    }
}

/// What strategies may ask about embeddings, whatever the device.
pub trait Geometry {
    /// Up to `k` points by k-center greedy: each the farthest from `chosen` and all picked before.
    /// Returns each pick with its squared distance when it was picked. Ties go to the lowest index.
    ///
    /// Source: Sener and Savarese 2018 (arXiv 1708.00489), algorithm 1.
    fn k_center_greedy(
        &mut self,
        points: Points<'_>,
        chosen: Points<'_>,
        k: usize,
    ) -> Result<Vec<(usize, f32)>>;

    /// Clusters the points by k-means (k-means++ start, then Lloyd until nothing changes or
    /// [`K_MEANS_ROUNDS`] rounds are done).
    fn k_means(&mut self, points: Points<'_>, k: usize, seed: u64) -> Result<Clusters>;
}

/// What [`Geometry::k_means`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Clusters {
    /// The cluster of each point.
    pub assignment: Vec<u32>,
    /// The squared distance of each point to its centroid.
    pub sq_dist: Vec<f32>,
}

/// Lloyd's rounds at most; scikit-learn's default.
pub const K_MEANS_ROUNDS: usize = 300;

/// Geometry by plans on an executor.
pub struct DeviceGeometry<'a> {
    executor: &'a mut dyn Executor,
}

impl<'a> DeviceGeometry<'a> {
    /// Computes on `executor`.
    pub fn new(executor: &'a mut dyn Executor) -> Self {
        Self { executor }
    }

    /// The squared distance of each point to the nearest of `centers`.
    pub fn min_sq_dist(&mut self, points: Points<'_>, centers: Points<'_>) -> Result<Vec<f32>> {
        let (rows, dim) = (points.rows(), points.dim);
        let mut b = PlanBuilder::new("min_sq_dist", "run");
        let x = b.kept("points", rows * dim);
        let c = b.kept("centers", centers.values.len());
        let sq_dist = b.kept("sq_dist", rows);
        let index = b.transient_uint("index", rows);
        let params = min_sq_dist::Params {
            rows: rows as u32,
            centers: centers.rows() as u32,
            dim: dim as u32,
        };
        b.step(Call::MinSqDistForward(params), &[x, c], &[sq_dist, index]);
        let id = self.executor.prepare(b.build())?;
        self.executor.write(id, x.buffer, bytemuck::cast_slice(points.values))?;
        self.executor.write(id, c.buffer, bytemuck::cast_slice(centers.values))?;
        self.executor.run(id, "run")?;
        let mut out = vec![0.0_f32; rows];
        self.executor.read(id, sq_dist.buffer, bytemuck::cast_slice_mut(&mut out))?;
        self.executor.release(id);
        Ok(out)
    }
}

impl Geometry for DeviceGeometry<'_> {
    fn k_center_greedy(
        &mut self,
        points: Points<'_>,
        chosen: Points<'_>,
        k: usize,
    ) -> Result<Vec<(usize, f32)>> {
        let (rows, dim) = (points.rows(), points.dim);
        let k = k.min(rows);
        if k == 0 {
            return Ok(Vec::new());
        }
        let start = match chosen.rows() {
            0 => vec![f32::MAX; rows],
            _ => self.min_sq_dist(points, chosen)?,
        };
        let params = k_center::Params { rows: rows as u32, dim: dim as u32, capacity: k as u32 };
        let mut b = PlanBuilder::new("k_center_greedy", "pick");
        let x = b.kept("points", rows * dim);
        let sq_dist = b.kept("sq_dist", rows);
        let picks = b.kept_uint("picks", k + 1);
        b.step(Call::KCenterGreedyPick(params), &[sq_dist], &[picks]);
        b.section("update");
        b.step(Call::KCenterGreedyUpdate(params), &[x, picks], &[sq_dist]);
        let id = self.executor.prepare(b.build())?;
        let executor = &mut *self.executor;
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

    fn k_means(&mut self, points: Points<'_>, k: usize, seed: u64) -> Result<Clusters> {
        let (rows, dim) = (points.rows(), points.dim);
        let k = k.min(rows).max(1);
        let centroids = self.k_means_plus_plus(points, k, seed)?;
        let params = means::Params { rows: rows as u32, k: k as u32, dim: dim as u32 };
        let mut b = PlanBuilder::new("k_means", "assign");
        let x = b.kept("points", rows * dim);
        let c = b.kept("centroids", k * dim);
        let assignment = b.kept_uint("assignment", rows);
        let sq_dist = b.kept("sq_dist", rows);
        b.step(Call::KMeansAssign(params), &[x, c], &[assignment, sq_dist]);
        b.section("update");
        b.step(Call::KMeansUpdate(params), &[x, assignment], &[c]);
        let id = self.executor.prepare(b.build())?;
        let executor = &mut *self.executor;
        executor.write(id, x.buffer, bytemuck::cast_slice(points.values))?;
        executor.write(id, c.buffer, bytemuck::cast_slice(&centroids))?;
        executor.run(id, "assign")?;
        let mut clusters = Clusters { assignment: vec![0; rows], sq_dist: vec![0.0; rows] };
        executor.read(id, assignment.buffer, &mut clusters.assignment)?;
        for _ in 0..K_MEANS_ROUNDS {
            executor.run(id, "update")?;
            executor.run(id, "assign")?;
            let mut now = vec![0; rows];
            executor.read(id, assignment.buffer, &mut now)?;
            if std::mem::replace(&mut clusters.assignment, now) == clusters.assignment {
                break;
            }
        }
        executor.read(id, sq_dist.buffer, bytemuck::cast_slice_mut(&mut clusters.sq_dist))?;
        executor.release(id);
        Ok(clusters)
    }
}

impl DeviceGeometry<'_> {
    /// First centroids: each point is drawn with a probability proportional to its squared
    /// distance to the centroids before.
    ///
    /// Source: Arthur and Vassilvitskii 2007, "k-means++".
    fn k_means_plus_plus(&mut self, points: Points<'_>, k: usize, seed: u64) -> Result<Vec<f32>> {
        let rows = points.rows();
        let mut rng = stream(seed, Purpose::KMeans, 0, 0);
        let mut nearest = vec![f64::INFINITY; rows];
        let mut pick = ((uniform(&mut rng) * rows as f64) as usize).min(rows - 1);
        let mut centroids = points.row(pick).to_vec();
        for _ in 1..k {
            let centre = Points { values: points.row(pick), dim: points.dim };
            let distances = self.min_sq_dist(points, centre)?;
            for (nearest, &d) in nearest.iter_mut().zip(&distances) {
                *nearest = nearest.min(f64::from(d));
            }
            let total: f64 = nearest.iter().sum();
            let mut target = uniform(&mut rng) * total;
            // With all points on centroids there is nothing to prefer: take the first.
            pick = 0;
            for (i, &d) in nearest.iter().enumerate() {
                if d > 0.0 {
                    pick = i;
                    target -= d;
                    if target < 0.0 {
                        break;
                    }
                }
            }
            centroids.extend_from_slice(points.row(pick));
        }
        Ok(centroids)
    }
}

fn sq_dist_of(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}
