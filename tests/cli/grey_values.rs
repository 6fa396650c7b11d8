//! Weights know the grey values that they were trained on.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::tempdir;
use tiff::encoder::colortype::{Gray16, Gray32Float};

use crate::images::{SIZE, phantom_folders, write_tiff};
use crate::program::{Outcome, askem};
use crate::results::{journal, number, phantom, read_float_tiff, tiny, tiny_phantom};
use crate::tiny::UNSEEDED;

fn last_jaccard(run: &Path) -> f64 {
    number(journal(run).last().unwrap(), "jaccard")
}

#[test]
fn other_units_are_said_and_scaled_if_wished() {
    let folder = tempdir().unwrap();
    let (raw, labels) = phantom_folders(folder.path());
    let run = folder.path().join("run");
    tiny().path("--raw", &raw).path("--labels", &labels).path("--out", &run).succeed();
    let weights = run.join("weights.safetensors");
    let at = |name: &str| folder.path().join(name);
    let (wide, unit) = (at("wide.tif"), at("unit.tif"));
    let pages = phantom().0;
    let each = |section: &Vec<u8>| section.iter().map(|&v| u16::from(v) * 257).collect();
    write_tiff::<Gray16>(&wide, SIZE, &pages.iter().map(each).collect::<Vec<Vec<u16>>>());
    let each = |section: &Vec<u8>| section.iter().map(|&v| f32::from(v) / 255.0).collect();
    write_tiff::<Gray32Float>(&unit, SIZE, &pages.iter().map(each).collect::<Vec<Vec<f32>>>());
    let predict = |raw: &PathBuf, name: &str, more: &[&str]| -> (Outcome, Vec<f32>) {
        let out = at(name);
        let call = askem(["predict", "--device", "cpu", "--as", "probabilities"]).args(more);
        let call = call.path("--raw", raw).path("--weights", &weights).path("--out", &out);
        let outcome = call.succeed();
        (outcome, read_float_tiff(&out).into_iter().flat_map(|page| page.1).collect())
    };
    let said = "far from those of the training";
    let (outcome, known) = predict(&raw, "known.tif", &[]);
    assert!(!outcome.stderr.contains(said), "{outcome:#?}");
    let (_, own) = predict(&raw, "own.tif", &["--normalise", "volume"]);
    for (path, name) in [(&wide, "wide"), (&unit, "unit")] {
        let (outcome, rubbish) = predict(path, &format!("{name}-as-it-is.tif"), &[]);
        assert_eq!(outcome.stderr.matches(said).count(), 1, "{outcome:#?}");
        assert!(outcome.stderr.contains("--normalise volume"), "{outcome:#?}");
        assert_ne!(rubbish, known);
        let scaled = ["--normalise", "volume"];
        let (outcome, scaled) = predict(path, &format!("{name}-scaled.tif"), &scaled);
        assert!(!outcome.stderr.contains(said), "{outcome:#?}");
        // The same image in other units is the same image, up to rounding.
        let apart = scaled.iter().zip(&own).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-3, "{name}: {apart}");
    }
    // A run says it of its test volume, and a project of another volume than its own.
    let test = |raw: &PathBuf, name: &str, more: &[&str]| {
        let call = tiny().path("--raw", &at("raw")).path("--labels", &labels).args(more);
        let call = call.path("--test-raw", raw).path("--test-labels", &labels);
        (call.path("--out", &at(name)).succeed(), last_jaccard(&at(name)))
    };
    let (outcome, of_itself) = test(&raw, "same", &[]);
    assert!(!outcome.stderr.contains(said), "{outcome:#?}");
    let (outcome, of_rubbish) = test(&wide, "other", &[]);
    assert_eq!(outcome.stderr.matches(said).count(), 1, "{outcome:#?}");
    assert!(outcome.stderr.contains("wide.tif") && of_rubbish != of_itself, "{of_rubbish}");
    let scaled = ["--normalise", "volume"];
    let (outcome, of_scaled) = test(&wide, "scaled", &scaled);
    assert!(!outcome.stderr.contains(said), "{outcome:#?}");
    // The training is of the same volume, so that its own values are the training's.
    assert!((of_scaled - of_itself).abs() < 1e-3, "{of_scaled} and {of_itself}");
    let settings = fs::read_to_string(at("scaled/config.toml")).unwrap();
    assert!(settings.contains("normalise = \"volume\""), "{settings}");
    let resumed = askem(["run", "--resume", "--device", "cpu"]);
    let outcome = resumed.path("--out", &at("scaled")).succeed();
    assert!(!outcome.stderr.contains(said), "{outcome:#?}");
    let compare = askem(["compare", "--strategies", "random", "--seeds", "1"]).args(UNSEEDED);
    let compare = compare.path("--raw", &raw).path("--labels", &labels).path("--test-raw", &wide);
    let outcome = compare.path("--test-labels", &labels).path("--out", &at("compare")).succeed();
    assert_eq!(outcome.stderr.matches(said).count(), 1, "{outcome:#?}");
    let alone = tiny_phantom(&at("alone")).args(scaled).run();
    alone.refuses(2, &["--normalise", "--test-raw"]);
    // Scoring says and does the same.
    let score = |name: &str, more: &[&str]| {
        let call = askem(["score", "--device", "cpu"]).args(more).path("--raw", &wide);
        call.path("--weights", &weights).path("--out", &at(name)).succeed()
    };
    assert_eq!(score("a.zarr", &[]).stderr.matches(said).count(), 1);
    assert!(!score("b.zarr", &["--normalise", "volume"]).stderr.contains(said));
    assert_ne!(
        fs::read(at("a.zarr/scores/c/0")).unwrap(),
        fs::read(at("b.zarr/scores/c/0")).unwrap()
    );
}
