//! Real electron microscopy. It is not part of the project: `ASKEM_TEST_DATA` names the folder that
//! holds it, and where it is unset each test says by name that it was not run.

use std::path::PathBuf;

use tempfile::tempdir;

use crate::program::{askem, not_run};
use crate::results::{assert_complete, count, journal, number, read_tiff};

/// Raw sections and masks of the VNC volume, or a line that says which test was not run.
fn vnc(test: &str) -> Option<(PathBuf, PathBuf)> {
    let Some(root) = std::env::var_os("ASKEM_TEST_DATA") else {
        not_run(test, "set ASKEM_TEST_DATA");
        return None;
    };
    let vnc = PathBuf::from(root).join("vnc");
    let (raw, labels) = (vnc.join("raw"), vnc.join("mitochondria"));
    assert!(raw.is_dir() && labels.is_dir(), "{}: no raw and mitochondria there", vnc.display());
    Some((raw, labels))
}

#[test]
fn inspect_finds_the_published_share_of_mitochondria() {
    let Some((raw, labels)) = vnc("inspect_finds_the_published_share_of_mitochondria") else {
        return;
    };
    let call = askem(["inspect", "--json"]).path("--raw", &raw).path("--labels", &labels);
    let found = call.succeed().json();
    assert_eq!(found["shape"], serde_json::json!([20, 1024, 1024]));
    assert_eq!(format!("{:.4}", number(&found, "foreground")), "0.0539");
}

#[test]
fn a_tiny_run_on_real_sections() {
    let Some((raw, labels)) = vnc("a_tiny_run_on_real_sections") else { return };
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    let options = ["run", "--device", "cpu", "--split", "y", "--patch", "128", "--width", "1"];
    let call = askem(options).args(["--pool", "12", "--initial", "4", "--query", "4"]);
    let call = call.args(["--iterations", "1", "--epochs", "2", "--finetune-epochs", "1"]);
    call.path("--raw", &raw).path("--labels", &labels).path("--out", &out).succeed();
    assert_complete(&out);
    let lines = journal(&out);
    assert_eq!(lines.iter().map(|l| count(l, "labelled")).collect::<Vec<_>>(), [4, 8]);
    for pick in lines[0]["picked"].as_array().unwrap() {
        assert!(count(pick, "y") + 128 <= 512, "trains on the first half: {pick}");
    }
    let pages = read_tiff(&out.join("segmentation.tif"));
    assert_eq!(pages.len(), 20);
    assert!(pages.iter().all(|(size, _)| *size == [512, 1024]));
}
