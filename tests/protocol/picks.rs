//! From the same weights both devices pick the same patches, up to ties; ties go to the lowest index.

use std::collections::BTreeSet;
use std::slice::from_ref;
use std::sync::Arc;

use askem::data::pool::{Position, draw_pool};
use askem::data::volume::{ArrayVolume, LabelOptions, LabelVolume};
use askem::learning::predict::Embedding;
use askem::learning::protocol::{Bald, Config, Picked, Progress, Record, Unobserved};
use askem::learning::strategy::{Criterion, NAMES, by_name};
use askem::network::model::Model;
use askem::network::unet::Norm;
use askem_kernels::rng::{Purpose, Rng, stream};

use crate::world::{PATCH, SEED, SHAPE, World, allowed, cpu, gpu, net, tiny, trained};

/// What an experiment picks after an initial training that all share.
fn picks(world: &World, config: &Config, model: &mut Model) -> Vec<Record> {
    let state = trained(config.net.norm);
    let config = Config { iterations: 1, epochs: state.epochs_done, ..config.clone() };
    let progress = Progress { checkpoint: Some((0, state.clone())), ..Progress::default() };
    world.run(&config, model, progress, &mut Unobserved)
}

/// All settings of all strategies that pick.
fn settings() -> Vec<(String, Config)> {
    let mut all = Vec::new();
    for name in NAMES.into_iter().filter(|&name| name != "full") {
        all.push((name.into(), tiny(name)));
        if name == "bald" {
            let config = Config { bald: Bald::MutualInformation, ..tiny(name) };
            all.push((format!("{name}, mutual information"), config));
        }
        if ["k_means", "core_set"].contains(&name) {
            let config = Config { embedding: Embedding::Flat, ..tiny(name) };
            all.push((format!("{name}, flat"), config));
        }
    }
    all
}

/// How far the scores of two devices may differ, for scores that are sums over pixels, or squared
/// distances of embeddings whose numbers are at most `largest`.
fn slack(config: &Config, score: f64, largest: f64) -> f64 {
    let pixels = (PATCH * PATCH) as f64;
    if !["k_means", "core_set"].contains(&config.strategy.as_str()) {
        return allowed(&config.net, pixels);
    }
    let cells = if config.embedding == Embedding::Flat { (PATCH / 16) * (PATCH / 16) } else { 1 };
    let dim = (config.net.channels(4) * cells) as f64;
    // Each difference of coordinates moves by at most 2e: |(d + 2e)^2 - d^2| summed, by Cauchy.
    let e = allowed(&config.net, largest);
    4.0 * e * (dim * score).sqrt() + 4.0 * e * e * dim
}

fn same_up_to_ties(name: &str, config: &Config, cpu: &[Picked], gpu: &[Picked], largest: f64) {
    assert_eq!((cpu.len(), gpu.len()), (config.query, config.query), "{name}");
    for (rank, (a, b)) in cpu.iter().zip(gpu).enumerate() {
        let (Some(want), Some(got)) = (a.score, b.score) else {
            assert_eq!(a, b, "{name}: chance knows no ties");
            continue;
        };
        let (want, got) = (f64::from(want), f64::from(got));
        let allowed = slack(config, want, largest);
        let close = (want - got).abs() <= allowed;
        assert!(close, "{name}, rank {rank}: {a:?} and {b:?} differ by more than {allowed:.3e}");
        // What follows from a tie may go another way.
        if a.index != b.index && ["k_means", "core_set"].contains(&config.strategy.as_str()) {
            break;
        }
    }
}

#[test]
fn both_devices_pick_the_same() {
    let world = World::phantom();
    let norm = Norm::Batch;
    let mut on_cpu = Model::new(cpu(2), net(norm), PATCH).unwrap();
    let mut on_gpu = Model::new(gpu("both_devices_pick_the_same"), net(norm), PATCH).unwrap();
    let pool = draw_pool(&world.train.region, PATCH, tiny("random").pool, SEED).unwrap();
    on_cpu.set_weights(&trained(norm).weights).unwrap();
    let flat = Embedding::Flat;
    let all = askem::learning::predict::embeddings(
        &mut on_cpu,
        from_ref(&world.train),
        &pool,
        flat,
        &mut |_| Ok(()),
    )
    .unwrap();
    let largest = all.0.iter().fold(0.0_f32, |m, v| m.max(v.abs())).into();
    let mut different = BTreeSet::new();
    for (name, config) in settings() {
        let want = picks(&world, &config, &mut on_cpu);
        let got = picks(&world, &config, &mut on_gpu);
        assert_eq!((want.len(), got.len()), (2, 2), "{name}");
        assert_eq!(want[0].labelled_foreground, got[0].labelled_foreground, "{name}");
        same_up_to_ties(&name, &config, &want[0].picked, &got[0].picked, largest);
        for pick in want[0].picked.iter().chain(&got[0].picked) {
            assert_eq!(
                pool[pick.index],
                Position { volume: 0, z: pick.z, y: pick.y, x: pick.x },
                "{name}"
            );
        }
        if name.starts_with("core_set") {
            // Where nothing is labelled, the first pick is as far away as a number can be.
            let first = want[0].picked[0].score.expect("a distance");
            assert!(first > 0.0 && first < f32::MAX, "{name}: the labelled patches are left out");
        }
        different.insert(want[0].picked.iter().map(|p| p.index).collect::<Vec<_>>());
    }
    assert!(different.len() >= 4, "strategies differ: {different:?}");
}

/// A volume whose sections are all the same, so that every score comes once per section.
fn copies() -> World {
    let (depth, area) = (3, SHAPE[1] * SHAPE[2]);
    let mut rng = stream(1, Purpose::Test, 0, 0);
    let section: Vec<f32> =
        (0..area).map(|i| (rng.next_u32() % 64 + i as u32 % 96) as f32).collect();
    let labels: Vec<u8> = section.iter().map(|&v| u8::from(v > 90.0)).collect();
    let shape = [depth, SHAPE[1], SHAPE[2]];
    let raw = ArrayVolume::new(shape, section.repeat(depth)).unwrap();
    World::new(Arc::new(raw), || {
        let labels = ArrayVolume::from_u8(shape, &labels.repeat(depth)).unwrap();
        LabelVolume::new(Box::new(labels), LabelOptions::default())
    })
}

/// In each device's picks no patch comes before an equal one of a lower index.
fn check_ties(model: &mut Model) {
    let world = copies();
    // Every place of the training region.
    let count = world.train.region.positions(PATCH) as usize;
    // The pool is a part of them in which copies are frequent.
    for (name, config) in settings() {
        let config = Config { pool: count / 4, query: 12, initial: 1, ..config };
        let pool = draw_pool(&world.train.region, PATCH, config.pool, SEED).unwrap();
        let picked = &picks(&world, &config, model)[0].picked;
        assert_eq!(picked.len(), config.query, "{name}");
        // Chance knows no ties, and dropout masks and noise are each patch's own.
        let strategy = by_name(&config.strategy, config.bald.criterion()).unwrap();
        let under_dropout = strategy.needs().scores.is_some_and(Criterion::is_under_dropout);
        let by_chance = ["random", "fg_random", "power_entropy", "clasp", "badge"];
        if under_dropout || by_chance.contains(&strategy.name()) {
            continue;
        }
        let mut earlier: BTreeSet<usize> = BTreeSet::new();
        let mut passed_over = BTreeSet::new();
        let mut equals = 0;
        for pick in picked {
            let same = |i: &usize| (pool[*i].y, pool[*i].x) == (pick.y, pick.x);
            passed_over.extend((0..pick.index).filter(same).filter(|i| !earlier.contains(i)));
            equals += (0..pool.len()).filter(same).count() - 1;
            earlier.insert(pick.index);
        }
        assert!(equals > 0, "{name}: no pick had an equal, the test proves nothing");
        // Only the one patch that was labelled at the start may be passed over.
        assert!(passed_over.len() <= config.initial, "{name}: {passed_over:?} before {picked:?}");
        assert!(earlier.is_disjoint(&passed_over), "{name}: {passed_over:?} came later");
    }
}

#[test]
fn ties_go_to_the_lowest_index_on_the_processor() {
    check_ties(&mut Model::new(cpu(2), net(Norm::Batch), PATCH).unwrap());
}

/// No pick lies near another or near what is labelled, and where no more fit fewer are picked.
#[test]
fn a_distance_holds_for_every_strategy() {
    let world = World::phantom();
    let mut model = Model::new(cpu(2), net(Norm::Batch), PATCH).unwrap();
    for (name, config) in settings() {
        let far = |config: &Config, model: &mut Model| {
            let picked = picks(&world, config, model)[0].picked.clone();
            for (i, a) in picked.iter().enumerate() {
                for b in &picked[..i] {
                    let near = a.z.abs_diff(b.z) <= config.min_distance_z
                        && a.y.abs_diff(b.y) < config.min_distance
                        && a.x.abs_diff(b.x) < config.min_distance;
                    assert!(!near, "{name}: {a:?} and {b:?}");
                }
            }
            picked
        };
        let config = Config { query: 3, min_distance: 12, min_distance_z: 0, ..config };
        assert_eq!(far(&config, &mut model).len(), 3, "{name}");
        // Everything is near something: nothing is left beside the first patches.
        let config = Config { min_distance: 1000, min_distance_z: 1000, ..config };
        assert_eq!(far(&config, &mut model), [], "{name}");
    }
}
