//! The U-Net, described once: its parameters and its plans.
//!
//! Four levels of two 3x3 convolutions, each followed by a normalisation, dropout and ReLU; 2x2
//! max-pools down, 2x2 transposed convolutions up, skips by concatenation, a 1x1 head.
//! Source: Ronneberger et al. 2015 (arXiv 1505.04597) with same-padding, as in arXiv 1911.05548.

mod plans;

use askem_kernels::rng::{Purpose, normal, stream, uniform};

use crate::compute::plan::ALIGNMENT;
use crate::error::{Error, Result};

pub use plans::{
    AdamOptions, Banks, ForwardPlan, McPlan, Output, StatisticsPlan, TrainingPlan, forward_plan,
    labelled_patches, mc_plan, mc_plan_of, statistics_plan, training_plan, training_plan_of,
};

/// Levels above the bottleneck: a patch's sides are multiples of `2^LEVELS`.
pub const LEVELS: usize = 4;

pub use crate::data::volume::PATCH_MULTIPLE;

const _: () = assert!(PATCH_MULTIPLE == 1 << LEVELS);

/// Sections on each side that a network may see.
pub const MOST_CONTEXT: usize = 4;

/// Pixels with this label are ignored by the loss.
pub const IGNORE_LABEL: u32 = 255;

/// The normalisation after each convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "files", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Norm {
    /// Over batch and space, with running statistics in evaluation.
    Batch,
    /// Over space, per sample, without parameters.
    Instance,
}

/// What dropout sets to zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "files", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum DropoutKind {
    /// Whole feature maps.
    Channel,
    /// Single values.
    Element,
}

/// What the network is, apart from its weights.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "files", derive(serde::Serialize, serde::Deserialize))]
pub struct UNet {
    /// Feature maps of the first level; they double on each level down.
    pub width: usize,
    /// Classes, of which 0 is the background.
    pub classes: usize,
    /// Neighbouring sections on each side that the network sees beside the one that it segments,
    /// at most 4.
    #[cfg_attr(feature = "files", serde(default))]
    pub context: usize,
    /// The normalisation.
    pub norm: Norm,
    /// The probability that dropout sets a value to zero, `0 <= p < 1`.
    pub dropout: f32,
    /// What dropout sets to zero.
    pub dropout_kind: DropoutKind,
}

/// What a parameter is, which decides how it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// Weights with so many inputs per output.
    Weight {
        /// Inputs that are summed into one output.
        fan_in: usize,
    },
    /// Added; starts at zero.
    Bias,
    /// A normalisation's factor or running variance; starts at one.
    One,
    /// A running mean; starts at zero.
    Zero,
}

/// A named tensor of the network, in PyTorch's layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The name in a PyTorch module's state, such as `enc0.1.conv.weight`.
    pub name: String,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// First element in its bank.
    pub offset: usize,
    /// What it is.
    pub kind: ParameterKind,
}

impl Parameter {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no elements; never so in a network.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Tensors that lie one after another in one buffer, each at a multiple of [`ALIGNMENT`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bank {
    /// In order.
    pub entries: Vec<Parameter>,
    /// Elements with the gaps.
    pub len: usize,
}

impl Bank {
    fn push(&mut self, name: String, shape: &[usize], kind: ParameterKind) {
        let entry = Parameter { name, shape: shape.to_vec(), offset: self.len, kind };
        self.len += entry.len().next_multiple_of(ALIGNMENT);
        self.entries.push(entry);
    }

    /// The tensor with this name.
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.entries.iter().find(|p| p.name == name)
    }
}

/// The values of a network: what is learnt, and batch norm's running statistics.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// As [`UNet::parameters`] lays them out.
    pub parameters: Vec<f32>,
    /// As [`UNet::statistics`] lays them out.
    pub statistics: Vec<f32>,
}

/// A convolution with its normalisation, dropout and ReLU.
#[derive(Clone, Debug)]
struct Unit {
    name: String,
    c_in: usize,
    c_out: usize,
    /// Halvings of the patch's sides.
    level: usize,
    /// Which dropout stream it uses.
    layer: u32,
}

/// Classes that a network may tell apart, background among them.
pub const MOST_CLASSES: usize = 16;

impl UNet {
    /// The network of the paper: width 16, two classes.
    pub fn paper() -> Self {
        Self {
            width: 16,
            classes: 2,
            context: 0,
            norm: Norm::Batch,
            dropout: 0.25,
            dropout_kind: DropoutKind::Channel,
        }
    }

    /// Refuses sizes that make no network.
    ///
    /// # Errors
    /// [`Error::Usage`] for a width of zero, fewer than two classes or more than [`MOST_CLASSES`], or a
    /// dropout outside `[0, 1)`.
    pub fn validate(&self) -> Result<()> {
        if self.width == 0 || self.width > 1024 {
            let got = self.width;
            return Err(Error::Usage(format!(
                "--width {got}: the network needs between 1 and 1024 feature maps on its first level"
            )));
        }
        if !(2..=MOST_CLASSES).contains(&self.classes) {
            let got = self.classes;
            return Err(Error::Usage(format!("--classes {got}: give 2 to {MOST_CLASSES}")));
        }
        if self.context > MOST_CONTEXT {
            return Err(Error::Usage(format!(
                "--context {}: give at most {MOST_CONTEXT} sections on each side",
                self.context
            )));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            let got = self.dropout;
            return Err(Error::Usage(format!("--dropout {got}: give a probability in [0, 1)")));
        }
        Ok(())
    }

    /// Refuses a patch that cannot be halved four times.
    ///
    /// # Errors
    /// [`Error::Usage`] with the nearest sizes that would do.
    pub fn validate_patch(&self, patch: usize) -> Result<()> {
        if patch == 0 || !patch.is_multiple_of(PATCH_MULTIPLE) {
            let below = (patch / PATCH_MULTIPLE).max(1) * PATCH_MULTIPLE;
            let above = (patch / PATCH_MULTIPLE + 1) * PATCH_MULTIPLE;
            return Err(Error::Usage(format!(
                "--patch {patch}: the side of a patch must be a multiple of {PATCH_MULTIPLE}, such as {below} or {above}"
            )));
        }
        Ok(())
    }

    /// Sections that the network sees: channels of its input, in order of z, the segmented one
    /// in the middle.
    pub fn sections(&self) -> usize {
        2 * self.context + 1
    }

    /// Feature maps on a level; the bottleneck is level [`LEVELS`].
    pub fn channels(&self, level: usize) -> usize {
        self.width << level
    }

    fn unit(&self, block: &str, index: usize, c_in: usize, level: usize) -> Unit {
        let block_number = match block.split_at(3) {
            ("enc", i) => i.parse().unwrap_or(0),
            ("mid", _) => LEVELS,
            (_, i) => LEVELS + 1 + i.parse::<usize>().unwrap_or(0),
        };
        Unit {
            name: format!("{block}.{index}"),
            c_in,
            c_out: self.channels(level),
            level,
            layer: (2 * block_number + index) as u32,
        }
    }

    /// The two units of a block.
    fn block(&self, name: &str, c_in: usize, level: usize) -> [Unit; 2] {
        [self.unit(name, 0, c_in, level), self.unit(name, 1, self.channels(level), level)]
    }

    fn encoder(&self, level: usize) -> [Unit; 2] {
        let c_in = if level == 0 { self.sections() } else { self.channels(level - 1) };
        self.block(&format!("enc{level}"), c_in, level)
    }

    fn bottleneck(&self) -> [Unit; 2] {
        self.block("mid", self.channels(LEVELS - 1), LEVELS)
    }

    /// The decoder's block at a level; the deepest has the name `dec0`.
    fn decoder(&self, level: usize) -> [Unit; 2] {
        self.block(&decoder_name(level), 2 * self.channels(level), level)
    }

    fn units(&self) -> Vec<Unit> {
        let encoder = (0..LEVELS).flat_map(|level| self.encoder(level));
        let decoder = (0..LEVELS).rev().flat_map(|level| self.decoder(level));
        encoder.chain(self.bottleneck()).chain(decoder).collect()
    }

    /// Everything that Adam updates.
    pub fn parameters(&self) -> Bank {
        let mut bank = Bank::default();
        for unit in self.units() {
            let Unit { name, c_in, c_out, level, .. } = &unit;
            if name.starts_with("dec") && name.ends_with(".0") {
                let up = decoder_name(*level);
                let shape = [2 * c_out, *c_out, 2, 2];
                let fan_in = ParameterKind::Weight { fan_in: 2 * c_out };
                bank.push(format!("{up}.up.weight"), &shape, fan_in);
                bank.push(format!("{up}.up.bias"), &[*c_out], ParameterKind::Bias);
            }
            let fan_in = ParameterKind::Weight { fan_in: c_in * 9 };
            bank.push(format!("{name}.conv.weight"), &[*c_out, *c_in, 3, 3], fan_in);
            if self.norm == Norm::Batch {
                bank.push(format!("{name}.norm.weight"), &[*c_out], ParameterKind::One);
                bank.push(format!("{name}.norm.bias"), &[*c_out], ParameterKind::Bias);
            }
        }
        let fan_in = ParameterKind::Weight { fan_in: self.width };
        bank.push("head.weight".into(), &[self.classes, self.width, 1, 1], fan_in);
        bank.push("head.bias".into(), &[self.classes], ParameterKind::Bias);
        bank
    }

    /// Batch norm's running statistics; empty with instance norm.
    pub fn statistics(&self) -> Bank {
        let mut bank = Bank::default();
        if self.norm == Norm::Batch {
            for Unit { name, c_out, .. } in self.units() {
                bank.push(format!("{name}.norm.running_mean"), &[c_out], ParameterKind::Zero);
                bank.push(format!("{name}.norm.running_var"), &[c_out], ParameterKind::One);
            }
        }
        bank
    }

    /// Number of learnt values.
    pub fn parameter_count(&self) -> usize {
        self.parameters().entries.iter().map(Parameter::len).sum()
    }

    /// Floating-point operations of the convolutions in one forward pass of a
    /// `patch x patch` sample, two per multiply-add.
    pub fn forward_flops(&self, patch: usize) -> f64 {
        let units: f64 = self
            .units()
            .iter()
            .map(|u| {
                let side = (patch >> u.level) as f64;
                let conv = 2.0 * 9.0 * (u.c_in * u.c_out) as f64 * side * side;
                let first = u.name.starts_with("dec") && u.name.ends_with(".0");
                // Each output pixel of a transposed convolution has one tap per input channel.
                let up = if first { 4.0 * (u.c_out * u.c_out) as f64 * side * side } else { 0.0 };
                conv + up
            })
            .sum();
        units + 2.0 * (self.width * self.classes * patch * patch) as f64
    }

    /// Fresh weights: He-normal before a ReLU, uniform in the head, ones and zeros else.
    ///
    /// Source: He et al. 2015 (arXiv 1502.01852), fan-in form.
    pub fn init(&self, seed: u64) -> Weights {
        let fill = |bank: &Bank| {
            let mut values = vec![0.0; bank.len];
            for (index, entry) in bank.entries.iter().enumerate() {
                let mut rng = stream(seed, Purpose::Weights, index as u64, 0);
                let out = &mut values[entry.offset..entry.offset + entry.len()];
                match entry.kind {
                    ParameterKind::Weight { fan_in } if entry.name.starts_with("head") => {
                        let bound = 1.0 / (fan_in as f64).sqrt();
                        out.fill_with(|| ((2.0 * uniform(&mut rng) - 1.0) * bound) as f32);
                    }
                    ParameterKind::Weight { fan_in } => {
                        let deviation = (2.0 / fan_in as f64).sqrt();
                        out.fill_with(|| (normal(&mut rng) * deviation) as f32);
                    }
                    ParameterKind::One => out.fill(1.0),
                    ParameterKind::Bias | ParameterKind::Zero => {}
                }
            }
            values
        };
        Weights { parameters: fill(&self.parameters()), statistics: fill(&self.statistics()) }
    }
}

/// `dec0` is the deepest block of the decoder.
fn decoder_name(level: usize) -> String {
    format!("dec{}", LEVELS - 1 - level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_network_has_its_size() {
        let net = UNet::paper();
        assert_eq!(net.parameter_count(), 1_942_306);
        assert!((net.forward_flops(128) / 1.507e9 - 1.0).abs() < 1e-3);
    }

    #[test]
    fn every_unit_has_its_own_dropout_stream() {
        let mut layers: Vec<u32> = UNet::paper().units().iter().map(|u| u.layer).collect();
        layers.sort_unstable();
        assert_eq!(layers, (0..18).collect::<Vec<_>>());
    }
}
