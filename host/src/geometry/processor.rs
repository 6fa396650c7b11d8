//! The algorithms on a processor: nothing is copied, and work whose outcome is certain is left out.

use askem_kernels::{k_center_greedy as k_center, k_means as means, min_sq_dist, pairwise_sq_dist};

use super::{Clusters, K_MEANS_ROUNDS, K_MEANS_TOLERANCE, Points, seeding};
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

pub(super) fn k_means(points: Points<'_>, k: usize, seed: u64) -> Result<Clusters> {
    let (rows, dim) = (points.rows(), points.dim);
    let sample = seeding::sample(points, k, seed);
    let sample = Points { values: &sample, dim };
    let mut centroids = seeding::centroids(sample, k, seed, |candidates, sq_dist| {
        let p = pairwise_sq_dist::Params {
            rows_a: sample.rows() as u32,
            rows_b: candidates.rows() as u32,
            dim: dim as u32,
        };
        Ok(pairwise_sq_dist::fast::forward(&p, sample.values, candidates.values, sq_dist)?)
    })?;
    let p = means::Params { rows: rows as u32, k: k as u32, dim: dim as u32 };
    let movement = K_MEANS_TOLERANCE * means::fast::variance(dim, points.values);
    let stop = means::fast::Stop { rounds: K_MEANS_ROUNDS, movement };
    let found = means::fast::lloyd(&p, points.values, &mut centroids, stop)?;
    Ok(Clusters { assignment: found.assignment, sq_dist: found.sq_dist, rounds: found.rounds })
}
