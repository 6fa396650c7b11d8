//! Segmentations in parts: no seams, whatever the parts.

use std::path::{Path, PathBuf};

use askem::data::phantom::Phantom;
use askem::data::volume::{Volume, open_raw};
use tempfile::TempDir;

use crate::program::{Call, askem};
use crate::world::{assert_same, world, write_tiff};

/// A phantom as TIFF.
fn volume(folder: &TempDir, shape: [usize; 3]) -> PathBuf {
    let phantom = Phantom::pair(shape, 3).unwrap();
    let sections = (0..shape[0]).map(|z| phantom.raw.read_section(z).unwrap().pixels);
    let pixels: Vec<u8> = sections.flatten().map(|v| v as u8).collect();
    let path = folder.path().join("raw.tif");
    write_tiff(&path, shape, &pixels);
    path
}

fn predict(raw: &Path, out: &Path, kind: &str) -> Call {
    askem(["predict", "--as", kind, "--device", "cpu"])
        .path("--raw", raw)
        .path("--weights", &world().run("a").join("weights.safetensors"))
        .path("--out", out)
}

fn pixels(path: &Path) -> Vec<f32> {
    let volume = open_raw(path).unwrap();
    (0..volume.shape()[0]).flat_map(|z| volume.read_section(z).unwrap().pixels).collect()
}

#[test]
fn parts_and_the_whole_and_tiff_are_alike() {
    // Three chunks of sections; and three of columns, where windows reach over the borders.
    let kind = "probabilities";
    for shape in [[34, 40, 40], [2, 40, 1100]] {
        let folder = TempDir::new().unwrap();
        let raw = volume(&folder, shape);
        let [tiff, whole, parts] =
            ["p.tif", "whole.zarr", "parts.zarr"].map(|name| folder.path().join(name));
        predict(&raw, &tiff, kind).succeed();
        predict(&raw, &whole, kind).succeed();
        for part in ["2/3", "0/3"] {
            let outcome = predict(&raw, &parts, kind).args(["--shard", part]).succeed();
            assert!(outcome.stdout.contains("other parts are missing"), "{outcome:#?}");
        }
        // Without the last part it is no image yet.
        assert!(open_raw(&parts).is_err());
        // Of two devices here.
        let outcome = predict(&raw, &parts, kind)
            .args(["--shard", "1/3", "--device", "cpu", "--threads", "1"])
            .succeed();
        assert!(outcome.stdout.contains("the image is complete"), "{outcome:#?}");
        let want = pixels(&tiff);
        assert_eq!(want.len(), shape.iter().product::<usize>());
        assert!(want.iter().any(|&v| v != want[0]), "nothing to see");
        // One window of a section, or one for each block of chunks: sums are rounded in other places.
        let found = pixels(&whole);
        let far = found.iter().zip(&want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far <= 2e-5, "the Zarr image differs from the TIFF by {far}");
        assert_eq!(found.len(), want.len());
        // The name of the image is part of its metadata.
        std::fs::remove_file(whole.join("zarr.json")).unwrap();
        std::fs::remove_file(parts.join("zarr.json")).unwrap();
        assert_same(&whole, &parts);
    }
}

#[test]
fn an_image_goes_on_and_is_not_mixed() {
    let folder = TempDir::new().unwrap();
    let raw = volume(&folder, [34, 40, 40]);
    let out = folder.path().join("p.zarr");
    predict(&raw, &out, "labels").succeed();
    let before = pixels(&out);
    std::fs::remove_file(out.join("s0/c/1/0/0")).unwrap();
    let outcome = predict(&raw, &out, "labels").succeed();
    assert!(outcome.stdout.contains("wrote 1 chunks") && outcome.stdout.contains("2 were there"));
    assert!(pixels(&out) == before);
    predict(&raw, &out, "probabilities").run().refuses(1, &["p.zarr", "--force"]);
    predict(&raw, &out, "probabilities").args(["--force"]).succeed();
    assert!(pixels(&out).iter().any(|&p| p > 0.0 && p < 1.0));
    predict(&raw, folder.path(), "labels").run().refuses(2, &["ends in .zarr or in .tif"]);
    let tiff = folder.path().join("p.tif");
    predict(&raw, &tiff, "labels").args(["--shard", "0/2"]).run().refuses(2, &["only a .zarr"]);
    predict(&raw, &tiff, "labels").args(["--device", "cpu"]).run().refuses(2, &["only a .zarr"]);
}
