//! What a run leaves behind: its directory, comparisons, reports and TensorBoard files.

#[cfg(feature = "files")]
pub mod comparison;
#[cfg(feature = "plots")]
pub mod report;
#[cfg(feature = "files")]
pub mod run_dir;
#[cfg(feature = "tensorboard")]
pub mod tensorboard;
