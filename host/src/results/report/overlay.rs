//! A segmentation over the image it belongs to, with its errors coloured.
//!
//! | colour | meaning |
//! |---|---|
//! | sky blue | true positive: labelled and found |
//! | vermilion | false positive: found, not labelled, or labelled as another class |
//! | yellow | false negative: labelled, not found |
//! | none | background on both sides, or a label to be ignored |
//!
//! The three differ in lightness as well as in hue, so they are told apart in any colour vision. Areas
//! are tinted, so that the image stays visible; their borders are solid.

use crate::data::files::write_atomically;
use crate::data::volume::{BACKGROUND, IGNORED, Section};
use crate::{Error, Result};
use std::path::Path;

/// What a pixel is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Nothing,
    TruePositive,
    FalsePositive,
    FalseNegative,
}

impl Outcome {
    fn of(label: u8, predicted: u8) -> Self {
        match (label, predicted) {
            (IGNORED, _) | (BACKGROUND, BACKGROUND) => Self::Nothing,
            (_, BACKGROUND) => Self::FalseNegative,
            _ if label == predicted => Self::TruePositive,
            _ => Self::FalsePositive,
        }
    }

    /// Okabe and Ito's sky blue, vermilion and yellow.
    fn colour(self) -> [f32; 3] {
        match self {
            Self::Nothing => [0.0; 3],
            Self::TruePositive => [86.0, 180.0, 233.0],
            Self::FalsePositive => [213.0, 94.0, 0.0],
            Self::FalseNegative => [240.0, 228.0, 66.0],
        }
    }
}

/// How much of an area's colour covers the image.
const TINT: f32 = 0.42;

/// The picture of one section as PNG.
///
/// `labels` are classes and 255 (ignored) as a [`LabelVolume`](crate::data::volume::LabelVolume) gives
/// them, `prediction` holds classes. Grey values are stretched from the first to the last
/// percent of the section.
///
/// Errors: [`Error::Input`] where the three differ in size.
pub fn segmentation_overlay(raw: &Section, labels: &[u8], prediction: &[u8]) -> Result<Vec<u8>> {
    let (height, width) = (raw.height, raw.width);
    let area = height * width;
    if area == 0 || [raw.pixels.len(), labels.len(), prediction.len()] != [area; 3] {
        return Err(Error::Input(format!(
            "an overlay needs {height} x {width} pixels of image, labels and prediction each; they \
             have {}, {} and {}",
            raw.pixels.len(),
            labels.len(),
            prediction.len()
        )));
    }
    let outcomes: Vec<Outcome> =
        labels.iter().zip(prediction).map(|(&l, &p)| Outcome::of(l, p)).collect();
    let (low, high) = range(&raw.pixels);
    let mut rgb = Vec::with_capacity(3 * area);
    for (i, (&value, &outcome)) in raw.pixels.iter().zip(&outcomes).enumerate() {
        let grey = ((value - low) / (high - low)).clamp(0.0, 1.0) * 255.0;
        let (y, x) = (i / width, i % width);
        let border = (x > 0 && outcomes[i - 1] != outcome)
            || (x + 1 < width && outcomes[i + 1] != outcome)
            || (y > 0 && outcomes[i - width] != outcome)
            || (y + 1 < height && outcomes[i + width] != outcome);
        let cover = match outcome {
            Outcome::Nothing => 0.0,
            _ if border => 1.0,
            _ => TINT,
        };
        rgb.extend(outcome.colour().map(|c| (grey + (c - grey) * cover).round() as u8));
    }
    encode(height, width, &rgb)
}

/// Writes the picture of one section.
///
/// Errors: as [`segmentation_overlay`]; [`Error::Io`] where the file can't be written.
pub fn write_overlay(path: &Path, raw: &Section, labels: &[u8], prediction: &[u8]) -> Result<()> {
    write_atomically(path, &segmentation_overlay(raw, labels, prediction)?)
}

/// The values that become black and white.
fn range(pixels: &[f32]) -> (f32, f32) {
    let mut sorted = pixels.to_vec();
    sorted.sort_by(f32::total_cmp);
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize];
    let (low, high) = (at(0.005), at(0.995));
    if high > low { (low, high) } else { (low, low + 1.0) }
}

fn encode(height: usize, width: usize, rgb: &[u8]) -> Result<Vec<u8>> {
    let failed = |e: png::EncodingError| Error::Input(format!("an overlay could not be made: {e}"));
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(rgb).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_colour() {
        let raw = Section { height: 1, width: 5, pixels: vec![0.0, 255.0, 0.0, 255.0, 0.0] };
        let bytes = segmentation_overlay(&raw, &[0, 1, 1, 0, 255], &[0, 1, 0, 1, 1]).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut rgb).unwrap();
        let want = [[0, 0, 0], [86, 180, 233], [240, 228, 66], [213, 94, 0], [0, 0, 0]];
        assert_eq!(rgb, want.concat());
        let of_classes = [(2, 2), (2, 1), (2, 0), (0, 2)].map(|(l, p)| Outcome::of(l, p) as u8);
        let want = [
            Outcome::TruePositive,
            Outcome::FalsePositive,
            Outcome::FalseNegative,
            Outcome::FalsePositive,
        ];
        assert_eq!(of_classes, want.map(|outcome| outcome as u8));
    }

    #[test]
    fn sizes_must_agree() {
        let raw = Section { height: 1, width: 2, pixels: vec![0.0; 2] };
        assert!(segmentation_overlay(&raw, &[0; 2], &[0; 3]).is_err());
        assert!(segmentation_overlay(&raw, &[0; 2], &[0; 2]).is_ok(), "a constant image");
    }
}
