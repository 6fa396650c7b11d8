//! A run that is killed or interrupted goes on with `--resume` as if nothing had happened.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;

use tempfile::{TempDir, tempdir};

use crate::program::{Call, Running, askem};
use crate::results::{assert_complete, assert_same_results, lines_so_far};

/// Trainings long enough to be caught, with dropout passes in the selection.
const SETTINGS: [&str; 24] = [
    "run",
    "--device",
    "cpu",
    "--phantom-shape",
    "2x96x96",
    "--seed",
    "10",
    "--patch",
    "32",
    "--width",
    "2",
    "--pool",
    "12",
    "--initial",
    "4",
    "--query",
    "3",
    "--iterations",
    "2",
    "--epochs",
    "300",
    "--finetune-epochs",
    "150",
    "--strategy=bald",
];

fn experiment(out: &Path) -> Call {
    askem(SETTINGS).path("--out", out)
}

/// The run that nothing disturbed.
fn undisturbed() -> &'static Path {
    static RUN: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, out) = RUN.get_or_init(|| {
        let folder = tempdir().unwrap();
        let out = folder.path().join("whole");
        experiment(&out).succeed();
        (folder, out)
    });
    out
}

/// A moment of a run, told by its files and a delay after them.
type Moment = (&'static str, fn(&Path) -> bool, u64);

const MOMENTS: [Moment; 10] = [
    ("at once", |_| true, 0),
    ("before the settings", |_| true, 5),
    ("the directory is made", |out| out.exists(), 0),
    ("the settings are written", |out| out.join("config.toml").exists(), 0),
    ("the first training", |out| out.join("config.toml").exists(), 900),
    ("the first training has ended", |out| out.join("checkpoint.safetensors").exists(), 0),
    ("the first line", |out| lines_so_far(out) >= 1, 0),
    ("the second training", |out| lines_so_far(out) >= 1, 150),
    ("the second line", |out| lines_so_far(out) >= 2, 20),
    ("the last line", |out| lines_so_far(out) >= 3, 0),
];

fn reach(running: &mut Running, out: &Path, (_, there, delay): Moment) -> bool {
    let alive = running.until(|| there(out));
    sleep(Duration::from_millis(delay));
    alive
}

#[test]
fn a_killed_run_ends_as_if_it_had_not_been() {
    let mut caught = 0;
    for moment in MOMENTS {
        let folder = tempdir().unwrap();
        let out = folder.path().join("run");
        let mut running = experiment(&out).start();
        caught += usize::from(reach(&mut running, &out, moment));
        running.kill();
        experiment(&out).args(["--resume"]).succeed();
        assert_same_results(undisturbed(), &out);
        assert_complete(&out);
    }
    // A machine may be too fast for one or the other moment, but not for most.
    assert!(caught >= 7, "only {caught} of {} kills came before the end", MOMENTS.len());
}

#[test]
fn a_run_survives_many_kills() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    experiment(&out).start().kill();
    for moment in MOMENTS {
        let mut running = experiment(&out).args(["--resume"]).start();
        reach(&mut running, &out, moment);
        running.kill();
    }
    // The directory knows its settings by now.
    askem(["run", "--device", "cpu", "--resume"]).path("--out", &out).succeed();
    assert_same_results(undisturbed(), &out);
    assert_complete(&out);
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_says_how_to_go_on() {
    let mut caught = 0;
    // Lines of the journal to wait for, and milliseconds after them.
    for (lines, delay) in [(0, 100), (1, 0), (1, 150)] {
        let folder = tempdir().unwrap();
        let out = folder.path().join("run");
        let mut running = experiment(&out).args(["--json"]).start();
        // From here on the program catches the signal.
        running.until_said("Estimated time");
        running.until(|| lines_so_far(&out) >= lines);
        sleep(Duration::from_millis(delay));
        running.interrupt();
        let outcome = running.wait();
        assert_eq!(outcome.json_lines().len(), lines_so_far(&out));
        if outcome.code != Some(0) {
            assert_eq!(outcome.code, Some(130), "{outcome:#?}");
            let said = outcome.stderr.lines().last().unwrap_or_default();
            let how = format!("askem run --out {} --resume", out.display());
            assert!(said.starts_with("askem: ") && said.contains(&how), "{outcome:#?}");
            assert!(out.join("checkpoint.safetensors").exists(), "the state is saved");
            caught += 1;
        }
        askem(["run", "--device", "cpu", "--resume"]).path("--out", &out).succeed();
        assert_same_results(undisturbed(), &out);
        assert_complete(&out);
    }
    assert!(caught > 0, "every run ended before it was interrupted");
}

#[cfg(not(unix))]
#[test]
fn an_interrupted_run_says_how_to_go_on() {
    let test = "an_interrupted_run_says_how_to_go_on";
    crate::program::not_run(test, "needs a system with signals");
}

#[test]
fn other_numbers_of_threads_may_go_on() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    let mut running = experiment(&out).args(["--threads", "1"]).start();
    assert!(running.until(|| lines_so_far(&out) >= 1), "the first line comes");
    running.kill();
    experiment(&out).args(["--threads", "2", "--resume"]).succeed();
    assert_same_results(undisturbed(), &out);
}
