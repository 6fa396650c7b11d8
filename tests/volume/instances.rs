//! Objects against their definition on whole arrays (`plain_instances.rs`), and as files.

use std::path::Path;

use askem::Result;
use askem::data::instances::{
    Connectivity, InstanceFiles, InstanceOptions, Instances, Mask, Object, table,
};
use askem::data::volume::{Dtype, Region, Volume, open_raw};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::files::Folder;
use crate::plain_instances::Plain;

/// A mask that is filled in blocks of these sides.
fn mask(at: &Path, shape: [usize; 3], foreground: &[bool], block: [usize; 3]) -> Mask {
    let mut mask = Mask::create(at, shape).unwrap();
    let steps =
        |i: usize| (0..shape[i]).step_by(block[i]).map(move |s| s..(s + block[i]).min(shape[i]));
    for x in steps(2) {
        for y in steps(1) {
            for z in steps(0) {
                let block = Region { z, y: y.clone(), x: x.clone() };
                let mut values = Vec::new();
                for z in block.z.clone() {
                    for y in block.y.clone() {
                        let row = (z * shape[1] + y) * shape[2];
                        values.extend(&foreground[row + block.x.start..row + block.x.end]);
                    }
                }
                mask.write(&block, values.into_iter()).unwrap();
            }
        }
    }
    mask
}

/// All voxels' labels.
fn pixels(found: &Instances) -> Vec<u32> {
    let [depth, height, width] = found.shape();
    let mut all = vec![0; depth * height * width];
    found
        .sections(|z, runs| {
            for run in runs {
                let row = (z * height + run.y as usize) * width;
                let run_pixels = &mut all[row + run.start as usize..row + run.end as usize];
                assert!(run_pixels.iter().all(|&p| p == 0), "runs don't overlap");
                run_pixels.fill(run.label);
            }
            Ok(())
        })
        .unwrap();
    all
}

fn find(mask: Mask, voxel: [f64; 3], options: &InstanceOptions, at: &Path) -> Instances {
    Instances::find(mask, voxel, options, at, &mut |_| Ok(())).unwrap()
}

/// Writes objects as a TIFF with its table.
fn write(found: &Instances, out: &Path, voxel_nm: Option<[f64; 3]>) -> Vec<Object> {
    let files = InstanceFiles::create(out, &out.with_extension("csv"), false).unwrap();
    let about = json!({ "foreground": "objects" });
    files.write(found, voxel_nm, about, &mut |_| Ok(())).unwrap()
}

/// Voxels in a few balls, with holes and specks.
fn blobs() -> impl Strategy<Value = ([usize; 3], Vec<bool>)> {
    let shape = (1..7_usize, 1..12_usize, 1..14_usize);
    let ball = (0.0..1.0_f64, 0.0..1.0_f64, 0.0..1.0_f64, 0.5..4.5_f64);
    let noise = prop_oneof![Just(0.0), Just(0.02), Just(0.3), Just(1.0)];
    (shape, prop::collection::vec(ball, 0..6), noise, any::<u64>()).prop_map(
        |((depth, height, width), balls, noise, seed)| {
            let shape = [depth, height, width];
            let mut state = seed | 1;
            let mut random = || {
                // Xorshift.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 11) as f64 / (1_u64 << 53) as f64
            };
            let mut foreground = Vec::new();
            for z in 0..depth {
                for y in 0..height {
                    for x in 0..width {
                        let is_in = |&(bz, by, bx, radius): &(f64, f64, f64, f64)| {
                            let at = [z, y, x].map(|side| side as f64);
                            let centre = [bz, by, bx];
                            let way = [0, 1, 2].map(|i| at[i] - centre[i] * shape[i] as f64);
                            way.iter().map(|side| side * side).sum::<f64>() <= radius * radius
                        };
                        // Noise of 1 is a volume of noise alone.
                        let ball = noise < 1.0 && balls.iter().any(is_in);
                        foreground.push(ball != (random() < noise * 0.5));
                    }
                }
            }
            (shape, foreground)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn objects_are_those_of_the_definition(
        (shape, foreground) in blobs(),
        corners: bool,
        split in prop_oneof![Just(0.0_f64), Just(0.5), Just(0.75), Just(1.0)],
        min_size in prop_oneof![Just(0_u64), Just(2), Just(9)],
        // Lengths whose squares are exact.
        voxel in prop_oneof![
            Just([1.0, 1.0, 1.0]),
            Just([3.0, 1.0, 1.0]),
            Just([20.0, 10.0, 15.0])
        ],
    ) {
        let folder = Folder::new();
        let out = folder.at("objects.tif");
        let connectivity = if corners { Connectivity::Corners } else { Connectivity::Faces };
        let options = InstanceOptions { min_size, connectivity, split, ..Default::default() };
        let least = voxel.iter().copied().fold(f64::INFINITY, f64::min);
        let spacing = voxel.map(|side| (side / least) as f32);
        let plain = Plain { shape, foreground: &foreground, corners, spacing };
        let want = plain.objects(min_size as usize, split as f32);
        let [depth, height, width] = shape;
        for block in [shape, [1, height, width], [2, 3, 8], [depth, 1, 16], [1, 1, 8]] {
            let found = find(mask(&out, shape, &foreground, block), voxel, &options, &out);
            prop_assert_eq!(found.count(), want.iter().copied().max().unwrap_or(0));
            prop_assert_eq!(&pixels(&found), &want, "in blocks of {:?}", block);
        }
    }

    #[test]
    fn tables_say_what_the_objects_are(
        (shape, foreground) in blobs(),
        corners: bool,
        split in prop_oneof![Just(0.0_f64), Just(0.75)],
    ) {
        let folder = Folder::new();
        let out = folder.at("objects.tif");
        let connectivity = if corners { Connectivity::Corners } else { Connectivity::Faces };
        let options = InstanceOptions { min_size: 1, connectivity, split, ..Default::default() };
        let voxel = [30.0, 4.0, 4.0];
        let found = find(mask(&out, shape, &foreground, shape), voxel, &options, &out);
        let labels = pixels(&found);
        let objects = write(&found, &out, Some(voxel));
        prop_assert_eq!(objects.len() as u32, found.count());
        for (label, object) in (1..).zip(&objects) {
            let at = |i: usize| [i / (shape[1] * shape[2]), i / shape[2] % shape[1], i % shape[2]];
            let own: Vec<[usize; 3]> =
                (0..labels.len()).filter(|&i| labels[i] == label).map(at).collect();
            prop_assert_eq!(object.label, label);
            prop_assert_eq!(object.voxels, own.len() as u64);
            for axis in 0..3 {
                let sides = || own.iter().map(|at| at[axis]);
                prop_assert_eq!(Some(object.first[axis]), sides().min());
                prop_assert_eq!(Some(object.last[axis]), sides().max());
                let mean = sides().sum::<usize>() as f64 / own.len() as f64;
                prop_assert!((object.centroid[axis] - mean).abs() < 1e-9);
            }
            let at_edge = |at: &[usize; 3]| (0..3).any(|i| at[i] == 0 || at[i] + 1 == shape[i]);
            prop_assert_eq!(object.touches_border, own.iter().any(at_edge));
            // Alone it has the same surface: others and the order of the rows do not matter.
            let alone: Vec<bool> = labels.iter().map(|&l| l == label).collect();
            let whole = InstanceOptions { split: 0.0, ..options.clone() };
            let alone = find(mask(&out, shape, &alone, shape), voxel, &whole, &out);
            let alone_out = folder.at(&format!("{label}.tif"));
            let alone = write(&alone, &alone_out, Some(voxel));
            prop_assert_eq!(alone.len(), 1, "a part hangs together");
            prop_assert!((alone[0].surface - object.surface).abs() < 1e-6);
        }
    }
}

/// Two balls that touch, and a speck.
fn dumbbell() -> ([usize; 3], Vec<bool>) {
    let shape = [18, 24, 600];
    let ball = |at: [usize; 3], x: f64| {
        let way = [at[0] as f64 - 8.0, at[1] as f64 - 11.0, at[2] as f64 - x];
        way.iter().map(|side| side * side).sum::<f64>() <= 49.0
    };
    let mut foreground = Vec::new();
    for z in 0..18 {
        for y in 0..24 {
            for x in 0..600 {
                let at = [z, y, x];
                let speck = at == [17, 23, 599];
                foreground.push(ball(at, 505.0) || ball(at, 520.0) || speck);
            }
        }
    }
    (shape, foreground)
}

#[test]
fn touching_balls_are_cut_unless_their_box_is_too_large() {
    let (shape, foreground) = dumbbell();
    let folder = Folder::new();
    let out = folder.at("objects.tif");
    let new_mask = || mask(&out, shape, &foreground, [1, 24, 600]);
    let options = InstanceOptions::default();
    let found = find(new_mask(), [1.0; 3], &options, &out);
    assert_eq!((found.count(), found.cut(), found.left_out()), (2, 1, 1));
    let labels = pixels(&found);
    // They touch at columns 512 and 513.
    for (i, &label) in labels.iter().enumerate().filter(|(_, label)| **label > 0) {
        assert_eq!(label, if i % 600 <= 512 { 1 } else { 2 }, "column {}", i % 600);
    }
    // The box is 15 x 15 x 30, and one voxel more on each side.
    let small = InstanceOptions { split_box: 17 * 17 * 32 - 1, ..options.clone() };
    let found = find(new_mask(), [1.0; 3], &small, &out);
    assert_eq!((found.count(), found.cut(), found.too_large()), (1, 0, &[1][..]));
    let enough = InstanceOptions { split_box: 17 * 17 * 32, ..options.clone() };
    assert_eq!(find(new_mask(), [1.0; 3], &enough, &out).count(), 2);
    // No part may be smaller than the smallest object.
    let large = InstanceOptions { min_size: 1500, ..options };
    let found = find(new_mask(), [1.0; 3], &large, &out);
    assert_eq!((found.count(), found.cut(), found.left_out()), (1, 0, 1));
}

#[test]
fn files_hold_the_objects() {
    let (shape, foreground) = dumbbell();
    let folder = Folder::new();
    let [tiff, zarr] = ["objects.tif", "objects2.zarr"].map(|name| folder.at(name));
    let new_mask = |out: &Path| mask(out, shape, &foreground, [1, 24, 600]);
    let options = InstanceOptions { min_size: 1, ..Default::default() };
    let voxel = [8.0, 4.0, 4.0];
    let found = find(new_mask(&tiff), voxel, &options, &tiff);
    let want = pixels(&found);
    let objects = write(&found, &tiff, Some(voxel));
    let found = find(new_mask(&zarr), voxel, &options, &zarr);
    assert_eq!(write(&found, &zarr, Some(voxel)), objects);
    drop(found);
    for (path, dtype) in [(&tiff, Dtype::U16), (&zarr, Dtype::U32)] {
        let volume = open_raw(path).unwrap();
        assert_eq!((volume.shape(), volume.dtype()), (shape, dtype));
        assert_eq!(volume.voxel_nm(), Some(voxel));
        let read = (0..shape[0]).flat_map(|z| volume.read_section(z).unwrap().pixels);
        assert!(read.eq(want.iter().map(|&label| label as f32)), "{}", path.display());
    }
    let coarse = open_raw(&zarr.join("s1")).unwrap();
    assert_eq!(coarse.shape(), [18, 12, 300]);
    let coarse = coarse.read_section(8).unwrap().pixels;
    // Rows 11 and 12, columns 500 and 501 are of the first ball.
    assert_eq!(coarse[6 * 300 + 250], 1.0);
    assert!(coarse.iter().all(|&label| label <= 3.0 && label.fract() == 0.0));
    let group: Value =
        serde_json::from_slice(&std::fs::read(zarr.join("zarr.json")).unwrap()).unwrap();
    assert!(group["attributes"]["ome"]["image-label"].is_object(), "{group}");
    // Of both the same table.
    let text = std::fs::read_to_string(folder.at("objects.csv")).unwrap();
    assert_eq!(text, std::fs::read_to_string(folder.at("objects2.csv")).unwrap());
    assert_eq!(text, table(&objects, Some(voxel)));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "label,voxels,volume_nm3,surface_nm2,centroid_z,centroid_y,centroid_x,\
        centroid_z_nm,centroid_y_nm,centroid_x_nm,z_min,y_min,x_min,z_max,y_max,x_max,\
        touches_border"
    );
    assert_eq!(lines.len(), 4);
    // The speck: a voxel in the last corner.
    let speck: Vec<&str> = lines[3].split(',').collect();
    assert_eq!(speck[..3], ["3", "1", "128"]);
    assert_eq!(
        speck[4..],
        "17.000,23.000,599.000,136,92,2396,17,23,599,17,23,599,1".split(',').collect::<Vec<_>>()
    );
    // Without the size of voxels there is nothing in nanometres.
    let text = table(&objects, None);
    assert!(text.starts_with("label,voxels,surface_voxels,centroid_z,") && !text.contains("_nm"));
}

#[test]
fn more_than_65535_objects_are_numbered_with_32_bits() {
    let shape = [3, 512, 512];
    // Every other section, row and column.
    let is_one = |i: usize| [i / 512 / 512, i / 512 % 512, i].iter().all(|at| at.is_multiple_of(2));
    let foreground: Vec<bool> = (0..3 * 512 * 512).map(is_one).collect();
    let folder = Folder::new();
    let out = folder.at("objects.tif");
    let options = InstanceOptions { min_size: 1, ..Default::default() };
    let found = find(mask(&out, shape, &foreground, shape), [1.0; 3], &options, &out);
    assert_eq!(found.count(), 2 * 256 * 256);
    write(&found, &out, None);
    let volume = open_raw(&out).unwrap();
    assert_eq!(volume.dtype(), Dtype::U32);
    let last = volume.read_section(2).unwrap().pixels;
    let labels: Vec<f32> = last.into_iter().filter(|&label| label > 0.0).collect();
    assert!(labels.iter().copied().eq((65_537..=131_072).map(|label| label as f32)));
}

#[test]
fn an_interruption_leaves_nothing() {
    let (shape, foreground) = dumbbell();
    for name in ["objects.tif", "objects.zarr"] {
        let folder = Folder::new();
        let out = folder.at(name);
        let csv = folder.at("objects.csv");
        let files = InstanceFiles::create(&out, &csv, false).unwrap();
        let options = InstanceOptions::default();
        let found = find(mask(&out, shape, &foreground, shape), [1.0; 3], &options, &out);
        let mut sections = 0;
        // In the midst of the second layer of chunks.
        let mut stop = |done: usize| -> Result<()> {
            sections += done;
            if sections < 17 { Ok(()) } else { Err(askem::Error::Interrupted("stop".into())) }
        };
        let about = json!({ "foreground": "objects" });
        let error = files.write(&found, None, about, &mut stop).unwrap_err();
        assert!(matches!(error, askem::Error::Interrupted(_)), "{error}");
        drop(found);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{name}");
    }
}

#[test]
fn cutting_asks_whether_to_go_on() {
    let (shape, foreground) = dumbbell();
    let folder = Folder::new();
    let out = folder.at("objects.tif");
    let options = InstanceOptions::default();
    let mut asked = 0;
    let mut count = |done: usize| {
        asked += usize::from(done == 0);
        Ok(())
    };
    let whole = mask(&out, shape, &foreground, shape);
    Instances::find(whole, [1.0; 3], &options, &out, &mut count).unwrap();
    // Before the component is read, before its maxima are found, and before it is flooded.
    assert_eq!(asked, 3);
    for stop in 1..=3 {
        let mut left = stop;
        let mut ask = |done: usize| {
            left -= usize::from(done == 0);
            if left > 0 { Ok(()) } else { Err(askem::Error::Interrupted("stop".into())) }
        };
        let whole = mask(&out, shape, &foreground, shape);
        assert!(Instances::find(whole, [1.0; 3], &options, &out, &mut ask).is_err(), "{stop}");
    }
}

#[test]
fn no_table_stands_beside_objects_that_it_does_not_describe() {
    let (shape, foreground) = dumbbell();
    for name in ["objects.tif", "objects.zarr"] {
        let folder = Folder::new();
        let [out, csv] = [name, "objects.csv"].map(|name| folder.at(name));
        let options = InstanceOptions::default();
        let found = find(mask(&out, shape, &foreground, shape), [1.0; 3], &options, &out);
        write(&found, &out, None);
        let files = InstanceFiles::create(&out, &csv, true).unwrap();
        let mut sections = 0;
        let mut stop = |done: usize| -> Result<()> {
            sections += done;
            if sections < 17 { Ok(()) } else { Err(askem::Error::Interrupted("stop".into())) }
        };
        let about = json!({ "foreground": "objects" });
        files.write(&found, None, about, &mut stop).unwrap_err();
        // A TIFF stays until the new one is complete; an OME-Zarr goes first.
        assert_eq!([out.exists(), csv.exists()], [name == "objects.tif"; 2], "{name}");
    }
}

#[test]
fn options_without_sense_are_refused() {
    let usual = InstanceOptions::default();
    for (options, part) in [
        (InstanceOptions { split: -0.1, ..usual.clone() }, "--split -0.1"),
        (InstanceOptions { split: f64::NAN, ..usual.clone() }, "--split NaN"),
        (InstanceOptions { split: 1.5, ..usual.clone() }, "--split 1.5"),
        (InstanceOptions { split_box: 1 << 40, ..usual.clone() }, "--split-box"),
    ] {
        let message = options.validate().unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
    assert!(usual.validate().is_ok());
    let folder = Folder::new();
    for shape in [[0, 1, 1], [1, 1, 1 << 33], [usize::MAX, 1 << 31, 1 << 31]] {
        assert!(Mask::create(&folder.at("a.tif"), shape).is_err(), "{shape:?}");
    }
}
