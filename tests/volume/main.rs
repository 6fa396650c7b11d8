//! Image files as people have them: written into a temporary folder, read back, damaged, paired.

mod bad_input;
mod boxes;
mod files;
mod formats;
mod instances;
mod labels;
mod plain_instances;
mod real_data;
#[path = "../shared/white_is_zero.rs"]
mod white_is_zero;
mod write;
mod zarr;
