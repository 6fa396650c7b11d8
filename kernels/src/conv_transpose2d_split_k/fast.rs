//! f32 forms: those of the definition. The CPU executor has no use for slices: its cores are few.

pub use super::{backward_weight, reduce};
