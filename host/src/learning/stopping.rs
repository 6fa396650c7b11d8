//! When to stop: whether the last rounds still changed what the network sees.

use crate::learning::protocol::Record;

/// What to tell a person who asks whether to go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// One sentence with the number behind it.
    pub text: String,
    /// Whether the last rounds changed so little that more labels will hardly pay.
    pub could_stop: bool,
    /// Share of the pixels that the last round changed.
    pub changed: f64,
}

/// Rounds that must have changed little, one after the other.
const ROUNDS: usize = 2;
/// What counts as little: so large a part of the foreground's share.
const LITTLE: f64 = 0.1;

/// Whether to go on, by the rounds so far that learnt from new labels; nothing before there are two
/// networks, and after a round without a new label.
///
/// Source: stabilising predictions, Bloodgood and Vijay-Shanker 2009 (arXiv 1409.5165), here as
/// the share of pixels on which successive networks differ.
pub fn advice(records: &[Record]) -> Option<Advice> {
    let last = records.last()?;
    let changed = last.changed_pixels?;
    let learnt_more = |i: &usize| {
        i.checked_sub(1)
            .is_none_or(|before| records[before].labelled_pixels != records[*i].labelled_pixels)
    };
    let with_labels: Vec<&Record> =
        (0..records.len()).filter(learnt_more).map(|i| &records[i]).collect();
    if with_labels.last().is_none_or(|record| record.iteration != last.iteration) {
        return None;
    }
    let new = records
        .len()
        .checked_sub(2)
        .map_or(0, |i| last.labelled.saturating_sub(records[i].labelled));
    let is_little = |record: &&Record| {
        record.changed_pixels.is_some_and(|share| share < LITTLE * record.labelled_foreground)
    };
    let quiet = with_labels.iter().copied().rev().take_while(is_little).count();
    let could_stop = quiet >= ROUNDS;
    let patches = if new == 1 { "1 patch".into() } else { format!("{new} patches") };
    let rest = if could_stop {
        "The round before changed as little: more labels will hardly change the result."
    } else {
        "Going on will still change the result."
    };
    let text = format!("The last {patches} changed {:.1} % of the pixels. {rest}", 100.0 * changed);
    Some(Advice { text, could_stop, changed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learning::protocol::Seconds;

    fn records(changed: &[Option<f64>]) -> Vec<Record> {
        let record = |(iteration, &changed_pixels): (usize, &Option<f64>)| Record {
            iteration,
            strategy: "entropy".into(),
            seed: 0,
            labelled: 8 + 4 * iteration,
            labelled_foreground: 0.1,
            labelled_pixels: Some(1000 + iteration as u64),
            loss: 0.1,
            initial: None,
            epochs: None,
            best: None,
            jaccard: None,
            unseen_jaccard: None,
            changed_pixels,
            picked: Vec::new(),
            seconds: Seconds::default(),
        };
        changed.iter().enumerate().map(record).collect()
    }

    #[test]
    fn two_quiet_rounds_say_that_it_is_enough() {
        assert_eq!(advice(&[]), None);
        assert_eq!(advice(&records(&[None])), None, "there is nothing to compare with");
        let could_stop = |changed: &[Option<f64>]| advice(&records(changed)).unwrap().could_stop;
        assert!(!could_stop(&[None, Some(0.001)]), "one quiet round is no rule");
        assert!(could_stop(&[None, Some(0.001), Some(0.009)]));
        assert!(!could_stop(&[None, Some(0.001), Some(0.02)]), "a fifth of the foreground");
        assert!(!could_stop(&[None, Some(0.02), Some(0.001)]));
        let mut same = records(&[None, Some(0.001), Some(0.001)]);
        same[2].labelled_pixels = same[1].labelled_pixels;
        assert_eq!(advice(&same), None, "a round without a new label says nothing");
        let told = advice(&records(&[None, Some(0.004)])).unwrap();
        assert!(
            told.text.starts_with("The last 4 patches changed 0.4 % of the pixels."),
            "{told:?}"
        );
        assert_eq!(told.changed, 0.004);
    }
}
