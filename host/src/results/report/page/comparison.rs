//! The page of a comparison.

use std::fmt::Write;
use std::path::Path;

use super::super::curve::{Axis, Curve, Figure};
use super::super::details::Details;
use super::super::{escape, times};
use super::claims::{claims, summary_table, verdict, what_next};
use super::data_name;
use super::parts::{
    KEY, errors, figure, picks_figure, queries, score_unit, section, settings_block, spreads,
    volumes_of, write,
};
use crate::error::{Error, Result};
use crate::learning::protocol::Record;
use crate::results::comparison::{self, FULL, Series, Spread, Summary, System};
use crate::results::run_dir::{Resolved, RunDir, SEGMENTATIONS};

/// Writes `report.html` of a comparison: its runs lie beside it as `STRATEGY-SEED`.
pub(in crate::results::report) fn write_comparison_page(
    out: &Path,
    all: &[Series],
    summaries: &[Summary],
    system: Option<&System>,
) -> Result<()> {
    let settings = std::fs::read_to_string(out.join("compare.toml")).unwrap_or_default();
    let seeds = all.iter().map(|series| series.runs.len()).max().unwrap_or(0);
    let mut body = String::new();
    let mut put = |part: String| {
        body.push_str(&part);
        body.push('\n');
    };
    put("<h1>Which patches are worth a label?</h1>".into());
    put(format!("<p class=\"soft\">{}</p>", what_was_run(&settings, all.len(), seeds)));
    put(format!(
        "<div class=\"facts\"><div><h2>Answer</h2><p>{}</p></div><div><h2>What next</h2>{}</div></div>",
        verdict(summaries, system),
        what_next(summaries, seeds)
    ));
    put("<div class=\"grid\">".into());
    let curves = comparison_figure(all);
    let caption = curves_caption(&curves, seeds);
    put(section("How good they became", false, &figure(out, "curves", &curves.svg(), &caption)?));
    put(claims(summaries, system));
    let about = about_numbers(seeds, curves.full.is_some());
    put(section("In numbers", true, &(summary_table(summaries) + &about)));
    put(when_to_stop(summaries));
    let mean = if seeds == 1 { "" } else { ", mean over seeds" };
    let foreground = figure(
        out,
        "foreground",
        &foreground_figure(all).svg(),
        &format!(
            "Share of foreground in everything labelled{mean}: finding the rare class is a good \
         part of a strategy's gain."
        ),
    )?;
    put(section("How much foreground was labelled", false, &foreground));
    let times = figure(out, "times", &times::svg(all), &format!("Seconds of a whole run{mean}."))?;
    put(section("Where the time went", false, &times));
    put(section("What the network gets wrong", true, &overlays(out, all, summaries)));
    let patch = toml::from_str::<Resolved>(&settings).map_or(0, |r| r.experiment.patch);
    let mut asked = String::from("<div class=\"pair\">");
    let with_picks = shown(all, summaries, all.len()).into_iter().filter(|name| name != FULL);
    for name in with_picks.take(2) {
        let Some((seed, records)) = runs_of(all, &name).first() else { continue };
        let run = out.join(format!("{name}-{seed}"));
        let volumes = volumes_of(records);
        for volume in 0..volumes {
            let (whose, suffix) = match volumes {
                1 => (String::new(), String::new()),
                _ => (format!(", volume {volume}"), format!("-{volume:03}")),
            };
            let whose = format!("{}, seed {seed}{whose}: w", escape(&name));
            let name = format!("picks-{name}{suffix}");
            asked += &picks_figure(out, &name, (&run, records, patch), volume, &whose)?;
        }
    }
    put(section("What was asked for", true, &(asked + "</div>")));
    if let Some((seed, records)) = best_run(all, summaries) {
        let run = out.join(format!("{}-{seed}", records[0].strategy));
        put(queries(&run, records, volumes_of(records) > 1));
        let whose = format!("{}, seed {seed}. ", escape(&records[0].strategy));
        let details = Details::read_all(&run, records.len());
        put(spreads(out, &details, &whose, score_unit(&records[0].strategy))?);
    }
    put(settings_block(&settings));
    put("</div>".into());
    write(out, "askem compare", &body)
}

/// What every mark of the learning curves is.
fn curves_caption(figure: &Figure, seeds: usize) -> String {
    let mut caption = String::from(match seeds {
        1 => {
            "Jaccard index after each training of the one seed: another may differ as much as the strategies do."
        }
        _ => "Mean over seeds of the Jaccard index after each training.",
    });
    if figure.curves.iter().any(|curve| !curve.band.is_empty()) {
        caption += " Bands reach from the lowest to the highest seed.";
    } else if seeds > 1 {
        caption +=
            " The table has how far seeds lie apart, for which there are too many curves here.";
    }
    if figure.full.is_some() {
        caption += " The dashed line is full supervision: every label of the pool.";
    }
    caption
}

/// What the columns of the table are.
fn about_numbers(seeds: usize, has_full: bool) -> String {
    let spread = match seeds {
        1 => "of the one seed",
        _ => "mean over seeds ± standard deviation, and under it the lowest and the highest seed",
    };
    let of_full = match has_full {
        true => "of full supervision's Jaccard index",
        false => "of what all labels give, which was not run (full)",
    };
    format!(
        "<p class=\"soft\">Jaccard index: {spread}. Mean of the curve: area under it divided by its \
         width. From random: mean difference of the same seeds, and its p after correction. Labels \
         saved: how many times as many random needs for its own last Jaccard index; in the interval, 0 \
         where a strategy never gets there. Patches for 90 % and 95 %: {of_full}. Foreground: its share \
         in what was labelled.</p>"
    )
}

/// When a person would have been told to stop, and what going on gained; nothing where no run tells.
fn when_to_stop(summaries: &[Summary]) -> String {
    let told: Vec<&Summary> = summaries.iter().filter(|s| s.stops.is_some()).collect();
    if told.is_empty() {
        return String::new();
    }
    let mut out = String::from(
        "<p class=\"soft\">A person is told to stop where \
         three rounds in a row changed the class of fewer pixels than a twentieth of the \
         foreground's share, in unlabelled patches that stay the same, and on labels that it had not \
         seen the network had a Jaccard index of 0.5 or more.</p><div class=\"table\"><table><tr>\
         <th>strategy</th><th>told to stop</th><th>labelled patches then</th>\
         <th>Jaccard index then</th><th>gained from then to the&nbsp;end</th></tr>",
    );
    for s in told {
        let Some(stops) = &s.stops else { continue };
        let cell = |spread: Option<Spread>, show: fn(Spread) -> String| {
            spread.map_or_else(|| "–".into(), show)
        };
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{} of {}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&s.strategy),
            stops.told,
            stops.seeds,
            cell(stops.labelled, |s| format!("{:.0}", s.mean)),
            cell(stops.jaccard, |s| format!("{:.3}", s.mean)),
            cell(stops.gained, |s| format!("{:+.3} (of {})", s.mean, s.seeds)),
        );
    }
    section("When it would have been enough", false, &(out + "</table></div>"))
}

/// Curves up to which bands can be told apart.
const BANDS: usize = 4;

/// The learning curves of all strategies that have one, with full supervision; with bands where they are few.
pub(in crate::results::report) fn comparison_figure(all: &[Series]) -> Figure {
    let full = all.iter().find(|series| series.strategy == FULL);
    let full = full.and_then(|series| series.curve().last().map(|point| point.jaccard.mean));
    let banded = all.iter().filter(|series| series.strategy != FULL).count() <= BANDS;
    let curves = all.iter().filter(|series| series.strategy != FULL).map(|series| {
        let curve = series.curve();
        Curve {
            label: series.strategy.clone(),
            points: curve.iter().map(|p| (p.labelled, p.jaccard.mean)).collect(),
            band: curve
                .iter()
                .filter(|p| banded && p.jaccard.seeds > 1)
                .map(|p| [p.jaccard.least, p.jaccard.most])
                .collect(),
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

/// The winner's run of the first seed.
fn best_run<'a>(all: &'a [Series], summaries: &[Summary]) -> Option<&'a (u64, Vec<Record>)> {
    runs_of(all, &comparison::winner(summaries)?.strategy).first()
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

/// The middle section of the test region as some strategies segment it.
fn overlays(out: &Path, all: &[Series], summaries: &[Summary]) -> String {
    let mut html = String::new();
    for name in shown(all, summaries, 4) {
        let Some((seed, records)) = runs_of(all, &name).first() else { continue };
        let run = out.join(format!("{name}-{seed}"));
        let section = Details::read_all(&run, records.len()).pop();
        let section = section.and_then(|details| details.sections.first().copied());
        let Some(last) = records.last() else { continue };
        let caption = format!(
            "{}, seed {seed}: Jaccard index {:.3} with {} labelled patches.{}",
            escape(&name),
            last.jaccard_or_nan(),
            last.labelled,
            section.map_or(String::new(), |z| format!(" Section {z}."))
        );
        // Of several test volumes the first stands for all.
        let files = [run.join("segmentation.png"), run.join(SEGMENTATIONS).join("000.png")];
        html.extend(files.iter().find_map(|png| errors(&run, 0, png, &caption)));
    }
    format!(
        "<p class=\"soft\">{KEY}. Uncoloured: background on both sides. The index is of all sections, the \
         picture of one.</p><div class=\"row\">{html}</div>"
    )
}

/// The complete runs of a comparison, if a directory holds one.
pub(super) fn load(path: &Path) -> Result<Option<Vec<Series>>> {
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
