//! Reading all directories of a file, and checking that what they promise is there.

use std::path::Path;
use std::sync::Arc;

use ::tiff::ColorType;
use ::tiff::decoder::ifd::Value;
use ::tiff::tags::{CompressionMethod, PlanarConfiguration, SampleFormat, Tag};

use super::description::Description;
use super::read::is_white_zero;
use super::{Contents, Layout, Open, Place, failed, open, palette, tiles, truncated};
use crate::data::volume::Dtype;
use crate::data::volume::pixels::{Header, MAX_RATIO, Palette, check_size};
use crate::{Error, Result};

/// Reads all directories.
pub(super) fn survey(path: &Path, wanted: Palette) -> Result<(Contents, Open)> {
    let length = std::fs::metadata(path).map_err(|e| Error::io(path, "reading it", e))?.len();
    let indices = palette::indices(path)?;
    let mut decoder = open(path, 0, &indices)?;
    let is_index = !indices.is_empty() && palette::is_index(path, &mut decoder, wanted)?;
    let mut text = Description::parse(
        &decoder.get_tag_ascii_string(Tag::ImageDescription).unwrap_or_default(),
    );
    if let Some(unit) = text.scale.unit_nm {
        let mut step = |tag| Some(unit / ratio(decoder.find_tag(tag).ok()??)?);
        let (x, y) = (step(Tag::XResolution), step(Tag::YResolution));
        (text.scale.nm[1], text.scale.nm[2]) = (y, x);
    }
    let samples = decoder.colortype().map_or(1, |colour| usize::from(colour.num_samples()));
    let planar = samples > 1 && is_planar(&mut decoder);
    let mut pages = Vec::new();
    let mut first: Option<Header> = None;
    // None before the first page, then that of all pages so far.
    let mut tile: Option<Option<[u32; 2]>> = None;
    let (mut skipped, mut white_zero) = (0, false);
    let mut index = 0;
    loop {
        // Bit 0: a smaller copy of another page; bit 2: a transparency mask.
        let kind: u32 = decoder.find_tag_unsigned(Tag::NewSubfileType).ok().flatten().unwrap_or(0);
        if kind & 0b101 == 0 {
            let header = page_header(path, &mut decoder, length, index)?;
            match first {
                Some(f) if (f.height, f.width) != (header.height, header.width) => {
                    return Err(Error::Input(format!(
                        "{}: pages differ in size: page {} is {} x {} and page {} is {} x {} \
                        (rows x \
                         columns); all sections must have one size",
                        path.display(),
                        pages.first().map_or(1, |p| p + 1),
                        f.height,
                        f.width,
                        index + 1,
                        header.height,
                        header.width,
                    )));
                }
                Some(f) if f.dtype != header.dtype => {
                    return Err(Error::Input(format!(
                        "{}: page {} holds {} and page {} holds {}; save all pages in one type",
                        path.display(),
                        pages.first().map_or(1, |p| p + 1),
                        f.dtype,
                        index + 1,
                        header.dtype,
                    )));
                }
                Some(_) => {}
                None => first = Some(header),
            }
            white_zero |= is_white_zero(&mut decoder);
            pages.push(index);
            let size = tiles::size(&mut decoder, header);
            tile = Some(tile.map_or(size, |first| first.filter(|first| Some(*first) == size)));
        } else {
            skipped += 1;
        }
        if !decoder.more_images() {
            break;
        }
        decoder.next_image().map_err(|e| failed(path, e))?;
        index += 1;
    }
    let Some(header) = first else {
        return Err(Error::Input(format!(
            "{}: the TIFF file holds previews or masks only, no image",
            path.display()
        )));
    };
    let mut layout = Layout::Pages(pages);
    let mut tile = tile.flatten();
    if index == 0 && text.images > 1 {
        layout = contiguous(path, &mut decoder, length, header, text.images)?;
        tile = None;
    }
    let images = match &layout {
        Layout::Pages(pages) => pages.len(),
        Layout::Contiguous { count, .. } => *count,
    };
    let left_out = (skipped > 0).then(|| format!("{skipped} preview or mask page(s) left out"));
    let turned = white_zero.then(|| {
        "its smallest value is said to be white (MinIsWhite): images are read as they are shown, \
        labels as they are stored"
            .into()
    });
    let notes: Vec<String> = left_out.into_iter().chain(turned).collect();
    let note = (!notes.is_empty()).then(|| format!("{}: {}", path.display(), notes.join("; ")));
    let contents = Contents {
        header,
        note,
        layout,
        tile,
        samples,
        planar,
        is_index,
        indices,
        sections: (0..images).map(|image| Place { image, sample: None }).collect(),
        text,
    };
    Ok((contents, decoder))
}

/// What the first page's description says; nothing where it has none.
pub(super) fn description(path: &Path) -> Result<String> {
    let mut decoder = open(path, 0, &Arc::default())?;
    Ok(decoder.get_tag_ascii_string(Tag::ImageDescription).unwrap_or_default())
}

/// A resolution: pixels a unit.
fn ratio(value: Value) -> Option<f64> {
    match value {
        Value::Rational(above, below) => Some(f64::from(above) / f64::from(below)),
        Value::Float(value) => Some(value.into()),
        Value::Double(value) => Some(value),
        _ => None,
    }
}

/// What the current page claims, checked against the length of the file.
fn page_header(path: &Path, decoder: &mut Open, length: u64, page: usize) -> Result<Header> {
    let tiff = |e| failed(path, e);
    let (width, height) = decoder.dimensions().map_err(tiff)?;
    let (height, width) = check_size(path, height.into(), width.into())?;
    let colour = decoder.colortype().map_err(tiff)?;
    let unsupported = |what: &str| {
        Error::Input(format!(
            "{}: page {}: {what}; save it as 8 or 16 bit grey, uncompressed or LZW or \
             deflate",
            path.display(),
            page + 1
        ))
    };
    match colour {
        ColorType::Gray(_) | ColorType::RGB(_) | ColorType::RGBA(_) => {}
        ColorType::Multiband { .. } => {}
        other => return Err(unsupported(&format!("{other:?} images can't be read"))),
    }
    let bits = colour.bit_depth();
    let format = decoder
        .find_tag_unsigned_vec::<u16>(Tag::SampleFormat)
        .map_err(tiff)?
        .and_then(|all| all.first().copied())
        .map_or(SampleFormat::Uint, SampleFormat::from_u16_exhaustive);
    let dtype = match (format, bits) {
        (SampleFormat::Uint | SampleFormat::Void, 1 | 2 | 4 | 8) => Dtype::U8,
        (SampleFormat::Uint | SampleFormat::Void, 16) => Dtype::U16,
        (SampleFormat::Uint | SampleFormat::Void, 32) => Dtype::U32,
        (SampleFormat::Uint | SampleFormat::Void, 64) => Dtype::U64,
        (SampleFormat::Int, 64) => Dtype::I64,
        (SampleFormat::Int, 8) => Dtype::I8,
        (SampleFormat::Int, 16) => Dtype::I16,
        (SampleFormat::Int, 32) => Dtype::I32,
        (SampleFormat::IEEEFP, 16) => Dtype::F16,
        (SampleFormat::IEEEFP, 32) => Dtype::F32,
        (SampleFormat::IEEEFP, 64) => Dtype::F64,
        _ => {
            return Err(unsupported(&format!("{bits} bits of {format:?} per pixel can't be read")));
        }
    };
    for (tag, what) in [(IMAGE_DEPTH, "images"), (TILE_DEPTH, "tiles")] {
        let depth = decoder.find_tag_unsigned::<u32>(Tag::Unknown(tag)).ok().flatten();
        if depth.is_some_and(|depth| depth > 1) {
            return Err(Error::Input(format!(
                "{}: page {}: volumetric {what} (TIFF tags of SGI) are not read; save the stack \
                with one page per section, with tifffile for \
                 example without volumetric=True",
                path.display(),
                page + 1
            )));
        }
    }
    let channels = colour.num_samples();
    let promised = check_chunks(path, decoder, length)?;
    let row = (width as u64 * u64::from(channels) * u64::from(bits)).div_ceil(8);
    // What the bytes that are there can unfold to. A file that claims more is damaged, and
    // believing it would allocate memory for nothing.
    let possible = match compression(decoder).map_err(tiff)? {
        CompressionMethod::None => promised,
        CompressionMethod::LZW
        | CompressionMethod::Deflate
        | CompressionMethod::OldDeflate
        | CompressionMethod::PackBits => promised.saturating_mul(MAX_RATIO),
        CompressionMethod::ModernJPEG | CompressionMethod::Fax4 => u64::MAX,
        CompressionMethod::ZSTD => promised.saturating_mul(MAX_RATIO * 64),
        other => return Err(unsupported(&format!("{} compression can't be read", name(other)))),
    };
    if possible < row * height as u64 {
        return Err(Error::Input(format!(
            "{}: page {} holds {promised} bytes of pixels where {height} x {width} take {} \
            unpacked; \
             the file is damaged, copy or export it again",
            path.display(),
            page + 1,
            row * height as u64,
        )));
    }
    Ok(Header { height, width, bits, dtype })
}

/// What people call a compression.
fn name(method: CompressionMethod) -> String {
    let name = match method.to_u16() {
        33003..=33005 | 34712 => "JPEG 2000",
        22610 | 34934 | 50002 => "JPEG XR or XL",
        34887 => "LERC",
        34925 => "LZMA",
        50001 => "WebP",
        6 => "old-style JPEG",
        2 | 3 => "fax (group 3)",
        _ => return format!("{method:?}"),
    };
    name.into()
}

/// Whether the current page has all values of a channel before those of the next, instead of pixel
/// by pixel.
pub(super) fn is_planar(decoder: &mut Open) -> bool {
    let tag = decoder.find_tag_unsigned::<u16>(Tag::PlanarConfiguration).ok().flatten();
    tag == Some(PlanarConfiguration::Planar.to_u16())
}

/// Whether the current page is decoded here: LZW in whole bytes.
///
/// `tiff` 0.11.3 calls whole files truncated ("no lzw end code found"), depending on their pixels;
/// mostly those with tiles that reach beyond the image.
pub(super) fn needs_lzw(decoder: &mut Open, header: Header) -> bool {
    header.bits.is_multiple_of(8)
        && compression(decoder).is_ok_and(|method| method == CompressionMethod::LZW)
}

/// Numbers of a pixel as they are stored, with those that are no colours.
pub(super) fn samples_per_pixel(decoder: &mut Open) -> usize {
    let tag = decoder.find_tag_unsigned::<u16>(Tag::SamplesPerPixel).ok().flatten();
    usize::from(tag.unwrap_or(1))
}

/// Tags of volumes that are tiled in three dimensions.
const IMAGE_DEPTH: u16 = 32997;
const TILE_DEPTH: u16 = 32998;

pub(super) fn compression(decoder: &mut Open) -> ::tiff::TiffResult<CompressionMethod> {
    let tag = decoder.find_tag_unsigned::<u16>(Tag::Compression)?;
    Ok(tag.map_or(CompressionMethod::None, CompressionMethod::from_u16_exhaustive))
}

/// Checks that all strips or tiles of the current page lie inside the file; gives their bytes.
fn check_chunks(path: &Path, decoder: &mut Open, length: u64) -> Result<u64> {
    let (offsets, counts) = chunk_table(decoder).map_err(|e| failed(path, e))?;
    let mut total = 0u64;
    for (&offset, &count) in offsets.iter().zip(&counts) {
        if offset.checked_add(count).is_none_or(|end| end > length) {
            return Err(truncated(path, length, offset.saturating_add(count)));
        }
        total = total.saturating_add(count);
    }
    Ok(total)
}

pub(super) fn chunk_table(decoder: &mut Open) -> ::tiff::TiffResult<(Vec<u64>, Vec<u64>)> {
    match decoder.find_tag_unsigned_vec(Tag::StripOffsets)? {
        Some(offsets) => Ok((offsets, decoder.get_tag_u64_vec(Tag::StripByteCounts)?)),
        None => {
            let offsets = decoder.get_tag_u64_vec(Tag::TileOffsets)?;
            Ok((offsets, decoder.get_tag_u64_vec(Tag::TileByteCounts)?))
        }
    }
}

/// The layout of a large ImageJ stack: pixels of all images after one directory.
fn contiguous(
    path: &Path,
    decoder: &mut Open,
    length: u64,
    header: Header,
    count: usize,
) -> Result<Layout> {
    let tiff = |e| failed(path, e);
    let (offsets, _) = chunk_table(decoder).map_err(tiff)?;
    let channels = usize::from(decoder.colortype().map_err(tiff)?.num_samples());
    let refused = |why: String| {
        Error::Input(format!(
            "{}: its description promises {count} images in one directory, {why}; \
             save the stack with one page per section",
            path.display()
        ))
    };
    if compression(decoder).map_err(tiff)? != CompressionMethod::None || header.bits < 8 {
        return Err(refused("which works only for uncompressed images of whole bytes".into()));
    }
    let start = offsets.first().copied().unwrap_or(0);
    let section = (header.height * header.width * channels) as u64 * u64::from(header.bits / 8);
    let end = section.checked_mul(count as u64).and_then(|all| all.checked_add(start));
    if end.is_none_or(|end| end > length) {
        return Err(refused(format!("but the file is too short for them ({length} bytes)")));
    }
    Ok(Layout::Contiguous { start, count, channels, order: decoder.byte_order() })
}
