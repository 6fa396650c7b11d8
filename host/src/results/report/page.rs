//! One self-contained HTML page for a run or a comparison: it opens by double click, loads nothing, and follows the reader's dark or
//! light scheme.

mod claims;
mod comparison;

use std::fmt::Write;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

pub(super) use self::comparison::{comparison_figure, write_comparison_page};
use super::curve::{Curve, Figure};
use super::details::{Details, calibration_error, calibration_svg, histograms_svg};
use super::{PALETTE, escape, picks, rasterize, times};
use crate::data::files::write_atomically;
use crate::error::{Error, Result};
use crate::learning::protocol::{Picked, Record};
use crate::learning::stopping::advice;
use crate::results::comparison::{Baseline, Series, summarize, system};
use crate::results::run_dir::{DataSource, Resolved, RunDir, SEGMENTATIONS, best_held_out};

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1b1b1b; --soft: #595959; --paper: #fff; --card: #f5f5f3; --line: #d8d8d4; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececec; --soft: #b0b0b0; --paper: #161616; --card: #222; --line: #444; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 92rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, 'Helvetica Neue', Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .75rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
p { margin: .5rem 0; max-width: 46rem; } .verdict { font-size: 1.15rem; } .soft, figcaption { color: var(--soft); font-size: .92rem; }
.table { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .35rem .55rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; white-space: normal; vertical-align: bottom; } tr.best td { font-weight: 700; }
figure { margin: 1rem 0; } figure svg, figure img { display: block; max-width: 100%; height: auto; border-radius: 6px; background: #fff; }
.row img { width: 100%; image-rendering: pixelated; } .row { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1rem; }
.pair { display: grid; gap: 0 2.5rem; align-items: start; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); }
.pair > div > figure > svg, .pair > div > figure > img { width: 100%; } .pair h2 { margin-top: 1rem; } .warn { color: #b84e00; font-weight: 600; }
.key span { display: inline-block; width: .9em; height: .9em; border-radius: 2px; margin: 0 .35em 0 1em; vertical-align: -.08em; border: 1px solid #0006; }
.claims { list-style: none; padding: 0; max-width: 54rem; } .claims li { display: flex; gap: .75rem; align-items: baseline; margin: .45rem 0; }
.chip { flex: 0 0 6rem; white-space: nowrap; text-align: center; font-size: .8rem; font-weight: 600; border-radius: 99px; border: 1px solid; padding: .05rem .3rem; }
.yes { color: #007a58; } .open { color: var(--soft); } .no { color: #b84e00; } td small { color: var(--soft); }
@media (prefers-color-scheme: dark) { .yes { color: #4cc9a0; } .no { color: #ff9a52; } }
pre { background: var(--card); padding: 1rem; border-radius: 6px; overflow-x: auto; font-size: .85rem; }
";

/// Writes `report.html` of one run.
pub fn write_run_page(out: &Path, resolved: &Resolved, records: &[Record]) -> Result<()> {
    let (Some(first), Some(last)) = (records.first(), records.last()) else {
        return Err(Error::Input(format!("{}: the run has no iterations yet", out.display())));
    };
    let strategy = &resolved.experiment.strategy;
    let settings = std::fs::read_to_string(out.join("config.toml")).unwrap_or_default();
    let mut body = String::new();
    let mut put = |part: String| {
        body.push_str(&part);
        body.push('\n');
    };
    put(format!("<h1>{} on {}</h1>", escape(strategy), escape(&data_name(resolved))));
    put(verdict(first, last));
    if let Some(best) = best_held_out(records) {
        put(best_network(best, last));
    }
    let has_test = last.jaccard.is_some();
    let details = Details::read_all(out, records.len());
    let by_person = resolved.data.labels.is_empty() && resolved.data.phantom_shape.is_none();
    let tests = test_volumes(resolved);
    let pictures = segmentations(out, &tests, details.last());
    let judged = |r: &Record| if has_test { r.jaccard } else { r.unseen_jaccard };
    let (title, caption) = if has_test { TEST_REGION } else { UNSEEN };
    let known: Vec<Record> = records.iter().filter(|r| judged(r).is_some()).cloned().collect();
    if details.last().is_some_and(Details::has_no_foreground) {
        put("<p class=\"warn\">The test region has no foreground: the Jaccard index says little.</p>".into());
    }
    put("<div class=\"pair\">".into());
    if !known.is_empty() {
        put("<div>".into());
        let points = points(&known, |r| judged(r).unwrap_or(f64::NAN));
        let curves = vec![Curve::new(strategy.clone(), points)];
        let curve = Figure { title: title.into(), ..Figure::jaccard(curves, None) };
        put(figure(out, "curve", &curve.svg(), caption)?);
        put("</div>".into());
    }
    put("<div>".into());
    put("<h2>What the network gets wrong</h2>".into());
    match pictures.is_empty() {
        false => pictures.into_iter().for_each(&mut put),
        true if by_person => put(NO_TEST.into()),
        true if last.jaccard.is_none() => put(ALL_TRAIN.into()),
        true => {
            put("<p class=\"soft\">The segmentation is drawn at the end of the run.</p>".into())
        }
    }
    put("</div></div>".into());
    if last.class_jaccard.is_some() {
        put(classes_table(records));
    }
    if last.volume_jaccard.is_some() {
        put(volumes_table(records, &tests));
    }
    if by_person || last.changed_pixels.is_some() {
        put(whether_to_go_on(records));
    }
    if records.iter().any(|record| !record.picked.is_empty()) {
        put("<h2>What was asked for</h2>".into());
        put("<div class=\"pair\">".into());
        let caption = "Where the picks lie, from above and from the side";
        match &resolved.data.raw[..] {
            several @ [_, _, ..] => {
                for (volume, path) in several.iter().enumerate() {
                    let caption = format!("{caption}: {}.", escape(&path.display().to_string()));
                    let svg = picks::svg(records, volume);
                    put(figure(out, &format!("picks-{volume:03}"), &svg, &caption)?);
                }
            }
            _ => put(figure(out, "picks", &picks::svg(records, 0), &format!("{caption}."))?),
        }
        let several = resolved.data.raw.len() > 1;
        put(picks_table(records, several, score_unit(strategy)));
        put("</div>".into());
        put(queries(out, records, several));
    }
    put(spreads(out, &details, "", score_unit(strategy))?);
    put("<h2>Where the time went</h2>".into());
    let series = Series {
        strategy: strategy.clone(),
        runs: vec![(resolved.experiment.seed, records.to_vec())],
    };
    put(figure(out, "times", &times::svg(&[series]), "Seconds of the whole run.")?);
    put(settings_block(&settings));
    write(out, &format!("askem: {strategy}"), &body)
}

/// Titles and captions of the curve.
const TEST_REGION: (&str, &str) =
    ("Jaccard index of the test region", "Jaccard index of the test region after each iteration.");
const UNSEEN: (&str, &str) = (
    "Jaccard index on labels not seen",
    "How well the network before each training foretold the labels given for it, which it had \
     never seen. They were asked for because they are hard.",
);

const NO_TEST: &str = "<p class=\"soft\">Labels come from a person, so there is no test region: \
    look at what <code>askem predict</code> writes.</p>";

const ALL_TRAIN: &str = "<p class=\"soft\">All labels train, so none is left to judge by: look at what \
    <code>askem predict --run</code> makes of a volume, or hold some out (<code>askem train --holdout</code>).</p>";

/// What the run has come to, in a sentence.
fn verdict(first: &Record, last: &Record) -> String {
    let pixels = last.labelled_pixels;
    let pixels = pixels.map_or_else(String::new, |pixels| format!(" ({} pixels)", grouped(pixels)));
    let what = match (first.jaccard, last.jaccard) {
        (Some(from), Some(to)) => format!(
            "Jaccard index <b>{to:.3}</b> with {} labelled patches{pixels}. It was {from:.3} with the \
             first {}.",
            last.labelled, first.labelled
        ),
        _ => {
            let unseen = last.unseen_jaccard.map_or_else(String::new, |jaccard| {
                format!(
                    " On the last patches labelled, before it learnt from them, the network had a \
                     Jaccard index of <b>{jaccard:.3}</b>."
                )
            });
            format!("{} labelled patches{pixels}.{unseen}", last.labelled)
        }
    };
    format!(
        "<p class=\"verdict\">{what} Of what was labelled, {:.1} % is foreground.</p>",
        100.0 * last.labelled_foreground
    )
}

/// The Jaccard index of each class after each iteration.
fn classes_table(records: &[Record]) -> String {
    let classes = records.iter().filter_map(|r| r.class_jaccard.as_ref()).map(Vec::len).max();
    let names: String =
        (1..=classes.unwrap_or(0)).map(|class| format!("<th>class {class}</th>")).collect();
    let mut out = format!(
        "<h2>Each class</h2><p class=\"soft\">Jaccard index on the test region; the index above is their \
         mean. A class that is neither there nor predicted has none.</p><div class=\"table\"><table>\
         <tr><th>labelled patches</th><th>mean</th>{names}</tr>"
    );
    let cell = |index: &Option<f64>| {
        format!("<td>{}</td>", index.map_or_else(|| "–".into(), |index| format!("{index:.3}")))
    };
    for r in records {
        let cells: String = r.class_jaccard.iter().flatten().map(cell).collect();
        out += &format!("<tr><td>{}</td>{}{cells}</tr>", r.labelled, cell(&r.jaccard));
    }
    out + "</table></div>"
}

/// The paths of the volumes that test, of which there may be one that has none.
fn test_volumes(resolved: &Resolved) -> Vec<String> {
    let DataSource { raw, test_raw, .. } = &resolved.data;
    let paths = if test_raw.is_empty() { raw } else { test_raw };
    paths.iter().map(|path| path.display().to_string()).collect()
}

/// The segmentations of the test volumes, one section of each.
fn segmentations(out: &Path, tests: &[String], details: Option<&Details>) -> Vec<String> {
    let section_of = |volume: usize| details.and_then(|details| details.sections.get(volume));
    let show = |volume: usize, picture: String, name: &str| {
        let section = section_of(volume).map_or(String::new(), |z| format!("Section {z}. "));
        format!("<figure>{picture}<figcaption>{section}{KEY}{name}</figcaption></figure>")
    };
    if tests.len() < 2 {
        let picture = image(&out.join("segmentation.png"));
        return picture.map(|picture| show(0, picture, "")).into_iter().collect();
    }
    let picture_of = |(volume, name): (usize, &String)| {
        let picture = image(&out.join(SEGMENTATIONS).join(format!("{volume:03}.png")))?;
        Some(show(volume, picture, &format!("<br>{}", escape(name))))
    };
    tests.iter().enumerate().filter_map(picture_of).collect()
}

/// The Jaccard index on each test volume after each iteration.
fn volumes_table(records: &[Record], tests: &[String]) -> String {
    let mut out = String::from(
        "<h2>Each volume</h2><p class=\"soft\">Jaccard index on each test volume; the index above is \
         of all their pixels together.</p><div class=\"table\"><table><tr><th>volume</th>",
    );
    for record in records {
        out += &format!("<th>{} patches</th>", record.labelled);
    }
    out += "</tr>";
    for (volume, name) in tests.iter().enumerate() {
        out += &format!("<tr><td>{}</td>", escape(name));
        for record in records {
            let index = record.volume_jaccard.as_ref().and_then(|of| of.get(volume));
            out += &format!("<td>{}</td>", index.map_or("–".into(), |index| format!("{index:.3}")));
        }
        out += "</tr>";
    }
    out + "</table></div>"
}

/// What the rounds changed, and whether a person should go on.
fn whether_to_go_on(records: &[Record]) -> String {
    let mut out = String::from("<h2>When is it enough?</h2>");
    match advice(records) {
        Some(advice) => out += &format!("<p>{}</p>", escape(&advice.text)),
        None => {
            out += "<p class=\"soft\">That shows after two rounds that learnt from new labels.</p>"
        }
    }
    out += "<div class=\"table\"><table><tr><th>round</th><th>labelled patches</th>\
            <th>pixels changed</th><th>Jaccard index on labels not seen</th>\
            <th>mean entropy, nats</th></tr>";
    let cell = |value: Option<f64>, show: fn(f64) -> String| {
        format!("<td>{}</td>", value.map_or_else(|| "–".into(), show))
    };
    for r in records {
        out += &format!(
            "<tr><td>{}</td><td>{}</td>{}{}{}</tr>",
            r.iteration,
            r.labelled,
            cell(r.changed_pixels, |share| format!("{:.1} %", 100.0 * share)),
            cell(r.unseen_jaccard, |jaccard| format!("{jaccard:.3}")),
            cell(r.mean_entropy, |entropy| format!("{entropy:.3}")),
        );
    }
    out + "</table></div>"
}

/// Which iteration's network is best by the patches held out, and where it lies.
fn best_network(best: &Record, last: &Record) -> String {
    let loss = best.best.map_or(f64::NAN, |best| best.held_out_loss);
    let whether = if best.iteration == last.iteration { ", the last one," } else { "" };
    format!(
        "<p class=\"soft\">On the patches held out of training the network of iteration {}{whether} is best \
         (loss {loss:.4}){} with {} labelled patches. <code>askem predict --run</code> takes it: \
         <code>weights/{:03}.safetensors</code>.</p>",
        best.iteration,
        best.jaccard.map_or_else(String::new, |jaccard| format!(": Jaccard index {jaccard:.3}")),
        best.labelled,
        best.iteration
    )
}

/// A count with its thousands apart.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn points(records: &[Record], value: impl Fn(&Record) -> f64) -> Vec<(f64, f64)> {
    records.iter().map(|record| (record.labelled as f64, value(record))).collect()
}

fn data_name(resolved: &Resolved) -> String {
    match &resolved.data.raw[..] {
        [] => "the built-in phantom".into(),
        [path] => path.display().to_string(),
        several => format!("{} volumes", several.len()),
    }
}

/// So many volumes that the last pick of one lies in the last of them.
fn volumes_of(records: &[Record]) -> usize {
    let picks = records.iter().flat_map(|record| &record.picked);
    1 + picks.map(|pick| pick.volume).max().unwrap_or(0)
}

/// What a strategy's scores are, as the end of a sentence.
fn score_unit(strategy: &str) -> &'static str {
    match strategy {
        "entropy" | "bald" | "mutual_information" => ": nats, the sum over a patch's pixels",
        "least_confidence" => {
            ": the sum over a patch's pixels of the likeliest class's probability"
        }
        _ => "",
    }
}

/// The place of a patch in words, with its volume where there are `several`.
fn place_of(pick: &Picked, several: bool) -> String {
    let volume = if several { format!("volume {}, ", pick.volume) } else { String::new() };
    format!("{volume}section {}, row {}, column {}", pick.z, pick.y, pick.x)
}

fn picks_table(records: &[Record], several: bool, unit: &str) -> String {
    let volume = if several { "volume</th><th>" } else { "" };
    let mut out = format!(
        "<div class=\"table\"><table><tr><th>after iteration</th><th>first choice: {volume}section</th><th>row</th><th>column</th><th>score{unit}</th><th>least score chosen</th></tr>",
    );
    for record in records.iter().filter(|record| !record.picked.is_empty()) {
        let first = &record.picked[0];
        let digits = |score: f32| match score.abs() {
            100.0.. => 1,
            1.0.. => 3,
            _ => 5,
        };
        let show = |score: Option<f32>| {
            score.map_or("–".into(), |score| format!("{score:.0$}", digits(score)))
        };
        let _ = write!(
            out,
            "<tr><td>{}</td>{}<td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            record.iteration,
            if several { format!("<td>{}</td>", first.volume) } else { String::new() },
            first.z,
            first.y,
            first.x,
            show(first.score),
            show(record.picked.last().and_then(|pick| pick.score))
        );
    }
    out + "</table></div>"
}

/// The first choices of the first four iterations, as Fig. 4 of arXiv 1911.05548 shows them.
fn queries(run: &Path, records: &[Record], several: bool) -> String {
    let mut html = String::new();
    for record in records.iter().filter(|record| !record.picked.is_empty()).take(4) {
        if let Some(picture) = image(&Details::picture(run, record.iteration)) {
            let first = &record.picked[0];
            let _ = write!(
                html,
                "<figure>{picture}<figcaption>iteration {}: {}</figcaption></figure>",
                record.iteration,
                place_of(first, several)
            );
        }
    }
    if html.is_empty() {
        return html;
    }
    format!(
        "<h2>First choices</h2><p class=\"soft\">Patch, probability of foreground (white: 1) and its entropy (white: ln 2) when it was chosen.</p><div class=\"row\">{html}</div>"
    )
}

/// Histograms of the scores, and calibration after the last iteration.
fn spreads(out: &Path, details: &[Details], whose: &str, unit: &str) -> Result<String> {
    let mut html = String::new();
    if let Some(svg) = histograms_svg(details) {
        let caption = format!("{whose}Scores before each choice, on one scale{unit}.");
        html += &figure(out, "scores", &svg, &caption)?;
    }
    if let Some(last) = details.last()
        && let (Some(svg), Some(error)) = (calibration_svg(last), calibration_error(last))
    {
        let caption = format!(
            "{whose}On the dashed line, probabilities are what they say; the expected calibration error is {error:.3}. Large dots stand for many pixels."
        );
        html += &figure(out, "calibration", &svg, &caption)?;
    }
    if html.is_empty() {
        return Ok(html);
    }
    Ok(format!("<h2>How sure it is</h2><div class=\"row\">{html}</div>"))
}

const KEY: &str = "<span class=\"key\"><span style=\"background:#56B4E9\"></span>found<span style=\"background:#F0E442\"></span>missed<span style=\"background:#D55E00\"></span>false alarm</span>";

/// A PNG file inside the page.
fn image(path: &Path) -> Option<String> {
    let bytes = std::fs::read(path).ok()?;
    Some(format!(
        "<img alt=\"segmentation\" src=\"data:image/png;base64,{}\">",
        BASE64_STANDARD.encode(bytes)
    ))
}

/// A figure of the page, which is also written as `figures/NAME.svg` and `.png`.
fn figure(out: &Path, name: &str, svg: &str, caption: &str) -> Result<String> {
    let folder = out.join("figures");
    std::fs::create_dir_all(&folder)
        .map_err(|e| Error::io(&folder, "can't make the directory", e))?;
    write_atomically(&folder.join(format!("{name}.svg")), svg.as_bytes())?;
    write_atomically(&folder.join(format!("{name}.png")), &rasterize(svg, 2.0)?)?;
    Ok(format!("<figure>{svg}<figcaption>{caption}</figcaption></figure>"))
}

fn settings_block(settings: &str) -> String {
    if settings.is_empty() {
        return String::new();
    }
    format!(
        "<h2>Settings</h2><details><summary>everything that decides the result</summary><pre>{}</pre></details>",
        lines(settings)
    )
}

/// Text with its lines kept.
fn lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}

fn write(out: &Path, title: &str, body: &str) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let accent = PALETTE[0];
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{}</title><style>{STYLE} summary {{ color: {accent}; cursor: pointer; }}</style></head>\n<body>\n{body}\n\
         <p class=\"soft\">Made by askem {version}. Nothing on this page is loaded from elsewhere.</p>\n</body></html>\n",
        escape(title)
    );
    write_atomically(&out.join("report.html"), page.as_bytes())
}

/// Writes the page of what lies in a directory: a comparison or a run.
///
/// # Errors
/// [`Error::Input`] if there is neither.
pub fn write_page_of(path: &Path) -> Result<()> {
    if let Some(all) = comparison::load(path)? {
        let summaries = summarize(&all)?;
        let system = Baseline::read(path)?.and_then(|baseline| system(&all, &baseline));
        return super::write_comparison(path, &all, &summaries, system.as_ref());
    }
    let Some(resolved) = RunDir::peek(path)? else {
        return Err(Error::Input(format!(
            "{}: neither a run (config.toml) nor a comparison (compare.toml) lies there",
            path.display()
        )));
    };
    write_run_page(path, &resolved, &RunDir::read_records(path)?)
}
