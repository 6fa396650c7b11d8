//! Sections of any size are segmented: as their mirrored images are, where they are smaller than a
//! patch, and as larger ones, where the windows are the same.

use std::ops::Range;
use std::sync::Arc;

use askem::data::pool::{PatchReader, Region, Scaling};
use askem::data::volume::{ArrayVolume, Volume};
use askem::learning::predict::{area_foreground, section_foreground};
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

fn model() -> Model {
    let mut model = Model::new(cpu(2), net(Norm::Batch), PATCH).expect("a network");
    model.set_weights(&trained(Norm::Batch).weights).expect("weights fit");
    model
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
    let mut model = model();
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
        assert!(part == cut(&p, width, area.y, area.x), "{height} x {width}: a part differs");
    }
}

#[test]
fn what_is_smaller_than_a_patch_is_segmented_as_its_mirror_image() {
    let mut model = model();
    let small = |[height, width]: &[usize; 2]| *height < PATCH || *width < PATCH;
    assert_eq!(SIZES.iter().filter(|size| small(size)).count(), 6);
    for [height, width] in SIZES.into_iter().filter(small) {
        let p = segment(&mut model, &section(height, width, grey));
        let (tall, wide) = (height.max(PATCH), width.max(PATCH));
        let mirrored =
            section(tall, wide, |y, x| grey(to_and_fro(y, height), to_and_fro(x, width)));
        let want = cut(&segment(&mut model, &mirrored), wide, 0..height, 0..width);
        assert!(p == want, "{height} x {width}");
    }
}

#[test]
fn a_larger_section_is_segmented_alike_where_the_windows_are_the_same() {
    let mut model = model();
    let (height, width) = (6 * PATCH + 7, 5 * PATCH + 21);
    let large = segment(&mut model, &section(height, width, grey));
    for [tall, wide] in [[33, 95], [2 * PATCH, 3 * PATCH], [3 * PATCH + 5, 4 * PATCH]] {
        let p = segment(&mut model, &section(tall, wide, grey));
        // The last window of a side ends with it; one more of the larger section begins half a
        // patch behind the last one that both have.
        let same = |side: usize| match (side - PATCH) % (PATCH / 2) {
            0 => side - PATCH / 2,
            _ => side - PATCH,
        };
        let (rows, columns) = (0..same(tall), 0..same(wide));
        let want = cut(&large, width, rows.clone(), columns.clone());
        assert!(!want.is_empty());
        assert!(cut(&p, wide, rows, columns) == want, "{tall} x {wide}");
        // Beyond, the smaller one sees less.
        assert!(p != cut(&large, width, 0..tall, 0..wide), "{tall} x {wide}");
    }
}
