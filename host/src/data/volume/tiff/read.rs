//! Decoding one section, as grey values, labels or bytes.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use ::tiff::decoder::DecodingResult;
use ::tiff::tags::{ByteOrder, PhotometricInterpretation, Tag};

use super::survey::{is_planar, needs_lzw, samples_per_pixel};
use super::{Contents, Layout, Open, Place, failed, lzw};
use crate::data::volume::Dtype;
use crate::data::volume::pixels::{Header, Reading, Sample, one_channel, stretch, unpack};
use crate::{Error, Result};

/// Reads a section with an open decoder.
pub(super) fn read_at<R: Reading>(
    path: &Path,
    decoder: &mut Open,
    contents: &Contents,
    Place { image, sample }: Place,
    reading: &mut R,
) -> Result<Vec<R::Out>> {
    let name = format!("{} (page {})", path.display(), image + 1);
    let header = contents.header;
    let page = match &contents.layout {
        Layout::Pages(pages) => pages[image],
        Layout::Contiguous { start, channels, order, .. } => {
            let bytes = header.height * header.width * channels * usize::from(header.bits / 8);
            let mut buffer = vec![0; bytes];
            let reader = decoder.inner();
            reader
                .seek(SeekFrom::Start(start + (image * bytes) as u64))
                .and_then(|_| reader.read_exact(&mut buffer))
                .map_err(|e| Error::io(path, "reading it", e))?;
            let planes = Planes { name: &name, header, channels: *channels, planar: false, sample };
            return from_bytes(&planes, *order, &buffer, reading);
        }
    };
    let tiff = |e| failed(path, e);
    decoder.seek_to_image(page).map_err(tiff)?;
    let colour = decoder.colortype().map_err(tiff)?;
    // Pages of 1 and 8 bits may share a file.
    let header = Header { bits: colour.bit_depth(), ..header };
    let channels = usize::from(colour.num_samples());
    let planar = is_planar(decoder);
    if needs_lzw(decoder, header) {
        let channels = samples_per_pixel(decoder);
        let planes = Planes { name: &name, header, channels, planar, sample };
        let mut bytes = lzw::page(path, decoder, header, channels, planar)?;
        if !R::LABELS && is_white_zero(decoder) {
            lzw::turn(&mut bytes, header.dtype).map_err(|what| {
                Error::Input(format!("{name}: {what}; save it without MinIsWhite"))
            })?;
        }
        return from_bytes(&planes, lzw::NATIVE, &bytes, reading);
    }
    let planes = Planes { name: &name, header, channels, planar, sample };
    let mut result = DecodingResult::U8(Vec::new());
    decoder.read_image_to_buffer(&mut result).map_err(tiff)?;
    if R::LABELS && is_white_zero(decoder) {
        as_stored(&mut result);
    }
    match &result {
        DecodingResult::U8(v) if header.bits < 8 => {
            let row = header.width * if planar { 1 } else { channels };
            let rows = header.height * if planar { channels } else { 1 };
            let mut values = unpack(v, header.bits, rows, row);
            if !contents.is_index {
                values.iter_mut().for_each(|value| *value = stretch(*value, header.bits));
            }
            planes.read(&values, reading)
        }
        DecodingResult::U8(v) => planes.read(v, reading),
        DecodingResult::I8(v) => planes.read(v, reading),
        DecodingResult::U16(v) => planes.read(v, reading),
        DecodingResult::I16(v) => planes.read(v, reading),
        DecodingResult::U32(v) => planes.read(v, reading),
        DecodingResult::I32(v) => planes.read(v, reading),
        DecodingResult::U64(v) => planes.read(v, reading),
        DecodingResult::I64(v) => planes.read(v, reading),
        DecodingResult::F32(v) => planes.read(v, reading),
        DecodingResult::F64(v) => planes.read(v, reading),
        DecodingResult::F16(v) => {
            planes.read(&v.iter().map(|h| h.to_f32()).collect::<Vec<_>>(), reading)
        }
    }
}

/// Whether the current page says that its smallest value is white, for which the decoder turns
/// values around.
pub(super) fn is_white_zero(decoder: &mut Open) -> bool {
    let tag = decoder.find_tag_unsigned::<u16>(Tag::PhotometricInterpretation);
    tag.ok().flatten() == Some(PhotometricInterpretation::WhiteIsZero.to_u16())
}

/// Turns values back into those of the file.
pub(super) fn as_stored(values: &mut DecodingResult) {
    match values {
        DecodingResult::U8(v) => v.iter_mut().for_each(|v| *v = !*v),
        DecodingResult::U16(v) => v.iter_mut().for_each(|v| *v = !*v),
        DecodingResult::U32(v) => v.iter_mut().for_each(|v| *v = !*v),
        DecodingResult::U64(v) => v.iter_mut().for_each(|v| *v = !*v),
        DecodingResult::F32(v) => v.iter_mut().for_each(|v| *v = 1.0 - *v),
        DecodingResult::F64(v) => v.iter_mut().for_each(|v| *v = 1.0 - *v),
        // The decoder refuses to turn other types around.
        _ => {}
    }
}

/// How the values of a decoded page are laid out.
struct Planes<'a> {
    name: &'a str,
    header: Header,
    channels: usize,
    /// All values of a channel before those of the next, instead of pixel by pixel.
    planar: bool,
    /// The channel that is read; without it all must agree.
    sample: Option<usize>,
}

impl Planes<'_> {
    fn read<T: Sample, R: Reading>(&self, values: &[T], reading: &mut R) -> Result<Vec<R::Out>> {
        let area = self.header.height * self.header.width;
        let Self { name, header, channels, planar, sample } = *self;
        if values.len() < area * channels {
            return Err(Error::Input(format!(
                "{name}: {} values came where {} x {} pixels of {channels} channel(s) should",
                values.len(),
                header.height,
                header.width
            )));
        }
        if let Some(sample) = sample {
            if sample >= channels {
                return Err(Error::Input(format!(
                    "{name}: channel {sample} is none of its {channels} channels, counted from 0"
                )));
            }
            let (first, step) = if planar { (sample * area, 1) } else { (sample, channels) };
            let chosen = (0..area).map(|i| values[first + i * step]);
            return one_channel(name, header, 1, chosen, reading);
        }
        let read = match planar && channels > 1 {
            false => one_channel(name, header, channels, values.iter().copied(), reading),
            true => {
                let of = |i: usize| values[i % channels * area + i / channels];
                one_channel(name, header, channels, (0..area * channels).map(of), reading)
            }
        };
        read.map_err(|error| match error {
            Error::Input(what) if channels > 1 => {
                let sections = if planar {
                    ", or, if the channels are sections, read them with --axes ZYX"
                } else {
                    ""
                };
                Error::Input(format!(
                    "{what}, or choose one of its channels with --channel N{sections}"
                ))
            }
            other => other,
        })
    }
}

/// Values of whole bytes in a file's byte order.
fn from_bytes<R: Reading>(
    planes: &Planes,
    order: ByteOrder,
    bytes: &[u8],
    reading: &mut R,
) -> Result<Vec<R::Out>> {
    macro_rules! values {
        ($t:ty) => {{
            let all = bytes.as_chunks::<{ size_of::<$t>() }>().0.iter().map(|b| match order {
                ByteOrder::LittleEndian => <$t>::from_le_bytes(*b),
                ByteOrder::BigEndian => <$t>::from_be_bytes(*b),
            });
            planes.read(&all.collect::<Vec<$t>>(), reading)
        }};
    }
    match planes.header.dtype {
        Dtype::U8 => values!(u8),
        Dtype::I8 => values!(i8),
        Dtype::U16 => values!(u16),
        Dtype::I16 => values!(i16),
        Dtype::U32 => values!(u32),
        Dtype::I32 => values!(i32),
        Dtype::U64 => values!(u64),
        Dtype::I64 => values!(i64),
        Dtype::F32 => values!(f32),
        Dtype::F64 => values!(f64),
        Dtype::F16 => {
            let all = bytes.as_chunks::<2>().0.iter().map(|b| match order {
                ByteOrder::LittleEndian => half::f16::from_le_bytes(*b).to_f32(),
                ByteOrder::BigEndian => half::f16::from_be_bytes(*b).to_f32(),
            });
            planes.read(&all.collect::<Vec<f32>>(), reading)
        }
    }
}
