//! askem: a U-Net for electron microscopy that asks for as few labels as possible.
//!
//! The library trains, scores and selects on arrays; image files, plots and the
//! command line are features. Its rooms lie one above the other, and each uses only those
//! below it: [`cli`], [`annotate`], [`results`], [`pools`], [`learning`], [`network`], [`data`],
//! [`compute`]. Start with [`compute::plan`] (a network as data), [`compute::executor`]
//! (who computes it), [`learning::train`], [`learning::predict`] and
//! [`learning::protocol`].

#[cfg(feature = "annotate")]
pub mod annotate;
#[cfg(feature = "cli")]
pub mod cli;
pub mod compute;
pub mod data;
pub mod error;
pub mod learning;
pub mod network;
pub mod pools;
pub mod results;

pub use error::{Error, Result};
