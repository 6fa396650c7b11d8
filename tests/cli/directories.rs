//! The run directory: what may be resumed, overwritten and shared.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::{TempDir, tempdir};

use crate::program::{Outcome, askem};
use crate::results::{
    FILES, assert_complete, assert_same_results, bytes, journal, timeless, tiny_phantom,
};

/// A finished tiny run.
fn finished() -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    tiny_phantom(&out).succeed();
    (folder, out)
}

fn resume(out: &Path) -> Outcome {
    askem(["run", "--device", "cpu", "--resume"]).path("--out", out).run()
}

fn contents(out: &Path) -> Vec<Vec<u8>> {
    FILES.iter().map(|file| bytes(out, file)).collect()
}

#[test]
fn a_run_is_never_overwritten_unasked() {
    let (_folder, out) = finished();
    let before = contents(&out);
    tiny_phantom(&out).run().refuses(1, &["run", "--resume", "--force"]);
    assert_eq!(contents(&out), before);

    tiny_phantom(&out).args(["--force", "--strategy", "random"]).succeed();
    assert_complete(&out);
    assert!(journal(&out).iter().all(|line| line["strategy"] == "random"));
}

#[test]
fn a_finished_run_resumes_to_itself() {
    let (_folder, out) = finished();
    let before = contents(&out);
    let outcome = resume(&out);
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    assert_eq!(contents(&out), before);
}

#[test]
fn a_run_does_not_resume_under_other_settings() {
    let (_folder, out) = finished();
    let before = contents(&out);
    for other in [["--strategy", "random"], ["--mc-passes", "3"], ["--label-value", "4"]] {
        let outcome = tiny_phantom(&out).args(other).args(["--resume"]).run();
        outcome.refuses(2, &["other settings", "config.toml"]);
    }
    assert_eq!(contents(&out), before);
    // The same settings in full are no other settings.
    tiny_phantom(&out).args(["--resume"]).succeed();
    assert_eq!(contents(&out), before);
}

#[test]
fn nothing_to_resume_is_said() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    resume(&out).refuses(2, &["no run to resume"]);
    assert!(!out.exists());
}

#[test]
fn two_processes_do_not_share_a_directory() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    let endless = ["run", "--device", "cpu", "--phantom-shape", "2x96x96", "--patch", "32"];
    let first =
        askem(endless).args(["--seed", "10", "--width", "2", "--pool", "12", "--initial", "4"]);
    let first = first.args(["--query", "3", "--iterations", "2", "--epochs", "100000000"]);
    let mut first = first.path("--out", &out).start();
    assert!(first.until(|| out.join("config.toml").exists()), "the first one works");
    let before = bytes(&out, "config.toml");
    for option in [&[][..], &["--force"][..], &["--resume"][..]] {
        let second = match option {
            ["--resume"] => resume(&out),
            _ => tiny_phantom(&out).args(option).run(),
        };
        second.refuses(1, &["another askem process", "--out"]);
        assert_eq!(bytes(&out, "config.toml"), before);
    }
    first.kill();
    // The lock ends with its process.
    tiny_phantom(&out).args(["--force"]).succeed();
    assert_complete(&out);
}

#[test]
fn a_torn_journal_goes_on_from_its_last_whole_line() {
    let (_folder, out) = finished();
    let (_other, whole) = finished();
    let path = out.join("journal.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    // All but the last bytes of the last line.
    fs::write(&path, &text[..text.len() - 30]).unwrap();
    let outcome = resume(&out);
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    assert_same_results(&whole, &out);
    // Something that never was a line, after a whole journal.
    let torn = format!("{}{{\"iteration\":3,\"strat", fs::read_to_string(&path).unwrap());
    fs::write(&path, torn).unwrap();
    let outcome = resume(&out);
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    assert_same_results(&whole, &out);
}

#[test]
fn missing_pictures_are_made_again() {
    let (_folder, out) = finished();
    let before = contents(&out);
    for file in ["curve.svg", "curve.png", "weights.safetensors"] {
        fs::remove_file(out.join(file)).unwrap();
    }
    let outcome = resume(&out);
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    assert_eq!(contents(&out), before);
}

#[test]
fn damage_is_named() {
    let (_folder, out) = finished();
    // A journal whose last line belongs to another pool.
    let path = out.join("journal.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let first = text.lines().next().unwrap().replace("\"z\":", "\"z\":7");
    fs::write(&path, format!("{first}\n")).unwrap();
    resume(&out).refuses(1, &["journal.jsonl", "line 1", "checksum"]);
    // The same from a version that had no checksums.
    let (old, _) = first.rsplit_once(",\"checksum\"").unwrap();
    fs::write(&path, format!("{old}}}\n")).unwrap();
    let outcome = resume(&out);
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    assert!(outcome.stderr.contains("journal picked patch"), "{outcome:#?}");
    // A line that is no record.
    fs::write(&path, "{}\n").unwrap();
    resume(&out).refuses(1, &["journal.jsonl", "line 1"]);
    // The weights that the second iteration starts from are gone.
    fs::write(&path, format!("{}\n", text.lines().next().unwrap())).unwrap();
    let checkpoint = bytes(&out, "checkpoint.safetensors");
    for file in ["checkpoint.safetensors", "checkpoint.previous.safetensors"] {
        fs::remove_file(out.join(file)).unwrap();
    }
    let outcome = resume(&out);
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    assert!(outcome.stderr.contains("--force"), "{outcome:#?}");
    fs::write(out.join("checkpoint.safetensors"), &checkpoint[..checkpoint.len() / 2]).unwrap();
    resume(&out).refuses(1, &["checkpoint.safetensors", "damaged"]);
    fs::write(out.join("config.toml"), "seed = ").unwrap();
    let outcome = resume(&out);
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    assert!(outcome.stderr.contains("config.toml"), "{outcome:#?}");
}

#[test]
fn a_runs_config_file_starts_the_same_run_again() {
    let (folder, out) = finished();
    let config = out.join("config.toml");
    let again = folder.path().join("again");
    let call = askem(["run", "--device", "cpu"]).path("--config", &config);
    call.path("--out", &again).succeed();
    assert_same_results(&out, &again);

    let changed = folder.path().join("changed");
    let call = askem(["run", "--device", "cpu", "--query", "2", "--strategy", "random"]);
    call.path("--config", &config).path("--out", &changed).succeed();
    let lines = timeless(&changed);
    assert_eq!(lines[0]["strategy"], "random");
    assert_eq!(lines[0]["picked"].as_array().unwrap().len(), 2);
    assert_eq!(lines[1]["labelled"], 6);
    assert_eq!(lines[0]["loss"], timeless(&out)[0]["loss"], "the rest is as the file says");
    let text = String::from_utf8(bytes(&changed, "config.toml")).unwrap();
    assert!(text.contains("query = 2") && text.contains("strategy = \"random\""), "{text}");
    assert!(text.contains("device = \"cpu"), "{text}");
}
