//! Which number in a file's name is the number of its section.
//!
//! The stem of a name is a row of texts and numbers: `slice_003_z17` is `slice_`, 3, `_z`, 17.
//!
//! 1. If all names are the same but for their numbers, the section's number is the one that
//!    differs from file to file. `EM2_0001`, `EM2_0002`: the second; the `2` never changes.
//! 2. If several numbers differ, only those without repetition count (`2024_0001` and
//!    `2025_0002` are sections 1 and 2 if there are two files of 2024). If those that are left put
//!    the files in the same order, the last one is taken: `slice_003_z17` is section 17.
//!    If they disagree, the folder is refused.
//! 3. If the names differ in their texts too, the last number of each counts.
//! 4. Two files with the same number, or several files where one has no number, are refused.
//!
//! A single file is its own section, with or without a number. Numbers are compared as numbers:
//! 9 comes before 10.

/// A part of a stem.
#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    Text(&'a str),
    Number(u64),
}

/// The numbers of the sections, and how sure that is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Numbering {
    /// One per stem, all different.
    pub(super) numbers: Vec<u64>,
    /// What the user should know.
    pub(super) note: Option<String>,
}

/// Finds the section numbers of file stems, or says why there is no telling. The message names
/// stems by `show(index)`.
pub(super) fn section_numbers(
    stems: &[String],
    show: impl Fn(usize) -> String,
) -> Result<Numbering, String> {
    let tokens: Vec<Vec<Token<'_>>> = stems.iter().map(|stem| split(stem)).collect();
    let columns: Vec<Vec<u64>> = tokens.iter().map(|row| numbers_of(row)).collect();
    if let [only] = columns.as_slice() {
        let number = only.last().copied().unwrap_or(0);
        return Ok(Numbering { numbers: vec![number], note: None });
    }
    if let Some(bare) = columns.iter().position(Vec::is_empty) {
        return Err(format!(
            "{} has no number in its name, so its place among the sections is unknown; \
             number the files or move it elsewhere",
            show(bare)
        ));
    }
    if !tokens.iter().all(|row| same_texts(row, &tokens[0])) {
        let numbers: Vec<u64> = columns.iter().filter_map(|row| row.last().copied()).collect();
        refuse_duplicates(&numbers, &show)?;
        let odd = tokens.iter().position(|row| !same_texts(row, &tokens[0])).unwrap_or(0);
        let note = format!(
            "file names are not alike ({} and {}): sections are ordered by the last number in each",
            show(0),
            show(odd)
        );
        return Ok(Numbering { numbers, note: Some(note) });
    }

    let column = |c: usize| -> Vec<u64> { columns.iter().map(|row| row[c]).collect() };
    let varying: Vec<usize> =
        (0..columns[0].len()).filter(|&c| column(c).iter().any(|&n| n != columns[0][c])).collect();
    let distinct: Vec<usize> =
        varying.iter().copied().filter(|&c| duplicate(&column(c)).is_none()).collect();
    let Some(&chosen) = distinct.last() else {
        // Nothing that varies tells all files apart: name two that collide.
        let last = varying.last().copied().unwrap_or(columns[0].len() - 1);
        refuse_duplicates(&column(last), &show)?;
        return Err("the section numbers in the file names can't be told apart".to_owned());
    };
    let numbers = column(chosen);
    let order = order_of(&numbers);
    if let Some(&other) = distinct.iter().find(|&&c| order_of(&column(c)) != order) {
        return Err(format!(
            "the names hold two numbers that order the sections differently ({}: {} or {}); \
             keep only one of them in the names",
            show(0),
            columns[0][other],
            columns[0][chosen],
        ));
    }
    Ok(Numbering { numbers, note: None })
}

/// A note on numbers that are missing in a sorted row of section numbers.
///
/// A constant step (0, 10, 20) is no gap.
pub(super) fn gaps(sorted: &[u64]) -> Option<String> {
    let steps: Vec<u64> = sorted.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let step = *steps.iter().min()?;
    let holes: Vec<String> = sorted
        .windows(2)
        .filter(|pair| pair[1] - pair[0] != step)
        .map(|pair| format!("{} and {}", pair[0], pair[1]))
        .collect();
    if holes.is_empty() {
        return None;
    }
    let more = if holes.len() > 3 { format!(" and {} more", holes.len() - 3) } else { "".into() };
    Some(format!(
        "section numbers jump between {}{more}: the sections on both sides are taken as neighbours",
        holes[..holes.len().min(3)].join(", "),
    ))
}

/// Texts and numbers in turn. A run of digits too long for a `u64` counts as text.
fn split(stem: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = stem;
    while let Some(first) = rest.chars().next() {
        let digits = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(rest.len());
        let (part, tail) = rest.split_at(end);
        tokens.push(match part.parse() {
            Ok(number) if digits => Token::Number(number),
            _ => Token::Text(part),
        });
        rest = tail;
    }
    tokens
}

/// The numbers of a split stem.
fn numbers_of(tokens: &[Token<'_>]) -> Vec<u64> {
    let number = |token: &Token<'_>| match token {
        Token::Number(number) => Some(*number),
        Token::Text(_) => None,
    };
    tokens.iter().filter_map(number).collect()
}

/// Whether two split stems differ in their numbers at most.
fn same_texts(a: &[Token<'_>], b: &[Token<'_>]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|pair| match pair {
            (Token::Text(a), Token::Text(b)) => a == b,
            (Token::Number(_), Token::Number(_)) => true,
            _ => false,
        })
}

/// Two positions that hold the same number.
fn duplicate(numbers: &[u64]) -> Option<(usize, usize)> {
    let order = order_of(numbers);
    order.windows(2).map(|w| (w[0], w[1])).find(|&(a, b)| numbers[a] == numbers[b])
}

/// The message for two files with the same number.
fn refuse_duplicates(numbers: &[u64], show: &impl Fn(usize) -> String) -> Result<(), String> {
    match duplicate(numbers) {
        Some((a, b)) => Err(format!(
            "{} and {} are both section {}; keep one of them, or rename them",
            show(a),
            show(b),
            numbers[a]
        )),
        None => Ok(()),
    }
}

/// Positions in the order of their numbers, the earlier first among equals.
fn order_of(numbers: &[u64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by_key(|&i| numbers[i]);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(stems: &[&str]) -> Result<Numbering, String> {
        let stems: Vec<String> = stems.iter().map(|s| (*s).to_owned()).collect();
        section_numbers(&stems, |i| stems[i].clone())
    }

    fn numbers(stems: &[&str]) -> Vec<u64> {
        find(stems).unwrap().numbers
    }

    #[test]
    fn the_number_that_varies_is_the_sections() {
        assert_eq!(numbers(&["9", "10", "11"]), [9, 10, 11]);
        assert_eq!(numbers(&["mask0000", "mask0012"]), [0, 12]);
        assert_eq!(numbers(&["EM2_001_8bit", "EM2_002_8bit"]), [1, 2]);
        assert_eq!(numbers(&["slice_003_z17", "slice_004_z18"]), [17, 18]);
        assert_eq!(numbers(&["2024_1", "2024_2", "2025_3"]), [1, 2, 3]);
        assert_eq!(numbers(&["1_of_3", "2_of_3"]), [1, 2]);
        assert_eq!(numbers(&["whole"]), [0]);
        assert_eq!(numbers(&["stack7"]), [7]);
        // More digits than a u64 holds: a time stamp is not a section.
        assert_eq!(numbers(&["99999999999999999999_1", "99999999999999999999_2"]), [1, 2]);
        assert_eq!(numbers(&["µ_1é", "µ_2é"]), [1, 2]);
    }

    #[test]
    fn unlike_names_go_by_their_last_number() {
        let found = find(&["a_1", "b2_2", "c_3"]).unwrap();
        assert_eq!(found.numbers, [1, 2, 3]);
        assert!(found.note.unwrap().contains("not alike"));
    }

    #[test]
    fn what_is_ambiguous_is_refused() {
        assert!(find(&["a1", "a01"]).unwrap_err().contains("both section 1"));
        assert!(find(&["x0_y0", "x0_y1", "x1_y0", "x1_y1"]).unwrap_err().contains("both section"));
        assert!(find(&["1_2", "2_1"]).unwrap_err().contains("differently"));
        assert!(find(&["1", "2", "overview"]).unwrap_err().contains("overview has no number"));
    }

    #[test]
    fn gaps_are_noticed_but_steps_are_not() {
        assert_eq!(gaps(&[4]), None);
        assert_eq!(gaps(&[0, 1, 2]), None);
        assert_eq!(gaps(&[0, 10, 20]), None);
        assert!(gaps(&[0, 1, 4]).unwrap().contains("between 1 and 4"));
    }
}
