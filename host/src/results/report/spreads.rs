//! How scores and probabilities are spread.

use std::fmt::Write;

use super::details::Details;
use super::ticks::{self, Ticks};
use super::{FONTS, PALETTE};

const WIDTH: f64 = 576.0;

/// The beginning of a figure.
fn head(height: f64, title: &str) -> String {
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" width="{WIDTH}" height="{height:.0}" role="img" font-family="{FONTS}" font-size="14"><title>{title}</title><rect width="{WIDTH}" height="{height:.0}" fill="white"/><text x="20" y="28" font-size="18" fill="#000">{title}</text>"##
    )
}

/// Histograms of the scores, an iteration under the other on one scale, which `axis` names.
pub(super) fn histograms_svg(all: &[Details], axis: &str) -> Option<String> {
    const LEFT: f64 = 120.0;
    const RIGHT: f64 = 546.0;
    const TOP: f64 = 44.0;
    const ROW: f64 = 54.0;
    let shown: Vec<(&Details, [f32; 2])> =
        all.iter().filter_map(|d| Some((d, d.score_range?))).take(8).collect();
    let low = shown.iter().map(|(_, range)| range[0]).fold(f32::MAX, f32::min);
    let high = shown.iter().map(|(_, range)| range[1]).fold(f32::MIN, f32::max);
    if low >= high {
        return None;
    }
    let bottom = TOP + ROW * shown.len() as f64;
    let mut out = head(bottom + 62.0, "Scores of the unlabelled patches");
    let at = |score: f64| {
        LEFT + (RIGHT - LEFT) * (score - f64::from(low)) / (f64::from(high) - f64::from(low))
    };
    for (score, text) in ticks::between(f64::from(low), f64::from(high), 5) {
        let x = at(score);
        let _ = write!(
            out,
            r##"<line x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{:.1}" stroke="#e4e4e4"/><text x="{x:.1}" y="{:.1}" text-anchor="middle" fill="#222">{text}</text>"##,
            bottom + 5.0,
            bottom + 22.0
        );
    }
    for (row, (details, [from, to])) in shown.iter().enumerate() {
        let base = TOP + ROW * (row + 1) as f64;
        let most = details.score_histogram.iter().copied().max().unwrap_or(1).max(1);
        let step = f64::from(to - from) / details.score_histogram.len() as f64;
        let tall = ROW - 14.0;
        let _ = write!(
            out,
            r##"<text x="20" y="{:.1}" fill="#222">iteration {}</text><line x1="{LEFT}" y1="{base:.1}" x2="{RIGHT}" y2="{base:.1}" stroke="#222"/><line x1="{:.1}" y1="{5:.1}" x2="{LEFT}" y2="{5:.1}" stroke="#222"/><text x="{:.1}" y="{:.1}" text-anchor="end" fill="#222">{most}</text>"##,
            base - 4.0,
            details.iteration,
            LEFT - 5.0,
            LEFT - 9.0,
            base - tall + 5.0,
            base - tall
        );
        for (bar, &count) in details.score_histogram.iter().enumerate() {
            let left = at(f64::from(*from) + step * bar as f64);
            let width = (at(f64::from(*from) + step * (bar + 1) as f64) - left).max(0.8);
            let tall = tall * count as f64 / most as f64;
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
        r##"<text x="{:.1}" y="{:.1}" text-anchor="middle" font-size="15" fill="#222">{axis}</text></svg>"##,
        0.5 * (LEFT + RIGHT),
        bottom + 48.0
    );
    Some(out)
}

/// How often pixels of a probability are foreground, after the last iteration.
pub(super) fn calibration_svg(details: &Details) -> Option<String> {
    const LEFT: f64 = 96.0;
    const TOP: f64 = 48.0;
    const ACROSS: f64 = 450.0;
    const TALL: f64 = 280.0;
    let total: u64 = details.calibration.iter().map(|[count, _]| count).sum();
    if total == 0 {
        return None;
    }
    let bins = details.calibration.len() as f64;
    let place = |p: f64, observed: f64| (LEFT + ACROSS * p, TOP + TALL * (1.0 - observed));
    let ((x0, y0), (x1, y1)) = (place(0.0, 0.0), place(1.0, 1.0));
    let mut out = head(y0 + 62.0, "Calibration on the test region");
    let ticks = Ticks::new(1.0, 5, 0.01);
    for value in ticks.values() {
        let ((x, y), text) = (place(value, value), ticks.show(value));
        let _ = write!(
            out,
            r##"<line x1="{x0}" y1="{y:.1}" x2="{x1}" y2="{y:.1}" stroke="#e4e4e4"/><line x1="{x:.1}" y1="{y0}" x2="{x:.1}" y2="{:.1}" stroke="#222"/><text x="{x:.1}" y="{:.1}" text-anchor="middle" fill="#222">{text}</text><text x="{:.1}" y="{:.1}" text-anchor="end" fill="#222">{text}</text>"##,
            y0 + 5.0,
            y0 + 22.0,
            x0 - 9.0,
            y + 5.0
        );
    }
    let _ = write!(
        out,
        r##"<polyline points="{x0},{y1} {x0},{y0} {x1},{y0}" fill="none" stroke="#222"/><line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}" stroke="#666" stroke-dasharray="6 4"/>"##
    );
    let (mut line, mut dots) = (Vec::new(), String::new());
    for (bin, &[count, foreground]) in details.calibration.iter().enumerate() {
        if count == 0 {
            continue;
        }
        let (x, y) = place((bin as f64 + 0.5) / bins, foreground as f64 / count as f64);
        line.push(format!("{x:.1},{y:.1}"));
        let _ = write!(
            dots,
            r##"<circle cx="{x:.1}" cy="{y:.1}" r="{:.1}" fill="{}"><title>{count} pixels</title></circle>"##,
            3.0 + 5.0 * (count as f64 / total as f64).sqrt(),
            PALETTE[0]
        );
    }
    let _ = write!(
        out,
        r##"<polyline points="{}" fill="none" stroke="{}" stroke-width="2"/>{dots}<text x="{:.1}" y="{:.1}" text-anchor="middle" font-size="15" fill="#222">foreground probability of the network</text><text transform="translate(36 {:.1}) rotate(-90)" text-anchor="middle" font-size="15" fill="#222">share of pixels that are foreground</text></svg>"##,
        line.join(" "),
        PALETTE[0],
        0.5 * (x0 + x1),
        y0 + 48.0,
        0.5 * (y0 + y1)
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
    fn figures_have_axes_with_names_and_numbers() {
        let mut details = Details { iteration: 1, ..Details::default() };
        details.set_scores(&[0.0, 1.0, 1.0, f32::NAN, 24.0]);
        details.calibration = vec![[10, 0], [0, 0], [10, 5]];
        let histogram = histograms_svg(&[details.clone()], "score, nats").unwrap();
        // The axis from 0 to 24 in fives, and the two patches of the tallest bar.
        for part in [">iteration 1<", ">score, nats<", ">0<", ">5<", ">10<", ">15<", ">20<", ">2<"]
        {
            assert!(histogram.contains(part), "{part} in {histogram}");
        }
        let calibration = calibration_svg(&details).unwrap();
        for part in ["10 pixels", ">0.0<", ">0.2<", ">0.8<", ">1.0<", "foreground probability"] {
            assert!(calibration.contains(part), "{part} in {calibration}");
        }
        // Bins at 1/6 and 5/6: |10/6 - 0| + |50/6 - 5| of 20.
        let error = calibration_error(&details).unwrap();
        assert!((error - (10.0 / 6.0 + 10.0 / 3.0) / 20.0).abs() < 1e-12);
        assert_eq!(calibration_error(&Details::default()), None);
        details.set_scores(&[]);
        assert_eq!(histograms_svg(&[details], ""), None);
    }
}
