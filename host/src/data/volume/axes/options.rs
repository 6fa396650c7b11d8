//! What a caller says of a file's axes.

use std::fmt;
use std::str::FromStr;

use super::Axis;

/// How the axes of a file are to be read; by default as the file names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AxesOptions {
    /// What the axes are, whatever the file says.
    pub axes: Option<AxisLetters>,
    /// Which of several channels, from 0.
    pub channel: Option<usize>,
    /// Which of several time points, from 0.
    pub time: Option<usize>,
}

/// A letter for each axis of a file, slowest first: Z, Y, X, and C (or S) and T.
///
/// ```
/// use askem::data::volume::AxisLetters;
///
/// assert_eq!("zyxc".parse::<AxisLetters>()?.to_string(), "ZYXC");
/// assert!("ZYY".parse::<AxisLetters>().is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AxisLetters(Vec<Axis>);

impl AxisLetters {
    /// How many axes they name.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What the axes of this shape are, if the letters fit: one for each axis, or one for each that
    /// is longer than 1. With `labels` the letters C and T may be those of the images alone.
    pub(in super::super) fn fit(&self, shape: &[u64], labels: bool) -> Option<Vec<Axis>> {
        let spatial = |axis: &&Axis| !matches!(axis, Axis::Channel | Axis::Time);
        let of_labels: Vec<Axis> = self.0.iter().filter(spatial).cloned().collect();
        let choices = [Some(&self.0), labels.then_some(&of_labels)];
        let all = choices.into_iter().flatten();
        all.clone().find_map(|letters| fit(letters, shape))
    }
}

fn fit(letters: &[Axis], shape: &[u64]) -> Option<Vec<Axis>> {
    if letters.len() == shape.len() {
        return Some(letters.to_vec());
    }
    let longer = shape.iter().filter(|&&side| side > 1).count();
    if letters.len() != longer {
        return None;
    }
    let mut letters = letters.iter().cloned();
    let axis = |&side: &u64| match side {
        1 => Some(Axis::Other(String::new())),
        _ => letters.next(),
    };
    shape.iter().map(axis).collect()
}

impl FromStr for AxisLetters {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut axes = Vec::new();
        for letter in text.chars() {
            let axis = match letter.to_ascii_uppercase() {
                'Z' => Axis::Z,
                'Y' => Axis::Y,
                'X' => Axis::X,
                'C' | 'S' => Axis::Channel,
                'T' => Axis::Time,
                _ => {
                    return Err(format!(
                        "`{letter}` is no axis; give letters of Z, Y, X, C and T, such as ZYX"
                    ));
                }
            };
            if axes.contains(&axis) {
                return Err(format!("`{letter}` is there twice; give each axis once, such as ZYX"));
            }
            axes.push(axis);
        }
        if !axes.contains(&Axis::Y) || !axes.contains(&Axis::X) {
            return Err("rows (Y) and columns (X) are needed, such as ZYX".into());
        }
        Ok(Self(axes))
    }
}

impl fmt::Display for AxisLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|axis| axis.fmt(f))
    }
}

impl serde::Serialize for AxisLetters {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for AxisLetters {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
