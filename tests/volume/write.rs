//! Written files read back, and nothing half-written is left.

use crate::files::Folder;
use askem::data::volume::{
    LabelOptions, OmeKind, OmeZarrWriter, TiffStackWriter, Volume, open_labels, open_raw,
    write_tiff_labels, write_tiff_probabilities,
};
use askem::{Error, Result};

/// What lies in a folder.
fn names(folder: &Folder) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path()).unwrap();
    entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn labels_and_probabilities_come_back() {
    let folder = Folder::new();
    let labels = |z: usize| -> Vec<u8> { (0..35).map(|i| u8::from((i + z) % 3 < 1)).collect() };
    let path = folder.at("segmentation.tif");
    write_tiff_labels(&path, [4, 5, 7], |z| Ok(labels(z))).unwrap();
    let read = open_labels(&path, LabelOptions::default()).unwrap();
    assert_eq!(read.shape(), [4, 5, 7]);
    for z in 0..4 {
        assert_eq!(read.read_labels(z).unwrap(), labels(z));
        let values = read.source().read_section(z).unwrap().pixels;
        assert!(values.iter().all(|&v| v == 0.0 || v == 255.0));
    }
    let chance = |z: usize| -> Vec<f32> { (0..35).map(|i| (i * 4 + z) as f32 / 143.0).collect() };
    let path = folder.at("probabilities.tif");
    write_tiff_probabilities(&path, [4, 5, 7], |z| Ok(chance(z))).unwrap();
    let read = open_raw(&path).unwrap();
    for z in 0..4 {
        assert_eq!(read.read_section(z).unwrap().pixels, chance(z));
    }
    assert_eq!(names(&folder).len(), 2);
}

#[test]
fn nothing_half_written_is_left_and_the_old_file_stays() {
    let folder = Folder::new();
    let path = folder.write("a.tif", b"old");
    let failing = |z: usize| -> Result<Vec<u8>> {
        if z < 2 { Ok(vec![1; 6]) } else { Err(Error::Input("no more".into())) }
    };
    assert!(write_tiff_labels(&path, [3, 2, 3], failing).is_err());
    assert_eq!(
        (names(&folder), std::fs::read(&path).unwrap()),
        (vec!["a.tif".into()], b"old".into())
    );

    let mut writer = TiffStackWriter::create(&path, [2, 2, 3]).unwrap();
    assert!(writer.push_labels(&[0; 5]).is_err(), "a section of another size");
    writer.push_labels(&[0; 6]).unwrap();
    let message = writer.finish().unwrap_err().to_string();
    assert!(message.contains("1 of 2 sections"), "{message}");
    assert_eq!(std::fs::read(&path).unwrap(), b"old");

    let mut writer = TiffStackWriter::create(&path, [1, 2, 3]).unwrap();
    writer.push_labels(&[0; 6]).unwrap();
    assert!(writer.push_labels(&[0; 6]).is_err(), "one section too many");
    writer.finish().unwrap();
    assert_eq!(open_raw(&path).unwrap().shape(), [1, 2, 3]);
    assert_eq!(names(&folder), ["a.tif"]);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let folder = Folder::new();
    let path = folder.path().join("missing").join("a.tif");
    let message = TiffStackWriter::create(&path, [1, 2, 3]).err().unwrap().to_string();
    assert!(message.contains("missing") && message.contains("creating it"), "{message}");
    assert!(TiffStackWriter::create(&folder.at("a.tif"), [0, 2, 3]).is_err());
}

#[test]
fn voxels_keep_their_size() {
    let folder = Folder::new();
    let path = folder.at("a.tif");
    let voxel = [40.0, 8.0, 4.5];
    let mut writer = TiffStackWriter::create(&path, [3, 5, 7]).unwrap().with_voxel_nm(Some(voxel));
    (0..3).for_each(|_| writer.push_labels(&[0; 35]).unwrap());
    writer.finish().unwrap();
    let read = open_raw(&path).unwrap();
    assert_eq!(read.shape(), [3, 5, 7]);
    let close = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-6;
    let found = read.voxel_nm().unwrap();
    assert!((0..3).all(|axis| close(found[axis], voxel[axis])), "{found:?}");
    // Three pages are sections, and not the colours of a picture.
    write_tiff_labels(&path, [3, 5, 7], |_| Ok(vec![0; 35])).unwrap();
    let read = open_raw(&path).unwrap();
    assert_eq!((read.shape(), read.voxel_nm()), ([3, 5, 7], None));

    let path = folder.at("a.zarr");
    let about = serde_json::json!({ "foreground": "probability above 0.5 is 255" });
    let shape = [2, 300, 40];
    let writer = OmeZarrWriter::create(&path, shape, OmeKind::Labels, about, false).unwrap();
    let writer = writer.with_voxel_nm(Some(voxel));
    writer.write(0, &vec![0.0; 2 * 300 * 40]).unwrap();
    writer.finish().unwrap();
    assert_eq!(open_raw(&path).unwrap().voxel_nm(), Some(voxel));
    assert_eq!(open_raw(&path.join("s1")).unwrap().voxel_nm(), Some([40.0, 16.0, 9.0]));
}

#[test]
fn labels_say_in_an_ome_zarr_that_they_are_labels() {
    let folder = Folder::new();
    for (kind, is_label) in [
        (OmeKind::Labels, true),
        (OmeKind::Classes, true),
        (OmeKind::Instances, true),
        (OmeKind::Grey, false),
        (OmeKind::Probabilities, false),
    ] {
        let path = folder.at(&format!("{kind:?}.zarr"));
        let about = serde_json::json!({ "foreground": "a test" });
        let writer = OmeZarrWriter::create(&path, [1, 2, 3], kind, about, false).unwrap();
        writer.write(0, &[0.0, 1.0, 0.0, 1.0, 1.0, 0.0]).unwrap();
        writer.finish().unwrap();
        let group = std::fs::read(path.join("zarr.json")).unwrap();
        let group: serde_json::Value = serde_json::from_slice(&group).unwrap();
        let ome = &group["attributes"]["ome"];
        assert_eq!(ome["version"], "0.5");
        let want = is_label.then(|| serde_json::json!({}));
        assert_eq!(ome.get("image-label"), want.as_ref(), "{kind:?}: {group}");
    }
}
