//! Passes over the embeddings of a pool.

use std::hint::black_box;

use askem_kernels::k_center_greedy::{self, fast::greedy};
use askem_kernels::k_means;
use askem_kernels::pairwise_sq_dist;
use criterion::Criterion;

use crate::{assert_close, bench, random};

const ROWS: usize = 65_536;
const DIM: usize = 256;
const K: usize = 20;
/// A state of k-means in which rounds go on.
const GO_ON: [u32; 2] = [0, 0];

pub(crate) fn bench_all(c: &mut Criterion) {
    let mut group = c.benchmark_group("selection");
    let points = random(ROWS * DIM, 1);
    let bytes = 4.0 * points.len() as f64;
    let [rows, dim, k] = [ROWS, DIM, K].map(|v| v as u32);

    let p = k_means::Params { rows, k, dim };
    let centroids = &points[..K * DIM];
    let (mut assignment, mut sq_dist) = (vec![0; ROWS], vec![0.0; ROWS]);
    let mut changes = vec![0; ROWS.div_ceil(k_means::TILE as usize)];
    bench(&mut group, "k_means::assign", (2.0 * (ROWS * DIM * K) as f64, bytes), || {
        let points = black_box(&points);
        let (to, changes) = (&mut assignment, &mut changes);
        k_means::fast::assign(&p, points, centroids, &GO_ON, to, &mut sq_dist, changes).unwrap();
    });
    let few = k_means::Params { rows: 1000, ..p };
    let (mut want, mut distances) = (vec![0; 1000], vec![0.0; 1000]);
    let (points_of_few, to) = (&points[..1000 * DIM], &mut want);
    let changes = &mut changes[..1000_usize.div_ceil(k_means::TILE as usize)];
    k_means::assign(&few, points_of_few, centroids, &GO_ON, to, &mut distances, changes).unwrap();
    assert_eq!(assignment[..1000], want);

    // Far from all, so that nothing is chosen yet; the floor is one pass for each centre.
    let p = k_center_greedy::Params { rows, dim, capacity: k };
    let start = vec![f32::MAX; ROWS];
    let mut picks = Vec::new();
    bench(&mut group, "k_center_greedy::greedy", (0.0, K as f64 * bytes), || {
        picks = greedy(&p, black_box(&points), &start).unwrap();
    });
    let row = |i: u32| &points[i as usize * DIM..][..DIM];
    let p = pairwise_sq_dist::Params { rows_a: 1, rows_b: 1, dim };
    let last = picks.last().expect("there are picks");
    let before = picks[..K - 1].iter().map(|&(i, _)| {
        let mut distance = [0.0];
        pairwise_sq_dist::forward(&p, row(last.0), row(i), &mut distance).unwrap();
        distance[0]
    });
    assert_close(&[last.1], &[before.fold(f32::MAX, f32::min)]);
    group.finish();
}
