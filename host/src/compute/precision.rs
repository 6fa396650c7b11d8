//! In what numbers a device computes.

use std::fmt;
use std::str::FromStr;

/// In what numbers a device computes. Weights, their gradients, sums and scores are f32 in each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// f32 throughout, as on the processor.
    #[default]
    F32,
    /// What passes from layer to layer lies in memory as f16.
    F16,
    /// That, and convolutions are done by matrix units (cooperative matrices, "tensor cores"): factors are rounded to f16,
    /// gradients after they were scaled, and products are summed in f32.
    Tensor,
}

impl Precision {
    /// All of them, the most exact first.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Tensor];
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Tensor => "tensor",
        })
    }
}

/// What `--precision` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrecisionChoice {
    /// The fastest of a hardware GPU, among those that pass the self-test on it; f32 on a processor.
    #[default]
    Auto,
    /// This one, or an error.
    Only(Precision),
}

impl FromStr for PrecisionChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = |precision: &Precision| precision.to_string() == text;
        match Precision::ALL.into_iter().find(named) {
            Some(precision) => Ok(Self::Only(precision)),
            None if text == "auto" => Ok(Self::Auto),
            None => Err("give f32, f16, tensor or auto".into()),
        }
    }
}

impl fmt::Display for PrecisionChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.pad("auto"),
            Self::Only(precision) => precision.fmt(f),
        }
    }
}
