//! Does what the pages for users of other programs say to type do what they say?
//!
//! `tests/pages.py` runs their blocks. Those that need programs beyond tests/formats.txt (napari, PyTorch, webknossos) are run by
//! hand, with a Python that has them; here each of them is named as not run.

use std::path::Path;
use std::process::Command;

use crate::program::{binary, not_run};
use crate::tools::tool;

#[test]
fn pages_for_users_of_other_programs_run_as_they_are_typed() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages.py");
    let mut command = Command::new(tool("formats/bin/python"));
    command.arg(script).arg("--askem").arg(binary());
    let output = command.output().expect("Python starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let ran = said.lines().filter(|line| line.starts_with("ran ")).count();
    // All that needs no other program. More is more pages; less is a page that nobody checks.
    assert!(ran >= 30, "{ran} commands ran:\n{said}");
    for line in said.lines() {
        if let Some(what) = line.strip_prefix("NOT RUN: ") {
            not_run("interchange::pages", what);
        }
    }
}
