//! When to stop: whether the last rounds with a person still changed what the network sees.

use crate::learning::protocol::Record;

/// What to tell a person who asks whether to go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// What the last round came to, with the numbers, and whether more labels will pay.
    pub text: String,
    /// Whether the last rounds changed so little that more labels will hardly pay.
    pub could_stop: bool,
    /// Share of the pixels that the last round changed.
    pub changed: f64,
}

/// Rounds that must have changed little, one after the other.
const ROUNDS: usize = 3;
/// What counts as little: so large a part of the foreground's share.
const LITTLE: f64 = 0.05;
/// The least Jaccard index on labels not seen: a network that finds nothing changes nothing either.
const RIGHT: f64 = 0.5;

/// Whether to go on, by the rounds so far that learnt from new labels; nothing before there are two
/// networks, and after a round without a new label.
///
/// Source: stabilising predictions, Bloodgood and Vijay-Shanker 2009 (arXiv 1409.5165), here as
/// the share of pixels on which successive networks differ, while labels given since say that the
/// network is more right than wrong. The numbers are chosen by `benches/RESULTS.md`, "When to stop".
/// The mean entropy is told and decides nothing.
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
    let before = with_labels.len().checked_sub(2).map(|i| with_labels[i]);
    let new = before.map_or(0, |before| last.labelled.saturating_sub(before.labelled));
    let is_little = |record: &&Record| {
        record.changed_pixels.is_some_and(|share| share < LITTLE * record.labelled_foreground)
            && record.unseen_jaccard.is_some_and(|jaccard| jaccard >= RIGHT)
    };
    let quiet = with_labels.iter().copied().rev().take_while(is_little).count();
    let could_stop = quiet >= ROUNDS;
    let patches = if new == 1 { "1 patch".into() } else { format!("{new} patches") };
    let mut text = format!("The last {patches} changed {:.1} % of the pixels", 100.0 * changed);
    if let Some(before) = before.and_then(|before| before.changed_pixels) {
        text += &format!(", those before {:.1} %", 100.0 * before);
    }
    text += if could_stop {
        ": more labels will hardly change the result."
    } else {
        ": it is too early to stop."
    };
    let trend = |value: fn(&Record) -> Option<f64>| Some((value(last)?, before.and_then(value)));
    if let Some((now, before)) = trend(|record| record.unseen_jaccard) {
        text += &format!(" On labels that it had not seen the network came to {now:.2}");
        text += &before.map_or(".".into(), |before| format!(", {before:.2} the round before."));
    }
    if let Some((now, before)) = trend(|record| record.mean_entropy) {
        text += &format!(" Its mean entropy is {now:.3} nats");
        text += &before.map_or(".".into(), |before| format!(", {before:.3} before."));
    }
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
            class_jaccard: None,
            volume_jaccard: None,
            unseen_jaccard: iteration.checked_sub(1).map(|i| 0.5 + 0.1 * i as f64),
            changed_pixels,
            mean_entropy: Some(0.1 / (1 + iteration) as f64),
            picked: Vec::new(),
            seconds: Seconds::default(),
        };
        changed.iter().enumerate().map(record).collect()
    }

    #[test]
    fn three_quiet_rounds_say_that_it_is_enough() {
        assert_eq!(advice(&[]), None);
        assert_eq!(advice(&records(&[None])), None, "there is nothing to compare with");
        let could_stop = |changed: &[Option<f64>]| advice(&records(changed)).unwrap().could_stop;
        let quiet = Some(0.001);
        assert!(!could_stop(&[None, quiet, quiet]), "two quiet rounds are no rule");
        assert!(could_stop(&[None, quiet, Some(0.004), quiet]));
        assert!(!could_stop(&[None, quiet, quiet, Some(0.006)]), "a sixteenth of the foreground");
        assert!(!could_stop(&[None, Some(0.006), quiet, quiet]));
        let mut same = records(&[None, quiet, quiet, quiet]);
        same[3].labelled_pixels = same[2].labelled_pixels;
        assert_eq!(advice(&same), None, "a round without a new label says nothing");
        let mut blind = records(&[None, quiet, quiet, quiet]);
        blind[2].unseen_jaccard = Some(0.4);
        assert!(!advice(&blind).unwrap().could_stop, "it finds little of what is there");
        let told = advice(&records(&[None, Some(0.004)])).unwrap();
        assert_eq!(told.changed, 0.004);
        let sentence = "The last 4 patches changed 0.4 % of the pixels: it is too early to stop. On \
                        labels that it had not seen the network came to 0.50. Its mean entropy is \
                        0.050 nats, 0.100 before.";
        assert_eq!(told.text, sentence);
        let told = advice(&records(&[None, Some(0.003), Some(0.004), Some(0.003)])).unwrap();
        let sentence = "The last 4 patches changed 0.3 % of the pixels, those before 0.4 %: more \
                        labels will hardly change the result. On labels that it had not seen the \
                        network came to 0.70, 0.60 the round before. Its mean entropy is 0.025 \
                        nats, 0.033 before.";
        assert_eq!(told.text, sentence);
    }
}
