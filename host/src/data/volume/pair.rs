//! Raw sections and their labels, side by side.

use super::{Dtype, IGNORED, LabelValue, LabelVolume, Section, Volume, show_shape};
use crate::{Error, Result};

/// A raw volume with labels of the same shape: section `z` of one belongs to section `z` of the
/// other.
pub struct Pair {
    /// The image.
    pub raw: Box<dyn Volume>,
    /// Its labels.
    pub labels: LabelVolume,
    /// What was noticed and does not stop the work.
    pub warnings: Vec<String>,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pair({}, {:?})", show_shape(self.raw.shape()), self.labels)
    }
}

/// Pairs raw sections with labels, or says why that can't be done.
///
/// Two folders are paired by the numbers in their file names. The numbers must be the same, or
/// differ by one constant (raw from 0, labels from 1), which is said as a warning. Where labels are
/// there of some sections alone, all pixels of the others are [`IGNORED`], with a warning. Anything else
/// is refused and the files named: dropping or shifting sections in silence would train on
/// labels that belong to another image. Where one side is a single file, its pages are
/// taken in order. Shapes must agree in all three sides.
///
/// Errors: [`Error::Input`] where sections can't be paired or shapes differ.
pub fn pair(raw: Box<dyn Volume>, mut labels: LabelVolume) -> Result<Pair> {
    let mut warnings = Vec::new();
    if let (Some(left), Some(right)) = (numbers(&raw), numbers(labels.source())) {
        match offset(&left, &right) {
            Some(0) => {}
            Some(offset) => warnings.push(format!(
                "raw sections are numbered from {}, labels from {}: paired in order \
                 ({} with {}), {} apart",
                left[0],
                right[0],
                raw.section_name(0),
                labels.source().section_name(0),
                offset.unsigned_abs(),
            )),
            None => match places(&left, &right) {
                Some(places) => {
                    warnings.push(unlabelled(&*raw, &places));
                    labels = labels.among(|source| Box::new(SomeSections { source, places }));
                }
                None => return Err(unpaired(&*raw, &left, labels.source(), &right)),
            },
        }
    }
    let (ours, theirs) = (raw.shape(), labels.shape());
    if ours != theirs {
        return Err(Error::Input(format!(
            "raw and labels differ in shape: the raw volume is {} and the labels are {} (sections x \
             rows x columns); give labels of the same sections, uncropped and unscaled",
            show_shape(ours),
            show_shape(theirs),
        )));
    }
    Ok(Pair { raw, labels, warnings })
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

/// The warning that some sections have no labels.
fn unlabelled(raw: &dyn Volume, places: &[Option<usize>]) -> String {
    let missing: Vec<usize> = (0..places.len()).filter(|&z| places[z].is_none()).collect();
    let names: Vec<String> = missing.iter().take(3).map(|&z| raw.section_name(z)).collect();
    let rest =
        if missing.len() > 3 { format!(" and {} more", missing.len() - 3) } else { "".into() };
    format!(
        "{} of {} sections have no labels ({}{rest}): nothing is known of their pixels, which count \
         neither for training nor for evaluation",
        missing.len(),
        places.len(),
        names.join(", ")
    )
}

/// Labels of some sections of a volume; of the others nothing is known.
struct SomeSections {
    source: Box<dyn Volume>,
    /// Where in the source a section lies.
    places: Vec<Option<usize>>,
}

impl Volume for SomeSections {
    fn shape(&self) -> [usize; 3] {
        let [_, height, width] = self.source.shape();
        [self.places.len(), height, width]
    }

    fn dtype(&self) -> Dtype {
        self.source.dtype()
    }

    fn read_section(&self, z: usize) -> Result<Section> {
        let [_, height, width] = self.shape();
        match self.places[z] {
            Some(place) => self.source.read_section(place),
            None => Ok(Section { height, width, pixels: vec![0.0; height * width] }),
        }
    }

    fn read_labels(&self, z: usize, label: &mut dyn FnMut(LabelValue) -> u8) -> Result<Vec<u8>> {
        let [_, height, width] = self.shape();
        match self.places[z] {
            Some(place) => self.source.read_labels(place, label),
            None => Ok(vec![IGNORED; height * width]),
        }
    }

    fn memory_bytes(&self) -> usize {
        self.source.memory_bytes()
    }

    fn section_name(&self, z: usize) -> String {
        match self.places[z] {
            Some(place) => self.source.section_name(place),
            None => format!("section {z}, which has no labels"),
        }
    }

    fn section_number(&self, z: usize) -> Option<u64> {
        self.places[z].and_then(|place| self.source.section_number(place))
    }

    fn notes(&self) -> Vec<String> {
        self.source.notes()
    }

    fn voxel_nm(&self) -> Option<[f64; 3]> {
        self.source.voxel_nm()
    }
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
