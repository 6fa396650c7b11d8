use askem_kernels::rng::{Purpose, below, normal, sample_without_replacement, stream};
use askem_kernels::tolerance::gamma;

use super::seeding::Device;
use super::*;
use crate::compute::cpu::CpuExecutor;

/// Clustered points of `dim` coordinates.
fn cloud(rows: usize, dim: usize) -> Vec<f32> {
    let mut rng = stream(4, Purpose::Test, 0, 0);
    let centers: Vec<f32> = (0..9 * dim).map(|_| 2.0 * normal(&mut rng) as f32).collect();
    let center = |i: usize| centers[i / dim % 9 * dim + i % dim];
    (0..rows * dim).map(|i| center(i) + normal(&mut rng) as f32).collect()
}

/// What a device computes by plans and a processor by its own algorithms is the same.
#[test]
fn plans_and_the_processor_choose_the_same() {
    let mut executor = CpuExecutor::new(Some(2)).unwrap();
    for (rows, dim, k) in [(1, 3, 1), (5, 1, 9), (900, 19, 12), (3000, 5, 20), (17_000, 2, 33)] {
        let values = cloud(rows, dim);
        let points = Points { values: &values, dim };
        for chosen in [0, rows.min(4)] {
            let chosen = Points { values: &values[..chosen * dim], dim };
            let got =
                DeviceGeometry::new(&mut executor).k_center_greedy(points, chosen, k).unwrap();
            let k = k.min(rows);
            let want = plans::k_center_greedy(&mut executor, points, chosen, k).unwrap();
            assert_eq!(got.len(), k);
            for (&(got, at), &(want, near)) in got.iter().zip(&want) {
                assert_eq!(got, want);
                let allowed = 2.0 * gamma(dim as u32 + 3) as f32 * near;
                assert!((at - near).abs() <= allowed, "{at} {near}");
            }
        }
        let got = DeviceGeometry::new(&mut executor).k_means(points, k, 7).unwrap();
        let want =
            seeding::k_means(&mut plans::Plans(&mut executor), points, k.min(rows), 7).unwrap();
        assert_eq!((got.assignment, got.rounds), (want.assignment, want.rounds));
        // The means differ by the roundings of a sum in f32.
        let largest = (0..rows).map(|i| points.row(i).iter().map(|x| x * x).sum::<f32>());
        let largest = largest.fold(0.0, f32::max).sqrt();
        for (&got, &want) in got.sq_dist.iter().zip(&want.sq_dist) {
            let reach = want.sqrt() + largest;
            let allowed = 2.0 * gamma((rows + dim) as u32) as f32 * reach * reach;
            assert!((got - want).abs() <= allowed, "{got} {want}");
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let values = cloud(2000, 16);
    let points = Points { values: &values, dim: 16 };
    let run = |threads| {
        let mut executor = CpuExecutor::new(Some(threads)).unwrap();
        let mut geometry = DeviceGeometry::new(&mut executor);
        let picks = geometry.k_center_greedy(points, points, 3).unwrap();
        (picks, geometry.k_means(points, 20, 1).unwrap())
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
}

/// Sums of small integers are exact, and no number of these streams lies within its rounding to f32 from a boundary.
#[test]
fn a_start_by_plans_is_that_of_a_processor() {
    let mut executor = CpuExecutor::new(Some(2)).unwrap();
    for seed in 0..20 {
        let rng = || stream(seed, Purpose::Test, 0, 0);
        let mut draws = stream(seed, Purpose::Test, 1, 0);
        let values: Vec<f32> = (0..140).map(|_| below(&mut draws, 4) as f32).collect();
        let points = Points { values: &values, dim: 2 };
        // Of 16 different points at most; the last centroids are drawn where no point is at a distance.
        for k in [1, 2, 6, 20] {
            let got = plans::Plans(&mut executor).plus_plus(points, k, &mut rng()).unwrap();
            let want = processor::Processor.plus_plus(points, k, &mut rng()).unwrap();
            assert_eq!(got, want, "{seed} {k}");
        }
    }
}

#[test]
fn a_start_by_plans_is_better_than_random_points() {
    let mut executor = CpuExecutor::new(Some(2)).unwrap();
    let (rows, dim, k) = (700, 3, 9);
    let values = cloud(rows, dim);
    let points = Points { values: &values, dim };
    let left = |centers: &[f32]| -> f64 {
        let of_row = |i: usize| {
            let to = centers.chunks(dim).map(|center| {
                points.row(i).iter().zip(center).map(|(a, b)| f64::from(a - b).powi(2)).sum()
            });
            to.fold(f64::INFINITY, f64::min)
        };
        (0..rows).map(of_row).sum()
    };
    let (mut ours, mut random) = (0.0, 0.0);
    for seed in 0..10 {
        let rng = &mut stream(seed, Purpose::Test, 2, 0);
        ours += left(&plans::Plans(&mut executor).plus_plus(points, k, rng).unwrap());
        let mut order: Vec<usize> = (0..rows).collect();
        let picks = sample_without_replacement(rng, &mut order, k);
        random += left(&picks.iter().flat_map(|&i| points.row(i)).copied().collect::<Vec<_>>());
    }
    assert!(ours < 0.8 * random, "{ours} {random}");
}
