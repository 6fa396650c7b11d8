//! Options that say what the axes of files are.

use crate::data::volume::{AxesOptions, AxisLetters};

/// The axes of images.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
pub(super) struct AxesArgs {
    /// What the axes of the images are, slowest first, where a file does not say or says wrongly:
    /// letters of Z, Y, X, C and T, such as ZYXC [default: as the file names them, else ZYX]
    #[arg(long, value_name = "LETTERS")]
    pub(super) axes: Option<AxisLetters>,
    /// Which of several channels to read, from 0.
    #[arg(long, value_name = "N")]
    pub(super) channel: Option<usize>,
    /// Which of several time points to read, from 0.
    #[arg(long, value_name = "N")]
    pub(super) time: Option<usize>,
}

/// How labels lie, where not as the images do.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
pub(super) struct LabelAxesArgs {
    /// What the axes of the labels are [default: as --axes]
    #[arg(long, value_name = "LETTERS")]
    pub(super) label_axes: Option<AxisLetters>,
    /// Which of several channels of the labels to read, from 0 [default: as --channel]
    #[arg(long, value_name = "N")]
    pub(super) label_channel: Option<usize>,
    /// Of labels of a part of the images: the section, row and column of their first voxel, from 0;
    /// of all pixels outside nothing is known [default: as the translations of OME-Zarr files say]
    #[arg(long, value_name = "Z,Y,X", value_parser = parse_offset, allow_hyphen_values = true)]
    pub(super) label_offset: Option<[usize; 3]>,
}

/// A section, a row and a column.
pub(super) fn parse_offset(text: &str) -> Result<[usize; 3], String> {
    let sides: Vec<usize> = text.split(',').filter_map(|side| side.trim().parse().ok()).collect();
    match <[usize; 3]>::try_from(sides) {
        Ok(sides) if text.split(',').count() == 3 => Ok(sides),
        _ => Err("give a section, a row and a column, counted from 0, such as 12,0,256".into()),
    }
}

impl AxesArgs {
    /// How images are opened.
    pub(super) fn of_images(&self) -> AxesOptions {
        AxesOptions { axes: self.axes.clone(), channel: self.channel, time: self.time }
    }
}

impl LabelAxesArgs {
    /// How the labels of images are opened.
    pub(super) fn of_labels(&self, images: &AxesArgs) -> AxesOptions {
        AxesOptions {
            axes: self.label_axes.clone().or(images.axes.clone()),
            channel: self.label_channel.or(images.channel),
            time: images.time,
        }
    }
}
