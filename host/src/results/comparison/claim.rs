//! The claim that a strategy saves labels against random, and what the runs say to it.

use askem_kernels::rng::{Purpose, below, stream};
use serde::Serialize;

use super::statistics::{Test, holm};
use super::{Curve, FULL, Saving, Series, labels_for, mean_curve, mean_height};

/// Resamples of the seeds behind an interval.
const RESAMPLES: usize = 2000;
/// Seeds with which something can be shown or refuted.
pub const ENOUGH_SEEDS: usize = 10;
/// The level of p-values.
const LEVEL: f64 = 0.05;

/// What is found of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// The data carry it.
    #[serde(rename = "shown")]
    Shown,
    /// The data carry neither it nor its opposite.
    #[serde(rename = "not shown")]
    NotShown,
    /// The data carry its opposite.
    #[serde(rename = "refuted")]
    Refuted,
}

impl Verdict {
    /// By the interval of a factor alone.
    pub(super) fn of(interval: [f64; 2], seeds: usize) -> Self {
        match interval {
            _ if seeds < ENOUGH_SEEDS => Self::NotShown,
            [low, _] if low > 1.0 => Self::Shown,
            [_, high] if high < 1.0 => Self::Refuted,
            _ => Self::NotShown,
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Shown => "shown",
            Self::NotShown => "not shown",
            Self::Refuted => "refuted",
        })
    }
}

/// What the runs say to the claim that a strategy needs fewer labels than random.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Claim {
    /// Seeds that both have.
    pub seeds: usize,
    /// Differences in the mean height of the curve, which the claim is judged by.
    pub area: Test,
    /// Differences in the last Jaccard index.
    pub last: Test,
    /// Shown, not shown or refuted.
    pub verdict: Verdict,
    /// The verdict in words, of which exactly one is the verdict itself.
    pub sentence: String,
}

/// Seeds that a strategy shares with random, with the curves of both.
pub(super) fn pairs<'a>(series: &'a Series, random: &'a Series) -> Vec<(Curve, Curve)> {
    let of = |(seed, records): &'a (u64, Vec<_>)| {
        let (_, ours) = series.runs.iter().find(|(other, _)| other == seed)?;
        Some((super::curve_of(ours), super::curve_of(records)))
    };
    random.runs.iter().filter_map(of).collect()
}

/// The middle 95 % of a factor under a hierarchical bootstrap; a factor that is none counts as 0.
///
/// The upper level are the seeds: as many are drawn as there are, with replacement, and what a seed
/// decides (pool, first patches, first weights) is drawn with it. The lower level are the runs of a
/// seed, one of each strategy: they are drawn together, as pairs, and all iterations of a run stay
/// together, since they are no independent observations. One run of a kind leaves nothing to draw
/// on the lower level. `factor` gets the numbers of the seeds that were drawn.
pub(super) fn interval(seeds: usize, factor: impl Fn(&[usize]) -> Option<f64>) -> [f64; 2] {
    let mut rng = stream(0, Purpose::Strategy, 0, 0);
    let mut factors: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn: Vec<usize> =
                (0..seeds).map(|_| below(&mut rng, seeds as u64) as usize).collect();
            factor(&drawn).unwrap_or(0.0)
        })
        .collect();
    factors.sort_by(f64::total_cmp);
    let at = |share: f64| factors[(share * (RESAMPLES - 1) as f64).round() as usize];
    [at(0.025), at(0.975)]
}

/// How many times fewer labels than random a strategy needs; none without a seed that both have.
pub(super) fn saving(series: &Series, random: &Series) -> Option<Saving> {
    let pairs = pairs(series, random);
    let factor = |drawn: &[usize]| -> Option<f64> {
        let ours = mean_curve(drawn.iter().map(|&i| &pairs[i].0[..]));
        let theirs = mean_curve(drawn.iter().map(|&i| &pairs[i].1[..]));
        let height = theirs.last()?.1;
        // Random may have been as good earlier.
        Some(labels_for(&theirs, height)? / labels_for(&ours, height)?)
    };
    if pairs.is_empty() {
        return None;
    }
    let all: Vec<usize> = (0..pairs.len()).collect();
    Some(Saving { factor: factor(&all), interval: interval(pairs.len(), factor) })
}

/// The claim of each series, in their order; none of random itself, of full supervision, and
/// without random or a seed that both have.
///
/// **Shown**: with at least 10 seeds the whole 95 % interval of the factor of labels saved is above
/// 1, and the two-sided p-value of the paired differences in the area under the curve is below 0.05
/// after Holm's correction over the strategies compared, with a mean difference above 0.
/// **Refuted**: with at least 10 seeds the whole interval is below 1 (a curve that never reaches
/// random's last Jaccard index counts as 0), and the p-value is below 0.05 with a mean difference
/// below 0. **Not shown**: everything else. Fewer seeds show and refute nothing.
pub(super) fn claims(all: &[Series], savings: &[Option<Saving>]) -> Vec<Option<Claim>> {
    let random = all.iter().find(|series| series.strategy == "random");
    let mut tests: Vec<Option<(usize, Test, Test)>> = all
        .iter()
        .map(|series| {
            if [FULL, "random"].contains(&&*series.strategy) {
                return None;
            }
            let pairs = pairs(series, random?);
            let differences = |value: &dyn Fn(&Curve) -> f64| -> Vec<f64> {
                pairs.iter().map(|(ours, theirs)| value(ours) - value(theirs)).collect()
            };
            let last = |curve: &Curve| curve.last().map_or(f64::NAN, |point| point.1);
            (!pairs.is_empty()).then(|| {
                let area = Test::of(&differences(&|curve| mean_height(curve)));
                (pairs.len(), area, Test::of(&differences(&last)))
            })
        })
        .collect();
    let p = |test: fn(&(usize, Test, Test)) -> f64| -> Vec<f64> {
        tests.iter().flatten().map(test).collect()
    };
    let (areas, lasts) = (holm(&p(|t| t.1.p)), holm(&p(|t| t.2.p)));
    for ((test, area), last) in tests.iter_mut().flatten().zip(areas).zip(lasts) {
        test.1.corrected = area;
        test.2.corrected = last;
    }
    let claim = |(series, (test, saving)): (&Series, (Option<_>, &Option<Saving>))| {
        let ((seeds, area, last), saving) = (test?, (*saving)?);
        Some(judge(&series.strategy, seeds, area, last, saving))
    };
    all.iter().zip(tests.into_iter().zip(savings)).map(claim).collect()
}

fn judge(strategy: &str, seeds: usize, area: Test, last: Test, saving: Saving) -> Claim {
    let agrees = |sign: f64| area.corrected < LEVEL && sign * area.difference > 0.0;
    let verdict = match Verdict::of(saving.interval, seeds) {
        Verdict::Shown if agrees(1.0) => Verdict::Shown,
        Verdict::Refuted if agrees(-1.0) => Verdict::Refuted,
        _ => Verdict::NotShown,
    };
    let [low, high] = saving.interval;
    let factor = match saving.factor {
        Some(factor) => {
            format!("random needs {factor:.1} times as many (95 % interval {low:.1} to {high:.1})")
        }
        None if high > 0.0 => format!(
            "it does not get to random's last Jaccard index (95 % interval of the factor {low:.1} \
             to {high:.1})"
        ),
        None => "it never gets to random's last Jaccard index, whatever seeds are drawn".into(),
    };
    let side = if area.difference < 0.0 { "below" } else { "above" };
    let sentence = format!(
        "That {strategy} saves labels is {verdict}: {factor}, and its curve lies {:.3} {side} \
         random's in the mean ({} after correction, {seeds} seed{}).{}",
        area.difference.abs(),
        p_in_words(area.corrected),
        if seeds == 1 { "" } else { "s" },
        advice(seeds),
    );
    Claim { seeds, area, last, verdict, sentence }
}

/// A p-value with as many digits as say something.
pub fn p_in_words(p: f64) -> String {
    if p < 0.001 { "p < 0.001".into() } else { format!("p = {p:.3}") }
}

/// What to do about too few seeds.
pub(super) fn advice(seeds: usize) -> String {
    if seeds >= ENOUGH_SEEDS {
        return String::new();
    }
    format!(" Fewer than {ENOUGH_SEEDS} seeds decide nothing: repeat with --seeds {ENOUGH_SEEDS}.")
}
