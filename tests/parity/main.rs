//! Parity: every shader and every fast CPU form against the reference.
//!
//! A test draws parameters, a style of numbers and a seed; [`askem::compute::device::trial`] draws the
//! buffers, guards them and judges the results. Environment:
//! - `ASKEM_CASES`: cases per pass (default 128);
//! - `ASKEM_SEED`: another sequence of cases (default 0);
//! - `ASKEM_TEST_PRECISIONS`: what of f16 and tensor the adapter must have, by commas (default: what it has is tested);
//! - `ASKEM_TEST_MATRIX_SIDE`: 8 or 16, the matrices of matrix units whatever the driver lists;
//! - `ASKEM_MEMORY_MODEL`: `plain` tries the modules for matrix units that wgpu translates;
//! - `ASKEM_TEST_ADAPTER`: part of an adapter's name (default: the best GPU, else a software driver).
//!
//! A failure prints the call, the style and the seed; `Trial::draw` with them gives the same data.

#[path = "../shared/adapter.rs"]
mod adapter;
mod complete;
mod contract;
mod distances;
mod folds;
mod guards;
mod harness;
mod judge;
mod ops;
#[path = "../shared/params.rs"]
mod params;
#[path = "../shared/passes.rs"]
mod passes;
mod races;
#[path = "../shared/settings.rs"]
mod settings;
mod tiers;
