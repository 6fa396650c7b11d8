//! The strategies on embeddings pick what a search through all distances picks. Coordinates are small integers, so that
//! every distance is exact on every device.

use askem::compute::executor::Executor;
use askem::learning::geometry::{DeviceGeometry, Geometry, Points};
use askem::learning::strategy::{
    Candidates, CoreSet, Criterion, KMeans, NAMES, Pick, Strategy, by_name,
};
use askem_kernels::rng::{Purpose, Xoshiro256PlusPlus, below, stream};

use crate::world::{cpu, gpu};

const DIM: usize = 3;

fn integers(rng: &mut Xoshiro256PlusPlus, rows: usize, spread: u64) -> Vec<f32> {
    (0..rows * DIM).map(|_| below(rng, spread) as f32).collect()
}

fn sq_dist(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// What a strategy picks of the points.
fn select(
    strategy: &dyn Strategy,
    executor: &mut dyn Executor,
    [points, labelled]: [&[f32]; 2],
    k: usize,
) -> Vec<Pick> {
    // Pool indices that are not positions.
    let indices: Vec<usize> = (0..points.len() / DIM).map(|i| 3 * i + 1).collect();
    let candidates = Candidates {
        embeddings: Points { values: points, dim: DIM },
        labelled: Points { values: labelled, dim: DIM },
        seed: 5,
        iteration: 1,
        ..Candidates::new(&indices)
    };
    strategy.select(&candidates, k, &mut DeviceGeometry::new(executor)).expect("it selects")
}

/// Each the farthest from all that is labelled or picked; the first of equals.
fn farthest(points: &[f32], labelled: &[f32], k: usize) -> Vec<Pick> {
    let mut centers: Vec<&[f32]> = labelled.chunks(DIM).collect();
    let mut picks: Vec<Pick> = Vec::new();
    for _ in 0..k {
        let mut best: Option<Pick> = None;
        for (i, point) in points.chunks(DIM).enumerate() {
            let nearest = centers.iter().map(|c| sq_dist(point, c)).fold(f32::MAX, f32::min);
            let is_new = picks.iter().all(|pick| pick.index != 3 * i + 1);
            if is_new && best.is_none_or(|best| Some(nearest) > best.score) {
                best = Some(Pick { index: 3 * i + 1, score: Some(nearest) });
            }
        }
        let best = best.expect("there are enough points");
        centers.push(&points[best.index / 3 * DIM..][..DIM]);
        picks.push(best);
    }
    picks
}

fn check_core_set(executor: &mut dyn Executor) {
    for seed in 0..8 {
        let rng = &mut stream(seed, Purpose::Test, 0, 0);
        let points = integers(rng, 40 + 31 * seed as usize, 9);
        // None, one, or many.
        let labelled = integers(rng, [0, 1, 3, 20][seed as usize % 4], 9);
        let got = select(&CoreSet, executor, [&points, &labelled], 7);
        assert_eq!(got, farthest(&points, &labelled, 7), "seed {seed}, {}", executor.name());
        if !labelled.is_empty() {
            let alone = farthest(&points, &[], 7);
            assert_ne!(got, alone, "seed {seed}: the labelled points make no difference");
        }
    }
}

/// More rows than blocks of one tile hold, and more picks than the device makes in one run, but not a multiple of that.
fn check_many_picks(executor: &mut dyn Executor) {
    let rng = &mut stream(9, Purpose::Test, 0, 0);
    let (points, labelled) = (integers(rng, 33_003, 12), integers(rng, 2, 12));
    for k in [16, 37] {
        let got = select(&CoreSet, executor, [&points, &labelled], k);
        assert_eq!(got, farthest(&points, &labelled, k), "{}", executor.name());
    }
}

#[test]
fn core_set_picks_many_of_many() {
    check_many_picks(&mut *cpu(2));
    check_many_picks(&mut *gpu("core_set_picks_many_of_many"));
}

#[test]
fn core_set_keeps_away_from_what_is_labelled() {
    check_core_set(&mut *cpu(2));
    check_core_set(&mut *gpu("core_set_keeps_away_from_what_is_labelled"));
}

/// From clusters that lie far apart, k-means takes of each the point next to its mean. Returns the clusters.
fn check_k_means(executor: &mut dyn Executor) -> (Vec<u32>, usize) {
    let sizes = [9usize, 5, 17];
    let rng = &mut stream(1, Purpose::Test, 0, 0);
    let mut points = Vec::new();
    let mut expected = Vec::new();
    for (cluster, &size) in sizes.iter().enumerate() {
        let first = points.len() / DIM;
        let cluster: Vec<f32> =
            integers(rng, size, 7).iter().map(|x| x + 1000.0 * cluster as f32).collect();
        let mean: Vec<f64> = (0..DIM)
            .map(|d| {
                cluster.iter().skip(d).step_by(DIM).map(|&x| f64::from(x)).sum::<f64>()
                    / size as f64
            })
            .collect();
        let to_mean = |i: &usize| -> f64 {
            let point = &cluster[i * DIM..][..DIM];
            point.iter().zip(&mean).map(|(&x, m)| (f64::from(x) - m).powi(2)).sum()
        };
        let nearest = (0..size).min_by(|a, b| to_mean(a).total_cmp(&to_mean(b)));
        expected.push(3 * (first + nearest.expect("a cluster has points")) + 1);
        points.extend(cluster);
    }
    let picks = select(&KMeans, executor, [&points, &[]], sizes.len());
    let mut got: Vec<usize> = picks.iter().map(|pick| pick.index).collect();
    got.sort_unstable();
    assert_eq!(got, expected, "{}", executor.name());
    assert!(picks.is_sorted_by(|a, b| a.score <= b.score), "{picks:?}");
    let points = Points { values: &points, dim: DIM };
    let clusters = DeviceGeometry::new(executor).k_means(points, sizes.len(), 5);
    let clusters = clusters.expect("it finds clusters");
    (clusters.assignment, clusters.rounds)
}

#[test]
fn k_means_takes_the_middle_of_each_cluster() {
    let want = check_k_means(&mut *cpu(2));
    let got = check_k_means(&mut *gpu("k_means_takes_the_middle_of_each_cluster"));
    assert_eq!(got, want);
}

/// Of patches between which nothing decides, strategies that draw take others in each round and
/// under each seed, and those that do not take the same.
#[test]
fn chance_is_another_one_in_each_round() {
    const PATCHES: usize = 200;
    let rng = &mut stream(3, Purpose::Test, 0, 0);
    let points = integers(rng, PATCHES, 100);
    let indices: Vec<usize> = (0..PATCHES).collect();
    let by_chance = [
        "random",
        "k_means",
        "power_entropy",
        "power_bald",
        "clasp",
        "typiclust",
        "badge",
        "fg_random",
    ];
    for name in NAMES.into_iter().filter(|&name| name != "full") {
        let strategy = by_name(name, Criterion::BaldEntropy).unwrap();
        let pick = |seed: u64, iteration: u64| -> Vec<usize> {
            let candidates = Candidates {
                scores: &[1.0; PATCHES],
                class_entropy: &[[1.0, 1.0]; PATCHES],
                foreground: &[0.5; PATCHES],
                embeddings: Points { values: &points, dim: DIM },
                // The noise of `clasp` is then as strong in one round as in the other.
                iterations: 1000,
                seed,
                iteration,
                ..Candidates::new(&indices)
            };
            let mut executor = cpu(1);
            let mut geometry = DeviceGeometry::new(&mut *executor);
            let picks = strategy.select(&candidates, 20, &mut geometry).unwrap();
            picks.iter().map(|pick| pick.index).collect()
        };
        let first = pick(1, 0);
        assert_eq!(pick(1, 0), first, "{name}");
        for (what, other) in [("round", pick(1, 1)), ("round", pick(1, 2)), ("seed", pick(2, 0))] {
            let differs = other != first;
            assert_eq!(differs, by_chance.contains(&name), "{name}, another {what}: {first:?}");
        }
        // Not the draw of another seed either.
        assert!(!by_chance.contains(&name) || pick(1, 1) != pick(2, 0), "{name}");
    }
}
