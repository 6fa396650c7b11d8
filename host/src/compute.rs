//! Who computes, and what: a network as a plan, and the two executors that run it.

pub mod cost;
pub mod cpu;
pub mod device;
pub mod executor;
#[cfg(feature = "gpu")]
pub mod gpu;
#[cfg(not(feature = "gpu"))]
#[path = "compute/no_gpu.rs"]
pub mod gpu;
pub mod loaded_from;
pub mod plan;
pub mod precision;
