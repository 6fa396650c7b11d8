//! What distances and the algorithms on them obey.

use askem_kernels::rng::{Purpose, normal, stream, uniform};
use askem_kernels::tolerance::LAW;
use askem_kernels::{
    Call, Shape, k_center_greedy, k_means, k_means_plus_plus, min_sq_dist, pairwise_sq_dist,
};
use proptest::prelude::*;

use crate::env::Env;

fn points(seed: u64, rows: u32, dim: u32) -> Vec<f64> {
    let mut rng = stream(seed, Purpose::Test, 0, 0);
    (0..rows * dim).map(|_| normal(&mut rng)).collect()
}

proptest! {
    /// Zero to oneself, the same both ways, and no detour is shorter.
    #[test]
    fn pairwise_distances_are_a_metric(rows in 1u32..12, dim in 1u32..9, seed: u64) {
        let mut env = Env::default();
        env.set("a", points(seed, rows, dim));
        env.set("b", points(seed, rows, dim));
        let p = pairwise_sq_dist::Params { rows_a: rows, rows_b: rows, dim };
        env.run(&[Call::PairwiseSqDistForward(p)]);
        let rows = rows as usize;
        let between = |i: usize, j: usize| env.get("sq_dist")[i * rows + j].sqrt();
        for i in 0..rows {
            prop_assert_eq!(between(i, i), 0.0);
            for j in 0..rows {
                prop_assert_eq!(between(i, j), between(j, i));
                for k in 0..rows {
                    let detour = between(i, k) + between(k, j);
                    prop_assert!(between(i, j) <= detour * (1.0 + LAW));
                }
            }
        }
    }

    /// The smallest of all distances, and the first centre that has it.
    #[test]
    fn the_nearest_is_the_smallest_of_all(
        rows in 1u32..12, centers in 1u32..9, dim in 1u32..6, seed: u64,
    ) {
        let mut env = Env::default();
        let (x, c) = (points(seed, rows, dim), points(!seed, centers, dim));
        // Doubled centres make ties.
        let c = if centers % 2 == 0 { c[..c.len() / 2].repeat(2) } else { c };
        env.set("points", x.clone());
        env.set("centers", c.clone());
        env.set("a", x);
        env.set("b", c);
        let p = pairwise_sq_dist::Params { rows_a: rows, rows_b: centers, dim };
        env.run(&[Call::PairwiseSqDistForward(p)]);
        let all = env.get("sq_dist").to_vec();
        env.run(&[Call::MinSqDistForward(min_sq_dist::Params { rows, centers, dim })]);
        for (row, of_row) in all.chunks(centers as usize).enumerate() {
            let least = of_row.iter().copied().fold(f64::INFINITY, f64::min);
            let first = of_row.iter().position(|&d| d == least).expect("there is a least");
            prop_assert_eq!(env.get("sq_dist")[row], least);
            prop_assert_eq!(env.get_uint("index")[row] as usize, first);
        }
    }

    /// No two picks are the same, each is the farthest from all before it, and the radius never grows. The points that
    /// are left lie within the last radius of a pick: so greedy covers within twice the best radius.
    #[test]
    fn greedy_picks_the_farthest_and_its_radius_never_grows(
        rows in 2u32..30, dim in 1u32..5, seed: u64,
    ) {
        let capacity = rows.min(6);
        let p = k_center_greedy::Params { rows, dim, capacity };
        let mut env = Env::default();
        let x = points(seed, rows, dim);
        env.set("points", x.clone());
        env.set("sq_dist", vec![f64::from(f32::MAX); rows as usize]);
        let blocks = p.blocks() as usize;
        env.set_uint("far_row", vec![0; blocks]);
        env.set("far_sq_dist", vec![f64::from(f32::MAX); blocks]);
        env.set_uint("next_far_row", vec![u32::MAX; blocks]);
        env.set("next_far_sq_dist", vec![f64::NAN; blocks]);
        env.set_uint("picks", vec![0; 1 + capacity as usize]);
        let sq_dist_of = |i: usize, j: usize| -> f64 {
            let dim = dim as usize;
            (0..dim).map(|d| (x[i * dim + d] - x[j * dim + d]).powi(2)).sum()
        };
        let mut radius = f64::INFINITY;
        for t in 0..capacity as usize {
            env.step(Call::KCenterGreedyAddCenter(p));
            env.set_uint("far_row", env.get_uint("next_far_row").to_vec());
            env.set("far_sq_dist", env.get("next_far_sq_dist").to_vec());
            let picks: Vec<usize> =
                env.get_uint("picks")[1..=t + 1].iter().map(|&pick| pick as usize).collect();
            let (before, latest) = (&picks[..t], picks[t]);
            prop_assert!(!before.contains(&latest));
            let to_picks = |i: usize| {
                before.iter().map(|&j| sq_dist_of(i, j)).fold(f64::INFINITY, f64::min)
            };
            if t > 0 {
                let farthest = (0..rows as usize).map(to_picks).fold(0.0, f64::max);
                prop_assert_eq!(to_picks(latest), farthest);
                prop_assert!(farthest <= radius);
                radius = farthest;
            }
        }
    }

    /// No point is picked twice while another is at a distance, points far from each other are all picked, each pick is the best of
    /// its candidates, and what is left never grows.
    #[test]
    fn k_means_plus_plus_picks_what_is_far(clusters in 2u32..6, of_each in 1u32..30, dim in 1u32..5, seed: u64) {
        let p = k_means_plus_plus::Params { rows: clusters * of_each, k: clusters, dim, trials: 3 };
        let mut env = Env::default();
        let x: Vec<f64> = points(seed, p.rows, dim).into_iter().enumerate()
            .map(|(i, x)| x + 1e6 * f64::from(i as u32 / dim % clusters)).collect();
        env.set("points", x);
        env.set("nearest", vec![f64::from(f32::MAX); p.len("nearest")]);
        env.set("trial_sq_dist", vec![f64::from(f32::MAX); p.len("trial_sq_dist")]);
        env.set("left", vec![f64::NAN; p.len("left")]);
        let mut rng = stream(seed, Purpose::Test, 1, 0);
        env.set("uniforms", (0..p.len("uniforms")).map(|_| uniform(&mut rng)).collect());
        env.set_uint("best", vec![0]);
        env.set_uint("drawn", vec![(seed % u64::from(p.rows)) as u32; 3]);
        env.set_uint("picks", vec![0; 1 + clusters as usize]);
        let mut before = f64::INFINITY;
        for round in 0..clusters as usize {
            env.step(Call::KMeansPlusPlusMeasure(p));
            let blocks = p.len("left") / 3;
            let sums: Vec<f64> = env.get("left").chunks(blocks).map(|b| b.iter().sum()).collect();
            let candidates = env.get_uint("drawn").to_vec();
            env.step(Call::KMeansPlusPlusDraw(p));
            let best = env.get_uint("best")[0] as usize;
            prop_assert_eq!(env.get_uint("picks")[1 + round], candidates[best]);
            let least = sums.iter().copied().fold(f64::INFINITY, f64::min);
            prop_assert_eq!(sums[best], least);
            prop_assert!(least <= before);
            before = least;
        }
        // One point of each cluster: those are a million apart.
        let mut of: Vec<u32> = env.get_uint("picks")[1..].iter().map(|row| row % clusters).collect();
        of.sort_unstable();
        prop_assert_eq!(of, (0..clusters).collect::<Vec<_>>());
    }

    /// Neither half of a round lets the sum of squared distances grow.
    #[test]
    fn the_inertia_of_k_means_never_grows(rows in 1u32..40, k in 1u32..6, dim in 1u32..5, seed: u64) {
        let p = k_means::Params { rows, k, dim };
        let mut env = Env::default();
        env.set("points", points(seed, rows, dim));
        env.set("centroids", points(!seed, k, dim));
        env.set_uint("state", vec![0, 0]);
        env.set("limit", vec![0.0]);
        // No point has a cluster yet.
        env.set_uint("assignment", vec![k; rows as usize]);
        env.set("sq_dist", vec![f64::NAN; rows as usize]);
        env.set_uint("changes", vec![u32::MAX; p.len("changes")]);
        env.set("movements", vec![f64::NAN; p.len("movements")]);
        env.step(Call::KMeansAssign(p));
        prop_assert_eq!(env.get_uint("changes").iter().sum::<u32>(), rows);
        let mut inertia = f64::INFINITY;
        for round in 1..=8 {
            let next: f64 = env.get("sq_dist").iter().sum();
            prop_assert!(next <= inertia * (1.0 + LAW), "{next} after {inertia}");
            inertia = next;
            let before = env.get_uint("assignment").to_vec();
            env.step(Call::KMeansUpdate(p));
            env.step(Call::KMeansAssign(p));
            env.step(Call::KMeansCheckConvergence(p));
            let same = before == env.get_uint("assignment");
            let movement: f64 = env.get("movements").iter().sum();
            prop_assert_eq!(env.get_uint("state"), [round, u32::from(same || movement == 0.0)]);
            if env.get_uint("state")[1] == 1 {
                break;
            }
        }
    }
}
