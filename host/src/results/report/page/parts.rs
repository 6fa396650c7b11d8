//! What the pages are made of: figures, pictures, tables, the frame around them.

use std::fmt::Write;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::super::details::Details;
use super::super::spreads::{calibration_error, calibration_svg, histograms_svg};
use super::super::{escape, font_face, picks, scale_bar, write_figure};
use crate::data::files::write_atomically;
use crate::error::{Error, Result};
use crate::learning::protocol::{Picked, Record};
use crate::results::run_dir::{Extent, Extents};

const STYLE: &str = include_str!("style.css");

/// A part of the page with its heading, over all columns where it is `wide`.
pub(super) fn section(heading: &str, wide: bool, body: &str) -> String {
    let class = if wide { " class=\"wide\"" } else { "" };
    format!("<section{class}><h2>{heading}</h2>{body}</section>")
}

/// A figure of the page, which is also written as `figures/NAME.svg` and `.png`.
pub(super) fn figure(out: &Path, name: &str, svg: &str, caption: &str) -> Result<String> {
    let folder = out.join("figures");
    std::fs::create_dir_all(&folder)
        .map_err(|e| Error::io(&folder, "can't make the directory", e))?;
    let file = |kind: &str| folder.join(format!("{name}.{kind}"));
    write_figure(svg, &file("svg"), &file("png"))?;
    Ok(format!("<figure>{svg}<figcaption>{caption}</figcaption></figure>"))
}

/// What the colours of errors mean.
pub(super) const KEY: &str = "<span class=\"key\"><span style=\"background:#56B4E9\"></span>found\
    <span style=\"background:#F0E442\"></span>missed\
    <span style=\"background:#D55E00\"></span>false alarm</span>";

/// A PNG file inside the page with a scale bar under it; nothing where there is no such file.
fn picture(path: &Path, what: &str, extent: Option<&Extent>) -> Option<String> {
    let bytes = std::fs::read(path).ok()?;
    // The width stands in the file's first chunk.
    let width = u32::from_be_bytes(bytes.get(16..20)?.try_into().ok()?) as usize;
    let pixel_nm = extent.and_then(|extent| extent.voxel_nm).map(|[_, _, x]| x);
    Some(format!(
        "<img alt=\"{what}\" src=\"data:image/png;base64,{}\">{}",
        BASE64_STANDARD.encode(bytes),
        scale_bar::html(width, pixel_nm)
    ))
}

/// A section of a test volume with its errors, which lies in a run's folder.
pub(super) fn errors(run: &Path, volume: usize, png: &Path, caption: &str) -> Option<String> {
    let extents = Extents::read(run);
    let picture = picture(png, "segmentation with its errors", extents.test.get(volume))?;
    Some(format!("<figure>{picture}<figcaption>{caption}</figcaption></figure>"))
}

/// Where the picks in a volume lie; `whose` begins the caption.
pub(super) fn picks_figure(
    out: &Path,
    name: &str,
    (run, records, patch): (&Path, &[Record], usize),
    volume: usize,
    whose: &str,
) -> Result<String> {
    let extents = Extents::read(run);
    let extent = extents.train.get(volume);
    let is_whole = |extent: &Extent| extent.part == extent.shape.map(|length| [0, length]);
    let what = match extent {
        None => "how large the volume is is not known, and the box is that of the picks",
        Some(extent) if is_whole(extent) => "the box is the volume",
        Some(_) => "the box is the volume, of which the white part trains",
    };
    let caption = format!(
        "{whose}here the picks lie, from above and from the side: {what}. Each square is a patch of \
         {patch} x {patch} pixels at its place; sections are stretched."
    );
    figure(out, name, &picks::svg(records, volume, patch, extent), &caption)
}

/// So many volumes that the last pick of one lies in the last of them.
pub(super) fn volumes_of(records: &[Record]) -> usize {
    let picks = records.iter().flat_map(|record| &record.picked);
    1 + picks.map(|pick| pick.volume).max().unwrap_or(0)
}

/// What a strategy's scores are.
pub(super) fn score_unit(strategy: &str) -> &'static str {
    match strategy {
        "entropy" | "bald" | "mutual_information" | "power_entropy" | "power_bald" => {
            "score, nats: the sum over a patch's pixels"
        }
        "clasp" => "score, nats: the sum over a patch's pixels, of all or of one class",
        "least_confidence" => {
            "score: the sum of the likeliest class's probability over a patch's pixels"
        }
        "k_means" => "score: squared distance from the cluster's centre, no unit",
        "core_set" => "score: squared distance from the nearest labelled patch, no unit",
        _ => "score, as the strategy defines it",
    }
}

/// The place of a patch in words, with its volume where there are `several`.
fn place_of(pick: &Picked, several: bool) -> String {
    let volume = if several { format!("volume {}, ", pick.volume) } else { String::new() };
    format!("{volume}section {}, row {}, column {}", pick.z, pick.y, pick.x)
}

/// The first choice of each iteration.
pub(super) fn picks_table(records: &[Record], several: bool, unit: &str) -> String {
    let volume = if several { "<th>volume</th>" } else { "" };
    let mut out = format!(
        "<div><div class=\"table\"><table><tr><th>after iteration</th>{volume}<th>section</th>\
         <th>row</th><th>column</th><th>score</th><th>least score chosen</th></tr>",
    );
    for record in records.iter().filter(|record| !record.picked.is_empty()) {
        let first = &record.picked[0];
        let last = record.picked.last().and_then(|pick| pick.score);
        // One number of digits in a row, so that the two can be compared.
        let digits = match first.score.into_iter().chain(last).fold(0.0, |m, s| s.abs().max(m)) {
            100.0.. => 1,
            1.0.. => 3,
            _ => 5,
        };
        let show = |score: Option<f32>| score.map_or("–".into(), |s| format!("{s:.digits$}"));
        let _ = write!(
            out,
            "<tr><td>{}</td>{}<td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            record.iteration,
            if several { format!("<td>{}</td>", first.volume) } else { String::new() },
            first.z,
            first.y,
            first.x,
            show(first.score),
            show(last)
        );
    }
    out + &format!(
        "</table></div><p class=\"soft\">The first choice after each iteration: its section, first row \
         and first column. {}.</p></div>",
        capital(unit)
    )
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// The first choices of the first four iterations, as Fig. 4 of arXiv 1911.05548 shows them.
pub(super) fn queries(run: &Path, records: &[Record], several: bool) -> String {
    let extents = Extents::read(run);
    let mut html = String::new();
    for record in records.iter().filter(|record| !record.picked.is_empty()).take(4) {
        let first = &record.picked[0];
        let path = Details::picture(run, record.iteration);
        if let Some(picture) = picture(&path, "first choice", extents.train.get(first.volume)) {
            let _ = write!(
                html,
                "<figure><div class=\"thirds\"><span>image</span><span>foreground</span>\
                 <span>entropy</span></div>{picture}<figcaption>After iteration {}: {}\
                 </figcaption></figure>",
                record.iteration,
                place_of(first, several)
            );
        }
    }
    if html.is_empty() {
        return html;
    }
    let body = format!(
        "<p class=\"soft\">The patch that was asked for first, as the network saw it before it had the \
         label: the image, the probability of foreground (black 0, white 1), and the entropy of that \
         (black 0, white ln 2 nats: undecided).</p><div class=\"row\">{html}</div>"
    );
    section("First choices", true, &body)
}

/// Histograms of the scores, and calibration after the last iteration.
pub(super) fn spreads(out: &Path, details: &[Details], whose: &str, unit: &str) -> Result<String> {
    let mut html = String::new();
    if let Some(svg) = histograms_svg(details, unit) {
        let caption = format!(
            "{whose}How many unlabelled patches had which score before each choice. The number at a \
             row's left is that of its tallest bar."
        );
        html += &figure(out, "scores", &svg, &caption)?;
    }
    if let Some(last) = details.last()
        && let (Some(svg), Some(error)) = (calibration_svg(last), calibration_error(last))
    {
        let caption = format!(
            "{whose}After the last iteration. On the dashed line, probabilities are what they say; the \
             expected calibration error is {error:.3}. Large dots stand for many pixels."
        );
        html += &figure(out, "calibration", &svg, &caption)?;
    }
    if html.is_empty() {
        return Ok(html);
    }
    Ok(section("How sure it is", true, &format!("<div class=\"pair\">{html}</div>")))
}

/// A command of which no word is broken.
pub(super) fn command(text: &str) -> String {
    let words: Vec<String> =
        text.split(' ').map(|word| format!("<span>{}</span>", escape(word))).collect();
    format!("<code class=\"command\">{}</code>", words.join(" "))
}

/// The settings as they were written.
pub(super) fn settings_block(settings: &str) -> String {
    if settings.is_empty() {
        return String::new();
    }
    let lines = settings.lines().map(escape).collect::<Vec<_>>().join("\n");
    let body = format!(
        "<details><summary>everything that decides the result</summary><pre>{lines}</pre></details>"
    );
    section("Settings", false, &body)
}

/// Writes `report.html`.
pub(super) fn write(out: &Path, title: &str, body: &str) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{}</title><style>\n{STYLE}{}</style></head>\n<body>\n{body}\n\
         <p class=\"soft\">Made by askem {version}. Nothing on this page is loaded from elsewhere.</p>\n\
         </body></html>\n",
        escape(title),
        font_face()
    );
    write_atomically(&out.join("report.html"), page.as_bytes())
}
