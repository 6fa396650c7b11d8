//! What a comparison shows, in words and in a table.

use std::fmt::Write;

use super::super::escape;
use super::parts::section;
use crate::results::comparison::{self, ENOUGH_SEEDS, FULL, Summary, System, Verdict, p_in_words};

/// The first sentences of the page. Bold is only what is shown.
pub(super) fn verdict(summaries: &[Summary], system: Option<&System>) -> String {
    let Some(best) = comparison::winner(summaries) else {
        return "Only full supervision was run.".into();
    };
    let named = |name: &str| summaries.iter().find(|summary| summary.strategy == name);
    let heights = |s: &Summary| {
        let behind = match s.behind.len() {
            0 => String::new(),
            behind => format!(
                ", though {behind} of its {} seeds ended below half of the best one",
                s.last.seeds
            ),
        };
        format!("{:.3} high in the mean, {:.3} at its end{behind}", s.area.mean, s.last.mean)
    };
    let mut text = String::new();
    match named("random") {
        None => {
            let _ = write!(
                text,
                "{} has the highest curve ({}). Without random nothing is said of labels saved.",
                escape(&best.strategy),
                heights(best)
            );
        }
        Some(random) if best.strategy == "random" => {
            let others = summaries.iter().any(|s| s.claim.is_some());
            let _ = write!(
                text,
                "{}andom's curve is {}.",
                if others { "No strategy has a higher curve than random. R" } else { "R" },
                heights(random)
            );
        }
        Some(random) => {
            let name = escape(&best.strategy);
            let factor = best.saving.and_then(|saving| saving.factor);
            let is_shown = best.claim.as_ref().is_some_and(|c| c.verdict == Verdict::Shown);
            if let (true, Some(factor), Some(saving)) = (is_shown, factor, best.saving) {
                let [low, high] = saving.interval;
                let _ = write!(
                    text,
                    "<b>{name} saves labels: random needs {factor:.1} times as many</b> ({low:.1} \
                     to {high:.1}). Its curve is {}; random's is {}.",
                    heights(best),
                    heights(random)
                );
            } else {
                let _ = write!(
                    text,
                    "The highest curve is that of {name} ({}; random's is {}). That it saves \
                     labels is {}.",
                    heights(best),
                    heights(random),
                    best.claim.as_ref().map_or(Verdict::NotShown, |claim| claim.verdict)
                );
            }
        }
    }
    if let Some(full) = named(FULL) {
        let _ = write!(text, " Full supervision reaches {:.3}.", full.last.mean);
    }
    if let Some(System { factor: Some(factor), verdict, interval: [low, high], .. }) = system {
        let (open, close) = if *verdict == Verdict::Shown { ("<b>", "</b>") } else { ("", "") };
        let _ = write!(
            text,
            " Against random of the baseline the system needs {open}{factor:.1} times fewer \
             labels{close} ({low:.1} to {high:.1}; {verdict})."
        );
    }
    text
}

/// What a person should do now.
pub(super) fn what_next(summaries: &[Summary], seeds: usize) -> String {
    let mut out = String::new();
    let names = || summaries.iter().map(|summary| &*summary.strategy);
    if !names().any(|name| name == "random") {
        out += "<p>Run random too (--strategies): labels are saved against it.</p>";
    }
    if seeds < ENOUGH_SEEDS {
        let _ = write!(out, "<p>Repeat with --seeds {ENOUGH_SEEDS}: fewer decide nothing.</p>");
    }
    if !names().any(|name| name == FULL) {
        out += "<p>Add full (--strategies): then it is known how much all labels would give.</p>";
    }
    let behind: Vec<String> = summaries
        .iter()
        .flat_map(|s| s.behind.iter().map(|(seed, last)| (&s.strategy, seed, last)))
        .map(|(strategy, seed, last)| format!("{}-{seed} ({last:.3})", escape(strategy)))
        .collect();
    if !behind.is_empty() {
        let _ = write!(
            out,
            "<p class=\"warn\">Look at the reports of runs that ended below half of their strategy's \
             best seed, as failed trainings do: {}. Means hide them.</p>",
            behind.join(", ")
        );
    }
    if out.is_empty() {
        out += "<p>Label with the strategy that is shown to save labels; where none is, with random.</p>";
    }
    out
}

/// Each claim with its verdict, and what the verdicts mean.
pub(super) fn claims(summaries: &[Summary], system: Option<&System>) -> String {
    let claims: Vec<_> = summaries.iter().filter_map(|s| s.claim.as_ref()).collect();
    if claims.is_empty() && system.is_none() {
        return String::new();
    }
    let mut out = String::from("<ul class=\"claims\">");
    let of_strategies = claims.iter().map(|claim| (claim.verdict, &claim.sentence));
    for (verdict, sentence) in of_strategies.chain(system.map(|s| (s.verdict, &s.sentence))) {
        let class = match verdict {
            Verdict::Shown => "yes",
            Verdict::NotShown => "open",
            Verdict::Refuted => "no",
        };
        let _ = write!(
            out,
            "<li><span class=\"chip {class}\">{verdict}</span><span>{}</span></li>",
            escape(sentence)
        );
    }
    let _ = write!(
        out,
        "</ul><p class=\"soft\">A saving is <i>shown</i> where, with at least {ENOUGH_SEEDS} \
         seeds, the whole interval of the factor is above 1 and the difference of the curves from \
         random's has a corrected p below 0.05; <i>refuted</i> where the whole interval is below 1 \
         with such a p; else <i>not shown</i>. Differences are taken seed by seed (same pool, same \
         first patches). p is that of a two-sided sign-flip permutation test, corrected by Holm \
         for {} strateg{}. Intervals are the middle 95 % over resampled seeds.",
        claims.len(),
        if claims.len() == 1 { "y" } else { "ies" }
    );
    if let Some(system) = system {
        let _ = write!(
            out,
            " The baseline is random in {}; in each resample the best strategy is chosen anew.",
            escape(&system.baseline)
        );
    }
    section("What is shown", false, &(out + "</p>"))
}

/// All numbers, the highest curve first.
pub(super) fn summary_table(summaries: &[Summary]) -> String {
    let mut out = String::from(
        "<div class=\"table\"><table><tr><th>strategy</th><th>Jaccard at&nbsp;the&nbsp;end</th>\
         <th>from random</th><th>mean of the&nbsp;curve</th><th>from random</th>\
         <th>labels saved</th><th>claim</th>\
         <th>patches for 90 / 95&nbsp;%</th><th>foreground</th><th>seconds</th></tr>",
    );
    let labels = |value: Option<f64>| value.map_or("–".into(), |v: f64| format!("{v:.0}"));
    let spread = |spread: comparison::Spread| match spread.seeds {
        1 => spread.show(),
        _ => {
            format!("{}<br><small>{:.3} to {:.3}</small>", spread.show(), spread.least, spread.most)
        }
    };
    let test = |test: Option<comparison::Test>| {
        test.map_or("–".into(), |t| {
            let p = escape(&p_in_words(t.corrected));
            format!("{:+.3}<br><small>{p}</small>", t.difference)
        })
    };
    let mut sorted: Vec<&Summary> = summaries.iter().collect();
    sorted.sort_by(|a, b| b.area.mean.total_cmp(&a.area.mean));
    for s in sorted {
        let claim = s.claim.as_ref();
        let saved = match (claim, s.saving) {
            (Some(_), Some(saving)) => {
                let factor = saving.factor.map_or("never".into(), |f| format!("{f:.1} ×"));
                let [low, high] = saving.interval;
                format!("{factor}<br><small>{low:.1} to {high:.1}</small>")
            }
            _ => "–".into(),
        };
        let is_shown = claim.is_some_and(|claim| claim.verdict == Verdict::Shown);
        let class = if is_shown { " class=\"best\"" } else { "" };
        let _ = write!(
            out,
            "<tr{class}><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{saved}</td>\
             <td>{}</td><td>{} / {}</td><td>{:.1} %</td><td>{:.0}</td></tr>",
            escape(&s.strategy),
            spread(s.last),
            test(claim.map(|claim| claim.last)),
            spread(s.area),
            test(claim.map(|claim| claim.area)),
            claim.map_or("–".into(), |claim| claim.verdict.to_string()),
            labels(s.labels_for_90),
            labels(s.labels_for_95),
            100.0 * s.labelled_foreground.mean,
            s.seconds.mean
        );
    }
    out + "</table></div>"
}
