//! Labels: which pixels are of which class, or to be left out.

use super::{Dtype, LabelValue, Volume, bands, show_shape};
use crate::{Error, Result};
use std::ops::Range;

/// The label of a background pixel.
pub const BACKGROUND: u8 = 0;
/// The label of a foreground pixel where there are two classes.
pub const FOREGROUND: u8 = 1;
/// The label of a pixel that neither loss nor evaluation counts.
pub const IGNORED: u8 = 255;

/// Whether a label is that of a class other than background.
pub fn is_foreground(label: u8) -> bool {
    label != BACKGROUND && label != IGNORED
}

/// How the values of a label file become labels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LabelOptions {
    /// The one value that is foreground; without it every value but 0 is.
    pub value: Option<LabelValue>,
    /// A value whose pixels are left out. It wins over `value`.
    pub ignore: Option<LabelValue>,
    /// With so many classes, at least 2, the values are the classes, from 0 for background; `value` then
    /// means nothing.
    pub classes: Option<u8>,
}

impl LabelOptions {
    /// For a network that tells so many classes apart: with more than two the values are the classes.
    ///
    /// # Errors
    /// [`Error::Usage`] for a value that is to be the only foreground, and for more classes than
    /// there are labels.
    pub fn with_classes(self, classes: usize) -> Result<Self> {
        if classes <= 2 {
            return Ok(self);
        }
        if let Some(value) = self.value {
            return Err(Error::Usage(format!(
                "--label-value {value}: names one foreground, and with --classes {classes} the \
                 values of the labels are the classes; give one of them"
            )));
        }
        let classes = u8::try_from(classes).ok().filter(|&classes| classes < IGNORED);
        let few = || Error::Usage(format!("--classes: give less than {IGNORED}"));
        Ok(Self { classes: Some(classes.ok_or_else(few)?), ..self })
    }

    /// The label of one value: its class, or [`IGNORED`]; nothing for a value that is no class.
    pub fn label(&self, value: LabelValue) -> Option<u8> {
        if self.ignore == Some(value) {
            return Some(IGNORED);
        }
        if let Some(classes) = self.classes {
            return (0..classes).find(|&class| value == class.into());
        }
        let is_foreground = match self.value {
            Some(chosen) => value == chosen,
            None => value != LabelValue::ZERO,
        };
        Some(if is_foreground { FOREGROUND } else { BACKGROUND })
    }
}

/// A volume read as labels.
///
/// Unless [`LabelOptions`] say otherwise, **every value but 0 is foreground**: masks painted
/// by hand have grey edge pixels, and files of 1 and 8 bits stand side by side in one folder.
pub struct LabelVolume {
    source: Box<dyn Volume>,
    options: LabelOptions,
    /// Whether there are sections, or parts of them, of which nothing is known.
    lacks_sections: bool,
}

impl std::fmt::Debug for LabelVolume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LabelVolume({}, {:?})", show_shape(self.shape()), self.options)
    }
}

impl LabelVolume {
    /// Reads `source` as labels.
    pub fn new(source: Box<dyn Volume>, options: LabelOptions) -> Self {
        Self { source, options, lacks_sections: false }
    }

    /// Sections, rows, columns.
    pub fn shape(&self) -> [usize; 3] {
        self.source.shape()
    }

    /// How the label file stores a pixel.
    pub fn dtype(&self) -> Dtype {
        self.source.dtype()
    }

    /// The volume that the labels are read from, with its own values.
    pub fn source(&self) -> &dyn Volume {
        &self.source
    }

    /// The same labels as those of a part of a larger volume.
    pub(super) fn among(self, wrap: impl FnOnce(Box<dyn Volume>) -> Box<dyn Volume>) -> Self {
        Self { source: wrap(self.source), options: self.options, lacks_sections: true }
    }

    /// Whether there may be pixels whose label is not known.
    pub fn may_be_unknown(&self) -> bool {
        self.options.ignore.is_some() || self.lacks_sections
    }

    /// How values become labels.
    pub fn options(&self) -> LabelOptions {
        self.options
    }

    /// The labels of section `z`, row by row.
    ///
    /// # Errors
    /// If it can't be read, or holds a value that is no class.
    pub fn read_labels(&self, z: usize) -> Result<Vec<u8>> {
        self.read_rows(z, 0..self.shape()[1])
    }

    /// The labels of some rows of section `z`, row by row.
    ///
    /// # Errors
    /// As [`read_labels`](Self::read_labels), and for rows beyond the shape.
    pub fn read_rows(&self, z: usize, rows: Range<usize>) -> Result<Vec<u8>> {
        self.read_rows_seen(z, rows, &mut |_| ())
    }

    /// The same; each value is shown to `see` first.
    fn read_rows_seen(
        &self,
        z: usize,
        rows: Range<usize>,
        see: &mut dyn FnMut(LabelValue),
    ) -> Result<Vec<u8>> {
        let mut wrong = None;
        let labels = self.source.read_label_rows(z, rows, &mut |value| {
            see(value);
            self.options.label(value).unwrap_or_else(|| {
                wrong.get_or_insert(value);
                IGNORED
            })
        })?;
        wrong.map_or(Ok(labels), |value| Err(self.no_class(z, value)))
    }

    /// The error for a value that is no class.
    pub(super) fn no_class(&self, z: usize, value: LabelValue) -> Error {
        let classes = self.options.classes.unwrap_or(2);
        Error::Input(format!(
            "{}: the labels hold {value}, and with --classes {classes} they are 0 to {}; leave one \
             value out with --ignore-value, or number the classes from 0",
            self.source.section_name(z),
            classes.saturating_sub(1)
        ))
    }

    /// An error if every pixel that is not ignored is foreground, which is hardly ever meant. Stops at the first rows that have another.
    pub fn require_background(&self) -> Result<()> {
        const SHOWN: usize = 5;
        let mut values: Vec<LabelValue> = Vec::new();
        for (z, rows) in self.bands() {
            let labels = self.read_rows_seen(z, rows, &mut |value| {
                if values.len() <= SHOWN && !values.contains(&value) {
                    values.push(value);
                }
            })?;
            if labels.contains(&BACKGROUND) {
                return Ok(());
            }
        }
        let more = if values.len() > SHOWN { " and others" } else { "" };
        values.truncate(SHOWN);
        let shown: Vec<String> = values.iter().map(LabelValue::to_string).collect();
        Err(Error::Input(format!(
            "every pixel of the labels is foreground: none is 0, they hold {}{more} (from {}); name the foreground with --label-value, or, \
             if all of it is meant, give --all-foreground",
            shown.join(", "),
            self.source.section_name(0),
        )))
    }

    /// All sections in bands of rows.
    fn bands(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        (0..self.shape()[0]).flat_map(move |z| bands(&self.source).map(move |rows| (z, rows)))
    }

    /// Whether at least one pixel is foreground. Stops at the first rows that have one.
    ///
    /// # Errors
    /// As [`read_labels`](Self::read_labels).
    pub fn has_foreground(&self) -> Result<bool> {
        for (z, rows) in self.bands() {
            if self.read_rows(z, rows)?.into_iter().any(is_foreground) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// An error unless at least one pixel is foreground. Stops at the first rows that have one.
    pub fn require_foreground(&self) -> Result<()> {
        if self.has_foreground()? {
            return Ok(());
        }
        let depth = self.shape()[0];
        let rule = match (self.options.value, self.options.ignore) {
            (Some(value), _) => format!("no pixel has the value {value} (--label-value)"),
            (None, Some(ignore)) => {
                format!("every pixel is 0 or the ignored value {ignore} (--ignore-value)")
            }
            (None, None) => "every pixel is 0".to_owned(),
        };
        Err(Error::Input(format!(
            "the labels have no foreground: {rule} in {depth} section(s) from {}; \
             check that --labels names the masks of the structure to segment",
            self.source.section_name(0),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::volume::ArrayVolume;

    fn labels(values: &[u8], options: LabelOptions) -> LabelVolume {
        let source = ArrayVolume::from_u8([1, 1, values.len()], values).unwrap();
        LabelVolume::new(Box::new(source), options)
    }

    #[test]
    fn values_become_labels_by_the_rule() {
        let values = [0, 1, 7, 128, 255];
        let read = |value: Option<u8>, ignore: Option<u8>| {
            let [value, ignore] = [value, ignore].map(|v| v.map(LabelValue::from));
            labels(&values, LabelOptions { value, ignore, classes: None }).read_labels(0).unwrap()
        };
        assert_eq!(read(None, None), [0, 1, 1, 1, 1]);
        assert_eq!(read(Some(7), None), [0, 0, 1, 0, 0]);
        assert_eq!(read(None, Some(255)), [0, 1, 1, 1, 255]);
        assert_eq!(read(Some(255), Some(255)), [0, 0, 0, 0, 255]);
    }

    #[test]
    fn classes_are_their_values_and_others_are_refused() {
        let options = LabelOptions { classes: Some(3), ..LabelOptions::default() };
        assert_eq!(labels(&[0, 1, 2, 1], options).read_labels(0).unwrap(), [0, 1, 2, 1]);
        let ignoring = LabelOptions { ignore: Some(255_u8.into()), ..options };
        assert_eq!(labels(&[2, 255], ignoring).read_labels(0).unwrap(), [2, 255]);
        for values in [[0, 255], [3, 1]] {
            let said = labels(&values, options).read_labels(0).unwrap_err().to_string();
            let wrong = values[usize::from(values[0] == 0)];
            assert!(said.contains(&format!("hold {wrong}, and with --classes 3")), "{said}");
        }
        labels(&[2, 0], options).require_foreground().unwrap();
    }

    #[test]
    fn no_foreground_is_said_with_its_reason() {
        labels(&[0, 3], LabelOptions::default()).require_foreground().unwrap();
        let message = |values: &[u8], options| {
            labels(values, options).require_foreground().unwrap_err().to_string()
        };
        assert!(message(&[0, 0], LabelOptions::default()).contains("every pixel is 0"));
        let options = LabelOptions { value: Some(9_u8.into()), ..LabelOptions::default() };
        assert!(message(&[0, 3], options).contains("no pixel has the value 9"));
        let options = LabelOptions { ignore: Some(255_u8.into()), ..LabelOptions::default() };
        assert!(message(&[0, 255], options).contains("the ignored value 255"));
    }

    #[test]
    fn labels_without_background_are_said() {
        labels(&[3, 0], LabelOptions::default()).require_background().unwrap();
        let message = |values: &[u8], options| {
            labels(values, options).require_background().unwrap_err().to_string()
        };
        let said = message(&[1, 2, 1], LabelOptions::default());
        assert!(said.contains("they hold 1, 2 ") && said.contains("--label-value"), "{said}");
        let said = message(&[9, 1, 2, 3, 4, 5, 6], LabelOptions::default());
        assert!(said.contains("9, 1, 2, 3, 4 and others"), "{said}");
        let value = Some(2_u8.into());
        labels(&[1, 2], LabelOptions { value, ..LabelOptions::default() })
            .require_background()
            .unwrap();
        let options = LabelOptions { ignore: Some(255_u8.into()), ..LabelOptions::default() };
        assert!(message(&[255, 1], options).contains("--all-foreground"));
    }
}
