//! Centroids as sums that follow the points from cluster to cluster.

use super::{Change, NONE};
use crate::par;
use crate::simd::vectorize;

/// The sum and the number of the points of each cluster.
pub(super) struct Means {
    dim: usize,
    sums: Vec<f64>,
    counts: Vec<usize>,
    /// The rows that leave and join each cluster in a round.
    leaving: Vec<Vec<u32>>,
    joining: Vec<Vec<u32>>,
    /// The squared distance that each centroid moved.
    movements: Vec<f64>,
}

impl Means {
    /// Clusters without points.
    pub(super) fn new(k: usize, dim: usize) -> Self {
        Self {
            dim,
            sums: vec![0.0; k * dim],
            counts: vec![0; k],
            leaving: vec![Vec::new(); k],
            joining: vec![Vec::new(); k],
            movements: vec![0.0; k],
        }
    }

    /// Moves points to other clusters and centroids to the means of theirs; the sum of their squared movements.
    pub(super) fn update(
        &mut self,
        points: &[f32],
        changes: &[Vec<Change>],
        centroids: &mut [f32],
    ) -> f64 {
        self.leaving.iter_mut().chain(&mut self.joining).for_each(Vec::clear);
        for &Change { row, from, to } in changes.iter().flatten() {
            self.joining[to as usize].push(row);
            self.counts[to as usize] += 1;
            if from != NONE {
                self.leaving[from as usize].push(row);
                self.counts[from as usize] -= 1;
            }
        }
        let Self { dim, sums, counts, leaving, joining, movements } = self;
        let dim = *dim;
        let (leaving, joining, counts) = (&*leaving, &*joining, &*counts);
        par::for_each_chunk3_mut(
            (sums, dim),
            (centroids, dim),
            (movements, 1),
            |j, sums, centroid, movement| {
                movement[0] = vectorize(
                    #[inline(always)]
                    move || {
                        for &row in &leaving[j] {
                            let point = &points[row as usize * dim..][..dim];
                            for (sum, &x) in sums.iter_mut().zip(point) {
                                *sum -= f64::from(x);
                            }
                        }
                        for &row in &joining[j] {
                            let point = &points[row as usize * dim..][..dim];
                            for (sum, &x) in sums.iter_mut().zip(point) {
                                *sum += f64::from(x);
                            }
                        }
                        if counts[j] == 0 {
                            // Exactly zero again, whatever the roundings of those that came and went.
                            sums.fill(0.0);
                            return 0.0;
                        }
                        let count = counts[j] as f64;
                        let mut movement = 0.0;
                        for (c, &sum) in centroid.iter_mut().zip(&*sums) {
                            let next = (sum / count) as f32;
                            let step = f64::from(next) - f64::from(*c);
                            movement += step * step;
                            *c = next;
                        }
                        movement
                    },
                );
            },
        );
        movements.iter().sum()
    }
}
