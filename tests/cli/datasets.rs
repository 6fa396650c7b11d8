//! Published datasets by name, in the layouts that they are published in.

use std::fs;
use std::path::Path;

use png::{BitDepth, ColorType};
use tempfile::tempdir;
use tiff::encoder::colortype::Gray8;

use crate::images::{SIZE, masks, write_folder, write_png, write_tiff};
use crate::results::{phantom, timeless, tiny};

fn run(dataset: &str, root: &Path, out: &Path) {
    tiny().args(["--dataset", dataset]).path("--root", root).path("--out", out).succeed();
}

#[test]
fn each_layout_is_found_and_split_as_published() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (raw, labels) = phantom();
    let masks = masks(&labels);

    // In halves: the same as by hand.
    write_folder(&at("vnc/stack1/raw"), SIZE, &raw);
    write_folder(&at("vnc/stack1/mitochondria"), SIZE, &masks);
    fs::create_dir(at("mira")).unwrap();
    write_tiff::<Gray8>(&at("mira/raw.tif"), SIZE, &raw);
    write_tiff::<Gray8>(&at("mira/labels.tif"), SIZE, &masks);
    tiny()
        .path("--raw", &at("mira/raw.tif"))
        .path("--labels", &at("mira/labels.tif"))
        .path("--out", &at("by-hand"))
        .succeed();
    for name in ["vnc", "mira"] {
        run(name, &at(name), &at(&format!("{name}-run")));
        assert_eq!(timeless(&at(&format!("{name}-run"))), timeless(&at("by-hand")), "{name}");
    }

    // With a volume to test on: the training volume is the test volume here.
    fs::create_dir(at("epfl")).unwrap();
    for part in ["training", "testing"] {
        write_tiff::<Gray8>(&at("epfl").join(format!("{part}.tif")), SIZE, &raw);
        let labels = at("epfl").join(format!("{part}_groundtruth.tif"));
        write_tiff::<Gray8>(&labels, SIZE, &masks);
    }
    for part in ["Train", "Test"] {
        let (images, truth) =
            (at("lucchi").join(format!("{part}_In")), at("lucchi").join(format!("{part}_Out")));
        fs::create_dir_all(&images).unwrap();
        fs::create_dir_all(&truth).unwrap();
        for (z, (image, mask)) in raw.iter().zip(&masks).enumerate() {
            let path = images.join(format!("mask{z:04}.png"));
            write_png(&path, SIZE, ColorType::Grayscale, BitDepth::Eight, image);
            let path = truth.join(format!("{z}.png"));
            if part == "Test" {
                let rgba: Vec<u8> = mask.iter().flat_map(|&m| [m, m, m, 255]).collect();
                write_png(&path, SIZE, ColorType::Rgba, BitDepth::Eight, &rgba);
            } else {
                write_png(&path, SIZE, ColorType::Grayscale, BitDepth::Eight, mask);
            }
        }
    }
    run("epfl", &at("epfl"), &at("epfl-run"));
    run("lucchi++", &at("lucchi"), &at("lucchi-run"));
    assert_eq!(timeless(&at("epfl-run")), timeless(&at("lucchi-run")));
    let settings = fs::read_to_string(at("lucchi-run/config.toml")).unwrap();
    assert!(settings.contains("Test_Out") && settings.contains("Train_In"), "{settings}");
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempdir().unwrap();
    let call = || tiny().path("--root", folder.path()).path("--out", &folder.path().join("out"));
    call().args(["--dataset", "epfl"]).run().refuses(2, &["epfl", "training.tif", "--help"]);
    call().args(["--dataset", "vnc"]).run().refuses(2, &["vnc", "raw or stack1/raw"]);
    assert_eq!(tiny().args(["--dataset", "vnc"]).run().code, Some(2), "without --root");
    assert!(!folder.path().join("out").exists());
    let help = crate::program::askem(["run", "--help"]).succeed().stdout;
    for part in ["856713", "CC BY-NC-SA", "cvlab", "casser.io", "fnana.2018.00092"] {
        assert!(help.contains(part), "{part} is missing in the help");
    }
}

#[test]
fn a_margin_keeps_the_halves_apart() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("out");
    let phantom = || tiny().args(["--phantom-shape", "2x96x96"]);
    let outcome = phantom().args(["--split-margin", "16"]).path("--out", &out).succeed();
    assert!(outcome.stderr.contains("trains on 2 x 32 x 96, tests on 2 x 48 x 96"), "{outcome:#?}");
    let settings = fs::read_to_string(out.join("config.toml")).unwrap();
    assert!(settings.contains("split_margin = 16"), "{settings}");
    let out = folder.path().join("none");
    phantom().args(["--split-margin", "17"]).path("--out", &out).run().refuses(2, &["31 x 96"]);
}
