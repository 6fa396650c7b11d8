//! Prediction of the test region and its comparison with the labels.

use super::{Experiment, Observer, Phase, Test, stop_if_asked};
use crate::data::volume::{IGNORED, is_foreground};
use crate::error::Result;
use crate::learning::class_counts::ClassCounts;
use crate::learning::predict;
use crate::network::model::Model;

impl Experiment<'_> {
    pub(super) fn evaluate(
        &self,
        model: &mut Model,
        test: Test<'_>,
        iteration: usize,
        observer: &mut dyn Observer,
    ) -> Result<ClassCounts> {
        let reader = test.reader;
        let region = &reader.region;
        let windows = predict::windows_per_section(reader, self.config.patch);
        observer.phase(iteration, Phase::Evaluate, 0, (windows * region.z.len()) as u64);
        let last = iteration == self.iterations();
        let mut counts = ClassCounts::new(self.config.net.classes);
        let mut bins = [[0; 2]; 10];
        for z in region.z.clone() {
            let p = predict::section_probabilities(model, reader, z, &mut |done| {
                observer.advance(done as u64);
                stop_if_asked(observer)
            })?;
            let (predicted, labels) = (p.likeliest(), labels_of(test, z)?);
            counts.add(&predicted, &labels);
            count_probabilities(p.foreground(), &labels, &mut bins);
            if last {
                observer.segmentation(z, &predicted)?;
            }
        }
        observer.calibration(iteration, &bins)?;
        Ok(counts)
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
