//! f32 forms: those of the definition. The CPU executor fuses the head in a way of its own.

pub use super::{accumulate, entropy, least_confidence};
