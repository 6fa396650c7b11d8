//! What the formats share: headers, and turning channels into one grey value.

use super::{Dtype, LabelValue};
use crate::{Error, Result};
use std::path::Path;

/// A section of more pixels is refused. It would take 4 GiB as `f32`, and a header that claims more is
/// far more often damaged than true.
pub(super) const MAX_PIXELS: u64 = 1 << 30;

/// No lossless compression read here unfolds a byte to more: deflate reaches 1032, LZW some 1400.
pub(super) const MAX_RATIO: u64 = 2048;

/// What a file says of one image before its pixels are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Rows.
    pub(super) height: usize,
    /// Columns.
    pub(super) width: usize,
    /// Bits per channel in the file.
    pub(super) bits: u8,
    /// How the pixels are stored.
    pub(super) dtype: Dtype,
}

/// What to do with a palette whose entries are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Palette {
    /// A raw image has no use for colours.
    Refuse,
    /// In a label file the colours only tell classes apart: the index is the label.
    Index,
}

/// Checks a claimed size and turns it into a header's.
pub(super) fn check_size(path: &Path, height: u64, width: u64) -> Result<(usize, usize)> {
    if height == 0 || width == 0 || height.checked_mul(width).is_none_or(|n| n > MAX_PIXELS) {
        return Err(Error::Input(format!(
            "{}: the header claims {height} x {width} pixels (rows x columns), where 1 to {MAX_PIXELS} \
             can be read; the file is damaged, or has to be cut into smaller images",
            path.display()
        )));
    }
    // At most MAX_PIXELS each, so both fit.
    Ok((height as usize, width as usize))
}

/// One value of a file.
pub(super) trait Sample: Copy + PartialEq {
    /// In the file's own unit.
    fn to_f32(self) -> f32;

    /// As a label, exactly.
    fn to_label(self) -> LabelValue;
}

macro_rules! samples {
    ($($t:ty),*) => {$(
        impl Sample for $t {
            fn to_f32(self) -> f32 {
                self as f32
            }
            fn to_label(self) -> LabelValue {
                self.into()
            }
        }
    )*};
}
samples!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64);

/// What becomes of a file's values: grey values, or labels.
pub(super) trait Reading {
    /// What a value becomes.
    type Out: Copy;

    /// One value.
    fn of<T: Sample>(&mut self, value: T) -> Self::Out;

    /// Whether these are labels, for which the stored values count and not how a viewer shows them.
    const LABELS: bool;
}

/// Values as grey values.
pub(super) struct AsGrey;

impl Reading for AsGrey {
    type Out = f32;
    const LABELS: bool = false;

    fn of<T: Sample>(&mut self, value: T) -> f32 {
        value.to_f32()
    }
}

/// Values as labels.
pub(super) struct AsLabels<'a>(pub(super) &'a mut dyn FnMut(LabelValue) -> u8);

impl Reading for AsLabels<'_> {
    type Out = u8;
    const LABELS: bool = true;

    fn of<T: Sample>(&mut self, value: T) -> u8 {
        (self.0)(value.to_label())
    }
}

/// Values as bytes of the volume's type, in the machine's order; the rest of the eight is 0. With `LABELS` as the file stores them.
pub(super) struct AsStored<const LABELS: bool>(pub(super) Dtype);

impl<const L: bool> Reading for AsStored<L> {
    type Out = [u8; 8];
    const LABELS: bool = L;

    fn of<T: Sample>(&mut self, value: T) -> [u8; 8] {
        let mut bytes = [0; 8];
        let size = usize::from(self.0.bytes());
        let mut put = |number: &[u8]| bytes[..size].copy_from_slice(&number[..size]);
        let number = value.to_label();
        match self.0 {
            Dtype::F16 => put(&half::f16::from_f64(number.to_f64()).to_ne_bytes()),
            Dtype::F32 => put(&(number.to_f64() as f32).to_ne_bytes()),
            Dtype::F64 => put(&number.to_f64().to_ne_bytes()),
            Dtype::U8 | Dtype::I8 => put(&(number.to_integer() as u8).to_ne_bytes()),
            Dtype::U16 | Dtype::I16 => put(&(number.to_integer() as u16).to_ne_bytes()),
            Dtype::U32 | Dtype::I32 => put(&(number.to_integer() as u32).to_ne_bytes()),
            Dtype::U64 | Dtype::I64 => put(&(number.to_integer() as u64).to_ne_bytes()),
        }
        bytes
    }
}

/// An error where a pixel is no finite number. `pixels` are rows of `width`, the first of them at `row` and `column` of what `name` calls.
pub(super) fn check_finite(
    name: &dyn std::fmt::Display,
    row: usize,
    column: usize,
    width: usize,
    pixels: &[f32],
) -> Result<()> {
    let Some(at) = pixels.iter().position(|value| !value.is_finite()) else { return Ok(()) };
    Err(Error::Input(format!(
        "{name}: row {}, column {} is {}, not a number to work with; replace such values, by 0 for example",
        row + at / width,
        column + at % width,
        pixels[at],
    )))
}

/// Takes the first of `channels` interleaved values per pixel, after a look that the colour
/// channels agree.
///
/// One channel is grey, two are grey and alpha, three are red, green and blue, four have alpha
/// besides. Alpha is left out: in masks exported from a graphics editor it is 255 everywhere.
pub(super) fn one_channel<T: Sample, R: Reading>(
    name: &str,
    header: Header,
    channels: usize,
    values: impl ExactSizeIterator<Item = T>,
    reading: &mut R,
) -> Result<Vec<R::Out>> {
    let Header { height, width, .. } = header;
    let colours = match channels {
        1 | 2 => 1,
        3 | 4 => 3,
        _ => return Err(too_many_channels(name, channels)),
    };
    if values.len() < height * width * channels {
        return Err(Error::Input(format!(
            "{name}: {} values came where {height} x {width} pixels of {channels} channel(s) should",
            values.len()
        )));
    }
    let mut values = values;
    let mut pixels = Vec::with_capacity(height * width);
    let mut pixel = Vec::with_capacity(channels);
    for at in 0..height * width {
        pixel.clear();
        pixel.extend(values.by_ref().take(channels));
        let value = pixel[0];
        if let Some(other) = pixel[1..colours].iter().find(|&&c| c != value) {
            return Err(Error::Input(format!(
                "{name}: the colour channels differ (row {}, column {}: {} and {}); \
                 this is a colour image, give a grey one",
                at / width,
                at % width,
                value.to_f32(),
                other.to_f32(),
            )));
        }
        if !value.to_f32().is_finite() {
            check_finite(&name, at / width, at % width, width, &[value.to_f32()])?;
        }
        pixels.push(reading.of(value));
    }
    Ok(pixels)
}

/// The refusal of images that are neither grey nor colour.
pub(super) fn too_many_channels(name: &str, channels: usize) -> Error {
    Error::Input(format!(
        "{name}: {channels} channels per pixel are neither grey nor RGB(A); save one channel on its own"
    ))
}

/// Unpacks values of 1, 2 or 4 bits whose rows start at whole bytes.
pub(super) fn unpack(packed: &[u8], bits: u8, height: usize, row_values: usize) -> Vec<u8> {
    let row_bytes = (row_values * usize::from(bits)).div_ceil(8);
    let per_byte = usize::from(8 / bits);
    let mask = (1u16 << bits) as u8 - 1;
    let mut values = Vec::with_capacity(height * row_values);
    for row in packed.chunks(row_bytes).take(height) {
        values.extend((0..row_values).map(|x| {
            let shift = 8 - usize::from(bits) * (x % per_byte + 1);
            row.get(x / per_byte).map_or(0, |byte| (byte >> shift) & mask)
        }));
    }
    values
}

/// Stretches values of 1, 2 or 4 bits to 0 to 255, as every image viewer shows them.
pub(super) fn stretch(value: u8, bits: u8) -> u8 {
    value * (255 / ((1u16 << bits) as u8 - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header { height: 1, width: 2, bits: 8, dtype: Dtype::U8 };

    #[test]
    fn bits_are_unpacked_from_the_high_end_row_by_row() {
        assert_eq!(unpack(&[0b1010_0000, 0b0100_0000], 1, 2, 3), [1, 0, 1, 0, 1, 0]);
        assert_eq!(unpack(&[0b1101_1000], 2, 1, 3), [3, 1, 2]);
        assert_eq!(unpack(&[0xA5, 0xF0], 4, 1, 3), [10, 5, 15]);
        assert_eq!([stretch(1, 1), stretch(2, 2), stretch(15, 4)], [255, 170, 255]);
    }

    #[test]
    fn channels_must_agree_and_alpha_does_not_count() {
        let read = |channels, values: &[u8]| {
            one_channel("a.png", HEADER, channels, values.iter().copied(), &mut AsGrey)
        };
        assert_eq!(read(1, &[3, 4]).unwrap(), [3.0, 4.0]);
        assert_eq!(read(2, &[3, 255, 4, 0]).unwrap(), [3.0, 4.0]);
        assert_eq!(read(4, &[3, 3, 3, 255, 4, 4, 4, 0]).unwrap(), [3.0, 4.0]);
        let message = read(3, &[3, 3, 3, 4, 4, 5]).unwrap_err().to_string();
        assert!(message.contains("a.png") && message.contains("column 1: 4 and 5"), "{message}");
        assert!(read(5, &[0; 10]).is_err());
        assert!(read(3, &[0; 5]).is_err());
    }

    #[test]
    fn values_that_are_no_numbers_are_refused() {
        let message = one_channel("a.tif", HEADER, 1, [1.0, f32::NAN].into_iter(), &mut AsGrey)
            .unwrap_err()
            .to_string();
        assert!(message.contains("row 0, column 1 is NaN"), "{message}");
    }

    #[test]
    fn absurd_sizes_are_refused() {
        let path = Path::new("a.tif");
        assert_eq!(check_size(path, 3, 5).unwrap(), (3, 5));
        for (height, width) in [(0, 5), (5, 0), (1 << 20, 1 << 20), (u64::MAX, 2)] {
            assert!(check_size(path, height, width).unwrap_err().to_string().contains("claims"));
        }
    }
}
