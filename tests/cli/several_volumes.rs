//! Several volumes as one data set: each has its size, its grey values and its labels.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::{TempDir, tempdir};
use tiff::encoder::colortype::{Gray8, Gray16};

use crate::images::{masks, write_tiff};
use crate::program::{Call, askem};
use crate::results::{
    PATCH, TINY, count, fields, jaccard, journal, number, read_tiff, timeless, tiny,
};
use crate::tiny::UNSEEDED;

/// Two volumes that have nothing in common: their shapes, and how often a disc is foreground.
const SHAPES: [[usize; 3]; 2] = [[2, 96, 64], [3, 70, 120]];

/// Grey values and labels of a volume, section by section: dark discs on a noisy ground.
fn volume(which: usize) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let [depth, height, width] = SHAPES[which];
    let section = |z: usize| -> (Vec<u8>, Vec<u8>) {
        let pixel = |i: usize| {
            let (y, x) = (i / width, i % width);
            let across = [(y + 5 * z) % 27, (x + 9 * which) % 31].map(|side| side.abs_diff(13));
            let label = u8::from(across[0].pow(2) + across[1].pow(2) < 60);
            let noise = (i * 7919 + z * 104_729 + which * 31) % 41;
            (120 - 60 * label + noise as u8, label)
        };
        (0..height * width).map(pixel).unzip()
    };
    (0..depth).map(section).unzip()
}

struct Data {
    folder: TempDir,
}

impl Data {
    /// Writes both volumes and their labels; the grey values of the second are 200 times as large.
    fn new() -> Self {
        let data = Self { folder: tempdir().unwrap() };
        for which in [0, 1] {
            let (raw, labels) = volume(which);
            let size = [SHAPES[which][1] as u32, SHAPES[which][2] as u32];
            write_tiff::<Gray8>(&data.labels(which), size, &masks(&labels));
            match which {
                0 => write_tiff::<Gray8>(&data.raw(which), size, &raw),
                _ => write_scaled(&data.raw(which), size, &raw, 200),
            }
        }
        data
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn raw(&self, which: usize) -> PathBuf {
        self.at(&format!("raw-{which}.tif"))
    }

    fn labels(&self, which: usize) -> PathBuf {
        self.at(&format!("labels-{which}.tif"))
    }

    /// Both volumes as those that train, or with `test` those that test.
    fn both(&self, call: Call, test: &str) -> Call {
        [0, 1].iter().fold(call, |call, &which| {
            let call = call.path(&format!("--{test}raw"), &self.raw(which));
            call.path(&format!("--{test}labels"), &self.labels(which))
        })
    }

    fn run(&self, out: &str) -> Call {
        self.both(tiny(), "").path("--out", &self.at(out))
    }
}

/// The first part of a tiny experiment with another value of an option.
fn tiny_with(option: &str, value: &'static str) -> Call {
    let mut settings = TINY;
    let at = settings.iter().position(|&word| word == option).expect("a known option");
    settings[at + 1] = value;
    askem(["run"]).args(settings)
}

fn write_scaled(path: &Path, size: [u32; 2], raw: &[Vec<u8>], factor: u16) {
    let scaled = |section: &Vec<u8>| section.iter().map(|&v| u16::from(v) * factor).collect();
    write_tiff::<Gray16>(path, size, &raw.iter().map(scaled).collect::<Vec<_>>());
}

/// Which volume a pick lies in; the first goes without saying.
fn volume_of(pick: &Value) -> usize {
    pick["volume"].as_u64().unwrap_or(0) as usize
}

/// Foreground pixels of a pick.
fn foreground_of(pick: &Value) -> usize {
    let which = volume_of(pick);
    let (section, width) = (&volume(which).1[count(pick, "z")], SHAPES[which][2]);
    let rows = count(pick, "y")..count(pick, "y") + PATCH;
    let of_row = |y: usize| &section[y * width + count(pick, "x")..][..PATCH];
    rows.flat_map(of_row).filter(|&&label| label == 1).count()
}

#[test]
fn patches_are_asked_for_in_all_and_the_index_is_of_all() {
    let data = Data::new();
    let out = data.at("run");
    let outcome = data.run("run").succeed();
    let lines = journal(&out);
    let picks: Vec<&Value> = lines.iter().flat_map(|l| l["picked"].as_array().unwrap()).collect();
    let of: BTreeSet<usize> = picks.iter().map(|pick| volume_of(pick)).collect();
    assert_eq!(of.into_iter().collect::<Vec<_>>(), [0, 1], "{picks:?}");
    for pick in &picks {
        let [depth, height, width] = SHAPES[volume_of(pick)];
        // In the first half of the rows.
        assert!(count(pick, "z") < depth && count(pick, "y") + PATCH <= height / 2, "{pick}");
        assert!(count(pick, "x") + PATCH <= width, "{pick}");
        assert_eq!(fields(pick).contains(&"volume"), volume_of(pick) > 0, "{pick}");
    }
    // What is learnt from are the labels at the picks' places.
    for two in lines.windows(2) {
        let total = |line: &Value| {
            number(line, "labelled_foreground") * (count(line, "labelled") * PATCH * PATCH) as f64
        };
        let added: usize = two[0]["picked"].as_array().unwrap().iter().map(foreground_of).sum();
        assert!((total(&two[1]) - total(&two[0]) - added as f64).abs() < 1e-6, "{two:?}");
    }
    // Each volume's index by its own segmentation, and the one of all their pixels.
    let mut all = Vec::new();
    let last = &lines[2];
    for which in [0, 1] {
        let [depth, height, width] = SHAPES[which];
        let pages = read_tiff(&out.join(format!("segmentations/{which:03}.tif")));
        assert_eq!(pages.len(), depth);
        let mut pairs = Vec::new();
        for ((size, predicted), labels) in pages.iter().zip(volume(which).1) {
            assert_eq!(*size, [height - height / 2, width]);
            let truth = &labels[height / 2 * width..];
            pairs.extend(predicted.iter().zip(truth).map(|(&p, &l)| (p > 0, l > 0)));
        }
        let wanted = jaccard(pairs.iter().copied());
        let found = last["volume_jaccard"][which].as_f64().unwrap();
        assert!((found - wanted).abs() < 1e-12, "{found} {wanted}");
        assert!(outcome.stdout.contains(&format!("{found:.3}  {}", data.raw(which).display())));
        all.extend(pairs);
    }
    assert!((number(last, "jaccard") - jaccard(all.into_iter())).abs() < 1e-12, "{last}");
    assert!(!out.join("segmentation.tif").exists());
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    for part in ["Each volume", "raw-0.tif", "raw-1.tif", "volume 1, section"] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn each_is_scaled_by_its_own_grey_values_and_so_are_volumes_to_come() {
    let data = Data::new();
    data.run("run").succeed();
    // The factor is a power of two, so that all digits stay.
    let (raw, _) = volume(1);
    let size = [SHAPES[1][1] as u32, SHAPES[1][2] as u32];
    let predict = |out: &str| {
        let call = askem(["predict", "--device", "cpu"]).path("--raw", &data.raw(1));
        let outcome = call.path("--run", &data.at("run")).path("--out", &data.at(out)).succeed();
        assert!(!outcome.stderr.contains("far from those"), "{outcome:#?}");
        fs::read(data.at(out)).unwrap()
    };
    let before = predict("before.tif");
    write_scaled(&data.raw(1), size, &raw, 100);
    assert!(predict("after.tif") == before, "the network knows the volume in other grey values");
    data.run("other").succeed();
    assert_eq!(timeless(&data.at("run")), timeless(&data.at("other")));
    // Of a network of one volume the training's grey values count, as ever.
    let one = tiny().path("--raw", &data.raw(0)).path("--labels", &data.labels(0));
    one.path("--out", &data.at("one")).succeed();
    let call = askem(["predict", "--device", "cpu"]).path("--raw", &data.raw(1));
    let call = call.path("--run", &data.at("one")).path("--out", &data.at("one.tif"));
    assert!(call.succeed().stderr.contains("far from those"));
}

#[test]
fn a_run_goes_on_and_begins_anew_from_its_settings() {
    let data = Data::new();
    data.run("whole").succeed();
    for name in ["short", "stale"] {
        let short = data.both(tiny_with("--iterations", "1"), "");
        short.path("--out", &data.at(name)).succeed();
    }
    let short = data.at("short");
    let longer = askem(["run", "--resume", "--iterations", "2", "--device", "cpu"]);
    longer.path("--out", &short).succeed();
    let again = askem(["run", "--device", "cpu"]).path("--config", &short.join("config.toml"));
    again.path("--out", &data.at("again")).succeed();
    for run in ["short", "again"] {
        assert_eq!(timeless(&data.at(run)), timeless(&data.at("whole")), "{run}");
        for which in [0, 1] {
            let name = format!("segmentations/{which:03}.tif");
            let bytes = |run: &str| fs::read(data.at(run).join(&name)).unwrap();
            assert!(bytes(run) == bytes("whole"), "{run} {name}");
        }
    }
    // Labels that have changed since are noticed in any of the volumes.
    let (_, mut labels) = volume(1);
    labels[0].reverse();
    let size = [SHAPES[1][1] as u32, SHAPES[1][2] as u32];
    write_tiff::<Gray8>(&data.labels(1), size, &masks(&labels));
    let longer = askem(["run", "--resume", "--iterations", "2", "--device", "cpu"]);
    longer.path("--out", &data.at("stale")).run().refuses(1, &["labels", "stale"]);
    // A run that takes its place leaves nothing of it.
    let one = tiny().path("--raw", &data.raw(0)).path("--labels", &data.labels(0));
    one.args(["--force"]).path("--out", &short).succeed();
    assert!(!short.join("segmentations").exists() && short.join("segmentation.tif").exists());
}

#[test]
fn several_volumes_test() {
    let data = Data::new();
    let call = tiny().path("--raw", &data.raw(0)).path("--labels", &data.labels(0));
    let call = data.both(call, "test-").args(["--normalise", "volume"]);
    call.path("--out", &data.at("run")).succeed();
    let lines = journal(&data.at("run"));
    for which in [0, 1] {
        let pages = read_tiff(&data.at("run").join(format!("segmentations/{which:03}.tif")));
        let truth: Vec<u8> = volume(which).1.concat();
        let predicted: Vec<u8> = pages.into_iter().flat_map(|(_, pixels)| pixels).collect();
        let wanted = jaccard(predicted.iter().zip(&truth).map(|(&p, &l)| (p > 0, l > 0)));
        let found = lines[2]["volume_jaccard"][which].as_f64().unwrap();
        assert!((found - wanted).abs() < 1e-12, "{found} {wanted}");
    }
}

#[test]
fn a_comparison_of_several_volumes_has_the_runs_of_them() {
    let data = Data::new();
    let compare = askem(["compare", "--strategies", "random", "--seeds", "1"]).args(UNSEEDED);
    data.both(compare, "").path("--out", &data.at("compare")).succeed();
    let lines = journal(&data.at("compare/random-0"));
    assert_eq!(lines[2]["volume_jaccard"].as_array().unwrap().len(), 2);
    let page = fs::read_to_string(data.at("compare/report.html")).unwrap();
    assert!(page.contains("2 volumes") && page.contains("volume 1: where the picks lie"));
}

#[test]
fn what_does_not_belong_together_is_refused_by_name() {
    let data = Data::new();
    let [a, b] = [data.raw(0), data.raw(1)];
    let [of_a, of_b] = [data.labels(0), data.labels(1)];
    let call = |pairs: &[(&Path, Option<&Path>)]| {
        pairs.iter().fold(tiny().path("--out", &data.at("none")), |call, (raw, labels)| {
            let call = call.path("--raw", raw);
            labels.iter().fold(call, |call, labels| call.path("--labels", labels))
        })
    };
    let two = call(&[(&a, Some(&of_a)), (&b, None)]);
    two.run().refuses(2, &["--labels", "1 are given and 2 --raw", "one for each"]);
    let twice = call(&[(&a, Some(&of_a)), (&a, Some(&of_a))]);
    twice.run().refuses(2, &["raw-0.tif", "twice"]);
    let swapped = call(&[(&a, Some(&of_b)), (&b, Some(&of_a))]);
    swapped.run().refuses(1, &["raw-0.tif", "2 x 96 x 64", "3 x 70 x 120"]);
    let offset = call(&[(&a, Some(&of_a)), (&b, Some(&of_b))]).args(["--label-offset", "0,0,0"]);
    offset.run().refuses(2, &["--label-offset", "1 are given and 2 --labels"]);
    let large = data.both(tiny_with("--patch", "48"), "").path("--out", &data.at("none"));
    large.run().refuses(2, &["raw-1.tif", "35 x 120", "--patch 32"]);
    assert!(!data.at("none").exists());
}

#[test]
fn one_of_them_may_have_no_foreground_and_it_is_said() {
    let data = Data::new();
    let size = [SHAPES[1][1] as u32, SHAPES[1][2] as u32];
    let nothing = vec![vec![0; SHAPES[1][1] * SHAPES[1][2]]; SHAPES[1][0]];
    write_tiff::<Gray8>(&data.labels(1), size, &nothing);
    let outcome = data.run("run").succeed();
    let said = format!("{}: the labels have no foreground", data.raw(1).display());
    assert_eq!(outcome.stderr.matches(&said).count(), 1, "{outcome:#?}");
    let lines = journal(&data.at("run"));
    assert!(lines.iter().all(|line| line["jaccard"].is_number()));
    let size = [SHAPES[0][1] as u32, SHAPES[0][2] as u32];
    let nothing = vec![vec![0; SHAPES[0][1] * SHAPES[0][2]]; SHAPES[0][0]];
    write_tiff::<Gray8>(&data.labels(0), size, &nothing);
    data.run("none").run().refuses(1, &["no foreground", "labels-0.tif"]);
}

#[test]
fn two_boxes_of_one_volume_are_two_volumes() {
    let data = Data::new();
    let (_, labels) = volume(0);
    let width = SHAPES[0][2];
    // Rows 20 to 63 of section 0, and rows 50 to 95 of section 1, all columns.
    for (name, z, rows) in [("one.tif", 0, 20..64), ("two.tif", 1, 50..96)] {
        let part = labels[z][rows.start * width..rows.end * width].to_vec();
        write_tiff::<Gray8>(&data.at(name), [rows.len() as u32, width as u32], &masks(&[part]));
    }
    let call = ["one.tif", "two.tif"].iter().fold(tiny(), |call, labels| {
        call.path("--raw", &data.raw(0)).path("--labels", &data.at(labels))
    });
    let call = call.args(["--label-offset", "0,20,0", "--label-offset", "1,50,0"]);
    call.path("--out", &data.at("run")).succeed();
    let settings = fs::read_to_string(data.at("run/config.toml")).unwrap();
    assert!(settings.contains("label_offset = [[0, 20, 0], [1, 50, 0]]"), "{settings}");
    let lines = journal(&data.at("run"));
    for pick in lines.iter().flat_map(|line| line["picked"].as_array().unwrap()) {
        assert_eq!(count(pick, "z"), volume_of(pick), "{pick}");
    }
}

#[test]
fn what_is_labelled_is_left_out_in_its_own_volume() {
    let data = Data::new();
    data.run("run").succeed();
    let store = |which: usize| data.at(&format!("scores-{which}.zarr"));
    let mut totals = Vec::new();
    for which in [0, 1] {
        let score = askem(["score", "--device", "cpu", "--stride", "1", "--embedding", "none"]);
        let score = score.path("--run", &data.at("run")).path("--raw", &data.raw(which));
        score.path("--out", &store(which)).succeed();
        let [depth, height, width] = SHAPES[which];
        totals.push(depth * (height - PATCH + 1) * (width - PATCH + 1));
    }
    let all = totals.iter().sum::<usize>();
    let select = |query: usize, exclude: &Path| -> Vec<Value> {
        let call = askem(["select", "--strategy", "random", "--json"]);
        let call = call.args(["--query", &query.to_string()]).path("--exclude", exclude);
        call.args([store(0), store(1)]).succeed().json_lines()
    };
    let place = |line: &Value| (count(line, "z"), count(line, "y"), count(line, "x"));
    let of_store = |lines: &[Value], which: usize| -> BTreeSet<(usize, usize, usize)> {
        let name = store(which).display().to_string();
        lines.iter().filter(|line| line["store"] == *name).map(place).collect()
    };
    // Four at first and two times three: each is missing once, in its own volume.
    let run = data.at("run").join("journal.jsonl");
    let left = select(all, &run);
    assert_eq!(left.len(), all - 10);
    for pick in journal(&data.at("run")).iter().flat_map(|l| l["picked"].as_array().unwrap()) {
        assert!(!of_store(&left, volume_of(pick)).contains(&place(pick)), "{pick}");
    }
    // So in a list that this command made.
    let list = data.at("list.jsonl");
    let empty = data.at("empty.jsonl");
    fs::write(&empty, "").unwrap();
    let some = select(7, &empty);
    let text: Vec<String> = some.iter().map(Value::to_string).collect();
    fs::write(&list, text.join("\n")).unwrap();
    let left = select(all, &list);
    assert_eq!(left.len(), all - 7);
    for which in [0, 1] {
        assert!(of_store(&left, which).is_disjoint(&of_store(&some, which)));
    }
}
