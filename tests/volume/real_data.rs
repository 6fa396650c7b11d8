//! Real volumes. They are not part of the project: `ASKEM_TEST_DATA` names the folder that holds
//! them, and where it is unset each test says by name that it was not run.

use askem::data::volume::{LabelOptions, inspect, open_labels, open_raw, pair};
use std::io::Write;
use std::path::PathBuf;

/// The folder of a data set, or a line that says which test was not run.
fn data(test: &str, set: &str) -> Option<PathBuf> {
    let why = match std::env::var_os("ASKEM_TEST_DATA") {
        None => "ASKEM_TEST_DATA is not set".to_owned(),
        Some(root) => {
            let folder = PathBuf::from(root).join(set);
            if folder.is_dir() {
                return Some(folder);
            }
            format!("{} is not there", folder.display())
        }
    };
    // Past the harness, which swallows what a passing test prints.
    let _ = writeln!(std::io::stderr(), "NOT RUN: {test} ({why})");
    None
}

#[test]
fn vnc_has_the_published_share_of_mitochondria() {
    let Some(vnc) = data("vnc_has_the_published_share_of_mitochondria", "vnc") else { return };
    let raw = open_raw(&vnc.join("raw")).unwrap();
    let labels = open_labels(&vnc.join("mitochondria"), LabelOptions::default()).unwrap();
    let pair = pair(raw, labels).unwrap();
    assert_eq!(pair.warnings, Vec::<String>::new());
    let found = inspect(&pair.raw, Some(&pair.labels)).unwrap();
    assert_eq!((found.shape, found.dtype.name()), ([20, 1024, 1024], "u8"));
    assert_eq!((found.min, found.max), (0.0, 255.0));
    assert_eq!(format!("{:.4}", found.foreground.unwrap()), "0.0539");
    // Three of the masks have one bit per pixel; a reader that takes their 1 for black loses 18 % of
    // the foreground.
    let share = |z: usize| {
        let labels = pair.labels.read_labels(z).unwrap();
        labels.iter().filter(|&&l| l == 1).count() as f64 / labels.len() as f64
    };
    for (z, want) in [(1, 0.07076), (7, 0.05027), (18, 0.0617)] {
        assert!((share(z) - want).abs() < 1e-5, "section {z}: {}", share(z));
    }
    for what in ["mixed bit depths", "grey mask edges"] {
        assert!(found.warnings.iter().any(|w| w.contains(what)), "{:?}", found.warnings);
    }
    let _ = writeln!(std::io::stderr(), "vnc: {found:?}");
}
