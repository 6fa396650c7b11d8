use askem_kernels::rng::{Purpose, normal, stream};
use askem_kernels::tolerance::gamma;

use super::*;
use crate::cpu::CpuExecutor;

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
