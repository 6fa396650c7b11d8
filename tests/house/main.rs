//! The order of the rooms: does code of `host/src` use only rooms below its own?

use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. A room may use those before it.
const ROOMS: [&str; 8] =
    ["compute", "data", "network", "learning", "pools", "results", "annotate", "cli"];

/// All Rust files below `folder`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder can be listed") {
        let path = entry.expect("the entry can be read").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The code of a file that users run: without comments and without its unit tests, which may
/// look anywhere.
fn without_tests(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or("")))
        .take_while(|(_, line)| !line.contains("#[cfg(test)]"))
}

/// The rooms that a line names after `crate::`.
fn named(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

/// The room that holds a file of `host/src`, or nothing for `lib.rs`, `main.rs`, `error.rs`.
fn room(file: &Path, root: &Path) -> Option<usize> {
    let first = file.strip_prefix(root).ok()?.components().next()?;
    let name = Path::new(first.as_os_str()).file_stem()?.to_str()?;
    ROOMS.iter().position(|room| *room == name)
}

/// Each line of `text`, a file of the room at `own`, that looks up.
fn looks_up(text: &str, own: usize) -> Vec<(usize, String)> {
    without_tests(text)
        .filter(|(_, line)| {
            named(line).any(|name| ROOMS.iter().position(|room| *room == name) > Some(own))
        })
        .map(|(number, line)| (number, line.trim().to_string()))
        .collect()
}

#[test]
fn rooms_use_only_rooms_below_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("host/src");
    let mut found = Vec::new();
    let mut seen = [0; ROOMS.len()];
    for file in sources(&root) {
        let Some(own) = room(&file, &root) else { continue };
        seen[own] += 1;
        if file.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        let text = fs::read_to_string(&file).expect("the source is text");
        for (number, line) in looks_up(&text, own) {
            found.push(format!("{}:{number}: {line}", file.display()));
        }
    }
    assert!(seen.iter().all(|files| *files > 0), "rooms without a file: {seen:?}");
    assert!(found.is_empty(), "these lines use a room above their own:\n{}", found.join("\n"));
}

#[test]
fn files_outside_the_rooms_are_the_doors_alone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("host/src");
    let mut outside: Vec<_> = sources(&root)
        .into_iter()
        .filter(|file| room(file, &root).is_none())
        .map(|file| file.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    outside.sort();
    assert_eq!(outside, ["error.rs", "lib.rs", "main.rs"]);
}

#[test]
fn an_arrow_up_is_seen() {
    let data = ROOMS.iter().position(|room| *room == "data").unwrap();
    let text = "use crate::compute::plan;\n// crate::cli\nfn f() { crate::cli::main(); }\n";
    assert_eq!(looks_up(text, data), [(3, "fn f() { crate::cli::main(); }".to_string())]);
    assert_eq!(looks_up("#[cfg(test)]\nuse crate::cli;", data), []);
    assert_eq!(looks_up("use crate::{error, results};", data), []);
}
