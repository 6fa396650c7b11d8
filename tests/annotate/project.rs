//! The commands of a project without the page.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::program::askem;
use crate::white_is_zero::white_is_zero;
use crate::world::{PATCH, SHAPE, World, label_file, on, place, read_png, write_png, write_tiff};

/// The patches that are asked for now.
fn asked(dir: &Path) -> Vec<[usize; 3]> {
    let told = on("query", dir).args(["--json"]).succeed().json();
    told["patches"].as_array().unwrap().iter().map(place).collect()
}

fn truths(world: &World, patches: &[[usize; 3]]) -> Vec<Vec<u8>> {
    patches.iter().map(|&at| world.truth(at)).collect()
}

/// Answers the query that is asked now with the truth, as a stack.
fn answer(world: &World, dir: &Path) -> Value {
    let patches = asked(dir);
    let stack = world.at("answer.tif");
    write_tiff(&stack, [PATCH, PATCH], &truths(world, &patches));
    on("import", dir).args([&stack]).args(["--json"]).succeed().json()
}

#[test]
fn from_a_volume_without_labels_to_a_segmentation_in_five_commands() {
    let world = World::new();
    let dir = world.init("brain");
    let first = asked(&dir);
    assert_eq!(first.len(), 4);
    for file in ["raw.tif", "context.tif", "start.tif", "query.json"] {
        assert!(dir.join("queries/000").join(file).is_file(), "{file}");
    }
    let told = answer(&world, &dir);
    assert_eq!(
        (&told["patches"], &told["whole"], &told["missing"]),
        (&4.into(), &4.into(), &Value::Array(vec![]))
    );
    let known: usize = truths(&world, &first).iter().flatten().filter(|&&l| l == 1).count();
    assert_eq!(told["foreground_pixels"], known);
    for &at in &first {
        assert_eq!(read_png(&label_file(&dir, at)), world.truth(at), "{at:?}");
    }

    let round = on("learn", &dir).args(["--json"]).succeed().json();
    assert_eq!((&round["iteration"], &round["labelled"]), (&0.into(), &4.into()));
    assert_eq!((&round["jaccard"], round.get("unseen_jaccard")), (&Value::Null, None));
    let second = asked(&dir);
    assert_eq!(second.len(), 2);
    assert!(second.iter().all(|at| !first.contains(at)), "nothing is asked twice");
    answer(&world, &dir);
    let round = on("learn", &dir).args(["--json"]).succeed().json();
    assert_eq!((&round["iteration"], &round["labelled"]), (&1.into(), &6.into()));
    for share in ["unseen_jaccard", "changed_pixels"] {
        let share = round[share].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&share), "{round}");
    }

    let out = world.at("mito.tif");
    on("predict", &dir).path("--out", &out).succeed();
    let shape = askem(["inspect", "--json"]).path("--raw", &out).succeed().json()["shape"].clone();
    assert_eq!(shape, serde_json::json!(SHAPE));
    // What a run's directory has, for a run's tools.
    askem(["report"]).args([&dir]).succeed();
    let page = fs::read_to_string(dir.join("report.html")).unwrap();
    for part in ["6 labelled patches", "The last 2 patches changed", "mean entropy"] {
        assert!(page.contains(part), "{part}");
    }
    askem(["score", "--device", "cpu", "--criterion", "entropy", "--stride", "32"])
        .path("--run", &dir)
        .path("--raw", &world.at("raw.tif"))
        .path("--out", &world.at("scores.zarr"))
        .succeed();
}

#[test]
fn the_same_labels_give_the_same_network() {
    let world = World::new();
    let rounds: Vec<_> = ["one", "two"]
        .map(|name| {
            let dir = world.init(name);
            answer(&world, &dir);
            on("learn", &dir).succeed();
            (fs::read(dir.join("weights/000.safetensors")).unwrap(), asked(&dir))
        })
        .into();
    assert!(rounds[0] == rounds[1]);
}

#[test]
fn labels_come_by_name_by_order_and_as_a_whole_volume() {
    let world = World::new();
    let dir = world.init("brain");
    let patches = asked(&dir);
    // One patch, by its name.
    let one = world.at("z00000_anna.png");
    let [z, y, x] = patches[2];
    let named = world.at(&format!("anna-z{z}_y{y}_x{x}.png"));
    let mut labels = world.truth(patches[2]);
    labels[0] = 255;
    labels[1] = 254;
    write_png(&named, &labels);
    let told = on("import", &dir).args([&named]).args(["--json"]).succeed().json();
    assert_eq!((&told["patches"], &told["whole"]), (&1.into(), &0.into()));
    assert_eq!(told["missing"].as_array().unwrap().len(), 3);
    assert_eq!(read_png(&label_file(&dir, patches[2])), labels);
    write_png(&one, &labels);
    on("import", &dir).args([&one]).run().refuses(1, &["neither the 4 patches"]);
    // A folder of named pictures, in an order of its own.
    let folder = world.at("labels");
    fs::create_dir(&folder).unwrap();
    for &at in &patches {
        let [z, y, x] = at;
        write_png(&folder.join(format!("z{z:05}_y{y:06}_x{x:06}.png")), &world.truth(at));
    }
    let told = on("import", &dir).args([&folder]).args(["--json"]).succeed().json();
    assert_eq!((&told["patches"], &told["whole"]), (&4.into(), &4.into()));
    patches.iter().for_each(|&at| assert_eq!(read_png(&label_file(&dir, at)), world.truth(at)));
    // The whole volume, of which two sections are labelled.
    let other = world.init("other");
    let sections: Vec<Vec<u8>> = world
        .sections()
        .iter()
        .enumerate()
        .map(|(z, section)| if z % 2 == 0 { section.clone() } else { vec![255; section.len()] })
        .collect();
    let whole = world.at("whole.tif");
    write_tiff(&whole, [SHAPE[1], SHAPE[2]], &sections);
    on("import", &other).args([&whole]).succeed();
    for &at in &patches {
        let file = label_file(&other, at);
        assert_eq!(file.exists(), at[0] % 2 == 0, "{at:?}");
        if file.exists() {
            assert_eq!(read_png(&file), world.truth(at));
        }
    }
}

#[test]
fn what_is_noticed_in_files_of_labels_is_said_once() {
    let world = World::new();
    let dir = world.init("brain");
    let patches = asked(&dir);
    let stack = world.at("answer.tif");
    write_tiff(&stack, [PATCH, PATCH], &truths(&world, &patches));
    white_is_zero(&stack);
    let inspect = askem(["inspect", "--json"]).path("--raw", &stack).succeed().json();
    let noticed = "answer.tif: its smallest value is said to be white (MinIsWhite)";
    assert!(inspect["warnings"].to_string().contains(noticed), "{inspect}");
    let told = on("import", &dir).args([&stack]).succeed();
    assert_eq!(told.stderr.matches(noticed).count(), 1, "{told:#?}");
    // Labels are as they are stored.
    patches.iter().for_each(|&at| assert_eq!(read_png(&label_file(&dir, at)), world.truth(at)));
}

#[test]
fn labels_that_could_mean_two_things_are_refused_and_change_nothing() {
    let world = World::new();
    let dir = world.init("brain");
    let patches = asked(&dir);
    let masks: Vec<Vec<u8>> = truths(&world, &patches)
        .into_iter()
        .map(|labels| labels.into_iter().map(|label| label * 255).collect())
        .collect();
    let stack = world.at("masks.tif");
    write_tiff(&stack, [PATCH, PATCH], &masks);
    on("import", &dir)
        .args([&stack])
        .run()
        .refuses(2, &["--label-value 255", "--ignore-value 255"]);
    assert_eq!(fs::read_dir(dir.join("labels")).unwrap().count(), 0);
    on("import", &dir).args([&stack]).args(["--label-value", "255"]).succeed();
    assert_eq!(read_png(&label_file(&dir, patches[0])), world.truth(patches[0]));

    let short = world.at("short.tif");
    write_tiff(&short, [PATCH, PATCH], &truths(&world, &patches)[..3]);
    on("import", &dir).args([&short]).run().refuses(1, &["4 patches", "whole volume"]);
    let wrong = world.at("z0_y1_x2.png");
    write_png(&wrong, &world.truth(patches[0]));
    on("import", &dir).args([&wrong]).run().refuses(1, &["no patch that was asked for"]);
}

#[test]
fn what_can_not_go_on_says_what_is_missing() {
    let world = World::new();
    let dir = world.at("brain");
    on("learn", &dir).run().refuses(1, &["no project lies there", "askem init"]);
    let dir = world.init("brain");
    on("learn", &dir).run().refuses(2, &["no pixel is labelled"]);
    let raw = world.at("raw.tif");
    askem(["init"]).args([&dir]).path("--raw", &raw).run().refuses(1, &["a project already"]);
    let run =
        askem(["run", "--preset", "quick", "--force", "--device", "cpu"]).path("--out", &dir).run();
    run.refuses(1, &["the project of a person"]);
    let other = world.at("other");
    for (strategy, why) in [("full", "whole pool"), ("fg_random", "nobody"), ("nonsense", "")] {
        let call = askem(["init", "--strategy", strategy]).args([&other]).path("--raw", &raw);
        call.run().refuses(2, &[strategy, why]);
        assert!(!other.exists(), "{strategy}");
    }
    let large = askem(["init", "--patch", "4096"]).args([&other]).path("--raw", &raw).run();
    large.refuses(2, &["--patch 4096"]);
    assert!(!other.exists(), "nothing is made for a volume that is too small");
    // Background alone.
    let patches = asked(&dir);
    let empty = vec![vec![0; PATCH * PATCH]; patches.len()];
    write_tiff(&world.at("empty.tif"), [PATCH, PATCH], &empty);
    on("import", &dir).args([&world.at("empty.tif")]).succeed();
    on("learn", &dir).run().refuses(2, &["no pixel is labelled as foreground"]);
    // A file of labels that was spoilt.
    fs::write(label_file(&dir, patches[0]), b"not a picture").unwrap();
    on("learn", &dir).run().refuses(1, &["put back a copy"]);
}

#[test]
fn a_corrected_stack_never_lands_on_the_next_query() {
    let world = World::new();
    let dir = world.init("brain");
    let first = asked(&dir);
    answer(&world, &dir);
    on("learn", &dir).succeed();
    let stack = world.at("answer.tif");
    // It would fit, were the queries equally long.
    write_tiff(&stack, [PATCH, PATCH], &truths(&world, &first[..2]));
    on("import", &dir).args([&stack]).run().refuses(2, &["query 1", "--query N"]);
    assert_eq!(fs::read_dir(dir.join("labels")).unwrap().count(), 4);
    write_tiff(&stack, [PATCH, PATCH], &truths(&world, &first));
    on("import", &dir).args([&stack]).args(["--query", "0"]).succeed();
    let written = asked(&dir);
    write_tiff(&stack, [PATCH, PATCH], &truths(&world, &written));
    on("import", &dir).args([&stack]).succeed();
    // A page without a label takes none away, and the same patch twice is a mistake.
    write_tiff(&stack, [PATCH, PATCH], &[vec![255; PATCH * PATCH], vec![1; PATCH * PATCH]]);
    on("import", &dir).args([&stack]).succeed();
    assert_eq!(read_png(&label_file(&dir, written[0])), world.truth(written[0]));
    on("import", &dir).args([&stack, &stack]).run().refuses(2, &["another of the files"]);
}

#[test]
fn another_volume_or_other_settings_are_noticed() {
    let world = World::new();
    let dir = world.init("brain");
    let patches = asked(&dir);
    answer(&world, &dir);
    let config = dir.join("config.toml");
    let good = fs::read_to_string(&config).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(good.contains(from), "{good}");
        fs::write(&config, good.replace(from, to)).unwrap();
    };
    changed("seed = 0", "seed = 1");
    on("query", &dir).run().refuses(1, &["other first patches"]);
    let small: Vec<Vec<u8>> = world.sections()[..3].to_vec();
    write_tiff(&world.at("small.tif"), [SHAPE[1], SHAPE[2]], &small);
    changed("raw.tif", "small.tif");
    on("learn", &dir).run().refuses(1, &["4 x 160 x 176", "3 x 160 x 176"]);
    changed("raw.tif", "gone.tif");
    on("learn", &dir).run().refuses(1, &["gone.tif", "config.toml"]);
    fs::write(&config, &good).unwrap();
    fs::remove_file(label_file(&dir, patches[0])).unwrap();
    write_png(&label_file(&dir, [0, 1, 2]), &world.truth([0, 1, 2]));
    let told = on("query", &dir).succeed().stderr;
    assert!(told.contains("1 patches are marked as done"), "{told}");
    assert!(told.contains("1 files in labels are of no patch"), "{told}");
    let patches = dir.join("patches.json");
    for wrong in ["[]", "{}", "nonsense", "{\"shape\":[4,160,176],\"first\":[]}"] {
        fs::write(&patches, wrong).unwrap();
        assert_eq!(on("query", &dir).run().code, Some(1), "{wrong}");
    }
}

#[test]
fn a_small_volume_has_a_small_pool() {
    let world = World::new();
    let dir = world.at("small");
    askem(["init", "--patch", "144", "--width", "4", "--initial", "3"])
        .args([&dir])
        .path("--raw", &world.at("raw.tif"))
        .succeed();
    let places = SHAPE[0] * (SHAPE[1] - 144 + 1) * (SHAPE[2] - 144 + 1);
    let config = fs::read_to_string(dir.join("config.toml")).unwrap();
    assert!(config.contains(&format!("pool = {}", places.min(1000))), "{config}");
}

#[test]
fn a_stack_of_another_query_is_refused() {
    let world = World::new();
    let dir = world.init("brain");
    let first = asked(&dir);
    let stack = world.at("answer.tif");
    write_tiff(&stack, [PATCH, PATCH], &truths(&world, &first));
    // As the query was written before a round was taken back, and asks for others now.
    let path = dir.join("queries/000/query.json");
    let mut written: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let x = written["patches"][2]["x"].as_u64().unwrap();
    written["patches"][2]["x"] = (x + 1).into();
    fs::write(&path, written.to_string()).unwrap();
    on("import", &dir).args([&stack]).run().refuses(1, &["query.json", "other patches", "anew"]);
    assert!(first.iter().all(|&at| !label_file(&dir, at).exists()));
    asked(&dir);
    on("import", &dir).args([&stack]).succeed();
    // tifffile takes four pages for the planes of a picture.
    on("import", &dir).args([&stack]).args(["--axes", "ZYX"]).succeed();
}

#[test]
fn an_undo_that_fails_half_way_loses_no_label() {
    let world = World::new();
    let dir = world.init("brain");
    answer(&world, &dir);
    on("learn", &dir).succeed();
    let second = asked(&dir);
    answer(&world, &dir);
    fs::remove_dir_all(dir.join("before-import")).unwrap();
    // The network's file can't be removed: a folder that is not empty stands in its place.
    let network = dir.join("weights/000.safetensors");
    fs::remove_file(&network).unwrap();
    fs::create_dir_all(network.join("in the way")).unwrap();
    on("undo", &dir).succeed();
    let told = on("query", &dir).args(["--json"]).succeed();
    assert!(!told.stderr.contains("no patch"), "{told:#?}");
    fs::remove_dir_all(&network).unwrap();
    let round = on("learn", &dir).args(["--json"]).succeed().json();
    assert_eq!(round["labelled"], 6, "{second:?} still count");
}

#[test]
fn patches_of_nothing_but_background_are_pointed_out() {
    let world = World::new();
    let dir = world.init("brain");
    let first = asked(&dir);
    let mut pages = truths(&world, &first);
    pages[1].fill(0);
    pages[0][0] = 1;
    pages[2][0] = 1;
    pages[3][0] = 1;
    let stack = world.at("answer.tif");
    write_tiff(&stack, [PATCH, PATCH], &pages);
    let told = on("import", &dir).args([&stack]).args(["--json"]).succeed();
    assert_eq!(told.json()["background"], 1);
    assert!(told.stderr.contains("1 of 4 patches are 0"), "{told:#?}");
    assert!(told.stderr.contains("askem undo"), "{told:#?}");
}

#[test]
fn steps_are_taken_back_one_by_one_and_no_label_is_lost() {
    let world = World::new();
    let dir = world.init("brain");
    let undo = || on("undo", &dir).args(["--json"]).succeed().json();
    on("undo", &dir).run().refuses(2, &["neither a round nor an import"]);
    let first = asked(&dir);
    // Painted by hand, then imported over.
    let painted: Vec<u8> = (0..PATCH * PATCH).map(|i| (i % 2) as u8).collect();
    write_png(&label_file(&dir, first[1]), &painted);
    let before = fs::read(dir.join("patches.json")).unwrap();
    answer(&world, &dir);
    assert_eq!(read_png(&label_file(&dir, first[1])), world.truth(first[1]));
    assert_eq!(undo(), serde_json::json!({ "undone": "import", "patches": 4, "kept": 0 }));
    assert_eq!(read_png(&label_file(&dir, first[1])), painted);
    assert!(!label_file(&dir, first[0]).exists(), "it had no label");
    let states = |text: &[u8]| -> Vec<String> {
        let marks: Value = serde_json::from_slice(text).unwrap();
        marks["states"].as_object().unwrap().values().map(|s| s.to_string()).collect()
    };
    assert!(states(&before).is_empty());
    let now = states(&fs::read(dir.join("patches.json")).unwrap());
    assert!(now.iter().all(|state| state == "\"open\""), "{now:?}");

    // Two imports, one after the other, are taken back one after the other.
    answer(&world, &dir);
    write_tiff(&world.at("zeros.tif"), [PATCH, PATCH], &vec![vec![0; PATCH * PATCH]; 4]);
    on("import", &dir).args([world.at("zeros.tif")]).succeed();
    undo();
    assert_eq!(read_png(&label_file(&dir, first[1])), world.truth(first[1]));
    undo();
    assert_eq!(read_png(&label_file(&dir, first[1])), painted);

    // What is painted after an import is left alone when the import is taken back.
    answer(&world, &dir);
    write_png(&label_file(&dir, first[2]), &painted);
    assert_eq!(undo(), serde_json::json!({ "undone": "import", "patches": 3, "kept": 1 }));
    assert_eq!(read_png(&label_file(&dir, first[2])), painted);

    answer(&world, &dir);
    let journal = |dir: &Path| fs::read(dir.join("journal.jsonl")).unwrap_or_default();
    on("learn", &dir).succeed();
    let (one, second) = (journal(&dir), asked(&dir));
    // A round after the import: it is taken back first.
    assert_eq!(undo(), serde_json::json!({ "undone": "round", "round": 0, "asked": 2, "kept": 0 }));
    assert_eq!((journal(&dir).len(), asked(&dir)), (0, first.clone()));
    assert!(!dir.join("weights/000.safetensors").exists());
    on("learn", &dir).succeed();
    let without_times = |journal: &[u8]| {
        let text = String::from_utf8_lossy(journal).into_owned();
        text.split(",\"seconds\"").next().unwrap().to_string()
    };
    assert_eq!(without_times(&journal(&dir)), without_times(&one), "the same round again");
    assert_eq!(asked(&dir), second);
    answer(&world, &dir);
    on("learn", &dir).succeed();
    assert_eq!(undo(), serde_json::json!({ "undone": "round", "round": 1, "asked": 2, "kept": 0 }));
    // Labelled patches of a query that is taken back are the person's own.
    assert_eq!(undo(), serde_json::json!({ "undone": "import", "patches": 2, "kept": 0 }));
    answer(&world, &dir);
    fs::remove_dir_all(dir.join("before-import")).unwrap();
    assert_eq!(undo(), serde_json::json!({ "undone": "round", "round": 0, "asked": 2, "kept": 2 }));
    let told = on("learn", &dir).args(["--json"]).succeed().json();
    assert_eq!(told["labelled"], 6, "their labels still count");
    for &at in &second {
        assert_eq!(read_png(&label_file(&dir, at)), world.truth(at));
    }
}
