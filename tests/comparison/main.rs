//! Does `askem compare` run what it is told, go on where it was ended, and show it in pages that a browser draws?

mod baseline;
mod claims;
mod ended;
mod pages;
#[path = "../shared/program.rs"]
#[allow(dead_code)]
mod program;
#[path = "../shared/tiny.rs"]
mod tiny;
#[path = "../shared/tools.rs"]
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::program::{Call, askem};
use crate::tools::tool;

const STRATEGIES: [&str; 3] = ["random", "clasp", "full"];

/// Two seeds of three strategies, two runs at a time.
fn compare(out: &Path) -> Call {
    let small = ["--phantom-shape", "4x256x256", "--patch", "32", "--width", "2", "--pool", "16"];
    let short = ["--initial", "4", "--query", "3", "--iterations", "2", "--epochs", "20"];
    askem(["compare", "--strategies", "random,clasp,full", "--seeds", "2", "--jobs", "2"])
        .args(small)
        .args(short)
        .args(["--finetune-epochs", "10", "--device", "cpu"])
        .path("--out", out)
}

/// A comparison that nothing disturbed.
fn undisturbed() -> &'static Path {
    static WHOLE: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, out) = WHOLE.get_or_init(|| {
        let folder = tempdir().unwrap();
        let out = folder.path().join("whole");
        compare(&out).succeed();
        (folder, out)
    });
    out
}

/// The lines of a run's journal, without times.
fn journal(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("journal.jsonl")).unwrap();
    let mut lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.iter_mut().for_each(|line| drop(line.as_object_mut().unwrap().remove("seconds")));
    lines
}

fn cells() -> impl Iterator<Item = String> {
    STRATEGIES.iter().flat_map(|name| (0..2).map(move |seed| format!("{name}-{seed}")))
}

#[test]
fn every_cell_is_the_run_it_would_be_alone() {
    let out = undisturbed();
    for cell in cells() {
        assert_eq!(journal(&out.join(&cell)).len(), if cell.starts_with("full") { 1 } else { 3 });
    }
    let folder = tempdir().unwrap();
    let alone = folder.path().join("alone");
    let run = askem(["run", "--strategy", "clasp", "--seed", "1", "--device", "cpu"]);
    run.path("--config", &out.join("compare.toml")).path("--out", &alone).succeed();
    assert_eq!(journal(&alone), journal(&out.join("clasp-1")));
}

#[test]
fn the_numbers_are_those_of_the_journals() {
    let out = undisturbed();
    let lines = fs::read_to_string(out.join("iterations.csv")).unwrap();
    assert_eq!(lines.lines().count(), 1 + 2 * 3 + 2 * 3 + 2);
    for cell in cells() {
        let (strategy, seed) = cell.split_once('-').unwrap();
        for line in journal(&out.join(&cell)) {
            let [iteration, labelled, foreground, loss, jaccard] =
                ["iteration", "labelled", "labelled_foreground", "loss", "jaccard"]
                    .map(|field| line[field].as_f64().unwrap());
            let row =
                format!("{strategy},{seed},{iteration},{labelled},{foreground},{loss},{jaccard},");
            assert!(
                lines.lines().any(|line| line.starts_with(&row)),
                "{row} is missing in {lines}"
            );
        }
    }
    let json: Value =
        serde_json::from_slice(&fs::read(out.join("comparison.json")).unwrap()).unwrap();
    let last = |cell: &str| journal(&out.join(cell)).pop().unwrap()["jaccard"].as_f64().unwrap();
    for summary in json["summaries"].as_array().unwrap() {
        let name = summary["strategy"].as_str().unwrap();
        let [a, b] = [0, 1].map(|seed| last(&format!("{name}-{seed}")));
        let close = |field: &str, want: f64| {
            let got = summary["last"][field].as_f64().unwrap();
            assert!((got - want).abs() < 1e-12, "{name}, {field}: {got} in place of {want}");
        };
        close("mean", 0.5 * (a + b));
        // Of a sample of two.
        close("deviation", (a - b).abs() / 2_f64.sqrt());
    }
    assert_eq!(fs::read_to_string(out.join("summary.csv")).unwrap().lines().count(), 4);
}

#[test]
fn a_killed_comparison_goes_on_and_a_complete_one_computes_nothing() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("killed");
    let mut running = compare(&out).start();
    let there = running.until(|| out.join("random-0/weights.safetensors").exists());
    #[cfg(unix)]
    running.interrupt();
    let outcome = running.wait();
    assert!(there, "{outcome:#?}");
    #[cfg(unix)]
    {
        assert_eq!(outcome.code, Some(130), "{outcome:#?}");
        assert!(outcome.stderr.contains("Go on with the same command"), "{outcome:#?}");
    }
    compare(&out).succeed();
    for cell in cells() {
        assert_eq!(journal(&out.join(&cell)), journal(&undisturbed().join(&cell)), "{cell}");
    }
    let before = fs::metadata(out.join("clasp-0/weights.safetensors")).unwrap().modified().unwrap();
    let outcome = compare(&out).args(["--json"]).succeed();
    assert_eq!(outcome.json_lines().len(), 3);
    let after = fs::metadata(out.join("clasp-0/weights.safetensors")).unwrap().modified().unwrap();
    assert_eq!(before, after);

    // Other settings are another comparison.
    compare(&out).args(["--lr", "0.1"]).run().refuses(2, &["other settings", "compare.toml"]);
    compare(&out).args(["--seed", "1"]).run().refuses(2, &["--seeds N"]);
    let twice = askem(["compare", "--strategies", "random,random"]).path("--out", &out);
    twice.run().refuses(2, &["random comes twice"]);
    let unknown = askem(["compare", "--strategies", "best"]).path("--out", &out);
    unknown.run().refuses(2, &["unknown strategy `best`", "entropy"]);
}

#[test]
fn pages_hold_everything_and_load_nothing() {
    let out = undisturbed();
    let run = out.join("clasp-0");
    let figures = [
        (
            out,
            ["curves", "foreground", "picks-random", "picks-clasp", "calibration", "times"]
                .as_slice(),
        ),
        (&*run, ["curve", "picks", "scores", "calibration", "times"].as_slice()),
    ];
    for (folder, figures) in figures {
        fs::remove_file(folder.join("report.html")).unwrap();
        fs::remove_dir_all(folder.join("figures")).unwrap();
        let said = askem(["report"]).args([folder]).succeed().stdout;
        assert_eq!(said.trim(), folder.join("report.html").display().to_string());
        let page = fs::read_to_string(folder.join("report.html")).unwrap();
        for name in figures {
            let file = |kind| folder.join("figures").join(format!("{name}.{kind}"));
            let svg = fs::read_to_string(file("svg")).unwrap();
            // The page has the letters once, each file has them for itself.
            let (head, rest) = svg.split_once("<style>@font-face{").unwrap();
            let plain = format!("{head}{}", rest.split_once("</style>").unwrap().1);
            assert!(page.contains(&plain), "{name} of {} is another one", folder.display());
            assert!(fs::read(file("png")).unwrap().starts_with(b"\x89PNG"), "{name}");
        }
        for outside in
            ["src=\"http", "href=", "url(h", "url(/", "url('", "url(\"", "@import", "<script"]
        {
            assert!(!page.contains(outside), "{outside} in {}", folder.display());
        }
        let wanted = [
            "<svg",
            "data:image/png;base64,",
            "Jaccard",
            "training",
            "phantom",
            "calibration",
            "iteration 1",
        ];
        for part in wanted {
            assert!(page.contains(part), "{part} is missing in {}", folder.display());
        }
    }
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    for name in STRATEGIES {
        assert!(page.contains(&format!("<td>{name}</td>")), "{name} is missing");
    }
    // Two seeds show nothing, and nothing that is not shown is bold.
    let says = ["That clasp saves labels is not shown", "--seeds 10", "p = ", "95 % interval"];
    assert!(says.iter().all(|part| page.contains(part)));
    let bold = page.contains("<b>") || page.contains("class=\"best\"");
    assert!(!bold && !page.contains("saves labels is shown"), "a claim without data");
    let folder = tempdir().unwrap();
    askem(["report"]).args([folder.path()]).run().refuses(1, &["neither a run", "compare.toml"]);
}

/// Draws a page and gives its pixels as RGB.
fn screenshot(page: &Path, is_dark: bool) -> Vec<[u8; 3]> {
    let dark = ["--blink-settings=preferredColorScheme=0"];
    screenshot_of(page, [1100, 3000], if is_dark { &dark } else { &[] })
}

/// Draws what a browser shows of a file in a window of such a size, with more options.
fn screenshot_of(page: &Path, [width, height]: [u32; 2], options: &[&str]) -> Vec<[u8; 3]> {
    let folder = tempdir().unwrap();
    let picture = folder.path().join("page.png");
    let mut browser = Command::new(tool("browser"))
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
        .args([&format!("--window-size={width},{height}"), "--hide-scrollbars"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("--screenshot={}", picture.display()))
        .args(options)
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let clock = Instant::now();
    while browser.try_wait().unwrap().is_none() {
        if clock.elapsed() > Duration::from_secs(120) {
            browser.kill().unwrap();
            browser.wait().unwrap();
            panic!("the browser does not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    decode(&picture).1
}

/// Width and height of a PNG file, and its pixels as RGB.
fn decode(picture: &Path) -> ([u32; 2], Vec<[u8; 3]>) {
    let file = std::io::Cursor::new(fs::read(picture).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let channels = info.color_type.samples();
    assert!(channels >= 3, "{info:?}");
    let rgb = pixels.chunks(channels).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    ([info.width, info.height], rgb)
}

#[test]
fn a_page_is_drawn_in_a_browser_in_light_and_dark() {
    let page = undisturbed().join("report.html");
    let near =
        |pixel: &[u8; 3], want: [u8; 3]| pixel.iter().zip(want).all(|(a, b)| a.abs_diff(b) < 24);
    let [light, dark] = [false, true].map(|dark| screenshot(&page, dark));
    for (pixels, paper) in [(&light, [255, 255, 255]), (&dark, [0x16, 0x16, 0x16])] {
        let share = |colour| {
            pixels.iter().filter(|pixel| near(pixel, colour)).count() as f64 / pixels.len() as f64
        };
        assert!(share(paper) > 0.3, "paper {paper:?}: {}", share(paper));
        // The curves' first two colours, and the bars of the times.
        for colour in [[0x00, 0x72, 0xb2], [0xd5, 0x5e, 0x00]] {
            assert!(share(colour) > 1e-4, "{colour:?}: {}", share(colour));
        }
    }
}
