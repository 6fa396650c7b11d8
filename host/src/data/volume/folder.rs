//! A folder of sections, one TIFF or PNG file each.

use super::axes::{Arranged, Axis, Blocks, NdArray};
use super::open::Opening;
use super::pixels::{AsGrey, AsLabels, AsStored, Header, Palette, Reading};
use super::tiff::Contents;
use super::{Dtype, LabelValue, Section, Volume, check_section, numbering, png, tiff};
use crate::{Error, Result};
use rayon::prelude::*;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One file of the folder.
struct Entry {
    path: PathBuf,
    number: u64,
    header: Header,
    kind: Kind,
}

/// What reads the file.
enum Kind {
    Png,
    Tiff(Box<Contents>),
}

/// A folder as a volume, in the order of the numbers in the file names (see [`numbering`]).
pub(super) struct FolderVolume {
    entries: Vec<Entry>,
    shape: [usize; 3],
    dtype: Dtype,
    palette: Palette,
    notes: Vec<String>,
}

/// The endings that are taken for sections.
const ENDINGS: [&str; 3] = ["tif", "tiff", "png"];

impl FolderVolume {
    /// Reads the headers of all sections and checks that they make one volume.
    pub(super) fn open(folder: &Path, palette: Palette) -> Result<Self> {
        let (paths, others) = list(folder)?;
        let mut notes = Vec::new();
        if paths.is_empty() {
            return Err(Error::Input(format!(
                "{}: the folder holds no TIFF or PNG files{}; name the folder with the sections",
                folder.display(),
                if others.is_empty() { "" } else { ", only others" },
            )));
        }
        if let Some(first) = others.first() {
            let count = others.len();
            notes.push(format!(
                "{}: {count} file(s) that are neither TIFF nor PNG left out, {first} for one",
                folder.display()
            ));
        }
        let stems: Vec<String> = paths
            .iter()
            .map(|p| p.file_stem().unwrap_or_default().to_string_lossy().into_owned())
            .collect();
        let numbering = numbering::section_numbers(&stems, |i| paths[i].display().to_string())
            .map_err(Error::Input)?;
        notes.extend(numbering.note);

        // Reading headers is all waiting; on a network drive one after the other takes minutes.
        let headers: Vec<Result<(Header, Kind)>> =
            paths.par_iter().map(|path| read_header(path, palette)).collect();
        let mut entries = Vec::with_capacity(paths.len());
        for ((path, number), header) in paths.into_iter().zip(numbering.numbers).zip(headers) {
            let (header, kind) = header?;
            if let Kind::Tiff(contents) = &kind {
                notes.extend(contents.note.clone());
            }
            entries.push(Entry { path, number, header, kind });
        }
        entries.sort_by_key(|entry| entry.number);
        check_sizes(&entries)?;
        notes.extend(mixed_depths(&entries));
        let numbers: Vec<u64> = entries.iter().map(|entry| entry.number).collect();
        notes.extend(numbering::gaps(&numbers).map(|n| format!("{}: {n}", folder.display())));

        let Header { height, width, .. } = entries[0].header;
        let dtype = entries.iter().map(|e| e.header.dtype).max().unwrap_or(Dtype::U8);
        Ok(Self { shape: [entries.len(), height, width], dtype, palette, notes, entries })
    }

    /// A volume of one section.
    pub(super) fn single(path: &Path, palette: Palette) -> Result<Self> {
        let (header, kind) = read_header(path, palette)?;
        let shape = [1, header.height, header.width];
        let entry = Entry { path: path.to_path_buf(), number: 0, header, kind };
        Ok(Self { entries: vec![entry], shape, dtype: header.dtype, palette, notes: Vec::new() })
    }
}

impl FolderVolume {
    /// The same with its axes as `opening` wants them.
    pub(super) fn arranged(self, path: &Path, opening: &Opening) -> Result<Box<dyn Volume>> {
        let wrong = |what: String| Error::Input(format!("{}: {what}", path.display()));
        let shape = self.shape.map(|side| side as u64);
        let arrangement =
            opening.arrange(&shape, Some(&[Axis::Z, Axis::Y, Axis::X])).map_err(wrong)?;
        if let [_, Some(1), Some(2)] = arrangement.axes() {
            return Ok(Box::new(self));
        }
        let array = FolderArray { name: path.to_path_buf(), shape, folder: self };
        Ok(Box::new(Arranged::volume(array, arrangement).map_err(wrong)?))
    }

    fn read<R: Reading>(&self, z: usize, reading: &mut R) -> Result<Vec<R::Out>> {
        let entry = &self.entries[z];
        match &entry.kind {
            Kind::Png => png::read(&entry.path, entry.header, self.palette, reading),
            Kind::Tiff(contents) => tiff::read(&entry.path, contents, 0, reading),
        }
    }
}

impl Volume for FolderVolume {
    fn shape(&self) -> [usize; 3] {
        self.shape
    }

    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn read_section(&self, z: usize) -> Result<Section> {
        check_section(z, self.entries.len(), "the folder")?;
        let Header { height, width, .. } = self.entries[z].header;
        Ok(Section { height, width, pixels: self.read(z, &mut AsGrey)? })
    }

    fn read_labels(&self, z: usize, label: &mut dyn FnMut(LabelValue) -> u8) -> Result<Vec<u8>> {
        check_section(z, self.entries.len(), "the folder")?;
        self.read(z, &mut AsLabels(label))
    }

    fn section_name(&self, z: usize) -> String {
        self.entries
            .get(z)
            .map_or_else(|| format!("section {z}"), |entry| entry.path.display().to_string())
    }

    fn section_number(&self, z: usize) -> Option<u64> {
        // A lone file has nothing to be paired by.
        (self.entries.len() > 1).then(|| self.entries.get(z).map(|entry| entry.number)).flatten()
    }

    fn section_file(&self, z: usize) -> Option<&Path> {
        self.entries.get(z).map(|entry| &*entry.path)
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

/// A folder whose rows or columns are other axes than those of its files.
struct FolderArray {
    name: PathBuf,
    shape: [u64; 3],
    folder: FolderVolume,
}

impl NdArray for FolderArray {
    fn name(&self) -> String {
        self.name.display().to_string()
    }

    fn shape(&self) -> &[u64] {
        &self.shape
    }

    fn blocks(&self) -> Blocks {
        Blocks::Pages
    }

    fn dtype(&self) -> Dtype {
        self.folder.dtype
    }

    fn noticed(&self) -> Vec<String> {
        self.folder.notes()
    }

    fn decode(&self, ranges: &[Range<u64>]) -> Result<Vec<u8>> {
        let pixel = usize::from(self.dtype().bytes());
        let [sections, rows, columns] =
            [0, 1, 2].map(|axis| ranges[axis].start as usize..ranges[axis].end as usize);
        let mut bytes = Vec::new();
        for z in sections {
            let numbers = match self.folder.palette {
                Palette::Index => self.folder.read(z, &mut AsStored::<true>(self.dtype()))?,
                Palette::Refuse => self.folder.read(z, &mut AsStored::<false>(self.dtype()))?,
            };
            for row in numbers.chunks_exact(self.folder.shape[2]).skip(rows.start).take(rows.len())
            {
                bytes.extend(row[columns.clone()].iter().flat_map(|number| &number[..pixel]));
            }
        }
        Ok(bytes)
    }
}

/// The section files of a folder in the order of their names, and the names of other files.
fn list(folder: &Path) -> Result<(Vec<PathBuf>, Vec<String>)> {
    let io = |e| Error::io(folder, "listing the folder", e);
    let (mut sections, mut others) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Hidden files (`._01.tif` of macOS among them) and Windows' thumbnails are nobody's
        // sections.
        if name.starts_with('.') || name.eq_ignore_ascii_case("thumbs.db") || path.is_dir() {
            continue;
        }
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        if ending.is_some_and(|e| ENDINGS.contains(&e.as_str())) {
            sections.push(path);
        } else {
            others.push(name);
        }
    }
    sections.sort();
    others.sort();
    Ok((sections, others))
}

/// The header of one section, by what the file holds and not by how it is called.
fn read_header(path: &Path, palette: Palette) -> Result<(Header, Kind)> {
    match super::open::sniff(path)? {
        super::open::Format::Png => Ok((png::header(path, palette)?, Kind::Png)),
        super::open::Format::Tiff => {
            let contents = tiff::contents(path, palette)?;
            if contents.sections() > 1 {
                return Err(Error::Input(format!(
                    "{}: the file has {} pages, but in a folder each file is one section; name the \
                     file itself to use its pages",
                    path.display(),
                    contents.sections()
                )));
            }
            Ok((contents.header, Kind::Tiff(Box::new(contents))))
        }
        super::open::Format::Ome => Err(Error::Input(format!(
            "{}: it describes other files, and is no section of a folder; name the file itself",
            path.display()
        ))),
        super::open::Format::Mrc | super::open::Format::Hdf5 => Err(Error::Input(format!(
            "{}: MRC and HDF5 files are volumes of their own, not sections of a folder; name the \
            file itself",
            path.display()
        ))),
    }
}

/// An error naming two files whose sizes differ: the first, and the first unlike it.
fn check_sizes(entries: &[Entry]) -> Result<()> {
    let size = |entry: &Entry| (entry.header.height, entry.header.width);
    // If the first file is the odd one out, naming it still helps: it is one of the two.
    let first = &entries[0];
    match entries.iter().find(|entry| size(entry) != size(first)) {
        None => Ok(()),
        Some(odd) => Err(Error::Input(format!(
            "sections differ in size: {} is {} x {} and {} is {} x {} (rows x columns); all \
            sections \
             must have one size",
            first.path.display(),
            first.header.height,
            first.header.width,
            odd.path.display(),
            odd.header.height,
            odd.header.width,
        ))),
    }
}

/// A note on files that store their pixels differently.
fn mixed_depths(entries: &[Entry]) -> Option<String> {
    let kind = |entry: &Entry| (entry.header.dtype, entry.header.bits);
    let first = entries.first()?;
    let odd = entries.iter().find(|entry| kind(entry) != kind(first))?;
    let show = |entry: &Entry| {
        let Header { bits, dtype, .. } = entry.header;
        let depth = if bits < 8 { format!("{bits}-bit") } else { dtype.to_string() };
        format!("{} is {depth}", entry.path.display())
    };
    let effect = match first.header.dtype == odd.header.dtype {
        true => "fewer bits are stretched to 0 to 255",
        false => "their values are taken as they are, on different scales",
    };
    Some(format!("mixed bit depths: {} and {}; {effect}", show(first), show(odd)))
}
