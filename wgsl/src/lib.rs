//! The operations of askem as compute shaders in WGSL.
