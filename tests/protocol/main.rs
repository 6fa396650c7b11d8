//! The protocol as a library, on the processor and on a GPU: the same weights give the same scores
//! and the same picks.
//!
//! `ASKEM_TEST_ADAPTER` is part of the adapter's name (default: the best GPU, else a software
//! driver). A machine without any adapter fails.

#[path = "../shared/adapter.rs"]
mod adapter;
mod distances;
mod experiments;
mod ignored;
mod odd_sizes;
mod paper;
mod picks;
mod rounds;
mod scores;
mod stopping;
mod training;
mod world;
