//! Tells the program what it was built from: `askem --version` says so.

use std::env;
use std::process::Command;

/// What git says.
fn git(arguments: &[&str]) -> Option<String> {
    let said = Command::new("git").args(arguments).output().ok()?;
    said.status.success().then(|| String::from_utf8_lossy(&said.stdout).trim().into())
}

/// The commit, and whether something differs from it; nothing where the sources lie without their
/// history or in that of another project.
fn commit() -> Option<String> {
    let prefix = git(&["rev-parse", "--show-prefix"])?;
    (prefix == "host/").then(|| git(&["describe", "--always", "--dirty", "--abbrev=9"]))?
}

fn main() {
    // What changes the program. A commit that changes nothing of it builds nothing anew.
    for path in ["src", "Cargo.toml", "../kernels/src", "../wgsl/src", "../Cargo.lock"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let commit = commit().unwrap_or_else(|| "of no known commit".into());
    let is_on =
        |name: &&str| env::var_os(format!("CARGO_FEATURE_{}", name.to_uppercase())).is_some();
    let all = ["annotate", "cli", "files", "gpu", "hdf5", "plots", "tensorboard", "zarr"];
    let (on, off): (Vec<&str>, Vec<&str>) = all.iter().partition(|name| is_on(name));
    let without = match off.is_empty() {
        true => String::new(),
        false => format!("; without: {}", off.join(" ")),
    };
    let version = env::var("CARGO_PKG_VERSION").expect("cargo says so");
    println!("cargo::rustc-env=ASKEM_VERSION={version} ({commit})");
    println!("cargo::rustc-env=ASKEM_FEATURES={}{without}", on.join(" "));
}
