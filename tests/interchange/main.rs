//! Do volumes of other programs read as they were written, and ours in theirs?
//!
//! `make_volumes.py` writes them with zarr-python, tensorstore and tifffile, and says what a reader has to get; `make_lab_files.py` writes those whose axes,
//! types and tiles are not what a reader expects.

mod lab_files;
mod pages;
#[path = "../shared/program.rs"]
#[allow(dead_code)]
mod program;
mod project;
mod same_picture;
mod tensorboard;
#[path = "../shared/tools.rs"]
mod tools;

use std::path::Path;
use std::process::Command;

use askem::data::volume::{Region, Volume, open_raw};
use serde_json::Value;

use crate::program::askem;
use crate::tools::tool;

fn run(script: &str, arguments: &[&Path]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interchange").join(script);
    let output =
        Command::new(tool("formats/bin/python")).arg(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn floats(path: &str) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
}

fn sides(value: &Value) -> [usize; 3] {
    let sides: Vec<usize> = serde_json::from_value(value.clone()).unwrap();
    sides.try_into().unwrap()
}

/// Compares a volume with its pixels, by section and by a block that begins and ends inside chunks.
fn compare(
    volume: &dyn Volume,
    shape: [usize; 3],
    dtype: &str,
    pixels: &[f32],
) -> Result<(), String> {
    if volume.shape() != shape || volume.dtype().name() != dtype {
        return Err(format!(
            "{:?} {} in place of {shape:?} {dtype}",
            volume.shape(),
            volume.dtype()
        ));
    }
    let area = shape[1] * shape[2];
    for (z, want) in pixels.chunks(area).enumerate() {
        let got = volume.read_section(z).map_err(|e| e.to_string())?.pixels;
        if let Some(i) = (0..area).find(|&i| got[i] != want[i]) {
            return Err(format!("section {z}, pixel {i}: {} in place of {}", got[i], want[i]));
        }
    }
    let block =
        Region { z: shape[0] / 2..shape[0], y: 13..shape[1].min(35), x: 20..shape[2].min(49) };
    let got = volume.read_block(&block).map_err(|e| e.to_string())?;
    let mut want: Vec<f32> = Vec::new();
    for z in block.z.clone() {
        for y in block.y.clone() {
            want.extend(&pixels[z * area + y * shape[2]..][block.x.clone()]);
        }
    }
    if got == want { Ok(()) } else { Err("a block differs".into()) }
}

#[test]
fn volumes_of_other_programs_read_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    run("make_volumes.py", &[folder.path()]);
    let cases = std::fs::read(folder.path().join("cases.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_slice(&cases).unwrap();
    assert!(cases.len() > 50, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let outcome = open_raw(Path::new(case["path"].as_str().unwrap()))
            .map_err(|e| e.to_string())
            .and_then(|volume| {
                let pixels = floats(case["pixels"].as_str().unwrap());
                compare(&*volume, sides(&case["shape"]), case["dtype"].as_str().unwrap(), &pixels)
            });
        if let Err(error) = outcome {
            wrong.push(format!("{name}: {error}"));
        }
    }
    println!("{} of {} volumes read alike", cases.len() - wrong.len(), cases.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_askem_writes_opens_in_tools_of_other_programs() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    askem([
        "run",
        "--phantom-shape",
        "4x256x256",
        "--patch",
        "32",
        "--width",
        "2",
        "--epochs",
        "2",
    ])
    .args(["--initial", "4", "--pool", "4", "--iterations", "0", "--device", "cpu"])
    .path("--out", &at("run"))
    .succeed();
    // A volume that one of them wrote.
    run("make_volumes.py", &[&at("volumes")]);
    let raw = at("volumes/wide.zarr");
    let weights = at("run/weights.safetensors");
    let call = |words: &[&str], out: &Path| {
        askem(words).path("--raw", &raw).path("--weights", &weights).path("--out", out).succeed()
    };
    let (scores, image, tiff) = (at("scores.zarr"), at("image.zarr"), at("image.tif"));
    call(&["score", "--stride", "16", "--device", "cpu"], &scores);
    for out in [&image, &tiff] {
        call(&["predict", "--as", "probabilities", "--device", "cpu"], out);
    }
    let said: Value =
        serde_json::from_str(&run("read_ours.py", &[&scores, &image, &tiff])).unwrap();
    // 2 sections of 40 x 600: patches of 32 fit 2 times in rows and 37 times in columns; 600 is halved twice.
    assert_eq!((&said["patches"], &said["levels"]), (&(2 * 2 * 37).into(), &3.into()), "{said}");
    let best = askem(["select", "--strategy", "entropy", "--query", "1", "--json"]).args([&scores]);
    assert_eq!(best.succeed().json()["index"], said["best"]);
    let largest = said["largest"].as_f64().unwrap();
    assert!(largest > 0.0);
    // Objects of what is above most of the largest probability, all of them.
    let threshold = (largest * 0.8).to_string();
    let objects = [at("objects.tif"), at("same.zarr")];
    for out in &objects {
        askem(["instances", "--min-size", "1", "--threshold", &threshold])
            .path("--prediction", &tiff)
            .path("--out", out)
            .succeed();
    }
    let said = run("read_objects.py", &[&tiff, Path::new(&threshold), &objects[0], &objects[1]]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert!(said["objects"].as_u64() >= Some(1), "{said}");
    assert_eq!(said["voxels"], said["foreground"]);
}
