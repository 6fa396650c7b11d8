use super::*;
use crate::Call;
use crate::tolerance::testing::{Buffer, check_fast, convert, draw, draw_below};
use crate::tolerance::{Tracked, compare, compare_exact};
use proptest::prelude::*;

/// A state in which rounds go on.
const GO_ON: [u32; 2] = [0, 0];

/// [`assign`](super::assign) without its tests of convergence.
fn assign<T: Real>(p: &Params, x: &[T], c: &[T], to: &mut [u32], sq_dist: &mut [T]) {
    super::assign(p, x, c, &GO_ON, to, sq_dist, &mut vec![0; p.len("changes")]).unwrap();
}

fn fast_assign(p: &Params, x: &[f32], c: &[f32], to: &mut [u32], sq_dist: &mut [f32]) {
    fast::assign(p, x, c, &GO_ON, to, sq_dist, &mut vec![0; p.len("changes")]).unwrap();
}

/// [`update`](super::update) without its movements.
fn update<T: Real>(p: &Params, x: &[T], assignment: &[u32], c: &mut [T]) {
    super::update(p, x, assignment, &GO_ON, c, &mut vec![T::ZERO; p.len("movements")]).unwrap();
}

fn fast_update(p: &Params, x: &[f32], assignment: &[u32], c: &mut [f32]) {
    fast::update(p, x, assignment, &GO_ON, c, &mut vec![0.0; p.len("movements")]).unwrap();
}

/// Two clusters on a line, of which the second is found in the first round, and nothing changes in the second.
#[test]
fn rounds_end_where_nothing_changes() {
    let p = Params { rows: 4, k: 2, dim: 1 };
    let points = [0.0, 2.0, 9.0, 11.0];
    let run = |limit: f32, forms: bool| {
        let (assign, update, check): (Assign, Update, Check) = if forms {
            (super::assign, super::update, check_convergence)
        } else {
            (fast::assign, fast::update, fast::check_convergence)
        };
        let (mut state, mut centroids) = ([0, 0], [0.0, 2.0]);
        let (mut assignment, mut sq_dist, mut changes) = ([0; 4], [f32::NAN; 4], [9]);
        let mut movements = [f32::NAN; 2];
        let mut all = Vec::new();
        assign(&p, &points, &centroids, &state, &mut assignment, &mut sq_dist, &mut changes)
            .unwrap();
        assert_eq!((assignment, changes), ([0, 1, 1, 1], [3]));
        for _ in 0..5 {
            update(&p, &points, &assignment, &state, &mut centroids, &mut movements).unwrap();
            assign(&p, &points, &centroids, &state, &mut assignment, &mut sq_dist, &mut changes)
                .unwrap();
            check(&p, &changes, &movements, &[limit], &mut state).unwrap();
            all.push((state, centroids, changes, movements));
        }
        all
    };
    for forms in [true, false] {
        let third = 22.0f32 / 3.0;
        let step = (third - 2.0) * (third - 2.0);
        let first = ([1, 0], [0.0, third], [1], [0.0, step]);
        let step = (10.0 - third) * (10.0 - third);
        let last = ([2, 1], [1.0, 10.0], [0], [1.0, step]);
        assert_eq!(run(0.0, forms), [first, last, last, last, last]);
        // A movement at the limit ends the rounds too, one above it does not.
        let first = ([1, 1], first.1, first.2, first.3);
        assert_eq!(run(first.3[1], forms), [first; 5]);
        let below = f32::from_bits(first.3[1].to_bits() - 1);
        assert_eq!(run(below, forms)[0].0, [1, 0]);
    }
}

type Assign =
    fn(&Params, &[f32], &[f32], &[u32], &mut [u32], &mut [f32], &mut [u32]) -> Result<(), Error>;
type Update = fn(&Params, &[f32], &[u32], &[u32], &mut [f32], &mut [f32]) -> Result<(), Error>;
type Check = fn(&Params, &[u32], &[f32], &[f32], &mut [u32]) -> Result<(), Error>;

#[test]
fn an_empty_cluster_keeps_its_centroid() {
    let p = Params { rows: 3, k: 3, dim: 2 };
    let points = [0.0, 0.0, 2.0, 4.0, 7.0, 7.0];
    for form in [update::<f32>, fast_update] {
        let mut centroids = [9.0, 9.0, 5.0, 6.0, 9.0, 9.0];
        // The last point belongs to no cluster.
        form(&p, &points, &[0, 0, 3], &mut centroids);
        assert_eq!(centroids, [1.0, 2.0, 5.0, 6.0, 9.0, 9.0]);
    }
}

#[test]
fn ties_go_to_the_lowest_index() {
    let p = Params { rows: 2, k: 6, dim: 1 };
    for form in [assign::<f32>, fast_assign] {
        let (mut assignment, mut sq_dist) = ([9; 2], [f32::NAN; 2]);
        let centroids = [5.0, 1.0, -1.0, 1.0, 3.0, 3.0];
        form(&p, &[0.0, 3.0], &centroids, &mut assignment, &mut sq_dist);
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
            assign(&p, &points, &centroids, &mut assignment, &mut sq_dist);
            let next: f64 = sq_dist.iter().sum();
            prop_assert!(next <= inertia * (1.0 + crate::tolerance::LAW));
            inertia = next;
            update(&p, &points, &assignment, &mut centroids);
        }
    }

    #[test]
    fn fast_agrees(rows in 1u32..150, k in 1u32..9, dim in 1u32..140, seed: u64) {
        let p = Params { rows, k, dim };
        let points = draw(seed, p.len("points"), -1.0..1.0);
        let centroids = draw(!seed, p.len("centroids"), -1.0..1.0);
        let state = Buffer::Uint(GO_ON.to_vec());
        let before = draw_below(!seed, rows as usize, k);
        let reads =
            [Buffer::Float(points.clone()), Buffer::Float(centroids.clone()), state.clone()];
        let changes = Buffer::Uint(vec![u32::MAX; p.len("changes")]);
        let writes = [Buffer::Uint(before.clone()), Buffer::unset(rows), changes];
        let got = check_fast(Call::KMeansAssign(p), &reads, &writes);
        let tiles = before.chunks(TILE as usize).zip(got[0].uints().chunks(TILE as usize));
        let changes: Vec<u32> =
            tiles.map(|(a, b)| a.iter().zip(b).filter(|(a, b)| a != b).count() as u32).collect();
        prop_assert_eq!(got[2].uints(), changes);

        let assignment = draw_below(seed, rows as usize, k + 1);
        let mut same = centroids.clone();
        update(&p, &points, &assignment, &mut same);
        let reads = [Buffer::Float(points), Buffer::Uint(assignment), state];
        let movements = Buffer::unset(p.len("movements") as u32);
        let writes = [Buffer::Float(centroids), movements];
        let got = check_fast(Call::KMeansUpdate(p), &reads, &writes);
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
    fast_assign(p, points, centroids, &mut assignment, &mut sq_dist);
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
                assign(&p, &points, &centroids, &mut assignment, &mut sq_dist);
                let tracked = |x: &f32| Tracked::leaf(f64::from(*x));
                let mut means: Vec<Tracked> = centroids.iter().map(tracked).collect();
                let points: Vec<Tracked> = points.iter().map(tracked).collect();
                update(&p, &points, &assignment, &mut means);
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
