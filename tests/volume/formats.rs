//! What is stored is what is read, in every format, depth and compression.

use crate::files::{Folder, floats, ramp, raw_tiff};
use crate::white_is_zero::white_is_zero;
use askem::data::volume::{
    CachedVolume, Dtype, LabelOptions, Region, Volume, open_labels, open_raw,
};
use png::{BitDepth, ColorType};
use tiff::encoder::colortype::{Gray8, Gray16, Gray32Float, GrayI16, RGB8, RGB16, RGBA8, RGBA16};
use tiff::encoder::compression::DeflateLevel;
use tiff::encoder::{Compression, TiffEncoder};

const SIZE: [u32; 2] = [3, 5];

fn compressions() -> [Compression; 4] {
    [
        Compression::Uncompressed,
        Compression::Lzw,
        Compression::Deflate(DeflateLevel::Balanced),
        Compression::Packbits,
    ]
}

/// The pixels of section `z`.
fn pixels(volume: &dyn Volume, z: usize) -> Vec<f32> {
    let section = volume.read_section(z).unwrap();
    let [_, height, width] = volume.shape();
    assert_eq!((section.height, section.width), (height, width));
    section.pixels
}

#[test]
fn folders_are_read_in_numeric_order() {
    let folder = Folder::new();
    for z in [9, 10, 11, 100] {
        folder.grey_png(&format!("{z}.png"), SIZE, &ramp(z, 15));
    }
    folder.write(".DS_Store", b"x");
    let volume = open_raw(folder.path()).unwrap();
    assert_eq!((volume.shape(), volume.dtype()), ([4, 3, 5], Dtype::U8));
    for (z, number) in [9, 10, 11, 100].into_iter().enumerate() {
        assert_eq!(pixels(&volume, z), floats(&ramp(number, 15)));
        assert_eq!(volume.section_number(z), Some(number as u64));
        assert!(volume.section_name(z).ends_with(&format!("{number}.png")));
    }
    assert!(volume.notes().iter().any(|n| n.contains("jump between 11 and 100")));
}

#[test]
fn tiff_and_png_may_be_mixed_and_named_with_several_numbers() {
    let folder = Folder::new();
    folder.grey_tiff("EM2_slice_003_z17.TIF", SIZE, &ramp(0, 15));
    folder.grey_png("EM2_slice_004_z18.png", SIZE, &ramp(1, 15));
    let volume = open_raw(folder.path()).unwrap();
    assert_eq!(volume.section_number(1), Some(18));
    assert_eq!(pixels(&volume, 0), floats(&ramp(0, 15)));
    assert_eq!(pixels(&volume, 1), floats(&ramp(1, 15)));
}

#[test]
fn multi_page_tiff_in_every_compression_and_depth() {
    let folder = Folder::new();
    for (i, compression) in compressions().into_iter().enumerate() {
        let pages: Vec<Vec<u8>> = (0..4).map(|z| ramp(z, 15)).collect();
        let path = folder.tiff::<Gray8>(&format!("{i}.tif"), SIZE, compression, &pages);
        let volume = open_raw(&path).unwrap();
        assert_eq!((volume.shape(), volume.dtype()), ([4, 3, 5], Dtype::U8));
        for z in [2, 0, 3, 1] {
            assert_eq!(pixels(&volume, z), floats(&pages[z]), "{i}");
        }

        let deep: Vec<u16> = (0..15).map(|v| v * 4369).collect();
        let path = folder.tiff::<Gray16>("16.tif", SIZE, compression, std::slice::from_ref(&deep));
        let volume = open_raw(&path).unwrap();
        assert_eq!(volume.dtype(), Dtype::U16);
        assert_eq!(pixels(&volume, 0), deep.iter().map(|&v| v.into()).collect::<Vec<f32>>());
    }
    let signed: Vec<i16> = (0..15).map(|v| v * 100 - 700).collect();
    let path = folder.tiff::<GrayI16>(
        "i16.tif",
        SIZE,
        Compression::Uncompressed,
        std::slice::from_ref(&signed),
    );
    let volume = open_raw(&path).unwrap();
    assert_eq!(volume.dtype(), Dtype::I16);
    assert_eq!(pixels(&volume, 0), signed.iter().map(|&v| v.into()).collect::<Vec<f32>>());
    let real: Vec<f32> = (0..15).map(|v| v as f32 / 14.0).collect();
    let path = folder.tiff::<Gray32Float>(
        "f32.tif",
        SIZE,
        Compression::Uncompressed,
        std::slice::from_ref(&real),
    );
    let volume = open_raw(&path).unwrap();
    assert_eq!((volume.dtype(), pixels(&volume, 0)), (Dtype::F32, real));
}

#[test]
fn big_tiff_is_read() {
    let folder = Folder::new();
    let path = folder.at("big.tif");
    let mut encoder = TiffEncoder::new_big(std::fs::File::create(&path).unwrap()).unwrap();
    encoder.write_image::<Gray8>(5, 3, &ramp(2, 15)).unwrap();
    assert_eq!(pixels(&open_raw(&path).unwrap(), 0), floats(&ramp(2, 15)));
}

#[test]
fn colour_files_whose_channels_agree_are_grey() {
    let folder = Folder::new();
    let grey = ramp(1, 15);
    let want = floats(&grey);
    let spread = |channels: usize| -> Vec<u8> {
        let pixel = |&v: &u8| match channels {
            2 => vec![v, 9],
            3 => vec![v; 3],
            _ => vec![v, v, v, 200],
        };
        grey.iter().flat_map(pixel).collect()
    };
    let wide = |bytes: Vec<u8>| -> Vec<u16> { bytes.iter().map(|&v| u16::from(v) * 257).collect() };
    let read = |path: &std::path::Path| pixels(&open_raw(path).unwrap(), 0);
    let eight = BitDepth::Eight;
    for (channels, colour) in
        [(2, ColorType::GrayscaleAlpha), (3, ColorType::Rgb), (4, ColorType::Rgba)]
    {
        assert_eq!(read(&folder.png("a.png", SIZE, colour, eight, &spread(channels))), want);
    }
    for compression in compressions() {
        let path = folder.tiff::<RGB8>("a.tif", SIZE, compression, &[spread(3)]);
        assert_eq!(read(&path), want);
        let path = folder.tiff::<RGBA8>("a.tif", SIZE, compression, &[spread(4)]);
        assert_eq!(read(&path), want);
    }
    let want: Vec<f32> = want.iter().map(|v| v * 257.0).collect();
    let none = Compression::Uncompressed;
    assert_eq!(read(&folder.tiff::<RGB16>("a.tif", SIZE, none, &[wide(spread(3))])), want);
    assert_eq!(read(&folder.tiff::<RGBA16>("a.tif", SIZE, none, &[wide(spread(4))])), want);
    let bytes: Vec<u8> = wide(spread(4)).iter().flat_map(|v| v.to_be_bytes()).collect();
    assert_eq!(read(&folder.png("a.png", SIZE, ColorType::Rgba, BitDepth::Sixteen, &bytes)), want);
}

#[test]
fn sixteen_bit_png_keeps_its_units() {
    let folder = Folder::new();
    let bytes: Vec<u8> = (0..15u16).flat_map(|v| (v * 4369).to_be_bytes()).collect();
    let path = folder.png("a.png", SIZE, ColorType::Grayscale, BitDepth::Sixteen, &bytes);
    let volume = open_raw(&path).unwrap();
    assert_eq!((volume.shape(), volume.dtype()), ([1, 3, 5], Dtype::U16));
    assert_eq!(pixels(&volume, 0)[14], 61166.0);
}

#[test]
fn few_bits_are_stretched_to_255() {
    let folder = Folder::new();
    let read = |path: std::path::PathBuf| pixels(&open_raw(&path).unwrap(), 0);
    let one = [0b1010_1000, 0b0000_0000, 0b1111_1000];
    let want = floats(&[255, 0, 255, 0, 255, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255]);
    assert_eq!(read(folder.png("a.png", SIZE, ColorType::Grayscale, BitDepth::One, &one)), want);
    let two = [0b0001_1011, 0b0000_0000];
    let path = folder.png("b.png", [1, 5], ColorType::Grayscale, BitDepth::Two, &two);
    assert_eq!(read(path), [0.0, 85.0, 170.0, 255.0, 0.0]);

    // Black is zero, then white is zero.
    let tags = |photometric: u32| -> Vec<(u16, Vec<u32>)> {
        [
            (256, 5),
            (257, 3),
            (258, 1),
            (259, 1),
            (262, photometric),
            (273, 8),
            (277, 1),
            (278, 3),
            (279, 3),
        ]
        .map(|(tag, value)| (tag, vec![value]))
        .to_vec()
    };
    for (photometric, flip) in [(1, false), (0, true)] {
        let tags = tags(photometric);
        let tags: Vec<(u16, &[u32])> = tags.iter().map(|(t, v)| (*t, v.as_slice())).collect();
        let path = folder.write("a.tif", &raw_tiff(false, &tags, "", &one));
        let want = want.iter().map(|v| if flip { 255.0 - v } else { *v }).collect::<Vec<_>>();
        assert_eq!(read(path), want);
    }
}

#[test]
fn tiles_and_separate_colour_planes_are_put_together() {
    let folder = Folder::new();
    let grey = ramp(3, 15);
    // Two tiles of 16 x 16 would do for 3 x 5 pixels; take 3 x 20, so that a row crosses tiles.
    let row = |y: usize, x: usize| (y * 20 + x) as u8;
    let mut tiles = vec![0u8; 2 * 256];
    for y in 0..3 {
        for x in 0..20 {
            tiles[x / 16 * 256 + y * 16 + x % 16] = row(y, x);
        }
    }
    let tags: &[(u16, &[u32])] = &[
        (256, &[20]),
        (257, &[3]),
        (258, &[8]),
        (259, &[1]),
        (262, &[1]),
        (277, &[1]),
        (322, &[16]),
        (323, &[16]),
        (324, &[8, 264]),
        (325, &[256, 256]),
    ];
    let path = folder.write("tiled.tif", &raw_tiff(true, tags, "", &tiles));
    let want: Vec<f32> = (0..60).map(|v| v as f32).collect();
    assert_eq!(pixels(&open_raw(&path).unwrap(), 0), want);

    let planes = [grey.clone(), grey.clone(), grey.clone()].concat();
    let tags: &[(u16, &[u32])] = &[
        (256, &[5]),
        (257, &[3]),
        (258, &[8, 8, 8]),
        (259, &[1]),
        (262, &[2]),
        (273, &[8, 23, 38]),
        (277, &[3]),
        (278, &[3]),
        (279, &[15, 15, 15]),
        (284, &[2]),
    ];
    let path = folder.write("planar.tif", &raw_tiff(false, tags, "", &planes));
    assert_eq!(pixels(&open_raw(&path).unwrap(), 0), floats(&grey));
    let mut other = planes;
    other[15 + 4] ^= 1;
    let path = folder.write("planar.tif", &raw_tiff(false, tags, "", &other));
    let message = open_raw(&path).unwrap().read_section(0).unwrap_err().to_string();
    assert!(message.contains("channels differ (row 0, column 4"), "{message}");
}

#[test]
fn large_imagej_stacks_have_one_directory() {
    let folder = Folder::new();
    let text = "ImageJ=1.53t\nimages=3\nslices=3\n";
    for big in [false, true] {
        let values: Vec<u16> = (0..45).map(|v| v * 1000).collect();
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|v| if big { v.to_be_bytes() } else { v.to_le_bytes() })
            .collect();
        let tags: &[(u16, &[u32])] = &[
            (256, &[5]),
            (257, &[3]),
            (258, &[16]),
            (262, &[1]),
            (273, &[8]),
            (277, &[1]),
            (278, &[3]),
            (279, &[30]),
        ];
        let path = folder.write("stack.tif", &raw_tiff(big, tags, text, &bytes));
        let volume = open_raw(&path).unwrap();
        assert_eq!(volume.shape(), [3, 3, 5]);
        for z in [2, 0, 1] {
            let want: Vec<f32> = values[z * 15..][..15].iter().map(|&v| v.into()).collect();
            assert_eq!(pixels(&volume, z), want);
        }
        let text = "ImageJ=1.53t\nimages=300\n";
        let short = raw_tiff(big, tags, text, &bytes);
        let message = open_raw(&folder.write("short.tif", &short)).err().unwrap().to_string();
        assert!(message.contains("too short"), "{message}");
    }
}

#[test]
fn many_threads_read_one_file() {
    let folder = Folder::new();
    let pages: Vec<Vec<u8>> = (0..9).map(|z| ramp(z, 15)).collect();
    let path = folder.tiff::<Gray8>("a.tif", SIZE, Compression::Lzw, &pages);
    let volume = CachedVolume::new(open_raw(&path).unwrap(), 4);
    assert_eq!(volume.memory_bytes(), 4 * 15 * 4);
    std::thread::scope(|scope| {
        for thread in 0..24 {
            let (volume, pages) = (&volume, &pages);
            scope.spawn(move || {
                for i in 0..30 {
                    let z = (i * 5 + thread) % 9;
                    assert_eq!(volume.section(z).unwrap().pixels, floats(&pages[z]));
                    assert_eq!(pixels(volume.inner(), z), floats(&pages[z]));
                }
            });
        }
    });
}

#[test]
fn strips_of_large_sections_are_read_alone() {
    let folder = Folder::new();
    let [height, width] = [4200, 4100];
    let pixel = |z: usize, i: usize| ((i / width * 7 + i % width * 3 + z * 50) % 251) as u8;
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes).unwrap().with_compression(Compression::Packbits);
    for z in 0..2 {
        let pixels: Vec<u8> = (0..height * width).map(|i| pixel(z, i)).collect();
        let mut image = encoder.new_image::<Gray8>(width as u32, height as u32).unwrap();
        image.rows_per_strip(3).unwrap();
        image.write_data(&pixels).unwrap();
    }
    let path = folder.write("large.tif", &bytes.into_inner());
    let volume = open_raw(&path).unwrap();
    let [sections, rows, columns] = volume.chunk();
    assert_eq!([sections, rows % 3, columns], [1, 0, width]);
    assert!(rows < height / 2, "{rows} rows");
    let block = Region { z: 1..2, y: rows - 5..rows + 6, x: 4000..4100 };
    let got = volume.read_block(&block).unwrap();
    let want = block.y.flat_map(|y| (4000..4100).map(move |x| f32::from(pixel(1, y * width + x))));
    assert!(got.iter().copied().eq(want));
    // The last strip is shorter.
    let last = Region { z: 0..1, y: height - 1..height, x: width - 1..width };
    let got = volume.read_block(&last).unwrap();
    assert_eq!(got, [f32::from(pixel(0, height * width - 1))]);

    // Labels are those of the file, by row and as a whole, also where it shows images the other way round.
    let options = LabelOptions { value: Some(17_u8.into()), ..LabelOptions::default() };
    for turned in [false, true] {
        if turned {
            white_is_zero(&path);
            let shown = open_raw(&path).unwrap().read_block(&last).unwrap();
            assert_eq!(shown, [f32::from(255 - pixel(0, height * width - 1))]);
        }
        let labels = open_labels(&path, options).unwrap();
        let got = labels.read_rows(1, rows - 5..rows + 6).unwrap();
        let want = ((rows - 5) * width..(rows + 6) * width).map(|i| u8::from(pixel(1, i) == 17));
        assert!(got.into_iter().eq(want), "{turned}");
        let got = labels.read_labels(0).unwrap();
        let want = (0..height * width).map(|i| u8::from(pixel(0, i) == 17));
        assert!(got.into_iter().eq(want), "{turned}");
    }
}

#[test]
fn rows_of_one_large_strip_are_read_alone() {
    let folder = Folder::new();
    let [height, width] = [3100_usize, 3000];
    let pixel = |i: usize| (i / width * 70 + i % width * 3) as u16;
    for big in [false, true] {
        let bytes = |i: usize| if big { pixel(i).to_be_bytes() } else { pixel(i).to_le_bytes() };
        let pixels: Vec<u8> = (0..height * width).flat_map(bytes).collect();
        let [rows, columns, size] = [height, width, pixels.len()].map(|n| n as u32);
        let tags: [(u16, &[u32]); 9] = [
            (256, &[columns]),
            (257, &[rows]),
            (258, &[16]),
            (259, &[1]),
            (262, &[1]),
            (273, &[8]),
            (277, &[1]),
            (278, &[rows]),
            (279, &[size]),
        ];
        let path = folder.write("strip.tif", &raw_tiff(big, &tags, "", &pixels));
        let volume = open_raw(&path).unwrap();
        let [sections, rows, columns] = volume.chunk();
        assert_eq!(([sections, columns], volume.dtype()), ([1, width], Dtype::U16));
        assert!(rows < height / 2, "{rows} rows");
        let around = rows - 5..rows + 6;
        let block = Region { z: 0..1, y: around.clone(), x: 2900..3000 };
        let got = volume.read_block(&block).unwrap();
        let want = around.clone().flat_map(|y| (2900..3000).map(move |x| y * width + x));
        assert!(got.into_iter().eq(want.map(|i| f32::from(pixel(i)))), "{big}");
        // Which is also what comes where the section is read whole.
        let whole = Region::whole(volume.shape());
        assert_eq!(volume.read_block(&whole).unwrap(), volume.read_section(0).unwrap().pixels);
        let options = LabelOptions { value: Some(777_u16.into()), ..LabelOptions::default() };
        let got = open_labels(&path, options).unwrap().read_rows(0, around.clone()).unwrap();
        let all = around.start * width..around.end * width;
        assert!(got.into_iter().eq(all.map(|i| u8::from(pixel(i) == 777))), "{big}");
    }
}
