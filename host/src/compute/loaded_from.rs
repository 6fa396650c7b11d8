//! The file that holds this code. What is known of a device is known for one build of it.

use std::path::PathBuf;
use std::sync::OnceLock;

static LIBRARY: OnceLock<PathBuf> = OnceLock::new();

/// Says that this code was loaded from a library, as Python's modules are: the program that runs is
/// then another file. What was said first counts.
pub fn set_library(path: PathBuf) {
    let _ = LIBRARY.set(path);
}

/// That library, else the file of the program that runs.
#[cfg(all(feature = "files", feature = "gpu"))]
pub(crate) fn file() -> Option<PathBuf> {
    LIBRARY.get().cloned().or_else(|| std::env::current_exe().ok())
}
