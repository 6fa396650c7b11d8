//! What is read and written: volumes, phantoms, pools of patches, objects of segmentations, and
//! files that survive a crash.

#[cfg(feature = "files")]
pub mod files;
#[cfg(feature = "zarr")]
pub mod instances;
#[cfg(feature = "files")]
pub(crate) mod one_or_many;
pub mod phantom;
pub mod pool;
pub mod shared_pixels;
pub mod volume;
#[cfg(feature = "zarr")]
pub(crate) mod zarr_files;
