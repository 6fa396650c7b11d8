//! Raw sections and their labels, side by side.

use super::partly::{Part, Partly};
use super::{LabelVolume, Region, Volume, place, show_shape};
use crate::{Error, Result};

/// A raw volume with labels of the same shape: section `z` of one belongs to section `z` of the
/// other.
pub struct Pair {
    /// The image.
    pub raw: Box<dyn Volume>,
    /// Its labels.
    pub labels: LabelVolume,
    /// The box outside of which no label is known; the whole volume where labels are of all of it.
    pub known: Region,
    /// What was noticed and does not stop the work.
    pub warnings: Vec<String>,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pair({}, {:?})", show_shape(self.raw.shape()), self.labels)
    }
}

/// [`pair_at`] of labels whose place only the files can say.
///
/// Errors: as there.
pub fn pair(raw: Box<dyn Volume>, labels: LabelVolume) -> Result<Pair> {
    pair_at(raw, labels, None)
}

/// Pairs raw sections with labels, or says why that can't be done.
///
/// Two folders are paired by the numbers in their file names. The numbers must be the same, or
/// differ by one constant (raw from 0, labels from 1), which is said as a warning. Where labels are
/// there of some sections alone, all pixels of the others are [`IGNORED`](super::IGNORED), with a
/// warning. Anything else is refused and the files named: dropping or shifting sections in silence
/// would train on labels that belong to another image. Where one side is a single file, its pages
/// are taken in order.
///
/// Labels of a smaller shape are of a part of the volume, and all pixels outside of it are
/// `IGNORED`, with a warning. Where it begins (section, row, column, from 0) `at` says, else the
/// translations of two OME-Zarr images, else, of one section, the number in its file's name.
///
/// Errors: [`Error::Input`] where sections can't be paired, shapes differ and no place is known, or
/// the labels reach beyond the raw volume.
pub fn pair_at(raw: Box<dyn Volume>, labels: LabelVolume, at: Option<[usize; 3]>) -> Result<Pair> {
    let mut warnings = Vec::new();
    let mut why = String::new();
    let (ours, theirs) = (raw.shape(), labels.shape());
    let part = match (at, numbers(&raw).zip(numbers(labels.source()))) {
        (Some(at), numbered) => {
            let mut part = box_at(at, ours, theirs)?;
            // Sections may be missing among those that are labelled.
            let places = numbered.and_then(|(left, right)| places(&left, &right));
            if let Some(places) = places.filter(|places| places[at[0]] == Some(0)) {
                part.sections = places;
            }
            Some(part)
        }
        (None, Some((left, right))) => match offset(&left, &right) {
            Some(0) => None,
            Some(offset) => {
                warnings.push(format!(
                    "raw sections are numbered from {}, labels from {}: paired in order \
                     ({} with {}), {} apart",
                    left[0],
                    right[0],
                    raw.section_name(0),
                    labels.source().section_name(0),
                    offset.unsigned_abs(),
                ));
                None
            }
            None => {
                let sections = places(&left, &right)
                    .ok_or_else(|| unpaired(&*raw, &left, labels.source(), &right))?;
                if ours[1..] != theirs[1..] {
                    return Err(unlike(ours, theirs));
                }
                Some(Part { sections, corner: [0, 0] })
            }
        },
        (None, None) if ours == theirs => None,
        (None, None) => {
            let (at, said) =
                place_of(&*raw, labels.source())?.ok_or_else(|| unlike(ours, theirs))?;
            why = format!("; {said}");
            Some(box_at(at, ours, theirs)?)
        }
    };
    let whole = Region::whole(ours);
    let lacks = |part: &Part| part.known(theirs) != whole || part.sections.contains(&None);
    let Some(part) = part.filter(lacks) else {
        if ours != theirs {
            return Err(unlike(ours, theirs));
        }
        return Ok(Pair { raw, labels, known: whole, warnings });
    };
    let known = part.known(theirs);
    warnings.push(format!("{}{why}", unknown(&*raw, &part, &known)));
    let size = [ours[1], ours[2]];
    let labels = labels.among(|source| Box::new(Partly { source, part, size }));
    Ok(Pair { raw, labels, known, warnings })
}

/// That shapes differ, and which they are.
fn differ(ours: [usize; 3], theirs: [usize; 3]) -> String {
    format!(
        "raw and labels differ in shape: the raw volume is {} and the labels are {} (sections x \
         rows x columns)",
        show_shape(ours),
        show_shape(theirs)
    )
}

/// The refusal of another shape, with what to do.
fn unlike(ours: [usize; 3], theirs: [usize; 3]) -> Error {
    let fits = ours.iter().zip(theirs).all(|(&our, their)| their <= our);
    let place = match fits {
        true => {
            ", or, if they are of a part of it, say with --label-offset Z,Y,X where their first \
             voxel lies"
        }
        false => "",
    };
    Error::Input(format!(
        "{}; give labels of the same sections, uncropped and unscaled{place}",
        differ(ours, theirs)
    ))
}

/// Where labels of another shape begin by what the files say, and in words what said so.
fn place_of(raw: &dyn Volume, labels: &dyn Volume) -> Result<Option<([usize; 3], String)>> {
    let (ours, theirs) = (raw.shape(), labels.shape());
    if theirs[0] == 1
        && ours[1..] == theirs[1..]
        && let Some(z) = place::by_name(raw, labels)
    {
        let [name, section] = [labels.section_name(0), raw.section_name(z)];
        let said = format!("{name} belongs to {section} by the number in its name");
        return Ok(Some(([z, 0, 0], said)));
    }
    let at = place::by_grids(raw, labels).map_err(|why| {
        Error::Input(format!(
            "{}; by their translations {why}; say with --label-offset Z,Y,X where in the raw \
             volume the labels' first voxel lies",
            differ(ours, theirs)
        ))
    })?;
    Ok(at.map(|at| (at, "their place is that of both files' translations".into())))
}

/// Labels as a box of the raw volume.
///
/// Errors: that it reaches beyond.
fn box_at(at: [usize; 3], ours: [usize; 3], theirs: [usize; 3]) -> Result<Part> {
    let end = [0, 1, 2].map(|i| at[i].saturating_add(theirs[i]));
    if end.iter().zip(ours).all(|(&end, side)| end <= side) {
        return Ok(Part::new(at, theirs[0], ours[0]));
    }
    let place = |[z, y, x]: [usize; 3]| format!("section {z}, row {y}, column {x}");
    Err(Error::Input(format!(
        "labels of {} that begin at {} would end before {}, beyond the raw volume of {} (sections \
         x rows x columns); give the place of their first voxel, counted from 0, with \
         --label-offset Z,Y,X",
        show_shape(theirs),
        place(at),
        place(end),
        show_shape(ours)
    )))
}

/// The numbers of all sections, if they come from numbered files.
fn numbers(volume: &dyn Volume) -> Option<Vec<u64>> {
    (0..volume.shape()[0]).map(|z| volume.section_number(z)).collect()
}

/// What to add to a raw number to get its label's, if that is the same for all.
fn offset(raw: &[u64], labels: &[u64]) -> Option<i128> {
    if raw.len() != labels.len() {
        return None;
    }
    let mut differences = raw.iter().zip(labels).map(|(&r, &l)| i128::from(l) - i128::from(r));
    let first = differences.next()?;
    differences.all(|d| d == first).then_some(first)
}

/// Where among the labels each raw section's lie, if all labels have a raw section of their number.
fn places(raw: &[u64], labels: &[u64]) -> Option<Vec<Option<usize>>> {
    let is_there = |number: &u64| raw.contains(number);
    let place = |number: &u64| labels.iter().position(|label| label == number);
    labels.iter().all(is_there).then(|| raw.iter().map(place).collect())
}

/// The warning that of some pixels nothing is known.
fn unknown(raw: &dyn Volume, part: &Part, known: &Region) -> String {
    let [depth, height, width] = raw.shape();
    let is_box = (known.height(), known.width()) != (height, width);
    let among = if is_box { known.z.clone() } else { 0..depth };
    let missing: Vec<usize> = among.clone().filter(|&z| part.sections[z].is_none()).collect();
    let names: Vec<String> = missing.iter().take(3).map(|&z| raw.section_name(z)).collect();
    let rest =
        if missing.len() > 3 { format!(" and {} more", missing.len() - 3) } else { "".into() };
    let lacking = format!(
        "{} of {} sections have no labels ({}{rest})",
        missing.len(),
        among.len(),
        names.join(", ")
    );
    let what = match is_box {
        true => format!(
            "the labels are of a box of {} that begins at section {}, row {}, column {}{}: nothing \
             is known of the pixels outside",
            show_shape([known.z.len(), known.height(), known.width()]),
            known.z.start,
            known.y.start,
            known.x.start,
            if missing.is_empty() { String::new() } else { format!(", where {lacking}") }
        ),
        false => format!("{lacking}: nothing is known of their pixels"),
    };
    format!("{what}, which count neither for training nor for evaluation")
}

/// The refusal, with the first files that have no partner.
fn unpaired(raw: &dyn Volume, left: &[u64], labels: &dyn Volume, right: &[u64]) -> Error {
    let lonely = |volume: &dyn Volume, own: &[u64], other: &[u64]| -> (usize, String) {
        let alone: Vec<usize> = (0..own.len()).filter(|&z| !other.contains(&own[z])).collect();
        let names: Vec<String> = alone.iter().take(3).map(|&z| volume.section_name(z)).collect();
        let rest =
            if alone.len() > 3 { format!(" and {} more", alone.len() - 3) } else { "".into() };
        (alone.len(), format!("{}{rest}", names.join(", ")))
    };
    let mut parts = Vec::new();
    let (count, names) = lonely(raw, left, right);
    if count > 0 {
        parts.push(format!("no labels for {names}"));
    }
    let (count, names) = lonely(labels, right, left);
    if count > 0 {
        parts.push(format!("no raw section for {names}"));
    }
    Error::Input(format!(
        "{} raw sections and {} label files can't be paired by the numbers in their names: {}; \
         rename or remove files so that the numbers agree",
        left.len(),
        right.len(),
        parts.join("; "),
    ))
}
