//! A run keeps the network of each iteration, and `predict` and `score` take them.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::{TempDir, tempdir};

use crate::images::phantom_folders;
use crate::program::{Call, Outcome, askem};
use crate::results::{ITERATIONS, TINY, bytes, journal, lines_so_far, number, tiny};

/// Images, and a run of which both regions are all of them.
struct World {
    folder: TempDir,
    raw: PathBuf,
    out: PathBuf,
}

impl World {
    fn new(options: &[&str]) -> Self {
        let folder = tempdir().unwrap();
        let (raw, labels) = phantom_folders(folder.path());
        let out = folder.path().join("run");
        let call = tiny().args(options).path("--raw", &raw).path("--labels", &labels);
        let call = call.path("--test-raw", &raw).path("--test-labels", &labels);
        call.path("--out", &out).succeed();
        Self { folder, raw, out }
    }

    fn predict(&self, name: &str, options: &[&str]) -> Call {
        askem(["predict", "--device", "cpu"])
            .args(options)
            .path("--raw", &self.raw)
            .path("--out", &self.folder.path().join(name))
    }

    /// What a network segments.
    fn segmentation(&self, option: &str, path: &Path, more: &[&str]) -> (Vec<u8>, Outcome) {
        let outcome = self.predict("p.tif", &["--force"]).path(option, path).args(more).succeed();
        (fs::read(self.folder.path().join("p.tif")).unwrap(), outcome)
    }
}

#[test]
fn each_iteration_has_its_network_and_the_last_is_the_runs() {
    let world = World::new(&[]);
    let names = fs::read_dir(world.out.join("weights")).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_string()).collect();
    names.sort();
    assert_eq!(names, ["000.safetensors", "001.safetensors", "002.safetensors"]);
    let file = |i: usize| bytes(&world.out, &format!("weights/00{i}.safetensors"));
    assert!(file(2) == bytes(&world.out, "weights.safetensors"));
    assert!(file(0) != file(1) && file(1) != file(2));

    // Without held-out patches the last one is taken, and said.
    let (last, outcome) = world.segmentation("--run", &world.out, &[]);
    assert!(last == bytes(&world.out, "segmentation.tif"));
    let jaccard = number(&journal(&world.out)[ITERATIONS], "jaccard");
    let lines: Vec<&str> = outcome.stderr.lines().filter(|l| l.contains("network of")).collect();
    let [line] = lines[..] else { panic!("one line is due: {outcome:#?}") };
    for part in ["iteration 2 of 2", "the last one", &format!("{jaccard:.3}"), "--iteration"] {
        assert!(line.contains(part), "`{part}`: {line}");
    }
    // Another one is the file of its iteration.
    for i in ["0", "1"] {
        let path = world.out.join(format!("weights/00{i}.safetensors"));
        let (asked, outcome) = world.segmentation("--run", &world.out, &["--iteration", i]);
        assert!(asked == world.segmentation("--weights", &path, &[]).0, "iteration {i}");
        assert!(outcome.stderr.contains(&format!("iteration {i} of 2, as asked for")));
    }
    // Scores are those of the same file.
    let score = |store: &str, option: &str, path: &Path| {
        let call = askem(["score", "--device", "cpu", "--json"]).path(option, path);
        let call = call.path("--raw", &world.raw);
        call.path("--out", &world.folder.path().join(store)).succeed()
    };
    score("a.zarr", "--run", &world.out);
    let again = score("a.zarr", "--weights", &world.out.join("weights.safetensors"));
    assert!(again.stdout.contains("\"patches\":0"), "the store is of another network: {again:#?}");
}

#[test]
fn the_best_on_the_patches_held_out_is_taken_and_named() {
    let world = World::new(&["--early-stopping", "2", "--holdout", "0.5", "--lr", "0.01"]);
    let losses: Vec<f64> =
        journal(&world.out).iter().map(|line| number(&line["best"], "held_out_loss")).collect();
    let mut best = 0;
    for i in 0..losses.len() {
        if losses[i] < losses[best] {
            best = i;
        }
    }
    let (taken, outcome) = world.segmentation("--run", &world.out, &[]);
    let said = format!("iteration {best} of 2, the best on the patches held out");
    assert!(outcome.stderr.contains(&said), "{losses:?}: {outcome:#?}");
    let path = world.out.join(format!("weights/00{best}.safetensors"));
    assert!(taken == world.segmentation("--weights", &path, &[]).0);
    let page = fs::read_to_string(world.out.join("report.html")).unwrap();
    assert!(page.contains(&format!("the network of iteration {best}")), "the page names it");
    let plain = World::new(&[]);
    let page = fs::read_to_string(plain.out.join("report.html")).unwrap();
    assert!(!page.contains("held out of training the network"));
}

#[test]
fn an_interrupted_run_has_the_network_of_its_last_whole_iteration() {
    let world = World::new(&[]);
    let out = world.folder.path().join("killed");
    let options = &TINY[..TINY.len() - 1];
    let endless = askem(["run", "--phantom-shape", "2x96x96"]).args(options).args(["100000000"]);
    let mut running = endless.path("--out", &out).start();
    assert!(running.until(|| out.join("config.toml").exists()));
    running.until(|| lines_so_far(&out) == 1);
    running.kill();
    assert!(!out.join("weights.safetensors").exists());
    let (_, outcome) = world.segmentation("--run", &out, &[]);
    assert!(outcome.stderr.contains("iteration 0 of 0, the last one"), "{outcome:#?}");
    let refused = world.predict("q.tif", &["--iteration", "1"]).path("--run", &out).run();
    refused.refuses(2, &["--iteration 1", "0 to 0"]);
    // Nothing is done yet.
    fs::remove_file(out.join("journal.jsonl")).unwrap();
    let refused = world.predict("q.tif", &[]).path("--run", &out).run();
    refused.refuses(1, &["no iteration", "--resume"]);
    assert!(!world.folder.path().join("q.tif").exists());
}

#[test]
fn what_is_no_network_is_said() {
    let world = World::new(&[]);
    let weights = world.out.join("weights.safetensors");
    let predict = |options: &[&str]| world.predict("q.tif", options);
    // A checkpoint is the same network, but not for predicting.
    let checkpoint = world.out.join("checkpoint.safetensors");
    let refused = predict(&[]).path("--weights", &checkpoint).run();
    refused.refuses(2, &["checkpoint", &format!("--run {}", world.out.display())]);
    predict(&[]).path("--run", world.folder.path()).run().refuses(1, &["no run", "config.toml"]);
    for wrong in [
        predict(&[]).path("--run", &world.out).path("--weights", &weights),
        predict(&["--iteration", "1"]).path("--weights", &weights),
        predict(&[]),
    ] {
        let outcome = wrong.run();
        assert_eq!(outcome.code, Some(2), "{outcome:#?}");
        assert!(outcome.stderr.contains("--weights"), "{outcome:#?}");
    }
    // A network that is missing, as all but the last are in runs of earlier versions.
    fs::remove_dir_all(world.out.join("weights")).unwrap();
    let refused = predict(&["--iteration", "1"]).path("--run", &world.out).run();
    refused.refuses(1, &["001.safetensors", "iteration 1", "--weights"]);
    let (last, _) = world.segmentation("--run", &world.out, &[]);
    assert!(last == bytes(&world.out, "segmentation.tif"));
}
