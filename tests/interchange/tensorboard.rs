//! Does TensorBoard read what runs write for it?

use std::path::Path;

use serde_json::{Value, json};

use crate::program::askem;
use crate::run;

const EPOCHS: [u64; 3] = [6, 4, 4];

/// A short run with three trainings, the second and third as long as each other.
fn start(out: &Path) {
    askem(["run", "--phantom-shape", "4x256x256", "--patch", "32", "--width", "2", "--seed", "3"])
        .args(["--epochs", "6", "--finetune-epochs", "4", "--initial", "6", "--query", "4"])
        .args(["--pool", "20", "--iterations", "2", "--early-stopping", "90", "--device", "cpu"])
        .args(["--tensorboard"])
        .path("--out", out)
        .succeed();
}

fn journal(out: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(out.join("journal.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn check(out: &Path) {
    let found: Value =
        serde_json::from_str(&run("read_events.py", &[&out.join("tensorboard")])).unwrap();
    let journal = journal(out);
    let curve = |key: &str| -> Vec<(u64, f64)> {
        let points = found["learning_curve"][key].as_array().unwrap();
        points.iter().map(|p| (p[0].as_u64().unwrap(), p[1].as_f64().unwrap())).collect()
    };
    for (tag, of) in [
        ("jaccard", "/jaccard"),
        ("labelled_foreground", "/labelled_foreground"),
        ("seconds/training", "/seconds/train"),
        ("seconds/evaluation", "/seconds/evaluate"),
        ("seconds/selection", "/seconds/score"),
    ] {
        let want = journal.iter().map(|line| {
            let value = line.pointer(of).unwrap().as_f64().unwrap();
            // What TensorBoard keeps has 32 bits.
            (line["labelled"].as_u64().unwrap(), f64::from(value as f32))
        });
        assert_eq!(curve(tag), want.collect::<Vec<_>>(), "{tag}: {found}");
    }
    assert_eq!(found["learning_curve"]["segmentation"], json!([[14, 128, 256, 3]]), "{found}");

    let losses = |tag: &str| -> Vec<f64> {
        let points = found["training"][tag].as_array().unwrap();
        let steps: Vec<u64> = points.iter().map(|p| p[0].as_u64().unwrap()).collect();
        assert_eq!(steps, (1..=EPOCHS.iter().sum()).collect::<Vec<_>>(), "{tag}: {found}");
        points.iter().map(|p| p[1].as_f64().unwrap()).collect()
    };
    let (training, held_out) = (losses("loss"), losses("held_out_loss"));
    let mut end = 0;
    for (line, epochs) in journal.iter().zip(EPOCHS) {
        let here = end..end + epochs as usize;
        end = here.end;
        assert_eq!(training[end - 1], f64::from(line["loss"].as_f64().unwrap() as f32));
        let best = line["best"]["epoch"].as_u64().unwrap() as usize;
        let least = f64::from(line["best"]["held_out_loss"].as_f64().unwrap() as f32);
        assert_eq!(held_out[here.clone()][best - 1], least);
        assert!(held_out[here].iter().all(|&loss| loss >= least));
    }
}

#[test]
fn tensorboard_of_other_programs_shows_what_the_journal_says() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    start(&out);
    check(&out);

    // A kill before the last iteration was in the journal: it is evaluated again, and shown once.
    let lines: Vec<String> = journal(&out).iter().map(Value::to_string).collect();
    std::fs::write(out.join("journal.jsonl"), lines[..2].join("\n") + "\n").unwrap();
    std::fs::remove_file(out.join("weights.safetensors")).unwrap();
    askem(["run", "--resume", "--device", "cpu"]).path("--out", &out).succeed();
    assert_eq!(std::fs::read_dir(out.join("tensorboard/training")).unwrap().count(), 2);
    check(&out);
}
