//! `askem run` on files of every kind: the same pixels give the same results.

use std::fs;
use std::path::{Path, PathBuf};

use png::{BitDepth, ColorType};
use tempfile::tempdir;
use tiff::encoder::colortype::{Gray8, Gray16, RGB8};

use crate::images::{SIZE, masks, phantom_folders, write_png, write_tiff};
use crate::results::{assert_complete, assert_same_results, phantom, timeless, tiny, tiny_phantom};

fn run(raw: &Path, labels: &Path, out: &Path) {
    tiny().path("--raw", raw).path("--labels", labels).path("--out", out).succeed();
    assert_complete(out);
}

fn wide(section: &[u8]) -> Vec<u16> {
    section.iter().map(|&v| v.into()).collect()
}

/// Each value `times` times, as the channels of a grey image in colour.
fn repeated(section: &[u8], times: usize) -> Vec<u8> {
    section.iter().flat_map(|&v| std::iter::repeat_n(v, times)).collect()
}

/// The phantom's raw sections in every form, and its masks.
fn forms(folder: &Path) -> (Vec<(&'static str, PathBuf)>, PathBuf) {
    let (raw, labels) = phantom();
    let pngs = |name: &str, colour, depth, data: &dyn Fn(&[u8]) -> Vec<u8>| {
        let path = folder.join(name);
        fs::create_dir_all(&path).unwrap();
        for (z, section) in raw.iter().enumerate() {
            let file = path.join(format!("section_{:04}.png", z * 10));
            write_png(&file, SIZE, colour, depth, &data(section));
        }
        path
    };
    let with_alpha = |section: &[u8]| -> Vec<u8> {
        section.iter().enumerate().flat_map(|(i, &v)| [v, v, v, i as u8]).collect()
    };
    let big_endian = |section: &[u8]| wide(section).iter().flat_map(|v| v.to_be_bytes()).collect();
    let mut forms = vec![
        ("rgb png", pngs("rgb", ColorType::Rgb, BitDepth::Eight, &|s| repeated(s, 3))),
        ("rgba png", pngs("rgba", ColorType::Rgba, BitDepth::Eight, &with_alpha)),
        ("16-bit png", pngs("deep", ColorType::Grayscale, BitDepth::Sixteen, &big_endian)),
    ];
    let pages = folder.join("pages.tif");
    write_tiff::<Gray8>(&pages, SIZE, &raw);
    forms.push(("multi-page tiff", pages));
    let deep = folder.join("deep.tif");
    let sections: Vec<Vec<u16>> = raw.iter().map(|section| wide(section)).collect();
    write_tiff::<Gray16>(&deep, SIZE, &sections);
    forms.push(("16-bit multi-page tiff", deep));
    let colour = folder.join("rgb.tif");
    let sections: Vec<Vec<u8>> = raw.iter().map(|section| repeated(section, 3)).collect();
    write_tiff::<RGB8>(&colour, SIZE, &sections);
    forms.push(("rgb multi-page tiff", colour));
    let path = folder.join("masks.tif");
    write_tiff::<Gray8>(&path, SIZE, &masks(&labels));
    (forms, path)
}

#[test]
fn every_form_of_the_same_pixels_gives_the_same_results() {
    let folder = tempdir().unwrap();
    let built_in = folder.path().join("run phantom");
    tiny_phantom(&built_in).succeed();
    let (raw, labels) = phantom_folders(folder.path());
    let out = folder.path().join("run folder");
    run(&raw, &labels, &out);
    assert_same_results(&built_in, &out);
    let (forms, masks) = forms(folder.path());
    for (name, raw) in forms {
        let out = folder.path().join(format!("run {name}"));
        run(&raw, &masks, &out);
        assert_same_results(&built_in, &out);
    }
}

#[test]
fn grey_values_of_16_bits_are_scaled() {
    let folder = tempdir().unwrap();
    let (_, labels) = phantom_folders(folder.path());
    let (raw, _) = phantom();
    let sections: Vec<Vec<u16>> =
        raw.iter().map(|s| s.iter().map(|&v| 1000 + 200 * u16::from(v)).collect()).collect();
    let path = folder.path().join("deep.tif");
    write_tiff::<Gray16>(&path, SIZE, &sections);
    let (out, built_in) = (folder.path().join("out"), folder.path().join("built in"));
    run(&path, &labels, &out);
    tiny_phantom(&built_in).succeed();
    // Scaling takes offset and factor away, up to rounding: the same picks at the start.
    let places = |out: &Path| -> Vec<serde_json::Value> {
        let picked = timeless(out)[0]["picked"].as_array().unwrap().clone();
        picked.iter().map(|pick| pick["index"].clone()).collect()
    };
    assert_eq!(places(&out), places(&built_in));
}

#[test]
fn label_value_and_ignored_value() {
    let folder = tempdir().unwrap();
    let (raw, _) = phantom_folders(folder.path());
    let (_, labels) = phantom();
    // Foreground becomes 7, and a stripe of background 3 and 9.
    let painted: Vec<Vec<u8>> = labels
        .iter()
        .map(|section| {
            let paint = |(i, &label): (usize, &u8)| match (label, i % SIZE[1] as usize) {
                (1, _) => 7,
                (_, 0..4) => 3,
                (_, 4..8) => 9,
                _ => 0,
            };
            section.iter().enumerate().map(paint).collect()
        })
        .collect();
    let path = folder.path().join("painted.tif");
    write_tiff::<Gray8>(&path, SIZE, &painted);
    let masks = folder.path().join("labels");
    let run = |name: &str, labels: &Path, more: &[&str]| {
        let out = folder.path().join(name);
        let call = tiny().path("--raw", &raw).path("--labels", labels).path("--out", &out);
        call.args(more).succeed();
        out
    };
    let plain = run("plain", &masks, &[]);
    let chosen = run("chosen", &path, &["--label-value", "7"]);
    assert_same_results(&plain, &chosen);
    let ignoring = run("ignoring", &path, &["--label-value", "7", "--ignore-value", "9"]);
    assert_ne!(timeless(&plain), timeless(&ignoring));
    let all = run("all", &path, &[]);
    assert_ne!(timeless(&plain), timeless(&all));
}

#[test]
fn a_test_volume_of_its_own() {
    let folder = tempdir().unwrap();
    let (raw, labels) = phantom_folders(folder.path());
    let out = folder.path().join("out");
    let call = tiny().path("--raw", &raw).path("--labels", &labels).path("--out", &out);
    call.path("--test-raw", &raw).path("--test-labels", &labels).succeed();
    assert_complete(&out);
    let pages = crate::results::read_tiff(&out.join("segmentation.tif"));
    assert!(pages.iter().all(|(size, _)| *size == SIZE.map(|side| side as usize)));
}
