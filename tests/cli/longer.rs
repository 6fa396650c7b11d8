//! A run that has ended goes on with more iterations, as if it had been given them at once.

use std::fs;
use std::path::Path;

use tempfile::tempdir;

use crate::program::{Call, askem};
use crate::results::{
    ITERATIONS, TINY, assert_complete, assert_same_results, bytes, lines_so_far, tiny_phantom,
};

const RESUME: [&str; 4] = ["run", "--device", "cpu", "--resume"];

/// The tiny experiment with other numbers of iterations and epochs.
fn short(out: &Path, iterations: &str, epochs: &str) -> Call {
    let number = |option: &&str| match *option {
        "--iterations" => Some(iterations),
        "--finetune-epochs" => Some(epochs),
        _ => None,
    };
    let mut options = vec!["run", "--phantom-shape", "2x96x96"];
    for pair in TINY.chunks(2) {
        let value = number(&pair[0]).unwrap_or(pair[1]);
        options.extend([pair[0], value]);
    }
    askem(options).path("--out", out)
}

fn longer(out: &Path, iterations: &str) -> Call {
    askem(RESUME).args(["--iterations", iterations]).path("--out", out)
}

/// The same results, and the same settings.
fn assert_same(a: &Path, b: &Path) {
    assert_same_results(a, b);
    assert_complete(b);
    assert!(bytes(a, "config.toml") == bytes(b, "config.toml"));
    for i in 0..=ITERATIONS {
        let name = format!("weights/00{i}.safetensors");
        assert!(bytes(a, &name) == bytes(b, &name), "{name}");
    }
}

#[test]
fn a_longer_run_is_the_one_it_would_have_been_at_once() {
    let folder = tempdir().unwrap();
    for more in [
        &["--strategy", "entropy"][..],
        &["--strategy", "core_set", "--early-stopping", "2", "--initial-strategy", "typiclust"],
    ] {
        let whole = folder.path().join(format!("{}-whole", more[1]));
        tiny_phantom(&whole).args(more).succeed();
        for first in ["0", "1"] {
            let out = folder.path().join(format!("{}-{first}", more[1]));
            short(&out, first, "1").args(more).succeed();
            let outcome = longer(&out, "2").succeed();
            assert!(outcome.stderr.contains("the run goes on"), "{outcome:#?}");
            assert_same(&whole, &out);
        }
    }
    // All settings given again, with more iterations, say the same.
    let out = folder.path().join("again");
    short(&out, "1", "1").args(["--strategy", "entropy"]).succeed();
    tiny_phantom(&out).args(["--strategy", "entropy", "--resume"]).succeed();
    assert_same(&folder.path().join("entropy-whole"), &out);
}

#[test]
fn a_kill_on_the_way_changes_nothing() {
    let folder = tempdir().unwrap();
    let [whole, ended] = ["whole", "ended"].map(|name| folder.path().join(name));
    let slow = |out: &Path, iterations| short(out, iterations, "150");
    slow(&whole, "2").succeed();
    slow(&ended, "1").succeed();
    // The moments: the end is taken back, the line is there again, the last training runs.
    let moments: [fn(&Path) -> bool; 4] = [
        |_| true,
        |out| !out.join("weights.safetensors").exists(),
        |out| lines_so_far(out) == 1,
        |out| lines_so_far(out) == 2 && !out.join("weights.safetensors").exists(),
    ];
    for (i, moment) in moments.into_iter().enumerate() {
        let out = folder.path().join(format!("killed-{i}"));
        slow(&out, "1").succeed();
        let mut running = longer(&out, "2").start();
        running.until(|| moment(&out));
        running.kill();
        // It is known by now, or not, that the run is a longer one.
        longer(&out, "2").succeed();
        assert_same(&whole, &out);
    }
    // Taken back but not gone on with it is the short run again.
    let back = folder.path().join("back");
    slow(&back, "1").succeed();
    let journal = fs::read_to_string(back.join("journal.jsonl")).unwrap();
    let first = journal.split_inclusive('\n').next().unwrap();
    fs::write(back.join("journal.jsonl"), first).unwrap();
    fs::remove_file(back.join("weights.safetensors")).unwrap();
    askem(RESUME).path("--out", &back).succeed();
    assert_same_results(&ended, &back);
}

#[test]
fn what_would_not_only_be_longer_is_refused() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    tiny_phantom(&out).succeed();
    let before = bytes(&out, "config.toml");
    longer(&out, "1").run().refuses(2, &["2 iterations", "--iterations 1", "take back"]);
    longer(&out, "3").run().refuses(2, &["--iterations", "--pool 12"]);
    let other = longer(&out, "2").args(["--query", "2"]).run();
    other.refuses(2, &["other settings", "--iterations"]);
    assert!(bytes(&out, "config.toml") == before && out.join("weights.safetensors").exists());
    for strategy in ["clasp", "full"] {
        let out = folder.path().join(strategy);
        short(&out, "1", "1").args(["--strategy", strategy]).succeed();
        longer(&out, "2").run().refuses(2, &[strategy, "--iterations 2", "another --out"]);
    }
}
