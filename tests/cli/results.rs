//! Tiny experiments, and what they leave in their directories.

use std::fs;
use std::io::BufReader;
use std::path::Path;

use askem::data::phantom::Phantom;
use askem::data::pool::{Position, Region, draw_pool};
use serde_json::Value;

use crate::program::{Call, askem};
use crate::tiny::UNSEEDED;

/// The phantom of the tiny experiments: small, with foreground in both halves under [`SEED`].
pub(crate) const SHAPE: [usize; 3] = [2, 96, 96];
pub(crate) const SEED: u64 = 10;
pub(crate) const PATCH: usize = 32;
pub(crate) const POOL: usize = 12;
pub(crate) const INITIAL: usize = 4;
pub(crate) const QUERY: usize = 3;
pub(crate) const ITERATIONS: usize = 2;

/// The settings above as options, without data and output: the seed, then the others.
pub(crate) const TINY: [&str; 20] = {
    let mut options = ["--seed"; 20];
    options[1] = "10";
    let mut i = 0;
    while i < UNSEEDED.len() {
        options[i + 2] = UNSEEDED[i];
        i += 1;
    }
    options
};

/// The first part of every tiny experiment.
pub(crate) fn tiny() -> Call {
    askem(["run"]).args(TINY)
}

/// A tiny experiment on the phantom.
pub(crate) fn tiny_phantom(out: &Path) -> Call {
    tiny().args(["--phantom-shape", "2x96x96"]).path("--out", out)
}

/// The files that every finished run leaves, apart from the report.
pub(crate) const FILES: [&str; 8] = [
    "config.toml",
    "journal.jsonl",
    "weights.safetensors",
    "checkpoint.safetensors",
    "curve.svg",
    "curve.png",
    "segmentation.tif",
    "segmentation.png",
];

/// A file of a run.
pub(crate) fn bytes(out: &Path, name: &str) -> Vec<u8> {
    let path = out.join(name);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The complete lines of the journal so far; none if there is no journal.
pub(crate) fn lines_so_far(out: &Path) -> usize {
    let bytes = fs::read(out.join("journal.jsonl")).unwrap_or_default();
    bytes.iter().filter(|&&b| b == b'\n').count()
}

/// The journal's lines; the last one must be complete.
pub(crate) fn journal(out: &Path) -> Vec<Value> {
    let text = String::from_utf8(bytes(out, "journal.jsonl")).expect("a journal is UTF-8");
    assert!(text.ends_with('\n'), "{text:?}");
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    text.lines().map(parse).collect()
}

/// The journal without what differs from run to run.
pub(crate) fn timeless(out: &Path) -> Vec<Value> {
    let mut lines = journal(out);
    for line in &mut lines {
        line.as_object_mut().expect("an object").remove("seconds").expect("each line has times");
    }
    lines
}

/// Two runs ended with the same journal, times aside, and the same weights and segmentation.
pub(crate) fn assert_same_results(a: &Path, b: &Path) {
    assert_eq!(timeless(a), timeless(b), "{} and {}", a.display(), b.display());
    for file in
        ["weights.safetensors", "segmentation.tif", "segmentation.png", "curve.svg", "curve.png"]
    {
        let same = bytes(a, file) == bytes(b, file);
        assert!(same, "{file} differs between {} and {}", a.display(), b.display());
    }
}

/// Every file of a finished run is there, and nothing half-written beside them.
pub(crate) fn assert_complete(out: &Path) {
    for file in FILES {
        assert!(!bytes(out, file).is_empty(), "{file} is empty");
    }
    let entries = fs::read_dir(out).expect("a run directory can be listed");
    for entry in entries {
        let name = entry.expect("an entry can be read").file_name();
        let name = name.to_string_lossy();
        assert!(!name.contains("partial"), "{name} is left in {}", out.display());
    }
}

/// The fields of an object, sorted.
pub(crate) fn fields(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> =
        value.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

pub(crate) fn number(value: &Value, field: &str) -> f64 {
    value[field].as_f64().unwrap_or_else(|| panic!("`{field}` is no number: {value}"))
}

pub(crate) fn count(value: &Value, field: &str) -> usize {
    value[field].as_u64().unwrap_or_else(|| panic!("`{field}` is no count: {value}")) as usize
}

/// The regions of the tiny experiment.
pub(crate) fn regions() -> (Region, Region) {
    Region::split_y(SHAPE)
}

/// The pool of the tiny experiment.
pub(crate) fn pool(seed: u64) -> Vec<Position> {
    draw_pool(&regions().0, PATCH, POOL, seed).expect("the pool fits")
}

/// All pixels of the phantom: grey values and labels (0 or 1) of its sections.
pub(crate) fn phantom() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let phantom = Phantom::new(SHAPE, SEED).expect("the phantom can be made");
    let each = |f: &dyn Fn(usize) -> askem::Result<Vec<u8>>| -> Vec<Vec<u8>> {
        (0..SHAPE[0]).map(|z| f(z).expect("a section")).collect()
    };
    (each(&|z| phantom.raw(z)), each(&|z| phantom.labels(z)))
}

/// Foreground pixels of a patch.
pub(crate) fn foreground_of(labels: &[Vec<u8>], at: Position) -> usize {
    let width = SHAPE[2];
    let rows = (at.y..at.y + PATCH).flat_map(|y| &labels[at.z][y * width + at.x..][..PATCH]);
    rows.filter(|&&l| l == 1).count()
}

/// The pages of an 8-bit TIFF with their heights and widths.
pub(crate) fn read_tiff(path: &Path) -> Vec<([usize; 2], Vec<u8>)> {
    read_pages(path, |result| match result {
        tiff::decoder::DecodingResult::U8(values) => values,
        other => panic!("8 bits are due: {other:?}"),
    })
}

/// The pages of a 32-bit float TIFF.
pub(crate) fn read_float_tiff(path: &Path) -> Vec<([usize; 2], Vec<f32>)> {
    read_pages(path, |result| match result {
        tiff::decoder::DecodingResult::F32(values) => values,
        other => panic!("floats are due: {other:?}"),
    })
}

fn read_pages<T>(
    path: &Path,
    values: impl Fn(tiff::decoder::DecodingResult) -> Vec<T>,
) -> Vec<([usize; 2], Vec<T>)> {
    let file = fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut decoder = tiff::decoder::Decoder::new(BufReader::new(file)).expect("a TIFF");
    let mut pages = Vec::new();
    loop {
        let (width, height) = decoder.dimensions().expect("a page has a size");
        let image = decoder.read_image().expect("a page can be read");
        pages.push(([height as usize, width as usize], values(image)));
        if !decoder.more_images() {
            return pages;
        }
        decoder.next_image().expect("there is another page");
    }
}

/// Intersection over union of all pixels, 1 where there is no foreground at all.
pub(crate) fn jaccard(pairs: impl Iterator<Item = (bool, bool)>) -> f64 {
    let (mut both, mut either) = (0_u32, 0_u32);
    for (predicted, label) in pairs {
        both += u32::from(predicted && label);
        either += u32::from(predicted || label);
    }
    if either == 0 { 1.0 } else { f64::from(both) / f64::from(either) }
}
