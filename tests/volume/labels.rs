//! Masks as they come, and which section they belong to.

use crate::files::{Folder, ramp};
use crate::white_is_zero::white_is_zero;
use askem::data::pool::Position;
use askem::data::volume::{CachedLabels, LabelOptions, inspect, open_labels, open_raw, pair};
use askem::learning::annotator::{Annotator as _, SimulatedAnnotator};
use png::{BitDepth, ColorType};
use std::fs::File;
use std::path::Path;
use tiff::encoder::{TiffEncoder, TiffValue, colortype};

const PLAIN: LabelOptions = LabelOptions { value: None, ignore: None, classes: None };

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
    let one = LabelOptions { value: Some(1_u8.into()), ignore: Some(2_u8.into()), classes: None };
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
fn of_sections_without_labels_nothing_is_known() {
    let folder = Folder::new();
    for z in 0..5 {
        folder.grey_png(&format!("raw/{z}.png"), [2, 3], &ramp(z, 6));
    }
    for z in [1, 4] {
        folder.grey_png(&format!("labels/m{z}.png"), [2, 3], &[0, 1, 0, 1, 0, z as u8]);
    }
    let raw = open_raw(&folder.at("raw")).unwrap();
    let labels = open_labels(&folder.at("labels"), PLAIN).unwrap();
    let pair = pair(raw, labels).unwrap();
    let warning = &pair.warnings[0];
    assert!(warning.contains("3 of 5 sections have no labels") && warning.contains("0.png"));
    assert_eq!(pair.labels.shape(), [5, 2, 3]);
    for z in 0..5 {
        let known = [0, 1, 0, 1, 0, 1];
        let want = if z == 1 || z == 4 { known } else { [255; 6] };
        assert_eq!(pair.labels.read_labels(z).unwrap(), want, "section {z}");
    }
    let found = inspect(&pair.raw, Some(&pair.labels)).unwrap();
    assert_eq!(found.foreground, Some(0.5), "of what is known");
    assert!(!found.warnings.iter().any(|w| w.contains("without foreground")), "{found:?}");
    // Nor is a patch asked for of which nothing is known.
    let labels = CachedLabels::new(pair.labels, 2);
    let annotator = SimulatedAnnotator::new(&labels);
    let can = |z| annotator.can_label(Position { volume: 0, z, y: 0, x: 0 }, 2).unwrap();
    assert_eq!([0, 1, 2, 3, 4].map(can), [false, true, false, false, true]);
}

#[test]
fn what_does_not_pair_is_named() {
    let message = pairing(&["0.png", "1.png", "2.png"], &["m0.png", "m5.png"]).unwrap_err();
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

fn tiff_of<C: colortype::ColorType>(path: &Path, values: &[C::Inner])
where
    [C::Inner]: TiffValue,
{
    let mut encoder = TiffEncoder::new(File::create(path).unwrap()).unwrap();
    encoder.write_image::<C>(values.len() as u32, 1, values).unwrap();
}

fn only(value: &str) -> LabelOptions {
    LabelOptions { value: Some(value.parse().unwrap()), ..PLAIN }
}

#[test]
fn numbers_of_segments_are_exact() {
    let folder = Folder::new();
    // Neighbours that a float of 32 bits, or even of 64, takes for one number.
    let path = folder.at("u32.tif");
    tiff_of::<colortype::Gray32>(&path, &[16_777_216, 16_777_217, 16_777_218, 0]);
    assert_eq!(read(&path, only("16777217")), [0, 1, 0, 0]);
    let path = folder.at("i32.tif");
    tiff_of::<colortype::GrayI32>(&path, &[-16_777_217, -16_777_216, 0]);
    assert_eq!(read(&path, only("-16777217")), [1, 0, 0]);
    let large = [u64::MAX, u64::MAX - 1, 1 << 59, (1 << 59) + 1, 0];
    let path = folder.at("u64.tif");
    tiff_of::<colortype::Gray64>(&path, &large);
    assert_eq!(read(&path, only("18446744073709551614")), [0, 1, 0, 0, 0]);
    assert_eq!(read(&path, only("576460752303423489")), [0, 0, 0, 1, 0]);
    assert_eq!(read(&path, PLAIN), [1, 1, 1, 1, 0]);
    let message = open_raw(&path).err().unwrap().to_string();
    assert!(message.contains("uint64") && message.contains("only as labels"), "{message}");
    let path = folder.at("i64.tif");
    tiff_of::<colortype::GrayI64>(&path, &[i64::MIN, i64::MIN + 1, 0]);
    assert_eq!(read(&path, only("-9223372036854775808")), [1, 0, 0]);
    // In chunks.
    let metadata = r#"{"zarr_format":2,"shape":[1,1,5],"chunks":[1,1,3],"dtype":"<u8","compressor":null,"fill_value":0,"order":"C","filters":null}"#;
    folder.write("u64.zarr/.zarray", metadata.as_bytes());
    for (name, values) in [("0.0.0", [large[0], large[1], large[2]]), ("0.0.1", [large[3], 0, 7])] {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        folder.write(&format!("u64.zarr/{name}"), &bytes);
    }
    let path = folder.at("u64.zarr");
    assert_eq!(read(&path, only("18446744073709551614")), [0, 1, 0, 0, 0]);
    assert_eq!(read(&path, only("576460752303423489")), [0, 0, 0, 1, 0]);
    // Labels that are stored as floats are compared as numbers.
    let path = folder.at("f32.tif");
    tiff_of::<colortype::Gray32Float>(&path, &[0.0, 3.0, 0.5]);
    assert_eq!(read(&path, only("3")), [0, 1, 0]);
    assert_eq!(read(&path, only("0.5")), [0, 0, 1]);
}

#[test]
fn the_stored_value_is_the_label_where_white_is_zero() {
    let folder = Folder::new();
    let values = [0, 1, 255, 7, 0];
    let path = folder.at("w8.tif");
    tiff_of::<colortype::Gray8>(&path, &values);
    white_is_zero(&path);
    assert_eq!(read(&path, PLAIN), [0, 1, 1, 1, 0]);
    assert_eq!(read(&path, only("7")), [0, 0, 0, 1, 0]);
    // Images are read as they are shown, and both are said.
    let raw = open_raw(&path).unwrap();
    assert_eq!(raw.read_section(0).unwrap().pixels, values.map(|v| 255.0 - f32::from(v)));
    assert!(raw.notes().iter().any(|note| note.contains("MinIsWhite")), "{:?}", raw.notes());
    let path = folder.at("w16.tif");
    tiff_of::<colortype::Gray16>(&path, &values.map(u16::from));
    white_is_zero(&path);
    assert_eq!(read(&path, PLAIN), [0, 1, 1, 1, 0]);
    let path = folder.at("w32.tif");
    tiff_of::<colortype::Gray32>(&path, &[0, 16_777_217, 16_777_216]);
    white_is_zero(&path);
    assert_eq!(read(&path, only("16777217")), [0, 1, 0]);
}
