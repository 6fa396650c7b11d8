//! Do pages say what is so: sizes, places, seeds that are there, letters that look alike?

use std::fs;
use std::path::{Path, PathBuf};

use askem::data::volume::TiffStackWriter;
use tempfile::{TempDir, tempdir};

use crate::program::{Call, askem};
use crate::tiny::UNSEEDED;
use crate::{decode, journal, screenshot_of};

const SHAPE: [usize; 3] = [2, 96, 160];

/// A run on a volume of pixels of 8 nm, with foreground in so many of its first rows.
fn run_with_foreground(rows: usize) -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let [_, height, width] = SHAPE;
    let write = |name: &str, value: &dyn Fn(usize, usize) -> u8| {
        let path = folder.path().join(name);
        let voxel = Some([40.0, 8.0, 8.0]);
        let mut writer = TiffStackWriter::create(&path, SHAPE).unwrap().with_voxel_nm(voxel);
        for z in 0..SHAPE[0] {
            let pixels: Vec<u8> =
                (0..height * width).map(|i| value(i / width, i % width + z)).collect();
            writer.push_classes(&pixels).unwrap();
        }
        writer.finish().unwrap();
        path
    };
    let is_foreground = |y: usize, x: usize| y < rows && (y / 12 + x / 16).is_multiple_of(3);
    let raw =
        write("raw.tif", &|y, x| 40 * u8::from(is_foreground(y, x)) + (7 * y + 13 * x) as u8 % 30);
    let labels = write("labels.tif", &|y, x| u8::from(is_foreground(y, x)));
    let out = folder.path().join("run");
    let run = askem(["run"]).args(UNSEEDED).path("--raw", &raw).path("--labels", &labels);
    run.path("--out", &out).succeed();
    (folder, out)
}

fn page_of(out: &Path) -> String {
    fs::read_to_string(out.join("report.html")).unwrap()
}

/// x, y, width and height of an SVG's rectangles of a class.
fn rects(svg: &str, class: &str) -> Vec<[f64; 4]> {
    let tags = svg.split("<rect ").skip(1).map(|rest| rest.split('>').next().unwrap());
    let number = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!(" {name}=\"")).unwrap();
        rest.split('"').next().unwrap().parse().unwrap()
    };
    tags.filter(|tag| tag.contains(&format!("class=\"{class}\"")))
        .map(|tag| format!(" {tag}"))
        .map(|tag| ["x", "y", "width", "height"].map(|name| number(&tag, name)))
        .collect()
}

#[test]
fn boxes_are_volumes_and_bars_are_as_long_as_they_say() {
    let (_folder, out) = run_with_foreground(96);
    let page = page_of(&out);
    // The test half is 160 pixels of 8 nm across: 200 nm are 25 of them. A first choice's three panels
    // of 32 pixels with 6 between them are 108 across: 200 nm again.
    for share in [25.0 / 160.0, 25.0 / 108.0] {
        let bar = format!("<span style=\"width:{:.3}%\"></span>200 nm", 100.0 * share);
        assert!(page.contains(&bar), "{bar}");
    }
    assert!(!page.contains("pixels</div>"), "no bar in pixels where their size is known");
    let svg = fs::read_to_string(out.join("figures/picks.svg")).unwrap();
    let (volume, trains) = (rects(&svg, "volume"), rects(&svg, "trains"));
    let [[left, top, width, height], side] = volume[..] else { panic!("{volume:?}") };
    assert!((width / height - 160.0 / 96.0).abs() < 1e-3, "rows and columns have one scale");
    assert!((trains[0][3] / height - 0.5).abs() < 1e-3, "the first half of the rows trains");
    let drawn = rects(&svg, "pick");
    let picked: Vec<[f64; 3]> = journal(&out)
        .iter()
        .flat_map(|line| line["picked"].as_array().unwrap().clone())
        .map(|pick| ["z", "y", "x"].map(|axis| pick[axis].as_f64().unwrap()))
        .collect();
    assert_eq!((picked.len(), drawn.len()), (6, 12), "each from above and from the side");
    for ([z, y, x], views) in picked.iter().zip(drawn.chunks(2)) {
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-3, "{a} {b}");
        // The centre of the patch.
        near((views[0][0] + 0.5 * views[0][2] - left) / width, (x + 16.0) / 160.0);
        near((views[0][1] + 0.5 * views[0][3] - top) / height, (y + 16.0) / 96.0);
        near((views[1][1] + 0.5 * views[1][3] - side[1]) / side[3], (z + 0.5) / 2.0);
    }
    for said in
        ["the box is the volume, of which the white part trains", "Section 1.", "score, nats"]
    {
        assert!(page.contains(said), "{said}");
    }
    assert!(!page.contains("full supervision") && !page.contains('±'));
    assert!(!page.contains("no foreground"));
}

#[test]
fn a_test_region_without_foreground_is_said_first() {
    let (_folder, out) = run_with_foreground(40);
    let page = page_of(&out);
    let warning = page.find("The test region has no foreground").expect("a warning");
    assert!(warning < page.find("<svg").unwrap());
    assert!(page.contains("<p class=\"big\">not known</p>"), "no index where it says little");
}

#[test]
fn one_seed_has_no_deviation_and_what_was_not_run_no_line() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("compared");
    let compare: Call = askem(["compare", "--strategies", "random,entropy", "--seeds", "1"]);
    let compare = compare.args(UNSEEDED).args(["--phantom-shape", "2x192x192"]);
    let said = compare.path("--out", &out).succeed().stdout;
    let page = page_of(&out);
    assert!(!said.contains('±') && !page.contains('±'), "{said}");
    assert!(!page.contains("dashed line is full"));
    let curves = fs::read_to_string(out.join("curves.svg")).unwrap();
    assert!(!curves.contains("full supervision") && !curves.contains("fill-opacity"));
    assert!(page.contains("of the one seed") && page.contains("Add full"));
}

/// The share of pixels in which two pictures differ much.
fn difference(a: &[[u8; 3]], b: &[[u8; 3]]) -> f64 {
    assert_eq!(a.len(), b.len());
    let far = |(a, b): &(&[u8; 3], &[u8; 3])| a.iter().zip(*b).any(|(a, b)| a.abs_diff(*b) > 100);
    a.iter().zip(b).filter(far).count() as f64 / a.len() as f64
}

#[test]
fn a_figure_has_the_same_letters_as_svg_and_as_png() {
    let figures = crate::undisturbed().join("figures");
    let (svg, png) = (figures.join("foreground.svg"), figures.join("foreground.png"));
    let (size, drawn) = decode(&png);
    let half = [size[0] / 2, size[1] / 2];
    let in_browser = screenshot_of(&svg, half, &["--force-device-scale-factor=2"]);
    let other = tempdir().unwrap();
    let monospaced = other.path().join("other.svg");
    let text = fs::read_to_string(&svg).unwrap();
    fs::write(&monospaced, text.replacen("font-family=\"Inter,", "font-family=\"monospace,", 1))
        .unwrap();
    let in_others = screenshot_of(&monospaced, half, &["--force-device-scale-factor=2"]);
    let (same, others) = (difference(&drawn, &in_browser), difference(&drawn, &in_others));
    assert!(same < 0.002 && 5.0 * same < others, "{same} with its letters, {others} with others");
}
