//! Pools larger than memory: scores on disk, selection from them, and work in shards.

#[cfg(feature = "zarr")]
pub mod score;
#[cfg(feature = "zarr")]
pub mod score_store;
#[cfg(feature = "zarr")]
pub mod select;
#[cfg(feature = "files")]
pub mod shard;
