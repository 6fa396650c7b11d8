//! Labels of a box of the images: said by every command, and nothing outside of it is used.

use std::fs;
use std::path::PathBuf;

use tempfile::{TempDir, tempdir};
use tiff::encoder::colortype::Gray8;

use crate::images::{SIZE, masks, phantom_folders, write_tiff};
use crate::program::{Call, askem};
use crate::results::{PATCH, SHAPE, count, jaccard, journal, number, phantom, read_tiff, tiny};
use crate::tiny::UNSEEDED;

/// Where the box begins, and its sides.
const AT: [usize; 3] = [1, 26, 10];
const SIDES: [usize; 3] = [1, 44, 70];
const SAID: &str = "a box of 1 x 44 x 70 that begins at section 1, row 26, column 10";

struct Data {
    folder: TempDir,
    raw: PathBuf,
    labels: PathBuf,
}

/// The labels of the box, row by row.
fn inside() -> Vec<u8> {
    let section = &phantom().1[AT[0]];
    let rows = (AT[1]..AT[1] + SIDES[1]).map(|y| &section[y * SHAPE[2] + AT[2]..][..SIDES[2]]);
    rows.flatten().copied().collect()
}

impl Data {
    fn new() -> Self {
        let folder = tempdir().unwrap();
        let (raw, _) = phantom_folders(folder.path());
        let labels = folder.path().join("box.tif");
        let size = [SIDES[1] as u32, SIDES[2] as u32];
        write_tiff::<Gray8>(&labels, size, &masks(&[inside()]));
        Self { folder, raw, labels }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn paths(&self, call: Call, out: &str) -> Call {
        call.path("--raw", &self.raw).path("--labels", &self.labels).path("--out", &self.at(out))
    }
}

const OFFSET: [&str; 2] = ["--label-offset", "1,26,10"];

#[test]
fn a_run_asks_trains_and_tests_in_the_box() {
    let data = Data::new();
    let out = data.at("run");
    let outcome = data.paths(tiny().args(OFFSET), "run").succeed();
    assert_eq!(outcome.stderr.matches(SAID).count(), 1, "{outcome:#?}");
    // The box's rows are halved at row 48: patches of the first half end there, those of the second
    // begin there.
    let middle = AT[1] + SIDES[1] / 2;
    let lines = journal(&out);
    let picks: Vec<_> = lines.iter().flat_map(|l| l["picked"].as_array().unwrap()).collect();
    assert_eq!(picks.len(), 6);
    for pick in &picks {
        assert_eq!((count(pick, "z"), count(pick, "y")), (AT[0], middle - PATCH));
        assert!((AT[2]..=AT[2] + SIDES[2] - PATCH).contains(&count(pick, "x")));
    }
    // The index is that of the box's second half, whatever the network says around it.
    let pages = read_tiff(&out.join("segmentation.tif"));
    let [(size, predicted)] = &pages[..] else { panic!("{} pages", pages.len()) };
    assert_eq!(*size, [PATCH, SIDES[2]]);
    let true_half = &inside()[SIDES[1] / 2 * SIDES[2]..];
    let pairs = predicted.iter().zip(true_half).map(|(&p, &l)| (p > 0, l > 0));
    let wanted = jaccard(pairs);
    assert!((number(&lines[2], "jaccard") - wanted).abs() < 1e-12, "{wanted}: {lines:?}");
    // The settings keep the place.
    let settings = fs::read_to_string(out.join("config.toml")).unwrap();
    assert!(
        settings.contains("label_offset = [1, 26, 10]") || settings.contains("label_offset = [\n")
    );
    let resume = askem(["run", "--resume", "--device", "cpu"]).path("--out", &out).succeed();
    assert!(resume.stderr.contains(SAID), "{resume:#?}");
    let again = tiny().path("--config", &out.join("config.toml")).path("--out", &data.at("again"));
    again.succeed();
    assert_eq!(journal(&data.at("again"))[2]["jaccard"], lines[2]["jaccard"]);
}

#[test]
fn every_command_says_it_once_and_counts_the_box_alone() {
    let data = Data::new();
    let train = askem(["train", "--device", "cpu", "--patch", "32", "--width", "2", "--pool", "9"]);
    let outcome = data.paths(train.args(["--epochs", "1"]).args(OFFSET), "train").succeed();
    assert_eq!(outcome.stderr.matches(SAID).count(), 1, "{outcome:#?}");
    let compare = askem(["compare", "--strategies", "random", "--seeds", "1"]).args(UNSEEDED);
    let outcome = data.paths(compare.args(OFFSET), "compare").succeed();
    assert_eq!(outcome.stderr.matches(SAID).count(), 1, "{outcome:#?}");
    let inspect = askem(["inspect", "--json"]).path("--raw", &data.raw).args(OFFSET);
    let found = inspect.path("--labels", &data.labels).succeed().json();
    let foreground = inside().iter().filter(|&&l| l > 0).count() as f64 / inside().len() as f64;
    assert!((number(&found, "foreground") - foreground).abs() < 1e-12, "{found}");
    assert!(found["warnings"].to_string().contains(SAID), "{found}");
    // Labels of all of it in which the rest has a value of its own are worth the same.
    let mut sections = vec![vec![7_u8; SHAPE[1] * SHAPE[2]]; SHAPE[0]];
    for (y, row) in inside().chunks(SIDES[2]).enumerate() {
        sections[AT[0]][(AT[1] + y) * SHAPE[2] + AT[2]..][..SIDES[2]].copy_from_slice(row);
    }
    let whole = data.at("whole.tif");
    write_tiff::<Gray8>(&whole, SIZE, &sections);
    // A prediction that is wrong here and there.
    let wrong: Vec<Vec<u8>> = masks(&phantom().1)
        .iter()
        .map(|s| s.iter().enumerate().map(|(i, &l)| if i % 5 == 0 { 255 - l } else { l }).collect())
        .collect();
    let prediction = data.at("prediction.tif");
    write_tiff::<Gray8>(&prediction, SIZE, &wrong);
    let eval = |labels: &PathBuf, more: &[&str]| {
        let call = askem(["eval", "--json"]).args(more).path("--prediction", &prediction);
        call.path("--labels", labels).succeed()
    };
    let of_box = eval(&data.labels, &OFFSET);
    assert_eq!(of_box.stderr.matches(SAID).count(), 1, "{of_box:#?}");
    assert_eq!(of_box.json(), eval(&whole, &["--ignore-value", "7"]).json());
    assert!(number(&of_box.json(), "jaccard") < 0.9);
}

#[test]
fn test_labels_may_be_of_a_box_too() {
    let data = Data::new();
    let labels = data.at("labels");
    let call =
        tiny().path("--raw", &data.raw).path("--labels", &labels).path("--out", &data.at("r"));
    let call = call.path("--test-raw", &data.raw).path("--test-labels", &data.labels);
    let outcome = call.args(["--test-label-offset", "1,26,10"]).succeed();
    assert_eq!(outcome.stderr.matches(SAID).count(), 1, "{outcome:#?}");
    let pages = read_tiff(&data.at("r").join("segmentation.tif"));
    assert_eq!((pages.len(), pages[0].0), (1, [SIDES[1], SIDES[2]]));
    let pairs = pages[0].1.iter().zip(inside()).map(|(&p, l)| (p > 0, l > 0));
    assert!((number(&journal(&data.at("r"))[2], "jaccard") - jaccard(pairs)).abs() < 1e-12);
}

#[test]
fn wrong_boxes_are_refused_before_anything_is_written() {
    let data = Data::new();
    let run = |offset: &[&str]| data.paths(tiny().args(offset), "run").run();
    run(&[]).refuses(1, &["1 x 44 x 70", "2 x 96 x 96", "--label-offset"]);
    let beyond = run(&["--label-offset", "1,60,10"]);
    beyond.refuses(1, &["section 1, row 60, column 10", "row 104", "2 x 96 x 96"]);
    for wrong in ["-1,0,0", "1,26", "a,b,c", "1,26,10,0", "1.5,0,0"] {
        let outcome = run(&["--label-offset", wrong]);
        assert_eq!(outcome.code, Some(2), "{outcome:#?}");
        assert!(outcome.stderr.contains("such as 12,0,256"), "{outcome:#?}");
    }
    let phantom = tiny().args(["--phantom-shape", "2x96x96"]).args(OFFSET);
    phantom.path("--out", &data.at("run")).run().refuses(2, &["--label-offset", "--labels"]);
    assert!(!data.at("run").exists());
}
