//! `askem compare --baseline`: the whole system against another comparison's random.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::tempdir;

use crate::ended::copy;
use crate::program::askem;
use crate::{compare, journal, undisturbed};

/// Random alone with another recipe, on the same data.
fn other_recipe(out: &Path, changed: [&str; 2]) {
    let mut options = vec!["--phantom-shape", "4x256x256", "--patch", "32", "--pool", "16"];
    options.extend(["--initial", "4", "--query", "3", "--iterations", "2", "--epochs", "3"]);
    options.extend(["--width", "1", "--finetune-epochs", "2", "--device", "cpu"]);
    if let Some(at) = options.iter().position(|option| *option == changed[0]) {
        options[at + 1] = changed[1];
    }
    let call = askem(["compare", "--strategies", "random", "--seeds", "2"]).args(options);
    call.path("--out", out).succeed();
}

#[test]
fn the_factor_is_reported_everywhere_and_kept() {
    let folder = tempdir().unwrap();
    let [out, baseline] = ["here", "baseline"].map(|name| folder.path().join(name));
    copy(undisturbed(), &out);
    other_recipe(&baseline, ["", ""]);
    let said = compare(&out).path("--baseline", &baseline).succeed().stdout;
    let line = said.lines().find(|line| line.starts_with("That the whole system"));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    assert!(line.contains("not shown") && line.contains("--seeds 10"), "{line}");

    let json = || -> Value {
        serde_json::from_slice(&fs::read(out.join("comparison.json")).unwrap()).unwrap()
    };
    let system = json()["system"].clone();
    // By hand: the mean of random's last lines there, and the labels there.
    let last = |seed| journal(&baseline.join(format!("random-{seed}"))).pop().unwrap();
    let mean = 0.5 * (last(0)["jaccard"].as_f64().unwrap() + last(1)["jaccard"].as_f64().unwrap());
    assert_eq!(system["baseline_labels"].as_f64(), last(0)["labelled"].as_f64());
    assert!((system["baseline_jaccard"].as_f64().unwrap() - mean).abs() < 1e-12, "{system}");
    assert_eq!((system["seeds"].as_u64(), &system["verdict"]), (Some(2), &"not shown".into()));
    let csv = fs::read_to_string(out.join("summary.csv")).unwrap();
    let best = system["strategy"].as_str().unwrap();
    let row = csv.lines().find(|line| line.starts_with(&format!("{best},"))).unwrap();
    let column = csv.lines().next().unwrap().split(',').position(|name| name == "system_claim");
    assert_eq!(row.split(',').nth(column.unwrap()), Some("not shown"), "{csv}");

    // The report needs the other comparison no more, nor does the same command without the option.
    fs::remove_dir_all(&baseline).unwrap();
    askem(["report"]).args([&out]).succeed();
    assert_eq!(json()["system"], system);
    let lines = compare(&out).args(["--json"]).succeed().json_lines();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[3]["system"], system);
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("That the whole system saves labels is not shown"));
}

#[test]
fn another_experiment_is_no_baseline() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let refused = |baseline: &Path, parts: &[&str]| {
        let out = at("never");
        compare(&out).path("--baseline", baseline).run().refuses(2, parts);
        assert!(!out.exists(), "nothing is written before the baseline is known to be good");
    };
    refused(&at("nowhere"), &["--baseline", "nowhere", "compare.toml"]);
    for (changed, name) in [
        (["--pool", "17"], "--pool 17"),
        (["--patch", "48"], "--patch 48"),
        (["--phantom-shape", "4x256x240"], "--phantom-shape"),
    ] {
        let baseline = at(changed[1]);
        other_recipe(&baseline, changed);
        refused(&baseline, &["--baseline", name]);
    }
    // The same settings, but other data when it was run: another seed's phantom.
    let baseline = at("other-data");
    other_recipe(&baseline, ["", ""]);
    fs::remove_dir_all(baseline.join("random-0")).unwrap();
    fs::rename(baseline.join("random-1"), baseline.join("random-0")).unwrap();
    refused(&baseline, &["images or labels", "others"]);
    // No run that is complete.
    fs::remove_dir_all(baseline.join("random-0")).unwrap();
    refused(&baseline, &["no run of random"]);
}
