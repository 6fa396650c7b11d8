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

/// Whether to go on, by the rounds so far; nothing before there are two networks.
///
/// Source: stabilising predictions, Bloodgood and Vijay-Shanker 2009 (arXiv 1409.5165), here as
/// the share of pixels on which successive networks differ.
pub fn advice(records: &[Record]) -> Option<Advice> {
    let last = records.last()?;
    let changed = last.changed_pixels?;
    let new = records
        .len()
        .checked_sub(2)
        .map_or(0, |i| last.labelled.saturating_sub(records[i].labelled));
    let is_little = |record: &&Record| {
        record.changed_pixels.is_some_and(|share| share < LITTLE * record.labelled_foreground)
    };
    let quiet = records.iter().rev().take_while(is_little).count();
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
