//! Labels: which pixels are foreground, background, or to be left out.

use super::{Dtype, LabelValue, Volume, show_shape};
use crate::{Error, Result};

/// The label of a background pixel.
pub const BACKGROUND: u8 = 0;
/// The label of a foreground pixel.
pub const FOREGROUND: u8 = 1;
/// The label of a pixel that neither loss nor evaluation counts.
pub const IGNORED: u8 = 255;

/// How the values of a label file become labels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LabelOptions {
    /// The one value that is foreground; without it every value but 0 is.
    pub value: Option<LabelValue>,
    /// A value whose pixels are left out. It wins over `value`.
    pub ignore: Option<LabelValue>,
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

    /// The label of one value: [`BACKGROUND`], [`FOREGROUND`] or [`IGNORED`].
    pub fn label(&self, value: LabelValue) -> u8 {
        if self.options.ignore == Some(value) {
            return IGNORED;
        }
        let foreground = match self.options.value {
            Some(chosen) => value == chosen,
            None => value != LabelValue::ZERO,
        };
        if foreground { FOREGROUND } else { BACKGROUND }
    }

    /// The labels of section `z`, row by row.
    pub fn read_labels(&self, z: usize) -> Result<Vec<u8>> {
        self.source.read_labels(z, &mut |value| self.label(value))
    }

    /// An error if every pixel that is not ignored is foreground, which is hardly ever meant. Stops at the first section that has another.
    pub fn require_background(&self) -> Result<()> {
        const SHOWN: usize = 5;
        let mut values: Vec<LabelValue> = Vec::new();
        for z in 0..self.shape()[0] {
            let labels = self.source.read_labels(z, &mut |value| {
                if values.len() <= SHOWN && !values.contains(&value) {
                    values.push(value);
                }
                self.label(value)
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

    /// An error unless at least one pixel is foreground. Stops at the first section that has one.
    pub fn require_foreground(&self) -> Result<()> {
        let depth = self.shape()[0];
        for z in 0..depth {
            if self.read_labels(z)?.contains(&FOREGROUND) {
                return Ok(());
            }
        }
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
            labels(&values, LabelOptions { value, ignore }).read_labels(0).unwrap()
        };
        assert_eq!(read(None, None), [0, 1, 1, 1, 1]);
        assert_eq!(read(Some(7), None), [0, 0, 1, 0, 0]);
        assert_eq!(read(None, Some(255)), [0, 1, 1, 1, 255]);
        assert_eq!(read(Some(255), Some(255)), [0, 0, 0, 0, 255]);
    }

    #[test]
    fn no_foreground_is_said_with_its_reason() {
        labels(&[0, 3], LabelOptions::default()).require_foreground().unwrap();
        let message = |values: &[u8], options| {
            labels(values, options).require_foreground().unwrap_err().to_string()
        };
        assert!(message(&[0, 0], LabelOptions::default()).contains("every pixel is 0"));
        let options = LabelOptions { value: Some(9_u8.into()), ignore: None };
        assert!(message(&[0, 3], options).contains("no pixel has the value 9"));
        let options = LabelOptions { value: None, ignore: Some(255_u8.into()) };
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
        labels(&[1, 2], LabelOptions { value, ignore: None }).require_background().unwrap();
        let options = LabelOptions { value: None, ignore: Some(255_u8.into()) };
        assert!(message(&[255, 1], options).contains("--all-foreground"));
    }
}
