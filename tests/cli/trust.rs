//! Nothing is lost or spoilt: what a directory holds is only replaced by what was trained, and only by its own name.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::{TempDir, tempdir};

use crate::images::phantom_folders;
use crate::program::{Call, Outcome, askem};
use crate::results::{assert_complete, assert_same_results, bytes, journal, tiny, tiny_phantom};
use crate::tiny::UNSEEDED;

const CHECKPOINTS: [&str; 2] = ["checkpoint.safetensors", "checkpoint.previous.safetensors"];

fn finished() -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    tiny_phantom(&out).succeed();
    (folder, out)
}

fn resume(out: &Path) -> Outcome {
    askem(["run", "--device", "cpu", "--resume"]).path("--out", out).run()
}

fn remove(out: &Path, files: &[&str]) {
    files.iter().for_each(|file| fs::remove_file(out.join(file)).unwrap());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A run that was stopped in its last iteration: its journal lacks the last line, and it has no weights.
fn stopped(finished: &Path, out: &Path) {
    copy(finished, out);
    let text = fs::read_to_string(out.join("journal.jsonl")).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    fs::write(out.join("journal.jsonl"), lines[..lines.len() - 1].concat()).unwrap();
    remove(out, &["weights.safetensors"]);
}

#[test]
fn weights_are_only_written_of_a_network_that_was_trained() {
    let (folder, out) = finished();
    let whole = folder.path().join("whole");
    copy(&out, &whole);
    remove(&out, &["weights.safetensors", CHECKPOINTS[0], CHECKPOINTS[1]]);
    let outcome = resume(&out);
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    assert!(outcome.stderr.contains("--force"), "{outcome:#?}");
    assert!(!out.join("weights.safetensors").exists(), "of what network?");
    // A checkpoint of an earlier iteration is not the last network either.
    fs::copy(whole.join(CHECKPOINTS[1]), out.join(CHECKPOINTS[0])).unwrap();
    let outcome = resume(&out);
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    assert!(!out.join("weights.safetensors").exists(), "of an earlier network");
    // In its own place the last iteration is computed from it.
    fs::rename(out.join(CHECKPOINTS[0]), out.join(CHECKPOINTS[1])).unwrap();
    let outcome = resume(&out);
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    assert_same_results(&whole, &out);
}

#[test]
fn damaged_weights_of_a_finished_run_are_made_anew() {
    let (folder, out) = finished();
    let whole = folder.path().join("whole");
    copy(&out, &whole);
    let good = bytes(&whole, "weights.safetensors");
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 4;
    for damaged in [&good[..good.len() - 1], &good[..100], &[], &flipped] {
        fs::write(out.join("weights.safetensors"), damaged).unwrap();
        let predict = askem(["predict", "--device", "cpu"]).path("--raw", &out);
        let predict = predict.path("--weights", &out.join("weights.safetensors"));
        let predict = predict.path("--out", &folder.path().join("p.tif"));
        predict.run().refuses(1, &["weights.safetensors", "not a weights file"]);
        let outcome = resume(&out);
        assert_eq!(outcome.code, Some(0), "{outcome:#?}");
        assert!(outcome.stderr.contains("weights.safetensors"), "{outcome:#?}");
        assert_same_results(&whole, &out);
    }
    // Where nothing is left to make them from, they are not kept as if they were good.
    fs::write(out.join("weights.safetensors"), &flipped).unwrap();
    remove(&out, &CHECKPOINTS);
    let outcome = resume(&out);
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    assert!(outcome.stderr.contains("--force"), "{outcome:#?}");
}

#[test]
fn a_damaged_checkpoint_is_named_and_never_used() {
    let (folder, whole) = finished();
    let good = bytes(&whole, CHECKPOINTS[0]);
    let length = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    // In the header's length, its metadata, its table, and the numbers; and files that are cut.
    let mut damaged: Vec<Vec<u8>> = Vec::new();
    for (at, bit) in
        [(1, 0), (40, 2), (200, 0), (length, 1), (length + 900, 7), (good.len() - 2, 3)]
    {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << bit;
        damaged.push(bytes);
    }
    damaged.extend([good[..good.len() / 2].to_vec(), Vec::new()]);
    for (i, bytes) in damaged.iter().enumerate() {
        let out = folder.path().join(format!("flipped-{i}"));
        stopped(&whole, &out);
        fs::write(out.join(CHECKPOINTS[0]), bytes).unwrap();
        let outcome = resume(&out);
        assert_eq!(outcome.code, Some(0), "{i}: {outcome:#?}");
        let said = "checkpoint.safetensors is damaged";
        assert!(outcome.stderr.contains(said), "{i}: {outcome:#?}");
        assert_same_results(&whole, &out);
        assert_complete(&out);
        // Without an earlier one there is nothing to go on from.
        stopped(&whole, &out);
        fs::write(out.join(CHECKPOINTS[0]), bytes).unwrap();
        remove(&out, &[CHECKPOINTS[1]]);
        resume(&out).refuses(1, &[said, "copy of the file", "--force"]);
    }
}

#[test]
fn a_damaged_journal_changes_no_result() {
    let (folder, whole) = finished();
    let good = bytes(&whole, "journal.jsonl");
    let mut recomputed = 0;
    for i in 0..24 {
        let out = folder.path().join(format!("flipped-{i}"));
        copy(&whole, &out);
        // Evenly, so that each line is met, however long the times in it are.
        let mut bytes = good.clone();
        bytes[(2 * i + 1) * good.len() / 48] ^= 1 << (i % 8);
        fs::write(out.join("journal.jsonl"), &bytes).unwrap();
        let outcome = resume(&out);
        if outcome.code == Some(0) {
            assert_same_results(&whole, &out);
            recomputed += usize::from(outcome.stderr.contains("computed again"));
        } else {
            outcome.refuses(1, &["journal.jsonl", "line"]);
        }
    }
    assert!(recomputed > 0, "no flip met the last line");
}

#[test]
fn other_data_are_not_gone_on_with() {
    let folder = tempdir().unwrap();
    let (raw, labels) = phantom_folders(folder.path());
    let whole = folder.path().join("whole");
    tiny().path("--raw", &raw).path("--labels", &labels).path("--out", &whole).succeed();
    let check = |folder_of: &Path, what: &str| {
        let out = folder.path().join(format!("stopped-{what}"));
        stopped(&whole, &out);
        let before: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(folder_of)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        let names: Vec<PathBuf> = before.iter().map(|(path, _)| path.clone()).collect();
        // The sections change their places.
        fs::write(&names[0], &before[1].1).unwrap();
        fs::write(&names[1], &before[0].1).unwrap();
        let lines = journal(&out).len();
        resume(&out).refuses(1, &[what, "changed", "--force"]);
        assert_eq!(journal(&out).len(), lines);
        before.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
        assert_eq!(resume(&out).code, Some(0));
        assert_same_results(&whole, &out);
    };
    check(&raw, "images");
    check(&labels, "labels");
}

#[test]
fn a_run_without_its_settings_is_not_mixed_with_another() {
    let (folder, whole) = finished();
    let out = folder.path().join("stopped");
    stopped(&whole, &out);
    remove(&out, &["config.toml"]);
    let before = bytes(&out, "journal.jsonl");
    let again = |more: &[&str]| tiny_phantom(&out).args(["--resume"]).args(more).run();
    again(&["--strategy", "random"]).refuses(2, &["strategy entropy", "random", "config.toml"]);
    again(&["--lr", "0.5"]).refuses(2, &["other settings", "config.toml"]);
    assert_eq!(bytes(&out, "journal.jsonl"), before);
    let outcome = again(&[]);
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    assert_same_results(&whole, &out);
}

/// Files that a person put beside a run's.
const OTHERS: [&str; 5] = [
    "thesis.partial",
    "notes.txt",
    "figures/for-the-paper.svg",
    "details/notes.txt",
    "tensorboard/training/mine.txt",
];

#[test]
fn a_users_files_stay() {
    let (_folder, out) = finished();
    for file in OTHERS {
        let path = out.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "precious").unwrap();
    }
    // What killed processes leave goes.
    let left = [".curve.png.4194999.0.partial", ".segmentation.tif.4194999.3.partial"];
    left.iter().for_each(|name| fs::write(out.join(name), "half").unwrap());
    let stay = || assert!(OTHERS.iter().all(|file| bytes(&out, file) == b"precious"));
    tiny_phantom(&out).run().refuses(1, &["--resume", "--force"]);
    stay();
    assert!(left.iter().all(|name| out.join(name).exists()), "a refusal changes nothing");
    tiny_phantom(&out).args(["--force", "--strategy", "random"]).succeed();
    stay();
    assert!(left.iter().all(|name| !out.join(name).exists()));
    assert!(journal(&out).iter().all(|line| line["strategy"] == "random"));
}

#[test]
fn what_only_has_a_runs_names_is_left_alone() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("thesis");
    fs::create_dir_all(&out).unwrap();
    fs::write(out.join("report.html"), "precious").unwrap();
    for option in [&[][..], &["--force"], &["--resume"]] {
        tiny_phantom(&out).args(option).run().refuses(1, &["report.html", "no run"]);
    }
    fs::write(out.join("config.toml"), "[site]\n").unwrap();
    tiny_phantom(&out).args(["--force"]).run().refuses(1, &["report.html", "no run"]);
    assert_eq!(fs::read(out.join("report.html")).unwrap(), b"precious");
    assert_eq!(fs::read(out.join("config.toml")).unwrap(), b"[site]\n");
}

fn compare(out: &Path) -> Call {
    askem(["compare", "--strategies", "random", "--seeds", "1", "--phantom-shape", "4x256x256"])
        .args(UNSEEDED)
        .path("--out", out)
}

#[test]
fn a_run_and_a_comparison_do_not_share_a_directory() {
    let (folder, out) = finished();
    let before = bytes(&out, "report.html");
    compare(&out).run().refuses(1, &["a run", "--out"]);
    assert!(bytes(&out, "report.html") == before && !out.join("logs").exists());
    let compared = folder.path().join("compared");
    compare(&compared).succeed();
    let before = bytes(&compared, "report.html");
    for option in [&[][..], &["--force"], &["--resume"]] {
        tiny_phantom(&compared).args(option).run().refuses(1, &["a comparison", "--out"]);
    }
    assert!(bytes(&compared, "report.html") == before);
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("report.html"), "precious").unwrap();
    compare(&other).run().refuses(1, &["report.html", "no comparison"]);
    assert_eq!(fs::read(other.join("report.html")).unwrap(), b"precious");
}

#[test]
fn a_mistake_in_the_settings_of_a_comparison_can_be_mended() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("compared");
    let with_pool = |pool: &str| {
        let call = askem(["compare", "--strategies", "random", "--seeds", "1", "--device", "cpu"]);
        call.args(["--phantom-shape", "4x256x256", "--patch", "32", "--width", "2"])
            .args(["--initial", "4", "--query", "3", "--iterations", "1", "--epochs", "2"])
            .args(["--pool", pool])
            .path("--out", &out)
    };
    let refused = with_pool("10000000").run();
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(refused.stderr.contains("--pool 10000000"), "{refused:#?}");
    with_pool("12").succeed();
    // Now there is something to lose.
    let before = bytes(&out, "compare.toml");
    with_pool("13").run().refuses(2, &["other settings", "compare.toml"]);
    assert!(bytes(&out, "compare.toml") == before);
}

#[test]
fn an_input_is_no_output() {
    let folder = tempdir().unwrap();
    let (raw, labels) = phantom_folders(folder.path());
    let out = folder.path().join("run");
    tiny().path("--raw", &raw).path("--labels", &labels).path("--out", &out).succeed();
    let weights = out.join("weights.safetensors");
    let segmentation = out.join("segmentation.tif");
    let before = fs::read(&segmentation).unwrap();
    let predict = |raw: &Path, to: &Path| {
        let call = askem(["predict", "--device", "cpu", "--force"]).path("--raw", raw);
        call.path("--weights", &weights).path("--out", to).run()
    };
    predict(&segmentation, &segmentation).refuses(2, &["--raw", "--out", "segmentation.tif"]);
    predict(&raw, &raw.join("p.tif")).refuses(2, &["--raw", "--out"]);
    // The run's own segmentation as the labels of a run that takes its place.
    let again = tiny().path("--raw", &raw).path("--labels", &segmentation).args(["--force"]);
    again.path("--out", &out).run().refuses(2, &["--labels", "segmentation.tif", "--out"]);
    tiny()
        .path("--raw", &raw)
        .path("--labels", &labels)
        .path("--out", &raw)
        .run()
        .refuses(2, &["--raw"]);
    assert_eq!(fs::read(&segmentation).unwrap(), before);
    assert!(!raw.join("p.tif").exists() && !raw.join("lock").exists());
}

#[test]
fn force_replaces_only_a_segmentation() {
    let folder = tempdir().unwrap();
    let (raw, labels) = phantom_folders(folder.path());
    let out = folder.path().join("run");
    tiny().path("--raw", &raw).path("--labels", &labels).path("--out", &out).succeed();
    let to = folder.path().join("p.tif");
    crate::images::write_tiff::<tiff::encoder::colortype::Gray8>(&to, [1, 1], &[vec![7_u8]]);
    let before = fs::read(&to).unwrap();
    let left = folder.path().join(".p.tif.4194999.partial");
    fs::write(&left, "half").unwrap();
    let predict = |force: &[&str]| {
        let call = askem(["predict", "--device", "cpu"]).args(force).path("--raw", &raw);
        call.path("--weights", &out.join("weights.safetensors")).path("--out", &to).run()
    };
    predict(&["--force"]).refuses(2, &["p.tif", "not written by askem"]);
    assert_eq!(fs::read(&to).unwrap(), before);
    fs::remove_file(&to).unwrap();
    assert_eq!(predict(&[]).code, Some(0));
    assert!(!left.exists(), "what a killed process left is taken away");
    assert_eq!(predict(&["--force"]).code, Some(0));
}
