//! A comparison that is ended takes its runs with it, and leaves nothing that is in the way of the next.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::tempdir;

use crate::program::{Call, Running, askem};
use crate::{compare, journal, undisturbed};

/// How long a run may take to save its state.
const LIMIT: Duration = Duration::from_secs(60);

/// Two runs beside each other that would take days.
fn endless(out: &Path) -> Call {
    let small = ["--phantom-shape", "4x256x256", "--patch", "32", "--width", "2", "--pool", "16"];
    let long = ["--initial", "4", "--query", "3", "--iterations", "2", "--epochs", "100000000"];
    askem(["compare", "--strategies", "random", "--seeds", "2", "--jobs", "2", "--device", "cpu"])
        .args(small)
        .args(long)
        .path("--out", out)
}

const CELLS: [&str; 2] = ["random-0", "random-1"];

fn both_train(running: &mut Running, out: &Path) {
    let settings = |cell: &&str| out.join(cell).join("config.toml").exists();
    assert!(running.until(|| CELLS.iter().all(settings)), "both runs begin");
    sleep(Duration::from_millis(300));
}

/// The directories of both runs are free within the limit, with their state saved.
fn both_end(out: &Path) {
    let clock = Instant::now();
    for cell in CELLS {
        let lock = OpenOptions::new().append(true).open(out.join(cell).join("lock")).unwrap();
        while lock.try_lock().is_err() {
            assert!(clock.elapsed() < LIMIT, "{cell} goes on alone");
            sleep(Duration::from_millis(20));
        }
        assert!(out.join(cell).join("checkpoint.safetensors").exists(), "{cell} is not saved");
    }
}

#[test]
#[cfg(unix)]
fn a_comparison_that_is_told_to_end_ends_its_runs() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("terminated");
    let mut running = endless(&out).start();
    both_train(&mut running, &out);
    let clock = Instant::now();
    running.terminate();
    let outcome = running.wait();
    assert_eq!(outcome.code, Some(130), "{outcome:#?}");
    assert!(outcome.stderr.contains("Go on with the same command"), "{outcome:#?}");
    assert!(clock.elapsed() < LIMIT);
    both_end(&out);
}

#[test]
fn a_killed_comparison_leaves_no_run_at_work() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("killed");
    let mut running = endless(&out).start();
    both_train(&mut running, &out);
    running.kill();
    both_end(&out);
}

#[test]
fn a_run_that_was_killed_before_its_report_gets_it() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("killed");
    copy(undisturbed(), &out);
    let report = out.join("random-0/report.html");
    fs::remove_file(&report).unwrap();
    let weights = out.join("clasp-1/weights.safetensors");
    let good = fs::read(&weights).unwrap();
    fs::write(&weights, &good[..good.len() - 9]).unwrap();
    let before = journal(&out.join("random-0"));
    compare(&out).succeed();
    assert!(fs::metadata(&report).unwrap().len() > 1000);
    assert!(fs::read(&weights).unwrap() == good, "damaged weights are made anew");
    assert_eq!(journal(&out.join("random-0")), before);
}

pub(crate) fn copy(from: &Path, to: &Path) {
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
