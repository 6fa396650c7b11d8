//! What an iteration leaves for the report beside its journal line: how scores and probabilities are spread, and its first choice.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::data::files::write_atomically;
use crate::error::{Error, Result};
use crate::learning::protocol::FirstChoice;

/// Bars of a histogram of scores.
const BARS: usize = 24;

/// One iteration's numbers. Lies in `details/iteration-00.json`; the first choice beside it as `query-00.png`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// The iteration.
    pub iteration: usize,
    /// Smallest and largest score of the unlabelled patches.
    pub score_range: Option<[f32; 2]>,
    /// Patches in equal steps between them.
    pub score_histogram: Vec<u64>,
    /// Of each test volume, the section whose segmentation was drawn, where it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sections: Vec<usize>,
    /// Pixels of the test region by their foreground probability in steps of a tenth: how many, and how many of them are foreground.
    pub calibration: Vec<[u64; 2]>,
}

impl Details {
    /// Takes in the scores of the unlabelled patches.
    pub fn set_scores(&mut self, scores: &[f32]) {
        let finite = || scores.iter().copied().filter(|score| score.is_finite());
        let (low, high) = finite().fold((f32::MAX, f32::MIN), |(l, h), s| (l.min(s), h.max(s)));
        self.score_histogram = vec![0; if low <= high { BARS } else { 0 }];
        self.score_range = (low <= high).then_some([low, high]);
        let step = ((high - low) / BARS as f32).max(f32::MIN_POSITIVE);
        for score in finite() {
            self.score_histogram[(((score - low) / step) as usize).min(BARS - 1)] += 1;
        }
    }

    /// Whether there is a test region, and nothing in it is foreground.
    pub(super) fn has_no_foreground(&self) -> bool {
        !self.calibration.is_empty()
            && self.calibration.iter().all(|[_, foreground]| *foreground == 0)
    }

    fn file(run: &Path, iteration: usize) -> PathBuf {
        run.join("details").join(format!("iteration-{iteration:02}.json"))
    }

    /// The picture of an iteration's first choice.
    pub(super) fn picture(run: &Path, iteration: usize) -> PathBuf {
        run.join("details").join(format!("query-{iteration:02}.png"))
    }

    /// Writes the numbers, and the picture where there is a choice.
    ///
    /// # Errors
    /// [`Error::Io`] where a file can't be written.
    pub fn write(&self, run: &Path, first: Option<&FirstChoice>) -> Result<()> {
        let folder = run.join("details");
        fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, "can't make the folder", e))?;
        let path = Self::file(run, self.iteration);
        let text = serde_json::to_vec(self)
            .map_err(|e| Error::Input(format!("{}: {e}", path.display())))?;
        write_atomically(&path, &text)?;
        match first {
            Some(first) => write_atomically(&Self::picture(run, self.iteration), &triptych(first)?),
            None => Ok(()),
        }
    }

    /// Those of a run, in order; iterations without any are left out.
    pub(super) fn read_all(run: &Path, iterations: usize) -> Vec<Self> {
        let read = |i| serde_json::from_slice(&fs::read(Self::file(run, i)).ok()?).ok();
        (0..=iterations).filter_map(read).collect()
    }
}

/// White pixels between the panels of a first choice's picture.
const GAP: usize = 6;

/// Patch, foreground probability and entropy side by side, as PNG in grey; white is much.
fn triptych(first: &FirstChoice) -> Result<Vec<u8>> {
    let side = first.side;
    let (low, high) =
        first.raw.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
    let raw = |i: usize| (first.raw[i] - low) / (high - low).max(f32::MIN_POSITIVE);
    let p = |i: usize| first.foreground[i];
    let entropy = |i: usize| {
        let term = |p: f32| -p * p.max(1e-30).ln();
        (term(p(i)) + term(1.0 - p(i))) / std::f32::consts::LN_2
    };
    let width = 3 * side + 2 * GAP;
    let mut pixels = vec![255_u8; width * side];
    let panels: [&dyn Fn(usize) -> f32; 3] = [&raw, &p, &entropy];
    for (panel, value) in panels.iter().enumerate() {
        for i in 0..side * side {
            let at = i / side * width + panel * (side + GAP) + i % side;
            pixels[at] = (255.0 * value(i).clamp(0.0, 1.0)).round() as u8;
        }
    }
    let failed = |e: png::EncodingError| Error::Input(format!("a picture could not be made: {e}"));
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, side as u32);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&pixels).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_survive_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let mut details = Details { iteration: 1, ..Details::default() };
        details.set_scores(&[0.0, 1.0, 1.0, f32::NAN, 24.0]);
        assert_eq!(details.score_range, Some([0.0, 24.0]));
        assert_eq!(
            (details.score_histogram[0], details.score_histogram[1], details.score_histogram[23]),
            (1, 2, 1)
        );
        details.calibration = vec![[10, 0], [0, 0], [10, 5]];
        let first = FirstChoice {
            side: 2,
            raw: vec![0.0, 1.0, 2.0, 3.0],
            foreground: vec![0.0, 0.5, 1.0, 0.2],
        };
        details.write(folder.path(), Some(&first)).unwrap();
        assert_eq!(Details::read_all(folder.path(), 3), [details.clone()]);
        let picture = fs::read(Details::picture(folder.path(), 1)).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(picture)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        // Two rows: the patch, the probability, its entropy; white between.
        assert_eq!(pixels[..2], [0, 85]);
        assert_eq!((pixels[8], pixels[9], pixels[16], pixels[17]), (0, 128, 0, 255));
        details.set_scores(&[]);
        assert_eq!(details.score_range, None);
    }
}
