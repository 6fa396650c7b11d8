//! `askem run` with every strategy: what it says, and what it leaves.

use std::collections::BTreeSet;
use std::path::Path;

use askem::data::pool::Position;
use serde_json::Value;
use tempfile::tempdir;

use crate::results::{
    INITIAL, ITERATIONS, PATCH, POOL, QUERY, SEED, SHAPE, assert_complete, bytes, count, fields,
    foreground_of, jaccard, journal, number, phantom, pool, read_tiff, regions, tiny_phantom,
};

/// Runs a strategy and checks everything that it leaves.
fn run_and_check(strategy: &str) {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    let outcome = tiny_phantom(&out).args(["--strategy", strategy]).succeed();
    let lines = if strategy == "full" { 1 } else { ITERATIONS + 1 };

    // Standard output holds the table and where the results are; the rest goes to standard error.
    let table: Vec<&str> = outcome.stdout.lines().collect();
    assert!(table.len() > lines + 2, "{outcome:#?}");
    for column in ["iteration", "labelled", "foreground", "loss", "Jaccard"] {
        assert!(table[0].contains(column), "{outcome:#?}");
    }
    for (iteration, row) in table[1..=lines].iter().enumerate() {
        assert_eq!(row.split_whitespace().next(), Some(&*iteration.to_string()), "{outcome:#?}");
    }
    assert_eq!(table[lines + 1], "");
    let results = table[lines + 2..].join(" ");
    assert!(results.contains(&*out.to_string_lossy()), "{outcome:#?}");
    assert!(results.contains("journal.jsonl") && results.contains("curve.png"), "{outcome:#?}");
    for word in ["Device:", "cpu", "Memory:", "Estimated time:"] {
        assert!(outcome.stderr.contains(word), "{word}: {outcome:#?}");
    }
    // Standard error is no terminal here: no bars.
    assert!(!outcome.stderr.contains(['\r', '\x1b']), "{outcome:#?}");

    assert_complete(&out);
    let journal = journal(&out);
    assert_eq!(journal.len(), lines);
    check_lines(strategy, &journal);
    check_picks(strategy, &journal);
    check_segmentation(&out, journal.last().unwrap());
    check_pictures(&out, strategy);
    check_weights(&out);
}

fn check_lines(strategy: &str, journal: &[Value]) {
    for (iteration, line) in journal.iter().enumerate() {
        // What a training changed is known from the second on.
        let later = ["changed_pixels", "mean_entropy", "unseen_jaccard"];
        let (told, plain): (Vec<&str>, Vec<&str>) =
            fields(line).into_iter().partition(|field| later.contains(field));
        assert_eq!(told, if iteration == 0 { &later[1..2] } else { &later[..] });
        for share in told {
            assert!((0.0..=1.0).contains(&number(line, share)), "{line}");
        }
        assert_eq!(
            plain,
            [
                "checksum",
                "epochs",
                "iteration",
                "jaccard",
                "labelled",
                "labelled_foreground",
                "labelled_pixels",
                "loss",
                "picked",
                "seconds",
                "seed",
                "strategy"
            ]
        );
        assert_eq!(fields(&line["seconds"]), ["evaluate", "score", "train"]);
        for phase in ["train", "score", "evaluate"] {
            assert!(number(&line["seconds"], phase) >= 0.0, "{line}");
        }
        assert_eq!(count(line, "iteration"), iteration);
        assert_eq!(line["strategy"], strategy);
        assert_eq!(count(line, "seed"), SEED as usize);
        let labelled = if strategy == "full" { POOL } else { INITIAL + iteration * QUERY };
        assert_eq!(count(line, "labelled"), labelled);
        assert!((0.0..=1.0).contains(&number(line, "labelled_foreground")), "{line}");
        assert!((0.0..=1.0).contains(&number(line, "jaccard")), "{line}");
        assert!(number(line, "loss") > 0.0, "{line}");
    }
}

fn check_picks(strategy: &str, journal: &[Value]) {
    let (_, labels) = phantom();
    let pool = pool(SEED);
    let area = PATCH * PATCH;
    // Foreground pixels of everything labelled, as whole numbers.
    let labelled_foreground = |line: &Value| {
        number(line, "labelled_foreground") * (count(line, "labelled") * area) as f64
    };
    let mut seen = BTreeSet::new();
    for (iteration, line) in journal.iter().enumerate() {
        let picked = line["picked"].as_array().expect("picks are a list");
        let last = iteration + 1 == journal.len();
        assert_eq!(picked.len(), if last { 0 } else { QUERY }, "{line}");
        let mut foreground = 0;
        for pick in picked {
            assert_eq!(fields(pick), ["index", "score", "x", "y", "z"]);
            let index = count(pick, "index");
            let at = Position { z: count(pick, "z"), y: count(pick, "y"), x: count(pick, "x") };
            assert_eq!(at, pool[index], "patch {index} is elsewhere in the pool");
            assert!(seen.insert(index), "patch {index} is picked twice");
            let by_chance = ["random", "fg_random"].contains(&strategy);
            assert_eq!(pick["score"].is_null(), by_chance, "{pick}");
            foreground += foreground_of(&labels, at);
        }
        let scores: Vec<f64> = picked.iter().filter_map(|p| p["score"].as_f64()).collect();
        match strategy {
            "random" | "fg_random" => assert!(scores.is_empty(), "{scores:?}"),
            // In an order of their own: noise, or distances.
            "power_entropy" | "power_bald" | "clasp" | "entropy_core_set" | "typiclust"
            | "badge" => {
                assert!(scores.iter().all(|&score| score >= 0.0), "{scores:?}");
            }
            "least_confidence" | "k_means" => assert!(scores.is_sorted(), "{scores:?}"),
            _ => assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}"),
        }
        if let Some(next) = journal.get(iteration + 1) {
            let more = labelled_foreground(next) - labelled_foreground(line);
            assert_eq!(more.round() as usize, foreground, "the labels of {line}");
            assert!((more - more.round()).abs() < 1e-6, "{more} foreground pixels");
        }
    }
    if strategy == "full" {
        let all: usize = pool.iter().map(|&at| foreground_of(&labels, at)).sum();
        assert!(all > 0, "the phantom of the tests has foreground");
        let share = all as f64 / (POOL * area) as f64;
        assert_eq!(number(&journal[0], "labelled_foreground"), share);
    } else {
        // The initial patches, which no line lists, are none of the picked ones.
        assert!(seen.len() + INITIAL <= POOL);
    }
}

fn check_segmentation(out: &Path, last: &Value) {
    let (_, labels) = phantom();
    let test = regions().1;
    let pages = read_tiff(&out.join("segmentation.tif"));
    assert_eq!(pages.len(), SHAPE[0]);
    let mut pairs = Vec::new();
    for ((size, page), labels) in pages.iter().zip(&labels) {
        assert_eq!(*size, [test.height(), test.width()]);
        assert!(page.iter().all(|v| [0, 255].contains(v)), "labels are 0 or 255");
        let truth = &labels[test.y.start * SHAPE[2]..];
        pairs.extend(page.iter().zip(truth).map(|(&p, &l)| (p == 255, l == 1)));
    }
    assert_eq!(pairs.len(), SHAPE[0] * test.height() * test.width());
    assert!(pairs.iter().any(|&(_, label)| label), "the test region has foreground");
    assert_eq!(number(last, "jaccard"), jaccard(pairs.into_iter()));
}

fn check_pictures(out: &Path, strategy: &str) {
    let svg = String::from_utf8(bytes(out, "curve.svg")).unwrap();
    assert!(svg.contains("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
    assert!(svg.contains(strategy) && svg.contains("Jaccard"), "{svg}");
    for (name, least) in [("curve.png", [300, 200]), ("segmentation.png", [96, 48])] {
        let png = bytes(out, name);
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert!(info.width >= least[0] && info.height >= least[1], "{name}: {info:?}");
        assert!(pixels.iter().any(|&p| p != pixels[0]), "{name} is empty");
    }
}

fn check_weights(out: &Path) {
    let trained = askem::network::weights::load(&out.join("weights.safetensors")).unwrap();
    assert_eq!((trained.net.width, trained.net.classes, trained.patch), (2, 2, PATCH));
    assert!(trained.weights.parameters.iter().all(|v| v.is_finite()));
    assert_ne!(trained.weights, trained.net.init(SEED), "training changes weights");
    let bytes = bytes(out, "weights.safetensors");
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let shape = |name: &str| {
        assert_eq!(header[name]["dtype"], "F32", "{name}");
        header[name]["shape"].to_string()
    };
    // Some of every kind, in PyTorch's layouts: conv OIHW, transposed conv IOHW.
    assert_eq!(shape("enc0.0.conv.weight"), "[2,1,3,3]");
    assert_eq!(shape("enc3.1.conv.weight"), "[16,16,3,3]");
    assert_eq!(shape("enc1.0.norm.running_var"), "[4]");
    assert_eq!(shape("mid.1.norm.weight"), "[32]");
    assert_eq!(shape("dec0.up.weight"), "[32,16,2,2]");
    assert_eq!(shape("dec3.0.conv.weight"), "[2,4,3,3]");
    assert_eq!(shape("head.weight"), "[2,2,1,1]");
    assert_eq!(shape("head.bias"), "[2]");
}

#[test]
fn random() {
    run_and_check("random");
}

#[test]
fn entropy() {
    run_and_check("entropy");
}

#[test]
fn least_confidence() {
    run_and_check("least_confidence");
}

#[test]
fn bald() {
    run_and_check("bald");
}

#[test]
fn k_means() {
    run_and_check("k_means");
}

#[test]
fn core_set() {
    run_and_check("core_set");
}

#[test]
fn those_beyond_the_paper() {
    for strategy in &askem::learning::strategy::NAMES[7..] {
        run_and_check(strategy);
    }
}

#[test]
fn full() {
    run_and_check("full");
}

#[test]
fn json_is_the_journal_and_nothing_else() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("run");
    let outcome = tiny_phantom(&out).args(["--json", "--strategy", "bald"]).succeed();
    let printed = outcome.json_lines();
    assert!(printed.iter().all(Value::is_object));
    assert_eq!(printed, journal(&out));
}
