//! The factor of the whole system: a strategy and its recipe against random with another recipe.

use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::claim::{Verdict, advice, interval};
use super::{Curve, Series, curve_of, labels_for, may_win, mean_curve, mean_height};
use crate::data::files::write_atomically;
use crate::error::{Error, Result};
use crate::learning::protocol::Record;

/// The file that holds the baseline in a comparison's directory.
pub const BASELINE: &str = "baseline.json";

/// Random's learning curves in another comparison of the same data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Where that comparison lay.
    pub directory: String,
    /// Its seeds, each with labelled patches and Jaccard index of all iterations.
    pub runs: Vec<(u64, Curve)>,
}

impl Baseline {
    /// The curves of journals.
    pub fn of(directory: String, runs: &[(u64, Vec<Record>)]) -> Self {
        let runs = runs.iter().map(|(seed, records)| (*seed, curve_of(records))).collect();
        Self { directory, runs }
    }

    /// The baseline that a comparison was given, if it was given one.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn read(comparison: &Path) -> Result<Option<Self>> {
        let path = comparison.join(BASELINE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(&path, "can't read the baseline", e)),
        };
        serde_json::from_str(&text).map(Some).map_err(|e| {
            Error::Input(format!("{}: this is no baseline ({e}); give --baseline", path.display()))
        })
    }

    /// Keeps it with a comparison, whose report needs it.
    ///
    /// # Errors
    /// If the disk is full or refuses.
    pub fn write(&self, comparison: &Path) -> Result<()> {
        let path = comparison.join(BASELINE);
        let text = serde_json::to_string(self)
            .map_err(|e| Error::Input(format!("{}: {e}", path.display())))?;
        write_atomically(&path, text.as_bytes())
    }
}

/// How many times fewer labels than the baseline's random the best strategy needs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct System {
    /// The best strategy here.
    pub strategy: String,
    /// Where the baseline lay.
    pub baseline: String,
    /// Labels that the baseline's random has at the end of its budget.
    pub baseline_labels: f64,
    /// Its mean Jaccard index there.
    pub baseline_jaccard: f64,
    /// Labels with which the best strategy's mean curve gets there.
    pub labels: Option<f64>,
    /// The former over the latter; none if it never gets there.
    pub factor: Option<f64>,
    /// The middle 95 % over resampled seeds; where a resample never gets there it counts as 0.
    pub interval: [f64; 2],
    /// Seeds that both comparisons have.
    pub seeds: usize,
    /// By the interval alone: all above 1 with at least 10 seeds, or all below.
    pub verdict: Verdict,
    /// The verdict in words, of which exactly one is the verdict itself.
    pub sentence: String,
}

/// The factor of the system; none where no strategy has all seeds of another, or none is shared.
///
/// The levels of the bootstrap are those of a strategy's factor: seeds, and in a seed the
/// baseline's run together with those of all strategies. Which strategy is best, by the area under
/// its mean curve, is chosen anew in each resample, so that the choice widens the interval.
pub fn system(all: &[Series], baseline: &Baseline) -> Option<System> {
    let all: Vec<&Series> = all.iter().filter(|series| may_win(&series.strategy)).collect();
    let run = |series: &Series, seed: u64| {
        series.runs.iter().find(|(s, _)| *s == seed).map(|(_, records)| curve_of(records))
    };
    // Of each shared seed the baseline's curve and those of all strategies.
    let shared: Vec<(&Curve, Vec<Curve>)> = baseline
        .runs
        .iter()
        .filter_map(|(seed, curve)| {
            let ours = all.iter().map(|series| run(series, *seed)).collect::<Option<_>>()?;
            Some((curve, ours))
        })
        .collect();
    if all.is_empty() || shared.is_empty() {
        return None;
    }
    let look = |drawn: &[usize]| -> Option<(usize, [f64; 2], Option<f64>)> {
        let theirs = mean_curve(drawn.iter().map(|&i| &shared[i].0[..]));
        let &(labels, height) = theirs.last()?;
        let curves = (0..all.len()).map(|s| mean_curve(drawn.iter().map(|&i| &shared[i].1[s][..])));
        let (best, curve) = curves.enumerate().reduce(|best, next| {
            if mean_height(&next.1) > mean_height(&best.1) { next } else { best }
        })?;
        Some((best, [labels, height], labels_for(&curve, height)))
    };
    let factor = |drawn: &[usize]| {
        let (_, [theirs, _], ours) = look(drawn)?;
        Some(theirs / ours?)
    };
    let seeds = shared.len();
    let everything: Vec<usize> = (0..seeds).collect();
    let (best, [baseline_labels, baseline_jaccard], labels) = look(&everything)?;
    let interval = interval(seeds, factor);
    let verdict = Verdict::of(interval, seeds);
    let strategy = all[best].strategy.clone();
    let [low, high] = interval;
    let found = match labels {
        Some(labels) => format!(
            "{strategy} needs {labels:.0} labelled patches for the Jaccard index of \
             {baseline_jaccard:.3} that the baseline's random has with {baseline_labels:.0}, {:.1} \
             times fewer",
            baseline_labels / labels
        ),
        None => format!(
            "{strategy} never gets to the Jaccard index of {baseline_jaccard:.3} that the \
             baseline's random has with {baseline_labels:.0} labelled patches"
        ),
    };
    let sentence = format!(
        "That the whole system saves labels is {verdict}: {found} (95 % interval {low:.1} to \
         {high:.1}, {seeds} seed{}).{}",
        if seeds == 1 { "" } else { "s" },
        advice(seeds),
    );
    Some(System {
        strategy,
        baseline: baseline.directory.clone(),
        baseline_labels,
        baseline_jaccard,
        labels,
        factor: labels.map(|labels| baseline_labels / labels),
        interval,
        seeds,
        verdict,
        sentence,
    })
}
