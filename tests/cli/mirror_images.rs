//! `predict --symmetries`: the mean over mirror images of each section.

use std::path::Path;

use askem::data::volume::open_raw;

use crate::images::PhantomFolders;
use crate::program::{Call, askem};
use crate::results::{read_float_tiff, tiny};

fn predict(raw: &Path, run: &Path, out: &Path, symmetries: &str) -> Call {
    askem(["predict", "--device", "cpu", "--as", "probabilities", "--symmetries", symmetries])
        .path("--raw", raw)
        .path("--weights", &run.join("weights.safetensors"))
        .path("--out", out)
}

#[test]
fn they_are_averaged_in_tiff_and_zarr_alike() {
    let data = PhantomFolders::new();
    let (run, at) = (data.at("run"), |name: &str| data.at(name));
    tiny().path("--raw", &data.raw).path("--labels", &data.labels).path("--out", &run).succeed();
    let found = ["1", "2", "4"].map(|symmetries| {
        let (tiff, zarr) = (at(&format!("{symmetries}.tif")), at(&format!("{symmetries}.zarr")));
        predict(&data.raw, &run, &tiff, symmetries).succeed();
        predict(&data.raw, &run, &zarr, symmetries).succeed();
        let pixels: Vec<f32> = read_float_tiff(&tiff).into_iter().flat_map(|(_, p)| p).collect();
        let image = open_raw(&zarr).unwrap();
        let sections = (0..image.shape()[0]).map(|z| image.read_section(z).unwrap().pixels);
        assert!(sections.flatten().eq(pixels.iter().copied()), "{symmetries}: Zarr differs");
        pixels
    });
    assert!(found[0] != found[1] && found[1] != found[2]);
    assert!(found.iter().flatten().all(|p| (0.0..=1.0).contains(p)));
    // An image of one kind is not gone on with in another.
    predict(&data.raw, &run, &at("2.zarr"), "4").run().refuses(1, &["2.zarr", "--force"]);
    let refused = predict(&data.raw, &run, &at("3.tif"), "3").run();
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    assert!(refused.stderr.contains("--symmetries") && refused.stderr.contains("1, 2 or 4"));
}
