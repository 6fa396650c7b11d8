//! Volumes of any size: smaller than a patch, of one section, one row or one column.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::{TempDir, tempdir};
use tiff::encoder::colortype::Gray8;

use crate::images::write_tiff;
use crate::program::{Call, askem};
use crate::results::{PATCH, number, read_float_tiff, tiny, tiny_phantom};

/// Sections, rows and columns.
const SIZES: [[usize; 3]; 6] =
    [[1, 1, 1], [3, 1, 61], [2, 61, 1], [1, 40, 57], [2, 17, 40], [2, 20, 96]];

/// Grey stripes and labels of some of them.
fn volume(folder: &TempDir, name: &str, [z, y, x]: [usize; 3]) -> (PathBuf, PathBuf) {
    let size = [y as u32, x as u32];
    let section = |at: usize, value: &dyn Fn(usize) -> usize| -> Vec<u8> {
        (0..y * x).map(|i| value((i / x + 2 * (i % x) + at) / 3) as u8).collect()
    };
    let at = |kind: &str| folder.path().join(format!("{name}-{kind}.tif"));
    let grey = |i: usize| 40 + 60 * (i % 3) + i % 7;
    let raw: Vec<Vec<u8>> = (0..z).map(|at| section(at, &grey)).collect();
    let labels: Vec<Vec<u8>> = (0..z).map(|at| section(at, &|i| usize::from(i % 3 == 1))).collect();
    write_tiff::<Gray8>(&at("raw"), size, &raw);
    write_tiff::<Gray8>(&at("labels"), size, &labels);
    (at("raw"), at("labels"))
}

fn run(command: &str, raw: &Path, labels: &Path, out: &Path) -> Call {
    askem([command, "--device", "cpu", "--width", "2", "--epochs", "1", "--pool", "4"])
        .args(["--initial", "2", "--query", "1", "--iterations", "1"])
        .path("--raw", raw)
        .path("--labels", labels)
        .path("--out", out)
}

#[test]
fn sections_smaller_than_a_patch_are_segmented_scored_and_evaluated() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    tiny_phantom(&at("run")).succeed();
    let weights = at("run").join("weights.safetensors");
    for (i, shape) in SIZES.into_iter().enumerate() {
        let (raw, labels) = volume(&folder, &format!("v{i}"), shape);
        let found = askem(["inspect", "--json"]).path("--raw", &raw).succeed().json();
        assert_eq!(found["shape"], serde_json::json!(shape));
        let use_it = |command: &[&str], out: &str| {
            let call = askem(command).args(["--device", "cpu"]).path("--raw", &raw);
            call.path("--weights", &weights).path("--out", &at(out)).succeed()
        };
        let tiff = format!("p{i}.tif");
        let outcome = use_it(&["predict", "--as", "probabilities"], &tiff);
        let said = format!("{} x {} pixels are smaller", shape[1], shape[2]);
        let is_small = shape[1] < PATCH || shape[2] < PATCH;
        assert_eq!(outcome.stderr.matches(&said).count(), usize::from(is_small), "{outcome:#?}");
        let pages = read_float_tiff(&at(&tiff));
        assert_eq!(pages.len(), shape[0]);
        for (size, pixels) in pages {
            assert_eq!((size, pixels.len()), ([shape[1], shape[2]], shape[1] * shape[2]));
            assert!(pixels.iter().all(|p| (0.0..=1.0).contains(p)));
        }
        let zarr = format!("p{i}.zarr");
        use_it(&["predict"], &zarr);
        let scores = askem(["eval", "--json"]).path("--prediction", &at(&zarr));
        let scores = scores.args(["--all-foreground"]).path("--labels", &labels).succeed().json();
        assert!(scores["jaccard"].is_number(), "{scores}");
        let store = format!("s{i}.zarr");
        let outcome = use_it(&["score", "--json"], &store);
        assert_eq!(outcome.stderr.contains(&said), is_small, "{outcome:#?}");
        let columns = shape[2].saturating_sub(PATCH).div_ceil(PATCH) + 1;
        let rows = shape[1].saturating_sub(PATCH).div_ceil(PATCH) + 1;
        assert_eq!(outcome.json()["patches"], shape[0] * rows * columns);
        let best = askem(["select", "--strategy", "entropy", "--query", "1", "--json"]);
        let best = best.args([&at(&store)]).succeed().json();
        // A patch is not more uncertain than its own pixels can be.
        let most = (shape[1].min(PATCH) * shape[2].min(PATCH)) as f64 * 2.0_f64.ln();
        assert!(number(&best, "score") > 0.0 && number(&best, "score") <= most * 1.001, "{best}");
    }
}

#[test]
fn a_patch_that_does_not_fit_is_refused_with_the_largest_that_does() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("out");
    let (raw, labels) = volume(&folder, "small", [4, 40, 56]);
    let halves = ["--patch 128", "training region is only 20 x 56", "fits is --patch 16"];
    for command in ["run", "train"] {
        run(command, &raw, &labels, &out).run().refuses(2, &halves);
    }
    let compare = askem(["compare", "--device", "cpu", "--seeds", "2"]).path("--raw", &raw);
    compare.path("--labels", &labels).path("--out", &out).run().refuses(2, &halves);
    let init = askem(["init"]).args([&out]).path("--raw", &raw).run();
    init.refuses(2, &["40 x 56", "fits is --patch 32"]);
    let (row, row_labels) = volume(&folder, "row", [4, 1, 56]);
    run("run", &row, &row_labels, &out).run().refuses(2, &["0 x 56", "no patch fits"]);
    assert!(!out.exists());
    // What fits is done.
    run("train", &raw, &labels, &out).args(["--patch", "16"]).succeed();
    fs::remove_dir_all(&out).unwrap();
    askem(["init"]).args([&out]).path("--raw", &raw).args(["--patch", "32"]).succeed();
}

#[test]
fn a_test_volume_may_be_smaller_than_a_patch() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("out");
    let (raw, labels) = volume(&folder, "large", [2, 64, 64]);
    let (test_raw, test_labels) = volume(&folder, "small", [2, 1, 20]);
    let call = tiny().path("--raw", &raw).path("--labels", &labels).path("--out", &out);
    let call = call.path("--test-raw", &test_raw).path("--test-labels", &test_labels);
    let outcome = call.succeed();
    assert!(outcome.stderr.contains("the test region: its sections of 1 x 20"), "{outcome:#?}");
    let found = askem(["inspect", "--json"]).path("--raw", &out.join("segmentation.tif")).succeed();
    assert_eq!(found.json()["shape"], serde_json::json!([2, 1, 20]));
}
