//! The same picture in every encoding gives the same outcome of every command, to the last digit.
//!
//! `make_same_picture.py` writes it with other programs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use askem::data::volume::{AxesOptions, Volume, open_raw, open_raw_as};
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::program::{Call, askem};
use crate::{run, sides};

/// What a case came to.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// Loss and Jaccard index of the run, as its journal has them.
    run: Option<[Value; 2]>,
    predicted: Vec<f32>,
    eval: Value,
}

struct Case<'a> {
    folder: &'a Path,
    about: &'a Value,
}

impl Case<'_> {
    fn text(&self, field: &str) -> &str {
        self.about[field].as_str().unwrap()
    }

    fn options(&self) -> Vec<&str> {
        self.about["options"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
    }

    /// A call with images, labels and the options that they take.
    fn call(&self, words: &[&str]) -> Call {
        let call = askem(words).args(self.options()).path("--raw", Path::new(self.text("raw")));
        call.path("--labels", Path::new(self.text("labels")))
    }

    fn at(&self, what: &str) -> PathBuf {
        self.folder.join(format!("{}-{what}", self.text("name")))
    }

    /// Inspect finds what is there.
    fn inspect(&self) {
        let name = self.text("name");
        let said = self.call(&["inspect", "--json"]).succeed().json();
        assert_eq!(said["shape"], self.about["shape"], "{name}");
        let [z, y, x] = sides(&self.about["shape"]);
        let sum = said["mean"].as_f64().unwrap() * (z * y * x) as f64;
        let wanted = self.about["sum"].as_f64().unwrap();
        assert!((sum / wanted - 1.0).abs() < 1e-12, "{name}: {sum} and {wanted}");
        let number = |field: &str| self.about[field].as_f64().unwrap();
        let foreground = said["foreground"].as_f64().unwrap() * number("known");
        assert!((foreground - number("foreground")).abs() < 1e-6, "{name}: {said}");
        let is_part = number("known") < (z * y * x) as f64;
        let warned =
            ["nothing is known", "are ignored"].map(|text| said.to_string().contains(text));
        assert_eq!(warned.contains(&true), is_part, "{name}: {said}");
        let axes = match self.options()[..] {
            ["--axes", axes] => AxesOptions { axes: Some(axes.parse().unwrap()), ..<_>::default() },
            _ => AxesOptions::default(),
        };
        let raw = open_raw_as(Path::new(self.text("raw")), &axes).unwrap();
        let value = raw.read_section(z - 1).unwrap().pixels[5 * x + 7];
        assert_eq!(json!(value), self.about["value"], "{name}");
    }

    /// Trains and tests; gives the run's folder.
    fn train(&self) -> (PathBuf, [Value; 2]) {
        let out = self.at("run");
        let settings = ["--patch", "16", "--width", "2", "--pool", "30", "--initial", "20"];
        let call = self.call(&["run", "--device", "cpu", "--threads", "1", "--json"]);
        let call = call.args(settings).args(["--iterations", "0", "--epochs", "60"]);
        let line = call.path("--out", &out).succeed().json();
        (out, ["loss", "jaccard"].map(|field| line[field].clone()))
    }

    /// Predicts by the network in `trained` and evaluates that, or what the case has in its place.
    fn use_network(&self, trained: &Path) -> (Vec<f32>, Value) {
        let out = self.at("p.zarr");
        // What of the options is about images.
        let axes: Vec<&str> = self.options().into_iter().skip_while(|o| *o != "--axes").collect();
        let call = askem(["predict", "--device", "cpu", "--as", "probabilities"]).args(axes);
        let call = call.path("--raw", Path::new(self.text("raw"))).path("--out", &out);
        call.path("--weights", &trained.join("weights.safetensors")).succeed();
        let volume = open_raw(&out).unwrap();
        let sections = 0..volume.shape()[0];
        let predicted = sections.flat_map(|z| volume.read_section(z).unwrap().pixels).collect();
        let given = self.about["prediction"].as_str().map(Path::new);
        // The prediction has axes z, y and x, whatever the images had.
        let options = self.options().into_iter().take_while(|option| *option != "--axes");
        let eval = askem(["eval", "--json"]).args(options.collect::<Vec<_>>());
        let eval = eval.path("--prediction", given.unwrap_or(&out));
        let eval = eval.path("--labels", Path::new(self.text("labels"))).succeed();
        (predicted, eval.json())
    }

    fn outcome(&self, trained: Option<&Path>) -> (PathBuf, Outcome) {
        self.inspect();
        let run = (self.about["only_eval"] != json!(true)).then(|| self.train());
        let own = run.as_ref().map(|(out, _)| out.clone());
        let trained = trained.map(Path::to_path_buf).or(own).expect("a network");
        let (predicted, eval) = self.use_network(&trained);
        (trained, Outcome { run: run.map(|(_, numbers)| numbers), predicted, eval })
    }
}

#[test]
fn the_same_picture_has_the_same_outcome_in_every_encoding() {
    let folder = tempfile::tempdir().unwrap();
    run("make_same_picture.py", &[&folder.path().join("files")]);
    let cases = std::fs::read(folder.path().join("files/same.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_slice(&cases).unwrap();
    let (first, others): (Vec<&Value>, Vec<&Value>) =
        cases.iter().partition(|case| case["like"].is_null());
    assert!(first.len() >= 7 && others.len() >= 25, "{} and {}", first.len(), others.len());
    let case = |about| Case { folder: folder.path(), about };
    // Those that train nothing predict by the network of the plain one.
    let (plain, rest) = first.split_first().unwrap();
    let plain = case(plain).outcome(None);
    let network = |about: &Value| (about["only_eval"] == json!(true)).then_some(&*plain.0);
    let rest = rest.par_iter().map(|about| {
        let name = about["name"].as_str().unwrap();
        (name, case(about).outcome(network(about)))
    });
    let mut wanted: BTreeMap<&str, (PathBuf, Outcome)> = rest.collect();
    wanted.insert("plain", plain);
    for (name, (_, outcome)) in &wanted {
        // An outcome in which there is something to be seen.
        let jaccard = outcome.eval["jaccard"].as_f64().unwrap();
        assert!(jaccard > 0.1 && jaccard < 0.99, "{name}: {}", outcome.eval);
    }
    let wrong: Vec<String> = others
        .par_iter()
        .filter_map(|about| {
            let like = about["like"].as_str().unwrap();
            let (trained, want) = &wanted[like];
            let (_, found) = case(about).outcome(Some(trained));
            let same_run = about["only_eval"] == json!(true) || found.run == want.run;
            let same = same_run && found.predicted == want.predicted && found.eval == want.eval;
            let say = |of: &Outcome| format!("{:?} {}", of.run, of.eval);
            (!same).then(|| format!("{}: {} in place of {}", about["name"], say(&found), say(want)))
        })
        .collect();
    println!("{} of {} encodings are alike", others.len() - wrong.len(), others.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_same_picture_in_other_grey_values_is_told_and_can_be_matched() {
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().join("files");
    run("make_same_picture.py", &[&files]);
    let at = |name: &str| folder.path().join(name);
    let settings = ["--patch", "16", "--width", "2", "--pool", "30", "--initial", "20"];
    let trained = askem(["run", "--device", "cpu", "--iterations", "0", "--epochs", "60"]);
    let trained = trained.args(settings).path("--raw", &files.join("raw.tif"));
    trained.path("--labels", &files.join("mask.tif")).path("--out", &at("run")).succeed();
    let said = "far from those of the training";
    let use_it = |command: &str, raw: &str, out: &str, more: &[&str]| {
        let call = askem([command, "--device", "cpu"]).args(more).path("--raw", &files.join(raw));
        let call = call.path("--run", &at("run")).path("--out", &at(out));
        call.succeed().stderr.matches(said).count()
    };
    let own = ["--normalise", "volume"];
    for command in ["predict", "score"] {
        let out = |name: &str| format!("{command}-{name}.zarr");
        assert_eq!(use_it(command, "raw.tif", &out("same"), &[]), 0);
        assert_eq!(use_it(command, "u16.tif", &out("other"), &[]), 1);
        assert_eq!(use_it(command, "u16.tif", &out("matched"), &own), 0);
        assert_eq!(use_it(command, "raw.tif", &out("own"), &own), 0);
    }
    let jaccard = |out: &str| {
        let call = askem(["eval", "--json"]).path("--prediction", &at(out));
        let scores = call.path("--labels", &files.join("mask.tif")).succeed().json();
        scores["jaccard"].as_f64().unwrap()
    };
    let [same, matched] = ["predict-own.zarr", "predict-matched.zarr"].map(jaccard);
    assert!(same > 0.1 && (same - matched).abs() < 1e-3, "{same} and {matched}");
    assert!((jaccard("predict-other.zarr") - same).abs() > 0.05);
}
