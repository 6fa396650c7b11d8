//! The protocol of active learning: training, strategies, annotators and prediction.

pub mod annotator;
pub mod class_counts;
pub mod geometry;
pub mod predict;
pub mod protocol;
pub mod stopping;
pub mod strategy;
pub mod train;
