//! What is chosen, compared with an evaluation of the definitions.

use std::collections::HashSet;
use std::fs;

use askem::data::pool::Position;
use askem::pools::score_store::{Rows, ScoreStore};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Call, askem};
use crate::world::world;

/// All rows of the whole store.
fn all() -> (Rows, usize) {
    let store = ScoreStore::open(&world().whole()).unwrap();
    let mut all = Rows::default();
    for chunk in 0..store.about().chunks() {
        let rows = store.read(chunk, true).unwrap();
        all.scores.extend(rows.scores);
        all.positions.extend(rows.positions);
        all.embeddings.extend(rows.embeddings);
    }
    (all, store.about().dim)
}

fn select(strategy: &str, query: usize) -> Call {
    let query = query.to_string();
    askem(["select", "--json", "--strategy", strategy, "--query", &query]).args([world().whole()])
}

fn indices(lines: &[Value]) -> Vec<usize> {
    lines.iter().map(|line| line["index"].as_u64().unwrap() as usize).collect()
}

fn near(a: Position, b: Position, pixels: usize, sections: usize) -> bool {
    a.z.abs_diff(b.z) <= sections && a.y.abs_diff(b.y) < pixels && a.x.abs_diff(b.x) < pixels
}

#[test]
fn the_largest_scores_win() {
    let (rows, _) = all();
    let mut order: Vec<usize> = (0..rows.scores.len()).collect();
    order.sort_by(|&a, &b| rows.scores[b].total_cmp(&rows.scores[a]));
    let lines = select("entropy", 12).succeed().json_lines();
    assert_eq!(indices(&lines), order[..12]);
    for (rank, line) in lines.iter().enumerate() {
        let at = rows.positions[order[rank]];
        assert_eq!(
            (&line["z"], &line["y"], &line["x"]),
            (&at.z.into(), &at.y.into(), &at.x.into())
        );
        assert_eq!(line["score"].as_f64().unwrap() as f32, rows.scores[order[rank]]);
        assert_eq!(line["rank"], rank + 1);
    }
    // With a distance, the same walk leaves out what lies too near.
    let mut want: Vec<usize> = Vec::new();
    for &i in &order {
        if want.len() < 6
            && want.iter().all(|&j| !near(rows.positions[i], rows.positions[j], 33, 1))
        {
            want.push(i);
        }
    }
    let call = select("entropy", 6).args(["--min-distance", "33", "--min-distance-z", "1"]);
    assert_eq!(indices(&call.succeed().json_lines()), want);
}

#[test]
fn the_farthest_embeddings_win() {
    let (rows, dim) = all();
    let points: Vec<Vec<f64>> = rows
        .embeddings
        .chunks(dim)
        .map(|e| e.iter().map(|v| f64::from(v.to_f32())).collect())
        .collect();
    let distance = |a: usize, b: usize| -> f64 {
        points[a].iter().zip(&points[b]).map(|(a, b)| (a - b) * (a - b)).sum()
    };
    let lines = select("core_set", 8).succeed().json_lines();
    let picks = indices(&lines);
    assert_eq!(picks[0], 0, "without labels the first patch is as far as any");
    for t in 1..picks.len() {
        let to_picks =
            |i: usize| picks[..t].iter().map(|&j| distance(i, j)).fold(f64::MAX, f64::min);
        let farthest = (0..points.len()).map(to_picks).fold(0.0, f64::max);
        let score = lines[t]["score"].as_f64().unwrap();
        assert!((to_picks(picks[t]) - farthest).abs() <= 1e-5 * farthest, "pick {t}");
        assert!((score - farthest).abs() <= 1e-5 * farthest, "pick {t}");
    }
}

#[test]
fn every_strategy_keeps_its_distance_and_repeats_itself() {
    for strategy in ["random", "entropy", "k_means", "core_set"] {
        let call = || select(strategy, 5).args(["--min-distance", "40", "--min-distance-z", "2"]);
        let lines = call().succeed().json_lines();
        assert_eq!(lines.len(), 5, "{strategy}");
        assert_eq!(indices(&lines), indices(&call().succeed().json_lines()), "{strategy}");
        let at = |line: &Value| {
            serde_json::from_value::<[usize; 3]>(json!([line["z"], line["y"], line["x"]]))
        };
        let places: Vec<Position> = lines
            .iter()
            .map(|line| at(line).map(|[z, y, x]| Position { volume: 0, z, y, x }).unwrap())
            .collect();
        for (i, &a) in places.iter().enumerate() {
            assert!(places[..i].iter().all(|&b| !near(a, b, 40, 2)), "{strategy}: {places:?}");
        }
    }
    let seeds = ["1", "2"]
        .map(|seed| indices(&select("random", 5).args(["--seed", seed]).succeed().json_lines()));
    assert_ne!(seeds[0], seeds[1]);
}

#[test]
fn what_is_labelled_is_left_out() {
    let folder = TempDir::new().unwrap();
    let list = folder.path().join("labelled.jsonl");
    for strategy in ["random", "entropy", "k_means", "core_set"] {
        let first = select(strategy, 4).succeed();
        fs::write(&list, &first.stdout).unwrap();
        let second = select(strategy, 4).path("--exclude", &list).succeed().json_lines();
        let first: HashSet<usize> = indices(&first.json_lines()).into_iter().collect();
        assert!(indices(&second).iter().all(|i| !first.contains(i)), "{strategy}");
        if strategy == "core_set" {
            // Choosing four and then four more is choosing eight.
            let eight = indices(&select(strategy, 8).succeed().json_lines());
            assert_eq!(indices(&second), eight[4..]);
        }
    }
    // The whole pool but two.
    let all = select("entropy", 268).succeed().stdout;
    fs::write(&list, all).unwrap();
    let outcome = select("entropy", 5).path("--exclude", &list).succeed();
    assert_eq!(outcome.json_lines().len(), 2);
    assert!(outcome.stderr.contains("only 2 of 5"), "{outcome:#?}");
    fs::write(&list, "{\"z\": 1}\n").unwrap();
    select("entropy", 5).path("--exclude", &list).run().refuses(1, &["line 1", "no y"]);
}

#[test]
fn every_strategy_leaves_out_all_that_is_labelled_and_what_lies_near_it() {
    let (rows, _) = all();
    let folder = TempDir::new().unwrap();
    let list = folder.path().join("labelled.jsonl");
    let first = select("random", 4).succeed();
    fs::write(&list, &first.stdout).unwrap();
    let labelled: HashSet<usize> = indices(&first.json_lines()).into_iter().collect();
    let is_far = |i: usize| {
        let at = rows.positions[i];
        labelled.iter().all(|&other| !near(at, rows.positions[other], 40, 1))
    };
    for strategy in ["random", "entropy", "k_means", "core_set"] {
        // All that are left, each once.
        let rest = select(strategy, rows.positions.len()).path("--exclude", &list).succeed();
        let rest: Vec<usize> = indices(&rest.json_lines());
        let different: HashSet<usize> = rest.iter().copied().collect();
        assert_eq!(rest.len(), different.len(), "{strategy}");
        assert_eq!(rest.len() + labelled.len(), rows.positions.len(), "{strategy}");
        assert!(different.is_disjoint(&labelled), "{strategy}");
        let far = select(strategy, rows.positions.len()).path("--exclude", &list).args([
            "--min-distance",
            "40",
            "--min-distance-z",
            "1",
        ]);
        let far = indices(&far.succeed().json_lines());
        assert!(!far.is_empty() && far.iter().all(|&i| is_far(i)), "{strategy}: {far:?}");
    }
}

#[test]
fn a_journal_names_its_picks_and_its_first_patches() {
    // The run's pool is drawn from the phantom, the store's patches lie on a grid: none is the same place, so nothing is left out,
    // but with a distance what lies near the run's patches is.
    let journal = world().run("a").join("journal.jsonl");
    let plain = select("entropy", 5).path("--exclude", &journal).succeed().json_lines();
    assert_eq!(plain.len(), 5);
    let text = fs::read_to_string(&journal).unwrap();
    let picked: Vec<Value> = text
        .lines()
        .flat_map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["picked"].as_array().unwrap().clone()
        })
        .collect();
    assert_eq!(picked.len(), 2);
    let far = select("entropy", 200)
        .path("--exclude", &journal)
        .args(["--min-distance", "30"])
        .succeed()
        .json_lines();
    let close = |line: &Value, pick: &Value| {
        let side = |v: &Value, name: &str| v[name].as_u64().unwrap() as usize;
        line["z"] == pick["z"]
            && side(line, "y").abs_diff(side(pick, "y")) < 30
            && side(line, "x").abs_diff(side(pick, "x")) < 30
    };
    assert!(far.iter().all(|line| picked.iter().all(|pick| !close(line, pick))));
    // Four first patches and two picks, each of which forbids some of the grid.
    let alone = select("entropy", 200).args(["--min-distance", "30"]).succeed().json_lines();
    assert!(far.len() < alone.len(), "{} and {}", far.len(), alone.len());
    let folder = TempDir::new().unwrap();
    let lonely = folder.path().join("journal.jsonl");
    fs::copy(&journal, &lonely).unwrap();
    let outcome = select("entropy", 5).path("--exclude", &lonely).run();
    outcome.refuses(1, &["config.toml", "not known"]);
}

#[test]
fn a_network_that_sees_neighbouring_sections_has_embeddings_as_others() {
    let folder = TempDir::new().unwrap();
    let [run, store] = ["run", "store.zarr"].map(|name| folder.path().join(name));
    let settings = "--phantom-shape 2x96x96 --seed 10 --context 1 --patch 32 --width 2 --pool 8 \
        --initial 4 --iterations 0 --epochs 1 --device cpu";
    askem(["run"]).args(settings.split_whitespace()).path("--out", &run).succeed();
    let score = askem(["score", "--device", "cpu", "--stride", "32"]).path("--run", &run);
    score.path("--raw", &world().zarr()).path("--out", &store).succeed();
    // 16 times the width.
    assert_eq!(ScoreStore::open(&store).unwrap().about().dim, 32);
    for strategy in ["core_set", "k_means"] {
        let picks = askem(["select", "--json", "--strategy", strategy, "--query", "3"]);
        assert_eq!(picks.args([&store]).succeed().json_lines().len(), 3, "{strategy}");
    }
}
