//! What the attributes of a dataset say of its axes: ilastik's `axistags`, or the labels of HDF5's
//! dimensions.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use rust_hdf5::H5Dataset;
use rust_hdf5::format::messages::datatype::DatatypeMessage;

use crate::data::volume::axes::{Axis, names};

/// What the axes of a dataset are, where it says so.
pub(super) fn of(dataset: &H5Dataset, file: &Path) -> Option<Vec<Axis>> {
    let tags = || names::of_axistags(&dataset.attr("axistags").ok()?.read_string().ok()?);
    tags().or_else(|| {
        let labels = dataset.attr("DIMENSION_LABELS").ok()?;
        let bytes = labels.read_raw().ok()?;
        let names = match labels.datatype().ok()? {
            DatatypeMessage::FixedString { size, .. } => {
                let text = |bytes: &[u8]| {
                    String::from_utf8_lossy(bytes).trim_end_matches(['\0', ' ']).to_owned()
                };
                bytes.chunks_exact((size as usize).max(1)).map(text).collect()
            }
            _ => heap_texts(file, &bytes)?,
        };
        Some(names.iter().map(|name| Axis::named(name)).collect())
    })
}

/// How far apart neighbours along z, y and x are, in nanometres: `element_size_um` as ImageJ's HDF5
/// plugins write it, or CREMI's `resolution`.
pub(super) fn voxel_nm(dataset: &H5Dataset) -> Option<[f64; 3]> {
    let three = |name: &str| -> Option<[f64; 3]> {
        dataset.attr(name).ok()?.read_numeric_as::<f64>().ok()?.try_into().ok()
    };
    let micrometres = || Some(three("element_size_um")?.map(|step| step * 1000.0));
    micrometres().or_else(|| three("resolution"))
}

/// Bytes of a reference to a text in a heap: its length, the address of the heap and its number
/// there.
const REFERENCE: usize = 16;
/// Names of axes are short; heaps that hold them too.
const MOST: u64 = 1 << 20;

/// Texts of any length, which lie in global heaps; empty where there is none.
///
/// Source: the [file format](https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html),
/// III.E. Addresses of 8 bytes alone are followed.
fn heap_texts(file: &Path, references: &[u8]) -> Option<Vec<String>> {
    let (references, []) = references.as_chunks::<REFERENCE>() else { return None };
    let mut file = File::open(file).ok()?;
    let base = start_of_file(&mut file)?;
    references.iter().map(|reference| heap_text(&mut file, base, reference)).collect()
}

/// Where the file begins behind what another program put before it.
fn start_of_file(file: &mut File) -> Option<u64> {
    let places = [0, 512, 1024, 2048, 4096, 8192];
    places
        .into_iter()
        .find(|&at| read_at(file, at, 8).is_some_and(|bytes| bytes == b"\x89HDF\r\n\x1a\n"))
}

fn read_at(file: &mut File, at: u64, length: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length.min(MOST)).ok()?];
    file.seek(SeekFrom::Start(at)).ok()?;
    file.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn heap_text(file: &mut File, base: u64, reference: &[u8; REFERENCE]) -> Option<String> {
    let (length, heap, wanted) =
        (number(&reference[..4]), number(&reference[4..12]), number(&reference[12..]));
    if length == 0 || heap == 0 || heap == u64::MAX {
        return Some(String::new());
    }
    let start = base.checked_add(heap)?;
    let header = read_at(file, start, 16)?;
    let size = number(&header[8..]);
    if &header[..4] != b"GCOL" || size > MOST {
        return None;
    }
    let heap = read_at(file, start, size)?;
    // Objects: number, references to it, length, and bytes that fill up to a multiple of 8.
    let mut at = 16_usize;
    while let Some(object) = heap.get(at..at.checked_add(16)?) {
        let (found, bytes) = (number(&object[..2]), number(&object[8..]));
        if found == wanted {
            let end = at.checked_add(16)?.checked_add(usize::try_from(length.min(bytes)).ok()?)?;
            let text = String::from_utf8_lossy(heap.get(at + 16..end)?);
            return Some(text.trim_end_matches('\0').to_owned());
        }
        if found == 0 {
            return None;
        }
        let filled = usize::try_from(bytes.checked_next_multiple_of(8)?).ok()?;
        at = at.checked_add(16)?.checked_add(filled)?;
    }
    None
}
