//! Prediction of the test regions and its comparison with the labels.

use super::{Experiment, Observer, Phase, Test, stop_if_asked};
use crate::data::volume::{IGNORED, is_foreground};
use crate::error::Result;
use crate::learning::class_counts::ClassCounts;
use crate::learning::predict::{Symmetries, area_probabilities, windows_of_area};
use crate::network::model::Model;

/// How a network did.
pub(super) struct Judged {
    /// On all test volumes together.
    pub(super) all: ClassCounts,
    /// On each of them.
    pub(super) volumes: Vec<ClassCounts>,
}

impl Experiment<'_> {
    /// Judges the model; nothing where there is no test region.
    pub(super) fn evaluate(
        &self,
        model: &mut Model,
        iteration: usize,
        observer: &mut dyn Observer,
    ) -> Result<Option<Judged>> {
        if self.data.test.is_empty() {
            return Ok(None);
        }
        let mut windows_of =
            |test: &Test<'_>| windows_of_area(model, test.reader, &test.reader.region);
        let windows: usize = self.data.test.iter().map(&mut windows_of).sum();
        observer.phase(iteration, Phase::Evaluate, 0, windows as u64);
        let new_counts = || ClassCounts::new(self.config.net.classes);
        let mut judged = Judged { all: new_counts(), volumes: Vec::new() };
        let mut bins = [[0; 2]; 10];
        for (volume, &test) in self.data.test.iter().enumerate() {
            let mut counts = new_counts();
            for z in test.reader.region.z.clone() {
                let (reader, whole) = (test.reader, &test.reader.region);
                let mut advance = |done| {
                    observer.advance(done as u64);
                    stop_if_asked(observer)
                };
                let views = Symmetries::One;
                let p = area_probabilities(model, reader, z, whole, views, &mut advance)?;
                let (predicted, labels) = (p.likeliest(), labels_of(test, z)?);
                counts.add(&predicted, &labels);
                count_probabilities(p.foreground(), &labels, &mut bins);
                if iteration == self.iterations() {
                    observer.segmentation(volume, z, &predicted)?;
                }
            }
            judged.all.add_counts(&counts);
            judged.volumes.push(counts);
        }
        observer.calibration(iteration, &bins)?;
        Ok(Some(judged))
    }
}

/// The labels of the test region in a section.
fn labels_of(test: Test<'_>, z: usize) -> Result<Vec<u8>> {
    let width = test.labels.inner().shape()[2];
    let section = test.labels.section(z)?;
    let region = &test.reader.region;
    let rows = region.y.clone().flat_map(|y| &section[y * width..][region.x.clone()]);
    Ok(rows.copied().collect())
}

/// Counts the pixels of a section by their probability, those to be ignored left out.
fn count_probabilities(p: &[f32], labels: &[u8], bins: &mut [[u64; 2]; 10]) {
    for (&p, &label) in p.iter().zip(labels) {
        if label != IGNORED {
            let bin = &mut bins[((p * 10.0) as usize).min(9)];
            bin[0] += 1;
            bin[1] += u64::from(is_foreground(label));
        }
    }
}
