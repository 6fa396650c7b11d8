//! `benches/gpu.py`, which measures on a graphics card: its own tests, which need none.

use std::path::Path;
use std::process::Command;

use crate::program::not_run;

#[test]
fn a_day_with_a_graphics_card_yields_a_table() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/gpu_day/tests.py");
    let name = "a_day_with_a_graphics_card_yields_a_table";
    if !cfg!(unix) {
        return not_run(name, "the script is for Unix");
    }
    let Ok(done) = Command::new("python3").arg(&tests).output() else {
        return not_run(name, "there is no python3");
    };
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{}:\n{said}", tests.display());
}
