//! Options that make no experiment: one sentence, exit code 2, nothing written.

use tempfile::tempdir;

use crate::program::{Outcome, askem, not_run};
use crate::results::{TINY, tiny_phantom};

/// A tiny run with one option changed; its directory must not appear.
fn refused(option: &str, value: &str) -> Outcome {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    let mut options: Vec<&str> = TINY.to_vec();
    if let Some(at) = options.iter().position(|&o| o == option) {
        options.drain(at..at + 2);
    }
    let call = askem(["run", "--phantom-shape", "2x96x96"]).args(options);
    let outcome = call.args([option, value]).path("--out", &out).run();
    assert!(!out.exists(), "{} is left after {outcome:#?}", out.display());
    outcome
}

#[test]
fn patch_larger_than_the_section() {
    // Half of the 96 rows are for training.
    refused("--patch", "64").refuses(2, &["--patch 64", "48 x 96"]);
    refused("--patch", "1024").refuses(2, &["--patch 1024", "48 x 96"]);
}

#[test]
fn pool_larger_than_the_possible_patches() {
    // 2 sections, 17 rows, 65 columns of places.
    refused("--pool", "2211").refuses(2, &["--pool 2211", "only 2210"]);
}

#[test]
fn initial_above_the_pool() {
    refused("--initial", "13").refuses(2, &["--initial 13", "12 patches"]);
}

#[test]
fn more_queries_than_the_pool_has() {
    refused("--iterations", "3").refuses(2, &["--iterations", "--query", "--pool 12"]);
    refused("--iterations", "18446744073709551615").refuses(2, &["--iterations"]);
}

#[test]
fn patch_not_divisible_by_16() {
    refused("--patch", "40").refuses(2, &["--patch 40", "multiple of 16", "32 or 48"]);
    refused("--patch", "0").refuses(2, &["--patch 0", "multiple of 16"]);
}

#[test]
fn width_0() {
    refused("--width", "0").refuses(2, &["--width 0"]);
}

#[test]
fn zeros_where_one_is_the_least() {
    let options = ["--threads", "--initial", "--pool", "--query", "--epochs", "--finetune-epochs"];
    for option in options.into_iter().chain(["--batch-size", "--mc-passes"]) {
        refused(option, "0").refuses(2, &[&format!("{option} 0"), "at least 1"]);
    }
}

#[test]
fn numbers_beyond_every_machine() {
    for (option, value) in [
        ("--batch-size", "1000000000000"),
        ("--mc-passes", "1000000000"),
        ("--threads", "5000"),
        ("--pool", "1000000000000"),
        ("--width", "100000"),
    ] {
        refused(option, value).refuses(2, &[&format!("{option} {value}")]);
    }
    let folder = tempdir().unwrap();
    let out = folder.path().join("compared");
    let compare = askem(["compare", "--seeds", "1000000000000"]).path("--out", &out);
    compare.run().refuses(2, &["--seeds 1000000000000", "at most"]);
    assert!(!out.exists());
}

#[test]
fn a_rate_at_which_a_network_diverges() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    let call = tiny_phantom(&out).args(["--lr", "1e6"]);
    let outcome = call.run();
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    for part in ["the loss became", "diverged", "checkpoint", "--lr", "--force"] {
        assert!(outcome.stderr.contains(part), "`{part}`: {outcome:#?}");
    }
    assert!(!out.join("weights.safetensors").exists() && !out.join("journal.jsonl").exists());
    // In a later training the network of the one before is kept, and named.
    let out = folder.path().join("later");
    let call = tiny_phantom(&out).args(["--finetune-lr", "1e6"]);
    let outcome = call.run();
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    let kept = "the last good checkpoint is that of the end of iteration 0";
    assert!(outcome.stderr.contains(kept), "{outcome:#?}");
    assert!(out.join("checkpoint.safetensors").exists());
}

#[test]
fn rates_and_weights_that_are_none() {
    for value in ["0", "NaN", "inf"] {
        refused("--lr", value).refuses(2, &["--lr"]);
    }
    refused("--dropout", "1").refuses(2, &["--dropout 1", "[0, 1)"]);
    refused("--class-weights", "1").refuses(2, &["--class-weights"]);
    refused("--class-weights", "0,0").refuses(2, &["--class-weights"]);
    refused("--augment", "none,flips").refuses(2, &["--augment"]);
}

#[test]
fn unknown_strategy() {
    refused("--strategy", "entrophy").refuses(2, &["`entrophy`", "least_confidence", "core_set"]);
}

#[test]
fn raw_without_labels() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    let call = askem(["run"]).args(TINY).path("--raw", folder.path()).path("--out", &out);
    call.run().refuses(2, &["--raw", "--labels"]);
    assert!(!out.exists());
}

/// Usage that the parser of arguments refuses in its own words.
#[test]
fn words_that_are_no_options() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    for wrong in [
        &["run", "--pool", "many"][..],
        &["run", "--no-such-option"],
        &["run", "--norm", "layer"],
        &["run", "--resume", "--force"],
        &["run", "--labels", "somewhere"],
        &["run", "--test-raw", "somewhere"],
        &["run", "--phantom-shape", "2x96"],
        &["fly"],
        &[],
    ] {
        let outcome = askem(wrong).path("--out", &out).run();
        assert_eq!(outcome.code, Some(2), "{outcome:#?}");
        assert!(outcome.stdout.is_empty() && outcome.stderr.contains("--help"), "{outcome:#?}");
        assert!(!out.exists());
    }
}

#[test]
fn no_gpu() {
    if !cfg!(target_os = "linux") {
        return not_run("no_gpu", "drivers can be hidden only from Vulkan on Linux");
    }
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    let call = |device: &str| {
        let options = TINY.iter().map(|&o| if o == "cpu" { device } else { o });
        let call = askem(["run", "--phantom-shape", "2x96x96"]).args(options);
        call.path("--out", &out).without_drivers()
    };
    call("gpu").run().refuses(1, &["no GPU", "driver", "--device cpu"]);
    assert!(!out.exists());
    call("GeForce 256").run().refuses(1, &["`GeForce 256`", "--device cpu"]);
    assert!(!out.exists());
    // Without a GPU `auto` takes the processor.
    let outcome = call("auto").succeed();
    assert!(outcome.stderr.contains("cpu ("), "{outcome:#?}");
}

#[test]
fn config_files_that_are_none() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    let run = |text: Option<&str>| {
        let path = folder.path().join("my.toml");
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let outcome = tiny_phantom(&out).path("--config", &path).run();
        assert!(!out.exists(), "{outcome:#?}");
        assert!(outcome.stderr.starts_with("askem: "), "{outcome:#?}");
        assert!(outcome.stderr.contains("my.toml"), "{outcome:#?}");
        outcome
    };
    run(None).refuses(1, &["my.toml", "--config"]);
    let unknown = run(Some("[experiment]\npools = 12\n"));
    assert_eq!(unknown.code, Some(2), "{unknown:#?}");
    assert!(unknown.stderr.contains("pools"), "{unknown:#?}");
    let broken = run(Some("[experiment\n"));
    assert_eq!(broken.code, Some(2), "{broken:#?}");
}
