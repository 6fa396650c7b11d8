//! What happens in each round, by definition: plain loops over what the networks of a run say tell
//! which patches had to be picked, and what its records had to hold.

use std::cell::RefCell;
use std::slice::from_ref;

use askem::data::pool::{Position, draw_pool, read_labels};
use askem::learning::annotator::{Annotator, SimulatedAnnotator};
use askem::learning::predict;
use askem::learning::protocol::{
    self, Config, Data, Observer, Progress, Record, StatisticsFrom, Test,
};
use askem::learning::train::TrainState;
use askem::network::model::Model;
use askem::network::unet::{Norm, Output, Weights};
use askem_kernels::rng::{Purpose, key, sample_without_replacement, stream, uniform};

use crate::world::{PATCH, SEED, World, cpu, tiny, trained};

const PIXELS: usize = PATCH * PATCH;
const ROUNDS: usize = 3;
/// Sums over a patch in single precision are off by less.
const NEAR: f64 = 0.05;

/// The truth, and a list of the places that were asked for.
struct Asked<'a> {
    truth: SimulatedAnnotator<'a>,
    places: RefCell<Vec<Position>>,
}

impl Annotator for Asked<'_> {
    fn annotate(&self, at: Position, patch: usize) -> askem::Result<Vec<u8>> {
        self.places.borrow_mut().push(at);
        self.truth.annotate(at, patch)
    }
}

/// Keeps the network of each round.
#[derive(Default)]
struct Networks(Vec<Weights>);

impl Observer for Networks {
    fn network(&mut self, iteration: usize, weights: &Weights) -> askem::Result<()> {
        assert_eq!(iteration, self.0.len());
        self.0.push(weights.clone());
        Ok(())
    }
}

/// A run that begins with a network that tells patches apart.
struct Run {
    pool: Vec<Position>,
    /// The pixels of each patch of the pool.
    x: Vec<Vec<f32>>,
    /// Patches labelled before the first round.
    initial: Vec<usize>,
    records: Vec<Record>,
    networks: Vec<Weights>,
    model: Model,
}

impl Run {
    fn of(config: &Config, world: &World) -> Self {
        Self::from(trained(Norm::Batch), config, world)
    }

    fn from(state: &TrainState, config: &Config, world: &World) -> Self {
        let config = Config {
            iterations: ROUNDS,
            epochs: state.epochs_done,
            finetune_epochs: 2,
            ..config.clone()
        };
        let truth = SimulatedAnnotator::new(&world.train_labels);
        let asked = Asked { truth, places: RefCell::default() };
        let data = Data {
            train: from_ref(&world.train),
            annotator: &asked,
            test: &[Test { reader: &world.test, labels: &world.test_labels }],
        };
        let mut model = Model::new(cpu(2), config.net, PATCH).unwrap();
        let progress = Progress { checkpoint: Some((0, state.clone())), ..Progress::default() };
        let mut networks = Networks::default();
        let records = protocol::run(&config, &data, &mut model, progress, &mut networks).unwrap();
        let pool = draw_pool(&world.train.region, PATCH, config.pool, config.seed).unwrap();
        let pixels = |&at: &Position| {
            let mut x = Vec::new();
            world.train.read(at, PATCH, &mut x).unwrap();
            x
        };
        let x = pool.iter().map(pixels).collect();
        let number_of = |at: &Position| pool.iter().position(|other| other == at).unwrap();
        let initial: Vec<usize> =
            asked.places.borrow()[..config.initial].iter().map(number_of).collect();
        Self { pool, x, initial, records, networks: networks.0, model }
    }

    /// Patches labelled when the network of a round is trained.
    fn labelled(&self, round: usize) -> Vec<usize> {
        let mut labelled = self.initial.clone();
        for record in &self.records[..round] {
            labelled.extend(record.picked.iter().map(|pick| pick.index));
        }
        labelled
    }

    /// Those that can be picked in a round.
    fn free(&self, round: usize) -> Vec<usize> {
        let labelled = self.labelled(round);
        (0..self.pool.len()).filter(|index| !labelled.contains(index)).collect()
    }

    /// Whatever the network of a round gives of each patch of the pool.
    fn outputs(&mut self, round: usize, output: Output) -> Vec<Vec<f32>> {
        self.model.set_weights(&self.networks[round]).unwrap();
        let model = &mut self.model;
        self.x.iter().map(|x| model.forward(x, &[output]).unwrap().remove(0)).collect()
    }

    /// The labels of a patch.
    fn labels(&self, world: &World, index: usize) -> Vec<u8> {
        read_labels(&world.train_labels, self.pool[index], PATCH).unwrap()
    }

    fn picks(&self, round: usize) -> Vec<usize> {
        self.records[round].picked.iter().map(|pick| pick.index).collect()
    }

    /// The best patches were picked, best first, and with their scores.
    fn require_best(&self, round: usize, scores: &[f64], largest: bool) {
        let merit = |i: usize| if largest { scores[i] } else { -scores[i] };
        let mut order = self.free(round);
        order.sort_by(|&a, &b| merit(b).total_cmp(&merit(a)));
        let range = merit(order[0]) - merit(order[order.len() - 1]);
        assert!(range > 4.0 * NEAR, "round {round}: all are alike, {range}");
        let picked = &self.records[round].picked;
        assert_eq!(picked.len(), 4);
        for (pick, best) in picked.iter().zip(&order) {
            assert!(order.contains(&pick.index), "round {round}: {pick:?} is labelled");
            let short = merit(*best) - merit(pick.index);
            assert!(short.abs() <= NEAR, "round {round}: {pick:?} where {best} is due, {short}");
            let score = f64::from(pick.score.unwrap());
            assert!((score - scores[pick.index]).abs() <= NEAR, "round {round}: {pick:?}");
        }
    }
}

/// The entropy of a pixel of a patch, in nats.
fn entropy(p: &[f32], pixel: usize) -> f64 {
    let mut sum = 0.0;
    for class in 0..2 {
        let p = f64::from(p[class * PIXELS + pixel]);
        if p > 0.0 {
            sum -= p * p.ln();
        }
    }
    sum
}

fn is_foreground(p: &[f32], pixel: usize) -> bool {
    p[PIXELS + pixel] > p[pixel]
}

#[test]
fn the_most_uncertain_are_picked_in_every_round() {
    let world = World::phantom();
    for (strategy, largest) in [("entropy", true), ("least_confidence", false)] {
        let mut run = Run::of(&tiny(strategy), &world);
        for round in 0..ROUNDS {
            let score = |p: &Vec<f32>| -> f64 {
                let of = |pixel: usize| match largest {
                    true => entropy(p, pixel),
                    false => f64::from(p[pixel].max(p[PIXELS + pixel])),
                };
                (0..PIXELS).map(of).sum()
            };
            let scores: Vec<f64> =
                run.outputs(round, Output::Probabilities).iter().map(score).collect();
            run.require_best(round, &scores, largest);
        }
    }
}

#[test]
fn dropout_masks_are_those_of_the_round_the_pass_and_the_patch() {
    let world = World::phantom();
    for strategy in ["bald", "mutual_information"] {
        let config = tiny(strategy);
        let mut run = Run::of(&config, &world);
        let x = run.x.concat();
        for round in 0..ROUNDS {
            let mut keys: Vec<Vec<u64>> = Vec::new();
            for pass in 0..config.mc_passes as u64 {
                let pass = (1 << 63) | ((round as u64) << 32) | pass;
                let of = |index| key(SEED, Purpose::Dropout, pass, index);
                keys.push((0..run.pool.len() as u64).map(of).collect());
            }
            run.model.set_weights(&run.networks[round]).unwrap();
            let found = run.model.mc_dropout(&x, &keys).unwrap();
            let scores = if strategy == "bald" { found.entropy } else { found.mutual_information };
            // The same sums in the same order.
            let mut order = run.free(round);
            order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
            for (pick, due) in run.records[round].picked.iter().zip(&order) {
                let want = (*due, Some(scores[*due]));
                assert_eq!((pick.index, pick.score), want, "{strategy}, round {round}");
            }
        }
    }
}

#[test]
fn core_set_keeps_away_from_all_labelled_patches_in_every_round() {
    let world = World::phantom();
    let mut run = Run::of(&tiny("core_set"), &world);
    let mut several = 0;
    for round in 0..ROUNDS {
        let points = run.outputs(round, Output::EmbeddingMean);
        let distance = |a: usize, b: usize| -> f64 {
            let pairs = points[a].iter().zip(&points[b]);
            pairs.map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
        };
        let mut centers = run.labelled(round);
        assert_eq!(centers.len(), 4 + 4 * round);
        for pick in &run.records[round].picked {
            let to_nearest = |i: usize| {
                centers.iter().map(|&center| distance(i, center)).fold(f64::INFINITY, f64::min)
            };
            let free = (0..run.pool.len()).filter(|i| !centers.contains(i));
            let farthest = free.map(to_nearest).fold(0.0, f64::max);
            let (got, score) = (to_nearest(pick.index), f64::from(pick.score.unwrap()));
            for found in [got, score] {
                let is_near = (found - farthest).abs() <= 1e-3 * farthest;
                assert!(is_near, "round {round}: {pick:?} where {farthest} is due");
            }
            let most = centers.iter().map(|&c| distance(pick.index, c)).fold(0.0, f64::max);
            several += usize::from(most > 1.1 * farthest);
            centers.push(pick.index);
        }
    }
    assert!(several > 0, "any one of the labelled patches would do");
}

#[test]
fn random_draws_anew_in_every_round() {
    let world = World::phantom();
    let run = Run::of(&tiny("random"), &world);
    for round in 0..ROUNDS {
        let mut free = run.free(round);
        let mut rng = stream(SEED, Purpose::Strategy, round as u64, 0);
        let want = sample_without_replacement(&mut rng, &mut free, 4);
        assert_eq!(run.picks(round), want, "round {round}");
    }
}

/// The `count` best of the patches by their scores with Gumbel noise of scale `1 / beta`, best first,
/// without those that are `taken`.
fn noisy(
    round: usize,
    free: &[usize],
    scores: &[f64],
    beta: f64,
    taken: &[usize],
    count: usize,
) -> Vec<usize> {
    let of = |index: usize| {
        let mut rng = stream(SEED, Purpose::Strategy, round as u64, 1 + index as u64);
        let noise = -(-uniform(&mut rng).ln()).ln();
        scores[index].max(1e-30).ln() + noise / beta
    };
    let mut order: Vec<usize> =
        free.iter().copied().filter(|index| !taken.contains(index)).collect();
    order.sort_by(|&a, &b| of(b).total_cmp(&of(a)));
    order.truncate(count);
    order
}

#[test]
fn noise_is_drawn_anew_in_every_round() {
    let world = World::phantom();
    let mut run = Run::of(&tiny("power_entropy"), &world);
    for round in 0..ROUNDS {
        let score = |p: &Vec<f32>| -> f64 { (0..PIXELS).map(|pixel| entropy(p, pixel)).sum() };
        let scores: Vec<f64> =
            run.outputs(round, Output::Probabilities).iter().map(score).collect();
        let want = noisy(round, &run.free(round), &scores, 1.0, &[], 4);
        assert_eq!(run.picks(round), want, "round {round}");
    }
    // A third for foreground, a third for background, the others for both; four are 1, 1 and 2.
    let mut run = Run::of(&tiny("clasp"), &world);
    for round in 0..ROUNDS {
        let mut sums = [Vec::new(), Vec::new(), Vec::new()];
        for p in run.outputs(round, Output::Probabilities) {
            let (mut foreground, mut background) = (0.0, 0.0);
            for pixel in 0..PIXELS {
                let of = entropy(&p, pixel);
                if is_foreground(&p, pixel) { foreground += of } else { background += of }
            }
            sums[0].push(foreground);
            sums[1].push(background);
            sums[2].push(foreground + background);
        }
        let beta = 100_f64.powf(round as f64 / (ROUNDS - 1) as f64);
        let mut want: Vec<usize> = Vec::new();
        for (scores, count) in sums.iter().zip([1, 1, 2]) {
            want.extend(noisy(round, &run.free(round), scores, beta, &want, count));
        }
        assert_eq!(run.picks(round), want, "clasp, round {round}");
    }
}

/// Pixels that are foreground in both of two pictures over those that are in one of them; labels of
/// 255 do not count.
fn jaccard(pairs: impl Iterator<Item = (bool, u8)>) -> f64 {
    let (mut both, mut either) = (0_u32, 0_u32);
    for (predicted, label) in pairs.filter(|pair| pair.1 != 255) {
        both += u32::from(predicted && label == 1);
        either += u32::from(predicted || label == 1);
    }
    assert!(either > 0, "there is foreground");
    f64::from(both) / f64::from(either)
}

/// The trained network, moved to where it takes half of the test region for foreground when its
/// statistics are those of the whole pool.
fn undecided(config: &Config, world: &World) -> TrainState {
    let mut state = trained(Norm::Batch).clone();
    let mut model = Model::new(cpu(2), config.net, PATCH).unwrap();
    model.set_weights(&state.weights).unwrap();
    let mut x = Vec::new();
    for at in draw_pool(&world.train.region, PATCH, config.pool, config.seed).unwrap() {
        world.train.read(at, PATCH, &mut x).unwrap();
    }
    model.measure_statistics(&x, None).unwrap();
    let mut logits: Vec<f32> = Vec::new();
    for z in world.test.region.z.clone() {
        let p = predict::section_foreground(&mut model, &world.test, z, &mut |_| Ok(())).unwrap();
        logits.extend(p.iter().map(|p| (p / (1.0 - p)).ln()));
    }
    logits.sort_by(f32::total_cmp);
    let foreground = config.net.parameters().get("head.bias").unwrap().offset + 1;
    state.weights.parameters[foreground] -= logits[logits.len() / 2];
    state
}

#[test]
fn records_hold_what_the_networks_see() {
    let world = World::phantom();
    // All of the pool, so that no draw decides on what changes are looked for.
    let config = Config { statistics_patches: 20, ..tiny("random") };
    let mut run = Run::from(&undecided(&config, &world), &config, &world);
    let mut other_thresholds = 0;
    let mut before: Option<Vec<Vec<f32>>> = None;
    for round in 0..=ROUNDS {
        let record = run.records[round].clone();
        let labels: Vec<u8> =
            run.labelled(round).into_iter().flat_map(|i| run.labels(&world, i)).collect();
        let foreground = labels.iter().filter(|&&label| label == 1).count();
        assert_eq!(record.labelled, 4 + 4 * round);
        assert_eq!(record.labelled_pixels, Some(labels.len() as u64));
        assert_eq!(record.labelled_foreground, foreground as f64 / labels.len() as f64);

        // Foreground is what is more likely than not.
        run.model.set_weights(&run.networks[round]).unwrap();
        let region = &world.test.region;
        let mut pixels = Vec::new();
        for z in region.z.clone() {
            let p = predict::section_foreground(&mut run.model, &world.test, z, &mut |_| Ok(()));
            let section = world.test_labels.section(z).unwrap();
            let truth = region.y.clone().flat_map(|y| {
                let first = y * world.test.shape()[2];
                section[first + region.x.start..first + region.x.end].to_vec()
            });
            pixels.extend(p.unwrap().into_iter().zip(truth.collect::<Vec<u8>>()));
        }
        let of = |threshold: f32| jaccard(pixels.iter().map(|&(p, l)| (p > threshold, l)));
        assert_eq!(record.jaccard, Some(of(0.5)), "round {round}");
        other_thresholds += usize::from(of(0.4) != of(0.5) && of(0.6) != of(0.5));

        let seen = run.outputs(round, Output::Probabilities);
        let mut sum = 0.0;
        for p in &seen {
            sum += (0..PIXELS).map(|pixel| entropy(p, pixel)).sum::<f64>();
        }
        let mean = sum / (seen.len() * PIXELS) as f64;
        assert!((record.mean_entropy.unwrap() - mean).abs() < 1e-6, "round {round}: {mean}");

        // The network before this training, on all and on what was labelled since.
        let changed = before.as_ref().map(|before| {
            let mut changed = 0;
            for (a, b) in before.iter().zip(&seen) {
                let differs = |&pixel: &usize| is_foreground(a, pixel) != is_foreground(b, pixel);
                changed += (0..PIXELS).filter(differs).count();
            }
            changed as f64 / (seen.len() * PIXELS) as f64
        });
        assert_eq!(record.changed_pixels, changed, "round {round}");
        let unseen = before.as_ref().map(|before| {
            let picks = run.picks(round - 1).into_iter();
            jaccard(picks.flat_map(|index| {
                let labels = run.labels(&world, index);
                let of = |pixel: usize| (is_foreground(&before[index], pixel), labels[pixel]);
                (0..PIXELS).map(of).collect::<Vec<_>>()
            }))
        });
        assert_eq!(record.unseen_jaccard, unseen, "round {round}");
        before = Some(seen);
    }
    assert!(other_thresholds > 0, "any threshold would do");
}

/// The mean of each map of the network's first convolution over some patches.
fn first_means(run: &Run, weights: &Weights, patches: &[usize]) -> Vec<f64> {
    let bank = run.model.net().parameters();
    let kernel = bank.get("enc0.0.conv.weight").unwrap();
    assert_eq!(kernel.shape, [2, 1, 3, 3]);
    let side = PATCH as isize;
    let mut means = Vec::new();
    for map in 0..2 {
        let kernel = &weights.parameters[kernel.offset + 9 * map..][..9];
        let mut sum = 0.0;
        for &patch in patches {
            for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
                for tap in 0..9 {
                    let (y, x) = (y + tap / 3 - 1, x + tap % 3 - 1);
                    if (0..side).contains(&y) && (0..side).contains(&x) {
                        let value = run.x[patch][(y * side + x) as usize];
                        sum += f64::from(kernel[tap as usize]) * f64::from(value);
                    }
                }
            }
        }
        means.push(sum / (patches.len() * PIXELS) as f64);
    }
    means
}

#[test]
fn statistics_are_measured_on_the_patches_that_are_named() {
    let world = World::phantom();
    // All of the pool, or each of 4, 8 and 12 labelled patches as often as the others.
    for (from, count) in [(StatisticsFrom::Unlabelled, 20), (StatisticsFrom::Labelled, 24)] {
        let config = Config { statistics_from: from, statistics_patches: count, ..tiny("random") };
        let run = Run::of(&config, &world);
        let mut told = 0;
        let bank = run.model.net().statistics();
        let at = bank.get("enc0.0.norm.running_mean").unwrap().offset;
        for round in 0..ROUNDS {
            let weights = &run.networks[round];
            let all: Vec<usize> = (0..run.pool.len()).collect();
            let [pool, labelled] =
                [all, run.labelled(round)].map(|patches| first_means(&run, weights, &patches));
            let off = |want: &[f64]| {
                let differences = (0..2).map(|i| f64::from(weights.statistics[at + i]) - want[i]);
                differences.map(f64::abs).fold(0.0, f64::max)
            };
            let [want, other] = match from {
                StatisticsFrom::Unlabelled => [pool, labelled],
                StatisticsFrom::Labelled => [labelled, pool],
            };
            assert!(off(&want) < 1e-4, "{from:?}, round {round}: off by {}", off(&want));
            told += usize::from(off(&other) > 1e-3);
        }
        assert!(told > 0, "{from:?}: any patches would do");
    }
}

#[test]
fn unlabelled_patches_for_statistics_are_drawn_once() {
    let world = World::phantom();
    let run = Run::of(&Config { statistics_patches: 5, ..tiny("random") }, &world);
    let mut all: Vec<usize> = (0..run.pool.len()).collect();
    let mut rng = stream(SEED, Purpose::Statistics, 0, 0);
    let drawn = sample_without_replacement(&mut rng, &mut all, 5).to_vec();
    assert!(drawn.iter().any(|&index| index >= 5), "the first ones would do");
    let bank = run.model.net().statistics();
    let at = bank.get("enc0.0.norm.running_mean").unwrap().offset;
    for round in 0..=ROUNDS {
        let weights = &run.networks[round];
        for (i, want) in first_means(&run, weights, &drawn).into_iter().enumerate() {
            let got = f64::from(weights.statistics[at + i]);
            assert!((got - want).abs() < 1e-4, "round {round}: {got} where {want} is due");
        }
    }
}
