//! Prediction of the test region and its comparison with the labels.

use askem_kernels::confusion::{self, Counts};

use super::{Experiment, Observer, Phase, Test, stop_if_asked};
use crate::data::pool::PatchReader;
use crate::data::volume::{CachedLabels, FOREGROUND, IGNORED};
use crate::error::Result;
use crate::learning::predict;
use crate::network::model::Model;

impl Experiment<'_> {
    pub(super) fn evaluate(
        &self,
        model: &mut Model,
        test: Test<'_>,
        iteration: usize,
        observer: &mut dyn Observer,
    ) -> Result<f64> {
        let reader = test.reader;
        let region = &reader.region;
        let windows = predict::windows_per_section(reader, self.config.patch);
        observer.phase(iteration, Phase::Evaluate, 0, (windows * region.z.len()) as u64);
        let last = iteration == self.iterations();
        let mut counts = Counts::default();
        let mut bins = [[0; 2]; 10];
        for z in region.z.clone() {
            let p = predict::section_foreground(model, reader, z, &mut |done| {
                observer.advance(done as u64);
                stop_if_asked(observer)
            })?;
            counts.add(compare(&p, reader, test.labels, z)?);
            count_probabilities(&p, test, z, &mut bins)?;
            if last {
                let foreground: Vec<u8> = p.iter().map(|&p| u8::from(p > 0.5)).collect();
                observer.segmentation(z, &foreground)?;
            }
        }
        observer.calibration(iteration, &bins)?;
        Ok(counts.jaccard())
    }
}

/// Counts the pixels of a section by their probability, those to be ignored left out.
fn count_probabilities(
    p: &[f32],
    test: Test<'_>,
    z: usize,
    bins: &mut [[u64; 2]; 10],
) -> Result<()> {
    let width = test.labels.inner().shape()[2];
    let section = test.labels.section(z)?;
    let region = &test.reader.region;
    let rows = region.y.clone().flat_map(|y| &section[y * width..][region.x.clone()]);
    for (&p, &label) in p.iter().zip(rows) {
        if label != IGNORED {
            let bin = &mut bins[((p * 10.0) as usize).min(9)];
            bin[0] += 1;
            bin[1] += u64::from(label == FOREGROUND);
        }
    }
    Ok(())
}

/// The confusion counts of one section's foreground probabilities against the labels.
pub fn compare(
    p: &[f32],
    reader: &PatchReader,
    labels: &CachedLabels,
    z: usize,
) -> Result<[u32; 4]> {
    let width = labels.inner().shape()[2];
    let section = labels.section(z)?;
    let region = &reader.region;
    let rows = region.y.clone().flat_map(|y| &section[y * width..][region.x.clone()]);
    let labels: Vec<u32> = rows.map(|&l| u32::from(l)).collect();
    let params =
        confusion::Params { len: p.len() as u32, ignore_label: u32::from(IGNORED), threshold: 0.5 };
    let mut counts = [0; 4];
    confusion::fast::forward(&params, p, &labels, &mut counts)?;
    Ok(counts)
}
