//! `--precision` and `askem bench tune`, on the software driver.

use std::fs;

use serde_json::Value;
use tempfile::tempdir;

use crate::program::{Call, askem};

/// The first adapter, with its precisions.
fn adapter() -> (String, Vec<String>) {
    let devices: Value = serde_json::from_str(askem(["devices", "--json"]).succeed().stdout.trim())
        .expect("devices are JSON");
    let devices = devices.as_array().expect("a list");
    let found = devices.iter().find(|device| device["backend"] != "native");
    let found = found.expect("a Vulkan driver is needed, such as Debian's mesa-vulkan-drivers");
    let precisions = found["precisions"].as_array().expect("a list").iter();
    let precisions = precisions.map(|p| p.as_str().expect("a name").to_owned()).collect();
    (found["name"].as_str().expect("a name").into(), precisions)
}

fn train(device: &str, precision: &str) -> Call {
    let small = ["--batch", "2", "--patch", "32", "--width", "8", "--repeats", "1", "--json"];
    let call = askem(["bench", "train"]).args(small);
    // Without it Mesa complains of a missing Wayland on standard error.
    let call = call.env("XDG_RUNTIME_DIR", std::env::temp_dir().to_str().expect("UTF-8"));
    call.args(["--device", device, "--precision", precision])
}

#[test]
fn a_device_computes_in_the_precisions_that_it_lists() {
    let (name, precisions) = adapter();
    assert!(precisions.iter().any(|p| p == "f32"), "{name}: {precisions:?}");
    for precision in ["f32", "f16", "tensor"] {
        if !precisions.iter().any(|p| p == precision) {
            let missing = format!("--precision {precision} needs");
            train(&name, precision).run().refuses(1, &[&name, "has no", &missing, "f32"]);
            continue;
        }
        let lines = train(&name, precision).succeed().json_lines();
        let device = lines[0]["device"].as_str().expect("a name");
        let said = if precision == "f32" { name.clone() } else { format!("{name} in {precision}") };
        assert_eq!(device, said);
        assert!(lines[0]["ms_per_step"].as_f64() > Some(0.0));
    }
    // A software driver takes f32 where nothing is said.
    let lines = train(&name, "auto").succeed().json_lines();
    assert!(!lines[0]["device"].as_str().expect("a name").contains(" in "), "{lines:?}");
}

#[test]
fn wrong_precisions_are_refused() {
    let outcome = train("cpu", "half").run();
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(
        outcome.stderr.contains("'half'") && outcome.stderr.contains("f32, f16, tensor or auto")
    );
    train("cpu", "f16").run().refuses(1, &["--precision f16 is for GPUs", "--device"]);
    train("cpu", "f32").succeed();
}

#[test]
fn forms_are_measured_once_and_kept() {
    let (name, _) = adapter();
    let cache = tempdir().expect("a folder can be made");
    let run = |format: &[&str]| {
        let small = ["--batch", "1", "--patch", "16", "--width", "4", "--train-only"];
        let call = askem(["bench", "tune", "--device", &name, "--precision", "f32"]).args(small);
        let cache = cache.path().to_str().expect("UTF-8");
        call.args(format).env("ASKEM_CACHE", cache).succeed()
    };
    let tune = || run(&["--json"]).json_lines();
    let measured = tune();
    // Forms of shaders, and numbers of slices.
    for chosen in ["form", "slices"] {
        let lines: Vec<&Value> = measured.iter().filter(|line| !line[chosen].is_null()).collect();
        assert!(lines.len() > 5, "{chosen}: {measured:?}");
        for line in lines {
            let times = line["ms"].as_array().expect("a list");
            let time = |pair: &Value| pair[1].as_f64().expect("every form is right");
            let fastest = times.iter().min_by(|a, b| time(a).total_cmp(&time(b))).expect("forms");
            assert!(!times.is_empty() && time(fastest) > 0.0, "{line}");
            assert_eq!(line[chosen], fastest[0], "{line}");
        }
        let has_several = |line: &Value| line["ms"].as_array().is_some_and(|ms| ms.len() > 1);
        assert!(measured.iter().any(|line| !line[chosen].is_null() && has_several(line)));
    }
    // Convolutions for their sizes alone.
    let specialised = measured.iter().filter(|line| line["specialised_ms"].as_f64() > Some(0.0));
    assert!(specialised.count() > 5, "{measured:?}");
    // The second time they are read.
    assert_eq!(tune(), measured);
    // Every form has a name in the table.
    let table = run(&[]).stdout;
    for text in ["conv_transpose2d::backward_input", ", specialised", "Kept in"] {
        assert!(table.contains(text), "{text}: {table}");
    }
    let files: Vec<_> = fs::read_dir(cache.path().join("tuning")).expect("a folder").collect();
    assert_eq!(files.len(), 1);
    // A file that is no such file is as good as none.
    let file = files[0].as_ref().expect("it is there").path();
    fs::write(&file, "{").expect("it can be written");
    assert!(tune().len() > 10);
    let text = fs::read(&file).expect("it was written anew");
    serde_json::from_slice::<Value>(&text).expect("it is a file of choices again");

    askem(["bench", "tune", "--device", "cpu"]).run().refuses(2, &["bench tune", "--device"]);
    askem(["bench", "tune", "--batch", "0"]).run().refuses(2, &["--batch 0"]);
}
