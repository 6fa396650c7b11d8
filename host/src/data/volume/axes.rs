//! Which axes of a file are sections, rows and columns.
//!
//! Files name their axes in many ways, and store them in any order. [`arrange`] turns names, or
//! `--axes`, into an
//! [`Arrangement`]; [`Arranged`] reads an array of any number of axes as a volume of z, y, x by it,
//! chunk by chunk.

use std::fmt;
use std::ops::Range;

use super::Region;

mod array;
pub(super) mod names;
mod options;
pub(super) mod units;

pub(super) use array::{Arranged, Blocks, NdArray};
pub use options::{AxesOptions, AxisLetters};

/// What an axis of a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    /// Sections.
    Z,
    /// Rows.
    Y,
    /// Columns.
    X,
    Channel,
    Time,
    /// Something else by name; empty where the file gives it no name.
    Other(String),
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Z => "Z",
            Self::Y => "Y",
            Self::X => "X",
            Self::Channel => "C",
            Self::Time => "T",
            Self::Other(name) if name.is_empty() => "?",
            Self::Other(name) => name,
        })
    }
}

/// Where sections, rows and columns lie among the axes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrangement {
    /// The axes that are z, y and x; without z there is one section.
    axes: [Option<usize>; 3],
    /// The index along every axis that is none of these.
    fixed: Vec<u64>,
    /// What was noticed.
    note: Option<String>,
}

impl Arrangement {
    /// The sides along z, y and x of what has these sides along the axes of the file.
    pub(super) fn sides(&self, of: &[u64]) -> [u64; 3] {
        self.axes.map(|axis| axis.map_or(1, |axis| of[axis]))
    }

    /// The axes that are z, y and x.
    pub(super) fn axes(&self) -> [Option<usize>; 3] {
        self.axes
    }

    /// The index along an axis that is none of z, y and x.
    pub(super) fn fixed(&self, axis: usize) -> u64 {
        self.fixed[axis]
    }

    /// What was noticed.
    pub(super) fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The size of a pixel along z, y and x, by what is known of the axes of the file.
    pub(super) fn voxel_nm(&self, steps: &[Option<f64>]) -> Option<[f64; 3]> {
        self.along(steps).filter(|sides| sides.iter().all(|side| side.is_finite() && *side > 0.0))
    }

    /// What is known of z, y and x, by what is known of the axes of the file.
    pub(super) fn along<T: Copy>(&self, of: &[Option<T>]) -> Option<[T; 3]> {
        let [z, y, x] = self.axes.map(|axis| of.get(axis?).copied().flatten());
        Some([z?, y?, x?])
    }

    /// A block along the axes of the file.
    pub(super) fn ranges(&self, block: &Region) -> Vec<Range<u64>> {
        let mut ranges: Vec<_> = self.fixed.iter().map(|&at| at..at + 1).collect();
        for (axis, side) in self.axes.iter().zip([&block.z, &block.y, &block.x]) {
            if let Some(axis) = *axis {
                ranges[axis] = side.start as u64..side.end as u64;
            }
        }
        ranges
    }

    /// Whether a block lies in the file as it is handed out.
    pub(super) fn is_in_order(&self) -> bool {
        self.axes.iter().flatten().is_sorted()
    }

    /// Whether the sections lie one after another.
    pub(super) fn is_by_section(&self) -> bool {
        let [z, y, x] = self.axes;
        z.is_none_or(|z| y.is_none_or(|y| z < y) && x.is_none_or(|x| z < x))
    }

    /// The numbers of a block, of `pixel` bytes each, from the file's order into that of z, y and
    /// x.
    pub(super) fn in_order(&self, bytes: Vec<u8>, block: &Region, pixel: usize) -> Vec<u8> {
        if self.is_in_order() {
            return bytes;
        }
        let sides = [block.z.len(), block.y.len(), block.x.len()];
        // How far apart neighbours along z, y and x lie in the file's block.
        let mut order: Vec<usize> = (0..3).filter(|&side| self.axes[side].is_some()).collect();
        order.sort_by_key(|&side| self.axes[side]);
        let mut steps = [0; 3];
        let mut step = pixel;
        for &side in order.iter().rev() {
            steps[side] = step;
            step *= sides[side];
        }
        let mut turned = Vec::with_capacity(bytes.len());
        for z in 0..sides[0] {
            for y in 0..sides[1] {
                let row = z * steps[0] + y * steps[1];
                for x in 0..sides[2] {
                    turned.extend_from_slice(&bytes[row + x * steps[2]..][..pixel]);
                }
            }
        }
        turned
    }
}

/// Finds sections, rows and columns among the axes of a file, by `options.axes` if given, else by
/// the names that the file gives them (`said`), else by their order: the last ones are z, y and x,
/// and axes of length 1 do not count.
///
/// With `labels` a choice of a channel or time point that the file does not have is no error, and
/// neither are the letters C and T of axes that it lacks: they were given for the images.
///
/// Errors: what can't be decided, with the option that settles it; without the file's name.
pub(super) fn arrange(
    shape: &[u64],
    said: Option<&[Axis]>,
    options: &AxesOptions,
    labels: bool,
) -> Result<Arrangement, String> {
    let said = said.filter(|said| said.len() == shape.len());
    let mut note = None;
    let axes = match &options.axes {
        Some(letters) => letters.fit(shape, labels).ok_or_else(|| {
            format!(
                "--axes {letters} names {} axes, and its shape is {}; give a letter of Z, Y, X, \
                C and T for each, slowest first",
                letters.len(),
                show(shape)
            )
        })?,
        None => match said.filter(|said| is_named(said)) {
            Some(said) => said.to_vec(),
            None => {
                let axes = by_order(shape)?;
                note = said.and_then(|said| foreign(said, &axes));
                axes
            }
        },
    };
    let about = || {
        let named: Vec<String> = axes.iter().map(Axis::to_string).collect();
        format!("its axes are {} of {}", named.join(", "), show(shape))
    };
    let find = |wanted: Axis| -> Result<Option<usize>, String> {
        let mut found = (0..axes.len()).filter(|&i| axes[i] == wanted);
        let first = found.next();
        match found.next() {
            Some(_) => Err(format!(
                "{}, so {wanted} is named twice; say what they are with --axes",
                about()
            )),
            None => Ok(first),
        }
    };
    let (mut z, y, x) = (find(Axis::Z)?, find(Axis::Y)?, find(Axis::X)?);
    let (Some(y), Some(x)) = (y, x) else {
        return Err(format!(
            "{}, without rows (Y) or columns (X); say what they are with --axes, such as {}",
            about(),
            example(shape.len())
        ));
    };
    // One more axis without a name, beside rows and columns, holds the sections.
    let nameless: Vec<usize> = (0..axes.len())
        .filter(|&i| axes[i] == Axis::Other(String::new()) && shape[i] > 1)
        .collect();
    if let (None, [only]) = (z, &nameless[..]) {
        z = Some(*only);
    }
    let mut fixed = vec![0; shape.len()];
    for i in (0..shape.len()).filter(|i| ![z, Some(y), Some(x)].contains(&Some(*i))) {
        fixed[i] = match &axes[i] {
            Axis::Channel => choose(shape[i], options.channel, "--channel", "channels"),
            Axis::Time => choose(shape[i], options.time, "--time", "time points"),
            _ if shape[i] == 1 => Ok(0),
            other => Err(format!(
                "what the axis {other} is can't be told; say what the axes are with --axes, such \
                as {}",
                example(shape.len())
            )),
        }
        .map_err(|what| {
            let sections = match (&axes[i], z) {
                (Axis::Time | Axis::Channel, None) => {
                    ", or, if they are sections, name them Z \
                with --axes"
                }
                _ => "",
            };
            format!("{}: {what}{sections}", about())
        })?;
    }
    let has = |wanted: &Axis| axes.contains(wanted);
    for (choice, axis, option) in
        [(options.channel, Axis::Channel, "--channel"), (options.time, Axis::Time, "--time")]
    {
        if let (Some(number @ 1..), false, false) = (choice, has(&axis), labels) {
            return Err(format!(
                "{option} {number}: {}; leave {option} out, or say what the axes are with --axes",
                about()
            ));
        }
    }
    Ok(Arrangement { axes: [z, Some(y), Some(x)], fixed, note })
}

/// The index along an axis of channels or time points.
fn choose(length: u64, choice: Option<usize>, option: &str, what: &str) -> Result<u64, String> {
    match choice.map(|choice| choice as u64) {
        Some(choice) if choice < length => Ok(choice),
        Some(choice) => {
            Err(format!("{option} {choice} is none of its {length} {what}, counted from 0"))
        }
        None if length == 1 => Ok(0),
        None => Err(format!(
            "choose one of its {length} {what} with {option} N, from 0 to {}",
            length - 1
        )),
    }
}

/// Whether any name of an axis says something.
fn is_named(axes: &[Axis]) -> bool {
    axes.iter().any(|axis| !matches!(axis, Axis::Other(_)))
}

/// A note of names that mean nothing here.
fn foreign(said: &[Axis], taken: &[Axis]) -> Option<String> {
    let show = |axes: &[Axis]| axes.iter().map(Axis::to_string).collect::<Vec<_>>().join(", ");
    said.iter().any(|axis| *axis != Axis::Other(String::new())).then(|| {
        format!(
            "the axes are called {} and taken for {}; say what they are with --axes if that is \
            wrong",
            show(said),
            show(taken)
        )
    })
}

/// What axes are that nobody names.
fn by_order(shape: &[u64]) -> Result<Vec<Axis>, String> {
    let ambiguous = |why: &str| {
        Err(format!(
            "its shape is {} and its axes have no names{why}; say what they are with --axes, \
            such as {}, and which of several channels or \
             time points to read with --channel N or --time N",
            show(shape),
            example(shape.len())
        ))
    };
    if shape.len() < 2 {
        return Err(format!("its shape is {}; sections, rows and columns are wanted", show(shape)));
    }
    // Axes of length 1 do not count: first those before the others, then those behind, then any.
    let mut left: Vec<usize> = (0..shape.len()).collect();
    while left.len() > 3 {
        let is_one = |at: &usize| shape[left[*at]] == 1;
        let last = left.len() - 1;
        let Some(one) = [0, last].into_iter().chain(1..last).find(is_one) else {
            return ambiguous("");
        };
        left.remove(one);
    }
    let sides: Vec<u64> = left.iter().map(|&axis| shape[axis]).collect();
    let meant: &[Axis] = match sides[..] {
        [rows, columns, 1] if rows > 1 && columns > 1 => &[Axis::Y, Axis::X, Axis::Channel],
        // Nobody cuts sections of a few columns.
        [rows, columns, 2..=4] if rows >= 16 && columns >= 16 => {
            return ambiguous(", and the last one could be channels");
        }
        [_, _, _] => &[Axis::Z, Axis::Y, Axis::X],
        _ => &[Axis::Y, Axis::X],
    };
    let mut axes = vec![Axis::Other(String::new()); shape.len()];
    for (&at, axis) in left.iter().zip(meant) {
        axes[at] = axis.clone();
    }
    Ok(axes)
}

fn show(shape: &[u64]) -> String {
    let sides: Vec<String> = shape.iter().map(u64::to_string).collect();
    sides.join(" x ")
}

/// What `--axes` could be for so many axes.
fn example(axes: usize) -> &'static str {
    match axes {
        ..=2 => "YX",
        3 => "ZYX",
        4 => "ZYXC",
        _ => "TCZYX",
    }
}

#[cfg(test)]
mod tests;
