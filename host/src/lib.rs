//! askem: a U-Net for electron microscopy that asks for as few labels as possible.
//!
//! The library trains, scores and selects on arrays; image files, plots and the
//! command line are features. Start with [`plan`] (a network as data), [`executor`] (who
//! computes it), [`train`], [`predict`] and [`protocol`].

pub mod annotator;
pub mod cost;
pub mod cpu;
pub mod device;
pub mod error;
pub mod executor;
pub mod geometry;
pub mod gpu;
pub mod model;
pub mod phantom;
pub mod plan;
pub mod pool;
pub mod precision;
pub mod predict;
pub mod protocol;
pub mod strategy;
pub mod train;
pub mod unet;
pub mod volume;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "files")]
pub mod comparison;
#[cfg(feature = "files")]
pub mod files;
#[cfg(feature = "plots")]
pub mod report;
#[cfg(feature = "files")]
pub mod run_dir;
#[cfg(feature = "zarr")]
pub mod score;
#[cfg(feature = "zarr")]
pub mod score_store;
#[cfg(feature = "zarr")]
pub mod select;
#[cfg(feature = "files")]
pub mod shard;
#[cfg(feature = "tensorboard")]
pub mod tensorboard;
#[cfg(feature = "files")]
pub mod weights;
#[cfg(feature = "zarr")]
mod zarr_files;

pub use error::{Error, Result};
