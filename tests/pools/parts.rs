//! However the work is cut, interrupted or repeated, the store has the same bytes.

use std::fs;

use askem::pools::score_store::ScoreStore;
use tempfile::TempDir;

use crate::program::askem;
use crate::world::{ROWS, assert_same, files, world};

#[test]
fn parts_give_the_same_store_as_the_whole() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("parts.zarr");
    // Three at a time, which all make the store, and in no order.
    for parts in [[6, 2, 4], [1, 0, 7], [3, 5, 5]] {
        let started = parts.map(|part| {
            let part = format!("{part}/8");
            world()
                .score("a")
                .args(["--shard", &part, "--threads", "1"])
                .path("--out", &out)
                .start()
        });
        for running in started {
            let outcome = running.wait();
            assert_eq!(outcome.code, Some(0), "{outcome:#?}");
        }
    }
    assert_same(&out, &world().whole());
}

#[test]
fn dropout_masks_belong_to_patches_and_not_to_parts() {
    let folder = TempDir::new().unwrap();
    let [whole, parts] = ["whole.zarr", "parts.zarr"].map(|name| folder.path().join(name));
    let score =
        || world().score("a").args(["--criterion", "bald", "--mc-passes", "3", "--stride-z", "3"]);
    let done = score().args(["--json"]).path("--out", &whole).succeed().json();
    assert_eq!(done["missing_chunks"], 0);
    for part in ["1/3", "0/3", "2/3"] {
        score().args(["--shard", part]).path("--out", &parts).succeed();
    }
    assert_same(&whole, &parts);
    let other = folder.path().join("seed.zarr");
    score().args(["--seed", "9"]).path("--out", &other).succeed();
    let scores = |path| ScoreStore::open(path).unwrap().read(0, false).unwrap().scores;
    assert_ne!(scores(&whole), scores(&other));
}

#[test]
fn a_killed_part_is_gone_on_with() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("killed.zarr");
    let mut kills = 0;
    for done in [1, 4] {
        let mut running = world().score("a").args(["--threads", "1"]).path("--out", &out).start();
        let there = || fs::read_dir(out.join("scores/c")).map_or(0, Iterator::count) >= done;
        kills += usize::from(running.until(there));
        running.kill();
    }
    assert!(kills > 0, "the program was never killed in the middle");
    let done = world().score("a").args(["--json"]).path("--out", &out).succeed().json();
    assert!(done["skipped_chunks"].as_u64().unwrap() >= 1, "{done}");
    assert_eq!(done["missing_chunks"], 0);
    // What a kill left half-written has a name of its own.
    let whole = files(&world().whole());
    let mut rest = files(&out);
    rest.retain(|(name, _)| !name.to_string_lossy().ends_with(".partial"));
    assert!(rest == whole);
}

#[test]
fn a_repeated_command_computes_nothing() {
    let before = files(&world().whole());
    let done = world().score("a").args(["--json"]).path("--out", &world().whole()).succeed().json();
    assert_eq!((&done["computed_chunks"], &done["patches"]), (&0.into(), &0.into()));
    assert!(files(&world().whole()) == before);
}

#[test]
fn formats_give_the_same_scores() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("tiff.zarr");
    world().score_of(&world().tiff(), "a").path("--out", &out).succeed();
    let sorted = |path| {
        let store = ScoreStore::open(path).unwrap();
        let mut all = Vec::new();
        for chunk in 0..store.about().chunks() {
            let rows = store.read(chunk, true).unwrap();
            let dim = store.about().dim;
            let bits = rows.embeddings.chunks(dim).map(|e| e.iter().map(|v| v.to_bits()).collect());
            let bits: Vec<Vec<u16>> = bits.collect();
            let scores = rows.scores.iter().map(|s| s.to_bits());
            all.extend(rows.positions.iter().copied().zip(scores).zip(bits));
        }
        all.sort();
        all
    };
    let (tiff, zarr) = (sorted(&out), sorted(&world().whole()));
    // 6 sections, 5 rows and 9 columns of patches.
    assert_eq!(tiff.len(), 6 * 5 * 9);
    assert!(tiff == zarr);
}

#[test]
fn a_dry_run_says_the_cost_and_writes_nothing() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("none.zarr");
    let score =
        world().score("a").args(["--dry-run", "--json", "--shard", "1/2"]).path("--out", &out);
    let cost = score.succeed().json();
    let chunks = (6 * 5 * 9_u64).div_ceil(ROWS);
    assert_eq!(cost["chunks"], chunks - chunks / 2);
    for field in [
        "patches",
        "bytes_to_read",
        "bytes_to_write",
        "mvoxel_per_second",
        "seconds",
        "memory_bytes",
    ] {
        assert!(cost[field].as_f64().unwrap() > 0.0, "{field}: {cost}");
    }
    assert!(!out.exists());
}

#[test]
fn engines_say_the_part() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("engine.zarr");
    let score = || world().score("a").args(["--shard", "auto", "--json"]).path("--out", &out);
    score().run().refuses(2, &["SLURM_ARRAY_TASK_ID", "--shard I/N"]);
    let done = score()
        .env("SLURM_ARRAY_TASK_ID", "2")
        .env("SLURM_ARRAY_TASK_COUNT", "3")
        .env("SLURM_ARRAY_TASK_MIN", "1");
    let first = done.succeed().json();
    let done = score().env("HQ_TASK_ID", "0").env("ASKEM_SHARDS", "3").succeed().json();
    assert_eq!(done["skipped_chunks"], 0);
    let last = score().env("JOB_COMPLETION_INDEX", "2").env("ASKEM_SHARDS", "3").succeed().json();
    assert!(first["missing_chunks"].as_u64() > last["missing_chunks"].as_u64());
    assert_same(&out, &world().whole());
}

#[test]
fn several_devices_share_the_work() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("devices.zarr");
    // Once for the call's own part, with a device for each process.
    let score = |part: &str| {
        let devices = ["--device", "cpu", "--threads", "1", "--shard", part];
        world().score("a").args(devices).path("--out", &out)
    };
    let done = score("1/2").args(["--json"]).succeed().json();
    let chunks = (6 * 5 * 9_u64).div_ceil(ROWS);
    assert_eq!(done["computed_chunks"], chunks - chunks / 2);
    assert_eq!(done["missing_chunks"], chunks / 2);
    assert_eq!(done["device"].as_str().unwrap().matches(" and ").count(), 1, "{done}");
    let outcome = score("0/2").succeed();
    assert!(outcome.stdout.contains("the store is complete"), "{outcome:#?}");
    assert_same(&out, &world().whole());
    // What is wrong is said once, by the process that was started.
    let call = world().score("b").args(["--device", "cpu"]).path("--out", &out);
    call.run().refuses(1, &["devices.zarr", "something else: weights"]);
    // A store that was there is removed once.
    score("0/1").args(["--stride-z", "2"]).run().refuses(1, &["devices.zarr"]);
    let all = ["--device", "cpu", "--threads", "1", "--stride-z", "2", "--force"];
    world().score("a").args(all).path("--out", &out).succeed();
    let bench = askem(["bench", "select", "--pool", "10", "--dim", "2", "--query", "1"])
        .args(["--device", "cpu", "--device", "cpu"]);
    bench.run().refuses(2, &["one device"]);
}
