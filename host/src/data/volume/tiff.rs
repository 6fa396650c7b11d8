//! TIFF and BigTIFF: one section per page, in strips or tiles; uncompressed, LZW, deflate,
//! PackBits, fax (group 4) or JPEG; 1 to 64 bits; grey or RGB, with or without alpha.
//!
//! The format: <https://www.loc.gov/preservation/digital/formats/fdd/fdd000022.shtml>. ImageJ
//! writes stacks beyond 4 GiB with one directory only, and says in its description how many
//! images follow; those are read too ([`Layout::Contiguous`]).

use super::pixels::{
    AsGrey, AsLabels, Header, MAX_RATIO, Reading, Sample, check_size, one_channel, stretch,
    too_many_channels, unpack,
};
use super::{Dtype, LabelValue, Region, Section, Volume, block_of_sections, check_section};
use crate::{Error, Result};
use ::tiff::decoder::{Decoder, DecodingResult, Limits};
use ::tiff::tags::{
    ByteOrder, CompressionMethod, PhotometricInterpretation, PlanarConfiguration, SampleFormat, Tag,
};
use ::tiff::{ColorType, TiffError, TiffFormatError};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

mod description;
mod tiles;

use tiles::Tiles;

type Open = Decoder<BufReader<File>>;

/// More decoders than this are not kept open; each holds a file handle.
const OPEN_DECODERS: usize = 16;

/// Where the sections lie in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Layout {
    /// One directory per section: which ones.
    Pages(Vec<usize>),
    /// One directory, then all sections without a gap.
    Contiguous { start: u64, count: usize, channels: usize, order: ByteOrder },
}

/// What a TIFF file holds.
#[derive(Clone, Debug)]
pub(super) struct Contents {
    /// The same for all sections.
    pub(super) header: Header,
    /// What was noticed.
    pub(super) note: Option<String>,
    layout: Layout,
    /// Rows and columns of the tiles or strips, where all pages have the same and single ones can be read.
    tile: Option<[u32; 2]>,
}

impl Contents {
    /// How many sections the file holds.
    pub(super) fn sections(&self) -> usize {
        match &self.layout {
            Layout::Pages(pages) => pages.len(),
            Layout::Contiguous { count, .. } => *count,
        }
    }

    /// Bytes of a decoded section, with all of the channels that are let through.
    fn section_bytes(&self) -> usize {
        let Header { height, width, bits, .. } = self.header;
        height * width * 4 * usize::from(bits).div_ceil(8)
    }
}

/// A multi-page file as a volume.
pub(super) struct TiffStack {
    path: PathBuf,
    contents: Contents,
    /// For pages that are read by tile.
    tiles: Option<Tiles>,
    /// Decoders that nobody is using. Finding a page again costs a walk over all directories before
    /// it, which an open decoder remembers.
    idle: Mutex<Vec<Open>>,
}

impl TiffStack {
    /// Reads all directories of a file and checks that what they promise is there.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let (contents, decoder) = survey(path)?;
        let decoder = decoder.with_limits(limits(contents.section_bytes()));
        let tiles = Tiles::of(&contents);
        Ok(Self { path: path.to_path_buf(), contents, tiles, idle: Mutex::new(vec![decoder]) })
    }

    /// Does something with a decoder that nobody else is using.
    fn with_decoder<T>(&self, act: impl FnOnce(&mut Open) -> Result<T>) -> Result<T> {
        let idle = self.idle().pop();
        let mut decoder = match idle {
            Some(decoder) => decoder,
            None => open(&self.path, self.contents.section_bytes())?,
        };
        let done = act(&mut decoder)?;
        let mut idle = self.idle();
        if idle.len() < OPEN_DECODERS {
            idle.push(decoder);
        }
        Ok(done)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Open>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Volume for TiffStack {
    fn shape(&self) -> [usize; 3] {
        let Header { height, width, .. } = self.contents.header;
        [self.contents.sections(), height, width]
    }

    fn dtype(&self) -> Dtype {
        self.contents.header.dtype
    }

    fn read_section(&self, z: usize) -> Result<Section> {
        check_section(z, self.contents.sections(), &self.path.display().to_string())?;
        let Header { height, width, .. } = self.contents.header;
        let pixels = self
            .with_decoder(|decoder| read_at(&self.path, decoder, &self.contents, z, &mut AsGrey))?;
        Ok(Section { height, width, pixels })
    }

    fn read_labels(&self, z: usize, label: &mut dyn FnMut(LabelValue) -> u8) -> Result<Vec<u8>> {
        check_section(z, self.contents.sections(), &self.path.display().to_string())?;
        let mut reading = AsLabels(label);
        self.with_decoder(|decoder| read_at(&self.path, decoder, &self.contents, z, &mut reading))
    }

    fn chunk(&self) -> [usize; 3] {
        let [_, height, width] = self.shape();
        self.tiles.as_ref().map_or([1, height, width], |tiles| tiles.chunks.chunk())
    }

    fn memory_bytes(&self) -> usize {
        self.tiles.as_ref().map_or(0, |tiles| tiles.chunks.memory_bytes())
    }

    fn read_block(&self, block: &Region) -> Result<Vec<f32>> {
        match &self.tiles {
            Some(tiles) => tiles.chunks.read(&self.path.display(), block, |tile| {
                self.with_decoder(|decoder| tiles.read(&self.path, decoder, tile))
            }),
            None => block_of_sections(self, block),
        }
    }

    fn section_name(&self, z: usize) -> String {
        format!("page {} of {}", z + 1, self.path.display())
    }

    fn notes(&self) -> Vec<String> {
        self.contents.note.iter().cloned().collect()
    }
}

/// What a file holds, for files that are one section of a folder.
pub(super) fn contents(path: &Path) -> Result<Contents> {
    Ok(survey(path)?.0)
}

/// Reads section `z` of a file that is not kept open.
pub(super) fn read<R: Reading>(
    path: &Path,
    contents: &Contents,
    z: usize,
    reading: &mut R,
) -> Result<Vec<R::Out>> {
    read_at(path, &mut open(path, contents.section_bytes())?, contents, z, reading)
}

/// Opens a file whose decoded sections have at most `section` bytes.
fn open(path: &Path, section: usize) -> Result<Open> {
    let file = File::open(path).map_err(|e| Error::io(path, "opening it", e))?;
    let decoder = Decoder::new(BufReader::new(file)).map_err(|e| failed(path, e))?;
    Ok(decoder.with_limits(limits(section)))
}

/// What the decoder may allocate: tables of tags within its defaults, for a damaged file may claim
/// tables of any length, and sections as large as the survey found them.
fn limits(section: usize) -> Limits {
    let mut limits = Limits::default();
    limits.decoding_buffer_size = limits.decoding_buffer_size.max(section);
    // Strips were checked against the file's length, and are read through a small buffer.
    limits.intermediate_buffer_size = usize::MAX;
    limits
}

/// Reads all directories.
fn survey(path: &Path) -> Result<(Contents, Open)> {
    let length = std::fs::metadata(path).map_err(|e| Error::io(path, "reading it", e))?.len();
    let mut decoder = open(path, 0)?;
    let text = description::Description::parse(
        &decoder.get_tag_ascii_string(Tag::ImageDescription).unwrap_or_default(),
    );
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
                        "{}: pages differ in size: page {} is {} x {} and page {} is {} x {} (rows x \
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
    let left_out = (skipped > 0).then(|| format!("{skipped} preview or mask page(s) left out"));
    let turned = white_zero.then(|| {
        "its smallest value is said to be white (MinIsWhite): images are read as they are shown, labels as they are stored".into()
    });
    let notes: Vec<String> = left_out.into_iter().chain(turned).collect();
    let note = (!notes.is_empty()).then(|| format!("{}: {}", path.display(), notes.join("; ")));
    let contents = Contents { header, note, layout, tile };
    text.check_stack(path, contents.sections())?;
    Ok((contents, decoder))
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
    let channels = colour.num_samples();
    if channels > 4 {
        return Err(too_many_channels(&path.display().to_string(), channels.into()));
    }
    let promised = check_chunks(path, decoder, length)?;
    let row = (width as u64 * u64::from(channels) * u64::from(bits)).div_ceil(8);
    // What the bytes that are there can unfold to. A file that claims more is damaged, and believing
    // it would allocate memory for nothing.
    let possible = match compression(decoder).map_err(tiff)? {
        CompressionMethod::None => promised,
        CompressionMethod::LZW
        | CompressionMethod::Deflate
        | CompressionMethod::OldDeflate
        | CompressionMethod::PackBits => promised.saturating_mul(MAX_RATIO),
        CompressionMethod::ModernJPEG | CompressionMethod::Fax4 => u64::MAX,
        other => return Err(unsupported(&format!("{other:?} compression can't be read"))),
    };
    if possible < row * height as u64 {
        return Err(Error::Input(format!(
            "{}: page {} holds {promised} bytes of pixels where {height} x {width} take {} unpacked; \
             the file is damaged, copy or export it again",
            path.display(),
            page + 1,
            row * height as u64,
        )));
    }
    Ok(Header { height, width, bits, dtype })
}

fn compression(decoder: &mut Open) -> ::tiff::TiffResult<CompressionMethod> {
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

fn chunk_table(decoder: &mut Open) -> ::tiff::TiffResult<(Vec<u64>, Vec<u64>)> {
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

/// Reads section `z` with an open decoder.
fn read_at<R: Reading>(
    path: &Path,
    decoder: &mut Open,
    contents: &Contents,
    z: usize,
    reading: &mut R,
) -> Result<Vec<R::Out>> {
    let name = format!("{} (page {})", path.display(), z + 1);
    let header = contents.header;
    let page = match &contents.layout {
        Layout::Pages(pages) => pages[z],
        Layout::Contiguous { start, channels, order, .. } => {
            let bytes = header.height * header.width * channels * usize::from(header.bits / 8);
            let mut buffer = vec![0; bytes];
            let reader = decoder.inner();
            reader
                .seek(SeekFrom::Start(start + (z * bytes) as u64))
                .and_then(|_| reader.read_exact(&mut buffer))
                .map_err(|e| Error::io(path, "reading it", e))?;
            return from_bytes(&name, header, *channels, *order, &buffer, reading);
        }
    };
    let tiff = |e| failed(path, e);
    decoder.seek_to_image(page).map_err(tiff)?;
    let colour = decoder.colortype().map_err(tiff)?;
    // Pages of 1 and 8 bits may share a file.
    let header = Header { bits: colour.bit_depth(), ..header };
    let channels = usize::from(colour.num_samples());
    let planar = decoder
        .find_tag_unsigned::<u16>(Tag::PlanarConfiguration)
        .map_err(tiff)?
        .is_some_and(|p| p == PlanarConfiguration::Planar.to_u16());
    let mut result = DecodingResult::U8(Vec::new());
    decoder.read_image_to_buffer(&mut result).map_err(tiff)?;
    if R::LABELS && is_white_zero(decoder) {
        as_stored(&mut result);
    }
    let planes = Planes { name: &name, header, channels, planar };
    match &result {
        DecodingResult::U8(v) if header.bits < 8 => {
            let row = header.width * if planar { 1 } else { channels };
            let rows = header.height * if planar { channels } else { 1 };
            let mut values = unpack(v, header.bits, rows, row);
            values.iter_mut().for_each(|value| *value = stretch(*value, header.bits));
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

/// Whether the current page says that its smallest value is white, for which the decoder turns values around.
fn is_white_zero(decoder: &mut Open) -> bool {
    let tag = decoder.find_tag_unsigned::<u16>(Tag::PhotometricInterpretation);
    tag.ok().flatten() == Some(PhotometricInterpretation::WhiteIsZero.to_u16())
}

/// Turns values back into those of the file.
fn as_stored(values: &mut DecodingResult) {
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
}

impl Planes<'_> {
    fn read<T: Sample, R: Reading>(&self, values: &[T], reading: &mut R) -> Result<Vec<R::Out>> {
        let area = self.header.height * self.header.width;
        let Self { name, header, channels, .. } = *self;
        if !self.planar || channels == 1 {
            return one_channel(name, header, channels, values.iter().copied(), reading);
        }
        if values.len() < area * self.channels {
            return Err(Error::Input(format!("{}: a colour plane is missing", self.name)));
        }
        let of = |i: usize| values[i % self.channels * area + i / self.channels];
        one_channel(name, header, channels, (0..area * channels).map(of), reading)
    }
}

/// Values of whole bytes in a file's byte order.
fn from_bytes<R: Reading>(
    name: &str,
    header: Header,
    channels: usize,
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
            one_channel(name, header, channels, all, reading)
        }};
    }
    match header.dtype {
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
            Err(Error::Input(format!("{name}: half floats can't be read in such a stack")))
        }
    }
}

/// The message for a file that ends too early.
fn truncated(path: &Path, length: u64, needed: u64) -> Error {
    Error::Input(format!(
        "{}: the TIFF file is truncated: it is {length} bytes long and its pixels reach to byte \
         {needed}; copy or export it again",
        path.display()
    ))
}

/// A decoder's error with the file's name.
fn failed(path: &Path, error: TiffError) -> Error {
    let show = path.display();
    match error {
        TiffError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            Error::Input(format!(
                "{show}: the TIFF file is truncated: it ends in the middle; copy or export it again"
            ))
        }
        TiffError::IoError(e) => Error::io(path, "reading it", e),
        TiffError::FormatError(TiffFormatError::CycleInOffsets) => {
            Error::Input(format!("{show}: the TIFF file is damaged: its pages form a circle"))
        }
        TiffError::UnsupportedError(what) => Error::Input(format!(
            "{show}: this kind of TIFF can't be read ({what}); save it as 8 or 16 bit grey, \
             uncompressed or LZW or deflate"
        )),
        other => Error::Input(format!(
            "{show}: not a TIFF file that can be read ({other}); copy or export it again"
        )),
    }
}
