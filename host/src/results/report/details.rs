//! What an iteration leaves for the report beside its journal line: how scores and probabilities are spread, and its first choice.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{FONTS, PALETTE};
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

/// Patch, foreground probability and entropy side by side, as PNG in grey; white is much.
fn triptych(first: &FirstChoice) -> Result<Vec<u8>> {
    const GAP: usize = 6;
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

/// Histograms of the scores, an iteration under the other on one scale.
pub(super) fn histograms_svg(all: &[Details]) -> Option<String> {
    const WIDTH: f64 = 420.0;
    const LEFT: f64 = 92.0;
    const RIGHT: f64 = 400.0;
    const ROW: f64 = 46.0;
    let shown: Vec<(&Details, [f32; 2])> =
        all.iter().filter_map(|d| Some((d, d.score_range?))).take(8).collect();
    let low = shown.iter().map(|(_, range)| range[0]).fold(f32::MAX, f32::min);
    let high = shown.iter().map(|(_, range)| range[1]).fold(f32::MIN, f32::max);
    if low >= high {
        return None;
    }
    let height = 40.0 + ROW * shown.len() as f64 + 24.0;
    let mut out = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" width="{WIDTH}" height="{height:.0}" role="img" font-family="{FONTS}" font-size="13"><title>scores of the unlabelled patches</title><rect width="{WIDTH}" height="{height:.0}" fill="white"/><text x="{LEFT}" y="24" font-size="14" fill="#222">scores of the unlabelled patches</text>"##
    );
    let x = |score: f32| LEFT + (RIGHT - LEFT) * f64::from((score - low) / (high - low));
    for (row, (details, [from, to])) in shown.iter().enumerate() {
        let base = 40.0 + ROW * (row + 1) as f64 - 6.0;
        let most = details.score_histogram.iter().copied().max().unwrap_or(1).max(1) as f64;
        let step = (to - from) / details.score_histogram.len() as f32;
        let _ = write!(
            out,
            r##"<text x="{:.0}" y="{base:.1}" text-anchor="end" fill="#222">iteration {}</text><line x1="{LEFT}" y1="{base:.1}" x2="{RIGHT}" y2="{base:.1}" stroke="#bbb"/>"##,
            LEFT - 8.0,
            details.iteration
        );
        for (bar, &count) in details.score_histogram.iter().enumerate() {
            let left = x(from + step * bar as f32);
            let width = (x(from + step * (bar + 1) as f32) - left).max(0.6);
            let tall = (ROW - 12.0) * count as f64 / most;
            let _ = write!(
                out,
                r##"<rect x="{left:.1}" y="{:.1}" width="{width:.1}" height="{tall:.1}" fill="{}"/>"##,
                base - tall,
                PALETTE[0]
            );
        }
    }
    let _ = write!(
        out,
        r##"<text x="{LEFT}" y="{0:.0}" fill="#555">{low:.3}</text><text x="{RIGHT}" y="{0:.0}" text-anchor="end" fill="#555">{high:.3}</text></svg>"##,
        height - 8.0
    );
    Some(out)
}

/// How often pixels of a probability are foreground, after the last iteration.
pub(super) fn calibration_svg(details: &Details) -> Option<String> {
    const SIDE: f64 = 420.0;
    const LEFT: f64 = 62.0;
    const TOP: f64 = 40.0;
    const LENGTH: f64 = 320.0;
    let total: u64 = details.calibration.iter().map(|[count, _]| count).sum();
    if total == 0 {
        return None;
    }
    let (bins, height) = (details.calibration.len() as f64, TOP + LENGTH + 54.0);
    let place = |p: f64, observed: f64| (LEFT + LENGTH * p, TOP + LENGTH * (1.0 - observed));
    let ((x0, y0), (x1, y1)) = (place(0.0, 0.0), place(1.0, 1.0));
    let mut out = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {height:.0}" width="{SIDE}" height="{height:.0}" role="img" font-family="{FONTS}" font-size="13"><title>calibration</title><rect width="{SIDE}" height="{height:.0}" fill="white"/><text x="{LEFT}" y="24" font-size="14" fill="#222">calibration on the test region</text><polyline points="{x0},{y1} {x0},{y0} {x1},{y0}" fill="none" stroke="#222"/><line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}" stroke="#999" stroke-dasharray="6 4"/>"##
    );
    let mut line = Vec::new();
    for (bin, &[count, foreground]) in details.calibration.iter().enumerate() {
        if count == 0 {
            continue;
        }
        let (x, y) = place((bin as f64 + 0.5) / bins, foreground as f64 / count as f64);
        line.push(format!("{x:.1},{y:.1}"));
        let _ = write!(
            out,
            r##"<circle cx="{x:.1}" cy="{y:.1}" r="{:.1}" fill="{}"><title>{count} pixels</title></circle>"##,
            2.5 + 4.0 * (count as f64 / total as f64).sqrt(),
            PALETTE[0]
        );
    }
    let _ = write!(
        out,
        r##"<polyline points="{}" fill="none" stroke="{}" stroke-width="2"/><text x="{:.1}" y="{:.1}" text-anchor="middle" fill="#222">probability of foreground</text><text transform="translate(18 {:.1}) rotate(-90)" text-anchor="middle" fill="#222">share that is foreground</text><text x="{x0}" y="{:.1}" text-anchor="middle" fill="#222">0</text><text x="{x1}" y="{:.1}" text-anchor="middle" fill="#222">1</text><text x="{:.1}" y="{:.1}" text-anchor="end" fill="#222">1</text></svg>"##,
        line.join(" "),
        PALETTE[0],
        0.5 * (x0 + x1),
        y0 + 40.0,
        0.5 * (y0 + y1),
        y0 + 18.0,
        y0 + 18.0,
        x0 - 7.0,
        y1 + 4.0
    );
    Some(out)
}

/// The mean distance between probability and share, by the number of pixels: the expected calibration error.
pub(super) fn calibration_error(details: &Details) -> Option<f64> {
    let total: u64 = details.calibration.iter().map(|[count, _]| count).sum();
    let bins = details.calibration.len() as f64;
    let gap = |(bin, &[count, foreground]): (usize, &[u64; 2])| {
        let p = (bin as f64 + 0.5) / bins;
        if count == 0 { 0.0 } else { (p * count as f64 - foreground as f64).abs() }
    };
    (total > 0).then(|| details.calibration.iter().enumerate().map(gap).sum::<f64>() / total as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_survive_the_disk_and_make_figures() {
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
        assert!(histograms_svg(&[details.clone()]).unwrap().contains("iteration 1"));
        assert!(calibration_svg(&details).unwrap().contains("10 pixels"));
        // Bins at 1/6 and 5/6: |10/6 - 0| + |50/6 - 5| of 20.
        assert!(
            (calibration_error(&details).unwrap() - (10.0 / 6.0 + 10.0 / 3.0) / 20.0).abs() < 1e-12
        );
        assert_eq!(calibration_error(&Details::default()), None);
        details.set_scores(&[]);
        assert_eq!((details.score_range, histograms_svg(&[details])), (None, None));
    }
}
