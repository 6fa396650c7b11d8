//! Label files that are clear or likely mistakes: said by every command that reads them.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::{TempDir, tempdir};
use tiff::encoder::colortype::{Gray8, Gray32, GrayI8};

use crate::images::{SIZE, phantom_folders, write_tiff};
use crate::program::{Call, Outcome, askem};
use crate::results::{number, phantom, tiny};
use crate::tiny::UNSEEDED;
use crate::white_is_zero::white_is_zero;

struct Data {
    folder: TempDir,
    raw: PathBuf,
}

impl Data {
    fn new() -> Self {
        let folder = tempdir().unwrap();
        let (raw, _) = phantom_folders(folder.path());
        Self { folder, raw }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Labels whose background and foreground have these values.
    fn labels(&self, name: &str, background: u8, foreground: u8) -> PathBuf {
        let paint = |&label: &u8| if label == 1 { foreground } else { background };
        let pages: Vec<Vec<u8>> =
            phantom().1.iter().map(|section| section.iter().map(paint).collect()).collect();
        let path = self.at(name);
        write_tiff::<Gray8>(&path, SIZE, &pages);
        path
    }

    fn run(&self, labels: &Path) -> Call {
        let out = self.at("run");
        if out.exists() {
            fs::remove_dir_all(&out).unwrap();
        }
        tiny().path("--raw", &self.raw).path("--labels", labels).path("--out", &out)
    }

    fn eval(&self, labels: &Path) -> Call {
        let masks = self.at("labels");
        askem(["eval", "--json"]).path("--prediction", &masks).path("--labels", labels)
    }
}

#[test]
fn sections_without_labels_are_told_by_every_command() {
    let data = Data::new();
    // One section more, the first one again, for whose neighbours alone there are labels.
    let files = |folder: &Path| -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        all.sort();
        all
    };
    for folder in [&data.raw, &data.at("labels")] {
        let first = &files(folder)[0];
        let ending = first.extension().unwrap().to_string_lossy();
        fs::copy(first, folder.join(format!("7.{ending}"))).unwrap();
    }
    let some = data.at("some");
    fs::create_dir(&some).unwrap();
    let labels = files(&data.at("labels"));
    let all = labels.len();
    for file in &labels[1..] {
        fs::copy(file, some.join(file.file_name().unwrap())).unwrap();
    }
    let said = format!("1 of {all} sections have no labels");
    let inspect = askem(["inspect"]).path("--raw", &data.raw).path("--labels", &some).succeed();
    assert!(inspect.stdout.contains(&said), "{inspect:#?}");
    let eval = data.eval(&some).succeed();
    assert!(eval.stderr.contains(&said), "{eval:#?}");
    assert_eq!(number(&eval.json(), "jaccard"), 1.0, "of what is known");
    let run = askem(["run", "--device", "cpu", "--patch", "32", "--width", "2", "--pool", "12"])
        .args(["--initial", "4", "--iterations", "0", "--epochs", "1"])
        .path("--raw", &data.raw)
        .path("--labels", &some)
        .path("--out", &data.at("run"))
        .succeed();
    assert!(run.stderr.contains(&said), "{run:#?}");
    let train = askem(["train", "--device", "cpu", "--epochs", "1", "--patch", "32"]);
    let train = train.path("--raw", &data.raw).path("--labels", &some);
    let train = train.path("--out", &data.at("train")).succeed();
    assert!(train.stderr.contains(&said), "{train:#?}");
}

#[test]
fn labels_that_are_all_foreground_need_a_word() {
    let data = Data::new();
    let one_and_two = data.labels("12.tif", 1, 2);
    let signed = data.at("signed.tif");
    let paint = |&label: &u8| if label == 1 { -127 } else { -128 };
    let pages: Vec<Vec<i8>> =
        phantom().1.iter().map(|section| section.iter().map(paint).collect()).collect();
    write_tiff::<GrayI8>(&signed, SIZE, &pages);
    for (labels, values, value) in [(&one_and_two, "1, 2", "2"), (&signed, "-128, -127", "-127")] {
        let said = ["every pixel of the labels is foreground", values, "--label-value"];
        data.run(labels).run().refuses(1, &said);
        assert!(!data.at("run").exists());
        data.eval(labels).run().refuses(1, &said);
        let train = askem(["train", "--device", "cpu", "--epochs", "1", "--patch", "32"]);
        let train = train.path("--raw", &data.raw).path("--labels", labels);
        train.path("--out", &data.at("train")).run().refuses(1, &said);
        // Said rightly, all is as with a mask; and if it is meant, it is done.
        let chosen = [format!("--label-value={value}")];
        let scores = data.eval(labels).args(&chosen).succeed().json();
        assert_eq!(number(&scores, "jaccard"), 1.0);
        data.eval(labels).args(["--all-foreground"]).succeed();
        data.run(labels).args(&chosen).succeed();
        data.run(labels).args(["--all-foreground"]).succeed();
        // The run's settings know it when it goes on.
        let resume = askem(["run", "--resume", "--device", "cpu"]).path("--out", &data.at("run"));
        resume.succeed();
    }
}

#[test]
fn one_value_of_large_numbers_is_one_value() {
    let data = Data::new();
    let paint = |&label: &u8| if label == 1 { 16_777_217 } else { 16_777_216 };
    let pages: Vec<Vec<u32>> =
        phantom().1.iter().map(|section| section.iter().map(paint).collect()).collect();
    let labels = data.at("large.tif");
    write_tiff::<Gray32>(&labels, SIZE, &pages);
    let scores = data.eval(&labels).args(["--label-value", "16777217"]).succeed().json();
    assert_eq!(number(&scores, "jaccard"), 1.0);
    let inspect = askem(["inspect", "--json", "--label-value", "16777217"]);
    let found = inspect.path("--raw", &data.raw).path("--labels", &labels).succeed().json();
    let truth = phantom().1.concat();
    let foreground = truth.iter().filter(|&&l| l == 1).count() as f64 / truth.len() as f64;
    assert_eq!(number(&found, "foreground"), foreground);
    let outcome = data.run(&labels).args(["--label-value", "16777217"]).succeed();
    assert!(!outcome.stderr.contains("inverted"), "{outcome:#?}");
    data.run(&labels).args(["--label-value", "many"]).run_refused();
}

trait Refused {
    fn run_refused(self);
}

impl Refused for Call {
    fn run_refused(self) {
        let outcome = self.run();
        assert_eq!(outcome.code, Some(2), "{outcome:#?}");
        assert!(outcome.stderr.contains("--label-value"), "{outcome:#?}");
    }
}

/// How often a note is said on standard error.
fn count(outcome: &Outcome, text: &str) -> usize {
    outcome.stderr.matches(text).count()
}

#[test]
fn what_inspect_warns_of_is_said_by_all() {
    let data = Data::new();
    // Foreground and background changed: more than half is foreground.
    let inverted = data.labels("inverted.tif", 255, 0);
    // An image of little contrast, for commands that read images alone.
    let dull = data.at("dull.tif");
    let pages: Vec<Vec<u8>> =
        phantom().0.iter().map(|section| section.iter().map(|v| 100 + v / 16).collect()).collect();
    write_tiff::<Gray8>(&dull, SIZE, &pages);
    let inspect = askem(["inspect", "--json"]).path("--raw", &dull).path("--labels", &inverted);
    let found = inspect.succeed().json();
    let warnings: Vec<&str> =
        found["warnings"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
    assert!(warnings.iter().any(|w| w.contains("inverted")), "{warnings:?}");
    assert!(warnings.iter().any(|w| w.contains("contrast")), "{warnings:?}");
    let out = data.at("run");
    let run = tiny().path("--raw", &dull).path("--labels", &inverted).path("--out", &out);
    let outcome = run.succeed();
    assert!(warnings.iter().all(|warning| count(&outcome, warning) == 1), "{outcome:#?}");
    let outcome = data.eval(&inverted).succeed();
    assert_eq!(count(&outcome, "inverted"), 1, "{outcome:#?}");
    let weights = out.join("weights.safetensors");
    for (command, name) in [("predict", "p.tif"), ("predict", "p.zarr"), ("score", "s.zarr")] {
        let call = askem([command, "--device", "cpu"]).path("--raw", &dull);
        let outcome = call.path("--weights", &weights).path("--out", &data.at(name)).succeed();
        assert_eq!(count(&outcome, "contrast"), 1, "{outcome:#?}");
    }
    let compared = data.at("compared");
    let call = askem(["compare", "--strategies", "random", "--seeds", "1"]);
    let call = call.args(UNSEEDED).path("--raw", &dull).path("--labels", &inverted);
    let outcome = call.path("--out", &compared).succeed();
    assert!(warnings.iter().all(|warning| count(&outcome, warning) == 1), "{outcome:#?}");
}

#[test]
fn what_is_noticed_in_a_segmentation_is_said_by_eval() {
    let data = Data::new();
    let masks = data.at("labels");
    let white = data.labels("white.tif", 0, 255);
    white_is_zero(&white);
    let call = || askem(["eval", "--all-foreground"]).path("--prediction", &white);
    for labels in [&masks, &white] {
        let outcome = call().path("--labels", labels).succeed();
        assert_eq!(count(&outcome, "MinIsWhite"), 1, "{outcome:#?}");
    }
}
