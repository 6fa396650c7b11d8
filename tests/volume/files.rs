//! Writes image files of every kind that is read.

use std::fs::{self, File};
use std::io::{BufWriter, Cursor};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tiff::encoder::{Compression, TiffEncoder, TiffValue, colortype};

/// A folder that disappears with the test.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of a file in it, with the folders on the way.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.at(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A PNG; `data` is packed as the format stores it.
    pub(crate) fn png(
        &self,
        name: &str,
        [height, width]: [u32; 2],
        colour: png::ColorType,
        depth: png::BitDepth,
        data: &[u8],
    ) -> PathBuf {
        self.png_with(name, [height, width], colour, depth, data, None)
    }

    /// A PNG with a palette.
    pub(crate) fn png_with(
        &self,
        name: &str,
        [height, width]: [u32; 2],
        colour: png::ColorType,
        depth: png::BitDepth,
        data: &[u8],
        palette: Option<&[u8]>,
    ) -> PathBuf {
        let path = self.at(name);
        let file = BufWriter::new(File::create(&path).unwrap());
        let mut encoder = png::Encoder::new(file, width, height);
        encoder.set_color(colour);
        encoder.set_depth(depth);
        if let Some(palette) = palette {
            encoder.set_palette(palette.to_vec());
        }
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        path
    }

    /// An 8-bit grey PNG.
    pub(crate) fn grey_png(&self, name: &str, size: [u32; 2], data: &[u8]) -> PathBuf {
        self.png(name, size, png::ColorType::Grayscale, png::BitDepth::Eight, data)
    }

    /// A TIFF with one page per entry of `pages`.
    pub(crate) fn tiff<C: colortype::ColorType>(
        &self,
        name: &str,
        size: [u32; 2],
        compression: Compression,
        pages: &[Vec<C::Inner>],
    ) -> PathBuf
    where
        [C::Inner]: TiffValue,
    {
        self.write(name, &tiff_bytes::<C>(size, compression, pages))
    }

    /// An uncompressed 8-bit TIFF of one page.
    pub(crate) fn grey_tiff(&self, name: &str, size: [u32; 2], data: &[u8]) -> PathBuf {
        self.tiff::<colortype::Gray8>(name, size, Compression::Uncompressed, &[data.to_vec()])
    }
}

/// The bytes of a TIFF with one page per entry of `pages`.
pub(crate) fn tiff_bytes<C: colortype::ColorType>(
    [height, width]: [u32; 2],
    compression: Compression,
    pages: &[Vec<C::Inner>],
) -> Vec<u8>
where
    [C::Inner]: TiffValue,
{
    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes).unwrap().with_compression(compression);
    for page in pages {
        encoder.write_image::<C>(width, height, page).unwrap();
    }
    bytes.into_inner()
}

/// A tag of a hand-made TIFF: number and values, all written as 32-bit numbers.
pub(crate) type Tag<'a> = (u16, &'a [u32]);

/// A hand-made TIFF of one page, for what no encoder at hand writes. The pixels start at byte 8;
/// `description` is ASCII; big-endian if `big`.
pub(crate) fn raw_tiff(big: bool, tags: &[Tag<'_>], description: &str, pixels: &[u8]) -> Vec<u8> {
    let u16s = |v: u16| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    let u32s = |v: u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    let mut bytes = if big { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
    let padded = pixels.len().next_multiple_of(4);
    bytes.extend(u32s(8 + padded as u32));
    bytes.extend(pixels);
    bytes.resize(8 + padded, 0);

    let mut tags: Vec<(u16, u16, Vec<u8>, u32)> = tags
        .iter()
        .map(|(tag, values)| {
            let data = values.iter().flat_map(|&v| u32s(v)).collect();
            (*tag, 4, data, values.len() as u32)
        })
        .collect();
    if !description.is_empty() {
        let text: Vec<u8> = description.bytes().chain([0]).collect();
        let count = text.len() as u32;
        tags.push((270, 2, text, count));
    }
    tags.sort_by_key(|tag| tag.0);
    // Values of more than four bytes follow the directory.
    let mut outside = Vec::new();
    let start = bytes.len() + 2 + 12 * tags.len() + 4;
    bytes.extend(u16s(tags.len() as u16));
    for (tag, kind, mut data, count) in tags {
        bytes.extend(u16s(tag));
        bytes.extend(u16s(kind));
        bytes.extend(u32s(count));
        if data.len() > 4 {
            bytes.extend(u32s((start + outside.len()) as u32));
            data.resize(data.len().next_multiple_of(4), 0);
            outside.extend(data);
        } else {
            data.resize(4, 0);
            bytes.extend(data);
        }
    }
    bytes.extend(u32s(0));
    bytes.extend(outside);
    bytes
}

/// Values that differ from pixel to pixel and from section to section.
pub(crate) fn ramp(section: usize, count: usize) -> Vec<u8> {
    (0..count).map(|i| (i * 7 + section * 31) as u8).collect()
}

/// As the volume should give them.
pub(crate) fn floats(values: &[u8]) -> Vec<f32> {
    values.iter().map(|&v| v.into()).collect()
}
