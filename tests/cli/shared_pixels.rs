//! Images that train and test alike are said.

use std::path::{Path, PathBuf};

use tempfile::{TempDir, tempdir};
use tiff::encoder::colortype::Gray8;

use crate::images::{SIZE, masks, write_tiff};
use crate::program::{Call, askem};
use crate::results::{SHAPE, phantom, tiny};
use crate::tiny::UNSEEDED;

struct Data {
    folder: TempDir,
}

impl Data {
    /// The phantom as it is, and a part of it: rows and columns of one section.
    fn new() -> Self {
        let data = Self { folder: tempdir().unwrap() };
        let (raw, labels) = phantom();
        data.write("whole", &raw, &labels, SIZE);
        let part = |section: &[u8]| -> Vec<u8> {
            let row = |y: usize| section[y * SHAPE[2] + 13..][..50].to_vec();
            (20..60).flat_map(row).collect()
        };
        data.write("part", &[part(&raw[1])], &[part(&labels[1])], [40, 50]);
        // The same tissue from another microscope.
        let inverted: Vec<Vec<u8>> =
            raw.iter().map(|section| section.iter().map(|v| 255 - v).collect()).collect();
        data.write("other", &inverted, &labels, SIZE);
        data
    }

    fn write(&self, name: &str, raw: &[Vec<u8>], labels: &[Vec<u8>], size: [u32; 2]) {
        write_tiff::<Gray8>(&self.at(&format!("{name}.tif")), size, raw);
        write_tiff::<Gray8>(&self.at(&format!("{name}-labels.tif")), size, &masks(labels));
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn pair(&self, call: Call, options: [&str; 2], name: &str) -> Call {
        let call = call.path(options[0], &self.at(&format!("{name}.tif")));
        call.path(options[1], &self.at(&format!("{name}-labels.tif")))
    }
}

const TRAIN: [&str; 2] = ["--raw", "--labels"];
const TEST: [&str; 2] = ["--test-raw", "--test-labels"];
const SAID: &str = "rows of the test's images train too";

#[test]
fn a_test_volume_that_is_or_was_cut_out_of_the_training_s_is_said() {
    let data = Data::new();
    let run = |test: &str| {
        let call = data.pair(data.pair(tiny(), TRAIN, "whole"), TEST, test);
        call.path("--out", &data.at(&format!("run-{test}"))).succeed().stderr
    };
    let said = run("whole");
    assert!(said.contains(&format!("192 of 192 {SAID}")), "{said}");
    let said = run("part");
    assert!(said.contains(&format!("40 of 40 {SAID}")), "{said}");
    let places = ["section 0, row 0 of ", "part.tif, is section 1, row 20 of ", "whole.tif"];
    assert!(places.iter().all(|place| said.contains(place)), "{said}");
    assert!(!run("other").contains(SAID));
}

#[test]
fn every_command_says_it_once_and_halves_share_nothing() {
    let data = Data::new();
    let train = ["train", "--device", "cpu", "--patch", "32", "--width", "2", "--epochs", "1"];
    let call = data.pair(data.pair(askem(train), TRAIN, "whole"), TEST, "part");
    let said = call.path("--out", &data.at("train")).succeed().stderr;
    assert_eq!(said.matches(SAID).count(), 1, "{said}");
    let compare = askem(["compare", "--strategies", "random", "--seeds", "1"]).args(UNSEEDED);
    let call = data.pair(data.pair(compare, TRAIN, "whole"), TEST, "part");
    let said = call.path("--out", &data.at("compare")).succeed().stderr;
    assert_eq!(said.matches(SAID).count(), 1, "{said}");
    let call = data.pair(tiny(), TRAIN, "whole").path("--out", &data.at("halves"));
    assert!(!call.succeed().stderr.contains(SAID));
    // Of two volumes, the half of one that tests may be among what trains of the other.
    let call = data.pair(data.pair(tiny(), TRAIN, "whole"), TRAIN, "other");
    assert!(!call.path("--out", &data.at("two")).succeed().stderr.contains(SAID));
    let (raw, labels) = phantom();
    let turned = |sections: &[Vec<u8>]| -> Vec<Vec<u8>> {
        let rows = |section: &Vec<u8>| -> Vec<u8> {
            section.chunks(SHAPE[2]).rev().flatten().copied().collect()
        };
        sections.iter().map(rows).collect()
    };
    data.write("upside-down", &turned(&raw), &turned(&labels), SIZE);
    let call = data.pair(data.pair(tiny(), TRAIN, "whole"), TRAIN, "upside-down");
    let said = call.path("--out", &data.at("mirrored")).succeed().stderr;
    assert!(said.contains(&format!("192 of 192 {SAID}")), "{said}");
}

#[test]
fn images_are_not_their_own_labels() {
    let data = Data::new();
    let raw = data.at("whole.tif");
    let refuses = |call: Call| {
        let call = call.path("--out", &data.at("none"));
        call.run().refuses(2, &["whole.tif", "given as images and as their labels"]);
    };
    let same = |path: &Path| tiny().path("--raw", &raw).path("--labels", path);
    refuses(same(&raw));
    #[cfg(unix)]
    {
        let link = data.at("link.tif");
        std::os::unix::fs::symlink(&raw, &link).unwrap();
        refuses(same(&link));
    }
    let test = data.pair(tiny(), TRAIN, "other").path("--test-raw", &raw);
    refuses(test.path("--test-labels", &raw));
    assert!(!data.at("none").exists());
}
