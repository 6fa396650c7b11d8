use super::*;
use crate::Call;
use crate::tolerance::compare_exact;
use crate::tolerance::testing::{Buffer, check_fast, convert, draw, draw_below};
use proptest::prelude::*;

#[test]
fn an_empty_cluster_keeps_its_centroid() {
    let p = Params { rows: 3, k: 3, dim: 2 };
    let points = [0.0, 0.0, 2.0, 4.0, 7.0, 7.0];
    for form in [update::<f32>, fast::update] {
        let mut centroids = [9.0, 9.0, 5.0, 6.0, 9.0, 9.0];
        // The last point belongs to no cluster.
        form(&p, &points, &[0, 0, 3], &mut centroids).unwrap();
        assert_eq!(centroids, [1.0, 2.0, 5.0, 6.0, 9.0, 9.0]);
    }
}

#[test]
fn ties_go_to_the_lowest_index() {
    let p = Params { rows: 2, k: 6, dim: 1 };
    for form in [assign::<f32>, fast::assign] {
        let (mut assignment, mut sq_dist) = ([9; 2], [f32::NAN; 2]);
        let centroids = [5.0, 1.0, -1.0, 1.0, 3.0, 3.0];
        form(&p, &[0.0, 3.0], &centroids, &mut assignment, &mut sq_dist).unwrap();
        assert_eq!((assignment, sq_dist), ([1, 4], [1.0, 0.0]));
    }
}

proptest! {
    /// Neither half of a step lets the inertia grow.
    #[test]
    fn the_inertia_never_grows(rows in 1u32..80, k in 1u32..9, dim in 1u32..6, seed: u64) {
        let p = Params { rows, k, dim };
        let points: Vec<f64> = convert(&draw(seed, p.len("points"), -1.0..1.0));
        let mut centroids: Vec<f64> = convert(&draw(!seed, p.len("centroids"), -1.0..1.0));
        let (mut assignment, mut sq_dist) = (vec![0; rows as usize], vec![0.0; rows as usize]);
        let mut inertia = f64::INFINITY;
        for _ in 0..10 {
            assign(&p, &points, &centroids, &mut assignment, &mut sq_dist).unwrap();
            let next: f64 = sq_dist.iter().sum();
            prop_assert!(next <= inertia * (1.0 + crate::tolerance::LAW));
            inertia = next;
            update(&p, &points, &assignment, &mut centroids).unwrap();
        }
    }

    #[test]
    fn fast_agrees(rows in 1u32..150, k in 1u32..9, dim in 1u32..40, seed: u64) {
        let p = Params { rows, k, dim };
        let points = draw(seed, p.len("points"), -1.0..1.0);
        let centroids = draw(!seed, p.len("centroids"), -1.0..1.0);
        let reads = [Buffer::Float(points.clone()), Buffer::Float(centroids.clone())];
        let assignment = Buffer::Uint(vec![u32::MAX; rows as usize]);
        check_fast(Call::KMeansAssign(p), &reads, &[assignment, Buffer::unset(rows)]);

        let assignment = draw_below(seed, rows as usize, k + 1);
        let mut same = centroids.clone();
        update(&p, &points, &assignment, &mut same).unwrap();
        let reads = [Buffer::Float(points), Buffer::Uint(assignment)];
        let got = check_fast(Call::KMeansUpdate(p), &reads, &[Buffer::Float(centroids)]);
        compare_exact(got[0].floats(), &same).unwrap();
    }
}
