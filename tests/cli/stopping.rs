//! `askem run` with early stopping and with a budget in steps.

use std::path::Path;

use tempfile::tempdir;

use crate::program::{Call, askem};
use crate::results::{ITERATIONS, TINY, count, journal, number};

/// The tiny experiment with longer trainings.
fn longer(out: &Path) -> Call {
    let rest = ["--epochs", "30", "--finetune-epochs", "30", "--phantom-shape", "2x96x96"];
    let without_epochs = &TINY[..TINY.len() - 4];
    askem(["run"]).args(without_epochs).args(rest).path("--out", out)
}

#[test]
fn early_stopping_is_told_and_resumes() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    let settings = ["--early-stopping", "2", "--holdout", "0.5", "--lr", "0.01"];
    let outcome = longer(&out).args(settings).succeed();
    assert!(outcome.stderr.contains("at most"), "{outcome:#?}");
    assert!(outcome.stdout.lines().next().is_some_and(|head| head.contains("epochs")));
    let lines = journal(&out);
    assert_eq!(lines.len(), ITERATIONS + 1);
    for line in &lines {
        let epochs = count(line, "epochs");
        let best = count(&line["best"], "epoch");
        assert!(best >= 1 && best <= epochs && epochs <= best + 2, "{line}");
        assert!(number(&line["best"], "held_out_loss") > 0.0, "{line}");
    }
    // All is done: going on computes nothing and says the same.
    askem(["run", "--resume", "--device", "cpu"]).path("--out", &out).succeed();
    assert_eq!(journal(&out), lines);
}

#[test]
fn a_budget_in_steps_is_kept() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    longer(&out).args(["--max-steps", "1"]).succeed();
    assert!(journal(&out).iter().all(|line| count(line, "epochs") == 1));
}

#[test]
fn a_share_without_early_stopping_is_refused() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    let outcome = longer(&out).args(["--holdout", "0.5"]).run();
    assert_eq!(outcome.code, Some(2), "{outcome:#?}");
    assert!(outcome.stderr.contains("--early-stopping"), "{outcome:#?}");
    assert!(!out.exists());
}
