//! Distances between embeddings: k-center greedy and k-means, on a processor or as plans on a device.

mod plans;
mod processor;
mod seeding;
#[cfg(test)]
mod tests;

use crate::compute::executor::Executor;
use crate::error::Result;

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

    /// Clusters the points by k-means: the best of three greedy k-means++ starts (on a sample where the points are
    /// many), then Lloyd's rounds until no point changes its cluster, the centroids move by no more than
    /// [`K_MEANS_TOLERANCE`], or [`K_MEANS_ROUNDS`] are done.
    fn k_means(&mut self, points: Points<'_>, k: usize, seed: u64) -> Result<Clusters>;
}

/// What [`Geometry::k_means`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Clusters {
    /// The cluster of each point.
    pub assignment: Vec<u32>,
    /// The squared distance of each point to its centroid. The sum is the inertia.
    pub sq_dist: Vec<f32>,
    /// Lloyd's rounds that were done after the start.
    pub rounds: usize,
}

/// Lloyd's rounds at most; scikit-learn's default.
pub const K_MEANS_ROUNDS: usize = 300;

/// Movements of the centroids in a round, as the sum of squared distances over the variance of the points (the mean of their
/// coordinates' variances), that end Lloyd's rounds; scikit-learn's default.
pub const K_MEANS_TOLERANCE: f64 = 1e-4;

/// Geometry on an executor: whole algorithms on a processor's threads, plans on other devices.
///
/// Both follow the same definitions, so that the same seed gives the same choice up to ties.
pub struct DeviceGeometry<'a> {
    executor: &'a mut dyn Executor,
}

impl<'a> DeviceGeometry<'a> {
    /// Computes on `executor`.
    pub fn new(executor: &'a mut dyn Executor) -> Self {
        Self { executor }
    }
}

impl Geometry for DeviceGeometry<'_> {
    fn k_center_greedy(
        &mut self,
        points: Points<'_>,
        chosen: Points<'_>,
        k: usize,
    ) -> Result<Vec<(usize, f32)>> {
        let k = k.min(points.rows());
        if k == 0 {
            return Ok(Vec::new());
        }
        match self.executor.threads() {
            Some(threads) => threads.install(|| processor::k_center_greedy(points, chosen, k)),
            None => plans::k_center_greedy(self.executor, points, chosen, k),
        }
    }

    fn k_means(&mut self, points: Points<'_>, k: usize, seed: u64) -> Result<Clusters> {
        let k = k.min(points.rows()).max(1);
        match self.executor.threads() {
            Some(threads) => {
                threads.install(|| seeding::k_means(&mut processor::Processor, points, k, seed))
            }
            None => seeding::k_means(&mut plans::Plans(self.executor), points, k, seed),
        }
    }
}
