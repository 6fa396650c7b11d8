//! `askem train`: every labelled pixel trains, and what is held out judges.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tiff::encoder::colortype::Gray8;

use crate::images::{PhantomFolders, SIZE, write_tiff};
use crate::program::{Call, askem};
use crate::results::{SHAPE, bytes, count, jaccard, journal, number, phantom, read_tiff};

impl PhantomFolders {
    /// A short training of a small network.
    fn train(&self, labels: &Path, out: &str) -> Call {
        let call = askem(["train", "--device", "cpu", "--epochs", "1"]);
        call.path("--raw", &self.raw).path("--labels", labels).path("--out", &self.at(out))
    }
}

const SMALL: [&str; 4] = ["--patch", "32", "--width", "2"];

fn only_line(out: &Path) -> Value {
    let [line] = &journal(out)[..] else { panic!("one line is due") };
    line.clone()
}

#[test]
fn every_labelled_pixel_trains() {
    let data = PhantomFolders::new();
    let outcome = data.train(&data.labels, "all").args(SMALL).succeed();
    assert!(outcome.stderr.contains("tests on nothing"), "{outcome:#?}");
    let line = only_line(&data.at("all"));
    let [depth, height, width] = SHAPE;
    // Three times three patches of 32 cover 96 x 96.
    assert_eq!(count(&line, "labelled"), depth * 9);
    assert_eq!(count(&line, "labelled_pixels"), depth * height * width);
    let labels = phantom().1.concat();
    let share = labels.iter().map(|&l| f64::from(l)).sum::<f64>() / labels.len() as f64;
    assert!((number(&line, "labelled_foreground") - share).abs() < 1e-12, "{line}");
    assert!(line["jaccard"].is_null());
    assert!(!data.at("all").join("segmentation.tif").exists());
    let page = String::from_utf8(bytes(&data.at("all"), "report.html")).unwrap();
    assert!(page.contains("All labels train") && !page.contains("NaN"), "the page says why");
}

#[test]
fn patches_without_a_label_are_never_drawn() {
    let data = PhantomFolders::new();
    // Of the second section rows 40 to 59, all else is not known.
    let (_, labels) = phantom();
    let width = SHAPE[2];
    let known = |z: usize, i: usize| z == 1 && (40..60).contains(&(i / width));
    let some = |z: usize| -> Vec<u8> {
        labels[z].iter().enumerate().map(|(i, &l)| if known(z, i) { l } else { 2 }).collect()
    };
    let path = data.at("some.tif");
    write_tiff::<Gray8>(&path, SIZE, &[some(0), some(1)]);
    data.train(&path, "some").args(SMALL).args(["--ignore-value", "2"]).succeed();
    let line = only_line(&data.at("some"));
    // The middle row of patches, rows 32 to 63, has all of them.
    assert_eq!((count(&line, "labelled"), count(&line, "labelled_pixels")), (3, 20 * width));
    let true_ones = labels[1][40 * width..60 * width].iter().filter(|&&l| l == 1).count();
    let share = true_ones as f64 / (20 * width) as f64;
    assert!((number(&line, "labelled_foreground") - share).abs() < 1e-12, "{line}");
    // No more than were asked for, and no more than there are.
    for (pool, labelled) in [("2", 2), ("40", 3)] {
        let train = data.train(&path, pool).args(SMALL).args(["--ignore-value", "2"]);
        train.args(["--pool", pool]).succeed();
        assert_eq!(count(&only_line(&data.at(pool)), "labelled"), labelled);
        // It goes on from what its own command says.
        let again = data.train(&path, pool).args(SMALL).args(["--ignore-value", "2"]);
        again.args(["--pool", pool, "--resume"]).succeed();
    }
}

#[test]
fn what_is_held_out_judges() {
    let data = PhantomFolders::new();
    let out = data.at("held");
    data.train(&data.labels, "held").args(SMALL).args(["--holdout", "0.25"]).succeed();
    let line = only_line(&out);
    let [depth, height, width] = SHAPE;
    assert_eq!(count(&line, "labelled"), depth * 3 * 3);
    let first = height * 3 / 4;
    let mut pairs = Vec::new();
    for ((size, predicted), labels) in
        read_tiff(&out.join("segmentation.tif")).iter().zip(phantom().1)
    {
        assert_eq!(*size, [height - first, width]);
        let truth = labels[first * width..].to_vec();
        pairs.extend(predicted.iter().zip(truth).map(|(&p, l)| (p > 0, l > 0)));
    }
    assert!((number(&line, "jaccard") - jaccard(pairs.into_iter())).abs() < 1e-12, "{line}");
}

#[test]
fn a_training_begins_with_a_network_and_takes_its_settings() {
    let data = PhantomFolders::new();
    let norm = ["--norm", "instance", "--context", "1"];
    data.train(&data.labels, "first").args(SMALL).args(norm).succeed();
    let weights = data.at("first").join("weights.safetensors");
    let predict = |run: &str| {
        let call = askem(["predict", "--device", "cpu"]).path("--run", &data.at(run));
        let out = data.at(&format!("{run}.tif"));
        call.args(["--force"]).path("--raw", &data.raw).path("--out", &out).succeed();
        fs::read(out).unwrap()
    };
    // Too slow a training to change anything.
    let still = ["--lr", "1e-30", "--finetune-lr", "1e-30"];
    data.train(&data.labels, "still").args(still).path("--weights", &weights).succeed();
    assert!(predict("still") == predict("first"), "the network is where it began");
    let settings = fs::read_to_string(data.at("still/config.toml")).unwrap();
    for line in ["width = 2", "patch = 32", "context = 1", "norm = \"instance\""] {
        assert!(settings.contains(line), "{settings}");
    }
    data.train(&data.labels, "on").path("--weights", &weights).succeed();
    assert!(predict("on") != predict("first"));
    let train = || data.train(&data.labels, "none").path("--weights", &weights);
    train().args(["--width", "4"]).run().refuses(2, &["--width 4", "has 2"]);
    train().args(["--norm", "batch"]).run().refuses(2, &["--norm"]);
    train().args(["--context", "0"]).run().refuses(2, &["--context 0", "has 1"]);
    let nowhere = data.train(&data.labels, "none").path("--weights", &data.at("nowhere"));
    nowhere.run().refuses(1, &["nowhere", "weights"]);
    assert!(!data.at("none").exists());
}

#[test]
fn epochs_that_are_asked_for_are_trained() {
    let data = PhantomFolders::new();
    let train = askem(["train", "--device", "cpu", "--preset", "quick", "--epochs", "601"]);
    let train = train.path("--raw", &data.raw).path("--labels", &data.labels);
    let train = train.args(["--patch", "96", "--width", "1"]).path("--out", &data.at("long"));
    train.succeed();
    let line = only_line(&data.at("long"));
    let settings = fs::read_to_string(data.at("long/config.toml")).unwrap();
    assert!(
        settings.contains("full_epochs = 601") && !settings.contains("max_steps"),
        "{settings}"
    );
    assert_eq!(count(&line, "labelled"), 2);
    // Without them a budget of steps decides, which is that of a run: five trainings of 400 steps,
    // but no more epochs than the preset has.
    let train = askem(["train", "--device", "cpu", "--preset", "quick"]);
    let train = train.path("--raw", &data.raw).path("--labels", &data.labels);
    let train = train.args(["--patch", "16", "--width", "1"]).path("--out", &data.at("budget"));
    train.succeed();
    let line = only_line(&data.at("budget"));
    assert_eq!(count(&line, "labelled"), 2 * 36);
    // 18 steps an epoch.
    assert_eq!(count(&line, "epochs"), 2000 / 18);
}

#[test]
fn options_of_asking_are_refused_and_hidden() {
    let data = PhantomFolders::new();
    for (option, value) in [("--initial", "5"), ("--iterations", "2"), ("--label-share", "0.5")] {
        let train = data.train(&data.labels, "none").args([option, value]);
        train.run().refuses(2, &[option, "train learns from all labels"]);
    }
    for holdout in ["0", "1", "nan"] {
        let train = data.train(&data.labels, "none").args(["--holdout", holdout]);
        train.run().refuses(2, &["--holdout"]);
    }
    let both = data.train(&data.labels, "none").args(["--holdout", "0.2", "--split", "y"]);
    both.run().refuses(2, &["--holdout", "--split"]);
    let run = askem(["run", "--holdout", "0.2"]).path("--out", &data.at("none"));
    run.run().refuses(2, &["--holdout", "--early-stopping"]);
    let help = askem(["train", "--help"]).succeed().stdout;
    assert!(help.contains("--weights <FILE>") && help.contains("--epochs <N>"), "{help}");
    for option in ["--initial ", "--query ", "--mc-passes ", "--min-distance "] {
        assert!(!help.contains(option), "{option}");
    }
    assert!(!data.at("none").exists());
}
