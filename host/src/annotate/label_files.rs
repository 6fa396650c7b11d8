//! A patch's labels on disk: an 8-bit grey PNG of the patch's size.
//!
//! 0 is background, 1 foreground, 254 marked as unsure, 255 not labelled yet.

use std::fs;
use std::io::{Cursor, ErrorKind};
use std::path::{Path, PathBuf};

use png::{BitDepth, ColorType};

use crate::data::files::{make_folder, sha256, write_atomically};
use crate::data::pool::Position;
use crate::data::volume::{FOREGROUND, IGNORED};
use crate::error::{Error, Result};

/// The label of a pixel that the person has marked as unsure.
pub const UNSURE: u8 = 254;
/// The label of a pixel that nobody has labelled yet.
pub const UNLABELLED: u8 = 255;

/// The folder below a project's.
pub(super) const FOLDER: &str = "labels";

/// The name of a patch in files: its position, zeros before so that names sort.
pub(super) fn name_of(at: Position) -> String {
    format!("z{:05}_y{:06}_x{:06}", at.z, at.y, at.x)
}

/// The position that a file's name says, whatever stands before and after.
pub(super) fn position_of(name: &str) -> Option<Position> {
    let number = |letter: char| -> Option<usize> {
        let start = name.rmatch_indices(letter).map(|(at, _)| at + 1).find(|&at| {
            name[at..].starts_with(|c: char| c.is_ascii_digit())
                && !name[..at - 1].ends_with(|c: char| c.is_ascii_alphanumeric())
        })?;
        let digits = name[start..].find(|c: char| !c.is_ascii_digit());
        name[start..digits.map_or(name.len(), |end| start + end)].parse().ok()
    };
    Some(Position { volume: 0, z: number('z')?, y: number('y')?, x: number('x')? })
}

pub(super) fn path_of(project: &Path, at: Position) -> PathBuf {
    project.join(FOLDER).join(format!("{}.png", name_of(at)))
}

/// What tells one state of labels from another.
pub(super) fn etag(labels: &[u8]) -> String {
    sha256(labels)[..16].to_string()
}

/// Labels as a training takes them: what is unsure is ignored.
pub(super) fn for_training(labels: &[u8]) -> Vec<u8> {
    labels.iter().map(|&label| if label > FOREGROUND { IGNORED } else { label }).collect()
}

/// Writes the labels of a patch; they are on the disk when this returns.
///
/// # Errors
/// If the disk is full or refuses; the file is then as before.
pub(super) fn write(project: &Path, at: Position, patch: usize, labels: &[u8]) -> Result<()> {
    let path = path_of(project, at);
    make_folder(&project.join(FOLDER))?;
    write_atomically(&path, &encode(labels, [patch, patch])?)
}

/// Reads the labels of a patch; all unlabelled where there is no file.
///
/// # Errors
/// [`Error::Input`] if the file is no picture of labels of the patch's size.
pub(super) fn read(project: &Path, at: Position, patch: usize) -> Result<Vec<u8>> {
    let path = path_of(project, at);
    match fs::symlink_metadata(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(vec![UNLABELLED; patch * patch]),
        _ => read_from(&path, patch),
    }
}

/// Reads labels of a patch of so many rows and columns from a file.
///
/// # Errors
/// As [`read`].
pub(super) fn read_from(path: &Path, patch: usize) -> Result<Vec<u8>> {
    let bytes = fs::read(path).map_err(|e| Error::io(path, "can't read the labels", e))?;
    let wrong = |what: String| {
        Error::Input(format!(
            "{}: {what}; put back a copy of the file, or delete it to label the patch anew",
            path.display()
        ))
    };
    let mut reader =
        png::Decoder::new(Cursor::new(bytes)).read_info().map_err(|e| wrong(e.to_string()))?;
    let info = reader.info();
    let is_ours = (info.color_type, info.bit_depth) == (ColorType::Grayscale, BitDepth::Eight)
        && [info.height, info.width] == [patch as u32; 2];
    if !is_ours {
        return Err(wrong(format!("not an 8-bit grey picture of {patch} x {patch} pixels")));
    }
    let mut labels = vec![0; patch * patch];
    reader.next_frame(&mut labels).map_err(|e| wrong(e.to_string()))?;
    match labels.iter().find(|label| (FOREGROUND + 1..UNSURE).contains(label)) {
        None => Ok(labels),
        Some(label) => Err(wrong(format!(
            "the label {label} is none of 0 (background), 1 (foreground), 254 (unsure), 255 (none)"
        ))),
    }
}

/// An 8-bit grey PNG of `[rows, columns]`.
pub(super) fn encode(pixels: &[u8], [height, width]: [usize; 2]) -> Result<Vec<u8>> {
    let failed = |e: png::EncodingError| Error::Input(format!("a PNG can't be written: {e}"));
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(pixels).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(FOLDER)).unwrap();
        let at = Position { volume: 0, z: 3, y: 120, x: 7 };
        assert_eq!(read(folder.path(), at, 16).unwrap(), vec![UNLABELLED; 256]);
        let labels: Vec<u8> = (0..256).map(|i| [0, 1, UNSURE, UNLABELLED][i * 7 % 4]).collect();
        write(folder.path(), at, 16, &labels).unwrap();
        assert_eq!(read(folder.path(), at, 16).unwrap(), labels);
        assert!(read(folder.path(), at, 32).unwrap_err().to_string().contains("32 x 32"));
        let other = encode(&[7; 256], [16, 16]).unwrap();
        fs::write(path_of(folder.path(), at), other).unwrap();
        assert!(read(folder.path(), at, 16).unwrap_err().to_string().contains("label 7"));
        fs::write(path_of(folder.path(), at), b"not a picture").unwrap();
        assert!(read(folder.path(), at, 16).is_err());
    }

    #[test]
    fn names_say_positions() {
        let at = Position { volume: 0, z: 3, y: 120, x: 70000 };
        assert_eq!(position_of(&name_of(at)), Some(at));
        assert_eq!(position_of("labels-z3_y120_x70000_anna2.tif"), Some(at));
        for wrong in ["", "labels.png", "z1_y2", "xyz", "z_y_x", "zebra1_y2_x"] {
            assert_eq!(position_of(wrong), None, "{wrong}");
        }
    }
}
