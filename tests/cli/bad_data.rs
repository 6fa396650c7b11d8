//! Files that can't be used: one sentence that names them, exit code 1, nothing written.

use std::fs;
use std::path::Path;

use png::{BitDepth, ColorType};
use tiff::encoder::colortype::Gray8;

use crate::images::{PhantomFolders, SIZE, masks, write_folder, write_png, write_tiff};
use crate::program::{Outcome, askem};
use crate::results::{phantom, tiny};

impl PhantomFolders {
    /// A run on these files; its directory must not appear.
    fn run(&self, raw: &Path, labels: &Path) -> Outcome {
        let out = self.at("run");
        let call = tiny().path("--raw", raw).path("--labels", labels).path("--out", &out);
        let outcome = call.run();
        assert!(!out.exists(), "{} is left after {outcome:#?}", out.display());
        outcome
    }
}

#[test]
fn missing_path() {
    let data = PhantomFolders::new();
    let nowhere = data.at("nowhere");
    data.run(&nowhere, &data.labels).refuses(1, &["nowhere", "no such file", "--raw"]);
    data.run(&data.raw, &nowhere).refuses(1, &["nowhere", "no such file", "--labels"]);
    let out = data.at("run");
    let call = tiny().path("--raw", &data.raw).path("--labels", &data.labels);
    let call = call.path("--test-raw", &nowhere).path("--test-labels", &data.labels);
    call.path("--out", &out).run().refuses(1, &["nowhere", "no such file"]);
    assert!(!out.exists());
}

#[test]
fn empty_folder() {
    let data = PhantomFolders::new();
    let empty = data.at("empty");
    fs::create_dir(&empty).unwrap();
    data.run(&empty, &data.labels).refuses(1, &["empty", "no"]);
    data.run(&data.raw, &empty).refuses(1, &["empty", "no"]);
    fs::write(empty.join("notes.txt"), "no image").unwrap();
    data.run(&empty, &data.labels).refuses(1, &["empty"]);
}

#[test]
fn sections_of_different_sizes() {
    let data = PhantomFolders::new();
    let odd = data.raw.join("11.png");
    write_png(&odd, [90, 96], ColorType::Grayscale, BitDepth::Eight, &[7; 90 * 96]);
    data.run(&data.raw, &data.labels).refuses(1, &["11.png", "90 x 96", "96 x 96"]);
}

#[test]
fn truncated_tiff() {
    let data = PhantomFolders::new();
    let path = data.at("cut.tif");
    write_tiff::<Gray8>(&path, SIZE, &phantom().0);
    let whole = fs::read(&path).unwrap();
    for kept in [whole.len() - 1, whole.len() / 2, 100, 4] {
        fs::write(&path, &whole[..kept]).unwrap();
        data.run(&path, &data.labels).refuses(1, &["cut.tif"]);
        data.run(&data.raw, &path).refuses(1, &["cut.tif"]);
    }
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    data.run(&path, &data.labels).refuses(1, &["cut.tif", "truncated"]);
    fs::write(&path, []).unwrap();
    data.run(&path, &data.labels).refuses(1, &["cut.tif", "empty"]);
}

#[test]
fn labels_of_another_shape() {
    let data = PhantomFolders::new();
    let labels = masks(&phantom().1);
    let fewer = data.at("fewer.tif");
    write_tiff::<Gray8>(&fewer, SIZE, &labels[..1]);
    data.run(&data.raw, &fewer).refuses(1, &["2 x 96 x 96", "1 x 96 x 96"]);
    let smaller = data.at("smaller");
    write_folder(&smaller, [80, 96], &[vec![255; 80 * 96], vec![255; 80 * 96]]);
    data.run(&data.raw, &smaller).refuses(1, &["2 x 96 x 96", "2 x 80 x 96"]);
}

#[test]
fn sections_that_cannot_be_paired() {
    let data = PhantomFolders::new();
    fs::rename(data.labels.join("9.png"), data.labels.join("12.png")).unwrap();
    data.run(&data.raw, &data.labels).refuses(1, &["9.png", "12.png"]);
}

#[test]
fn labels_without_foreground() {
    let data = PhantomFolders::new();
    let none = data.at("none");
    write_folder(&none, SIZE, &vec![vec![0; 96 * 96]; 2]);
    data.run(&data.raw, &none).refuses(1, &["no foreground", "--labels"]);
    let out = data.at("run");
    let call = tiny().path("--raw", &data.raw).path("--labels", &data.labels);
    let call = call.args(["--label-value", "3"]).path("--out", &out);
    call.run().refuses(1, &["no foreground", "--label-value"]);
    assert!(!out.exists());
}

#[test]
fn colours_and_other_files() {
    let data = PhantomFolders::new();
    let pixels: Vec<u8> = (0..96 * 96 * 3).map(|i| (i % 251) as u8).collect();
    write_png(&data.raw.join("10.png"), SIZE, ColorType::Rgb, BitDepth::Eight, &pixels);
    data.run(&data.raw, &data.labels).refuses(1, &["10.png", "colour"]);
    let text = data.at("text.tif");
    fs::write(&text, "this is no image").unwrap();
    data.run(&text, &data.labels).refuses(1, &["text.tif"]);
}

#[test]
fn one_grey_value_everywhere() {
    let data = PhantomFolders::new();
    let flat = data.at("flat");
    write_folder(&flat, SIZE, &vec![vec![100; 96 * 96]; 2]);
    data.run(&flat, &data.labels).refuses(1, &["same grey value"]);
}

#[test]
fn an_output_that_cannot_be_made() {
    let data = PhantomFolders::new();
    let file = data.at("file");
    fs::write(&file, "in the way").unwrap();
    let call = tiny().path("--raw", &data.raw).path("--labels", &data.labels);
    call.path("--out", &file.join("run")).run().refuses(1, &["file"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "in the way");
}

#[test]
fn the_other_tools_refuse_too() {
    let data = PhantomFolders::new();
    let nowhere = data.at("nowhere");
    let call = askem(["inspect"]).path("--raw", &nowhere);
    call.run().refuses(1, &["nowhere", "no such file"]);
    let call = askem(["eval"]).path("--prediction", &data.raw).path("--labels", &nowhere);
    call.run().refuses(1, &["nowhere", "no such file"]);
    let out = data.at("segmentation.tif");
    let predict = |weights: &Path, raw: &Path, out: &Path| {
        let call = askem(["predict", "--device", "cpu"]).path("--weights", weights);
        call.path("--raw", raw).path("--out", out).run()
    };
    predict(&nowhere, &data.raw, &out).refuses(1, &["nowhere", "weights"]);
    let text = data.at("text");
    fs::write(&text, "this is no network").unwrap();
    predict(&text, &data.raw, &out).refuses(1, &["text", "not a weights file"]);
    predict(&text, &data.raw, &data.at("out.jpg")).refuses(2, &["out.jpg", ".tif"]);
    assert!(!out.exists());
    fs::write(&out, "mine").unwrap();
    predict(&text, &data.raw, &out).refuses(2, &["segmentation.tif", "--force"]);
    assert_eq!(fs::read_to_string(&out).unwrap(), "mine");
    let train = data.at("train");
    let call = askem(["train", "--device", "cpu", "--epochs", "1"]).path("--out", &train);
    call.run().refuses(2, &["--raw", "--labels"]);
    assert!(!train.exists());
}
