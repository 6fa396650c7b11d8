//! One self-contained HTML page for a run or a comparison: it opens by double click, loads nothing, and follows the reader's dark or
//! light scheme.

mod claims;
mod comparison;
mod parts;
mod tables;

use std::path::Path;

pub(super) use self::comparison::{comparison_figure, write_comparison_page};
use self::parts::{
    KEY, command, errors, figure, picks_figure, picks_table, queries, score_unit, section,
    settings_block, spreads, write,
};
use super::curve::{Curve, Figure};
use super::details::Details;
use super::{escape, times};
use crate::error::{Error, Result};
use crate::learning::protocol::{Config, Record};
use crate::learning::stopping::{Advice, advice};
use crate::results::comparison::{Baseline, Series, summarize, system};
use crate::results::run_dir::{
    DataSource, Longer, Resolved, RunDir, SEGMENTATIONS, best_held_out, compare_length,
};

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
    let details = Details::read_all(out, records.len());
    let by_person = resolved.data.labels.is_empty() && resolved.data.phantom_shape.is_none();
    let tests = test_volumes(resolved);
    let no_foreground = details.last().is_some_and(Details::has_no_foreground);
    put(format!("<h1>{} on {}</h1>", escape(strategy), escape(&data_name(resolved))));
    put(what_was_run(resolved));
    put(facts(out, resolved, [first, last], advice(records).as_ref(), no_foreground));
    if no_foreground {
        put("<p class=\"warn\">The test region has no foreground: the Jaccard index says little. \
             Test on another volume (--test-raw, --test-labels).</p>"
            .into());
    }
    if let Some(best) = best_held_out(records) {
        put(best_network(best, last));
    }
    put("<div class=\"grid\">".into());
    let has_test = last.jaccard.is_some();
    let judged = |r: &Record| if has_test { r.jaccard } else { r.unseen_jaccard };
    let (title, caption) = if has_test { TEST_REGION } else { UNSEEN };
    let known: Vec<(f64, f64)> =
        records.iter().filter_map(|r| Some((r.labelled as f64, judged(r)?))).collect();
    if !known.is_empty() {
        let curves = vec![Curve::new(strategy.clone(), known)];
        let curve = Figure { title: title.into(), ..Figure::jaccard(curves, None) };
        put(section("How good it became", false, &figure(out, "curve", &curve.svg(), caption)?));
    }
    let errors = match segmentations(out, &tests, details.last()) {
        pictures if !pictures.is_empty() => pictures,
        _ if by_person => NO_TEST.into(),
        _ if !has_test => ALL_TRAIN.into(),
        _ => "<p class=\"soft\">The segmentation is drawn at the end of the run.</p>".into(),
    };
    put(section("What the network gets wrong", false, &errors));
    if last.class_jaccard.is_some() {
        put(tables::classes(records));
    }
    if last.volume_jaccard.is_some() {
        put(tables::volumes(records, &tests));
    }
    if by_person || last.changed_pixels.is_some() {
        put(tables::whether_to_go_on(records));
    }
    let series = Series {
        strategy: strategy.clone(),
        runs: vec![(resolved.experiment.seed, records.to_vec())],
    };
    let times = figure(out, "times", &times::svg(&[series]), "Seconds of the whole run.")?;
    put(section("Where the time went", false, &times));
    if records.iter().any(|record| !record.picked.is_empty()) {
        let several = resolved.data.raw.len() > 1;
        let of = (out, records, resolved.experiment.patch);
        let mut asked = String::from("<div class=\"pair\">");
        match &resolved.data.raw[..] {
            paths @ [_, _, ..] => {
                for (volume, path) in paths.iter().enumerate() {
                    let whose = format!("{}: w", escape(&path.display().to_string()));
                    asked += &picks_figure(out, &format!("picks-{volume:03}"), of, volume, &whose)?;
                }
            }
            _ => asked += &picks_figure(out, "picks", of, 0, "W")?,
        }
        asked += &picks_table(records, several, score_unit(strategy));
        put(section("What was asked for", true, &(asked + "</div>")));
        put(queries(out, records, several));
    }
    put(spreads(out, &details, "", score_unit(strategy))?);
    put(settings_block(&settings));
    put("</div>".into());
    write(out, &format!("askem: {strategy}"), &body)
}

/// The data and the settings that one asks for first, in a line.
fn what_was_run(resolved: &Resolved) -> String {
    let config = &resolved.experiment;
    let paths: Vec<String> =
        resolved.data.raw.iter().map(|path| escape(&path.display().to_string())).collect();
    let data = if paths.is_empty() { String::new() } else { format!("{}. ", paths.join(", ")) };
    format!(
        "<p class=\"soft\">{data}Patches of {0} x {0} pixels, a U-Net of width {1}, seed {2}.</p>",
        config.patch, config.net.width, config.seed
    )
}

/// How good, with how many labels, and what next.
fn facts(
    out: &Path,
    resolved: &Resolved,
    [first, last]: [&Record; 2],
    advice: Option<&Advice>,
    no_foreground: bool,
) -> String {
    let number = |index: f64| format!("<p class=\"big\">{index:.3}</p>");
    let good = match (last.jaccard, last.unseen_jaccard) {
        _ if no_foreground => {
            "<p class=\"big\">not known</p><p>No foreground was there to judge by.</p>".into()
        }
        (Some(index), _) => {
            let mut text = number(index) + "<p>Jaccard index of the test region (1 at best).";
            if let Some(before) = first.jaccard.filter(|_| first.iteration != last.iteration) {
                let patches = counted(first.labelled as u64, "patch");
                text += &format!(" With the first {patches} it was {before:.3}.");
            }
            text + "</p>"
        }
        (None, Some(index)) => {
            number(index)
                + "<p>Jaccard index on the last patches labelled, before the network learnt from \
                   them (1 at best).</p>"
        }
        _ => "<p class=\"big\">not known</p><p>No label was left to judge by.</p>".into(),
    };
    let pixels = last.labelled_pixels;
    let pixels = pixels.map_or("Of what is labelled".into(), |pixels| {
        format!("{} pixels, of which", grouped(pixels))
    });
    let share = 100.0 * last.labelled_foreground;
    let patches = if last.labelled == 1 { "patch" } else { "patches" };
    let labels = format!(
        "<p class=\"big\">{} labelled {patches}</p><p>{pixels} {share:.1} % {} foreground.</p>",
        last.labelled,
        if pixels.starts_with("Of") { "is" } else { "are" }
    );
    format!(
        "<div class=\"facts three\"><div><h2>How good</h2>{good}</div><div><h2>From how many labels</h2>\
         {labels}</div><div><h2>What next</h2>{}</div></div>",
        what_next(out, resolved, advice, no_foreground)
    )
}

/// What a person should do now.
fn what_next(
    out: &Path,
    resolved: &Resolved,
    advice: Option<&Advice>,
    no_foreground: bool,
) -> String {
    let dir = out.display();
    let segment = format!(
        "<p>Segment a volume:</p>{}",
        command(&format!("askem predict --run {dir} --raw VOLUME --out OUT.tif"))
    );
    if no_foreground {
        return "<p>Test where there is foreground, with --test-raw and --test-labels.</p>".into();
    }
    let Some(advice) = advice else { return segment };
    if advice.could_stop {
        return format!("<p>Stop: more labels will hardly change the result.</p>{segment}");
    }
    let config = &resolved.experiment;
    let longer = Config { iterations: 2 * config.iterations, ..config.clone() };
    let goes_on =
        longer.validate().is_ok() && matches!(compare_length(&longer, config), Longer::Yes);
    let more = if resolved.data.labels.is_empty() && resolved.data.phantom_shape.is_none() {
        command(&format!("askem annotate {dir}"))
    } else if goes_on {
        command(&format!("askem run --out {dir} --resume --iterations {}", longer.iterations))
    } else {
        "<p>Start a run of more --iterations, or of a larger --pool, in another --out.</p>".into()
    };
    format!(
        "<p>Go on: it is enough when three rounds in a row change little and are right about new labels. \
         The last one changed {:.1} % of the pixels.</p>{more}{segment}",
        100.0 * advice.changed
    )
}

/// Titles and captions of the curve.
const TEST_REGION: (&str, &str) = (
    "Jaccard index of the test region",
    "A dot for each training, with the value of the last. The Jaccard index is the share of pixels on \
     which network and label agree, of those that are foreground to either; of several classes it is \
     the mean.",
);
const UNSEEN: (&str, &str) = (
    "Jaccard index on labels not seen",
    "How well the network before each training foretold the labels given for it, which it had \
     never seen. They were asked for because they are hard.",
);

const NO_TEST: &str = "<p class=\"soft\">Labels come from a person, so there is no test region: \
    look at what <code>askem predict</code> writes.</p>";

const ALL_TRAIN: &str = "<p class=\"soft\">All labels train, so none is left to judge by: look at what \
    <code>askem predict --run</code> makes of a volume, or hold some out (<code>askem train --holdout</code>).</p>";

/// The paths of the volumes that test, of which there may be one that has none.
fn test_volumes(resolved: &Resolved) -> Vec<String> {
    let DataSource { raw, test_raw, .. } = &resolved.data;
    let paths = if test_raw.is_empty() { raw } else { test_raw };
    paths.iter().map(|path| path.display().to_string()).collect()
}

/// The segmentations of the test volumes, one section of each.
fn segmentations(out: &Path, tests: &[String], details: Option<&Details>) -> String {
    let show = |volume: usize, png: &Path, name: &str| {
        let section = details.and_then(|details| details.sections.get(volume));
        let section = section.map_or(String::new(), |z| format!("Section {z}. "));
        errors(out, volume, png, &format!("{KEY}<br>{section}{name}"))
    };
    if tests.len() < 2 {
        let rest = "Uncoloured: background on both sides.";
        return show(0, &out.join("segmentation.png"), rest).unwrap_or_default();
    }
    let picture_of = |(volume, name): (usize, &String)| {
        let png = out.join(SEGMENTATIONS).join(format!("{volume:03}.png"));
        show(volume, &png, &escape(name))
    };
    tests.iter().enumerate().filter_map(picture_of).collect()
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

/// A count and what is counted, one or several.
fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(count), if count == 1 { "" } else { "es" })
}

fn data_name(resolved: &Resolved) -> String {
    match &resolved.data.raw[..] {
        [] => "the built-in phantom".into(),
        [path] => path.file_name().unwrap_or(path.as_os_str()).display().to_string(),
        several => format!("{} volumes", several.len()),
    }
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
