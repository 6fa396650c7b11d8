//! One seed decides everything, whatever the number of threads.

use std::path::Path;

use tempfile::tempdir;

use crate::program::askem;
use crate::results::{assert_same_results, bytes, timeless, tiny_phantom};
use crate::tiny::UNSEEDED;

fn run(out: &Path, threads: &str, more: &[&str]) {
    tiny_phantom(out).args(["--threads", threads]).args(more).succeed();
}

#[test]
fn every_strategy_gives_the_same_bits_on_one_and_two_threads() {
    for strategy in askem::learning::strategy::NAMES {
        let folder = tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        run(&one, "1", &["--strategy", strategy]);
        run(&two, "2", &["--strategy", strategy]);
        assert_same_results(&one, &two);
    }
}

#[test]
fn other_networks_give_the_same_bits_again() {
    let folder = tempdir().unwrap();
    let options = ["--strategy", "bald", "--norm", "instance", "--dropout-kind", "element"];
    let more = ["--bald", "mutual_information", "--batch-size", "3", "--class-weights", "1,4"];
    let all = [&options[..], &more[..]].concat();
    let runs: Vec<_> = ["1", "2", "3", "2"]
        .iter()
        .enumerate()
        .map(|(i, threads)| {
            let out = folder.path().join(i.to_string());
            run(&out, threads, &all);
            out
        })
        .collect();
    for again in &runs[1..] {
        assert_same_results(&runs[0], again);
    }
}

#[test]
fn another_seed_differs() {
    let folder = tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    tiny_phantom(&a).succeed();
    let call = askem(["run", "--phantom-shape", "2x96x96", "--seed", "11"]).args(UNSEEDED);
    call.path("--out", &b).succeed();
    let (lines_a, lines_b) = (timeless(&a), timeless(&b));
    assert_eq!(lines_a.len(), lines_b.len());
    for (line_a, line_b) in lines_a.iter().zip(&lines_b) {
        assert_ne!(line_a["loss"], line_b["loss"]);
    }
    assert_ne!(lines_a[0]["picked"], lines_b[0]["picked"]);
    assert_ne!(bytes(&a, "weights.safetensors"), bytes(&b, "weights.safetensors"));
}
