//! What the Python package `askem` calls: the network, its scores, choices, and the command.
//!
//! Checks of arrays, and all of NumPy, are in `package/askem`. Sections come as bytes, and results
//! go as bytes, in the processor's order of bytes. Every call computes on a thread of its own while
//! the calling one waits for it, or for Ctrl-C (`waiting.rs`).

mod choice;
mod failure;
mod loaded;
mod section_source;
mod waiting;

use std::ffi::OsString;
use std::panic::catch_unwind;
use std::path::PathBuf;

use pyo3::prelude::*;

/// What the binary exits with where the program has a fault.
const PANICKED: u8 = 101;

/// Runs the command with these arguments, the first of which is its name, and gives its exit code.
/// `again` is a program with its first arguments that does the same.
#[pyfunction]
fn command(py: Python<'_>, arguments: Vec<OsString>, again: Vec<OsString>) -> u8 {
    py.detach(|| catch_unwind(|| askem::cli::run(arguments, Some(again))).unwrap_or(PANICKED))
}

/// Says in which file this code lies.
#[pyfunction]
fn set_library(path: PathBuf) {
    askem::compute::loaded_from::set_library(path);
}

/// Of the package askem alone; see `package/askem/_native.pyi`.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::choice::select;
    #[pymodule_export]
    use super::failure::take_notes;
    #[pymodule_export]
    use super::loaded::Loaded;
    #[pymodule_export]
    use super::{command, set_library};
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
