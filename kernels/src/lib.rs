//! The numerics of askem: every operation of its network, its scores and its geometry.
//!
//! Each op has a file: its `Params`, references that are generic over the scalar
//! and define what is correct, and, under `fast`, f32 forms for training on a CPU. The crate
//! knows nothing of GPUs, files or the protocol, and needs neither `std` nor an allocator.

#![cfg_attr(not(feature = "std"), no_std)]

pub mod call;
#[cfg(feature = "std")]
pub mod channels_last;
pub mod error;
pub mod real;
pub mod rng;
pub mod shape;
pub mod tolerance;

// The network.
pub mod adam;
pub mod batch_norm;
pub mod batch_norm_relu;
pub mod batch_norm_split;
pub mod concat_channels;
pub mod conv2d;
pub mod conv2d_joined;
pub mod conv2d_norm_relu;
pub mod conv2d_split_channels;
pub mod conv2d_split_k;
pub mod conv2d_statistics;
pub mod conv_transpose2d;
pub mod conv_transpose2d_split_k;
pub mod crop;
pub mod cross_entropy;
pub mod dropout;
pub mod dropout_masks;
pub mod global_avg_pool2d;
pub mod instance_norm;
pub mod max_pool2d;
pub mod relu;
pub mod softmax;
pub mod warp;

// Scores, and what compares results.
pub mod allclose;
pub mod bald;
pub mod confusion;
pub mod entropy;
pub mod least_confidence;
pub mod patch_sum;
pub mod segmentation_head;

// Geometry.
pub mod k_center_greedy;
pub mod k_means;
pub mod k_means_plus_plus;
pub mod min_sq_dist;
pub mod pairwise_sq_dist;

#[cfg(feature = "std")]
mod par;
#[cfg(feature = "std")]
mod simd;

pub use call::{Arg, ArgMut, Call, Element, SIGNATURES, Signature};
pub use error::Error;
pub use real::Real;
pub use shape::Shape;
