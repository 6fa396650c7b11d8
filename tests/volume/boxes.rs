//! Labels of a part of a volume: where they lie, and that of the rest nothing is known.

use askem::data::pool::Position;
use askem::data::volume::{
    ArrayVolume, CachedLabels, LabelOptions, LabelVolume, OmeKind, OmeZarrWriter, Pair, Region,
    inspect, open_labels, open_raw, pair, pair_at,
};
use askem::learning::annotator::{Annotator as _, SimulatedAnnotator};

use crate::files::{Folder, ramp};

const PLAIN: LabelOptions = LabelOptions { value: None, ignore: None, classes: None };
const SHAPE: [usize; 3] = [5, 6, 7];

fn array(shape: [usize; 3], value: impl Fn(usize) -> usize) -> ArrayVolume {
    let pixels: Vec<u8> = (0..shape.iter().product()).map(|i| value(i) as u8).collect();
    ArrayVolume::from_u8(shape, &pixels).unwrap()
}

fn paired(labels: [usize; 3], at: Option<[usize; 3]>) -> Result<Pair, String> {
    let raw = Box::new(array(SHAPE, |i| i));
    let labels = LabelVolume::new(Box::new(array(labels, |i| i % 3)), PLAIN);
    pair_at(raw, labels, at).map_err(|e| e.to_string())
}

/// The labels of all pixels, section after section.
fn all(labels: &LabelVolume) -> Vec<u8> {
    (0..labels.shape()[0]).flat_map(|z| labels.read_labels(z).unwrap()).collect()
}

#[test]
fn pixels_outside_of_the_box_are_unknown() {
    for (shape, at) in [
        ([2, 3, 4], [1, 2, 3]),
        ([1, 1, 1], [4, 5, 6]),
        ([5, 6, 1], [0, 0, 0]),
        ([1, 6, 7], [3, 0, 0]),
        ([4, 5, 6], [1, 1, 1]),
    ] {
        let pair = paired(shape, Some(at)).unwrap();
        assert_eq!(pair.labels.shape(), SHAPE);
        assert!(pair.labels.may_be_unknown());
        let [z, y, x] = [0, 1, 2].map(|i| at[i]..at[i] + shape[i]);
        let part = Region { z, y, x };
        assert_eq!(pair.known, part);
        let mut own = (0..).map(|i| u8::from(i % 3 != 0));
        let mut want = Vec::new();
        for z in 0..SHAPE[0] {
            for y in 0..SHAPE[1] {
                for x in 0..SHAPE[2] {
                    let inside = part.z.contains(&z) && part.y.contains(&y) && part.x.contains(&x);
                    want.push(if inside { own.next().unwrap() } else { 255 });
                }
            }
        }
        assert_eq!(all(&pair.labels), want, "{shape:?} at {at:?}");
        let [warning] = &pair.warnings[..] else { panic!("{:?}", pair.warnings) };
        assert!(warning.contains("count neither for training nor for evaluation"), "{warning}");
        // What is known is what there is to be told.
        let count = shape.iter().product::<usize>();
        let foreground = (0..count).filter(|i| i % 3 != 0).count() as f64 / count as f64;
        let found = inspect(&pair.raw, Some(&pair.labels)).unwrap();
        assert!((found.foreground.unwrap() - foreground).abs() < 1e-12, "{found:?}");
        // A patch is asked for where it shows a known pixel.
        let labels = CachedLabels::new(pair.labels, 2);
        let annotator = SimulatedAnnotator::new(&labels);
        for (i, _) in want.chunks(SHAPE[2]).enumerate() {
            let (z, y) = (i / SHAPE[1], i % SHAPE[1]);
            for x in 0..SHAPE[2] {
                let inside = part.z.contains(&z) && part.y.contains(&y) && part.x.contains(&x);
                assert_eq!(annotator.can_label(Position { z, y, x }, 1).unwrap(), inside);
            }
        }
    }
    let whole = paired(SHAPE, Some([0, 0, 0])).unwrap();
    assert_eq!((whole.known, whole.warnings), (Region::whole(SHAPE), Vec::new()));
    assert!(!whole.labels.may_be_unknown());
}

#[test]
fn a_box_that_reaches_beyond_is_refused_with_its_numbers() {
    for (shape, at, end) in [
        ([2, 3, 4], [4, 0, 0], "section 6, row 3, column 4"),
        ([2, 3, 4], [0, 4, 0], "section 2, row 7, column 4"),
        ([2, 3, 4], [0, 0, 4], "section 2, row 3, column 8"),
        (SHAPE, [0, 0, 1], "section 5, row 6, column 8"),
    ] {
        let message = paired(shape, Some(at)).unwrap_err();
        let parts = [end, "5 x 6 x 7", "--label-offset"];
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
    assert!(paired([1, 1, 1], Some([usize::MAX, 0, 0])).is_err());
    let message = paired([2, 3, 4], None).unwrap_err();
    assert!(message.contains("2 x 3 x 4") && message.contains("--label-offset"), "{message}");
    // Larger labels have no place in the volume.
    let message = paired([5, 6, 8], None).unwrap_err();
    assert!(message.contains("5 x 6 x 8") && !message.contains("--label-offset"), "{message}");
}

/// Folders of raw sections and of labels with these names: what is warned of, and the labels.
fn folders(
    raw: &[&str],
    labels: &[&str],
    size: [u32; 2],
    at: Option<[usize; 3]>,
) -> Result<Pair, String> {
    let folder = Folder::new();
    for (z, name) in raw.iter().enumerate() {
        folder.grey_png(&format!("raw/{name}.png"), [4, 6], &ramp(z, 24));
    }
    let area = (size[0] * size[1]) as usize;
    for (z, name) in labels.iter().enumerate() {
        folder.grey_png(&format!("labels/{name}.png"), size, &vec![(z % 2) as u8; area]);
    }
    let raw = open_raw(&folder.at("raw")).unwrap();
    let labels = open_labels(&folder.at("labels"), PLAIN).unwrap();
    let pair = pair_at(raw, labels, at).map_err(|e| e.to_string())?;
    // The files are gone with the folder.
    all(&pair.labels);
    Ok(pair)
}

#[test]
fn a_lone_picture_goes_with_the_section_of_its_number() {
    let lone = |raw: &[&str], label: &str| {
        folders(raw, &[label], [4, 6], None).map(|pair| (pair.known.z, pair.warnings))
    };
    for (raw, label, z) in [
        (["EM2_0001", "EM2_0002", "EM2_0012"], "EM2_0012", 2),
        (["EM2_0001", "EM2_0002", "EM2_0012"], "mito2_0002", 1),
        (["EM2_0001", "EM2_0002", "EM2_0012"], "mask_0001", 0),
        (["8", "9", "10"], "labels_10", 2),
        (["slice_003_z17", "slice_004_z18", "slice_005_z19"], "slice_004_z18", 1),
        (["001_8bit", "002_8bit", "003_8bit"], "003_mask", 2),
    ] {
        let (known, warnings) = lone(&raw, label).unwrap();
        assert_eq!(known, z..z + 1, "{label}");
        let [warning] = &warnings[..] else { panic!("{warnings:?}") };
        let name = format!("{label}.png belongs to ");
        assert!(warning.contains("2 of 3 sections have no labels"), "{warning}");
        assert!(warning.contains(&name) && warning.contains(&format!("{}.png by", raw[z])));
    }
    for (raw, label) in [
        (["EM2_0001", "EM2_0002", "EM2_0012"], "mask_12"),
        (["EM2_0001", "EM2_0002", "EM2_0012"], "mask_0007"),
        (["EM2_0001", "EM2_0002", "EM2_0012"], "mask"),
        (["8", "9", "10"], "label_9_of_10_on_day_8"),
    ] {
        let message = lone(&raw, label).unwrap_err();
        assert!(message.contains("--label-offset"), "{label}: {message}");
        // The option settles it.
        let pair = folders(&raw, &[label], [4, 6], Some([1, 0, 0])).unwrap();
        assert_eq!(pair.known.z, 1..2);
    }
}

#[test]
fn numbers_in_names_and_the_option_go_together() {
    let raw = ["r1", "r2", "r3", "r4", "r5"];
    // Cropped sections, of which one is missing.
    let pair = folders(&raw, &["m2", "m4"], [2, 3], Some([1, 2, 1])).unwrap();
    assert_eq!(pair.known, Region { z: 1..4, y: 2..4, x: 1..4 });
    assert!(pair.warnings[0].contains("where 1 of 3 sections have no labels"), "{pair:?}");
    // Numbers that count from elsewhere do not move what the option says.
    let pair = folders(&raw, &["m1", "m2"], [2, 3], Some([3, 0, 0])).unwrap();
    assert_eq!(pair.known.z, 3..5);
    let message = folders(&raw, &["m2", "m4"], [2, 3], None).unwrap_err();
    assert!(message.contains("--label-offset"), "{message}");
}

#[test]
fn translations_of_ome_zarr_say_the_place() {
    let folder = Folder::new();
    let write = |name: &str, shape: [usize; 3], voxel: [f64; 3], origin: Option<[f64; 3]>| {
        let path = folder.at(name);
        let about = serde_json::json!({"foreground": name});
        let writer = OmeZarrWriter::create(&path, shape, OmeKind::Labels, about, false).unwrap();
        let writer = writer.with_voxel_nm(Some(voxel)).with_origin(origin);
        let count = shape.iter().product::<usize>();
        let values: Vec<f32> = (0..count).map(|i| 255.0 * (i % 2) as f32).collect();
        writer.write(0, &values).unwrap();
        writer.finish().unwrap();
        path
    };
    let voxel = [50.0, 4.6, 4.6];
    let raw = write("raw.zarr", SHAPE, voxel, Some([100.0, 23.0, 32.2]));
    let plain = write("plain.zarr", SHAPE, voxel, None);
    let place = |raw: &std::path::Path, name: &str, voxel: [f64; 3], origin: Option<[f64; 3]>| {
        let labels = write(name, [2, 3, 4], voxel, origin);
        let pair = pair(open_raw(raw).unwrap(), open_labels(&labels, PLAIN).unwrap());
        pair.map(|pair| (pair.known, pair.warnings)).map_err(|e| e.to_string())
    };
    let part = Region { z: 1..3, y: 2..5, x: 3..7 };
    let (known, warnings) = place(&raw, "a.zarr", voxel, Some([150.0, 32.2, 46.0])).unwrap();
    assert_eq!(known, part);
    assert!(warnings[0].contains("section 1, row 2, column 3"), "{warnings:?}");
    assert!(warnings[0].contains("translations") && warnings.len() == 1, "{warnings:?}");
    // An image without a translation begins at 0.
    let (known, _) = place(&plain, "b.zarr", voxel, Some([50.0, 9.2, 13.8])).unwrap();
    assert_eq!(known, part);
    for (name, voxel, origin, said) in [
        ("c.zarr", voxel, None, "--label-offset"),
        ("d.zarr", voxel, Some([150.0, 34.0, 46.0]), "2.391 voxels behind"),
        ("e.zarr", voxel, Some([0.0, 32.2, 46.0]), "2 voxels before the raw volume along z"),
        ("f.zarr", [50.0, 9.2, 9.2], Some([150.0, 32.2, 46.0]), "along y their voxels are 9.2"),
        ("g.zarr", voxel, Some([150.0, 32.2, 50.6]), "column 8"),
    ] {
        let message = place(&raw, name, voxel, origin).unwrap_err();
        assert!(message.contains(said) && message.contains("--label-offset"), "{name}: {message}");
    }
    // A TIFF says nothing of its place.
    let tiff = folder.grey_png("one.png", [6, 7], &ramp(0, 42));
    let message = place(&tiff, "h.zarr", voxel, Some([0.0; 3])).unwrap_err();
    assert!(message.contains("differ in shape"), "{message}");
}
