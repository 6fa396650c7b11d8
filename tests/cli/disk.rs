//! Bytes are on the disk before a file has its name, and the name is when the work goes on.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::tempdir;

use crate::images::phantom_folders;
use crate::program::{binary, not_run};
use crate::results::TINY;

/// A system call that matters here, of one thread.
#[derive(Debug)]
enum Called {
    Synced(String),
    Renamed(String, String),
}

/// The calls of a command by thread, or nothing where calls can't be traced.
fn traced(log: &Path, arguments: &[&str]) -> Option<Vec<(String, Called)>> {
    let calls = "trace=fsync,fdatasync,rename,renameat,renameat2";
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-s", "4096", "-e", calls, "-o"]).arg(log).arg(binary());
    strace.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !strace.status().is_ok_and(|status| status.success()) {
        return None;
    }
    let text = fs::read_to_string(log).unwrap();
    let mut all = Vec::new();
    for line in text.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if call.starts_with("fsync(") || call.starts_with("fdatasync(") {
            // The descriptor's path stands in angle brackets.
            let path = call.split(['<', '>']).nth(1).unwrap_or_default();
            all.push((thread.to_string(), Called::Synced(path.to_string())));
        } else if call.starts_with("rename") {
            let names: Vec<&str> = call.split('"').skip(1).step_by(2).collect();
            let [from, to] = names[..] else { panic!("two names are due: {line}") };
            all.push((thread.to_string(), Called::Renamed(from.to_string(), to.to_string())));
        }
    }
    Some(all)
}

/// Checks each name that was given; says how many.
fn check(all: &[(String, Called)]) -> usize {
    let mut names = 0;
    for (i, (thread, called)) in all.iter().enumerate() {
        let Called::Renamed(from, to) = called else { continue };
        let synced = |calls: &[(String, Called)], path: &str| {
            let is = |call: &Called| matches!(call, Called::Synced(synced) if synced == path);
            calls.iter().any(|(other, call)| other == thread && is(call))
        };
        let folder = Path::new(to).parent().unwrap().to_str().unwrap();
        assert!(synced(&all[i..], folder), "the name of {to} is not synchronised");
        // A whole file that is kept under another name was synchronised when it was written.
        if from.ends_with(".partial") {
            assert!(synced(&all[..i], from), "{to} has its name before its bytes are on the disk");
            names += 1;
        }
    }
    names
}

#[test]
fn names_come_after_the_bytes() {
    let test = "names_come_after_the_bytes";
    if !cfg!(target_os = "linux") {
        return not_run(test, "needs strace");
    }
    let folder = tempdir().unwrap();
    let (raw, labels) = phantom_folders(folder.path());
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let (raw, labels) = (raw.to_str().unwrap(), labels.to_str().unwrap());
    let (run, log) = (at("run"), folder.path().join("log"));
    let mut arguments = vec!["run", "--raw", raw, "--labels", labels, "--out", &run];
    arguments.extend(TINY);
    let Some(calls) = traced(&log, &arguments) else { return not_run(test, "needs strace") };
    // Settings, checkpoints, weights, the report and its figures.
    assert!(check(&calls) > 10, "{calls:?}");
    let synced = |call: &(String, Called)| matches!(&call.1, Called::Synced(path) if path.ends_with("/journal.jsonl"));
    assert_eq!(calls.iter().filter(|call| synced(call)).count(), 3, "each line of the journal");
    let weights = at("run/weights.safetensors");
    let [store, image, tiff] = ["s.zarr", "p.zarr", "p.tif"].map(at);
    let from = ["--raw", raw, "--weights", &weights, "--device", "cpu", "--out"];
    for (command, out, least) in
        [("score", &store, 5), ("predict", &image, 3), ("predict", &tiff, 1)]
    {
        let arguments = [&[command][..], &from, &[out]].concat();
        let calls = traced(&log, &arguments).expect("the first command was traced");
        assert!(check(&calls) >= least, "{command}: {calls:?}");
    }
}
