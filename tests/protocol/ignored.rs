//! Pixels without a label count neither in training nor in evaluation.

use std::slice::from_ref;
use std::sync::Arc;

use askem::data::phantom::Phantom;
use askem::data::pool::{Position, draw_pool, read_labels};
use askem::data::volume::{ArrayVolume, IGNORED, LabelOptions, LabelVolume};
use askem::learning::annotator::Annotator;
use askem::learning::protocol::{
    self, Config, Data, InitialStrategy, Observer, Progress, Test, Unobserved,
};
use askem::network::model::Model;
use askem::network::unet::{Norm, Output, UNet};
use askem_kernels::crop::Site;

use crate::world::{
    PATCH, SEED, SHAPE, World, allowed, assert_close, cpu, gpu, net, tiny, trained,
};

/// The phantom with every third column unlabelled.
fn world() -> World {
    let phantom = Phantom::new(SHAPE, SEED).unwrap();
    let labels: Vec<u8> = (0..SHAPE[0])
        .flat_map(|z| phantom.labels(z).unwrap())
        .enumerate()
        .map(|(i, label)| if i % 3 == 0 { 9 } else { label })
        .collect();
    World::new(Arc::new(phantom), || {
        let options = LabelOptions { ignore: Some(9_u8.into()), ..LabelOptions::default() };
        LabelVolume::new(Box::new(ArrayVolume::from_u8(SHAPE, &labels).unwrap()), options)
    })
}

/// Keeps the last segmentation.
#[derive(Default)]
struct Segmentation(Vec<Vec<u8>>);

impl Observer for Segmentation {
    fn segmentation(&mut self, _: usize, _: usize, foreground: &[u8]) -> askem::Result<()> {
        self.0.push(foreground.to_vec());
        Ok(())
    }
}

#[test]
fn shares_and_jaccard_leave_them_out() {
    let world = world();
    let config = Config { epochs: 20, ..tiny("full") };
    let mut segmentation = Segmentation::default();
    let outcome = world.run_on_cpu(&config, &mut segmentation);
    let record = &outcome.records[0];

    let pool = draw_pool(&world.train.region, PATCH, config.pool, SEED).unwrap();
    let labels: Vec<u8> =
        pool.iter().flat_map(|&at| read_labels(&world.train_labels, at, PATCH).unwrap()).collect();
    let labelled = labels.iter().filter(|&&l| l != IGNORED).count();
    let foreground = labels.iter().filter(|&&l| l == 1).count();
    assert!(labelled < labels.len() && foreground > 0);
    assert_eq!(record.labelled_foreground, foreground as f64 / labelled as f64);
    assert_eq!(record.labelled_pixels, Some(labelled as u64), "known pixels are the cost");

    let region = &world.test.region;
    assert_eq!(segmentation.0.len(), region.z.len());
    let (mut both, mut either) = (0_u32, 0_u32);
    for (z, section) in region.z.clone().zip(&segmentation.0) {
        let labels = world.test_labels.section(z).unwrap();
        let truth = region.y.clone().flat_map(|y| &labels[y * SHAPE[2]..][region.x.clone()]);
        for (&p, &l) in section.iter().zip(truth).filter(|&(_, &l)| l != IGNORED) {
            both += u32::from(p == 1 && l == 1);
            either += u32::from(p == 1 || l == 1);
        }
    }
    assert!(either > 0, "there is foreground");
    assert_eq!(record.jaccard, Some(f64::from(both) / f64::from(either)));
}

/// The loss of one step of a network without dropout and without statistics over the batch, by hand.
fn check_loss(model: &mut Model) {
    let world = world();
    let at = draw_pool(&world.train.region, PATCH, 4, 1).unwrap();
    let (mut x, mut labels) = (Vec::new(), Vec::new());
    for &position in &at {
        world.train.read(position, PATCH, &mut x).unwrap();
        labels.extend(read_labels(&world.train_labels, position, PATCH).unwrap());
    }
    model.set_weights(&trained(Norm::Instance).weights).unwrap();
    let p = model.forward(&x, &[Output::Probabilities]).unwrap().remove(0);
    let pixels = PATCH * PATCH;
    let weights = [1.0_f32, 3.0];
    let (mut sum, mut total) = (0.0_f64, 0.0_f64);
    for (i, &label) in labels.iter().enumerate().filter(|&(_, &l)| l != IGNORED) {
        let class = usize::from(label);
        let weight = f64::from(weights[class]);
        sum -= weight * f64::from(p[(i / pixels * 2 + class) * pixels + i % pixels]).ln();
        total += weight;
    }
    let sites = [0, 1, 2, 3].map(|z| Site { z, ..Site::default() });
    assert_eq!(model.prepare_training(4, 4, false).unwrap(), (4, true));
    model.load_patches(&x, &labels).unwrap();
    model.clear_moments().unwrap();
    model.train_step(&sites, None, &[0; 4], &weights, [0.0, 1.0]).unwrap();
    let want = (sum / total) as f32;
    let allowed = allowed(model.net(), want.into());
    assert_close("loss", &[model.loss().unwrap()], &[want], allowed);

    // Without any label there is nothing to learn from.
    let nothing = vec![IGNORED; labels.len()];
    model.load_patches(&x, &nothing).unwrap();
    let before = model.weights().unwrap();
    model.clear_moments().unwrap();
    model.train_step(&sites, None, &[0; 4], &weights, [1e-3, 1.0]).unwrap();
    assert_eq!(model.loss().unwrap(), 0.0);
    assert_eq!(model.weights().unwrap(), before);
}

fn plain(executor: Box<dyn askem::compute::executor::Executor>) -> Model {
    let net = UNet { dropout: 0.0, ..net(Norm::Instance) };
    Model::new(executor, net, PATCH).unwrap()
}

#[test]
fn the_loss_leaves_them_out() {
    check_loss(&mut plain(cpu(2)));
}

#[test]
fn the_loss_leaves_them_out_on_the_gpu() {
    check_loss(&mut plain(gpu("the_loss_leaves_them_out_on_the_gpu")));
}

/// The phantom of which a person has labelled the left half.
fn half_known() -> World {
    let phantom = Phantom::new(SHAPE, SEED).unwrap();
    let labels: Vec<u8> = (0..SHAPE[0])
        .flat_map(|z| phantom.labels(z).unwrap())
        .enumerate()
        .map(|(i, label)| if i % SHAPE[2] >= SHAPE[2] / 2 { 9 } else { label })
        .collect();
    World::new(Arc::new(phantom), || {
        let options = LabelOptions { ignore: Some(9_u8.into()), ..LabelOptions::default() };
        LabelVolume::new(Box::new(ArrayVolume::from_u8(SHAPE, &labels).unwrap()), options)
    })
}

#[test]
fn patches_without_a_known_pixel_are_never_asked_for() {
    let world = half_known();
    for strategy in ["random", "entropy", "k_means", "core_set", "full"] {
        for initial_strategy in [InitialStrategy::Random, InitialStrategy::Typiclust] {
            let config = Config { initial_strategy, query: 3, ..tiny(strategy) };
            let pool = draw_pool(&world.train.region, PATCH, config.pool, SEED).unwrap();
            let known: Vec<usize> = (0..pool.len()).filter(|&i| pool[i].x < 48).collect();
            assert!(known.len() < pool.len() && known.len() >= 10, "{} are known", known.len());
            let outcome = world.run_on_cpu(&config, &mut Unobserved);
            let records = &outcome.records;
            let asked = match strategy {
                "full" => known.clone(),
                _ => protocol::labelled(&config, &pool, records).unwrap().unwrap(),
            };
            let last = records.last().unwrap();
            assert_eq!(last.labelled, asked.len(), "{strategy}");
            assert!(asked.iter().all(|index| known.contains(index)), "{strategy}: {asked:?}");
            let pixels = |&i: &usize| PATCH as u64 * (48 - pool[i].x).min(PATCH) as u64;
            let pixels = asked.iter().map(pixels).sum::<u64>();
            assert_eq!(last.labelled_pixels, Some(pixels), "{strategy}");
            // The first ones can't be drawn again without the labels, so the journal has them.
            let first = records[0].initial.as_deref();
            assert_eq!(first, (strategy != "full").then(|| &asked[..config.initial]));
        }
    }
}

#[test]
fn more_patches_than_are_known_are_refused() {
    let world = half_known();
    let config = tiny("entropy");
    let config = Config { pool: 20, initial: 8, query: 6, iterations: 2, ..config };
    let mut model = Model::new(cpu(2), config.net, PATCH).unwrap();
    let refused = world.try_run(&config, &mut model, Progress::default(), &mut Unobserved);
    let message = refused.unwrap_err().to_string();
    for part in ["20 patches", "--initial 8", "--query 6", "ask for 20", "--pool"] {
        assert!(message.contains(part), "`{part}`: {message}");
    }
}

/// Somebody who never says anything.
struct Silent;

impl Annotator for Silent {
    fn annotate(&self, _: Position, patch: usize) -> askem::Result<Vec<u8>> {
        Ok(vec![IGNORED; patch * patch])
    }
}

#[test]
fn an_annotator_who_says_nothing_does_no_harm() {
    let world = World::phantom();
    let config = Config { iterations: 0, net: net(Norm::Instance), ..tiny("random") };
    let data = Data {
        train: from_ref(&world.train),
        annotator: &Silent,
        test: &[Test { reader: &world.test, labels: &world.test_labels }],
    };
    let mut model = Model::new(cpu(2), config.net, PATCH).unwrap();
    let records =
        protocol::run(&config, &data, &mut model, Progress::default(), &mut Unobserved).unwrap();
    assert_eq!((records[0].labelled_foreground, records[0].loss), (0.0, 0.0));
    assert_eq!(model.weights().unwrap(), config.net.init(SEED), "nothing was learnt");
}

#[test]
fn a_share_of_each_patch_trains_and_is_scored_as_usual() {
    let world = World::phantom();
    let run = |share: f64| {
        let config = Config { label_share: share, ..tiny("entropy") };
        world.run_on_cpu(&config, &mut Unobserved)
    };
    let (whole, quarter) = (run(1.0), run(0.25));
    assert_eq!(quarter.records.len(), whole.records.len());
    for (part, all) in quarter.records.iter().zip(&whole.records) {
        assert_eq!(part.labelled, all.labelled, "patches are counted, not pixels");
        assert_eq!(part.picked.len(), all.picked.len());
    }
    assert_ne!(quarter.weights, whole.weights);
    assert_eq!(run(0.25).weights, quarter.weights, "the seed decides which part");
    // Full supervision has all labels, whatever the share.
    let full = |share: f64| {
        let config = Config { label_share: share, ..tiny("full") };
        world.run_on_cpu(&config, &mut Unobserved).weights
    };
    assert_eq!(full(0.25), full(1.0));
}
