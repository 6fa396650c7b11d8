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

/// What `askem devices --json` says of the first adapter, with forms left out by hand.
fn device_without(forms: &str) -> Value {
    let listed = askem(["devices", "--json"]).env("ASKEM_FORMS", forms).succeed();
    let devices: Value = serde_json::from_str(listed.stdout.trim()).expect("devices are JSON");
    let found = devices.as_array().expect("a list").iter().find(|d| d["backend"] != "native");
    found.expect("a Vulkan driver is needed").clone()
}

/// The state of a precision, and why.
fn state(device: &Value, precision: &str) -> (String, String) {
    let all = device["by_precision"].as_array().expect("a list");
    let of = all.iter().find(|of| of["precision"] == precision).expect("every precision is there");
    let text = |name: &str| of[name].as_str().unwrap_or_default().to_owned();
    (text("state"), text("why"))
}

#[test]
fn devices_say_why_a_precision_is_not_used() {
    let (name, precisions) = adapter();
    let device = device_without("");
    for precision in ["f32", "f16", "tensor"] {
        let works = precisions.iter().any(|p| p == precision);
        let (state, why) = state(&device, precision);
        assert_eq!(state, if works { "works" } else { "refused" }, "{device}");
        assert_eq!(why.is_empty(), works, "{device}");
        assert!(works || why.contains(&format!("--precision {precision} needs")), "{why}");
    }
    assert_eq!(device["left_out"], Value::Array(Vec::new()));
    // One of several forms: the device does without it, and says so.
    let device = device_without("-conv2d::forward/tile16");
    let left_out = device["left_out"].as_array().expect("a list");
    assert_eq!(left_out.len(), precisions.len(), "{device}");
    for out in left_out {
        assert_eq!(out["form"], "conv2d::forward/tile16");
        assert!(out["why"].as_str().is_some_and(|why| why.contains("ASKEM_FORMS")), "{out}");
    }
    let table = askem(["devices"]).env("ASKEM_FORMS", "-conv2d::forward/tile16").succeed().stdout;
    let line = format!("{name}: f32 does without conv2d::forward/tile16: ASKEM_FORMS=");
    assert!(table.contains(&line), "{table}");
    let trained = train(&name, "f32").env("ASKEM_FORMS", "-conv2d::forward/tile16").succeed();
    assert!(trained.stderr.contains("does without conv2d::forward/tile16"), "{trained:?}");
    // The only one: it is refused in all precisions, the first of which says why.
    let device = device_without("-max_pool2d::forward");
    let (f32_state, why) = state(&device, "f32");
    assert_eq!(f32_state, "refused");
    assert!(why.contains("no form of max_pool2d::forward") && why.contains("ASKEM_FORMS"), "{why}");
    assert_eq!(state(&device, "f16").0, "not tried");
    assert_eq!(device["self_test"].as_str(), Some(why.as_str()));
    let call = train(&name, "f32").env("ASKEM_FORMS", "-max_pool2d::forward");
    call.run().refuses(1, &[&name, "max_pool2d::forward", "ASKEM_FORMS"]);
    let call = train(&name, "f32").env("ASKEM_FORMS", "-no_such_pass");
    call.run().refuses(2, &["ASKEM_FORMS", "`no_such_pass`", "conv2d::forward/tile32"]);
    // Also where the device is chosen for the user.
    for (name, value) in [("ASKEM_FORMS", "-no_such_pass"), ("ASKEM_MEMORY_MODEL", "odd")] {
        train("auto", "auto").env(name, value).run().refuses(2, &[name]);
    }
}

#[test]
fn a_second_start_compiles_only_what_it_runs() {
    let (name, _) = adapter();
    let cache = tempdir().expect("a folder can be made");
    let start = || {
        let small = ["--batch", "2", "--patch", "16", "--width", "4", "--json"];
        let call = askem(["bench", "start", "--device", &name, "--precision", "f32"]).args(small);
        let lines = call.env("ASKEM_CACHE", cache.path().to_str().expect("UTF-8")).succeed();
        let pipelines = |line: &Value| line["pipelines"].as_u64().expect("a number");
        let lines = lines.json_lines();
        let phases: Vec<_> = lines.iter().map(|line| line["phase"].as_str()).collect();
        assert_eq!(phases, [Some("open"), Some("train"), Some("score")]);
        lines.iter().map(pipelines).collect::<Vec<_>>()
    };
    let (cold, warm) = (start(), start());
    // Every pass in every form, then what is specialised to sizes; and then only what the plans run.
    assert!(cold[0] > 90, "{cold:?}");
    assert_eq!(warm[0], 0, "{warm:?}");
    assert!(warm[1] > 20 && warm[1] < 100, "{warm:?}");
    // A damaged verdict is none.
    let verdicts: Vec<_> =
        fs::read_dir(cache.path().join("self-test")).expect("it is there").collect();
    assert_eq!(verdicts.len(), 1);
    let file = verdicts[0].as_ref().expect("it is there").path();
    fs::write(&file, "{}").expect("it can be written");
    assert_eq!(start()[0], cold[0]);
    // One that refuses the device counts until it is tested again.
    let text = fs::read_to_string(&file).expect("it was written anew");
    assert!(text.contains("\"refused\":null"), "{text}");
    let refused = text.replace("\"refused\":null", "\"refused\":\"it was wrong\"");
    fs::write(&file, refused).expect("it can be written");
    let again = ["it was wrong", "askem devices tests it again"];
    let cached = |call: Call| call.env("ASKEM_CACHE", cache.path().to_str().expect("UTF-8"));
    cached(train(&name, "f32")).run().refuses(1, &again);
    cached(askem(["devices"])).succeed();
    cached(train(&name, "f32")).succeed();
    askem(["bench", "start", "--device", "cpu"]).run().refuses(2, &["bench start", "--device"]);
}
