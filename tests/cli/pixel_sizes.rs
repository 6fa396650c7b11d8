//! A network that meets pixels of another size than it learnt from is said.

use std::path::PathBuf;

use askem::data::volume::TiffStackWriter;
use tempfile::{TempDir, tempdir};

use crate::program::{Call, askem};
use crate::results::{SHAPE, phantom, tiny};

const SAID: &str = "what the network looks for is smaller or larger here";

struct Data {
    folder: TempDir,
}

impl Data {
    fn new() -> Self {
        Self { folder: tempdir().unwrap() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The phantom with voxels of so many nanometres, and its labels.
    fn volume(&self, name: &str, voxel_nm: Option<[f64; 3]>) -> [PathBuf; 2] {
        let (raw, labels) = phantom();
        [("raw", raw), ("labels", labels)].map(|(kind, sections)| {
            let path = self.at(&format!("{name}-{kind}.tif"));
            let mut writer = TiffStackWriter::create(&path, SHAPE).unwrap().with_voxel_nm(voxel_nm);
            sections.iter().for_each(|section| writer.push_classes(section).unwrap());
            writer.finish().unwrap();
            path
        })
    }

    fn pair(&self, call: Call, [raw, labels]: &[PathBuf; 2]) -> Call {
        call.path("--raw", raw).path("--labels", labels)
    }
}

#[test]
fn a_fifth_more_or_less_is_said() {
    let data = Data::new();
    let known = data.volume("known", Some([40.0, 4.0, 4.0]));
    let run = |name: &str, context: &'static str| {
        let call = data.pair(tiny(), &known).args(["--context", context]);
        let outcome = call.path("--out", &data.at(name)).succeed();
        assert!(!outcome.stderr.contains(SAID), "{outcome:#?}");
    };
    run("flat", "0");
    run("deep", "1");
    for (i, (voxel_nm, flat, deep)) in [
        (Some([40.0, 5.0, 5.0]), true, true),
        (Some([40.0, 4.0, 3.0]), true, true),
        (Some([40.0, 4.5, 3.5]), false, false),
        (Some([80.0, 4.0, 4.0]), false, true),
        (None, false, false),
    ]
    .into_iter()
    .enumerate()
    {
        let [raw, _] = data.volume(&format!("v{i}"), voxel_nm);
        for (run, is_said) in [("flat", flat), ("deep", deep)] {
            let call = askem(["predict", "--device", "cpu"]).path("--run", &data.at(run));
            let out = data.at(&format!("{run}-{i}.tif"));
            let said = call.path("--raw", &raw).path("--out", &out).succeed().stderr;
            assert_eq!(
                said.matches(SAID).count(),
                usize::from(is_said),
                "{voxel_nm:?} {run}: {said}"
            );
            let call = askem(["score", "--device", "cpu"]).path("--run", &data.at(run));
            let out = data.at(&format!("{run}-{i}.zarr"));
            let said = call.path("--raw", &raw).path("--out", &out).succeed().stderr;
            assert_eq!(
                said.matches(SAID).count(),
                usize::from(is_said),
                "{voxel_nm:?} {run}: {said}"
            );
        }
    }
}

#[test]
fn volumes_of_one_data_set_are_compared_too() {
    let data = Data::new();
    let known = data.volume("known", Some([40.0, 4.0, 4.0]));
    let other = data.volume("other", Some([40.0, 8.0, 8.0]));
    let both = data.pair(data.pair(tiny(), &known), &other);
    let said = both.path("--out", &data.at("both")).succeed().stderr;
    assert_eq!(said.matches(SAID).count(), 1, "{said}");
    assert!(said.contains("other-raw.tif: a voxel is 40 x 8 x 8 nm"), "{said}");
    let test = data.pair(tiny(), &known).path("--test-raw", &other[0]);
    let test = test.path("--test-labels", &other[1]).path("--out", &data.at("test"));
    assert_eq!(test.succeed().stderr.matches(SAID).count(), 1);
}

#[test]
fn sizes_are_said_without_digits_that_mean_nothing() {
    let data = Data::new();
    // A TIFF holds fractions, whose inverses are 4.6000000000000005 and 3.6999999999999997.
    let [raw, _] = data.volume("fractions", Some([40.0, 4.6, 3.7]));
    let said = askem(["inspect"]).path("--raw", &raw).succeed().stdout;
    assert!(said.contains("voxel size   40 x 4.6 x 3.7 nm (z, y, x)"), "{said}");
}
