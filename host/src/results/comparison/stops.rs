//! When the runs of a strategy would have told a person that it is enough, and what labels gained
//! that were given in spite of it.

use serde::Serialize;

use super::{FULL, Series, Spread};
use crate::learning::protocol::Record;
use crate::learning::stopping::advice;

/// What [`advice`] would have come to in the runs of a strategy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stops {
    /// Runs that were advised at all: what a training changes is known from the second on.
    pub seeds: usize,
    /// Those among them that were told that more labels will hardly change the result.
    pub told: usize,
    /// Labelled patches when a run was first told so; none where no run was.
    pub labelled: Option<Spread>,
    /// Jaccard index then.
    pub jaccard: Option<Spread>,
    /// What it gained from then to the last iteration, in runs that were told before that one.
    pub gained: Option<Spread>,
    /// All of it in words.
    pub sentence: String,
}

/// The first record after which a person would have been told to stop.
fn first_stop(records: &[Record]) -> Option<&Record> {
    let told = |end: &usize| advice(&records[..*end]).is_some_and(|advice| advice.could_stop);
    (1..=records.len()).find(told).map(|end| &records[end - 1])
}

/// The advice of a strategy's runs; nothing where no run was advised.
pub(super) fn stops(series: &Series) -> Option<Stops> {
    if series.strategy == FULL {
        return None;
    }
    let is_advised = |records: &&Vec<Record>| records.iter().any(|r| r.changed_pixels.is_some());
    let runs: Vec<&Vec<Record>> =
        series.runs.iter().map(|(_, records)| records).filter(is_advised).collect();
    let last = runs.first()?.last()?;
    let spread = |values: Vec<f64>| (!values.is_empty()).then(|| Spread::of(&values));
    let told: Vec<(&Record, &Record)> =
        runs.iter().filter_map(|records| Some((first_stop(records)?, records.last()?))).collect();
    let later = told.iter().filter(|(stop, last)| stop.iteration < last.iteration);
    let gains: Vec<f64> =
        later.map(|(stop, last)| last.jaccard_or_nan() - stop.jaccard_or_nan()).collect();
    let most = gains.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let of = |value: fn(&Record) -> f64| told.iter().map(|(stop, _)| value(stop)).collect();
    let mut stops = Stops {
        seeds: runs.len(),
        told: told.len(),
        labelled: spread(of(|record| record.labelled as f64)),
        jaccard: spread(of(Record::jaccard_or_nan)),
        gained: spread(gains),
        sentence: String::new(),
    };
    stops.sentence = sentence(&series.strategy, &stops, last.labelled, most);
    Some(stops)
}

fn sentence(strategy: &str, stops: &Stops, end: usize, most: f64) -> String {
    let Stops { seeds, told, labelled, jaccard, gained, .. } = stops;
    let (Some(labelled), Some(jaccard)) = (labelled, jaccard) else {
        return format!(
            "{strategy}: none of {seeds} would have been told to stop with up to {end} patches."
        );
    };
    let mut text = format!(
        "{strategy}: {told} of {seeds} would have been told to stop, after {:.0} patches in the \
         mean, at a Jaccard index of {:.3}",
        labelled.mean, jaccard.mean
    );
    text += &match gained {
        None => format!("; what more than {end} patches gain is not known."),
        Some(gained) => format!(
            "; going on to {end} then gained {:+.3} in the mean of {}, {most:+.3} at most.",
            gained.mean, gained.seeds
        ),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::series;
    use super::*;

    #[test]
    fn the_first_advice_to_stop_counts_and_what_came_after_it() {
        // Foreground is a tenth of what is labelled: less than 0.5 % of all pixels is little.
        let curve: &[f64] = &[0.1, 0.3, 0.5, 0.6, 0.62, 0.65];
        let mut all = series("entropy", &[curve, curve, curve]);
        let changed = [
            [0.5, 0.02, 0.004, 0.004, 0.003],
            [0.5, 0.03, 0.02, 0.02, 0.002],
            [0.5, 0.2, 0.001, 0.004, 0.003],
        ];
        for ((_, records), changed) in all.runs.iter_mut().zip(changed) {
            for (i, share) in changed.into_iter().enumerate() {
                records[i + 1].changed_pixels = Some(share);
                records[i + 1].labelled_pixels = Some(i as u64);
                records[i + 1].unseen_jaccard = Some(0.5);
            }
        }
        let stops_of = |all: &Series| stops(all).unwrap();
        let found = stops_of(&all);
        assert_eq!((found.seeds, found.told), (3, 2));
        assert_eq!(found.labelled.unwrap().mean, 120.0, "at the last iteration both");
        assert_eq!(found.gained, None);
        all.runs[0].1[2].changed_pixels = Some(0.003);
        let found = stops_of(&all);
        assert_eq!(found.labelled.unwrap().mean, 0.5 * (100.0 + 120.0));
        let gained = found.gained.unwrap();
        assert_eq!(gained.seeds, 1);
        assert!((gained.mean - 0.03).abs() < 1e-12);
        let sentence = "entropy: 2 of 3 would have been told to stop, after 110 patches in the \
                        mean, at a Jaccard index of 0.635; going on to 120 then gained +0.030 in \
                        the mean of 1, +0.030 at most.";
        assert_eq!(found.sentence, sentence);
        let first = Series { runs: vec![all.runs[1].clone()], ..all };
        let sentence = "entropy: none of 1 would have been told to stop with up to 120 patches.";
        assert_eq!(stops_of(&first).sentence, sentence);
        assert_eq!(stops(&series("random", &[curve])), None, "nothing is known of it");
    }
}
