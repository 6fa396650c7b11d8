//! k-means whatever the device, and its first centroids.

use std::borrow::Cow;

use askem_kernels::k_means::fast::{Stop, variance};
use askem_kernels::rng::{Purpose, Rng, below, sample_without_replacement, stream, uniform};

use super::{Clusters, K_MEANS_ROUNDS, K_MEANS_TOLERANCE, Points};
use crate::error::Result;

/// Points among which the first centroids are looked for, at most.
///
/// The choice needs many passes over them, and a centroid that is right for so many is right for all: Lloyd's
/// rounds, which see every point, begin from a start as good.
const SAMPLE: usize = 16_384;

/// Starts that are tried, each with other random numbers.
const STARTS: u64 = 3;

/// Lloyd's rounds of each start. The first few take away most of what there is to gain.
const START_ROUNDS: usize = 10;

/// What a device does for k-means.
pub(super) trait Device {
    /// `k` of the points, as [`plus_plus`] chooses them.
    fn plus_plus(&mut self, points: Points<'_>, k: usize, rng: &mut dyn Rng) -> Result<Vec<f32>>;
    /// Lloyd's rounds on these points, which move the centroids.
    fn lloyd(
        &mut self,
        points: Points<'_>,
        centroids: &mut Vec<f32>,
        stop: Stop,
    ) -> Result<Clusters>;
}

/// Clusters the points: the best of several starts on a sample, then Lloyd's rounds on all of them.
pub(super) fn k_means(
    device: &mut dyn Device,
    points: Points<'_>,
    k: usize,
    seed: u64,
) -> Result<Clusters> {
    let sample = sample(points, k, seed);
    let sample = Points { values: &sample, dim: points.dim };
    let movement = K_MEANS_TOLERANCE * variance(points.dim, points.values);
    let mut best: Option<(f64, Vec<f32>)> = None;
    for start in 0..STARTS {
        let mut rng = stream(seed, Purpose::KMeans, 0, start);
        let mut centroids = device.plus_plus(sample, k, &mut rng)?;
        let stop = Stop { rounds: START_ROUNDS, movement };
        let clusters = device.lloyd(sample, &mut centroids, stop)?;
        let inertia = clusters.sq_dist.iter().map(|&d| f64::from(d)).sum();
        if best.as_ref().is_none_or(|(least, _)| inertia < *least) {
            best = Some((inertia, centroids));
        }
    }
    let (_, mut centroids) = best.expect("there are several starts");
    device.lloyd(points, &mut centroids, Stop { rounds: K_MEANS_ROUNDS, movement })
}

/// Candidates for each centroid, `2 + ln k` as in scikit-learn.
pub(super) fn candidates(k: usize) -> usize {
    2 + (k as f64).ln() as usize
}

/// The points to choose the first centroids from: all, or a random sample of them, in their order.
fn sample(points: Points<'_>, k: usize, seed: u64) -> Cow<'_, [f32]> {
    let (rows, most) = (points.rows(), SAMPLE.max(k.saturating_mul(64)));
    if rows <= most {
        return Cow::Borrowed(points.values);
    }
    let mut order: Vec<usize> = (0..rows).collect();
    let mut rng = stream(seed, Purpose::KMeans, 1, 0);
    let sample = sample_without_replacement(&mut rng, &mut order, most);
    sample.sort_unstable();
    Cow::Owned(sample.iter().flat_map(|&row| points.row(row)).copied().collect())
}

/// `k` of the points by greedy k-means++, one after another: candidates are drawn with probabilities
/// proportional to their squared distances to the centroids before, and the one that leaves the smallest sum of
/// squared distances is taken, the first of equals.
///
/// `measure` writes the squared distances of all points to [`candidates`]`(k)` points, `[rows, candidates]`.
///
/// Source: Arthur and Vassilvitskii 2007, "k-means++: the advantages of careful seeding", with the several draws of
/// its section 7.
pub(super) fn plus_plus(
    points: Points<'_>,
    k: usize,
    mut rng: &mut dyn Rng,
    mut measure: impl FnMut(Points<'_>, &mut [f32]) -> Result<()>,
) -> Result<Vec<f32>> {
    let (rows, trials) = (points.rows(), candidates(k));
    let mut nearest = vec![f32::MAX; rows];
    let mut sq_dist = vec![0.0; rows * trials];
    let mut sums = vec![0.0; rows];
    let mut picks = vec![below(&mut rng, rows as u64) as usize; trials];
    let mut centroids = Vec::with_capacity(k * points.dim);
    for round in 0..k {
        if round > 0 {
            let mut total = 0.0;
            for (sum, &nearest) in sums.iter_mut().zip(&nearest) {
                total += f64::from(nearest);
                *sum = total;
            }
            picks.fill_with(|| draw(&mut rng, &sums));
        }
        let values: Vec<f32> = picks.iter().flat_map(|&row| points.row(row)).copied().collect();
        measure(Points { values: &values, dim: points.dim }, &mut sq_dist)?;
        let mut left = vec![0.0; trials];
        for (&nearest, sq_dist) in nearest.iter().zip(sq_dist.chunks_exact(trials)) {
            for (left, &sq_dist) in left.iter_mut().zip(sq_dist) {
                *left += f64::from(nearest.min(sq_dist));
            }
        }
        let best = (0..trials).fold(0, |best, t| if left[t] < left[best] { t } else { best });
        for (nearest, sq_dist) in nearest.iter_mut().zip(sq_dist.chunks_exact(trials)) {
            *nearest = nearest.min(sq_dist[best]);
        }
        centroids.extend_from_slice(points.row(picks[best]));
    }
    Ok(centroids)
}

/// Draws an index with a probability proportional to its term of the running sums; the first where all terms are zero.
fn draw(rng: &mut impl Rng, sums: &[f64]) -> usize {
    let total = sums[sums.len() - 1];
    let target = uniform(rng) * total;
    // Rounding may lift the target to the total: then it is the last term that is not zero.
    sums.partition_point(|&sum| sum <= target).min(sums.partition_point(|&sum| sum < total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_terms_are_not_drawn() {
        let mut rng = stream(1, Purpose::Test, 0, 0);
        let mut counts = [0; 5];
        for _ in 0..1000 {
            counts[draw(&mut rng, &[0.0, 1.0, 1.0, 4.0, 4.0])] += 1;
        }
        assert_eq!((counts[0], counts[2], counts[4]), (0, 0, 0));
        assert!(counts[1] > 150 && counts[3] > 600, "{counts:?}");
        assert_eq!(draw(&mut rng, &[0.0, 0.0]), 0);
    }

    #[test]
    fn a_sample_is_of_distinct_points_in_their_order() {
        let values: Vec<f32> = (0..40_000).map(|i| i as f32).collect();
        let all = sample(Points { values: &values[..20_000], dim: 2 }, 5, 0);
        assert_eq!(all, &values[..20_000]);
        let some = sample(Points { values: &values, dim: 2 }, 5, 0);
        assert_eq!(some.len(), 2 * SAMPLE);
        assert!(some.chunks(2).all(|point| point[0] % 2.0 == 0.0 && point[1] == point[0] + 1.0));
        assert!(some.windows(2).all(|pair| pair[0] < pair[1]));
        assert_ne!(some, sample(Points { values: &values, dim: 2 }, 5, 1));
    }

    #[test]
    fn a_start_has_a_point_of_each_cluster() {
        let values: Vec<f32> = (0..60).map(|i| (i % 3) as f32 * 100.0 + i as f32 / 60.0).collect();
        let points = Points { values: &values, dim: 1 };
        for seed in 0..20 {
            let start =
                plus_plus(points, 3, &mut stream(seed, Purpose::Test, 0, 0), |c, sq_dist| {
                    let all =
                        values.iter().flat_map(|x| c.values.iter().map(move |c| (x - c) * (x - c)));
                    sq_dist.iter_mut().zip(all).for_each(|(to, d)| *to = d);
                    Ok(())
                })
                .unwrap();
            let mut clusters: Vec<i32> = start.iter().map(|&x| (x / 100.0) as i32).collect();
            clusters.sort_unstable();
            assert_eq!(clusters, [0, 1, 2]);
        }
    }
}
