//! `inspect`, `eval`, `predict`, `train`, `devices`, `bench` and `--help`.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::tempdir;

use crate::images::phantom_folders;
use crate::program::{Outcome, askem, not_run};
use crate::results::{
    SEED, SHAPE, assert_complete, fields, jaccard, journal, number, phantom, read_float_tiff,
    read_tiff, timeless, tiny, tiny_phantom,
};

#[test]
fn inspect_says_what_a_volume_is() {
    let folder = tempdir().unwrap();
    let (raw, labels) = phantom_folders(folder.path());
    let call = || askem(["inspect"]).path("--raw", &raw);
    let found = call().path("--labels", &labels).args(["--json"]).succeed().json();
    for field in ["shape", "dtype", "min", "max", "mean", "foreground", "warnings"] {
        assert!(fields(&found).contains(&field), "{field} is missing: {found}");
    }
    let (pixels, truth) = phantom();
    let pixels: Vec<f64> = pixels.concat().into_iter().map(f64::from).collect();
    let total = pixels.len() as f64;
    assert_eq!(found["shape"], serde_json::json!(SHAPE));
    assert_eq!(found["dtype"], "u8");
    assert_eq!(number(&found, "min"), pixels.iter().copied().fold(f64::INFINITY, f64::min));
    assert_eq!(number(&found, "max"), pixels.iter().copied().fold(0.0, f64::max));
    let mean = pixels.iter().sum::<f64>() / total;
    assert!((number(&found, "mean") - mean).abs() < 1e-6, "{found}: {mean}");
    let foreground = truth.concat().iter().filter(|&&l| l == 1).count() as f64 / total;
    assert_eq!(number(&found, "foreground"), foreground);
    assert!(found["warnings"].is_array());
    // Without labels there is no share.
    assert!(call().args(["--json"]).succeed().json()["foreground"].is_null());
    let text = call().path("--labels", &labels).succeed().stdout;
    assert!(text.contains("96 x 96") && text.contains("foreground"), "{text}");
}

fn evaluate(prediction: &Path, labels: &Path) -> Value {
    let call = askem(["eval", "--json"]).path("--prediction", prediction);
    let scores = call.path("--labels", labels).succeed().json();
    assert_eq!(fields(&scores), ["dice", "jaccard", "precision", "recall"]);
    scores
}

#[test]
fn labels_agree_with_themselves() {
    let folder = tempdir().unwrap();
    let (raw, labels) = phantom_folders(folder.path());
    let same = evaluate(&labels, &labels);
    for score in ["jaccard", "dice", "precision", "recall"] {
        assert_eq!(number(&same, score), 1.0, "{score}");
    }
    // Raw grey values are above zero nearly everywhere: all is found, most of it wrongly.
    let (pixels, truth) = phantom();
    let pairs = || pixels.concat().into_iter().zip(truth.concat()).map(|(p, l)| (p > 0, l == 1));
    let scores = evaluate(&raw, &labels);
    let hits = pairs().filter(|&(p, l)| p && l).count() as f64;
    let found = pairs().filter(|&(p, _)| p).count() as f64;
    let wanted = pairs().filter(|&(_, l)| l).count() as f64;
    for (name, want) in [
        ("jaccard", jaccard(pairs())),
        ("dice", 2.0 * hits / (found + wanted)),
        ("precision", hits / found),
        ("recall", hits / wanted),
    ] {
        assert!((number(&scores, name) - want).abs() < 1e-12, "{name}: {scores}, {want}");
    }
    let call = askem(["eval"]).path("--prediction", &labels).path("--labels", &labels);
    assert!(call.succeed().stdout.contains("Jaccard    1.0000"));
}

#[test]
fn predict_repeats_what_the_run_evaluated() {
    let folder = tempdir().unwrap();
    let (raw, labels) = phantom_folders(folder.path());
    let out = folder.path().join("run");
    // The test region is the second half of the rows, and beyond its edge a run sees the first.
    let call = tiny().path("--raw", &raw).path("--labels", &labels).path("--out", &out);
    call.args(["--split", "y"]).succeed();
    let predict = |name: &str, kind: &str| {
        let path = folder.path().join(name);
        let call = askem(["predict", "--device", "cpu", "--as", kind]);
        let call = call.path("--weights", &out.join("weights.safetensors"));
        call.path("--raw", &raw).path("--out", &path).succeed();
        path
    };
    let as_labels = predict("labels.tif", "labels");
    let segmentation = read_tiff(&as_labels);
    let second_half = |([height, width], pixels): &([usize; 2], Vec<u8>)| {
        ([height - height / 2, *width], pixels[height / 2 * width..].to_vec())
    };
    let halves: Vec<_> = segmentation.iter().map(second_half).collect();
    assert_eq!(halves, read_tiff(&out.join("segmentation.tif")));
    let as_probabilities = predict("probabilities.tif", "probabilities");
    let probabilities = read_float_tiff(&as_probabilities);
    assert_eq!(probabilities.len(), segmentation.len());
    for ((size, p), (label_size, label)) in probabilities.iter().zip(&segmentation) {
        assert_eq!(size, label_size);
        assert!(p.iter().all(|p| (0.0..=1.0).contains(p)));
        let agree = p.iter().zip(label).all(|(&p, &label)| (p > 0.5) == (label == 255));
        assert!(agree, "labels are the probabilities above 0.5");
    }
    let last = journal(&out).pop().unwrap();
    let truth = phantom().1;
    let true_halves = truth.iter().flat_map(|section| &section[section.len() / 2..]);
    let predicted = halves.iter().flat_map(|(_, half)| half);
    let pairs = predicted.zip(true_halves).map(|(&p, &label)| (p > 0, label == 1));
    assert_eq!(jaccard(pairs), number(&last, "jaccard"));
    let [as_one, as_other] = [&as_labels, &as_probabilities].map(|path| evaluate(path, &labels));
    assert_eq!(as_one, as_other);
    // Only --force overwrites, and then gives the same.
    let again = |force: &[&str]| {
        let call = askem(["predict", "--device", "cpu"]).args(force);
        let call = call.path("--weights", &out.join("weights.safetensors"));
        call.path("--raw", &raw).path("--out", &as_labels).run()
    };
    again(&[]).refuses(2, &["labels.tif", "--force"]);
    let before = fs::read(&as_labels).unwrap();
    assert_eq!(again(&["--force"]).code, Some(0));
    assert_eq!(fs::read(&as_labels).unwrap(), before);
}

#[test]
fn train_leaves_a_run_of_one_line() {
    let folder = tempdir().unwrap();
    let (raw, labels) = phantom_folders(folder.path());
    let out = folder.path().join("trained");
    let options = ["train", "--device", "cpu", "--patch", "32", "--width", "2", "--pool", "10"];
    let call = askem(options).args(["--epochs", "2", "--json", "--split", "y"]).path("--raw", &raw);
    let outcome = call.path("--labels", &labels).path("--out", &out).succeed();
    assert_complete(&out);
    let lines = journal(&out);
    assert_eq!(outcome.json_lines(), lines);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["strategy"], "full");
    assert_eq!(lines[0]["labelled"], 10);
    // It goes on like any run; here there is nothing left to do.
    let call = askem(["run", "--device", "cpu", "--resume"]).path("--out", &out);
    call.succeed();
    assert_eq!(journal(&out), lines);
}

#[test]
fn train_resumes_by_its_own_name() {
    let folder = tempdir().unwrap();
    let (raw, labels) = phantom_folders(folder.path());
    let out = folder.path().join("trained");
    let options = ["train", "--device", "cpu", "--patch", "32", "--width", "2", "--pool", "10"];
    let call = askem(options).args(["--epochs", "2"]).path("--raw", &raw);
    call.path("--labels", &labels).path("--out", &out).succeed();
    let lines = journal(&out);
    askem(["train", "--device", "cpu", "--resume"]).path("--out", &out).succeed();
    assert_eq!(journal(&out), lines);
}

fn check_devices(outcome: &Outcome) -> Vec<Value> {
    let devices = outcome.json();
    let devices = devices.as_array().expect("an array").clone();
    for device in &devices {
        assert_eq!(
            fields(device),
            [
                "auto",
                "backend",
                "by_precision",
                "cores",
                "features",
                "kind",
                "left_out",
                "name",
                "precisions",
                "self_test"
            ]
        );
        assert!(device["name"].is_string() && device["features"].is_array(), "{device}");
        assert!(device["kind"].is_string() && device["backend"].is_string(), "{device}");
        // Of GPUs and their software drivers.
        let cores = device["cores"].as_u64();
        assert_eq!(cores.is_some_and(|cores| cores > 0), device["backend"] != "native", "{device}");
        assert_eq!(device["self_test"], "ok", "{device}");
        assert_eq!(device["precisions"][0], "f32", "{device}");
    }
    let auto: Vec<&Value> = devices.iter().filter(|d| d["auto"] == true).collect();
    let [auto] = auto[..] else { panic!("one device is taken by auto: {devices:?}") };
    assert!(auto["kind"] != "cpu" || auto["backend"] == "native", "a software driver: {auto}");
    devices
}

#[test]
fn devices_are_listed_with_their_self_tests() {
    let devices = check_devices(&askem(["devices", "--json"]).succeed());
    let text = askem(["devices"]).succeed().stdout;
    for device in &devices {
        assert!(text.contains(device["name"].as_str().unwrap()), "{device}: {text}");
        let cores = device["cores"].as_u64().map(|cores| format!(" {cores} "));
        assert!(cores.is_none_or(|cores| text.contains(&cores)), "{device}: {text}");
    }
}

#[test]
fn without_drivers_the_processor_is_left() {
    if !cfg!(target_os = "linux") {
        return not_run(
            "without_drivers_the_processor_is_left",
            "drivers can be hidden only from Vulkan on Linux",
        );
    }
    let devices = check_devices(&askem(["devices", "--json"]).without_drivers().succeed());
    assert_eq!(devices.len(), 1);
    assert_eq!(devices[0]["kind"], "cpu");
}

#[test]
fn bench_reports_the_agreed_fields() {
    let small = ["--device", "cpu", "--json", "--repeats", "1"];
    let net = ["--patch", "16", "--width", "1"];
    let check = |lines: &[Value], wanted: &[&str], timings: &[&str]| {
        for line in lines {
            for field in wanted {
                assert!(fields(line).contains(field), "{field} is missing: {line}");
            }
            for timing in timings {
                assert!(number(line, timing) > 0.0, "{line}");
            }
        }
    };
    let train = askem(["bench", "train", "--batch", "1,3"]).args(small).args(net).succeed();
    let train = train.json_lines();
    check(&train, &["device", "batch"], &["ms_per_step", "samples_per_second"]);
    assert_eq!(train.iter().map(|l| l["batch"].as_u64()).collect::<Vec<_>>(), [Some(1), Some(3)]);

    let criteria = ["entropy", "least_confidence", "bald", "embedding"];
    let score = ["bench", "score", "--patches", "5", "--mc-passes", "2", "--criteria"];
    let score = askem(score).args([criteria.join(",")]).args(small).args(net).succeed();
    let score = score.json_lines();
    check(&score, &["device", "criterion", "patches"], &["mvoxel_per_second"]);
    assert_eq!(
        score.iter().map(|l| l["criterion"].as_str().unwrap()).collect::<Vec<_>>(),
        criteria
    );

    // Of a volume.
    let folder = tempdir().unwrap();
    let (raw, _) = phantom_folders(folder.path());
    let call = |patches: &str| {
        let call = askem(["bench", "score", "--criteria", "entropy,bald", "--patches", patches]);
        call.path("--raw", &raw).args(small).args(net)
    };
    let lines = call("20").succeed().json_lines();
    check(&lines, &["device", "criterion", "patches"], &["mvoxel_per_second"]);
    assert_eq!(lines[0]["patches"], 20);
    call("100000000").run().refuses(2, &["--patches 100000000", "only", "16 x 16"]);

    let select = ["bench", "select", "--pool", "50", "--dim", "4", "--query", "3"];
    let select = askem(select).args(small).succeed().json_lines();
    check(&select, &["algorithm", "pool", "dim"], &["seconds"]);
    let algorithms: Vec<_> = select.iter().map(|l| l["algorithm"].as_str().unwrap()).collect();
    assert_eq!(algorithms, ["k_center_greedy", "k_means"]);
    for line in &select {
        assert_eq!((&line["pool"], &line["dim"]), (&50.into(), &4.into()));
    }
}

#[test]
fn bench_kernels_times_every_shader_of_a_step() {
    let devices = check_devices(&askem(["devices", "--json"]).succeed());
    let adapter = devices.iter().find(|device| device["backend"] != "native");
    let adapter = adapter.expect("a Vulkan driver is needed, such as Debian's mesa-vulkan-drivers");
    let small = ["--batch", "1", "--patch", "16", "--width", "2", "--repeats", "1", "--json"];
    for (work, wanted) in [
        ("train", &["adam::update", "batch_norm_relu::backward_input"][..]),
        ("score", &["conv2d_norm_relu::forward_eval", "segmentation_head::entropy"]),
        ("bald", &["dropout_masks::draw", "segmentation_head::accumulate"]),
    ] {
        let call = askem(["bench", "kernels", "--work", work]).args(small);
        let lines = call.args(["--device", adapter["name"].as_str().unwrap()]).succeed();
        let lines = lines.json_lines();
        let names: Vec<_> = lines.iter().map(|line| line["kernel"].as_str().unwrap()).collect();
        assert!(wanted.iter().all(|name| names.contains(name)), "{work}: {names:?}");
        let sum = |field: &str| -> f64 { lines.iter().map(|line| number(line, field)).sum() };
        assert!((sum("share_of_time") - 1.0).abs() < 1e-6 && sum("ms") > 0.0, "{lines:?}");
        for line in &lines {
            assert!(number(line, "dispatches") >= 1.0 && number(line, "gbyte_per_second") >= 0.0);
        }
    }
    askem(["bench", "kernels", "--device", "cpu"]).run().refuses(2, &["GPU", "--device"]);
}

#[test]
fn bench_select_takes_embeddings_from_a_file() {
    // Two clusters of ten points on a line; the first point is labelled, and the farthest from it is the last.
    let folder = tempdir().unwrap();
    let file = folder.path().join("points.f32");
    let points = |last: f32| -> Vec<u8> {
        let values = (0..20).map(|i| if i == 19 { last } else { (i / 10 * 100 + i) as f32 });
        values.flat_map(f32::to_le_bytes).collect()
    };
    let select = |dim: &str| {
        let select = ["bench", "select", "--query", "2", "--labelled", "1", "--dim", dim];
        let rest = ["--repeats", "1", "--device", "cpu", "--json"];
        askem(select).path("--points", &file).args(rest)
    };
    fs::write(&file, points(119.0)).unwrap();
    let lines = select("1").succeed().json_lines();
    assert_eq!(lines[0]["pool"], 20);
    assert_eq!(lines[0]["picks"], serde_json::json!([19, 9]));
    // Each cluster is ten numbers in a row: 82.5 around their mean.
    assert_eq!(lines[1]["inertia"], 165.0);
    assert!(lines[1]["rounds"].as_u64() >= Some(1));

    select("3").run().refuses(1, &["points.f32", "80 bytes are not rows of 3", "--dim"]);
    fs::write(&file, points(f32::NAN)).unwrap();
    select("1").run().refuses(1, &["points.f32", "number 19 is NaN"]);
}

#[test]
fn help_names_every_option_and_its_default() {
    let help = |words: &[&str]| {
        let outcome = askem(words).args(["--help"]).succeed();
        assert!(outcome.stderr.is_empty() && outcome.stdout.contains("Usage:"), "{outcome:#?}");
        // Lines are wrapped to the terminal.
        outcome.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let all = help(&[]);
    for command in ["run", "train", "predict", "eval", "inspect", "devices", "bench"] {
        assert!(all.contains(command), "{command}: {all}");
        let text = help(&[command]);
        for option in ["[default: auto]", "--threads", "--json"] {
            assert!(text.contains(option), "askem {command}: {option}: {text}");
        }
    }
    for what in ["train", "score", "select"] {
        assert!(help(&["bench", what]).contains("[default: "));
    }
    let run = help(&["run"]);
    for option in [
        "--raw",
        "--labels",
        "--label-value",
        "--ignore-value",
        "--test-raw",
        "--test-labels",
        "--split",
        "--strategy",
        "--preset",
        "--seed",
        "--initial",
        "--pool",
        "--query",
        "--iterations",
        "--epochs",
        "--finetune-epochs",
        "--lr",
        "--finetune-lr",
        "--patch",
        "--width",
        "--batch-size",
        "--norm",
        "--dropout",
        "--dropout-kind",
        "--mc-passes",
        "--bald",
        "--embedding",
        "--augment",
        "--config",
        "--out",
        "--resume",
        "--force",
        "--device",
    ] {
        assert!(run.contains(&format!("{option} ")), "{option}: {run}");
    }
    for default in [
        "lab",
        "20]",
        "1000; quick: 300; paper: 2000; all where there are fewer]",
        "4; paper: 25]",
        "400; paper: 500]",
        "400; paper: 200]",
        "2000; quick: 400; paper: none]",
        "0.003; paper: 0.001]",
        "0.003; paper: 0.0005]",
        "cosine",
        "0.5; paper: 0]",
        "256; paper: 0]",
        "labelled]",
        "128",
        "8; paper: 16]",
        "0.1; paper: 0.25]",
        "10",
    ] {
        assert!(run.contains(&format!("[default: {default}")), "{default}: {run}");
    }
    assert!(askem(["--version"]).succeed().stdout.starts_with("askem "));
}

#[test]
fn the_short_help_has_what_most_people_need() {
    for command in ["run", "train", "compare"] {
        let [short, long] = ["-h", "--help"].map(|help| askem([command, help]).succeed().stdout);
        for option in ["--raw <", "--labels <", "--preset <", "--out <"] {
            assert!(short.contains(option), "askem {command} -h: {option}: {short}");
        }
        for option in ["--statistics-patches", "--dropout-kind", "--augment"] {
            assert!(long.contains(option) && !short.contains(option), "askem {command}: {option}");
        }
        let (lines, all) = (short.lines().count(), long.lines().count());
        assert!(lines <= 70 && all > 2 * lines, "askem {command} -h: {lines} of {all} lines");
        // Data come first, and what holds for all commands last.
        let places = ["Data:", "Experiment:", "Results:", "Everywhere:"]
            .map(|heading| long.find(heading).unwrap_or_else(|| panic!("{heading}: {long}")));
        assert!(places.is_sorted(), "askem {command}: {places:?}");
    }
}

#[test]
fn quiet_leaves_warnings_and_results() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    let loud = tiny_phantom(&out).succeed();
    assert!(loud.stderr.contains("Device:") && loud.stderr.contains("Estimated time"), "{loud:#?}");
    let quiet = tiny_phantom(&out).args(["--force", "--quiet"]).succeed();
    assert_eq!(quiet.stderr, "", "nothing warns");
    assert!(quiet.stdout.contains("Jaccard"));
    let raw = folder.path().join("run/segmentation.tif");
    let predict = askem(["predict", "--device", "cpu", "--json", "--quiet"]).path("--run", &out);
    let said = predict.path("--raw", &raw).path("--out", &folder.path().join("p.tif")).succeed();
    assert_eq!(said.json()["shape"], serde_json::json!([2, 48, 96]));
    let report = askem(["report", "--json"]).args([&out]).succeed().json();
    assert_eq!(report["report"], out.join("report.html").to_str().unwrap());
    let wrong = tiny_phantom(&out).args(["--quiet"]).run();
    wrong.refuses(1, &["holds a run"]);
}

#[test]
fn the_version_says_what_the_program_was_built_from() {
    let short = askem(["-V"]).succeed().stdout;
    assert_eq!(short.trim(), concat!("askem ", env!("CARGO_PKG_VERSION")));
    let long = askem(["--version"]).succeed().stdout;
    let lines: Vec<&str> = long.lines().collect();
    let [first, features] = lines[..] else { panic!("two lines: {long}") };
    assert!(first.starts_with(short.trim()), "{first}");
    let commit = first.split(['(', ')']).nth(1).expect("a commit in parentheses");
    let is_hash = |word: &str| word.len() >= 7 && word.chars().all(|c| c.is_ascii_hexdigit());
    let is_commit = commit.split('-').next().is_some_and(is_hash);
    assert!(is_commit || commit == "of no known commit", "{first}");
    let words: Vec<&str> = features.split_whitespace().collect();
    assert_eq!(words[0], "features:");
    for feature in ["cli", "gpu", "zarr", "hdf5"] {
        assert!(words.contains(&feature), "{features}");
    }
}

#[test]
fn the_phantom_lies_in_files_as_runs_see_it() {
    let folder = tempdir().unwrap();
    let dir = folder.path().join("try");
    let shape = SHAPE.map(|side| side.to_string()).join("x");
    let seed = SEED.to_string();
    let write = || askem(["phantom", "--phantom-shape", &shape, "--seed", &seed]).args([&dir]);
    let outcome = write().succeed();
    assert!(outcome.stdout.contains("volume.tif and "), "{outcome:#?}");
    let (images, labels) = phantom();
    let pixels = |name: &str| -> Vec<Vec<u8>> {
        read_tiff(&dir.join(name)).into_iter().map(|(_, section)| section).collect()
    };
    assert!(pixels("volume.tif") == images);
    let masks = |label: &u8| if *label == 0 { 0 } else { 255 };
    let labels: Vec<Vec<u8>> = labels.iter().map(|l| l.iter().map(masks).collect()).collect();
    assert!(pixels("masks.tif") == labels);
    // A run on the files is the run without files.
    let (with, without) = (folder.path().join("with"), folder.path().join("without"));
    tiny()
        .path("--raw", &dir.join("volume.tif"))
        .path("--labels", &dir.join("masks.tif"))
        .path("--out", &with)
        .succeed();
    tiny_phantom(&without).succeed();
    assert_eq!(timeless(&with), timeless(&without));
    // Nothing is overwritten unasked, and what another program wrote not at all.
    write().run().refuses(2, &["volume.tif exists", "--force"]);
    write().args(["--force"]).succeed();
    fs::write(dir.join("masks.tif"), "mine").unwrap();
    write().args(["--force"]).run().refuses(2, &["masks.tif exists", "not written by askem"]);
    assert_eq!(fs::read(dir.join("masks.tif")).unwrap(), b"mine");
}
