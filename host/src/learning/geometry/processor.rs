//! The algorithms on a processor: nothing is copied, and work whose outcome is certain is left out.

use askem_kernels::k_means::fast::Stop;
use askem_kernels::rng::Rng;
use askem_kernels::{k_center_greedy as k_center, k_means, min_sq_dist, pairwise_sq_dist};

use super::seeding::Device;
use super::{Clusters, Points, seeding};
use crate::error::Result;

pub(super) fn k_center_greedy(
    points: Points<'_>,
    chosen: Points<'_>,
    k: usize,
) -> Result<Vec<(usize, f32)>> {
    let (rows, dim) = (points.rows(), points.dim);
    let mut sq_dist = vec![f32::MAX; rows];
    if chosen.rows() > 0 {
        let p = min_sq_dist::Params {
            rows: rows as u32,
            centers: chosen.rows() as u32,
            dim: dim as u32,
        };
        let mut index = vec![0; rows];
        min_sq_dist::fast::forward(&p, points.values, chosen.values, &mut sq_dist, &mut index)?;
    }
    let p = k_center::Params { rows: rows as u32, dim: dim as u32, capacity: k as u32 };
    let picks = k_center::fast::greedy(&p, points.values, &sq_dist)?;
    Ok(picks.into_iter().map(|(row, sq_dist)| (row as usize, sq_dist)).collect())
}

/// k-means by the kernels' own rounds.
pub(super) struct Processor;

impl Device for Processor {
    fn plus_plus(&mut self, points: Points<'_>, k: usize, rng: &mut dyn Rng) -> Result<Vec<f32>> {
        seeding::plus_plus(points, k, rng, |candidates, sq_dist| {
            let p = pairwise_sq_dist::Params {
                rows_a: points.rows() as u32,
                rows_b: candidates.rows() as u32,
                dim: points.dim as u32,
            };
            Ok(pairwise_sq_dist::fast::forward(&p, points.values, candidates.values, sq_dist)?)
        })
    }

    fn lloyd(
        &mut self,
        points: Points<'_>,
        centroids: &mut Vec<f32>,
        stop: Stop,
    ) -> Result<Clusters> {
        let (rows, dim) = (points.rows(), points.dim);
        let k = centroids.len() / dim;
        let p = k_means::Params { rows: rows as u32, k: k as u32, dim: dim as u32 };
        let found = k_means::fast::lloyd(&p, points.values, centroids, stop)?;
        Ok(Clusters { assignment: found.assignment, sq_dist: found.sq_dist, rounds: found.rounds })
    }
}
