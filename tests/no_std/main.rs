//! The kernels need no std: a program without it links them, runs them, and gets the bits that a program with std gets.

mod bits;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use std::sync::{Mutex, PoisonError};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The builds share a folder.
static BUILDING: Mutex<()> = Mutex::new(());

fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    // What the outer cargo was told is not meant for this one.
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(name);
    }
    cargo
}

/// Writes the program's manifest and lock file, and builds it from what is already downloaded.
fn build(arguments: &[&str]) -> (Output, PathBuf) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no_std");
    fs::create_dir_all(&folder).expect("the target folder can be written");
    let program = Path::new(ROOT).join("tests/no_std/program");
    let manifest =
        fs::read_to_string(program.join("Cargo.toml.in")).expect("the manifest is there");
    let path = |path: &Path| path.to_str().expect("a path in UTF-8").replace('\\', "/");
    let manifest = manifest
        .replace("{program}", &path(&program))
        .replace("{kernels}", &path(&Path::new(ROOT).join("kernels")));
    fs::write(folder.join("Cargo.toml"), manifest).expect("it is written");
    // The same versions as the workspace, so that nothing has to be downloaded.
    fs::copy(Path::new(ROOT).join("Cargo.lock"), folder.join("Cargo.lock")).expect("it is copied");
    let output = cargo()
        .args(["build", "--release", "--offline", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(folder.join("target"))
        .args(arguments)
        .output()
        .expect("cargo starts");
    (output, folder.join("target/release/askem-no-std"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The C runtime's `main` and the C library come from the system's linker.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#[test]
fn a_program_without_std_gets_the_same_bits() {
    let _turn = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let (output, program) = build(&[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = Command::new(program).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(0), "{:?}", output.status);
    let with_std = bits::hash().expect("the kernels take the inputs");
    assert_eq!(text(&output.stdout), format!("{with_std:016x}"));
    eprintln!("with and without std: {with_std:016x}");
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[test]
fn a_program_without_std_gets_the_same_bits() {
    use std::io::Write as _;
    let why = "the program is for Linux on x86_64 and aarch64";
    writeln!(
        std::io::stderr(),
        "NOT RUN: no_std::a_program_without_std_gets_the_same_bits ({why})"
    )
    .ok();
    bits::hash().expect("the kernels take the inputs");
}

#[test]
fn every_pass_is_in_the_program() {
    let names: Vec<_> = bits::CALLS.iter().map(|call| call.signature().name).collect();
    let all: Vec<_> = askem_kernels::SIGNATURES.iter().map(|signature| signature.name).collect();
    assert_eq!(names, all);
}

/// That the program links is a proof only if it would not with std.
#[test]
fn with_std_the_program_clashes() {
    let _turn = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let (output, _) = build(&["--features", "clash"]);
    let message = text(&output.stderr);
    assert!(!output.status.success(), "a program with std linked");
    assert!(message.contains("panic_impl"), "the build fails for another reason:\n{message}");
}

/// Every crate that the kernels link, with its features.
fn linked(arguments: &[&str]) -> Vec<(String, Vec<String>)> {
    let output = cargo()
        .current_dir(ROOT)
        .args(["tree", "--offline", "-p", "askem-kernels", "--prefix", "none"])
        // What a derive macro is made of runs in the compiler and is not linked.
        .args(["-e", "normal,no-proc-macro", "-f", "{p}|{f}"])
        .args(arguments)
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let line = |line: &str| {
        let (package, features) = line.split_once('|').expect("as the format says");
        let name = package.split(' ').next().expect("a name").to_owned();
        let features = features.trim_end_matches(" (*)").split(',').map(str::to_owned);
        (name, features.filter(|f| !f.is_empty()).collect())
    };
    text(&output.stdout).lines().filter(|l| !l.is_empty()).map(line).collect()
}

#[test]
fn nothing_that_is_linked_asks_for_std() {
    let bare = linked(&["--no-default-features"]);
    let mut names: Vec<&str> = bare.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names, ["askem-kernels", "bytemuck", "libm", "rand_core", "rand_xoshiro"]);
    for (name, features) in &bare {
        let std = |f: &&String| matches!(f.as_str(), "std" | "alloc" | "default" | "rayon");
        // libm's default features choose instructions of the architecture, and bytemuck and others may have empty ones.
        let asked = features.iter().filter(|f| name != "libm" || *f != "default").find(std);
        assert_eq!(asked, None, "{name} has the features {features:?}");
    }
    // The same question with threads has another answer.
    let threads = linked(&["--features", "rayon"]);
    assert!(threads.iter().any(|(name, _)| name == "rayon"), "{threads:?}");
}
