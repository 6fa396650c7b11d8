//! TIFFs as scanners write them.

use std::fs;
use std::path::Path;

/// Says in all pages of a TIFF that their smallest value is white (MinIsWhite).
pub(crate) fn white_is_zero(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    // Tag 262, one number of 16 bits: black is zero.
    let entry: [u8; 10] = [6, 1, 3, 0, 1, 0, 0, 0, 1, 0];
    let pages: Vec<usize> =
        (0..bytes.len()).filter(|&at| bytes[at..].starts_with(&entry)).collect();
    assert!(!pages.is_empty(), "{}: no page of grey values", path.display());
    for at in pages {
        bytes[at + 8] = 0;
    }
    fs::write(path, bytes).unwrap();
}
