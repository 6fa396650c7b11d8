//! TIFF and BigTIFF: one section per page, in strips or tiles; uncompressed, LZW, deflate,
//! PackBits, fax (group 4) or JPEG; 1 to 64 bits; grey or RGB, with or without alpha.
//!
//! The format: <https://www.loc.gov/preservation/digital/formats/fdd/fdd000022.shtml>. ImageJ
//! writes stacks beyond 4 GiB with one directory only, and says in its description how many
//! images follow; those are read too ([`Layout::Contiguous`]).

use super::axes::{Arranged, Arrangement};
use super::bands::label_rows_of_section;
use super::open::Opening;
use super::pixels::{AsGrey, AsLabels, Header, Palette, Reading};
use super::{Dtype, LabelValue, Region, Section, Volume, block_of_sections, check_section};
use crate::{Error, Result};
use ::tiff::decoder::{Decoder, Limits};
use ::tiff::tags::ByteOrder;
use ::tiff::{TiffError, TiffFormatError};
use std::fs::File;
use std::io::BufReader;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

mod array;
mod axes;
mod description;
mod lzw;
mod ome_set;
mod palette;
mod read;
mod survey;
mod tiles;

use description::{Description, Said};
use palette::Source;
use read::read_at;
use survey::survey;
use tiles::{As, Tiles};

pub(super) use ome_set::OmeSet;

type Open = Decoder<BufReader<Source>>;

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
    /// Rows and columns of the tiles or strips, where all pages have the same and single ones can
    /// be read.
    tile: Option<[u32; 2]>,
    /// Channels of the first page.
    samples: usize,
    /// Whether the channels of the first page lie one after another.
    planar: bool,
    /// Whether the numbers are indices of a palette of colours.
    is_index: bool,
    /// Where the pages say that they have a palette.
    indices: Arc<[u64]>,
    /// What the sections are.
    sections: Vec<Place>,
    /// What the first page's description says.
    text: Description,
}

/// What a section is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// The number of its image among those of the file.
    image: usize,
    /// Its channel, of images with several; without it all must agree.
    sample: Option<usize>,
}

impl Contents {
    /// How many sections the file holds.
    pub(super) fn sections(&self) -> usize {
        self.sections.len()
    }

    /// Bytes of a decoded section, with all of the channels that are let through.
    fn section_bytes(&self) -> usize {
        let Header { height, width, bits, .. } = self.header;
        height * width * self.samples.max(4) * usize::from(bits).div_ceil(8)
    }
}

/// A multi-page file as a volume.
pub(super) struct TiffStack {
    path: PathBuf,
    contents: Contents,
    /// For pages that are read by tile.
    tiles: Option<Tiles>,
    voxel_nm: Option<[f64; 3]>,
    /// Decoders that nobody is using. Finding a page again costs a walk over all directories before
    /// it, which an open decoder remembers.
    idle: Mutex<Vec<Open>>,
}

impl TiffStack {
    /// Reads all directories of a file, checks that what they promise is there, and finds out which
    /// pages are the sections.
    pub(super) fn open(path: &Path, opening: &Opening) -> Result<Box<dyn Volume>> {
        let (mut contents, decoder) = survey(path, opening.palette)?;
        if let Said::Set(xml) = &contents.text.said {
            if opening.axes.axes.is_none() {
                return OmeSet::open(path, xml, opening);
            }
            let note = "it belongs to a set of files, of which --axes reads its own pages alone";
            contents.note = Some(match contents.note.take() {
                Some(other) => format!("{other}; {note}"),
                None => format!("{}: {note}", path.display()),
            });
        }
        let wrong = |what: String| Error::Input(format!("{}: {what}", path.display()));
        let axes = axes::FileAxes::of(&contents, opening).map_err(wrong)?;
        let arrangement: Arrangement = axes.arrange(opening).map_err(wrong)?;
        let sections = axes.sections(&arrangement);
        if let Some(sections) = &sections {
            contents.sections.clone_from(sections);
        }
        if contents.sections.iter().any(|place| place.sample.is_some()) {
            contents.tile = None;
        }
        let decoder = decoder.with_limits(limits(contents.section_bytes()));
        let tiles = Tiles::of(&contents);
        let idle = Mutex::new(vec![decoder]);
        let voxel_nm = arrangement.voxel_nm(&axes.steps);
        let stack = Self { path: path.to_path_buf(), contents, tiles, voxel_nm, idle };
        if sections.is_some() {
            return Ok(Box::new(stack));
        }
        let array = array::TiffArray::new(stack, axes, opening.is_labels());
        Ok(Box::new(Arranged::volume(array, arrangement).map_err(wrong)?))
    }

    /// Does something with a decoder that nobody else is using.
    fn with_decoder<T>(&self, act: impl FnOnce(&mut Open) -> Result<T>) -> Result<T> {
        let idle = self.idle().pop();
        let mut decoder = match idle {
            Some(decoder) => decoder,
            None => open(&self.path, self.contents.section_bytes(), &self.contents.indices)?,
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
        let place = self.contents.sections[z];
        let pixels = self.with_decoder(|decoder| {
            read_at(&self.path, decoder, &self.contents, place, &mut AsGrey)
        })?;
        Ok(Section { height, width, pixels })
    }

    fn read_labels(&self, z: usize, label: &mut dyn FnMut(LabelValue) -> u8) -> Result<Vec<u8>> {
        check_section(z, self.contents.sections(), &self.path.display().to_string())?;
        if self.tiles.is_some() {
            return self.read_label_rows(z, 0..self.contents.header.height, label);
        }
        let mut reading = AsLabels(label);
        let place = self.contents.sections[z];
        self.with_decoder(|decoder| {
            read_at(&self.path, decoder, &self.contents, place, &mut reading)
        })
    }

    fn read_label_rows(
        &self,
        z: usize,
        rows: Range<usize>,
        label: &mut dyn FnMut(LabelValue) -> u8,
    ) -> Result<Vec<u8>> {
        let Some(tiles) = &self.tiles else { return label_rows_of_section(self, z, rows, label) };
        let read = |tile: &Region| {
            self.with_decoder(|decoder| tiles.read(&self.path, decoder, tile, As::Stored))
        };
        tiles.stored.read_labels(&self.path.display(), z, rows, read, label)
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
                self.with_decoder(|decoder| tiles.read(&self.path, decoder, tile, As::Shown))
            }),
            None => block_of_sections(self, block),
        }
    }

    fn section_name(&self, z: usize) -> String {
        let page = self.contents.sections.get(z).map_or(z, |place| place.image);
        format!("page {} of {}", page + 1, self.path.display())
    }

    fn section_file(&self, _z: usize) -> Option<&Path> {
        (self.contents.sections() == 1).then_some(&*self.path)
    }

    fn notes(&self) -> Vec<String> {
        self.contents.note.iter().cloned().collect()
    }

    fn voxel_nm(&self) -> Option<[f64; 3]> {
        self.voxel_nm
    }
}

/// What a file holds, for files that are one section of a folder.
pub(super) fn contents(path: &Path, palette: Palette) -> Result<Contents> {
    Ok(survey(path, palette)?.0)
}

/// Reads section `z` of a file that is not kept open.
pub(super) fn read<R: Reading>(
    path: &Path,
    contents: &Contents,
    z: usize,
    reading: &mut R,
) -> Result<Vec<R::Out>> {
    let mut decoder = open(path, contents.section_bytes(), &contents.indices)?;
    read_at(path, &mut decoder, contents, contents.sections[z], reading)
}

/// Opens a file whose decoded sections have at most `section` bytes, and whose pages say at
/// `indices` that they have a palette.
fn open(path: &Path, section: usize, indices: &Arc<[u64]>) -> Result<Open> {
    let file = File::open(path).map_err(|e| Error::io(path, "opening it", e))?;
    let source = Source::new(file, Arc::clone(indices));
    let decoder = Decoder::new(BufReader::new(source)).map_err(|e| failed(path, e))?;
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
