//! f32 forms: those of the definition. The CPU executor has no use for slices: its cores are few.

pub use super::{backward_input, forward, sum_backward_input, sum_forward};
