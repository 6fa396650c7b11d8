//! Dropout masks: the shader draws rand_xoshiro's bits, in the right share, from streams that do not overlap.
//!
//! `ASKEM_TEST_ADAPTER` picks the adapter by a part of its name; without one the tests fail.

#[path = "../shared/adapter.rs"]
mod adapter;

use std::collections::BTreeSet;
use std::sync::{Mutex, OnceLock, PoisonError};

use askem::compute::executor::{Executor, PlanId};
use askem::compute::gpu::{GpuExecutor, fuse};
use askem::compute::plan::{PlanBuilder, View};
use askem_kernels::rng::{MASK_BLOCK, Purpose, Rng, key, mask_stream};
use askem_kernels::{Call, dropout};

/// The mask's value of what is kept; any number that no other draw would leave by mistake.
const SCALE: f32 = 1.75;

/// Standard deviations that a share or a count may lie off.
const SIGMAS: f64 = 5.0;

/// One mask that a shader draws.
#[derive(Clone)]
struct Draw {
    /// Key of each sample.
    keys: Vec<u64>,
    layer: u32,
    /// Elements of a sample.
    values: u32,
    threshold: u32,
    /// Of channels, else of elements.
    channels: bool,
}

impl Draw {
    fn params(&self) -> dropout::Params {
        let (n, element) = (self.keys.len() as u32, u32::from(!self.channels));
        // Of a mask of channels, the pixels are other values.
        let hw = if self.channels { 6 } else { 1 };
        let Self { values: c, layer, threshold, .. } = *self;
        dropout::Params { n, c, hw, element, layer, threshold, scale: SCALE }
    }

    /// What rand_xoshiro's bits make of it.
    fn expected(&self) -> impl Iterator<Item = bool> {
        self.bits().map(|bits| bits >= self.threshold)
    }

    /// The random numbers, in the mask's order.
    fn bits(&self) -> impl Iterator<Item = u32> {
        let blocks = self.values.div_ceil(MASK_BLOCK as u32);
        let blocks = self.keys.iter().flat_map(move |&key| (0..blocks).map(move |b| (key, b)));
        blocks.flat_map(|(key, block)| {
            let left = self.values as usize - block as usize * MASK_BLOCK;
            let mut stream = mask_stream(key, self.layer, block);
            (0..left.min(MASK_BLOCK)).map(move |_| stream.next_u32())
        })
    }
}

/// The GPU, for one test at a time.
fn with_gpu<T>(act: impl FnOnce(&mut GpuExecutor) -> T) -> T {
    static GPU: OnceLock<Mutex<GpuExecutor>> = OnceLock::new();
    let gpu = GPU.get_or_init(|| Mutex::new(adapter::open("masks")));
    act(&mut gpu.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Which elements of a mask in the GPU's memory are kept.
fn kept(gpu: &mut GpuExecutor, id: PlanId, mask: View) -> Vec<bool> {
    let mut words = vec![0; mask.len];
    gpu.read(id, mask.buffer, &mut words).expect("the host may read");
    let kept = |word: u32| match word {
        0 => false,
        word if word == SCALE.to_bits() => true,
        other => panic!("a mask holds {}", f32::from_bits(other)),
    };
    words.into_iter().map(kept).collect()
}

/// What the shader reads of keys.
fn words(keys: &[u64]) -> Vec<u32> {
    keys.iter().flat_map(|&k| [k as u32, (k >> 32) as u32]).collect()
}

/// Draws masks on the adapter: for each element, whether it is kept.
fn on_gpu(draws: &[Draw]) -> Vec<Vec<bool>> {
    let mut plan = PlanBuilder::new("masks", "draw");
    let views: Vec<_> = draws
        .iter()
        .map(|draw| {
            let call = Call::DropoutMask(draw.params());
            let keys = plan.kept_uint("keys", call.len("keys"));
            let mask = plan.kept("mask", call.len("mask"));
            plan.step(call, &[keys], &[mask]);
            (keys, mask)
        })
        .collect();
    with_gpu(|gpu| {
        let id = gpu.prepare(plan.build()).expect("the device holds the masks");
        for (draw, (keys, mask)) in draws.iter().zip(&views) {
            gpu.write(id, keys.buffer, &words(&draw.keys)).expect("the host may write");
            // What no pass writes shows.
            gpu.write(id, mask.buffer, &vec![f32::NAN.to_bits(); mask.len])
                .expect("the host may write");
        }
        gpu.run(id, "draw").expect("the masks are drawn");
        let masks = views.iter().map(|&(_, mask)| kept(gpu, id, mask)).collect();
        gpu.release(id);
        masks
    })
}

/// Keys of samples in a pass, as training and scoring name them.
fn keys(pass: u64, samples: u64) -> Vec<u64> {
    (0..samples).map(|sample| key(11, Purpose::Dropout, pass, sample)).collect()
}

/// Thresholds of usual rates, and the ends of the range.
const THRESHOLDS: [u32; 6] = [1 << 30, 1 << 31, 3 << 30, 0x0123_4567, 1, u32::MAX];

/// Three samples of 350,003 elements (the last block is short) in each of six layers: 6.3 million draws.
fn millions() -> Vec<Draw> {
    let draw = |(layer, &threshold): (usize, &u32)| Draw {
        keys: keys(layer as u64, 3),
        layer: layer as u32,
        values: 350_003,
        threshold,
        channels: false,
    };
    THRESHOLDS.iter().enumerate().map(draw).collect()
}

fn first_difference(got: &[bool], want: impl Iterator<Item = bool>) -> Option<usize> {
    let mut count = 0;
    let differs = got.iter().zip(want.inspect(|_| count += 1)).position(|(&g, w)| g != w);
    assert!(differs.is_some() || count == got.len(), "{count} expected, {} drawn", got.len());
    differs
}

#[test]
fn millions_of_draws_decide_as_rand_xoshiros() {
    let draws = millions();
    for (draw, got) in draws.iter().zip(on_gpu(&draws)) {
        assert_eq!(first_difference(&got, draw.expected()), None, "threshold {}", draw.threshold);
        if (1 << 30..=3 << 30).contains(&draw.threshold) {
            // The comparison sees a mask that is shifted by one, of another layer, or of another key.
            let shifted = draw.expected().skip(1).chain([false]);
            assert!(first_difference(&got, shifted).is_some());
            let other_layer = Draw { layer: draw.layer + 1, ..draw.clone() };
            assert!(first_difference(&got, other_layer.expected()).is_some());
            let other_keys = Draw { keys: keys(99, 3), ..draw.clone() };
            assert!(first_difference(&got, other_keys.expected()).is_some());
        }
    }
}

/// A number is known exactly where it is kept by its own threshold and dropped by the next one.
#[test]
fn all_32_bits_are_rand_xoshiros() {
    let base = Draw { keys: keys(0, 2), layer: 7, values: 600, threshold: 0, channels: false };
    let numbers: Vec<u32> = base.bits().collect();
    // Of all blocks and both samples, early and late in their streams.
    let chosen: Vec<usize> = (0..numbers.len()).step_by(17).collect();
    let around = |&at: &usize| [numbers[at], numbers[at].saturating_add(1)];
    let draws: Vec<Draw> = chosen
        .iter()
        .flat_map(around)
        .map(|threshold| Draw { threshold, ..base.clone() })
        .collect();
    let masks = on_gpu(&draws);
    for (pair, &at) in masks.chunks(2).zip(&chosen) {
        assert!(numbers[at] < u32::MAX, "another key draws a number that has a next one");
        assert_eq!([pair[0][at], pair[1][at]], [true, false], "draw {at}: {:#x}", numbers[at]);
    }
}

#[test]
fn masks_of_channels_are_rand_xoshiros() {
    // Fewer and more than a block, and more streams than a workgroup has lanes.
    let draws: Vec<Draw> = [(1, 1), (70, 3), (3, 256), (5, 700)]
        .map(|(samples, values)| Draw {
            keys: keys(3, samples),
            layer: 17,
            values,
            threshold: 1 << 30,
            channels: true,
        })
        .into();
    for (draw, got) in draws.iter().zip(on_gpu(&draws)) {
        assert_eq!(first_difference(&got, draw.expected()), None, "{} channels", draw.values);
    }
}

/// The executor draws them in few steps, which a plan does not see.
#[test]
fn masks_of_many_layers_are_rand_xoshiros() {
    let draw = |(layer, values): (u32, u32)| Draw {
        keys: keys(5, 7),
        layer,
        values,
        threshold: 1 << 30,
        channels: true,
    };
    let sizes = [16, 32, 64, 128, 256, 1, 63, 65, 257, 700];
    let draws: Vec<Draw> = (0..30).zip(sizes.into_iter().cycle()).map(draw).collect();
    let mut plan = PlanBuilder::new("layers", "draw");
    let keys = plan.kept_uint("keys", 2 * 7);
    let views: Vec<_> = draws
        .iter()
        .map(|draw| {
            // Ones, dropped; a transient mask is read by no host.
            let params = dropout::Params { hw: 1, ..draw.params() };
            let (call, apply) = (Call::DropoutMask(params), Call::DropoutForward(params));
            let mask = plan.transient("mask", call.len("mask"));
            plan.step(call, &[keys], &[mask]);
            let (x, y) = (plan.kept("x", apply.len("x")), plan.kept("y", apply.len("y")));
            plan.step(apply, &[x, mask], &[y]);
            (x, y)
        })
        .collect();
    let plan = plan.build();
    let fused = fuse(plan.clone());
    let steps = fused.sections[0].steps.iter();
    let drawing = steps.filter(|step| matches!(step.call, Call::DropoutMasksDraw(_)));
    assert_eq!(drawing.count(), 2, "24 and 6 layers");
    with_gpu(|gpu| {
        let id = gpu.prepare(plan).expect("the device holds the masks");
        gpu.write(id, keys.buffer, &words(&draws[0].keys)).expect("the host may write");
        for (x, _) in &views {
            gpu.write(id, x.buffer, &vec![1.0f32.to_bits(); x.len]).expect("the host may write");
        }
        gpu.run(id, "draw").expect("the masks are drawn");
        for (draw, (_, y)) in draws.iter().zip(views) {
            let got = kept(gpu, id, y);
            assert_eq!(first_difference(&got, draw.expected()), None, "layer {}", draw.layer);
        }
        gpu.release(id);
    });
}

#[test]
fn the_share_of_kept_elements_is_right() {
    let draws = millions();
    for (draw, got) in draws.iter().zip(on_gpu(&draws)) {
        let share = 1.0 - f64::from(draw.threshold) / (1u64 << 32) as f64;
        let count = got.len() as f64;
        let kept = got.iter().filter(|&&kept| kept).count() as f64;
        let deviation = (count * share * (1.0 - share)).sqrt();
        let off = (kept - count * share).abs();
        // One element is the least that a count can be off.
        assert!(off <= (SIGMAS * deviation).max(1.0), "{kept} of {count} kept, share {share}");
        eprintln!("threshold {:#010x}: {kept} of {count} kept, off by {off:.0}", draw.threshold);
    }
}

/// Masks of different passes, samples, layers and blocks agree in as many elements as chance has it.
#[test]
fn masks_of_different_names_are_unrelated() {
    let values = 8 * MASK_BLOCK as u32;
    let mut draws = Vec::new();
    for pass in 0..3 {
        for layer in [0, 1, 17] {
            let keys = keys(pass, 3);
            draws.push(Draw { keys, layer, values, threshold: 1 << 30, channels: false });
        }
    }
    let masks = on_gpu(&draws);
    // Two blocks a piece, so that those within a sample are compared as well.
    let pieces: Vec<&[bool]> = masks.iter().flat_map(|mask| mask.chunks(2 * MASK_BLOCK)).collect();
    let distinct: BTreeSet<_> = pieces.iter().collect();
    assert_eq!(distinct.len(), pieces.len(), "two masks are equal");
    // Where k of n masks keep an element, so many pairs of them agree there.
    let n = pieces.len();
    let agreeing = |k: usize| ((k * k + (n - k) * (n - k) - n) / 2) as f64;
    let positions = 2 * MASK_BLOCK;
    let kept = |e: usize| pieces.iter().filter(|piece| piece[e]).count();
    let agree: f64 = (0..positions).map(|e| agreeing(kept(e))).sum();
    // k is binomial with a share of 3/4; elements are independent.
    let mut probability = 0.25f64.powi(n as i32);
    let (mut mean, mut square) = (0.0, 0.0);
    for k in 0..=n {
        mean += probability * agreeing(k);
        square += probability * agreeing(k) * agreeing(k);
        probability *= 3.0 * (n - k) as f64 / (k + 1) as f64;
    }
    let (expected, variance) = (positions as f64 * mean, positions as f64 * (square - mean * mean));
    let off = (agree - expected).abs() / variance.sqrt();
    assert!(off <= SIGMAS, "{agree} pairs agree where {expected} are expected: {off} deviations");
}

/// 128 bits in a row are as much as a stream's whole state: streams that meet anywhere share such a window.
#[test]
fn streams_do_not_overlap() {
    let mut windows = Vec::new();
    let mut all_of = |key: u64, layer: u32, block: u32, count: usize| {
        let mut stream = mask_stream(key, layer, block);
        let mut window = 0u128;
        for i in 0..count + 3 {
            window = window << 32 | u128::from(stream.next_u32());
            if i >= 3 {
                windows.push(window);
            }
        }
    };
    // Everything that a block draws, of a training's first steps and of scoring, in all layers.
    for pass in 0..10 {
        for sample in keys(pass, 4) {
            for layer in 0..18 {
                for block in 0..8 {
                    all_of(sample, layer, block, MASK_BLOCK);
                }
            }
        }
    }
    // The starts of many more.
    for pass in 10..70 {
        for sample in keys(pass, 64) {
            for layer in 0..18 {
                for block in 0..16 {
                    all_of(sample, layer, block, 1);
                }
            }
        }
    }
    let count = windows.len();
    assert!(count > 2_000_000);
    let twice = |windows: &mut Vec<u128>| {
        windows.sort_unstable();
        windows.windows(2).any(|pair| pair[0] == pair[1])
    };
    assert!(!twice(&mut windows), "two of {count} windows are equal");
    // The search finds a stream that starts inside another one.
    let mut inside = mask_stream(keys(0, 1)[0], 0, 0);
    for _ in 0..100 {
        inside.next_u32();
    }
    windows.push((0..4).fold(0, |window, _| window << 32 | u128::from(inside.next_u32())));
    assert!(twice(&mut windows), "a window that occurs twice is not found");
}
