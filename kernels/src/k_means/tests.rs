use super::*;
use crate::Call;
use crate::tolerance::testing::{Buffer, check_fast, convert, draw, draw_below};
use crate::tolerance::{Tracked, compare, compare_exact};
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

    /// Whatever was left out, the clusters are those that comparing everything gives.
    #[test]
    fn lloyd_assigns_as_assign_does(
        rows in 1u32..700, k in 1u32..30, dim in 1u32..40, rounds in 0usize..12, at in 0.0f64..100.0, seed: u64,
    ) {
        let p = Params { rows, k, dim };
        let points = draw(seed, p.len("points"), at - 1.0..at + 1.0);
        let mut centroids = draw(!seed, p.len("centroids"), at - 1.0..at + 1.0);
        check_lloyd(&p, &points, &mut centroids, rounds);
    }
}

/// Runs so many rounds, and checks the clusters against [`fast::assign`]; returns the rounds done.
fn check_lloyd(p: &Params, points: &[f32], centroids: &mut [f32], rounds: usize) -> usize {
    let found = fast::lloyd(p, points, centroids, fast::Stop { rounds, movement: 0.0 }).unwrap();
    assert!(found.rounds <= rounds);
    let (mut assignment, mut sq_dist) = (vec![9; found.assignment.len()], found.sq_dist.clone());
    fast::assign(p, points, centroids, &mut assignment, &mut sq_dist).unwrap();
    assert_eq!(found.assignment, assignment);
    assert_eq!(found.sq_dist, sq_dist);
    found.rounds
}

/// On noise many rounds pass, so that old times are forgotten, and in the end centroids are means.
#[test]
fn lloyd_converges_to_means() {
    let p = Params { rows: 3000, k: 17, dim: 9 };
    let points = draw(3, p.len("points"), -1.0..1.0);
    crate::simd::testing::on_every_level(|| {
        for rounds in [1, 2, 5, 31, 32, 33, 34, 40, 500] {
            let mut centroids = points[..p.len("centroids")].to_vec();
            let done = check_lloyd(&p, &points, &mut centroids, rounds);
            assert!(done == rounds || done > 40, "{done}");
            if done < rounds {
                let (mut assignment, mut sq_dist) = (vec![0; 3000], vec![0.0; 3000]);
                assign(&p, &points, &centroids, &mut assignment, &mut sq_dist).unwrap();
                let tracked = |x: &f32| Tracked::leaf(f64::from(*x));
                let mut means: Vec<Tracked> = centroids.iter().map(tracked).collect();
                let points: Vec<Tracked> = points.iter().map(tracked).collect();
                update(&p, &points, &assignment, &mut means).unwrap();
                compare(&centroids, &means).unwrap();
            }
        }
    });
}

#[test]
fn lloyd_stops_where_centroids_hardly_move() {
    let p = Params { rows: 3000, k: 17, dim: 9 };
    let points = draw(3, p.len("points"), -1.0..1.0);
    let run = |movement| {
        let mut centroids = points[..p.len("centroids")].to_vec();
        fast::lloyd(&p, &points, &mut centroids, fast::Stop { rounds: 500, movement }).unwrap()
    };
    let (all, some) = (run(0.0), run(1e-3));
    assert!(0 < some.rounds && some.rounds < all.rounds);
    assert_eq!(run(f64::INFINITY).rounds, 1);
}

/// Equal points, equal centroids and empty clusters; the last centroid is never nearer than the first.
#[test]
fn lloyd_gives_ties_to_the_lowest_index() {
    let p = Params { rows: 40, k: 3, dim: 2 };
    let mut centroids = [1.0, 1.0, 5.0, 5.0, 1.0, 1.0];
    let points: Vec<f32> = (0..80).map(|i| [1.0, 5.0][i / 2 % 2]).collect();
    let stop = fast::Stop { rounds: 9, movement: 0.0 };
    let found = fast::lloyd(&p, &points, &mut centroids, stop).unwrap();
    assert_eq!(found.assignment, (0..40).map(|i| i % 2).collect::<Vec<_>>());
    assert_eq!((centroids, found.rounds), ([1.0, 1.0, 5.0, 5.0, 1.0, 1.0], 1));
}

/// The same bits from one, two and five threads.
#[cfg(feature = "rayon")]
#[test]
fn lloyd_does_not_depend_on_the_number_of_threads() {
    let p = Params { rows: 2500, k: 11, dim: 33 };
    let points = draw(5, p.len("points"), -1.0..1.0);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let movement = 1e-4 * fast::variance(33, &points);
            let mut centroids = points[..p.len("centroids")].to_vec();
            let stop = fast::Stop { rounds: 50, movement };
            (fast::lloyd(&p, &points, &mut centroids, stop).unwrap(), centroids, movement)
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(5));
}

#[test]
fn variance_is_the_definition_wherever_the_points_lie() {
    let (rows, dim) = (2100, 5);
    let points = draw(1, rows * dim, 1000.0..1001.0);
    let column = |d: usize| points.iter().skip(d).step_by(dim).map(|&x| f64::from(x));
    let of_column = |d: usize| {
        let mean = column(d).sum::<f64>() / rows as f64;
        column(d).map(|x| (x - mean) * (x - mean)).sum::<f64>() / rows as f64
    };
    let want = (0..dim).map(of_column).sum::<f64>() / dim as f64;
    assert!((fast::variance(dim, &points) - want).abs() < crate::tolerance::LAW * want);
    assert_eq!(fast::variance(2, &[1.0, 7.0, 1.0, 7.0]), 0.0);
    assert_eq!(fast::variance(2, &[]), 0.0);
}
