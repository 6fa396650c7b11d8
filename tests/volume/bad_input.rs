//! Every bad input gives one clear sentence that names the file, and never a panic.

use crate::files::{Folder, ramp, raw_tiff, tiff_bytes};
use askem::data::volume::{LabelOptions, open_labels, open_raw};
use png::{BitDepth, ColorType};
use rust_hdf5::{Filter, FilterPipeline};
use std::io::Write;
use std::panic::catch_unwind;
use std::path::Path;
use tiff::encoder::Compression;
use tiff::encoder::colortype::{Gray8, Gray32Float};
use tiff::encoder::compression::DeflateLevel;

/// Why a path can't be opened, or its first section can't be read. Must be one line.
fn refusal(path: &Path) -> String {
    let message = match open_raw(path) {
        Err(error) => error.to_string(),
        Ok(volume) => volume.read_section(0).expect_err("a refusal").to_string(),
    };
    assert!(!message.contains('\n') && message.len() > 20, "{message:?}");
    message
}

fn refused(path: &Path, parts: &[&str]) {
    let message = refusal(path);
    for part in parts {
        assert!(message.contains(part), "`{part}` is missing in: {message}");
    }
}

#[test]
fn missing_and_empty_paths() {
    let folder = Folder::new();
    refused(&folder.path().join("nowhere"), &["nowhere", "no such file or folder", "--raw"]);
    let labels = open_labels(&folder.path().join("nowhere"), LabelOptions::default());
    assert!(labels.unwrap_err().to_string().contains("--labels"));
    refused(folder.path(), &["no TIFF or PNG files"]);
    folder.write("notes.txt", b"hello");
    refused(folder.path(), &["only others"]);
    refused(&folder.write("empty.tif", b""), &["empty.tif", "the file is empty"]);
    refused(&folder.write("text.tif", b"hello, this is no image"), &["neither a TIFF, PNG"]);
}

#[test]
fn formats_that_are_not_read_are_called_by_name() {
    let folder = Folder::new();
    folder.write("photo.png", b"\xff\xd8\xff\xe0 jpeg");
    folder.write("real.tif", b"\x1f\x8b\x08\0");
    for (path, name) in [("photo.png", "JPEG"), ("real.tif", "compressed archives")] {
        refused(&folder.path().join(path), &[path, name, "not supported yet", "convert"]);
    }
    folder.write("c.n5/attributes.json", b"{}");
    refused(&folder.at("c.n5"), &["c.n5", "an N5 group without arrays", "name an array"]);
    folder.write("words.txt", b"words");
    refused(&folder.at("words.txt"), &["words.txt", "neither", "HDF5", "MRC"]);
}

#[test]
fn damaged_mrc_files() {
    let folder = Folder::new();
    // 2 sections of 3 x 4 in mode 1, and one byte that is missing.
    let good = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut mrc = vec![0; 1024 + 2 * 3 * 4 * 2];
        for (at, number) in [(0, 4), (4, 3), (8, 2), (12, 1)] {
            mrc[at..at + 4].copy_from_slice(&i32::to_le_bytes(number));
        }
        mrc[208..216].copy_from_slice(b"MAP \x44\x44\0\0");
        edit(&mut mrc);
        folder.write("a.mrc", &mrc)
    };
    let path = good(&|_| {});
    assert_eq!(open_raw(&path).unwrap().shape(), [2, 3, 4]);
    let path = good(&|mrc| mrc.truncate(1024 + 47));
    refused(&path, &["a.mrc", "truncated", "1071 bytes", "1072"]);
    refused(&good(&|mrc| mrc.truncate(300)), &["a.mrc", "truncated", "300 bytes"]);
    refused(&good(&|mrc| mrc[3] = 0x80), &["a.mrc", "shape", "damaged"]);
    refused(&good(&|mrc| mrc[..12].fill(0x7f)), &["a.mrc", "truncated"]);
    refused(&good(&|mrc| mrc[12] = 4), &["a.mrc", "mode 4", "save it as"]);
    refused(&good(&|mrc| mrc[95] = 0x80), &["a.mrc", "extended header", "damaged"]);
    // Words of a file that only says it is one.
    refused(&folder.write("b.mrc", &[b' '; 2000]), &["b.mrc", "MRC"]);
}

#[test]
fn damaged_hdf5_files() {
    let folder = Folder::new();
    let mut file = b"\x89HDF\r\n\x1a\n".to_vec();
    file.resize(4096, 0xa5);
    refused(&folder.write("a.h5", &file), &["a.h5", "not an HDF5 file that can be read"]);
    refused(&folder.path().join("none.h5:/raw"), &["none.h5", "no such file", "--raw"]);
    folder.grey_png("1.png", [1, 2], &[0, 1]);
    refused(&folder.path().join("1.png:/raw"), &["1.png", "no HDF5 file", "no dataset raw"]);
    refused(&folder.write("b.h5", b"text"), &["b.h5", "neither"]);

    // Names and shapes that are no volume's.
    let good = hdf5_bytes(&folder, &ramp(0, 96), [4, 4, 6], Some([1, 4, 3]));
    let path = folder.write("c.h5", &good);
    assert_eq!(open_raw(&path).unwrap().chunk(), [1, 4, 3]);
    let inside = |name: &str| folder.path().join(format!("c.h5:/{name}"));
    assert_eq!(
        open_raw(&inside("raw")).unwrap().read_section(3).unwrap().pixels[0],
        f32::from(ramp(0, 96)[72])
    );
    refused(&inside("none"), &["c.h5:/none", "no such dataset", "/raw"]);
    refused(&inside("numbers"), &["c.h5:/numbers", "shape is 96;", "sections, rows and columns"]);

    // A chunk that isn't what its filter wrote, and a file that was cut off.
    let at = good.windows(2).rposition(|pair| pair == [0x78, 0x5e] || pair == [0x78, 0x9c]);
    let mut torn = good.clone();
    torn[at.expect("a zlib stream") + 2..][..4].fill(0xff);
    let path = folder.write("torn.h5", &torn);
    let volume = open_raw(&path).unwrap();
    let errors: Vec<_> = (0..4).filter_map(|z| volume.read_section(z).err()).collect();
    let [error] = &errors[..] else { panic!("{errors:?}") };
    assert!(error.to_string().contains("torn.h5:/raw: what lies at [3, "), "{error}");
    let message = refusal(&folder.write("cut.h5", &good[..good.len() / 2]));
    assert!(message.contains("cut.h5"), "{message}");
}

/// A file with a volume in gzip chunks, or in one piece, and a list of numbers.
fn hdf5_bytes(
    folder: &Folder,
    pixels: &[u8],
    shape: [usize; 3],
    chunk: Option<[usize; 3]>,
) -> Vec<u8> {
    let path = folder.path().join("written.h5");
    let file = rust_hdf5::H5File::create(&path).unwrap();
    let builder = file.new_dataset::<u8>().shape(shape);
    let builder = match chunk {
        Some(chunk) => builder.chunk(&chunk).shuffle_deflate(6),
        None => builder,
    };
    builder.create("raw").unwrap().write_raw(pixels).unwrap();
    let numbers = file.new_dataset::<f64>().shape([96]).create("numbers").unwrap();
    numbers.write_raw(&[0.5; 96]).unwrap();
    file.close().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    bytes
}

/// An archive of a Zarr array of 2 x 4 x 5 in two chunks.
fn zipped_zarr() -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let metadata = br#"{"zarr_format": 2, "shape": [2, 4, 5], "chunks": [1, 4, 5], "dtype": "|u1",
        "compressor": null, "fill_value": 0, "order": "C", "filters": null}"#;
    let files = [(".zarray", &metadata[..]), ("0.0.0", &ramp(0, 20)), ("1.0.0", &ramp(1, 20))];
    for (name, bytes) in files {
        let method = zip::CompressionMethod::Stored;
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        zip.start_file(name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn one_filter(id: u16, values: &[u32]) -> FilterPipeline {
    FilterPipeline { filters: vec![Filter { id, flags: 0, cd_values: values.to_vec() }] }
}

/// A file whose chunks went through these filters.
fn packed_bytes(folder: &Folder, filters: FilterPipeline) -> Vec<u8> {
    let path = folder.path().join("packed.h5");
    let file = rust_hdf5::H5File::create(&path).unwrap();
    let builder = file.new_dataset::<u8>().shape([2, 8, 16]).chunk(&[1, 8, 16]);
    let dataset = builder.filter_pipeline(filters).create("raw").unwrap();
    dataset.write_raw(&ramp(0, 256)).unwrap();
    file.close().unwrap();
    std::fs::read(&path).unwrap()
}

#[test]
fn pixels_that_are_no_numbers_are_refused_by_place() {
    let folder = Folder::new();
    let mut mrc = vec![0; 1024];
    for (at, number) in [(0, 4), (4, 3), (8, 1), (12, 2)] {
        mrc[at..at + 4].copy_from_slice(&i32::to_le_bytes(number));
    }
    mrc[208..216].copy_from_slice(b"MAP \x44\x44\0\0");
    let mut pixels = [0.5_f32; 12];
    pixels[6] = f32::INFINITY;
    mrc.extend(pixels.iter().flat_map(|pixel| pixel.to_le_bytes()));
    refused(&folder.write("a.mrc", &mrc), &["section 0 of", "a.mrc: row 1, column 2 is inf"]);
}

#[test]
fn sections_must_have_one_size() {
    let folder = Folder::new();
    folder.grey_png("f/1.png", [4, 6], &ramp(0, 24));
    folder.grey_tiff("f/2.tif", [4, 5], &ramp(0, 20));
    refused(&folder.at("f"), &["1.png is 4 x 6", "2.tif is 4 x 5", "one size"]);

    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut encoder = tiff::encoder::TiffEncoder::new(&mut bytes).unwrap();
    encoder.write_image::<Gray8>(6, 4, &ramp(0, 24)).unwrap();
    encoder.write_image::<Gray8>(5, 4, &ramp(0, 20)).unwrap();
    let path = folder.write("pages.tif", &bytes.into_inner());
    refused(&path, &["pages.tif", "page 1 is 4 x 6", "page 2 is 4 x 5"]);
}

#[test]
fn file_names_must_tell_the_order() {
    let folder = Folder::new();
    folder.grey_png("a/1.png", [1, 2], &[0, 1]);
    folder.grey_tiff("a/01.tif", [1, 2], &[0, 1]);
    refused(&folder.at("a"), &["1.png", "01.tif", "both section 1"]);
    folder.grey_png("b/1.png", [1, 2], &[0, 1]);
    folder.grey_png("b/overview.png", [1, 2], &[0, 1]);
    refused(&folder.at("b"), &["overview.png", "no number"]);
    let pages = [vec![0, 1], vec![2, 3]];
    folder.tiff::<Gray8>("c/1.tif", [1, 2], Compression::Uncompressed, &pages);
    refused(&folder.at("c"), &["1.tif", "2 pages", "name the file itself"]);
}

#[test]
fn colours_and_numbers_that_are_none() {
    let folder = Folder::new();
    let path = folder.png("rgb.png", [1, 1], ColorType::Rgb, BitDepth::Eight, &[1, 1, 2]);
    refused(&path, &["rgb.png", "colour", "1 and 2"]);
    let nan = vec![0.5, f32::NAN];
    let path = folder.tiff::<Gray32Float>("nan.tif", [1, 2], Compression::Uncompressed, &[nan]);
    refused(&path, &["nan.tif", "column 1 is NaN"]);
    // Two channels of a microscope in one file, as ImageJ interleaves them.
    let tags: &[(u16, &[u32])] = &[
        (256, &[2]),
        (257, &[1]),
        (258, &[8]),
        (262, &[1]),
        (273, &[8]),
        (277, &[1]),
        (278, &[1]),
        (279, &[2]),
    ];
    let text = "ImageJ=1.53t\nimages=4\nchannels=2\nslices=2\n";
    let path = folder.write("two.tif", &raw_tiff(false, tags, text, &[1; 8]));
    refused(&path, &["two.tif", "2 channels"]);
    let palette = raw_tiff(
        false,
        &[
            (256, &[1]),
            (257, &[1]),
            (258, &[8]),
            (262, &[3]),
            (273, &[8]),
            (278, &[1]),
            (279, &[1]),
        ],
        "",
        &[1],
    );
    refused(&folder.write("palette.tif", &palette), &["palette.tif", "palette holds colours"]);
}

/// Every file that opens reads as the whole one does, or says what is wrong.
fn cut_everywhere(name: &str, whole: &[u8], sections: usize) {
    let folder = Folder::new();
    let path = folder.write(name, whole);
    let read_all = |path: &Path| -> Result<Vec<Vec<f32>>, String> {
        let volume = open_raw(path).map_err(|e| e.to_string())?;
        assert_eq!(volume.shape()[0], sections);
        let read = |z| volume.read_section(z).map(|s| s.pixels).map_err(|e| e.to_string());
        (0..sections).map(read).collect()
    };
    let want = read_all(&path).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        match read_all(&path) {
            // Only bytes that nothing points to may be missing.
            Ok(got) => assert_eq!(got, want, "{name} cut at {length}"),
            Err(message) => {
                assert!(message.contains(name), "{message}");
                assert!(length < 16 || message.contains("truncated"), "at {length}: {message}");
            }
        }
    }
}

#[test]
fn truncated_files_are_found_out() {
    let pages: Vec<Vec<u8>> = (0..3).map(|z| ramp(z, 12)).collect();
    for compression in [Compression::Uncompressed, Compression::Deflate(DeflateLevel::Fast)] {
        cut_everywhere("a.tif", &tiff_bytes::<Gray8>([3, 4], compression, &pages), 3);
    }
    let folder = Folder::new();
    let path = folder.grey_png("b.png", [3, 4], &ramp(0, 12));
    cut_everywhere("b.png", &std::fs::read(path).unwrap(), 1);
}

#[test]
fn a_truncated_file_is_refused_before_the_work_begins() {
    let folder = Folder::new();
    let bytes =
        tiff_bytes::<Gray8>([64, 64], Compression::Uncompressed, &[ramp(0, 4096), ramp(1, 4096)]);
    let path = folder.write("cut.tif", &bytes[..bytes.len() - 100]);
    let message = open_raw(&path).err().unwrap().to_string();
    assert!(message.contains("cut.tif") && message.contains("truncated"), "{message}");
    let whole = std::fs::read(folder.grey_png("cut.png", [64, 64], &ramp(0, 4096))).unwrap();
    let path = folder.write("cut.png", &whole[..whole.len() - 20]);
    let message = open_raw(&path).err().unwrap().to_string();
    assert!(message.contains("cut.png") && message.contains("truncated"), "{message}");
}

#[test]
fn headers_that_claim_too_much_are_refused() {
    let folder = Folder::new();
    for (side, compression) in [(1 << 30, 1), (30_000, 5)] {
        let tags: &[(u16, &[u32])] = &[
            (256, &[side]),
            (257, &[side]),
            (258, &[8]),
            (259, &[compression]),
            (262, &[1]),
            (273, &[8]),
            (277, &[1]),
            (278, &[side]),
            (279, &[4]),
        ];
        let path = folder.write("bomb.tif", &raw_tiff(false, tags, "", &[0; 4]));
        refused(&path, &["bomb.tif", "damaged"]);
    }
    let mut bytes = std::fs::read(folder.grey_png("bomb.png", [3, 4], &ramp(0, 12))).unwrap();
    // Width and height with the checksum that belongs to them.
    bytes[16..24].copy_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]);
    let crc = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    refused(&folder.write("bomb.png", &bytes), &["bomb.png", "damaged"]);
}

#[test]
fn damaged_files_never_panic() {
    let folder = Folder::new();
    let pages: Vec<Vec<u8>> = (0..2).map(|z| ramp(z, 20)).collect();
    let png = folder.png("a.png", [4, 5], ColorType::Rgb, BitDepth::Eight, &ramp(0, 60));
    let kinds = [
        tiff_bytes::<Gray8>([4, 5], Compression::Uncompressed, &pages),
        tiff_bytes::<Gray8>([4, 5], Compression::Lzw, &pages),
        std::fs::read(png).unwrap(),
        hdf5_bytes(&folder, &ramp(0, 40), [2, 4, 5], Some([1, 4, 3])),
        hdf5_bytes(&folder, &ramp(0, 40), [2, 4, 5], None),
        packed_bytes(&folder, FilterPipeline::lz4()),
        packed_bytes(&folder, FilterPipeline::zstd(3)),
        packed_bytes(&folder, FilterPipeline::bshuf_lz4(1)),
        packed_bytes(&folder, one_filter(32001, &[2, 2, 1, 128, 5, 1, 5])),
        packed_bytes(&folder, one_filter(307, &[9])),
        zipped_zarr(),
    ];
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % below
    };
    for (kind, whole) in kinds.iter().enumerate() {
        let rounds = if kind < 5 { 3000 } else { 500 };
        for round in 0..rounds {
            let mut bytes = whole.clone();
            for _ in 0..=random(3) {
                let at = random(bytes.len());
                bytes[at] = [0, 1, 2, 127, 255, random(256) as u8][random(6)];
            }
            let path = folder.write("a.bin", &bytes);
            let outcome = catch_unwind(|| {
                if let Ok(volume) = open_raw(&path) {
                    for z in 0..volume.shape()[0].min(4) {
                        let _ = volume.read_section(z);
                    }
                }
            });
            assert!(outcome.is_ok(), "kind {kind}, round {round} panicked: {bytes:?}");
        }
    }
}

/// The checksum of PNG chunks.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { 0xEDB8_8320 ^ (crc >> 1) } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |c, _| step(c)))
}
