//! Masks as they come, and which section they belong to.

use crate::files::{Folder, ramp};
use askem::volume::{LabelOptions, inspect, open_labels, open_raw, pair};
use png::{BitDepth, ColorType};
use std::path::Path;

const PLAIN: LabelOptions = LabelOptions { value: None, ignore: None };

fn read(path: &Path, options: LabelOptions) -> Vec<u8> {
    open_labels(path, options).unwrap().read_labels(0).unwrap()
}

#[test]
fn one_bit_palette_rgba_and_grey_edged_masks_agree() {
    let folder = Folder::new();
    let size = [1, 6];
    let want = [0, 1, 1, 0, 0, 1];
    let bits = [0b0110_0100];
    let path = folder.png("1.png", size, ColorType::Grayscale, BitDepth::One, &bits);
    assert_eq!(read(&path, PLAIN), want);
    let path = folder.grey_png("8.png", size, &[0, 31, 255, 0, 0, 1]);
    assert_eq!(read(&path, PLAIN), want);
    let rgba: Vec<u8> =
        want.iter().flat_map(|&v| if v == 1 { [255; 4] } else { [0, 0, 0, 255] }).collect();
    let path = folder.png("rgba.png", size, ColorType::Rgba, BitDepth::Eight, &rgba);
    assert_eq!(read(&path, PLAIN), want);

    let indexed = |name, depth, data: &[u8], palette: &[u8]| {
        folder.png_with(name, size, ColorType::Indexed, depth, data, Some(palette))
    };
    let path = indexed("p1.png", BitDepth::One, &bits, &[0, 0, 0, 255, 255, 255]);
    assert_eq!(read(&path, PLAIN), want);
    // White first: the colour counts, not the index.
    let path = indexed("p2.png", BitDepth::One, &[!bits[0]], &[255, 255, 255, 0, 0, 0]);
    assert_eq!(read(&path, PLAIN), want);
    // Classes in colours: the index counts.
    let colours = [0, 0, 0, 128, 0, 0, 0, 128, 0];
    let path = indexed("p3.png", BitDepth::Eight, &[0, 1, 2, 0, 0, 1], &colours);
    assert_eq!(read(&path, PLAIN), want);
    let one = LabelOptions { value: Some(1.0), ignore: Some(2.0) };
    assert_eq!(read(&path, one), [0, 1, 255, 0, 0, 1]);
    assert!(open_raw(&path).err().unwrap().to_string().contains("palette holds colours"));
    let path = indexed("p4.png", BitDepth::Eight, &[0; 6], &[9, 0, 0, 0, 0, 0]);
    let message = open_labels(&path, PLAIN).unwrap_err().to_string();
    assert!(message.contains("first entry is not black"), "{message}");
}

#[test]
fn inspect_says_what_folders_hide() {
    let folder = Folder::new();
    for z in 0..4u8 {
        folder.grey_png(&format!("raw/{z}.png"), [2, 16], &ramp(z.into(), 32));
    }
    let mut mask = [0; 32];
    mask[..15].fill(255);
    for z in [0, 1, 2] {
        folder.grey_png(&format!("mask/m{z:03}.png"), [2, 16], &mask);
    }
    let one = [0xFF, 0, 0, 0];
    folder.png("mask/m003.png", [2, 16], ColorType::Grayscale, BitDepth::One, &one);
    mask[3] = 17;
    folder.grey_png("mask/m002.png", [2, 16], &mask);
    let raw = open_raw(&folder.at("raw")).unwrap();
    let labels = open_labels(&folder.at("mask"), PLAIN).unwrap();
    let found = inspect(&raw, Some(&labels)).unwrap();
    assert_eq!(found.shape, [4, 2, 16]);
    assert_eq!(found.foreground, Some((15.0 * 3.0 + 8.0) / 128.0));
    for what in ["mixed bit depths", "m003.png is 1-bit", "grey mask edges"] {
        assert!(found.warnings.iter().any(|w| w.contains(what)), "{what}: {:?}", found.warnings);
    }
}

/// The result of pairing two folders with these file names.
fn pairing(raw: &[&str], labels: &[&str]) -> Result<Vec<String>, String> {
    let folder = Folder::new();
    for (z, name) in raw.iter().enumerate() {
        folder.grey_png(&format!("raw/{name}"), [2, 3], &ramp(z, 6));
    }
    for (z, name) in labels.iter().enumerate() {
        folder.grey_png(&format!("labels/{name}"), [2, 3], &ramp(z, 6));
    }
    let raw = open_raw(&folder.at("raw")).unwrap();
    let labels = open_labels(&folder.at("labels"), PLAIN).unwrap();
    pair(raw, labels).map(|pair| pair.warnings).map_err(|e| e.to_string())
}

#[test]
fn sections_are_paired_by_their_numbers() {
    assert_eq!(pairing(&["0.png", "1.png"], &["mask0000.png", "mask0001.png"]).unwrap(), [""; 0]);
    assert_eq!(pairing(&["9.png", "10.png"], &["10_m.png", "9_m.png"]).unwrap(), [""; 0]);
    let warnings = pairing(&["0.png", "1.png", "3.png"], &["m1.png", "m2.png", "m4.png"]).unwrap();
    assert!(warnings[0].contains("numbered from 0, labels from 1"), "{warnings:?}");
    // A lone file has no neighbours that would give its number a meaning.
    assert_eq!(pairing(&["slice_7.png"], &["mask_2024.png"]).unwrap(), [""; 0]);
}

#[test]
fn what_does_not_pair_is_named() {
    let message = pairing(&["0.png", "1.png", "2.png"], &["m0.png", "m2.png"]).unwrap_err();
    assert!(message.contains("3 raw sections and 2 label files"), "{message}");
    assert!(message.contains("no labels for") && message.contains("1.png"), "{message}");
    let message = pairing(&["0.png", "1.png", "2.png"], &["m0.png", "m1.png", "m5.png"]);
    let message = message.unwrap_err();
    assert!(message.contains("2.png") && message.contains("m5.png"), "{message}");
    let message = pairing(&["0.png", "10.png"], &["m0.png", "m1.png"]).unwrap_err();
    assert!(message.contains("10.png") && message.contains("m1.png"), "{message}");
}

#[test]
fn labels_of_another_shape_are_refused_with_both_shapes() {
    let folder = Folder::new();
    let raw = folder.grey_png("raw.png", [4, 6], &ramp(0, 24));
    let labels = folder.grey_png("labels.png", [4, 5], &ramp(0, 20));
    let pair = pair(open_raw(&raw).unwrap(), open_labels(&labels, PLAIN).unwrap());
    let message = pair.unwrap_err().to_string();
    assert!(message.contains("1 x 4 x 6") && message.contains("1 x 4 x 5"), "{message}");
}
