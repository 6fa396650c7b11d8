//! Image files as people have them: written into a temporary folder, read back, damaged, paired.

mod bad_input;
mod boxes;
mod files;
mod formats;
mod labels;
mod real_data;
mod write;
mod zarr;
