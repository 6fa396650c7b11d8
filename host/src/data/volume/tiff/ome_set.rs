//! OME-TIFF images whose planes lie in several files: one of them describes all, or a companion
//! file (`*.companion.ome`) does.
//!
//! Source: [OME-TIFF](https://ome-model.readthedocs.io/en/stable/ome-tiff/specification.html).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::read::read_at;
use super::{Contents, Description, Layout, Open, Place, open, survey};
use crate::data::volume::open::Opening;
use crate::data::volume::pixels::{AsGrey, AsLabels, Header, Reading};
use crate::data::volume::{Dtype, LabelValue, Section, Volume, check_section};
use crate::{Error, Result};

mod xml;

use xml::{Image, Plane};

/// What describes an image is small, even where it has many planes.
const MAX_XML: u64 = 64 << 20;
/// Notes of single files that are kept.
const MOST_NOTES: usize = 3;

/// An image whose sections lie in several files.
pub(in super::super) struct OmeSet {
    /// The file that was named.
    path: PathBuf,
    files: Vec<(PathBuf, Contents)>,
    /// Which file a section lies in, and where.
    sections: Vec<(usize, Place)>,
    voxel_nm: Option<[f64; 3]>,
    notes: Vec<String>,
    /// The decoder that was used last, and of which file.
    idle: Mutex<Option<(usize, Open)>>,
}

impl OmeSet {
    /// Opens the image that a companion file describes.
    pub(in super::super) fn open_companion(
        path: &Path,
        opening: &Opening,
    ) -> Result<Box<dyn Volume>> {
        Self::described(path, path, &companion(path)?, None, opening)
    }

    /// Opens the image that the OME-XML of a TIFF file describes, or whose companion it names.
    pub(super) fn open(path: &Path, xml: &str, opening: &Opening) -> Result<Box<dyn Volume>> {
        let wrong = |what: String| Error::Input(format!("{}: {what}", path.display()));
        let Some(metadata) = xml::metadata_file(xml).map_err(wrong)? else {
            return Self::described(path, path, xml, Some(path), opening);
        };
        let beside = beside(path, &metadata).map_err(wrong)?;
        if !beside.is_file() {
            return Err(wrong(format!(
                "its description lies in {metadata}, which is not beside it; copy it there, or, if \
                the pages of this file are all that is wanted, say so with --axes ZYX"
            )));
        }
        Self::described(path, &beside, &companion(&beside)?, None, opening)
    }

    /// `own` is the file that the description lies in, if that has planes.
    fn described(
        path: &Path,
        at: &Path,
        xml: &str,
        own: Option<&Path>,
        opening: &Opening,
    ) -> Result<Box<dyn Volume>> {
        let wrong = |what: String| Error::Input(format!("{}: {what}", at.display()));
        let image = Image::parse(xml).map_err(wrong)?;
        let place = |file: &Option<String>| match (file, own) {
            (Some(name), Some(own)) if image.is_own(name) => Ok(own.to_path_buf()),
            (Some(name), _) => beside(at, name),
            (None, Some(own)) => Ok(own.to_path_buf()),
            (None, None) => Err("it names no file for some planes; save it again".into()),
        };
        // Files without a number of planes hold as many as they have pages.
        let mut pages = BTreeMap::new();
        for file in image.uncounted() {
            let path = place(file).map_err(wrong)?;
            pages.insert(file.clone(), contents_of(&path, opening)?.sections() as u64);
        }
        let planes = image.planes(&pages).map_err(wrong)?;
        let shape = image.shape();
        let arrangement = opening.arrange(&shape, Some(&image.said())).map_err(wrong)?;
        let lead = shape.len() - 2;
        let [z, y, x] = arrangement.axes();
        if (y, x) != (Some(lead), Some(lead + 1)) {
            return Err(wrong(
                "--axes turns the rows or columns of an image that lies in several files, which \
                isn't done; save it as one file"
                    .into(),
            ));
        }
        let mut index: Vec<u64> = (0..lead).map(|axis| arrangement.fixed(axis)).collect();
        let mut wanted: Vec<&Plane> = Vec::new();
        for section in 0..z.map_or(1, |z| shape[z]) {
            if let Some(z) = z {
                index[z] = section;
            }
            let number = index.iter().zip(&shape).fold(0, |n, (at, side)| n * side + at);
            wanted.push(planes[number as usize].as_ref().ok_or_else(|| {
                wrong(format!(
                    "its OME-XML says of {} of its {} planes not where they are; save it again",
                    planes.iter().filter(|plane| plane.is_none()).count(),
                    planes.len()
                ))
            })?);
        }
        let mut numbers = BTreeMap::new();
        let mut paths = Vec::new();
        for plane in &wanted {
            if !numbers.contains_key(&plane.file) {
                numbers.insert(&plane.file, paths.len());
                paths.push(place(&plane.file).map_err(wrong)?);
            }
        }
        let open = |file: PathBuf| {
            if !file.is_file() {
                return Err(wrong(format!(
                    "it belongs to a set of files, and {} is not there; copy it there",
                    file.display()
                )));
            }
            let contents = contents_of(&file, opening)?;
            Ok((file, contents))
        };
        let files: Vec<Result<_>> = paths.into_par_iter().map(open).collect();
        let files = files.into_iter().collect::<Result<Vec<(PathBuf, Contents)>>>()?;
        check(&files, &image).map_err(wrong)?;
        let mut sections = Vec::new();
        for plane in wanted {
            let number = numbers[&plane.file];
            let (file, contents) = &files[number];
            let image = page_of(contents, plane.page).ok_or_else(|| {
                wrong(format!(
                    "a plane is page {} of {}, which has {}; copy it again",
                    plane.page + 1,
                    file.display(),
                    contents.sections()
                ))
            })?;
            sections.push((number, Place { image, sample: None }));
        }
        let mut steps = vec![None; lead];
        if let Some(z) = image.z() {
            steps[z] = image.scale.nm[0];
        }
        steps.extend(&image.scale.nm[1..]);
        let notes = arrangement.note().map(|note| format!("{}: {note}", at.display()));
        let of_files = files.iter().filter_map(|(_, contents)| contents.note.clone());
        let notes = notes.into_iter().chain(of_files.take(MOST_NOTES)).collect();
        let voxel_nm = arrangement.voxel_nm(&steps);
        let (path, idle) = (path.to_path_buf(), Mutex::default());
        Ok(Box::new(Self { path, files, sections, voxel_nm, notes, idle }))
    }

    fn read<R: Reading>(&self, z: usize, reading: &mut R) -> Result<Vec<R::Out>> {
        check_section(z, self.sections.len(), &self.path.display().to_string())?;
        let (number, place) = self.sections[z];
        let (path, contents) = &self.files[number];
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut decoder = match idle {
            Some((of, decoder)) if of == number => decoder,
            _ => open(path, contents.section_bytes(), &contents.indices)?,
        };
        let pixels = read_at(path, &mut decoder, contents, place, reading)?;
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some((number, decoder));
        Ok(pixels)
    }

    fn header(&self) -> Header {
        self.files[0].1.header
    }
}

impl Volume for OmeSet {
    fn shape(&self) -> [usize; 3] {
        let Header { height, width, .. } = self.header();
        [self.sections.len(), height, width]
    }

    fn dtype(&self) -> Dtype {
        self.header().dtype
    }

    fn read_section(&self, z: usize) -> Result<Section> {
        let Header { height, width, .. } = self.header();
        Ok(Section { height, width, pixels: self.read(z, &mut AsGrey)? })
    }

    fn read_labels(&self, z: usize, label: &mut dyn FnMut(LabelValue) -> u8) -> Result<Vec<u8>> {
        self.read(z, &mut AsLabels(label))
    }

    fn section_name(&self, z: usize) -> String {
        match self.sections.get(z) {
            Some((number, place)) => {
                format!("page {} of {}", place.image + 1, self.files[*number].0.display())
            }
            None => format!("section {z}"),
        }
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn voxel_nm(&self) -> Option<[f64; 3]> {
        self.voxel_nm
    }
}

fn contents_of(path: &Path, opening: &Opening) -> Result<Contents> {
    Ok(survey(path, opening.palette)?.0)
}

/// The number of a page among those that are no previews.
fn page_of(contents: &Contents, page: u64) -> Option<usize> {
    match &contents.layout {
        Layout::Pages(pages) => pages.iter().position(|&other| other as u64 == page),
        Layout::Contiguous { count, .. } => usize::try_from(page).ok().filter(|page| page < count),
    }
}

/// Refuses files that differ in size or type, or are not as they are described.
fn check(files: &[(PathBuf, Contents)], image: &Image) -> std::result::Result<(), String> {
    let (first, one) = &files[0];
    for (path, contents) in files {
        let (header, wanted) = (contents.header, one.header);
        if (header.height, header.width, header.dtype)
            != (wanted.height, wanted.width, wanted.dtype)
        {
            return Err(format!(
                "the files of its set differ: {} has {} x {} pixels of {} (rows x columns), and {} \
                has {} x {} of {}; they must have one size and type",
                first.display(),
                wanted.height,
                wanted.width,
                wanted.dtype,
                path.display(),
                header.height,
                header.width,
                header.dtype
            ));
        }
        if contents.samples > 1 {
            return Err(format!(
                "{} holds a picture in colour; of a set of files only grey ones are read, save it \
                as one file",
                path.display()
            ));
        }
    }
    let size = [one.header.height as u64, one.header.width as u64];
    if size != image.size {
        return Err(format!(
            "its OME-XML speaks of {} x {} pixels (rows x columns), and {} has {} x {}; save it \
            again",
            image.size[0],
            image.size[1],
            first.display(),
            size[0],
            size[1]
        ));
    }
    Ok(())
}

/// A file beside another one, by the name that a description gives it.
///
/// Errors: a name that leads elsewhere.
fn beside(path: &Path, name: &str) -> std::result::Result<PathBuf, String> {
    let is_name = !matches!(name, "" | "." | "..") && !name.contains(['/', '\\', ':', '\0']);
    match is_name {
        true => Ok(path.with_file_name(name)),
        false => Err(format!(
            "its OME-XML names the file {name:?}, which is not one beside it; files of a set have \
            to lie in one folder"
        )),
    }
}

/// The OME-XML of a companion: a file of its own, or the description in a TIFF.
fn companion(path: &Path) -> Result<String> {
    let wrong = |what: &str| Error::Input(format!("{}: {what}", path.display()));
    let failed = |e| Error::io(path, "reading it", e);
    if super::super::open::sniff(path)? == super::super::open::Format::Tiff {
        return match Description::parse(&survey::description(path)?).said {
            super::description::Said::Set(xml) => Ok(xml),
            _ => Err(wrong("it should describe a set of files, and does not; save it again")),
        };
    }
    if std::fs::metadata(path).map_err(failed)?.len() > MAX_XML {
        return Err(wrong("more than 64 MiB are too many for OME-XML"));
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    String::from_utf8(bytes).map_err(|_| wrong("it is no OME-XML, since it is no text of UTF-8"))
}
