//! The page of a comparison.

use std::fmt::Write;
use std::path::Path;

use super::super::curve::{Axis, Curve, Figure};
use super::super::details::Details;
use super::super::{escape, picks, times};
use super::claims::{claims, summary_table, verdict};
use super::{
    KEY, data_name, figure, image, queries, score_unit, settings_block, spreads, volumes_of, write,
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
    put(format!("<p class=\"verdict\">{}</p>", verdict(summaries, system)));
    put(format!("<p class=\"soft\">{}</p>", what_was_run(&settings, all.len(), seeds)));
    put(figure(
        out,
        "curves",
        &comparison_figure(all).svg(),
        "Mean over seeds. Up to four curves have bands of one standard deviation to each side; the table below has it for all. The dashed line is full supervision: every label of the pool.",
    )?);
    put(claims(summaries, system));
    put("<h2>In numbers</h2>".into());
    put(summary_table(summaries));
    put("<p class=\"soft\">Mean of the curve: area under it divided by its width. From random: \
         mean difference of the same seeds, and its p after correction. Labels saved: how many \
         times as many random needs for its own last Jaccard index; in the interval, 0 where a \
         strategy never gets there. Labels for 90 % and 95 %: of full supervision's Jaccard \
         index.</p>"
        .into());
    put(when_to_stop(summaries));
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
            let volumes = volumes_of(records);
            for volume in 0..volumes {
                let (whose, suffix) = match volumes {
                    1 => (String::new(), String::new()),
                    _ => (format!(", volume {volume}"), format!("-{volume:03}")),
                };
                let caption = format!(
                    "{}, seed {seed}{whose}: where the picks lie, from above and from the side.",
                    escape(&name)
                );
                let svg = picks::svg(records, volume);
                put(figure(out, &format!("picks-{name}{suffix}"), &svg, &caption)?);
            }
        }
    }
    put("</div>".into());
    if let Some((seed, records)) = best_run(all, summaries) {
        let run = out.join(format!("{}-{seed}", records[0].strategy));
        put(queries(&run, records, volumes_of(records) > 1));
        let whose = format!("{}, seed {seed}. ", escape(&records[0].strategy));
        let details = Details::read_all(&run, records.len());
        put(spreads(out, &details, &whose, score_unit(&records[0].strategy))?);
    }
    put("<h2>Where the time went</h2>".into());
    put(figure(out, "times", &times::svg(all), "Seconds of a whole run, mean over seeds.")?);
    put(settings_block(&settings));
    write(out, "askem compare", &body)
}

/// When a person would have been told to stop, and what going on gained; nothing where no run tells.
fn when_to_stop(summaries: &[Summary]) -> String {
    let told: Vec<&Summary> = summaries.iter().filter(|s| s.stops.is_some()).collect();
    if told.is_empty() {
        return String::new();
    }
    let mut out = String::from(
        "<h2>When it would have been enough</h2><p class=\"soft\">A person is told to stop where \
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
    out + "</table></div>"
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
    let mut html = format!("<p class=\"soft\">{KEY}</p><div class=\"row\">");
    for name in shown(all, summaries, 4) {
        let Some((seed, records)) = runs_of(all, &name).first() else { continue };
        let run = out.join(format!("{name}-{seed}"));
        // Of several test volumes the first stands for all.
        let picture = image(&run.join("segmentation.png"))
            .or_else(|| image(&run.join(SEGMENTATIONS).join("000.png")));
        if let (Some(picture), Some(last)) = (picture, records.last()) {
            let _ = write!(
                html,
                "<figure>{picture}<figcaption>{} [{:.3}], seed {seed}, {} labelled patches</figcaption></figure>",
                escape(&name),
                last.jaccard_or_nan(),
                last.labelled
            );
        }
    }
    html + "</div>"
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
