//! Several strategies and seeds of one experiment: what their journals say together.

mod claim;
mod statistics;
mod stops;
mod system;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::learning::protocol::Record;

pub use claim::{Claim, ENOUGH_SEEDS, Verdict, p_in_words};
pub use statistics::{Test, holm, sign_flip_p};
pub use stops::Stops;
pub use system::{BASELINE, Baseline, System, system};

/// Labelled patches and Jaccard index of a run's iterations.
type Curve = Vec<(f64, f64)>;

/// The journals of one strategy, a seed each.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// The strategy's name.
    pub strategy: String,
    /// Seed and journal, in order of the seeds.
    pub runs: Vec<(u64, Vec<Record>)>,
}

/// Mean and spread over seeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// Arithmetic mean.
    pub mean: f64,
    /// Standard deviation of a sample; 0 for a single seed.
    pub deviation: f64,
    /// The lowest of the seeds.
    pub least: f64,
    /// The highest of the seeds.
    pub most: f64,
    /// How many seeds.
    pub seeds: usize,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let seeds = values.len();
        let mean = values.iter().sum::<f64>() / seeds as f64;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        let deviation = if seeds > 1 { (squares / (seeds - 1) as f64).sqrt() } else { 0.0 };
        let end = |of: fn(f64, f64) -> f64| values.iter().copied().reduce(of).unwrap_or(f64::NAN);
        let (least, most) = (end(f64::min), end(f64::max));
        Self { mean, deviation, least, most, seeds }
    }

    /// The mean with the standard deviation, which a single seed does not have.
    pub fn show(&self) -> String {
        match self.seeds {
            1 => format!("{:.3}", self.mean),
            _ => format!("{:.3} ± {:.3}", self.mean, self.deviation),
        }
    }
}

/// How many times fewer labels a strategy needs than random to be as good as random at its end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Saving {
    /// Of the mean curves; none if the strategy never gets there.
    pub factor: Option<f64>,
    /// The middle 95 % over resampled seeds; where a resample never gets there it counts as 0.
    pub interval: [f64; 2],
}

/// What is said of a strategy.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The strategy's name.
    pub strategy: String,
    /// Jaccard index after the last iteration.
    pub last: Spread,
    /// Mean height of the learning curve over the labels: the area under it, divided by its width.
    pub area: Spread,
    /// Labels at which the mean curve reaches 90 % of full supervision, between iterations by straight lines.
    pub labels_for_90: Option<f64>,
    /// The same for 95 %.
    pub labels_for_95: Option<f64>,
    /// Against random, where it is there.
    pub saving: Option<Saving>,
    /// What is said to the claim that it saves labels against random.
    pub claim: Option<Claim>,
    /// The seeds that ended below half of the best one, with their last Jaccard index: trainings that
    /// may have failed.
    pub behind: Vec<(u64, f64)>,
    /// When its runs would have been told that it is enough; none where nothing tells.
    pub stops: Option<Stops>,
    /// Foreground share of all labelled pixels at the end.
    pub labelled_foreground: Spread,
    /// Seconds of all iterations.
    pub seconds: Spread,
}

/// A point of a strategy's mean curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Labelled patches.
    pub labelled: f64,
    /// Jaccard index.
    pub jaccard: Spread,
    /// Foreground share of the labelled pixels.
    pub labelled_foreground: f64,
}

/// The name of full supervision, which has no curve.
pub const FULL: &str = "full";

impl Series {
    /// The mean over seeds after each iteration that all seeds have.
    pub fn curve(&self) -> Vec<Point> {
        let length = self.runs.iter().map(|(_, records)| records.len()).min().unwrap_or(0);
        (0..length)
            .map(|i| {
                let of = |value: &dyn Fn(&Record) -> f64| -> Vec<f64> {
                    self.runs.iter().map(|(_, records)| value(&records[i])).collect()
                };
                Point {
                    labelled: Spread::of(&of(&|r| r.labelled as f64)).mean,
                    jaccard: Spread::of(&of(&|r| r.jaccard_or_nan())),
                    labelled_foreground: Spread::of(&of(&|r| r.labelled_foreground)).mean,
                }
            })
            .collect()
    }

    /// The seeds that ended below half of the best one, with their last Jaccard index.
    fn behind(&self) -> Vec<(u64, f64)> {
        let last = |(seed, records): &(u64, Vec<Record>)| {
            records.last().map(|record| (*seed, record.jaccard_or_nan()))
        };
        let all: Vec<(u64, f64)> = self.runs.iter().filter_map(last).collect();
        let best = all.iter().map(|run| run.1).fold(0.0, f64::max);
        all.into_iter().filter(|(_, jaccard)| *jaccard < 0.5 * best).collect()
    }

    fn last(&self, value: impl Fn(&Record) -> f64) -> Spread {
        let last = |(_, records): &(u64, Vec<Record>)| records.last().map(&value);
        Spread::of(&self.runs.iter().filter_map(last).collect::<Vec<_>>())
    }
}

fn curve_of(records: &[Record]) -> Curve {
    records.iter().map(|record| (record.labelled as f64, record.jaccard_or_nan())).collect()
}

/// The mean of curves after each iteration that all have.
fn mean_curve<'a>(curves: impl Iterator<Item = &'a [(f64, f64)]>) -> Curve {
    let curves: Vec<&[(f64, f64)]> = curves.collect();
    let length = curves.iter().map(|curve| curve.len()).min().unwrap_or(0);
    let mean = |value: &dyn Fn((f64, f64)) -> f64, i: usize| {
        curves.iter().map(|curve| value(curve[i])).sum::<f64>() / curves.len() as f64
    };
    (0..length).map(|i| (mean(&|point| point.0, i), mean(&|point| point.1, i))).collect()
}

/// Labels at which a curve first reaches a height, between its points by straight lines.
fn labels_for(curve: &[(f64, f64)], height: f64) -> Option<f64> {
    let first = curve.first()?;
    if first.1 >= height {
        return Some(first.0);
    }
    curve.windows(2).find(|pair| pair[1].1 >= height).map(|pair| {
        let [(x0, y0), (x1, y1)] = [pair[0], pair[1]];
        x0 + (x1 - x0) * (height - y0) / (y1 - y0)
    })
}

/// Area under a curve, divided by its width; its height if it is a point.
fn mean_height(curve: &[(f64, f64)]) -> f64 {
    let [Some(first), Some(last)] = [curve.first(), curve.last()] else { return f64::NAN };
    if last.0 <= first.0 {
        return last.1;
    }
    let area: f64 =
        curve.windows(2).map(|pair| 0.5 * (pair[0].1 + pair[1].1) * (pair[1].0 - pair[0].0)).sum();
    area / (last.0 - first.0)
}

/// A summary of each series, in their order.
///
/// # Errors
/// [`Error::Input`] if a series has no runs, or a run no iterations.
pub fn summarize(all: &[Series]) -> Result<Vec<Summary>> {
    if let Some(empty) =
        all.iter().find(|s| s.runs.is_empty() || s.runs.iter().any(|(_, r)| r.is_empty()))
    {
        return Err(Error::Input(format!("the strategy {} has no finished run", empty.strategy)));
    }
    let named = |name: &str| all.iter().find(|series| series.strategy == name);
    let random = named("random");
    let savings: Vec<Option<Saving>> = all
        .iter()
        .map(|series| claim::saving(series, random.filter(|_| series.strategy != FULL)?))
        .collect();
    let claims = claim::claims(all, &savings);
    let full = named(FULL).map(|series| series.last(Record::jaccard_or_nan).mean);
    let summary = |((series, saving), claim): ((&Series, Option<Saving>), Option<Claim>)| {
        let curve: Vec<(f64, f64)> =
            series.curve().iter().map(|p| (p.labelled, p.jaccard.mean)).collect();
        let of_full = |share: f64| full.and_then(|full| labels_for(&curve, share * full));
        let is_curve = series.strategy != FULL;
        let areas: Vec<f64> =
            series.runs.iter().map(|(_, records)| mean_height(&curve_of(records))).collect();
        let seconds: Vec<f64> = series
            .runs
            .iter()
            .map(|(_, records)| {
                let total = |r: &Record| r.seconds.train + r.seconds.score + r.seconds.evaluate;
                records.iter().map(total).sum()
            })
            .collect();
        Summary {
            strategy: series.strategy.clone(),
            last: series.last(Record::jaccard_or_nan),
            area: Spread::of(&areas),
            labels_for_90: if is_curve { of_full(0.9) } else { None },
            labels_for_95: if is_curve { of_full(0.95) } else { None },
            saving,
            claim,
            behind: series.behind(),
            stops: stops::stops(series),
            labelled_foreground: series.last(|r| r.labelled_foreground),
            seconds: Spread::of(&seconds),
        }
    };
    Ok(all.iter().zip(savings).zip(claims).map(summary).collect())
}

/// The strategy, other than full supervision and yardsticks that read labels, with the largest area; ties go to the first.
pub fn winner(summaries: &[Summary]) -> Option<&Summary> {
    let candidates = summaries.iter().filter(|s| may_win(&s.strategy));
    candidates.reduce(|best, s| if s.area.mean > best.area.mean { s } else { best })
}

/// Full supervision has no curve, and `fg_random` reads labels that nobody has given.
fn may_win(strategy: &str) -> bool {
    ![FULL, "fg_random"].contains(&strategy)
}

/// A number of a table; nothing where there is none.
fn show(value: Option<f64>) -> String {
    value.map_or_else(String::new, |v| v.to_string())
}

/// All iterations of all runs, a line each.
pub fn iterations_csv(all: &[Series]) -> String {
    let mut out = String::from(
        "strategy,seed,iteration,labelled,labelled_foreground,loss,jaccard,train_seconds,score_seconds,evaluate_seconds,labelled_pixels,changed_pixels,unseen_jaccard,mean_entropy\n",
    );
    for series in all {
        for (seed, records) in &series.runs {
            for r in records {
                let pixels =
                    r.labelled_pixels.map_or_else(String::new, |pixels| pixels.to_string());
                out += &format!(
                    "{},{seed},{},{},{},{},{},{},{},{},{pixels},{},{},{}\n",
                    series.strategy,
                    r.iteration,
                    r.labelled,
                    r.labelled_foreground,
                    r.loss,
                    r.jaccard_or_nan(),
                    r.seconds.train,
                    r.seconds.score,
                    r.seconds.evaluate,
                    show(r.changed_pixels),
                    show(r.unseen_jaccard),
                    show(r.mean_entropy)
                );
            }
        }
    }
    out
}

/// The summaries, a line each; what is not there is empty. The factor of the system stands in the
/// line of the best strategy.
pub fn summary_csv(summaries: &[Summary], system: Option<&System>) -> String {
    let mut out = String::from(
        "strategy,seeds,jaccard_mean,jaccard_deviation,area_mean,area_deviation,labels_for_90,labels_for_95,saving,saving_low,saving_high,labelled_foreground_mean,seconds_mean,\
         paired_seeds,area_difference,area_p,area_p_corrected,last_difference,last_p,\
         last_p_corrected,claim,system,system_low,system_high,system_claim,\
         told_to_stop,labels_at_stop,jaccard_at_stop,gained_after_stop\n",
    );
    for s in summaries {
        let claim = s.claim.as_ref();
        let system = system.filter(|system| system.strategy == s.strategy);
        let stop = |of: fn(&Stops) -> Option<Spread>| {
            show(s.stops.as_ref().and_then(of).map(|spread| spread.mean))
        };
        let test = |test: fn(&Claim) -> f64| show(claim.map(test));
        let cells = [
            s.strategy.clone(),
            s.last.seeds.to_string(),
            s.last.mean.to_string(),
            s.last.deviation.to_string(),
            s.area.mean.to_string(),
            s.area.deviation.to_string(),
            show(s.labels_for_90),
            show(s.labels_for_95),
            show(s.saving.and_then(|saving| saving.factor)),
            show(s.saving.map(|saving| saving.interval[0])),
            show(s.saving.map(|saving| saving.interval[1])),
            s.labelled_foreground.mean.to_string(),
            s.seconds.mean.to_string(),
            claim.map_or_else(String::new, |claim| claim.seeds.to_string()),
            test(|claim| claim.area.difference),
            test(|claim| claim.area.p),
            test(|claim| claim.area.corrected),
            test(|claim| claim.last.difference),
            test(|claim| claim.last.p),
            test(|claim| claim.last.corrected),
            claim.map_or_else(String::new, |claim| claim.verdict.to_string()),
            show(system.and_then(|system| system.factor)),
            show(system.map(|system| system.interval[0])),
            show(system.map(|system| system.interval[1])),
            system.map_or_else(String::new, |system| system.verdict.to_string()),
            s.stops.as_ref().map_or_else(String::new, |stops| stops.told.to_string()),
            stop(|stops| stops.labelled),
            stop(|stops| stops.jaccard),
            stop(|stops| stops.gained),
        ];
        out += &cells.join(",");
        out.push('\n');
    }
    out
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::learning::protocol::Seconds;

    pub(super) fn series(strategy: &str, curves: &[&[f64]]) -> Series {
        let record = |seed: u64, iteration: usize, jaccard: f64| Record {
            iteration,
            strategy: strategy.into(),
            seed,
            labelled: 20 * (iteration + 1),
            labelled_foreground: 0.1,
            labelled_pixels: Some(20 * 16384),
            loss: 0.5,
            initial: None,
            epochs: Some(10),
            best: None,
            jaccard: Some(jaccard),
            class_jaccard: None,
            volume_jaccard: None,
            unseen_jaccard: None,
            changed_pixels: None,
            mean_entropy: None,
            picked: Vec::new(),
            seconds: Seconds { train: 1.0, score: 0.5, evaluate: 0.5 },
        };
        let runs = curves
            .iter()
            .enumerate()
            .map(|(seed, curve)| {
                let seed = seed as u64;
                (seed, curve.iter().enumerate().map(|(i, &j)| record(seed, i, j)).collect())
            })
            .collect();
        Series { strategy: strategy.into(), runs }
    }

    #[test]
    fn labels_are_counted_between_points() {
        let curve = [(20.0, 0.1), (40.0, 0.3), (60.0, 0.2), (80.0, 0.6)];
        assert_eq!(labels_for(&curve, 0.05), Some(20.0));
        assert_eq!(labels_for(&curve, 0.2), Some(30.0));
        assert_eq!(labels_for(&curve, 0.4), Some(70.0));
        assert_eq!(labels_for(&curve, 0.7), None);
        assert!((mean_height(&curve) - (0.2 + 0.25 + 0.4) / 3.0).abs() < 1e-12);
        assert_eq!(mean_height(&curve[..1]), 0.1);
    }

    #[test]
    fn seeds_that_fell_behind_are_named() {
        let ends = |last: &[f64]| -> Vec<(u64, f64)> {
            let curves: Vec<[f64; 2]> = last.iter().map(|&end| [0.1, end]).collect();
            let curves: Vec<&[f64]> = curves.iter().map(|curve| &curve[..]).collect();
            summarize(&[series("entropy", &curves)]).unwrap()[0].behind.clone()
        };
        assert_eq!(ends(&[0.6, 0.02, 0.5]), [(1, 0.02)]);
        assert_eq!(ends(&[0.0, 0.0, 0.1]), [(0, 0.0), (1, 0.0)]);
        assert_eq!(ends(&[0.6, 0.3]), []);
        assert_eq!(ends(&[0.0, 0.0]), []);
        let one = summarize(&[series("entropy", &[&[0.1, 0.25]])]).unwrap()[0].last;
        assert_eq!((one.show(), one.least, one.most), ("0.250".into(), 0.25, 0.25));
        let two = summarize(&[series("entropy", &[&[0.2], &[0.4]])]).unwrap()[0].last;
        assert_eq!((two.show(), two.least, two.most), ("0.300 ± 0.141".into(), 0.2, 0.4));
    }

    #[test]
    fn a_strategy_that_needs_half_the_labels_saves_a_factor_of_two() {
        let random: &[f64] = &[0.0, 0.1, 0.2, 0.3];
        let twice: &[f64] = &[0.0, 0.3, 0.4, 0.5];
        let never: &[f64] = &[0.0, 0.1, 0.1, 0.1];
        let all = [
            series("random", &[random, random]),
            series("entropy", &[twice, twice]),
            series("k_means", &[never, never]),
            series(FULL, &[&[0.4], &[0.6]]),
        ];
        let summaries = summarize(&all).unwrap();
        let saving = |i: usize| summaries[i].saving.unwrap();
        assert_eq!(saving(0), Saving { factor: Some(1.0), interval: [1.0, 1.0] });
        assert_eq!(saving(1), Saving { factor: Some(2.0), interval: [2.0, 2.0] });
        assert_eq!(saving(2), Saving { factor: None, interval: [0.0, 0.0] });
        assert_eq!((summaries[3].saving, summaries[3].labels_for_90), (None, None));
        // Full supervision is 0.5 in the mean.
        assert_eq!(summaries[1].labels_for_90.map(|l| l.round()), Some(70.0));
        assert_eq!(summaries[0].labels_for_90, None);
        assert_eq!(winner(&summaries).unwrap().strategy, "entropy");
        assert_eq!(summaries[1].seconds.mean, 8.0);
        assert!((summaries[3].last.deviation - 0.02_f64.sqrt()).abs() < 1e-12);
        assert_eq!(iterations_csv(&all).lines().count(), 1 + 3 * 8 + 2);
        let lines = summary_csv(&summaries, None);
        assert!(lines.lines().all(|line| line.split(',').count() == 29), "{lines}");
    }

    #[test]
    fn the_interval_spreads_with_the_seeds() {
        let all = [
            series("random", &[&[0.0, 0.1, 0.2], &[0.0, 0.1, 0.2]]),
            series("entropy", &[&[0.0, 0.3, 0.3], &[0.0, 0.1, 0.3]]),
        ];
        let saving = summarize(&all).unwrap()[1].saving.unwrap();
        assert!(saving.interval[0] < saving.factor.unwrap());
        assert!(saving.interval[1] > saving.factor.unwrap());
        assert!(summarize(&[Series::default()]).is_err());
    }
}
