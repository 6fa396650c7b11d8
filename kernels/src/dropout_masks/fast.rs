//! f32 forms: those of the definition. The CPU executor draws each mask where it is needed.

pub use super::draw;
