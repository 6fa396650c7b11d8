//! Distances where products cancel, and what follows from distances on either executor.

use askem::compute::device::trial::{self, Style, Trial, Verdict};
use askem::learning::geometry::{Clusters, DeviceGeometry, Geometry, Points};
use askem_kernels::rng::{Purpose, Xoshiro256PlusPlus, below, normal, stream};
use askem_kernels::{Call, k_means, min_sq_dist, pairwise_sq_dist};

use crate::harness::with_executors;

/// Rows of the first set; the second has the first COLUMNS of them, so that some distances are zero.
const ROWS: usize = 150;
const COLUMNS: usize = 40;

/// A coordinate, by its row and number.
type Coordinate = fn(usize, usize, &mut Xoshiro256PlusPlus) -> f32;

/// Points that are hard for products.
const HARD: [(&str, Coordinate); 6] = [
    ("far from the origin and close together", |_, _, rng| 4096.0 + below(rng, 9) as f32 / 1024.0),
    ("close together in groups that are far apart", |row, _, rng| {
        (row % 7) as f32 * 1000.0 + normal(rng) as f32 / 64.0
    }),
    ("one huge coordinate in some rows", |row, d, rng| {
        if d == 0 && row % 3 == 1 { 1e17 } else { normal(rng) as f32 }
    }),
    ("groups of equal rows", |row, d, _| ((row % 5 * 31 + d * 17) % 23) as f32 / 7.0),
    ("all equal", |_, d, _| d as f32 + 0.1),
    ("noise", |_, _, rng| normal(rng) as f32),
];

#[test]
fn products_give_way_to_differences_where_they_cancel() {
    for dim in [1, 3, 63, 64, 257, 1000] {
        let [rows, columns] = [ROWS as u32, COLUMNS as u32];
        let calls = [
            Call::PairwiseSqDistForward(pairwise_sq_dist::Params {
                rows_a: rows,
                rows_b: columns,
                dim,
            }),
            Call::MinSqDistForward(min_sq_dist::Params { rows, centers: columns, dim }),
            Call::KMeansAssign(k_means::Params { rows, k: columns, dim }),
        ];
        for (what, number) in HARD {
            let mut rng = stream(0, Purpose::Test, u64::from(dim), 0);
            let dim = dim as usize;
            let words: Vec<u32> =
                (0..ROWS * dim).map(|i| number(i / dim, i % dim, &mut rng).to_bits()).collect();
            for call in calls {
                let mut trial = Trial::draw(call, Style::Normal, 0);
                trial.reads[0].copy_from_slice(&words);
                trial.reads[1].copy_from_slice(&words[..COLUMNS * dim]);
                check(&trial, what);
            }
        }
    }
}

/// Both executors agree with the reference, and rows that are columns lie at no distance from them.
fn check(trial: &Trial, what: &str) {
    let name = trial.call.signature().name;
    let distances = trial.call.signature().writes.iter().position(|&(name, _)| name == "sq_dist");
    with_executors(|executor| {
        let outputs = trial::run(executor, std::slice::from_ref(trial)).expect("it runs").remove(0);
        let verdict = trial.judge(&outputs);
        let at = format!("{}: {name} of {what}: {:?}", executor.name(), trial.call);
        assert!(matches!(verdict, Verdict::Agrees(_)), "{at}: {verdict:?}");
        let distances = outputs[distances.expect("it writes distances")].as_ref().expect("whole");
        for row in 0..COLUMNS {
            let own = if let Call::PairwiseSqDistForward(_) = trial.call {
                distances[row * COLUMNS + row]
            } else {
                distances[row]
            };
            assert_eq!(f32::from_bits(own), 0.0, "{at}: row {row}");
        }
    });
}

/// The start draws the same rows, so that clusters far apart get the same numbers, and each is found.
#[test]
fn k_means_finds_the_same_clusters_everywhere() {
    let (rows, dim, k) = (600, 70, 6);
    let mut rng = stream(3, Purpose::Test, 0, 0);
    let of_row = |row: usize| row * row % 31 % k;
    let values: Vec<f32> = (0..rows * dim)
        .map(|i| 10.0 * f32::from(i % dim % k == of_row(i / dim)) + normal(&mut rng) as f32)
        .collect();
    let mut found: Vec<Clusters> = Vec::new();
    with_executors(|executor| {
        let points = Points { values: &values, dim };
        found.push(DeviceGeometry::new(executor).k_means(points, k, 5).expect("it clusters"));
    });
    assert_eq!(found[0].assignment, found[1].assignment);
    let assignment = &found[0].assignment;
    for row in 0..rows {
        let same =
            (0..rows).all(|i| (of_row(i) == of_row(row)) == (assignment[i] == assignment[row]));
        assert!(same, "row {row}");
    }
}
