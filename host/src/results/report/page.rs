//! One self-contained HTML page for a run or a comparison: it opens by double click, loads nothing, and follows the reader's dark or
//! light scheme.

use std::fmt::Write;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::curve::{Axis, Curve, Figure};
use super::details::{Details, calibration_error, calibration_svg, histograms_svg};
use super::{PALETTE, escape, picks, rasterize, times};
use crate::data::files::write_atomically;
use crate::error::{Error, Result};
use crate::learning::protocol::Record;
use crate::results::comparison::{self, FULL, Series, Summary};
use crate::results::run_dir::{Resolved, RunDir};

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1b1b1b; --soft: #595959; --paper: #fff; --card: #f5f5f3; --line: #d8d8d4; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececec; --soft: #b0b0b0; --paper: #161616; --card: #222; --line: #444; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 68rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, 'Helvetica Neue', Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .75rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
p { margin: .5rem 0; max-width: 46rem; } .verdict { font-size: 1.15rem; } .soft, figcaption { color: var(--soft); font-size: .92rem; }
.table { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .35rem .55rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; } tr.best td { font-weight: 700; }
figure { margin: 1rem 0; } figure svg, figure img { display: block; max-width: 100%; height: auto; border-radius: 6px; background: #fff; }
.row img { width: 100%; image-rendering: pixelated; } .row { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1rem; }
.key span { display: inline-block; width: .9em; height: .9em; border-radius: 2px; margin: 0 .35em 0 1em; vertical-align: -.08em; border: 1px solid #0006; }
pre { background: var(--card); padding: 1rem; border-radius: 6px; overflow-x: auto; font-size: .85rem; }
";

/// Writes `report.html` of a comparison: its runs lie beside it as `STRATEGY-SEED`.
pub(super) fn write_comparison_page(
    out: &Path,
    all: &[Series],
    summaries: &[Summary],
) -> Result<()> {
    let settings = std::fs::read_to_string(out.join("compare.toml")).unwrap_or_default();
    let seeds = all.iter().map(|series| series.runs.len()).max().unwrap_or(0);
    let mut body = String::new();
    let mut put = |part: String| {
        body.push_str(&part);
        body.push('\n');
    };
    put("<h1>Which patches are worth a label?</h1>".into());
    put(format!("<p class=\"verdict\">{}</p>", verdict(summaries, seeds)));
    put(format!("<p class=\"soft\">{}</p>", what_was_run(&settings, all.len(), seeds)));
    put(figure(
        out,
        "curves",
        &comparison_figure(all).svg(),
        "Mean over seeds. Up to four curves have bands of one standard deviation to each side; the table below has it for all. The dashed line is full supervision: every label of the pool.",
    )?);
    put("<h2>In numbers</h2>".into());
    put(summary_table(summaries));
    put("<p class=\"soft\">Mean of the curve: area under it divided by its width. Labels for 90 % and 95 % of full supervision, and labels saved against random \
        for random's last Jaccard index, with the middle 95 % over resampled seeds; 0 where it is never reached.</p>".into());
    put("<h2>What the network gets wrong</h2>".into());
    put(overlays(out, all, summaries));
    put("<h2>What was asked for</h2>".into());
    put(figure(
        out,
        "foreground",
        &foreground_figure(all).svg(),
        "Share of foreground in everything labelled: finding the rare class is a good part of a strategy's gain.",
    )?);
    put("<div class=\"row\">".into());
    let with_picks = shown(all, summaries, all.len()).into_iter().filter(|name| name != FULL);
    for name in with_picks.take(2) {
        if let Some((seed, records)) = runs_of(all, &name).first() {
            let caption = format!(
                "{}, seed {seed}: where the picks lie, from above and from the side.",
                escape(&name)
            );
            put(figure(out, &format!("picks-{name}"), &picks::svg(records), &caption)?);
        }
    }
    put("</div>".into());
    if let Some((seed, records)) = best_run(all, summaries) {
        let run = out.join(format!("{}-{seed}", records[0].strategy));
        put(queries(&run, records));
        let whose = format!("{}, seed {seed}. ", escape(&records[0].strategy));
        put(spreads(out, &run, records, &whose)?);
    }
    put("<h2>Where the time went</h2>".into());
    put(figure(out, "times", &times::svg(all), "Seconds of a whole run, mean over seeds.")?);
    put(settings_block(&settings));
    write(out, "askem compare", &body)
}

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
    put(format!(
        "<p class=\"verdict\">Jaccard index <b>{:.3}</b> with {} labelled patches, from {:.3} with {}. \
         {:.1} % of what was labelled is foreground.</p>",
        last.jaccard,
        last.labelled,
        first.jaccard,
        first.labelled,
        100.0 * last.labelled_foreground
    ));
    let curve = Curve::new(strategy.clone(), points(records, |r| r.jaccard));
    put(figure(
        out,
        "curve",
        &Figure::jaccard(vec![curve], None).svg(),
        "Jaccard index of the test region after each iteration.",
    )?);
    put("<h2>What the network gets wrong</h2>".into());
    match image(&out.join("segmentation.png")) {
        Some(picture) => {
            put(format!("<figure>{picture}<figcaption>{}</figcaption></figure>", KEY));
        }
        None => {
            put("<p class=\"soft\">The segmentation is drawn at the end of the run.</p>".into())
        }
    }
    if records.iter().any(|record| !record.picked.is_empty()) {
        put("<h2>What was asked for</h2>".into());
        put("<div class=\"row\">".into());
        let caption = "Where the picks lie, from above and from the side.";
        put(figure(out, "picks", &picks::svg(records), caption)?);
        put("</div>".into());
        put(picks_table(records));
        put(queries(out, records));
    }
    put(spreads(out, out, records, "")?);
    put("<h2>Where the time went</h2>".into());
    let series = Series {
        strategy: strategy.clone(),
        runs: vec![(resolved.experiment.seed, records.to_vec())],
    };
    put(figure(out, "times", &times::svg(&[series]), "Seconds of the whole run.")?);
    put(settings_block(&settings));
    write(out, &format!("askem: {strategy}"), &body)
}

/// Curves up to which bands can be told apart.
const BANDS: usize = 4;

/// The learning curves of all strategies that have one, with full supervision; with bands where they are few.
pub(super) fn comparison_figure(all: &[Series]) -> Figure {
    let full = all.iter().find(|series| series.strategy == FULL);
    let full = full.and_then(|series| series.curve().last().map(|point| point.jaccard.mean));
    let banded = all.iter().filter(|series| series.strategy != FULL).count() <= BANDS;
    let curves = all.iter().filter(|series| series.strategy != FULL).map(|series| {
        let curve = series.curve();
        Curve {
            label: series.strategy.clone(),
            points: curve.iter().map(|p| (p.labelled, p.jaccard.mean)).collect(),
            spread: curve.iter().filter(|_| banded).map(|p| p.jaccard.deviation).collect(),
        }
    });
    Figure::jaccard(curves.collect(), full)
}

fn foreground_figure(all: &[Series]) -> Figure {
    let curves = all.iter().filter(|series| series.strategy != FULL).map(|series| {
        let share = |p: &comparison::Point| (p.labelled, 100.0 * p.labelled_foreground);
        Curve::new(series.strategy.clone(), series.curve().iter().map(share).collect())
    });
    Figure {
        title: "Foreground in the labels".into(),
        curves: curves.collect(),
        full: None,
        y: Axis { name: "labelled foreground, %", most: 100.0 },
    }
}

fn points(records: &[Record], value: impl Fn(&Record) -> f64) -> Vec<(f64, f64)> {
    records.iter().map(|record| (record.labelled as f64, value(record))).collect()
}

fn verdict(summaries: &[Summary], seeds: usize) -> String {
    let Some(best) = comparison::winner(summaries) else {
        return "Only full supervision was run.".into();
    };
    let named = |name: &str| summaries.iter().find(|summary| summary.strategy == name);
    if best.strategy == "random" && summaries.len() > 1 {
        return format!(
            "No strategy beats random, whose curve is {:.3} high in the mean and ends at {:.3}.",
            best.area.mean, best.last.mean
        );
    }
    let mut text = format!(
        "<b>{}</b> is best: its curve is {:.3} high in the mean and ends at {:.3}.",
        escape(&best.strategy),
        best.area.mean,
        best.last.mean
    );
    if let Some(random) = named("random").filter(|_| best.strategy != "random") {
        let _ = write!(
            text,
            " Random's is {:.3} high and ends at {:.3}.",
            random.area.mean, random.last.mean
        );
        let factor = best.saving.and_then(|saving| saving.factor).filter(|&factor| factor > 1.0);
        if let Some(factor) = factor {
            let [low, high] = best.saving.map_or([0.0; 2], |saving| saving.interval);
            let _ = write!(
                text,
                " It needs <b>{factor:.1} times fewer labels</b> for what random reaches at its end ({low:.1} to {high:.1} over seeds{}).",
                if low > 1.0 { "" } else { "; as that reaches 1 or less, the saving is not shown" }
            );
        }
    }
    if let Some(full) = named(FULL) {
        let _ = write!(text, " Full supervision reaches {:.3}.", full.last.mean);
    }
    if seeds < 3 {
        let _ = write!(
            text,
            " With {seeds} seed{} this is one observation, no result.",
            if seeds == 1 { "" } else { "s" }
        );
    }
    text
}

fn what_was_run(settings: &str, strategies: usize, seeds: usize) -> String {
    let Ok(resolved) = toml::from_str::<Resolved>(settings) else { return String::new() };
    let config = &resolved.experiment;
    format!(
        "{strategies} strategies, {seeds} seed{}, on {}: {} patches of {} x {} labelled at first, then {} times {} of a pool of {}; U-Net of width {}.",
        if seeds == 1 { "" } else { "s each" },
        escape(&data_name(&resolved)),
        config.initial,
        config.patch,
        config.patch,
        config.iterations,
        config.query,
        config.pool,
        config.net.width
    )
}

fn data_name(resolved: &Resolved) -> String {
    match &resolved.data.raw {
        None => "the built-in phantom".into(),
        Some(path) => path.display().to_string(),
    }
}

fn summary_table(summaries: &[Summary]) -> String {
    let best = comparison::winner(summaries).map(|summary| summary.strategy.clone());
    let mut out = String::from(
        "<div class=\"table\"><table><tr><th>strategy</th><th>Jaccard at the end</th><th>mean of the curve</th><th>labels for 90 %</th><th>95 %</th><th>labels saved</th><th>foreground</th><th>seconds</th></tr>",
    );
    let labels = |value: Option<f64>| value.map_or("–".into(), |v: f64| format!("{v:.0}"));
    let mut sorted: Vec<&Summary> = summaries.iter().collect();
    sorted.sort_by(|a, b| b.area.mean.total_cmp(&a.area.mean));
    for s in sorted {
        let saved = s.saving.map_or("–".into(), |saving| {
            let factor = saving.factor.map_or("never".into(), |f| format!("{f:.1} ×"));
            format!("{factor} ({:.1} to {:.1})", saving.interval[0], saving.interval[1])
        });
        let class = if Some(&s.strategy) == best.as_ref() { " class=\"best\"" } else { "" };
        let _ = write!(
            out,
            "<tr{class}><td>{}</td><td>{:.3} ± {:.3}</td><td>{:.3} ± {:.3}</td><td>{}</td><td>{}</td><td>{saved}</td><td>{:.1} %</td><td>{:.0}</td></tr>",
            escape(&s.strategy),
            s.last.mean,
            s.last.deviation,
            s.area.mean,
            s.area.deviation,
            labels(s.labels_for_90),
            labels(s.labels_for_95),
            100.0 * s.labelled_foreground.mean,
            s.seconds.mean
        );
    }
    out + "</table></div>"
}

fn picks_table(records: &[Record]) -> String {
    let mut out = String::from(
        "<div class=\"table\"><table><tr><th>after iteration</th><th>first choice: section</th><th>row</th><th>column</th><th>score</th><th>least score chosen</th></tr>",
    );
    for record in records.iter().filter(|record| !record.picked.is_empty()) {
        let first = &record.picked[0];
        let show = |score: Option<f32>| score.map_or("–".into(), |score| format!("{score:.4}"));
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            record.iteration,
            first.z,
            first.y,
            first.x,
            show(first.score),
            show(record.picked.last().and_then(|pick| pick.score))
        );
    }
    out + "</table></div>"
}

/// The winner's run of the first seed.
fn best_run<'a>(all: &'a [Series], summaries: &[Summary]) -> Option<&'a (u64, Vec<Record>)> {
    runs_of(all, &comparison::winner(summaries)?.strategy).first()
}

/// The first choices of the first four iterations, as Fig. 4 of arXiv 1911.05548 shows them.
fn queries(run: &Path, records: &[Record]) -> String {
    let mut html = String::new();
    for record in records.iter().filter(|record| !record.picked.is_empty()).take(4) {
        if let Some(picture) = image(&Details::picture(run, record.iteration)) {
            let first = &record.picked[0];
            let _ = write!(
                html,
                "<figure>{picture}<figcaption>iteration {}: section {}, row {}, column {}</figcaption></figure>",
                record.iteration, first.z, first.y, first.x
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
fn spreads(out: &Path, run: &Path, records: &[Record], whose: &str) -> Result<String> {
    let details = Details::read_all(run, records.len());
    let mut html = String::new();
    if let Some(svg) = histograms_svg(&details) {
        let caption = format!("{whose}Scores before each choice, on one scale.");
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

/// The winner, random, full supervision and what else is good, as far as there is room.
fn shown(all: &[Series], summaries: &[Summary], most: usize) -> Vec<String> {
    let mut order: Vec<&Summary> = summaries.iter().collect();
    order.sort_by(|a, b| b.area.mean.total_cmp(&a.area.mean));
    let best = comparison::winner(summaries).map(|summary| summary.strategy.clone());
    let wanted = best.into_iter().chain(["random".to_owned(), FULL.to_owned()]);
    let mut names: Vec<String> = Vec::new();
    for name in wanted.chain(order.into_iter().map(|summary| summary.strategy.clone())) {
        if !names.contains(&name) && all.iter().any(|series| series.strategy == name) {
            names.push(name);
        }
    }
    names.truncate(most);
    names
}

fn runs_of<'a>(all: &'a [Series], name: &str) -> &'a [(u64, Vec<Record>)] {
    all.iter().find(|series| series.strategy == name).map_or(&[], |series| &series.runs)
}

const KEY: &str = "<span class=\"key\"><span style=\"background:#56B4E9\"></span>found<span style=\"background:#F0E442\"></span>missed<span style=\"background:#D55E00\"></span>false alarm</span>";

/// The middle section of the test region as some strategies segment it.
fn overlays(out: &Path, all: &[Series], summaries: &[Summary]) -> String {
    let mut html = format!("<p class=\"soft\">{KEY}</p><div class=\"row\">");
    for name in shown(all, summaries, 4) {
        let Some((seed, records)) = runs_of(all, &name).first() else { continue };
        let picture = image(&out.join(format!("{name}-{seed}")).join("segmentation.png"));
        if let (Some(picture), Some(last)) = (picture, records.last()) {
            let _ = write!(
                html,
                "<figure>{picture}<figcaption>{} [{:.3}], seed {seed}, {} labels</figcaption></figure>",
                escape(&name),
                last.jaccard,
                last.labelled
            );
        }
    }
    html + "</div>"
}

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
    if let Some(all) = load_comparison(path)? {
        let summaries = comparison::summarize(&all)?;
        return super::write_comparison(path, &all, &summaries);
    }
    let Some(resolved) = RunDir::peek(path)? else {
        return Err(Error::Input(format!(
            "{}: neither a run (config.toml) nor a comparison (compare.toml) lies there",
            path.display()
        )));
    };
    write_run_page(path, &resolved, &RunDir::read_records(path)?)
}

/// The complete runs of a comparison, if a directory holds one.
fn load_comparison(path: &Path) -> Result<Option<Vec<Series>>> {
    if !path.join("compare.toml").exists() {
        return Ok(None);
    }
    let failed = |e| Error::io(path, "can't look into the directory", e);
    let mut runs: Vec<(String, u64, Vec<Record>)> = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let folder = entry.map_err(failed)?.path();
        if !folder.join("weights.safetensors").exists() {
            continue;
        }
        if let Some(resolved) = RunDir::peek(&folder)? {
            let config = resolved.experiment;
            runs.push((config.strategy, config.seed, RunDir::read_records(&folder)?));
        }
    }
    let place =
        |name: &str| crate::learning::strategy::NAMES.iter().position(|known| *known == name);
    runs.sort_by_key(|(strategy, seed, _)| (place(strategy), *seed));
    let mut all: Vec<Series> = Vec::new();
    for (strategy, seed, records) in runs {
        match all.last_mut().filter(|series| series.strategy == strategy) {
            Some(series) => series.runs.push((seed, records)),
            None => all.push(Series { strategy, runs: vec![(seed, records)] }),
        }
    }
    if all.is_empty() {
        return Err(Error::Input(format!(
            "{}: no run of the comparison is complete yet",
            path.display()
        )));
    }
    Ok(Some(all))
}
