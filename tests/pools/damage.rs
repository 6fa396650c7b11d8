//! Stores of something else, incomplete and damaged stores, and full disks: said, never used.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::program::{Call, askem};
use crate::world::{files, world};

fn copy(to: &Path) {
    for (name, bytes) in files(&world().whole()) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn copied(folder: &TempDir) -> PathBuf {
    let out = folder.path().join("copy.zarr");
    copy(&out);
    out
}

fn select(store: &Path) -> Call {
    askem(["select", "--strategy", "entropy", "--query", "3"]).args([store])
}

#[test]
fn a_store_of_something_else_is_refused_with_what_differs() {
    let folder = TempDir::new().unwrap();
    let out = copied(&folder);
    let before = files(&out);
    let refuses = |call: Call, parts: &[&str]| {
        let outcome = call.path("--out", &out).run();
        assert_eq!(outcome.code, Some(1), "{outcome:#?}");
        for part in [&["copy.zarr", "something else", "--force"], parts].concat() {
            assert!(outcome.stderr.contains(part), "`{part}`: {outcome:#?}");
        }
    };
    refuses(world().score("b"), &["weights"]);
    refuses(world().score("a").args(["--criterion", "least_confidence"]), &["criterion"]);
    refuses(world().score("a").args(["--embedding", "none"]), &["embedding"]);
    refuses(world().score_of(&world().tiff(), "a"), &["chunk"]);
    // The same shape with other pixels.
    let raw = folder.path().join("other.zarr");
    for (name, bytes) in files(&world().zarr()) {
        fs::create_dir_all(&raw).unwrap();
        let is_chunk = !name.ends_with(".zarray");
        let bytes = if is_chunk { bytes.iter().map(|b| b ^ 1).collect() } else { bytes };
        fs::write(raw.join(name), bytes).unwrap();
    }
    refuses(world().score_of(&raw, "a"), &["pixels"]);
    assert!(files(&out) == before);
    world().score("b").args(["--force"]).path("--out", &out).succeed();
    assert!(files(&out) != before);
    let outcome = world().score("b").args(["--force", "--shard", "0/2"]).path("--out", &out).run();
    assert_eq!(outcome.code, Some(2), "{outcome:#?}");
}

#[test]
fn a_folder_that_is_no_store_is_left_alone() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("thesis.txt"), "precious").unwrap();
    for force in [&[][..], &["--force"]] {
        let outcome = world().score("a").args(force).path("--out", folder.path()).run();
        assert!(outcome.stderr.contains("no store of scores"), "{outcome:#?}");
    }
    assert_eq!(fs::read_to_string(folder.path().join("thesis.txt")).unwrap(), "precious");
    select(folder.path()).run().refuses(1, &["no store of scores", "askem score"]);
}

#[test]
fn an_incomplete_store_is_not_selected_from() {
    let folder = TempDir::new().unwrap();
    let out = copied(&folder);
    fs::remove_file(out.join("scores/c/3")).unwrap();
    fs::remove_file(out.join("scores/c/7")).unwrap();
    select(&out).run().refuses(1, &["copy.zarr", "2 of 17 chunks", "askem score"]);
    world().score("a").path("--out", &out).succeed();
    select(&out).succeed();
}

#[test]
fn damaged_files_are_named() {
    for (file, cut) in [
        ("scores/c/2", true),
        ("scores/c/2", false),
        ("positions/c/2/0", false),
        ("embeddings/c/2/0", true),
    ] {
        let folder = TempDir::new().unwrap();
        let out = copied(&folder);
        let path = out.join(file);
        let mut bytes = fs::read(&path).unwrap();
        if cut {
            bytes.truncate(bytes.len() / 2);
        } else {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
        }
        fs::write(&path, bytes).unwrap();
        let strategy = if file.starts_with("emb") { "core_set" } else { "entropy" };
        let outcome = askem(["select", "--strategy", strategy, "--query", "3"]).args([&out]).run();
        outcome.refuses(1, &[file, "delete the chunk's files and run askem score again"]);
    }
    let folder = TempDir::new().unwrap();
    let out = copied(&folder);
    fs::write(out.join("zarr.json"), "{\"attributes\": {\"askem\": {\"patch\": 3}}}").unwrap();
    select(&out).run().refuses(1, &["copy.zarr", "attributes"]);
}

#[test]
fn stores_of_other_weights_or_scores_do_not_mix() {
    let folder = TempDir::new().unwrap();
    let other = folder.path().join("b.zarr");
    world().score("b").path("--out", &other).succeed();
    select(&world().whole()).args([&other]).run().refuses(1, &["b.zarr", "other weights"]);
    let whole = world().whole();
    let bald = askem(["select", "--strategy", "bald"]).args([&whole]);
    bald.run().refuses(2, &["Entropy", "--criterion bald"]);
    select(&whole).args([&whole]).run().refuses(2, &["named twice"]);
    let none = folder.path().join("none.zarr");
    world().score("a").args(["--embedding", "none"]).path("--out", &none).succeed();
    let core_set = askem(["select", "--strategy", "core_set"]).args([&none]);
    core_set.run().refuses(2, &["no embeddings"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_place_that_can_not_be_written_to_ends_the_work() {
    // As with a full disk, what a chunk needs can't be written: where its folder should be is a file.
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("blocked.zarr");
    fs::create_dir_all(out.join("scores")).unwrap();
    fs::write(out.join("scores/c"), "in the way").unwrap();
    let outcome = world().score("a").path("--out", &out).run();
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    assert!(outcome.stderr.contains("scores/c"), "{outcome:#?}");
    select(&out).run().refuses(1, &["17 of 17 chunks"]);
}
