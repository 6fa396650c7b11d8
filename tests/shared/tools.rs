//! Where `./test.sh` leaves the tools.

use std::path::{Path, PathBuf};

/// A tool's path in the target folder.
///
/// # Panics
/// If it is not there: a check that did not run proves nothing.
pub(crate) fn tool(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a folder in target");
    let path = target.join("tools").join(name);
    assert!(
        path.exists(),
        "{} is missing: ./test.sh installs it on Debian and Ubuntu, and says elsewhere what to install",
        path.display()
    );
    path
}
