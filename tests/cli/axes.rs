//! Files whose axes are in another order, through every command that reads volumes.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::tempdir;
use tiff::encoder::colortype::Gray8;

use crate::images::{SIZE, masks, phantom_folders, write_tiff};
use crate::program::askem;
use crate::results::{assert_same_results, phantom, tiny};

/// Sections as a stack whose pages are columns, and whose columns are sections: x, y, z.
fn write_xyz(path: &Path, sections: &[Vec<u8>]) {
    let [height, width] = SIZE.map(|side| side as usize);
    let page = |x: usize| -> Vec<u8> {
        (0..height).flat_map(|y| sections.iter().map(move |s| s[y * width + x])).collect()
    };
    let pages: Vec<Vec<u8>> = (0..width).map(page).collect();
    write_tiff::<Gray8>(path, [SIZE[0], sections.len() as u32], &pages);
}

/// The same volume as folders of sections, and as stacks of x, y, z.
struct Volumes {
    _folder: tempfile::TempDir,
    raw: PathBuf,
    labels: PathBuf,
    turned_raw: PathBuf,
    turned_labels: PathBuf,
    out: PathBuf,
}

impl Volumes {
    fn new() -> Self {
        let folder = tempdir().unwrap();
        let (raw, labels) = phantom_folders(folder.path());
        let at = |name: &str| folder.path().join(name);
        let volumes = Self {
            raw,
            labels,
            turned_raw: at("raw.TIF"),
            turned_labels: at("labels.tif"),
            out: at("out"),
            _folder: folder,
        };
        let (raw, labels) = phantom();
        write_xyz(&volumes.turned_raw, &raw);
        write_xyz(&volumes.turned_labels, &masks(&labels));
        volumes
    }

    fn out(&self, name: &str) -> PathBuf {
        fs::create_dir_all(&self.out).unwrap();
        self.out.join(name)
    }
}

#[test]
fn a_run_on_turned_axes_is_the_run_on_straight_ones() {
    let volumes = Volumes::new();
    let (straight, turned) = (volumes.out("straight"), volumes.out("turned"));
    tiny()
        .path("--raw", &volumes.raw)
        .path("--labels", &volumes.labels)
        .path("--out", &straight)
        .succeed();
    let call = |axes: &str| {
        tiny()
            .path("--raw", &volumes.turned_raw)
            .path("--labels", &volumes.turned_labels)
            .args(["--axes", axes])
            .path("--out", &turned)
    };
    call("xyz").succeed();
    assert_same_results(&straight, &turned);
    let config = fs::read_to_string(turned.join("config.toml")).unwrap();
    assert!(config.contains("axes = \"XYZ\""), "{config}");
    // The options lie in the directory, and others are another run's.
    let resume = || askem(["run", "--device", "cpu", "--resume"]).path("--out", &turned);
    resume().succeed();
    resume().args(["--iterations", "2"]).succeed();
    call("xyz").args(["--resume"]).succeed();
    call("yxz").args(["--resume"]).run().refuses(2, &["other settings"]);
    // From a file of settings, with the labels' axes by their own option.
    let other = volumes.out("other");
    let settings = volumes.out("settings.toml");
    fs::write(&settings, "[data]\nlabel_axes = \"XYZ\"\n").unwrap();
    tiny()
        .path("--config", &settings)
        .path("--raw", &volumes.raw)
        .path("--labels", &volumes.turned_labels)
        .args(["--preset", "quick"])
        .path("--out", &other)
        .succeed();
    let config = fs::read_to_string(other.join("config.toml")).unwrap();
    assert!(config.contains("label_axes = \"XYZ\""), "{config}");
}

#[test]
fn addresses_of_local_files_are_paths() {
    let volumes = Volumes::new();
    let (path, address) = (volumes.out("path"), volumes.out("address"));
    let of = |file: &Path| PathBuf::from(format!("file://{}", file.display()));
    let call = |raw: &Path, labels: &Path, out: &Path| {
        tiny().path("--raw", raw).path("--labels", labels).path("--out", out)
    };
    call(&volumes.raw, &volumes.labels, &path).succeed();
    call(&of(&volumes.raw), &of(&volumes.labels), &address).succeed();
    assert_same_results(&path, &address);
    let elsewhere = Path::new("https://example.org/raw.zarr");
    call(elsewhere, &volumes.labels, &volumes.out("other")).run().refuses(1, &["copy it"]);
}

#[test]
fn every_command_turns_axes() {
    let volumes = Volumes::new();
    let run = volumes.out("run");
    tiny()
        .path("--raw", &volumes.turned_raw)
        .path("--labels", &volumes.labels)
        .path("--test-raw", &volumes.turned_raw)
        .path("--test-labels", &volumes.labels)
        .args(["--axes", "XYZ", "--label-axes", "ZYX"])
        .path("--out", &run)
        .succeed();
    let weights = run.join("weights.safetensors");
    let predict = |raw: &Path, out: &Path, more: &[&str]| {
        let call = askem(["predict", "--device", "cpu"]).path("--weights", &weights).args(more);
        call.path("--raw", raw).path("--out", out).succeed();
    };
    let (straight, turned) = (volumes.out("straight.tif"), volumes.out("turned.TIF"));
    predict(&volumes.raw, &straight, &[]);
    predict(&volumes.turned_raw, &turned, &["--axes", "XYZ"]);
    assert!(fs::read(&straight).unwrap() == fs::read(&turned).unwrap());
    let eval = |prediction: &Path, labels: &Path, more: &[&str]| {
        let call = askem(["eval", "--json"]).path("--prediction", prediction);
        call.path("--labels", labels).args(more).succeed().json()
    };
    let scores = eval(&straight, &volumes.labels, &[]);
    assert_eq!(eval(&turned, &volumes.turned_labels, &["--label-axes", "XYZ"]), scores);
    let own = eval(&volumes.turned_labels, &volumes.turned_labels, &["--axes", "XYZ"]);
    assert_eq!(own["jaccard"], 1.0);
    let inspect = |raw: &Path, labels: &Path, more: &[&str]| {
        let call = askem(["inspect", "--json"]).path("--raw", raw).path("--labels", labels);
        let said = call.args(more).succeed().json();
        (said["shape"].clone(), said["mean"].clone(), said["foreground"].clone())
    };
    let plain = inspect(&volumes.raw, &volumes.labels, &[]);
    let axes = ["--axes", "XYZ"];
    assert_eq!(inspect(&volumes.turned_raw, &volumes.turned_labels, &axes), plain);
    let score = |raw: &Path, name: &str, more: &[&str]| {
        let out = volumes.out(name);
        let call =
            askem(["score", "--device", "cpu", "--stride", "32"]).path("--weights", &weights);
        call.path("--raw", raw).path("--out", &out).args(more).succeed();
        let best = askem(["select", "--strategy", "entropy", "--query", "2", "--json"]);
        let picks = best.args([&out]).succeed().json_lines();
        // The grid is numbered along the chunks of the file, which differ.
        let place = |pick: &Value| ["z", "y", "x", "score"].map(|field| pick[field].clone());
        picks.iter().map(place).collect::<Vec<_>>()
    };
    let picks = score(&volumes.raw, "straight.zarr", &[]);
    assert_eq!(score(&volumes.turned_raw, "turned.zarr", &axes), picks);
}

#[test]
fn axes_that_are_none_are_refused() {
    let volumes = Volumes::new();
    let refused = |axes: &str, code: i32, parts: &[&str]| {
        let call = askem(["inspect", "--json"]).path("--raw", &volumes.turned_raw);
        let outcome = call.args(["--axes", axes]).run();
        assert_eq!(outcome.code, Some(code), "{outcome:#?}");
        parts.iter().for_each(|part| assert!(outcome.stderr.contains(part), "{outcome:#?}"));
    };
    refused("ZYQ", 2, &["--axes", "Q"]);
    refused("ZYY", 2, &["--axes", "twice"]);
    refused("ZX", 2, &["--axes", "rows (Y)"]);
    refused("TCZYX", 1, &["--axes TCZYX", "96 x 96 x 2"]);
    let address = askem(["inspect", "--raw", "https://example.org/volume.zarr"]).run();
    address.refuses(1, &["https://example.org", "copy it to a local disk"]);
    let here = format!("file://{}", volumes.turned_raw.display());
    let said = askem(["inspect", "--json", "--axes", "XYZ", "--raw", &here]).succeed().json();
    assert_eq!(said["shape"], serde_json::json!([2, 96, 96]));
}
