//! Several classes (`--classes`), from the labels to the segmentation.

use std::path::PathBuf;

use askem::data::volume::open_segmentation;
use askem_kernels::rng::{Purpose, below, stream};
use serde_json::Value;
use tempfile::{TempDir, tempdir};
use tiff::encoder::colortype::Gray8;

use crate::images::write_tiff;
use crate::program::{Call, askem};
use crate::results::{journal, number, read_float_tiff, read_tiff};

const DEPTH: usize = 2;
const SIDE: usize = 96;

/// Dark discs of class 1 and bright ones of class 2 on noise.
struct Discs {
    folder: TempDir,
    labels: Vec<Vec<u8>>,
}

impl Discs {
    fn new() -> Self {
        let folder = tempdir().unwrap();
        let mut rng = stream(5, Purpose::Test, 0, 0);
        let (mut raw, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..DEPTH {
            let mut draw = |most: usize| below(&mut rng, most as u64) as usize;
            let centres: Vec<[usize; 3]> =
                (0..14).map(|i| [draw(SIDE), draw(SIDE), 1 + i % 2]).collect();
            let class_at = |y: usize, x: usize| {
                let inside =
                    |c: &&[usize; 3]| c[0].abs_diff(y).pow(2) + c[1].abs_diff(x).pow(2) <= 64;
                centres.iter().find(inside).map_or(0, |centre| centre[2])
            };
            let of_section: Vec<u8> =
                (0..SIDE * SIDE).map(|i| class_at(i / SIDE, i % SIDE) as u8).collect();
            let grey = |class: &u8| [110, 40, 190][usize::from(*class)] + draw(40) as u8;
            raw.push(of_section.iter().map(grey).collect());
            labels.push(of_section);
        }
        let size = [SIDE as u32; 2];
        write_tiff::<Gray8>(&folder.path().join("raw.tif"), size, &raw);
        write_tiff::<Gray8>(&folder.path().join("labels.tif"), size, &labels);
        Self { folder, labels }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, options: &[&str]) -> Call {
        let settings = "--preset quick --patch 32 --width 4 --initial 6 --pool 24 --query 4 --iterations 1 \
                        --max-steps 400 --device cpu --threads 2";
        askem(["run"])
            .args(settings.split_whitespace())
            .path("--raw", &self.at("raw.tif"))
            .path("--labels", &self.at("labels.tif"))
            .path("--out", &self.at("run"))
            .args(options)
    }

    fn predict(&self, out: &str, options: &[&str]) -> Call {
        askem(["predict", "--device", "cpu"])
            .path("--run", &self.at("run"))
            .path("--raw", &self.at("raw.tif"))
            .path("--out", &self.at(out))
            .args(options)
    }

    /// The Jaccard index of a class by its definition.
    fn jaccard(&self, class: u8, predicted: &[Vec<u8>], rows: std::ops::Range<usize>) -> f64 {
        let pixels = rows.start * SIDE..rows.end * SIDE;
        let (mut both, mut either) = (0_u32, 0_u32);
        for (labels, predicted) in self.labels.iter().zip(predicted) {
            for (&label, &found) in labels[pixels.clone()].iter().zip(&predicted[pixels.clone()]) {
                both += u32::from(label == class && found == class);
                either += u32::from(label == class || found == class);
            }
        }
        f64::from(both) / f64::from(either)
    }
}

fn indices(value: &Value) -> Vec<f64> {
    let indices = value["class_jaccard"].as_array().unwrap();
    indices.iter().map(|index| index.as_f64().unwrap()).collect()
}

#[test]
fn three_classes_are_learnt_predicted_and_judged() {
    let discs = Discs::new();
    let run = discs.run(&["--classes", "3", "--strategy", "entropy"]).succeed();
    let lines = journal(&discs.at("run"));
    let last = lines.last().unwrap();
    let told = indices(last);
    assert!(told.iter().all(|&index| index > 0.6), "{told:?}");
    let mean = 0.5 * (told[0] + told[1]);
    assert!((number(last, "jaccard") - mean).abs() < 1e-12);
    assert!(run.stdout.contains(&format!("class 1 {:.3}, class 2 {:.3}", told[0], told[1])));
    let report = std::fs::read_to_string(discs.at("run").join("report.html")).unwrap();
    assert!(report.contains(&format!("<td>{:.3}</td><td>{:.3}</td>", told[0], told[1])));

    // The second half of the rows is the test region.
    let half = SIDE / 2..SIDE;
    let pages = |name: &str| -> Vec<Vec<u8>> {
        read_tiff(&discs.at(name)).into_iter().map(|(_, page)| page).collect()
    };
    let above = vec![0; SIDE * SIDE / 2];
    let tested: Vec<Vec<u8>> =
        pages("run/segmentation.tif").iter().map(|page| [&above[..], page].concat()).collect();
    for (class, &index) in (1..).zip(&told) {
        assert!((discs.jaccard(class, &tested, half.clone()) - index).abs() < 1e-12);
    }

    discs.predict("all.tif", &[]).succeed();
    let all = pages("all.tif");
    assert!([0, 1, 2].iter().all(|class| all[0].contains(class)));
    let eval = |prediction: &str| {
        askem(["eval", "--json", "--classes", "3"])
            .path("--prediction", &discs.at(prediction))
            .path("--labels", &discs.at("labels.tif"))
    };
    let judged = eval("all.tif").succeed().json();
    for (class, index) in (1..).zip(indices(&judged)) {
        assert!((discs.jaccard(class, &all, 0..SIDE) - index).abs() < 1e-12);
    }
    discs.predict("all.zarr", &[]).succeed();
    assert_eq!(eval("all.zarr").succeed().json(), judged, "the same pixels");

    // Probabilities of all classes, of which the likeliest is the label.
    let of_class = |class: usize| -> Vec<Vec<f32>> {
        let (name, class) = (format!("p{class}.tif"), class.to_string());
        discs.predict(&name, &["--as", "probabilities", "--class", &class]).succeed();
        read_float_tiff(&discs.at(&name)).into_iter().map(|(_, page)| page).collect()
    };
    let p: Vec<_> = (0..3).map(of_class).collect();
    for (z, page) in all.iter().enumerate() {
        for (i, &class) in page.iter().enumerate() {
            let of_pixel = [0, 1, 2].map(|class| p[class][z][i]);
            assert!((of_pixel.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            assert!(of_pixel.iter().all(|&other| of_pixel[usize::from(class)] >= other - 1e-6));
        }
    }

    // Objects of one class are those of its probabilities.
    let whole = ["--min-size", "5", "--split", "0"];
    let of_class = ["--as", "instances", "--class", "2"];
    for name in ["objects.tif", "same.zarr"] {
        discs.predict(name, &[&of_class[..], &whole].concat()).succeed();
    }
    let instances = |prediction: &str, out: &str, options: &[&str]| {
        let call = askem(["instances"]).args(whole).args(options);
        call.path("--prediction", &discs.at(prediction)).path("--out", &discs.at(out)).succeed();
    };
    instances("p2.tif", "again.tif", &[]);
    let read = |name: &str| std::fs::read(discs.at(name)).unwrap();
    assert_eq!(read("objects.tif"), read("again.tif"));
    assert_eq!(read("objects.csv"), read("again.csv"));
    assert_eq!(read("objects.csv"), read("same.csv"));
    assert!(String::from_utf8(read("objects.csv")).unwrap().lines().count() > 2, "nothing to see");
    // Of the likeliest classes one is taken by its value: nearly the same voxels.
    instances("all.tif", "of_labels.tif", &["--label-value", "2"]);
    let pages = open_segmentation(&discs.at("of_labels.tif"), &Default::default()).unwrap();
    for (z, page) in all.iter().enumerate() {
        let pixels = pages.read_section(z).unwrap().pixels;
        assert!(page.iter().zip(pixels).all(|(&class, object)| object == 0.0 || class == 2));
    }
}

#[test]
fn what_makes_no_classes_is_refused_before_any_work() {
    let discs = Discs::new();
    discs.run(&["--classes", "2"]).succeed();
    discs
        .predict("p.tif", &["--as", "probabilities", "--class", "2"])
        .run()
        .refuses(2, &["0 to 1"]);
    discs.predict("p.tif", &["--class", "1"]).run().refuses(2, &["--as probabilities"]);
    std::fs::remove_dir_all(discs.at("run")).unwrap();
    for (options, said) in [
        (&["--classes", "17"][..], &["--classes 17", "2 to 16"][..]),
        (&["--classes", "3", "--label-value", "1"], &["--label-value 1", "--classes 3"]),
        (&["--classes", "3", "--class-weights", "1,2"], &["--class-weights", "3 numbers"]),
    ] {
        discs.run(options).run().refuses(2, said);
    }
    let mut labels = discs.labels.clone();
    labels[1][7] = 200;
    let path = discs.at("labels.tif");
    write_tiff::<Gray8>(&path, [SIDE as u32; 2], &labels);
    discs
        .run(&["--classes", "3"])
        .run()
        .refuses(1, &["labels hold 200", "0 to 2", "--ignore-value"]);
    assert!(!discs.at("run").exists());
    discs.run(&["--classes", "3", "--ignore-value", "200"]).succeed();

    let inspect = |options: &[&str]| {
        let call = askem(["inspect"]).path("--raw", &discs.at("raw.tif")).path("--labels", &path);
        call.args(options).run()
    };
    assert!(inspect(&[]).stdout.contains("--classes N takes each"));
    inspect(&["--classes", "3"]).refuses(1, &["labels hold 200"]);
    let clean = inspect(&["--classes", "3", "--ignore-value", "200"]);
    assert!(!clean.stdout.contains("different non-zero values"), "{clean:?}");

    askem(["run", "--classes", "3", "--device", "cpu"])
        .path("--out", &discs.at("phantom"))
        .run()
        .refuses(2, &["--classes 3", "phantom"]);
    askem(["init", "--classes", "3"])
        .args([discs.at("project")])
        .path("--raw", &discs.at("raw.tif"))
        .run()
        .refuses(2, &["--classes 3", "project"]);
    askem(["eval", "--classes", "3"])
        .path("--prediction", &discs.at("raw.tif"))
        .path("--labels", &path)
        .args(["--ignore-value", "200"])
        .run()
        .refuses(1, &["a segmentation holds 0 to 2"]);
}
