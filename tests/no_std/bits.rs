// What both the program without std and the test with std compute: a hash of the bits of every pass's results.

use askem_kernels::rng::{Purpose, Rng, Xoshiro256PlusPlus, stream};
use askem_kernels::{
    Arg, ArgMut, Call, Element, Error, Real, adam, allclose, bald, batch_norm, batch_norm_relu,
    batch_norm_split, concat_channels, confusion, conv_transpose2d, conv_transpose2d_split_k,
    conv2d, conv2d_joined, conv2d_norm_relu, conv2d_split_channels, conv2d_split_k,
    conv2d_statistics, crop, cross_entropy, dropout, dropout_masks, entropy, global_avg_pool2d,
    instance_norm, k_center_greedy, k_means, k_means_plus_plus, least_confidence, max_pool2d,
    min_sq_dist, pairwise_sq_dist, patch_sum, relu, segmentation_head, softmax, warp,
};

/// Buffers of a pass at most, and elements in the largest.
const BUFFERS: usize = 8;
const LONGEST: usize = 600;

const CONV: conv2d::Params =
    conv2d::Params { n: 2, c_in: 3, c_out: 2, h: 5, w: 7, kernel: 3, has_bias: 1 };
const JOINED: conv2d_joined::Params =
    conv2d_joined::Params { n: 2, c_in: 3, c_a: 1, c_out: 2, h: 5, w: 7, kernel: 3 };
const CHANNELS: conv2d_split_channels::Params = conv2d_split_channels::Params {
    n: 2,
    c_in: 3,
    c_a: 1,
    c_out: 2,
    h: 5,
    w: 7,
    kernel: 3,
    slices: 2,
};
const ROWS: conv2d_split_k::Params =
    conv2d_split_k::Params { n: 2, c_in: 3, c_a: 1, c_out: 2, h: 5, w: 7, kernel: 3, slices: 2 };
const COUNTED: conv2d_statistics::Params = conv2d_statistics::Params {
    n: 2,
    c_in: 3,
    c_a: 1,
    c_out: 2,
    h: 5,
    w: 9,
    kernel: 3,
    eps: 1e-5,
    momentum: 0.1,
};
const UNIT: conv2d_norm_relu::Params = conv2d_norm_relu::Params {
    n: 2,
    c_in: 3,
    c_a: 1,
    c_out: 2,
    h: 5,
    w: 7,
    kernel: 3,
    mask: 1,
    eps: 1e-5,
};
const UP_PIXELS: conv_transpose2d_split_k::Params =
    conv_transpose2d_split_k::Params { n: 2, c_in: 3, c_out: 2, h: 5, w: 7, slices: 2 };
const NORM_RELU: batch_norm_relu::Params =
    batch_norm_relu::Params { n: 2, c: 3, hw: 35, mask: 1, scale: 1.25, affine: 1 };
const NORM_SPLIT: batch_norm_split::Params = batch_norm_split::Params {
    n: 2,
    c: 3,
    hw: 35,
    slices: 4,
    eps: 1e-5,
    momentum: 0.1,
    scale: 1.25,
};
const HEAD: segmentation_head::Params =
    segmentation_head::Params { n: 2, stacked: 1, c: 3, classes: 2, hw: 35 };
const UP: conv_transpose2d::Params =
    conv_transpose2d::Params { n: 2, c_in: 3, c_out: 2, h: 5, w: 7 };
const POOL: max_pool2d::Params = max_pool2d::Params { n: 2, c: 3, h: 5, w: 7 };
const BATCH: batch_norm::Params =
    batch_norm::Params { n: 2, c: 3, hw: 35, eps: 1e-5, momentum: 0.1 };
const INSTANCE: instance_norm::Params = instance_norm::Params { n: 2, c: 3, hw: 35, eps: 1e-5 };
const DROP: dropout::Params =
    dropout::Params { n: 2, c: 3, hw: 35, element: 1, layer: 3, threshold: 1 << 30, scale: 1.25 };
const DROPS: dropout_masks::Params =
    dropout_masks::Params::new(2, 1 << 30, 1.25, &[(3, 5), (0, 70)]);
const CONCAT: concat_channels::Params = concat_channels::Params { n: 2, c_a: 3, c_b: 2, hw: 35 };
const CROP: crop::Params = crop::Params { n: 2, h: 3, w: 5, depth: 2, height: 7, width: 6 };
const WARP: warp::Params = warp::Params { n: 2, c: 2, h: 3, w: 5 };
const LOSS: cross_entropy::Params = cross_entropy::Params { n: 2, c: 3, hw: 35, ignore_label: 255 };
const BALD: bald::Params = bald::Params { n: 2, c: 3, hw: 35, passes: 3, stacked: 1 };
const GREEDY: k_center_greedy::Params = k_center_greedy::Params { rows: 15, dim: 7, capacity: 4 };
const START: k_means_plus_plus::Params =
    k_means_plus_plus::Params { rows: 15, k: 3, dim: 7, trials: 2 };
const MEANS: k_means::Params = k_means::Params { rows: 15, k: 3, dim: 7 };

/// Every pass.
pub(crate) const CALLS: &[Call] = &[
    Call::Conv2dForward(CONV),
    Call::Conv2dBackwardInput(CONV),
    Call::Conv2dBackwardWeight(CONV),
    Call::Conv2dBackwardBias(CONV),
    Call::Conv2dJoinedForward(JOINED),
    Call::Conv2dJoinedBackwardInput(JOINED),
    Call::Conv2dSplitChannelsForward(CHANNELS),
    Call::Conv2dSplitChannelsSumForward(CHANNELS),
    Call::Conv2dSplitChannelsBackwardInput(CHANNELS),
    Call::Conv2dSplitChannelsSumBackwardInput(CHANNELS),
    Call::Conv2dSplitKBackwardWeight(ROWS),
    Call::Conv2dSplitKReduce(ROWS),
    Call::Conv2dStatisticsForward(COUNTED),
    Call::Conv2dStatisticsMerge(COUNTED),
    Call::Conv2dStatisticsMergePlanes(COUNTED),
    Call::Conv2dNormReluForwardEval(UNIT),
    Call::ConvTranspose2dForward(UP),
    Call::ConvTranspose2dBackwardInput(UP),
    Call::ConvTranspose2dBackwardWeight(UP),
    Call::ConvTranspose2dBackwardBias(UP),
    Call::ConvTranspose2dSplitKBackwardWeight(UP_PIXELS),
    Call::ConvTranspose2dSplitKReduce(UP_PIXELS),
    Call::MaxPool2dForward(POOL),
    Call::MaxPool2dBackwardInput(POOL),
    Call::BatchNormStatistics(BATCH),
    Call::BatchNormForward(BATCH),
    Call::BatchNormForwardEval(BATCH),
    Call::BatchNormBackwardWeight(BATCH),
    Call::BatchNormBackwardInput(BATCH),
    Call::BatchNormReluForward(NORM_RELU),
    Call::BatchNormReluBackwardWeight(NORM_RELU),
    Call::BatchNormReluBackwardInput(NORM_RELU),
    Call::BatchNormSplitStatistics(NORM_SPLIT),
    Call::BatchNormSplitMerge(NORM_SPLIT),
    Call::BatchNormSplitBackwardWeight(NORM_SPLIT),
    Call::BatchNormSplitMergeBackwardWeight(NORM_SPLIT),
    Call::InstanceNormStatistics(INSTANCE),
    Call::InstanceNormForward(INSTANCE),
    Call::InstanceNormBackwardStatistics(INSTANCE),
    Call::InstanceNormBackwardInput(INSTANCE),
    Call::ReluForward(relu::Params { len: 105 }),
    Call::ReluBackwardInput(relu::Params { len: 105 }),
    Call::DropoutMask(DROP),
    Call::DropoutForward(DROP),
    Call::DropoutBackwardInput(DROP),
    Call::DropoutMasksDraw(DROPS),
    Call::CropImages(CROP),
    Call::CropLabels(CROP),
    Call::WarpImages(WARP),
    Call::WarpLabels(WARP),
    Call::ConcatChannelsForward(CONCAT),
    Call::ConcatChannelsBackwardInput(CONCAT),
    Call::SoftmaxForward(softmax::Params { n: 2, c: 3, hw: 35 }),
    Call::SoftmaxBackwardInput(softmax::Params { n: 2, c: 3, hw: 35 }),
    Call::CrossEntropyForward(LOSS),
    Call::CrossEntropyReduce(LOSS),
    Call::CrossEntropyBackwardInput(LOSS),
    Call::AdamUpdate(adam::Params { len: 105, beta1: 0.9, beta2: 0.999, eps: 1e-8 }),
    Call::EntropyForward(entropy::Params { n: 2, c: 3, hw: 35 }),
    Call::LeastConfidenceForward(least_confidence::Params { n: 2, c: 3, hw: 35 }),
    Call::BaldAccumulate(BALD),
    Call::BaldEntropyOfMean(BALD),
    Call::BaldMutualInformation(BALD),
    Call::SegmentationHeadEntropy(HEAD),
    Call::SegmentationHeadLeastConfidence(HEAD),
    Call::SegmentationHeadAccumulate(HEAD),
    Call::PatchSumForward(patch_sum::Params { n: 2, hw: 35 }),
    Call::GlobalAvgPool2dForward(global_avg_pool2d::Params { n: 2, c: 3, hw: 35 }),
    Call::PairwiseSqDistForward(pairwise_sq_dist::Params { rows_a: 5, rows_b: 9, dim: 7 }),
    Call::MinSqDistForward(min_sq_dist::Params { rows: 15, centers: 3, dim: 7 }),
    Call::KCenterGreedyAddCenter(GREEDY),
    Call::KMeansPlusPlusMeasure(START),
    Call::KMeansPlusPlusDraw(START),
    Call::KMeansAssign(MEANS),
    Call::KMeansUpdate(MEANS),
    Call::KMeansCheckConvergence(MEANS),
    Call::ConfusionForward(confusion::Params { len: 105, ignore_label: 255, threshold: 0.5 }),
    Call::AllcloseCount(allclose::Params { len: 105, slices: 2, atol: 0.25, rtol: 0.125 }),
];

/// FNV-1a over the bits of numbers as `f64`, which holds every `f32`.
struct Hash(u64);

impl Hash {
    fn word(&mut self, word: u64) {
        for byte in word.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

/// From 1/8 to 9/8: roots and logarithms exist, so that no result is a NaN, whose bits nobody promises.
fn number<T: Real>(rng: &mut Xoshiro256PlusPlus) -> T {
    // 24 bits are exact at both precisions.
    T::from_f64(f64::from(rng.next_u32() >> 8) / f64::from(1u32 << 24) + 0.125)
}

/// Runs a pass. An error is a pass that refuses; `false` a result that is not a number.
fn run<T: Real>(call: &Call, number_of: u64, hash: &mut Hash) -> Result<bool, Error> {
    let mut rng = stream(1, Purpose::Test, number_of, 0);
    let mut floats = [[T::ZERO; LONGEST]; BUFFERS];
    for float in floats.as_flattened_mut() {
        *float = number(&mut rng);
    }
    // One pick, and it is row 0; labels, clusters and positions of maxima that exist.
    let mut uints = [[0; LONGEST]; BUFFERS];
    for buffer in &mut uints {
        buffer.iter_mut().enumerate().for_each(|(i, uint)| *uint = 1 - i as u32 % 2);
    }

    let signature = call.signature();
    let (reads, writes) = (signature.reads.len(), signature.writes.len());
    let (read_floats, written_floats) = floats.split_at_mut(reads);
    let (read_uints, written_uints) = uints.split_at_mut(reads);
    let arg = |i: usize| match signature.reads[i.min(reads - 1)] {
        (name, Element::Float) => Arg::Float(&read_floats[i][..call.len(name)]),
        (name, Element::Uint) => Arg::Uint(&read_uints[i][..call.len(name)]),
    };
    let mut args = [Arg::Uint(&[]); BUFFERS];
    args.iter_mut().enumerate().take(reads).for_each(|(i, to)| *to = arg(i));
    let mut args_mut: [ArgMut<'_, T>; BUFFERS] = core::array::from_fn(|_| ArgMut::Uint(&mut []));
    let memory = written_floats.iter_mut().zip(written_uints.iter_mut());
    for ((to, &(name, element)), (floats, uints)) in
        args_mut.iter_mut().zip(signature.writes).zip(memory)
    {
        *to = match element {
            Element::Float => ArgMut::Float(&mut floats[..call.len(name)]),
            Element::Uint => ArgMut::Uint(&mut uints[..call.len(name)]),
        };
    }
    call.reference(&args[..reads], &mut args_mut[..writes])?;
    let mut finite = true;
    for written in &args_mut[..writes] {
        match written {
            ArgMut::Float(values) => {
                for value in values.iter() {
                    let value = value.to_f64();
                    finite &= value.is_finite();
                    hash.word(value.to_bits());
                }
            }
            ArgMut::Uint(values) => values.iter().for_each(|&value| hash.word(u64::from(value))),
        }
    }
    Ok(finite)
}

/// The hash over all passes at both precisions; `None` if a pass refuses or gives what is no number.
pub(crate) fn hash() -> Option<u64> {
    let mut hash = Hash(0xcbf2_9ce4_8422_2325);
    for (i, call) in CALLS.iter().enumerate() {
        let finite = run::<f32>(call, i as u64, &mut hash).ok()?
            && run::<f64>(call, i as u64, &mut hash).ok()?;
        if !finite {
            return None;
        }
    }
    Some(hash.0)
}
