//! The program starts. With this test here cargo builds it beside the tests of the workspace, which call it: a build of its own
//! would compile all dependencies again, with other features.

#![cfg(feature = "cli")]

use std::process::Command;

#[test]
fn it_says_its_version() {
    let output = Command::new(env!("CARGO_BIN_EXE_askem")).arg("-V").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.trim(), format!("askem {}", env!("CARGO_PKG_VERSION")));
}
