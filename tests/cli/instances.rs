//! `instances`, and `predict --as instances`: objects with a table of them.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use askem::data::volume::{Dtype, OmeKind, OmeZarrWriter, open_raw};
use serde_json::{Value, json};
use tempfile::tempdir;
use tiff::encoder::colortype::{Gray8, Gray32Float, GrayI16};

use crate::images::{SIZE, masks, phantom_folders, write_folder, write_tiff};
use crate::program::{Call, Running, askem};
use crate::results::{SHAPE, phantom, tiny};

/// The pixels of a volume of the phantom's shape.
fn pixels(path: &Path) -> Vec<f32> {
    let volume = open_raw(path).unwrap();
    assert_eq!(volume.shape(), SHAPE);
    (0..SHAPE[0]).flat_map(|z| volume.read_section(z).unwrap().pixels).collect()
}

/// Each voxel's connected component, numbered by their first voxels, of voxels that share faces.
fn components(foreground: &[bool]) -> Vec<f32> {
    let [_, height, width] = SHAPE;
    let mut labels = vec![0.0; foreground.len()];
    let mut count = 0.0;
    for first in 0..foreground.len() {
        if !foreground[first] || labels[first] > 0.0 {
            continue;
        }
        count += 1.0;
        let mut todo = vec![first];
        while let Some(voxel) = todo.pop() {
            if labels[voxel] > 0.0 {
                continue;
            }
            labels[voxel] = count;
            let (y, x) = (voxel / width % height, voxel % width);
            let steps = [
                (voxel >= height * width, -((height * width) as isize)),
                (voxel + height * width < foreground.len(), (height * width) as isize),
                (y > 0, -(width as isize)),
                (y + 1 < height, width as isize),
                (x > 0, -1),
                (x + 1 < width, 1),
            ];
            let next = steps.iter().filter(|(is_in, _)| *is_in);
            todo.extend(
                next.map(|(_, step)| voxel.wrapping_add_signed(*step)).filter(|&i| foreground[i]),
            );
        }
    }
    labels
}

fn instances(prediction: &Path, out: &Path) -> Call {
    askem(["instances"]).path("--prediction", prediction).path("--out", out)
}

/// The names of files in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn labels_fall_into_their_components() {
    let folder = tempdir().unwrap();
    let labels = folder.path().join("labels");
    // The phantom, and a few specks.
    let mut sections = masks(&phantom().1);
    (0..SHAPE[1] * SHAPE[2]).step_by(1111).for_each(|pixel| sections[1][pixel] = 255);
    write_folder(&labels, SIZE, &sections);
    let truth: Vec<bool> = sections.concat().iter().map(|&label| label > 0).collect();
    let want = components(&truth);
    let count = want.iter().copied().fold(0.0, f32::max) as usize;
    assert!(count > 2, "nothing to see");
    let all = ["--split", "0", "--min-size", "1"];
    for name in ["a.tif", "b.zarr"] {
        let out = folder.path().join(name);
        let found = instances(&labels, &out).args(all).args(["--json"]).succeed();
        // A folder of PNG files knows no voxels.
        assert!(found.stderr.contains("--voxel-nm"), "{found:#?}");
        let csv = out.with_extension("csv");
        let foreground = truth.iter().filter(|&&is_one| is_one).count();
        assert_eq!(
            found.json(),
            json!({
                "objects": count, "voxels": foreground, "too_small": 0, "cut": 0, "not_cut": 0,
                "out": out, "csv": csv,
            })
        );
        assert_eq!(pixels(&out), want, "{name}");
        let text = fs::read_to_string(&csv).unwrap();
        assert!(text.starts_with("label,voxels,surface_voxels,"), "{text}");
        let sizes = text.lines().skip(1).map(|line| line.split(',').nth(1).unwrap().parse());
        let sizes: Vec<usize> = sizes.map(Result::unwrap).collect();
        let of = |label: usize| want.iter().filter(|&&l| l == label as f32).count();
        assert_eq!(sizes, (1..=count).map(of).collect::<Vec<_>>());
    }
    // Small ones go, and a table with another name.
    let sizes: Vec<usize> =
        (1..=count).map(|label| want.iter().filter(|&&l| l == label as f32).count()).collect();
    let least = sizes.iter().max().unwrap().to_string();
    let [out, csv] = ["c.tif", "sizes.csv"].map(|name| folder.path().join(name));
    let call = instances(&labels, &out).args(["--min-size", &least, "--voxel-nm", "40,4,5"]);
    let found = call.path("--csv", &csv).succeed();
    assert!(found.stdout.contains("wrote 1 objects") && found.stderr.is_empty(), "{found:#?}");
    let line = fs::read_to_string(&csv).unwrap().lines().nth(1).unwrap().to_string();
    let volume = least.parse::<usize>().unwrap() * 800;
    assert!(line.starts_with(&format!("1,{least},{volume},")), "{line}");
    assert_eq!(open_raw(&out).unwrap().voxel_nm(), Some([40.0, 4.0, 5.0]));
    assert_eq!(
        names(folder.path()),
        ["a.csv", "a.tif", "b.csv", "b.zarr", "c.tif", "labels", "sizes.csv"]
    );
}

#[test]
fn predicted_objects_are_those_of_the_probabilities() {
    let folder = tempdir().unwrap();
    let (raw, labels) = phantom_folders(folder.path());
    let run = folder.path().join("run");
    tiny().path("--raw", &raw).path("--labels", &labels).path("--out", &run).succeed();
    let at = |name: &str| folder.path().join(name);
    let predict = |kind: &str, out: &Path| {
        askem(["predict", "--device", "cpu", "--as", kind])
            .path("--weights", &run.join("weights.safetensors"))
            .path("--raw", &raw)
            .path("--out", out)
    };
    predict("probabilities", &at("p.tif")).succeed();
    let p = pixels(&at("p.tif"));
    let mut sorted = p.clone();
    sorted.sort_by(f32::total_cmp);
    // Of the tiny network's probabilities a tenth is above.
    let threshold = sorted[sorted.len() * 9 / 10].to_string();
    let options = ["--threshold", &threshold, "--min-size", "2", "--split", "0"];
    predict("instances", &at("a.tif")).args(options).succeed();
    let nowhere = at("nowhere").join("a.csv");
    let refused = predict("instances", &at("a.zarr")).args(options).path("--csv", &nowhere);
    refused.run().refuses(1, &["nowhere", "creating it"]);
    let csv = at("zarr.csv");
    predict("instances", &at("a.zarr")).args(options).path("--csv", &csv).succeed();
    instances(&at("p.tif"), &at("b.tif")).args(options).succeed();
    let threshold: f32 = threshold.parse().unwrap();
    let foreground: Vec<bool> = p.iter().map(|&p| p > threshold).collect();
    let all = components(&foreground);
    let found = pixels(&at("a.tif"));
    assert_eq!((&found, &found), (&pixels(&at("a.zarr")), &pixels(&at("b.tif"))));
    assert_eq!(fs::read(at("a.csv")).unwrap(), fs::read(at("b.csv")).unwrap());
    assert_eq!(fs::read(at("a.csv")).unwrap(), fs::read(csv).unwrap());
    // Those of one voxel are left out, and the others keep their order.
    let mut next = 0.0;
    let count = all.iter().copied().fold(0.0, f32::max) as usize;
    for label in 1..=count {
        let own: Vec<usize> = (0..all.len()).filter(|&i| all[i] == label as f32).collect();
        next += f32::from(u8::from(own.len() > 1));
        let want = if own.len() > 1 { next } else { 0.0 };
        assert!(own.iter().all(|&i| found[i] == want), "component {label}");
    }
    assert!(next > 0.0, "nothing to see");
    assert!(names(folder.path()).iter().all(|name| !name.contains("partial")));
    // Its options are for it alone, and it is for one process.
    predict("labels", &at("c.tif")).args(["--min-size", "3"]).run().refuses(2, &["--as instances"]);
    let parts = predict("instances", &at("c.zarr")).args(["--shard", "0/2"]);
    parts.run().refuses(2, &["--as instances", "askem instances"]);
}

#[test]
fn what_is_there_is_overwritten_only_when_told_so() {
    let folder = tempdir().unwrap();
    let (_, labels) = phantom_folders(folder.path());
    let at = |name: &str| folder.path().join(name);
    for name in ["a.tif", "b.zarr"] {
        let out = at(name);
        instances(&labels, &out).succeed();
        instances(&labels, &out).run().refuses(2, &[name, "exists", "--force"]);
        let before = pixels(&out);
        instances(&labels, &out).args(["--force"]).succeed();
        assert_eq!(pixels(&out), before);
    }
    // An OME-Zarr that a killed call left has no metadata.
    fs::remove_file(at("b.zarr").join("zarr.json")).unwrap();
    instances(&labels, &at("b.zarr")).run().refuses(2, &["b.zarr", "is not complete", "--force"]);
    instances(&labels, &at("b.zarr")).args(["--force"]).succeed();
    // Nor any description, if it was killed at its very beginning.
    fs::create_dir_all(at("f.zarr").join("s0")).unwrap();
    fs::write(at("f.zarr").join("s0").join("lock"), "").unwrap();
    instances(&labels, &at("f.zarr")).run().refuses(2, &["f.zarr", "is not complete", "--force"]);
    instances(&labels, &at("f.zarr")).args(["--force"]).succeed();
    // What others wrote stays in any case.
    fs::write(at("c.csv"), "my,own,table\n").unwrap();
    let refused = instances(&labels, &at("c.tif")).args(["--force"]).run();
    refused.refuses(2, &["c.csv", "was not written by askem"]);
    fs::write(at("d.tif"), "mine").unwrap();
    let refused = instances(&labels, &at("d.tif")).args(["--force"]).run();
    refused.refuses(2, &["d.tif", "was not written by askem"]);
    fs::create_dir(at("e.zarr")).unwrap();
    let refused = instances(&labels, &at("e.zarr")).args(["--force"]).run();
    refused.refuses(2, &["e.zarr", "was not written by askem"]);
    assert_eq!(fs::read_to_string(at("c.csv")).unwrap(), "my,own,table\n");
    assert!(!at("c.tif").exists() && !at("d.csv").exists());
}

#[test]
fn no_call_overwrites_the_table_of_another_image() {
    let folder = tempdir().unwrap();
    let (_, labels) = phantom_folders(folder.path());
    let at = |name: &str| folder.path().join(name);
    let (tiff, zarr, csv) = (at("a.tif"), at("a.zarr"), at("a.csv"));
    instances(&labels, &tiff).succeed();
    let table = fs::read(&csv).unwrap();
    let larger = ["--min-size", "2000"];
    for force in [&[] as &[&str], &["--force"]] {
        let refused = instances(&labels, &zarr).args(larger).args(force).run();
        refused.refuses(2, &["--out", "a.zarr", "a.tif holds objects too", "a.csv", "--csv"]);
    }
    instances(&labels, &zarr).args(larger).path("--csv", &at("of_zarr.csv")).succeed();
    assert_eq!(fs::read(&csv).unwrap(), table);
    // Of two images nobody knows whose it is, unless it is said.
    let again = || instances(&labels, &tiff).args(["--force"]);
    again().run().refuses(2, &["a.zarr holds objects too", "a.csv", "--csv"]);
    again().path("--csv", &csv).succeed();
    fs::remove_dir_all(&zarr).unwrap();
    again().succeed();
}

#[test]
fn senseless_calls_are_refused_before_any_work() {
    let folder = tempdir().unwrap();
    let (_, labels) = phantom_folders(folder.path());
    let out = folder.path().join("a.tif");
    let before = names(folder.path());
    for (options, part) in [
        (["--split", "1.5"], "--split 1.5"),
        (["--split-box", "99999999999"], "--split-box"),
        (["--threshold", "NaN"], "--threshold NaN"),
    ] {
        instances(&labels, &out).args(options).run().refuses(2, &[part]);
    }
    for options in [["--voxel-nm", "1,2"], ["--connectivity", "18"], ["--min-size", "few"]] {
        assert_eq!(instances(&labels, &out).args(options).run().code, Some(2), "{options:?}");
    }
    let refused = instances(&labels, &folder.path().join("a.png")).run();
    refused.refuses(2, &["a.png", ".zarr", ".tif"]);
    let refused = instances(&labels, &out).path("--csv", &out).run();
    refused.refuses(2, &["--csv", "names of their own"]);
    let refused = instances(&labels, &labels.join("a.tif")).run();
    refused.refuses(2, &["--out: ", "--prediction"]);
    let refused = instances(&labels, &out).path("--csv", &labels).args(["--force"]).run();
    refused.refuses(2, &["--csv: ", "--prediction", "choose another --csv"]);
    instances(&folder.path().join("none"), &out).run().refuses(1, &["none", "no such file"]);
    // No folder is made for what can't be done.
    let deep = folder.path().join("new").join("a.zarr");
    instances(&folder.path().join("none"), &deep).run().refuses(1, &["none", "no such file"]);
    let both = ["--label-value", "1", "--threshold", "0.5"];
    assert_eq!(instances(&labels, &out).args(both).run().code, Some(2));
    // A device that never ends is no table of ours.
    let endless = Path::new("/dev/zero");
    if endless.exists() {
        let refused = instances(&labels, &out).path("--csv", endless).args(["--force"]).run();
        refused.refuses(2, &["/dev/zero", "was not written by askem"]);
    }
    // Neither labels nor probabilities.
    let nan = folder.path().join("nan.tif");
    let mut values = vec![0.0; SHAPE[1] * SHAPE[2]];
    values[7] = f32::NAN;
    write_tiff::<Gray32Float>(&nan, SIZE, &[values]);
    instances(&nan, &out).run().refuses(1, &["nan.tif", "column 7 is NaN"]);
    fs::remove_file(nan).unwrap();
    assert_eq!(names(folder.path()), before, "nothing is left");
}

#[test]
fn notes_tell_of_what_may_be_meant_otherwise() {
    let folder = tempdir().unwrap();
    let (raw, labels) = phantom_folders(folder.path());
    let out = |name: &str| folder.path().join(name);
    // Grey values as labels: all is foreground.
    let found = instances(&raw, &out("a.tif")).succeed();
    assert!(found.stderr.contains("--threshold"), "{found:#?}");
    // Boxes of 27 voxels, one around each of them included, hold a voxel, which can't be cut.
    let call = instances(&labels, &out("b.tif")).args(["--split-box", "27", "--json"]);
    let found = call.succeed();
    assert!(found.stderr.contains("--split-box 27"), "{found:#?}");
    let said = found.json();
    assert_eq!((&said["not_cut"], &said["cut"]), (&said["objects"], &json!(0)));
    // No foreground: no objects, and files all the same.
    let empty = folder.path().join("empty");
    write_folder(&empty, SIZE, &vec![vec![0; SHAPE[1] * SHAPE[2]]; SHAPE[0]]);
    let found = instances(&empty, &out("c.tif")).args(["--json"]).succeed();
    assert_eq!(found.json()["objects"], 0);
    assert!(pixels(&out("c.tif")).iter().all(|&label| label == 0.0));
    assert_eq!(open_raw(&out("c.tif")).unwrap().dtype(), Dtype::U16);
    assert_eq!(fs::read_to_string(out("c.csv")).unwrap().lines().count(), 1);
}

#[test]
fn one_value_of_several_is_taken_exactly() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // Two classes that touch, and one that is ignored elsewhere.
    let value = |i: usize| match (i / SHAPE[2] % SHAPE[1], i % SHAPE[2]) {
        (10..30, 10..30) => 1,
        (10..30, 30..50) | (60..70, 5..20) => 2,
        (80.., _) => -1,
        _ => 0,
    };
    let values: Vec<i16> = (0..SHAPE.iter().product()).map(value).collect();
    let sections: Vec<Vec<i16>> = values.chunks(SHAPE[1] * SHAPE[2]).map(<[i16]>::to_vec).collect();
    write_tiff::<GrayI16>(&at("classes.tif"), SIZE, &sections);
    for wanted in [None, Some(1), Some(2), Some(-1), Some(3)] {
        let name = format!("{}.tif", wanted.map_or("all".into(), |value| value.to_string()));
        let mut call = instances(&at("classes.tif"), &at(&name)).args(["--split", "0"]);
        if let Some(value) = wanted {
            call = call.args(["--label-value", &value.to_string()]);
        }
        call.succeed();
        let is_one = |&v: &i16| wanted.map_or(v > 0, |wanted| v == wanted);
        let want = components(&values.iter().map(is_one).collect::<Vec<_>>());
        assert_eq!(pixels(&at(&name)), want, "{wanted:?}");
    }
}

#[test]
fn objects_lie_where_their_input_lies() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let [voxel, origin] = [[40.0, 8.0, 8.0], [400.0, 16.0, 80.0]];
    let about = json!({ "foreground": "labels" });
    let writer = OmeZarrWriter::create(&at("in.zarr"), [1, 4, 6], OmeKind::Labels, about, false);
    let writer = writer.unwrap().with_voxel_nm(Some(voxel)).with_origin(Some(origin));
    writer.write(0, &[255.0; 24]).unwrap();
    writer.finish().unwrap();
    let transformations = |name: &str| {
        let text = fs::read(at(name).join("zarr.json")).unwrap();
        let group: Value = serde_json::from_slice(&text).unwrap();
        let image = &group["attributes"]["ome"]["multiscales"][0];
        image["datasets"][0]["coordinateTransformations"].clone()
    };
    instances(&at("in.zarr"), &at("a.zarr")).succeed();
    assert_eq!(transformations("a.zarr"), transformations("in.zarr"));
    // The same voxel of the space, in other nanometres.
    instances(&at("in.zarr"), &at("b.zarr")).args(["--voxel-nm", "20,4,2"]).succeed();
    let want = json!([
        { "type": "scale", "scale": [20.0, 4.0, 2.0] },
        { "type": "translation", "translation": [200.0, 8.0, 20.0] },
    ]);
    assert_eq!(transformations("b.zarr"), want);
}

/// Noise in which nearly all hangs together: cutting it takes a while.
fn noise(path: &Path) {
    let mut state = 7_u32;
    let mut pixel = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        u8::from(state >> 24 < 150)
    };
    let sections: Vec<Vec<u8>> =
        (0..16).map(|_| (0..256 * 256).map(|_| pixel()).collect()).collect();
    write_tiff::<Gray8>(path, [256, 256], &sections);
}

/// Starts a call and ends it when a file of it is there, and so many milliseconds later.
fn disturbed(call: Call, folder: &Path, delay: u64, end: impl FnOnce(Running)) {
    let mut running = call.start();
    running.until(|| names(folder).iter().any(|name| name.contains("objects.")));
    sleep(Duration::from_millis(delay));
    end(running);
}

#[test]
fn a_killed_call_is_made_again_and_leaves_nothing() {
    let inputs = tempdir().unwrap();
    let input = inputs.path().join("noise.tif");
    noise(&input);
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let call = |out: &Path| instances(&input, out).args(["--min-size", "20", "--split", "1"]);
    call(&inputs.path().join("whole.tif")).succeed();
    let whole = ["whole.tif", "whole.csv"].map(|name| fs::read(inputs.path().join(name)).unwrap());
    for delay in [0, 30, 100, 300] {
        for name in ["objects.tif", "objects.zarr"] {
            disturbed(call(&at(name)), folder.path(), delay, Running::kill);
            // An image that was begun wants to be overwritten.
            call(&at(name)).args(["--force"]).succeed();
            assert_eq!(names(folder.path()), ["objects.csv", name], "after {delay} ms");
            assert_eq!(fs::read(at("objects.csv")).unwrap(), whole[1]);
            if name == "objects.tif" {
                assert_eq!(fs::read(at(name)).unwrap(), whole[0]);
                fs::remove_file(at(name)).unwrap();
            } else {
                fs::remove_dir_all(at(name)).unwrap();
            }
            fs::remove_file(at("objects.csv")).unwrap();
        }
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_call_leaves_nothing() {
    let inputs = tempdir().unwrap();
    let input = inputs.path().join("noise.tif");
    noise(&input);
    let mut caught = 0;
    for delay in [0, 100, 300] {
        for name in ["objects.tif", "objects.zarr"] {
            let folder = tempdir().unwrap();
            let call = instances(&input, &folder.path().join(name)).args(["--split", "1"]);
            let mut running = call.start();
            // From here on the program catches the signal.
            let mask = format!(".{name}.");
            running.until(|| names(folder.path()).iter().any(|name| name.starts_with(&mask)));
            sleep(Duration::from_millis(delay));
            running.interrupt();
            let outcome = running.wait();
            if outcome.code != Some(0) {
                assert_eq!(outcome.code, Some(130), "{outcome:#?}");
                assert!(outcome.stderr.contains("nothing was written"), "{outcome:#?}");
                assert_eq!(names(folder.path()), [] as [&str; 0]);
                caught += 1;
            }
        }
    }
    assert!(caught > 0, "every call ended before it was interrupted");
}

#[cfg(not(unix))]
#[test]
fn an_interrupted_call_leaves_nothing() {
    let test = "an_interrupted_call_leaves_nothing";
    crate::program::not_run(test, "needs a system with signals");
}
