//! Files as labs have them: axes in any order, channels, wide labels, odd tiles.
//!
//! `make_lab_files.py` writes them, and says what a reader has to get with which options, or of
//! what a refusal has to speak.

use std::path::Path;

use askem::data::volume::{
    AxesOptions, LabelOptions, LabelValue, Volume, open_labels_as, open_raw_as,
};
use rayon::prelude::*;
use serde_json::Value;

use crate::program::askem;
use crate::{compare, run, sides};

/// The options of a case as the library takes them.
fn options(words: &[String]) -> AxesOptions {
    let mut options = AxesOptions::default();
    for pair in words.chunks(2) {
        let number = || pair[1].parse().unwrap();
        match pair[0].as_str() {
            "--axes" => options.axes = Some(pair[1].parse().unwrap()),
            "--channel" => options.channel = Some(number()),
            "--time" => options.time = Some(number()),
            other => panic!("{other}"),
        }
    }
    options
}

fn pixels(case: &Value) -> Vec<f32> {
    let bytes = std::fs::read(case["pixels"].as_str().unwrap()).unwrap();
    bytes.as_chunks::<8>().0.iter().map(|&bytes| f64::from_le_bytes(bytes) as f32).collect()
}

fn raw_reads(path: &Path, case: &Value, options: &AxesOptions) -> Result<(), String> {
    let volume = open_raw_as(path, options).map_err(|e| e.to_string())?;
    compare(&*volume, sides(&case["shape"]), case["dtype"].as_str().unwrap(), &pixels(case))
}

/// Every value is found where it is, and nowhere else.
fn labels_read(path: &Path, case: &Value, options: &AxesOptions) -> Result<(), String> {
    let shape = sides(&case["shape"]);
    let area = shape[1] * shape[2];
    let wanted = pixels(case);
    for (value, count) in case["values"].as_object().unwrap() {
        let chosen: LabelValue = value.parse().unwrap();
        let only = LabelOptions { value: Some(chosen), ..LabelOptions::default() };
        let labels = open_labels_as(path, only, options).map_err(|e| e.to_string())?;
        if (labels.shape(), labels.dtype().name()) != (shape, case["dtype"].as_str().unwrap()) {
            return Err(format!("{:?} {}", labels.shape(), labels.dtype()));
        }
        let mut found = 0;
        for z in 0..shape[0] {
            let section = labels.read_labels(z).map_err(|e| e.to_string())?;
            for (i, _) in section.iter().enumerate().filter(|(_, label)| **label == 1) {
                found += 1;
                let float = value.parse::<f64>().unwrap() as f32;
                if wanted[z * area + i] != float {
                    return Err(format!("{value} at section {z}, pixel {i}"));
                }
            }
        }
        if count.as_u64() != Some(found) {
            return Err(format!("{found} pixels of {value} in place of {count}"));
        }
    }
    Ok(())
}

/// What `askem inspect` says of the file.
fn inspection(path: &Path, case: &Value, words: &[String]) -> Result<(), String> {
    let is_labels = case["kind"] == "labels";
    let call = askem(["inspect", "--json"]).args(words).path("--raw", path);
    let outcome = if is_labels { call.path("--labels", path) } else { call }.run();
    if let Some(parts) = case["refused"].as_array() {
        let parts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
        if outcome.code == Some(0) && path.to_string_lossy().contains("palette") {
            return Ok(());
        }
        outcome.refuses(1, &parts);
        return Ok(());
    }
    if outcome.code != Some(0) {
        return Err(outcome.stderr);
    }
    let said = outcome.json();
    let shape = sides(&case["shape"]);
    let count = shape.iter().product::<usize>() as f64;
    let mean = pixels(case).iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-6 * b.abs().max(1.0);
    let foreground = said["foreground"].as_f64().map(|share| share * count);
    let wanted = is_labels.then(|| case["foreground"].as_f64().unwrap());
    let numbers = |value: &Value| -> Option<Vec<f64>> {
        value.as_array()?.iter().map(Value::as_f64).collect()
    };
    let (voxel, wanted_voxel) = (numbers(&said["voxel_nm"]), numbers(&case["voxel_nm"]));
    let same_voxel = match (&voxel, &wanted_voxel) {
        (Some(found), Some(wanted)) => found.iter().zip(wanted).all(|(a, b)| close(*a, *b)),
        (None, None) => true,
        _ => false,
    };
    let is_right = same_voxel
        && said["shape"] == case["shape"]
        && close(said["mean"].as_f64().unwrap(), mean)
        && foreground.unwrap_or(0.0).round() == wanted.unwrap_or(0.0);
    if is_right {
        Ok(())
    } else {
        Err(format!("{said} in place of mean {mean}, {wanted:?}, {wanted_voxel:?}"))
    }
}

#[test]
fn files_of_labs_read_as_they_are_meant_or_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    run("make_lab_files.py", &[folder.path()]);
    let cases = std::fs::read(folder.path().join("lab.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_slice(&cases).unwrap();
    assert!(cases.len() > 300, "{} cases", cases.len());
    let wrong: Vec<String> = cases
        .par_iter()
        .filter_map(|case| {
            let path = Path::new(case["path"].as_str().unwrap());
            let words: Vec<String> = serde_json::from_value(case["options"].clone()).unwrap();
            let options = options(&words);
            let read = match case["refused"].as_array() {
                Some(parts) => open_raw_as(path, &options)
                    .and_then(|volume| volume.read_section(0).map(|_| ()))
                    .map_or_else(
                        |error| {
                            let said = error.to_string();
                            let lacks = parts.iter().find(|p| !said.contains(p.as_str().unwrap()));
                            lacks.map_or(Ok(()), |part| Err(format!("no {part} in: {said}")))
                        },
                        |()| Err("it is read".into()),
                    ),
                None if case["kind"] == "labels" => labels_read(path, case, &options),
                None => raw_reads(path, case, &options),
            };
            let outcome = read.and_then(|()| inspection(path, case, &words));
            Some(format!("{}: {}", case["name"].as_str().unwrap(), outcome.err()?))
        })
        .collect();
    println!("{} of {} files are right", cases.len() - wrong.len(), cases.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
