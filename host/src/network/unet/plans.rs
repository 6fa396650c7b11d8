//! The network's plans: one training step, scoring, and scoring under dropout.

mod backward;
mod scoring;
mod statistics;
mod training;

use askem_kernels::{
    Call, batch_norm, concat_channels, conv_transpose2d, conv2d, crop, dropout, instance_norm,
    max_pool2d, patch_sum, relu, softmax,
};

use super::{Bank, DropoutKind, LEVELS, Norm, UNet, Unit, decoder_name};
use crate::compute::plan::{BufferId, Plan, PlanBuilder, View};

pub use scoring::{forward_plan, mc_plan, mc_plan_of};
pub use statistics::{StatisticsPlan, statistics_plan};
pub use training::{AdamOptions, TrainingPlan, labelled_patches, training_plan, training_plan_of};

/// PyTorch's `eps` of both normalisations.
const NORM_EPS: f32 = 1e-5;
/// PyTorch's `momentum` of the running statistics.
const NORM_MOMENTUM: f32 = 0.1;

/// The shared buffers that hold a network and its training state.
#[derive(Clone, Copy, Debug)]
pub struct Banks {
    /// As [`UNet::parameters`] lays them out.
    pub parameters: BufferId,
    /// As [`UNet::statistics`] lays them out; absent with instance norm.
    pub statistics: Option<BufferId>,
    /// The parameters' gradients; only in training.
    pub gradients: Option<BufferId>,
    /// Adam's first and second moments; only in training.
    pub moments: Option<(BufferId, BufferId)>,
}

/// What a forward plan leaves for the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Output {
    /// `[n, classes, h, w]`.
    Probabilities,
    /// `[n]`: the patch's sum of pixel entropies, in nats.
    Entropy,
    /// `[n]`: the patch's sum of largest probabilities.
    LeastConfidence,
    /// `[n, c]`: the bottleneck's spatial mean.
    EmbeddingMean,
    /// `[n, c, h/16, w/16]`: the bottleneck.
    EmbeddingFlat,
}

/// A forward pass without dropout: the section `forward`.
#[derive(Clone, Debug)]
pub struct ForwardPlan {
    /// The steps.
    pub plan: Plan,
    /// Input `[n, sections, h, w]`, normalised grey values.
    pub x: BufferId,
    /// What was asked for, in that order.
    pub outputs: Vec<(Output, BufferId)>,
    /// The shared buffers that hold the network.
    pub banks: Banks,
}

/// Dropout passes: run `pass` with fresh keys until all that are planned are done, then `finish`.
///
/// `sum_p` and `sum_entropy` must be zero before the first pass.
#[derive(Clone, Debug)]
pub struct McPlan {
    /// The steps.
    pub plan: Plan,
    /// Input `[n, sections, h, w]`, normalised grey values.
    pub x: BufferId,
    /// Where passes are stacked, input `[stacked, n, sections, 4]`, `u32`: for each of them the [`Site`](askem_kernels::crop::Site) of each
    /// patch, whose `z` is its number. It stays from run to run.
    pub sites: Option<BufferId>,
    /// Input `[stacked, n, 2]`, `u32`: the dropout key of each sample in each pass of the run.
    pub keys: Option<BufferId>,
    /// `[n, classes, h, w]`: probabilities summed over passes.
    pub sum_p: BufferId,
    /// `[n, h, w]`: pixel entropies summed over passes, in nats.
    pub sum_entropy: BufferId,
    /// Output `[n]`: the patch's sum of entropies of the mean (eq. 3 of the paper).
    pub entropy: BufferId,
    /// Output `[n]`: the patch's sum of mutual informations.
    pub mutual_information: BufferId,
    /// The shared buffers that hold the network.
    pub banks: Banks,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Train,
    Evaluate,
    McDropout,
    /// Normalises by the batch, and leaves its statistics as the running ones.
    Statistics {
        dropout: bool,
    },
}

impl Mode {
    fn drops(self) -> bool {
        match self {
            Self::Train | Self::McDropout => true,
            Self::Evaluate => false,
            Self::Statistics { dropout } => dropout,
        }
    }

    /// Whether batch norm takes the batch's statistics, not the running ones.
    fn measures(self) -> bool {
        matches!(self, Self::Train | Self::Statistics { .. })
    }
}

/// What a unit's backward pass needs of its forward pass.
struct SavedUnit {
    unit: Unit,
    x: View,
    conv: View,
    mean: View,
    rstd: View,
    mask: Option<View>,
    y: View,
}

struct Saved {
    encoder: Vec<[SavedUnit; 2]>,
    indices: Vec<View>,
    bottleneck: [SavedUnit; 2],
    /// From the deepest level up: the input of the transposed convolution, the block.
    decoder: Vec<(View, [SavedUnit; 2])>,
    features: View,
}

struct Net<'a> {
    net: &'a UNet,
    b: PlanBuilder,
    mode: Mode,
    n: usize,
    h: usize,
    w: usize,
    parameter_bank: Bank,
    statistic_bank: Bank,
    parameters: View,
    statistics: Option<View>,
    gradients: Option<View>,
    no_bias: View,
    x: View,
    keys: Option<View>,
    /// The bottleneck's output, if it is to be kept for the host.
    keep_bottleneck: bool,
}

impl<'a> Net<'a> {
    fn new(
        net: &'a UNet,
        mode: Mode,
        name: &str,
        section: &'static str,
        [n, h, w]: [usize; 3],
    ) -> Self {
        let mut b = PlanBuilder::new(format!("{name} {n}x{h}x{w}"), section);
        let parameter_bank = net.parameters();
        let statistic_bank = net.statistics();
        let parameters = b.shared("parameters", parameter_bank.len);
        let statistics =
            (statistic_bank.len > 0).then(|| b.shared("statistics", statistic_bank.len));
        let gradients = (mode == Mode::Train).then(|| b.shared("gradients", parameter_bank.len));
        let no_bias = b.kept("no bias", 1);
        let x = b.kept("x", n * net.sections() * h * w);
        let drops = mode.drops() && net.dropout > 0.0;
        let keys = drops.then(|| b.kept_uint("dropout keys", 2 * n));
        Self {
            net,
            b,
            mode,
            n,
            h,
            w,
            parameter_bank,
            statistic_bank,
            parameters,
            statistics,
            gradients,
            no_bias,
            x,
            keys,
            keep_bottleneck: false,
        }
    }

    fn banks(&self) -> Banks {
        Banks {
            parameters: self.parameters.buffer,
            statistics: self.statistics.map(|v| v.buffer),
            gradients: self.gradients.map(|v| v.buffer),
            moments: None,
        }
    }

    fn entry(bank: &Bank, whole: View, name: &str) -> View {
        let p = bank.get(name).unwrap_or_else(|| panic!("the network has no tensor {name}"));
        View { buffer: whole.buffer, offset: p.offset, len: p.len() }
    }

    fn parameter(&self, name: &str) -> View {
        Self::entry(&self.parameter_bank, self.parameters, name)
    }

    fn gradient(&self, name: &str) -> View {
        let gradients = self.gradients.expect("only training plans have gradients");
        Self::entry(&self.parameter_bank, gradients, name)
    }

    fn statistic(&self, name: &str) -> View {
        let statistics = self.statistics.expect("only batch norm has running statistics");
        Self::entry(&self.statistic_bank, statistics, name)
    }

    fn pixels(&self, level: usize) -> usize {
        (self.h >> level) * (self.w >> level)
    }

    fn conv_params(&self, unit: &Unit) -> conv2d::Params {
        conv2d::Params {
            n: self.n as u32,
            c_in: unit.c_in as u32,
            c_out: unit.c_out as u32,
            h: (self.h >> unit.level) as u32,
            w: (self.w >> unit.level) as u32,
            kernel: 3,
            has_bias: 0,
        }
    }

    fn batch_norm_params(&self, unit: &Unit) -> batch_norm::Params {
        batch_norm::Params {
            n: self.n as u32,
            c: unit.c_out as u32,
            hw: self.pixels(unit.level) as u32,
            eps: NORM_EPS,
            momentum: if self.mode == Mode::Train { NORM_MOMENTUM } else { 1.0 },
        }
    }

    fn instance_norm_params(&self, unit: &Unit) -> instance_norm::Params {
        instance_norm::Params {
            n: self.n as u32,
            c: unit.c_out as u32,
            hw: self.pixels(unit.level) as u32,
            eps: NORM_EPS,
        }
    }

    fn dropout_params(&self, unit: &Unit) -> dropout::Params {
        let p = f64::from(self.net.dropout);
        dropout::Params {
            n: self.n as u32,
            c: unit.c_out as u32,
            hw: self.pixels(unit.level) as u32,
            element: u32::from(self.net.dropout_kind == DropoutKind::Element),
            layer: unit.layer,
            threshold: (p * 4_294_967_296.0) as u32,
            scale: (1.0 / (1.0 - p)) as f32,
        }
    }

    /// Convolution, normalisation, dropout, ReLU.
    fn unit(&mut self, unit: &Unit, x: View) -> SavedUnit {
        let name = &unit.name;
        let len = self.n * unit.c_out * self.pixels(unit.level);
        let weight = self.parameter(&format!("{name}.conv.weight"));
        let conv = self.b.transient(format!("{name} conv"), len);
        let call = Call::Conv2dForward(self.conv_params(unit));
        self.b.step(call, &[x, weight, self.no_bias], &[conv]);

        let (normed, mean, rstd) = self.normalise(unit, conv, len);

        let (dropped, mask) = match self.keys {
            Some(keys) => {
                let params = self.dropout_params(unit);
                let call = Call::DropoutMask(params);
                let mask = self.b.transient(format!("{name} mask"), call.len("mask"));
                self.b.step(call, &[keys], &[mask]);
                let dropped = self.b.transient(format!("{name} dropout"), len);
                self.b.step(Call::DropoutForward(params), &[normed, mask], &[dropped]);
                (dropped, Some(mask))
            }
            None => (normed, None),
        };

        let y = if self.keep_bottleneck && name == "mid.1" {
            self.b.kept(name, len)
        } else {
            self.b.transient(name.clone(), len)
        };
        let relu = relu::Params { len: len as u32 };
        self.b.step(Call::ReluForward(relu), &[dropped], &[y]);
        SavedUnit { unit: unit.clone(), x, conv, mean, rstd, mask, y }
    }

    /// The normalised values, and what was subtracted and multiplied (running statistics stand
    /// for both where they are used).
    fn normalise(&mut self, unit: &Unit, conv: View, len: usize) -> (View, View, View) {
        let name = &unit.name;
        let normed = self.b.transient(format!("{name} norm"), len);
        match self.net.norm {
            Norm::Batch => {
                let params = self.batch_norm_params(unit);
                let weight = self.parameter(&format!("{name}.norm.weight"));
                let bias = self.parameter(&format!("{name}.norm.bias"));
                let running_mean = self.statistic(&format!("{name}.norm.running_mean"));
                let running_var = self.statistic(&format!("{name}.norm.running_var"));
                if !self.mode.measures() {
                    let call = Call::BatchNormForwardEval(params);
                    let reads = [conv, running_mean, running_var, weight, bias];
                    self.b.step(call, &reads, &[normed]);
                    return (normed, running_mean, running_var);
                }
                let mean = self.b.transient(format!("{name} mean"), unit.c_out);
                let rstd = self.b.transient(format!("{name} rstd"), unit.c_out);
                let writes = [mean, rstd, running_mean, running_var];
                self.b.step(Call::BatchNormStatistics(params), &[conv], &writes);
                let reads = [conv, mean, rstd, weight, bias];
                self.b.step(Call::BatchNormForward(params), &reads, &[normed]);
                (normed, mean, rstd)
            }
            Norm::Instance => {
                let params = self.instance_norm_params(unit);
                let mean = self.b.transient(format!("{name} mean"), self.n * unit.c_out);
                let rstd = self.b.transient(format!("{name} rstd"), self.n * unit.c_out);
                self.b.step(Call::InstanceNormStatistics(params), &[conv], &[mean, rstd]);
                self.b.step(Call::InstanceNormForward(params), &[conv, mean, rstd], &[normed]);
                (normed, mean, rstd)
            }
        }
    }

    fn block(&mut self, units: [Unit; 2], x: View) -> [SavedUnit; 2] {
        let first = self.unit(&units[0], x);
        let second = self.unit(&units[1], first.y);
        [first, second]
    }

    fn pool_params(&self, level: usize) -> max_pool2d::Params {
        max_pool2d::Params {
            n: self.n as u32,
            c: self.net.channels(level) as u32,
            h: (self.h >> level) as u32,
            w: (self.w >> level) as u32,
        }
    }

    fn up_params(&self, level: usize) -> conv_transpose2d::Params {
        conv_transpose2d::Params {
            n: self.n as u32,
            c_in: self.net.channels(level + 1) as u32,
            c_out: self.net.channels(level) as u32,
            h: (self.h >> (level + 1)) as u32,
            w: (self.w >> (level + 1)) as u32,
        }
    }

    fn concat_params(&self, level: usize) -> concat_channels::Params {
        let c = self.net.channels(level) as u32;
        concat_channels::Params { n: self.n as u32, c_a: c, c_b: c, hw: self.pixels(level) as u32 }
    }

    fn map_len(&self, level: usize) -> usize {
        self.n * self.net.channels(level) * self.pixels(level)
    }

    /// From the image to the bottleneck.
    fn encode(&mut self) -> (Vec<[SavedUnit; 2]>, Vec<View>, [SavedUnit; 2]) {
        let mut x = self.x;
        let (mut blocks, mut pools) = (Vec::new(), Vec::new());
        for level in 0..LEVELS {
            let block = self.block(self.net.encoder(level), x);
            let params = self.pool_params(level);
            let len = self.map_len(level) / 4;
            let y = self.b.transient(format!("pool{level}"), len);
            let indices = self.b.transient_uint(format!("pool{level} indices"), len);
            self.b.step(Call::MaxPool2dForward(params), &[block[1].y], &[y, indices]);
            blocks.push(block);
            pools.push(indices);
            x = y;
        }
        let bottleneck = self.block(self.net.bottleneck(), x);
        (blocks, pools, bottleneck)
    }

    fn forward(&mut self) -> Saved {
        let (encoder, indices, bottleneck) = self.encode();
        let mut x = bottleneck[1].y;
        let mut decoder = Vec::new();
        for level in (0..LEVELS).rev() {
            let name = decoder_name(level);
            let weight = self.parameter(&format!("{name}.up.weight"));
            let bias = self.parameter(&format!("{name}.up.bias"));
            let up = self.b.transient(format!("{name} up"), self.map_len(level));
            let call = Call::ConvTranspose2dForward(self.up_params(level));
            self.b.step(call, &[x, weight, bias], &[up]);
            let joined = self.b.transient(format!("{name} concat"), 2 * self.map_len(level));
            let call = Call::ConcatChannelsForward(self.concat_params(level));
            self.b.step(call, &[encoder[level][1].y, up], &[joined]);
            let block = self.block(self.net.decoder(level), joined);
            let input = std::mem::replace(&mut x, block[1].y);
            decoder.push((input, block));
        }
        Saved { encoder, indices, bottleneck, decoder, features: x }
    }

    fn head_params(&self) -> conv2d::Params {
        conv2d::Params {
            n: self.n as u32,
            c_in: self.net.width as u32,
            c_out: self.net.classes as u32,
            h: self.h as u32,
            w: self.w as u32,
            kernel: 1,
            has_bias: 1,
        }
    }

    fn head(&mut self, features: View) -> View {
        let logits = self.b.transient("logits", self.n * self.net.classes * self.h * self.w);
        let reads = [features, self.parameter("head.weight"), self.parameter("head.bias")];
        self.b.step(Call::Conv2dForward(self.head_params()), &reads, &[logits]);
        logits
    }

    /// Of planes that are cut out of so many, of the sizes of the plan's.
    fn crop_params(&self, n: usize, planes: usize) -> crop::Params {
        let [n, h, w, depth] = [n, self.h, self.w, planes].map(|size| size as u32);
        crop::Params { n, h, w, depth, height: h, width: w }
    }

    /// `[n, classes, h * w]`, as the ops on pixels take them.
    fn pixel_sizes(&self) -> [u32; 3] {
        [self.n as u32, self.net.classes as u32, (self.h * self.w) as u32]
    }

    fn softmax(&mut self, logits: View, p: View) {
        let [n, c, hw] = self.pixel_sizes();
        self.b.step(Call::SoftmaxForward(softmax::Params { n, c, hw }), &[logits], &[p]);
    }

    /// The sum of a map over each patch.
    fn patch_sum(&mut self, map: View, score: View) {
        let [_, _, hw] = self.pixel_sizes();
        let n = score.len as u32;
        self.b.step(Call::PatchSumForward(patch_sum::Params { n, hw }), &[map], &[score]);
    }
}
