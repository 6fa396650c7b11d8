//! Stores and images have owners: what one process writes is not mixed with another's, and only what askem wrote is removed.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Call, askem};
use crate::world::{assert_same, files, world};

fn predict(raw: &Path, out: &Path) -> Call {
    askem(["predict", "--device", "cpu"])
        .path("--raw", raw)
        .path("--weights", &world().run("a").join("weights.safetensors"))
        .path("--out", out)
}

fn copied(folder: &TempDir) -> PathBuf {
    let out = folder.path().join("copy.zarr");
    for (name, bytes) in files(&world().whole()) {
        let path = out.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    out
}

#[test]
fn an_image_is_no_store_and_a_store_no_image() {
    let folder = TempDir::new().unwrap();
    let image = folder.path().join("p.zarr");
    predict(&world().tiff(), &image).succeed();
    let before = files(&image);
    for force in [&[][..], &["--force"]] {
        let outcome = world().score("a").args(force).path("--out", &image).run();
        outcome.refuses(1, &["p.zarr", "no store of scores", "--out"]);
        assert!(!outcome.stderr.contains("--force"), "{outcome:#?}");
    }
    assert!(files(&image) == before);
    let store = copied(&folder);
    let before = files(&store);
    for force in [&[][..], &["--force"]] {
        let outcome = predict(&world().tiff(), &store).args(force).run();
        outcome.refuses(1, &["copy.zarr", "no image", "--out"]);
    }
    assert!(files(&store) == before);
}

#[test]
fn an_input_is_no_output() {
    let folder = TempDir::new().unwrap();
    let image = folder.path().join("p.zarr");
    predict(&world().tiff(), &image).succeed();
    let before = files(&image);
    let weights = world().run("a").join("weights.safetensors");
    let score = |raw: &Path| askem(["score", "--device", "cpu", "--force"]).path("--raw", raw);
    for raw in [image.clone(), image.join("s0"), folder.path().join("./p.zarr")] {
        predict(&raw, &image).args(["--force"]).run().refuses(2, &["--raw", "--out"]);
        let call = score(&raw).path("--weights", &weights).path("--out", &image);
        call.run().refuses(2, &["--raw", "--out"]);
    }
    let inside = image.join("s0/scores.zarr");
    let call = score(&image).path("--weights", &weights).path("--out", &inside);
    call.run().refuses(2, &["--raw", "--out"]);
    assert!(files(&image) == before);
}

#[test]
fn a_users_files_stay_in_a_store_that_is_started_over() {
    let folder = TempDir::new().unwrap();
    let store = copied(&folder);
    for name in ["thesis.txt", "scores/notes.txt"] {
        fs::write(store.join(name), "precious").unwrap();
    }
    world().score("b").args(["--force"]).path("--out", &store).succeed();
    for name in ["thesis.txt", "scores/notes.txt"] {
        assert_eq!(fs::read(store.join(name)).unwrap(), b"precious", "{name}");
        fs::remove_file(store.join(name)).unwrap();
    }
    let other = folder.path().join("b.zarr");
    world().score("b").path("--out", &other).succeed();
    assert_same(&store, &other);
}

/// Scoring that takes seconds for each chunk.
fn slow(run: &str, out: &Path) -> Call {
    let slowly = ["--criterion", "bald", "--mc-passes", "150", "--threads", "1"];
    world().score(run).args(slowly).path("--out", out)
}

fn chunks(store: &Path) -> usize {
    fs::read_dir(store.join("scores/c")).map_or(0, Iterator::count)
}

#[test]
fn a_store_at_work_is_not_started_over() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("owned.zarr");
    let mut first = slow("a", &out).start();
    assert!(first.until(|| chunks(&out) > 0), "the first one works");
    let other = || world().score("b").args(["--force"]).path("--out", &out);
    other().run().refuses(1, &["owned.zarr", "another askem process", "--force"]);
    assert!(chunks(&out) > 0, "nothing is removed");
    // Others of the same may join, and a kill ends the ownership.
    first.kill();
    other().succeed();
    let alone = folder.path().join("b.zarr");
    world().score("b").path("--out", &alone).succeed();
    assert_same(&out, &alone);
}

#[test]
fn a_store_that_was_deleted_by_hand_takes_nothing_from_the_old_process() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("deleted.zarr");
    let mut first = slow("a", &out).start();
    assert!(first.until(|| out.join("scores/c/0").exists()), "the first one works");
    fs::remove_dir_all(&out).unwrap();
    world().score("b").path("--out", &out).succeed();
    let outcome = first.wait();
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    assert!(outcome.stderr.contains("deleted.zarr"), "{outcome:#?}");
    let alone = folder.path().join("b.zarr");
    world().score("b").path("--out", &alone).succeed();
    assert_same(&out, &alone);
}

#[test]
fn damaged_chunks_are_computed_again() {
    let folder = TempDir::new().unwrap();
    let store = copied(&folder);
    let spoil = |name: &str, to: &dyn Fn(&mut Vec<u8>)| {
        let path = store.join(name);
        let mut bytes = fs::read(&path).unwrap();
        to(&mut bytes);
        fs::write(path, bytes).unwrap();
    };
    spoil("scores/c/2", &|bytes| bytes.clear());
    let select = askem(["select", "--strategy", "entropy", "--query", "3"]).args([&store]);
    select.run().refuses(1, &["1 of 17 chunks", "askem score"]);
    spoil("positions/c/5/0", &|bytes| bytes.truncate(bytes.len() - 3));
    spoil("embeddings/c/7/0", &|bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    fs::write(store.join("positions/c/5/.0.4194999.7.partial"), "half").unwrap();
    fs::write(store.join("scores/c/.9.4194999.7.partial"), "half").unwrap();
    let outcome = world().score("a").args(["--json"]).path("--out", &store).succeed();
    assert_eq!(outcome.json()["computed_chunks"], 3);
    assert!(outcome.stderr.contains("3 chunks were there but damaged"), "{outcome:#?}");
    assert_same(&store, &world().whole());

    let image = folder.path().join("p.zarr");
    predict(&world().tiff(), &image).succeed();
    let before = files(&image);
    let chunk = image.join("s0/c/0/0/0");
    let good = fs::read(&chunk).unwrap();
    for bytes in [&[][..], &good[..good.len() / 2]] {
        fs::write(&chunk, bytes).unwrap();
        let outcome = predict(&world().tiff(), &image).succeed();
        assert!(outcome.stderr.contains("1 chunks are there but damaged"), "{outcome:#?}");
        assert!(files(&image) == before);
    }
}

#[test]
fn what_typiclust_labelled_first_is_left_out() {
    let folder = TempDir::new().unwrap();
    let run = folder.path().join("run");
    // A run on the volume of the stores, whose pool is on no grid; its places as a list say the same as its journal.
    askem([
        "run",
        "--device",
        "cpu",
        "--patch",
        "32",
        "--width",
        "2",
        "--epochs",
        "1",
        "--initial",
        "6",
    ])
    .args(["--pool", "40", "--query", "2", "--iterations", "1", "--finetune-epochs", "1"])
    .args(["--initial-strategy", "typiclust", "--phantom-shape", "6x96x150"])
    .path("--out", &run)
    .succeed();
    let text = fs::read_to_string(run.join("journal.jsonl")).unwrap();
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let region = askem::data::pool::Region::split_y([6, 96, 150]).0;
    let pool = askem::data::pool::draw_pool(&region, 32, 40, 0).unwrap();
    let mut labelled: Vec<Value> = first["initial"]
        .as_array()
        .unwrap()
        .iter()
        .map(|index| {
            let at = pool[index.as_u64().unwrap() as usize];
            serde_json::json!({"z": at.z, "y": at.y, "x": at.x})
        })
        .collect();
    assert_eq!(labelled.len(), 6);
    labelled.extend(first["picked"].as_array().unwrap().iter().cloned());
    let list = folder.path().join("list.jsonl");
    let lines: Vec<String> = labelled.iter().map(Value::to_string).collect();
    fs::write(&list, lines.join("\n")).unwrap();
    let select = |exclude: &Path| {
        let call = askem(["select", "--json", "--strategy", "entropy", "--query", "200"]);
        let call = call.args(["--min-distance", "20"]).args([world().whole()]);
        call.path("--exclude", exclude).succeed().stdout
    };
    assert_eq!(select(&run.join("journal.jsonl")), select(&list));
}

#[test]
fn a_store_under_two_names_counts_once() {
    let select = |stores: &[PathBuf]| {
        askem(["select", "--json", "--strategy", "entropy", "--query", "9"]).args(stores).succeed()
    };
    let whole = world().whole();
    let same = whole.parent().unwrap().join(".").join(whole.file_name().unwrap());
    let twice = PathBuf::from(format!("{}/", whole.display()));
    let other = world().run("a").join("..").join(whole.file_name().unwrap());
    let alone = select(std::slice::from_ref(&whole)).stdout;
    for name in [same, twice, other] {
        let outcome = select(&[whole.clone(), name]);
        assert_eq!(outcome.stdout, alone);
    }
}
