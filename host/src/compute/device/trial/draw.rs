//! Draws what a buffer may hold, by its name.

use askem_kernels::rng::{self, Purpose, Rng, Xoshiro256PlusPlus};
use askem_kernels::{Call, allclose, k_center_greedy};

use super::Style;

/// The contents of a call's buffer. Equal arguments give equal words.
pub(super) fn words(call: &Call, buffer: &str, style: Style, seed: u64) -> Vec<u32> {
    let name = buffer.bytes().fold(0, |hash, byte| rng::mix64(hash ^ u64::from(byte)));
    let rng = &mut rng::stream(seed, Purpose::Test, name, style as u64);
    let len = call.len(buffer);
    if let Some(words) = integers(call, buffer, len, rng) {
        return words;
    }
    if let (Call::AllcloseCount(p), "got") = (call, buffer) {
        return near(p, &words(call, "want", style, seed), rng);
    }
    let numbers = floats(call, buffer, style, len, rng);
    assert_eq!(numbers.len(), len, "{}: {buffer}", call.signature().name);
    numbers.into_iter().map(f32::to_bits).collect()
}

fn below(rng: &mut Xoshiro256PlusPlus, n: u32) -> u32 {
    rng::below(rng, u64::from(n)) as u32
}

fn between(rng: &mut Xoshiro256PlusPlus, low: f32, high: f32) -> f32 {
    low + (high - low) * rng::uniform(rng) as f32
}

/// Labels, indices and keys, which only their op understands.
fn integers(
    call: &Call,
    buffer: &str,
    len: usize,
    rng: &mut Xoshiro256PlusPlus,
) -> Option<Vec<u32>> {
    let mut each = |draw: &mut dyn FnMut(&mut Xoshiro256PlusPlus, usize) -> u32| {
        (0..len).map(|i| draw(rng, i)).collect()
    };
    Some(match (call, buffer) {
        // Classes, the ignored label, and labels that are no class.
        (Call::CrossEntropyForward(p) | Call::CrossEntropyBackwardInput(p), "labels") => {
            each(&mut |rng, _| match below(rng, 8) {
                0 => p.ignore_label,
                1 => p.c + below(rng, 2),
                _ => below(rng, p.c),
            })
        }
        (Call::ConfusionForward(p), "labels") => {
            each(&mut |rng, _| if below(rng, 8) == 0 { p.ignore_label } else { below(rng, 3) })
        }
        // A position inside each window.
        (Call::MaxPool2dBackwardInput(p), "indices") => {
            let (rows, columns) = (p.h / 2, p.w / 2);
            each(&mut |rng, i| {
                let (row, column) = (i as u32 / columns % rows, i as u32 % columns);
                (2 * row + below(rng, 2)) * p.w + 2 * column + below(rng, 2)
            })
        }
        (Call::KMeansAssign(p) | Call::KMeansUpdate(p), "assignment") => {
            each(&mut |rng, _| below(rng, p.k))
        }
        // Some rounds, none of which was the last.
        (Call::KMeansAssign(_) | Call::KMeansUpdate(_), "state") => vec![below(rng, 300), 0],
        (Call::KMeansCheckConvergence(_), "state") => {
            vec![below(rng, 300), u32::from(below(rng, 4) == 0)]
        }
        // None at all more often than by chance.
        (Call::KMeansCheckConvergence(_), "changes") => {
            let mut most = None;
            each(&mut |rng, _| {
                let most = *most.get_or_insert_with(|| below(rng, 2) * 3);
                below(rng, most + 1)
            })
        }
        (Call::KCenterGreedyAddCenter(p), "picks") => picks(p, rng),
        (Call::KCenterGreedyAddCenter(p), "far_row") => each(&mut |rng, _| below(rng, p.rows)),
        (Call::KMeansPlusPlusMeasure(p) | Call::KMeansPlusPlusDraw(p), "drawn") => {
            each(&mut |rng, _| below(rng, p.rows))
        }
        (Call::KMeansPlusPlusMeasure(p) | Call::KMeansPlusPlusDraw(p), "best") => {
            vec![below(rng, p.trials)]
        }
        // Some rounds, or all.
        (Call::KMeansPlusPlusDraw(p), "picks") => {
            each(&mut |rng, i| below(rng, if i == 0 { p.k + 1 } else { p.rows }))
        }
        // Some patches reach beyond the sections, or lie beyond them.
        (Call::CropImages(p) | Call::CropLabels(p), "sites") => each(&mut |rng, i| {
            let size = [p.depth, p.height, p.width, 8][i % 4];
            if below(rng, 8) == 0 { rng.next_u32() } else { below(rng, size) }
        }),
        // Turns and scales, and now and then anything; then contrast and brightness.
        (Call::WarpImages(_) | Call::WarpLabels(_), "transforms") => {
            each(&mut |rng, i| match i % 6 {
                4 => between(rng, 0.5, 2.0).to_bits(),
                5 => between(rng, -1.0, 1.0).to_bits(),
                _ if below(rng, 8) == 0 => rng.next_u32(),
                _ => below(rng, 1 << 16).wrapping_sub(1 << 15),
            })
        }
        (Call::WarpLabels(_), "labels") => each(&mut |rng, _| below(rng, 256)),
        (Call::CropLabels(_), "packed_labels") => each(&mut |rng, _| rng.next_u32()),
        (_, "keys") => each(&mut |rng, _| rng.next_u32()),
        _ => return None,
    })
}

/// Some of the wanted numbers, some that are close to them, some that are not, and few that are
/// no numbers.
fn near(p: &allclose::Params, want: &[u32], rng: &mut Xoshiro256PlusPlus) -> Vec<u32> {
    let near = |&word: &u32| {
        let want = f32::from_bits(word);
        match below(rng, 8) {
            0 => want + 2.0 * (p.atol + p.rtol * want.abs()),
            1 => want - 0.5 * (p.atol + p.rtol * want.abs()),
            2 => 2.0 * want,
            3 if below(rng, 8) == 0 => f32::NAN,
            _ => want,
        }
    };
    want.iter().map(near).map(f32::to_bits).collect()
}

/// A number of picks, and the picks, all different.
fn picks(p: &k_center_greedy::Params, rng: &mut Xoshiro256PlusPlus) -> Vec<u32> {
    let mut rows: Vec<u32> = (0..p.rows).collect();
    rng::shuffle(rng, &mut rows);
    let most = p.capacity.min(p.rows);
    // None and all more often than by chance.
    let count = match below(rng, 4) {
        0 => 0,
        1 => most,
        _ => below(rng, most + 1),
    };
    let mut picks = vec![0; 1 + p.capacity as usize];
    picks[0] = count;
    picks[1..=count as usize].copy_from_slice(&rows[..count as usize]);
    picks
}

fn floats(
    call: &Call,
    buffer: &str,
    style: Style,
    len: usize,
    rng: &mut Xoshiro256PlusPlus,
) -> Vec<f32> {
    let mut each = |draw: &mut dyn FnMut(&mut Xoshiro256PlusPlus) -> f32| {
        (0..len).map(|_| draw(rng)).collect::<Vec<f32>>()
    };
    match (call, buffer) {
        // Probabilities over channels.
        (Call::SoftmaxBackwardInput(p), "p") => distributions([p.n, p.c, p.hw], style, rng),
        (Call::EntropyForward(p), "p") => distributions([p.n, p.c, p.hw], style, rng),
        (Call::LeastConfidenceForward(p), "p") => distributions([p.n, p.c, p.hw], style, rng),
        (Call::BaldAccumulate(p), "p") => distributions([p.stacked * p.n, p.c, p.hw], style, rng),
        // Sums of as many of them as there were passes.
        (
            Call::BaldAccumulate(p) | Call::BaldEntropyOfMean(p) | Call::BaldMutualInformation(p),
            "sum_p",
        ) => {
            let mut sum = vec![0.0; len];
            for _ in 0..p.passes {
                let p = distributions([p.n, p.c, p.hw], style, rng);
                sum.iter_mut().zip(p).for_each(|(sum, p)| *sum += p);
            }
            sum
        }
        (Call::BaldAccumulate(p) | Call::BaldMutualInformation(p), "sum_entropy") => {
            let most = p.passes as f32 * (p.c as f32).ln();
            each(&mut |rng| between(rng, 0.0, most))
        }
        // Sums of weighted losses and of weights.
        (Call::CrossEntropyReduce(_), "partials") => each(&mut |rng| between(rng, 0.0, 2000.0)),
        // Foreground probabilities, some of them exactly at the threshold.
        (Call::ConfusionForward(p), "p") => each(&mut |rng| match below(rng, 4) {
            0 => p.threshold,
            _ => between(rng, 0.0, 1.0),
        }),
        // A mean and a sum of squares for each cell.
        (Call::Conv2dStatisticsMerge(_) | Call::Conv2dStatisticsMergePlanes(_), "partials") => {
            let numbers = numbers(style, len, rng).into_iter().enumerate();
            numbers.map(|(i, x)| if i % 2 == 1 { x.abs() } else { x }).collect()
        }
        // The mean, the total weight and its reciprocal.
        (Call::CrossEntropyBackwardInput(_), "loss") => {
            let total = between(rng, 1.0, 100.0);
            vec![0.5, total, 1.0 / total]
        }
        (_, "class_weights") => each(&mut |rng| between(rng, 0.1, 2.0)),
        // The step length and the correction of the second moment.
        (_, "step") => vec![between(rng, 1e-4, 1e-2), between(rng, 1.0, 30.0)],
        (_, "rstd" | "running_var") => each(&mut |rng| between(rng, 0.1, 4.0)),
        (Call::DropoutForward(p) | Call::DropoutBackwardInput(p), "mask") => {
            each(&mut |rng| if below(rng, 2) == 0 { 0.0 } else { p.scale })
        }
        (Call::BatchNormReluForward(_) | Call::Conv2dNormReluForwardEval(_), "mask") => {
            each(&mut |rng| if below(rng, 2) == 0 { 0.0 } else { 1.25 })
        }
        // Never near the sum of the movements: every movement is far above the one and far below the other.
        (_, "limit") => vec![if below(rng, 2) == 0 { 0.0 } else { 1e9 }],
        (_, "movements") => {
            let numbers = numbers(style, len, rng);
            let still = below(rng, 4) == 0;
            numbers.into_iter().map(|x| if still { 0.0 } else { x.abs() }).collect()
        }
        // Distances; points that are picked have a negative one.
        (_, "sq_dist" | "far_sq_dist") => {
            let numbers = numbers(style, len, rng);
            let is_picked = |rng: &mut Xoshiro256PlusPlus| below(rng, 8) == 0;
            numbers.into_iter().map(|x| if is_picked(rng) { -1.0 } else { x.abs() }).collect()
        }
        (_, "uniforms") => each(&mut |rng| between(rng, 0.0, 1.0)),
        // Distances and their sums, many of them zero.
        (_, "nearest" | "trial_sq_dist" | "left") => {
            let numbers = numbers(style, len, rng);
            numbers.into_iter().map(|x| if below(rng, 4) == 0 { 0.0 } else { x.abs() }).collect()
        }
        // Adam's second moment.
        (_, "v") => numbers(style, len, rng).into_iter().map(f32::abs).collect(),
        _ => numbers(style, len, rng),
    }
}

fn numbers(style: Style, len: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<f32> {
    let all = between(rng, -2.0, 2.0);
    let mut one = || match style {
        Style::Normal => between(rng, -2.0, 2.0),
        Style::Offset => 100.0 + between(rng, -2.0, 2.0),
        Style::Tiny => between(rng, -2e-12, 2e-12),
        Style::Constant => all,
        Style::Ties => below(rng, 5) as f32 - 2.0,
    };
    (0..len).map(|_| one()).collect()
}

/// Probabilities `[n, c, hw]` that sum to one over the channels, up to rounding.
fn distributions([n, c, hw]: [u32; 3], style: Style, rng: &mut Xoshiro256PlusPlus) -> Vec<f32> {
    let [n, c, hw] = [n as usize, c as usize, hw as usize];
    let mut p = vec![0.0; n * c * hw];
    for sample in 0..n {
        for pixel in 0..hw {
            let at = |channel: usize| (sample * c + channel) * hw + pixel;
            let certain = below(rng, c as u32) as usize;
            let mut total = 0.0;
            for channel in 0..c {
                let weight = match style {
                    Style::Normal | Style::Offset => between(rng, 0.01, 1.0),
                    // Almost certain, down to exact zeros and ones.
                    Style::Tiny if channel == certain => 1.0,
                    Style::Tiny => between(rng, 0.0, 1e-7),
                    Style::Constant => f32::from(channel == certain),
                    Style::Ties => 1.0,
                };
                p[at(channel)] = weight;
                total += weight;
            }
            for channel in 0..c {
                p[at(channel)] /= total;
            }
        }
    }
    p
}
