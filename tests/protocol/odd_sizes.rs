//! Sections of any size are segmented, in windows that leave no trace: any part of a section, and any
//! part of a larger one that is moved, says the same.

use std::ops::Range;
use std::sync::Arc;

use askem::data::pool::{PatchReader, Region, Scaling};
use askem::data::volume::{ArrayVolume, Volume};
use askem::learning::predict::{
    Symmetries, area_foreground, area_probabilities, section_foreground, windows_of_area,
};
use askem::network::model::Model;
use askem::network::unet::Norm;

use crate::world::{PATCH, cpu, net, trained};

const SIZES: [[usize; 2]; 9] =
    [[1, 1], [1, 301], [301, 1], [2, 31], [17, 40], [40, 17], [PATCH, PATCH], [33, 95], [301, 301]];

/// Grey values that differ from pixel to pixel and do not depend on the section's size.
fn grey(y: usize, x: usize) -> f32 {
    (127.0 + 90.0 * (y as f32 / 7.0).sin() * (x as f32 / 5.0).cos())
        + ((y * 31 + x * 17) % 37) as f32
}

fn model_with(norm: Norm) -> Model {
    let mut model = Model::new(cpu(2), net(norm), PATCH).expect("a network");
    model.set_weights(&trained(norm).weights).expect("weights fit");
    model
}

fn model() -> Model {
    model_with(Norm::Batch)
}

/// One section whose pixel at a row and a column is that of `image` there.
fn section(height: usize, width: usize, image: impl Fn(usize, usize) -> f32) -> PatchReader {
    let pixels = (0..height * width).map(|i| image(i / width, i % width)).collect();
    let volume = ArrayVolume::new([1, height, width], pixels).expect("a volume");
    let raw: Arc<dyn Volume> = Arc::new(volume);
    let region = Region::whole(raw.shape());
    PatchReader::new(raw, region, Scaling { mean: 140.0, deviation: 50.0 })
}

fn segment(model: &mut Model, reader: &PatchReader) -> Vec<f32> {
    section_foreground(model, reader, 0, &mut |_| Ok(())).expect("any size is segmented")
}

/// Sums in another order differ by so much.
const NEAR: f32 = 2e-5;

fn require_near(got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let far = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(far <= NEAR, "{what}: {far}");
}

/// The rows and columns of a segmentation with so many columns.
fn cut(p: &[f32], width: usize, rows: Range<usize>, columns: Range<usize>) -> Vec<f32> {
    rows.flat_map(|y| p[y * width..][columns.clone()].to_vec()).collect()
}

/// Where a walk to and fro over `length` places is after so many steps.
fn to_and_fro(steps: usize, length: usize) -> usize {
    let (mut at, mut back) = (0, false);
    for _ in 0..steps {
        if length == 1 {
            return 0;
        }
        back = if at == length - 1 { true } else { back && at > 0 };
        at = if back { at - 1 } else { at + 1 };
    }
    at
}

#[test]
fn a_section_of_any_size_is_segmented_whole() {
    for (norm, far) in [(Norm::Batch, NEAR), (Norm::Instance, 0.0)] {
        let mut model = model_with(norm);
        for [height, width] in SIZES {
            let reader = section(height, width, grey);
            let p = segment(&mut model, &reader);
            assert_eq!(p.len(), height * width);
            assert!(p.iter().all(|p| (0.0..=1.0).contains(p)), "{height} x {width}");
            if height > 1 && width > 1 {
                assert!(p.iter().any(|&v| v != p[0]), "{height} x {width}: nothing to see");
            }
            // A part of it is the same.
            let area = Region { z: 0..1, y: height / 3..height, x: width / 2..width };
            let part = area_foreground(&mut model, &reader, 0, &area, &mut |_| Ok(())).unwrap();
            let want = cut(&p, width, area.y, area.x);
            assert_eq!(part.len(), want.len());
            let differs = |(a, b): (&f32, &f32)| (a - b).abs() > far;
            assert!(!part.iter().zip(&want).any(differs), "{norm:?}, a part of {height} x {width}");
        }
    }
}

#[test]
fn beyond_its_edges_a_section_is_mirrored() {
    let [height, width] = [40, 56];
    // 32 pixels on each side, and what is missing from a multiple of 16 along the rows.
    let (tall, wide) = (48 + 64, 64 + 64);
    let at = |steps: usize, length: usize| match steps {
        0..32 => to_and_fro(32 - steps, length),
        _ => to_and_fro(steps - 32, length),
    };
    let scaled = |i: usize| {
        let value = grey(at(i / wide, height), at(i % wide, width));
        ((f64::from(value) - 140.0) / 50.0) as f32
    };
    let seen: Vec<f32> = (0..tall * wide).map(scaled).collect();
    let mut model = model();
    assert!(model.prepare_window([tall, wide]).unwrap());
    let started = model.start_window(&seen).unwrap();
    let background = &model.finish(started).unwrap()[0][..tall * wide];
    let want: Vec<f32> = background.iter().map(|p| 1.0 - p).collect();
    let p = segment(&mut model, &section(height, width, grey));
    assert!(p == cut(&want, wide, 32..32 + height, 32..32 + width));
}

#[test]
fn beyond_its_region_a_reader_sees_what_is_there() {
    let (height, width) = (200, 170);
    let whole = section(height, width, grey);
    let area = Region { z: 0..1, y: 70..131, x: 33..170 };
    let pixels = (0..height * width).map(|i| grey(i / width, i % width)).collect();
    let raw = Arc::new(ArrayVolume::new([1, height, width], pixels).expect("a volume"));
    let part = PatchReader::new(raw, area.clone(), whole.scaling);
    for norm in [Norm::Batch, Norm::Instance] {
        let mut model = model_with(norm);
        let p = segment(&mut model, &part);
        let of_whole = segment(&mut model, &whole);
        let want = cut(&of_whole, width, area.y.clone(), area.x.clone());
        require_near(&p, &want, "a region");
    }
}

#[test]
fn windows_leave_no_trace() {
    let mut model = model();
    // As many columns as one window has, and rows for three.
    let longest = model.longest_window();
    let (height, width) = (2 * longest + 100, 16);
    let reader = section(height, width, grey);
    let area = |rows: Range<usize>| Region { z: 0..1, y: rows, x: 0..width };
    assert_eq!(windows_of_area(&mut model, &reader, &area(0..height)), 3);
    let p = segment(&mut model, &reader);
    for rows in [0..700, longest - 300..longest + 300, 2 * longest - 500..height] {
        let area = area(rows.clone());
        assert_eq!(windows_of_area(&mut model, &reader, &area), 1);
        let alone = area_foreground(&mut model, &reader, 0, &area, &mut |_| Ok(())).unwrap();
        require_near(&alone, &cut(&p, width, rows.clone(), 0..width), &format!("{rows:?}"));
    }
}

#[test]
fn what_is_moved_is_segmented_alike() {
    let mut model = model();
    let (height, width) = (420, 370);
    let p = segment(&mut model, &section(height, width, grey));
    // Poolings lie at multiples of 16 pixels.
    for [down, right] in [[16, 0], [48, 32], [0, 112]] {
        let moved = section(height - down, width - right, |y, x| grey(y + down, x + right));
        let moved = segment(&mut model, &moved);
        // Near an edge one of them sees mirror images where the other sees the section.
        let (rows, columns) = (128 + down..height - 128, 128 + right..width - 128);
        let of_moved = cut(
            &moved,
            width - right,
            rows.start - down..rows.end - down,
            columns.start - right..columns.end - right,
        );
        assert!(!of_moved.is_empty());
        require_near(&of_moved, &cut(&p, width, rows, columns), &format!("{down}, {right}"));
        assert!(moved != cut(&p, width, down..height, right..width), "nothing is seen at edges");
    }
}

#[test]
fn mirror_images_are_averaged() {
    let mut model = model();
    // Multiples of 16: what is mirrored at both ends is as long.
    let (height, width) = (64, 48);
    let flip = |i: usize, [rows, columns]: [bool; 2]| {
        let (y, x) = (i / width, i % width);
        let y = if rows { height - 1 - y } else { y };
        (y, if columns { width - 1 - x } else { x })
    };
    let images = [[false, false], [true, true], [true, false], [false, true]].map(|reversed| {
        let image = |y, x| {
            let (y, x) = flip(y * width + x, reversed);
            grey(y, x)
        };
        let p = segment(&mut model, &section(height, width, image));
        let back = |i| {
            let (y, x) = flip(i, reversed);
            p[y * width + x]
        };
        (0..height * width).map(back).collect::<Vec<f32>>()
    });
    let reader = section(height, width, grey);
    for (symmetries, count) in [(Symmetries::One, 1), (Symmetries::Two, 2), (Symmetries::Four, 4)] {
        let mean = |i| images[..count].iter().map(|p| p[i]).sum::<f32>() / count as f32;
        let want: Vec<f32> = (0..height * width).map(mean).collect();
        let whole = reader.region.clone();
        let p = area_probabilities(&mut model, &reader, 0, &whole, symmetries, &mut |_| Ok(()));
        let p = p.expect("it is segmented").into_foreground();
        require_near(&p, &want, &format!("{count} images"));
        assert!(count == 1 || p != images[0], "{count} images say what one says");
    }
}

/// With instance norm a section is seen in windows of a patch's size, one every half of it from half
/// a patch before the first pixel on; their weights fall to zero at their ends as squares of sines.
#[test]
fn with_instance_norm_windows_are_blended_where_they_lie() {
    let [height, width] = [40, 48];
    let (side, half) = (PATCH, PATCH / 2);
    let mut model = model_with(Norm::Instance);
    let p = segment(&mut model, &section(height, width, grey));
    let mirrored = |at: isize, length: usize| {
        let last = length as isize - 1;
        let at = at.abs();
        (if at > last { 2 * last - at } else { at }) as usize
    };
    let weight = |i: usize| ((i as f64 + 0.5) / side as f64 * std::f64::consts::PI).sin().powi(2);
    let mut want = vec![0.0; height * width];
    assert!(model.prepare_window([side, side]).unwrap());
    for top in (0..height + half).step_by(half) {
        for left in (0..width + half).step_by(half) {
            // Row and column of a window's pixel, half a patch too far.
            let at = |i: usize| (top + i / side, left + i % side);
            let seen: Vec<f32> = (0..side * side)
                .map(|i| {
                    let (y, x) = at(i);
                    let [y, x] = [y, x].map(|place| place as isize - half as isize);
                    let value = grey(mirrored(y, height), mirrored(x, width));
                    ((f64::from(value) - 140.0) / 50.0) as f32
                })
                .collect();
            let started = model.start_window(&seen).unwrap();
            let background = model.finish(started).unwrap().remove(0);
            for i in 0..side * side {
                let (y, x) = at(i);
                if (half..half + height).contains(&y) && (half..half + width).contains(&x) {
                    let weight = weight(i / side) * weight(i % side);
                    let value = weight * f64::from(1.0 - background[i]);
                    want[(y - half) * width + x - half] += value;
                }
            }
        }
    }
    let want: Vec<f32> = want.into_iter().map(|p| p as f32).collect();
    require_near(&p, &want, "blended windows");
}
