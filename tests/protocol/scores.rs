//! From the same weights both devices give the same scores, embeddings and segmentations; and how
//! patches are grouped changes nothing.

use std::slice::from_ref;

use askem::data::pool::{Position, draw_pool};
use askem::learning::predict::{self, Embedding, McOptions};
use askem::learning::strategy::Criterion;
use askem::network::model::Model;
use askem::network::unet::Norm;

use crate::world::{PATCH, SEED, World, allowed, assert_close, cpu, gpu, net, trained};

const MC: McOptions = McOptions { passes: 3, seed: SEED, iteration: 1 };
const CRITERIA: [Criterion; 4] = [
    Criterion::Entropy,
    Criterion::LeastConfidence,
    Criterion::BaldEntropy,
    Criterion::MutualInformation,
];
const POOL: usize = 20;

fn model(executor: Box<dyn askem::compute::executor::Executor>, norm: Norm) -> Model {
    let mut model = Model::new(executor, net(norm), PATCH).expect("a network");
    model.set_weights(&trained(norm).weights).expect("weights fit");
    model
}

fn pool(world: &World) -> Vec<Position> {
    draw_pool(&world.train.region, PATCH, POOL, SEED).expect("the pool fits")
}

fn scores(model: &mut Model, world: &World, at: &[Position], criterion: Criterion) -> Vec<f32> {
    let advance = &mut |_| Ok(());
    predict::scores(model, from_ref(&world.train), at, criterion, MC, advance).expect("scores")
}

fn embeddings(model: &mut Model, world: &World, at: &[Position], kind: Embedding) -> Vec<f32> {
    let advance = &mut |_| Ok(());
    let (values, dim) =
        predict::embeddings(model, from_ref(&world.train), at, kind, advance).expect("embeddings");
    let channels = model.net().channels(4);
    let cells = if kind == Embedding::Flat { (PATCH / 16) * (PATCH / 16) } else { 1 };
    assert_eq!((dim, values.len()), (channels * cells, at.len() * dim));
    values
}

/// How the scores of the pool compare, and what no score may violate.
fn check(test: &str, norm: Norm) {
    let world = World::phantom();
    let pool = pool(&world);
    let (mut cpu, mut gpu) = (model(cpu(2), norm), model(gpu(test), norm));
    let pixels = (PATCH * PATCH) as f64;
    let most = pixels * 2.0_f64.ln();
    let mut found = Vec::new();
    for criterion in CRITERIA {
        // Mutual information is a difference of entropies, as large as they are.
        let magnitude = if criterion == Criterion::LeastConfidence { pixels } else { most };
        let want = scores(&mut cpu, &world, &pool, criterion);
        let got = scores(&mut gpu, &world, &pool, criterion);
        let allowed = allowed(cpu.net(), magnitude);
        assert_close(&format!("{norm:?} {criterion:?} of patch"), &got, &want, allowed);
        let spread = |f: fn(f32, f32) -> f32| want.iter().copied().reduce(f).unwrap();
        let range = f64::from(spread(f32::max)) - f64::from(spread(f32::min));
        assert!(range > allowed, "{criterion:?} tells patches apart: {range} and {allowed}");
        found.push((want, allowed));
    }
    let [(entropy, near), (confidence, _), (bald, _), (information, _)] = &found[..] else {
        panic!("four criteria");
    };
    for i in 0..pool.len() {
        let [h, c, b, m] = [entropy, confidence, bald, information].map(|s| f64::from(s[i]));
        assert!(h >= 0.0 && h <= most + near, "entropy {h}");
        assert!(c >= pixels / 2.0 - near && c <= pixels + near, "confidence {c}");
        assert!(-near <= m && m <= b + near && b <= most + near, "0 <= {m} <= {b} <= {most}");
    }
    assert_ne!(entropy, bald, "dropout passes are no plain pass");

    for kind in [Embedding::Mean, Embedding::Flat] {
        let want = embeddings(&mut cpu, &world, &pool, kind);
        let got = embeddings(&mut gpu, &world, &pool, kind);
        let magnitude = want.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        let allowed = allowed(cpu.net(), magnitude.into());
        assert_close(&format!("{norm:?} {kind:?} number"), &got, &want, allowed);
        assert!(want.iter().any(|&v| f64::from(v) > allowed), "embeddings are not all zero");
    }

    let segment = |model: &mut Model, z| {
        predict::section_foreground(model, &world.test, z, &mut |_| Ok(())).expect("a section")
    };
    for z in world.test.region.z.clone() {
        let (want, got) = (segment(&mut cpu, z), segment(&mut gpu, z));
        assert_eq!(want.len(), world.test.region.height() * world.test.region.width());
        let allowed = allowed(cpu.net(), 1.0);
        assert_close(&format!("{norm:?} section {z}, pixel"), &got, &want, allowed);
    }
}

#[test]
fn both_devices_agree_with_batch_norm() {
    check("both_devices_agree_with_batch_norm", Norm::Batch);
}

#[test]
fn both_devices_agree_with_instance_norm() {
    check("both_devices_agree_with_instance_norm", Norm::Instance);
}

/// Scores in subsets are the bits of the scores of the whole.
fn check_grouping(model: &mut Model) {
    let world = World::phantom();
    let pool = pool(&world);
    for criterion in CRITERIA {
        let whole = scores(model, &world, &pool, criterion);
        // A patch's place in the list keys its dropout masks, so prefixes keep them.
        for count in [1, 7, 16, 17] {
            let part = scores(model, &world, &pool[..count], criterion);
            assert_eq!(part, whole[..count], "{criterion:?} of {count}");
        }
        if [Criterion::Entropy, Criterion::LeastConfidence].contains(&criterion) {
            let backwards: Vec<Position> = pool.iter().rev().copied().collect();
            let mut part = scores(model, &world, &backwards, criterion);
            part.reverse();
            assert_eq!(part, whole, "{criterion:?} backwards");
            for (i, &at) in pool.iter().enumerate().step_by(3) {
                assert_eq!(scores(model, &world, &[at], criterion), [whole[i]], "{criterion:?}");
            }
        }
    }
    for kind in [Embedding::Mean, Embedding::Flat] {
        let whole = embeddings(model, &world, &pool, kind);
        let part = embeddings(model, &world, &pool[5..12], kind);
        let dim = whole.len() / pool.len();
        assert_eq!(part, whole[5 * dim..12 * dim], "{kind:?}");
    }
}

#[test]
fn grouping_changes_no_bit_on_the_processor() {
    for threads in [1, 2] {
        check_grouping(&mut model(cpu(threads), Norm::Batch));
        check_grouping(&mut model(cpu(threads), Norm::Instance));
    }
}

#[test]
fn grouping_changes_no_bit_on_the_gpu() {
    check_grouping(&mut model(gpu("grouping_changes_no_bit_on_the_gpu"), Norm::Batch));
}

#[test]
fn dropout_passes_follow_seed_and_iteration() {
    let world = World::phantom();
    let pool = pool(&world);
    let mut model = model(cpu(2), Norm::Batch);
    let mut bald = |mc: McOptions| {
        let criterion = Criterion::MutualInformation;
        let advance = &mut |_| Ok(());
        predict::scores(&mut model, from_ref(&world.train), &pool, criterion, mc, advance)
            .expect("scores")
    };
    let first = bald(MC);
    assert_eq!(first, bald(MC));
    assert_ne!(first, bald(McOptions { seed: SEED + 1, ..MC }));
    assert_ne!(first, bald(McOptions { iteration: 2, ..MC }));
    assert_ne!(first, bald(McOptions { passes: 4, ..MC }));
    // A single pass disagrees with nothing.
    let single = bald(McOptions { passes: 1, ..MC });
    let zero = vec![0.0; single.len()];
    let most = (PATCH * PATCH) as f64 * 2.0_f64.ln();
    assert_close(
        "mutual information of one pass",
        &single,
        &zero,
        allowed(&net(Norm::Batch), most),
    );
}
