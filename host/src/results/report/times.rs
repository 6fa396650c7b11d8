//! Time per phase as bars.

use std::fmt::Write;

use super::{FONTS, PALETTE, escape};
use crate::learning::protocol::Seconds;
use crate::results::comparison::Series;

const WIDTH: f64 = 576.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 510.0;
const ROW: f64 = 26.0;
const TOP: f64 = 44.0;

/// A bar for each strategy: seconds of a run in training, evaluation and selection, mean over seeds.
pub(super) fn svg(all: &[Series]) -> String {
    let rows: Vec<(&str, [f64; 3])> =
        all.iter().map(|series| (&*series.strategy, mean_seconds(series))).collect();
    let most = rows.iter().map(|(_, seconds)| seconds.iter().sum()).fold(1e-9, f64::max);
    let height = TOP + ROW * rows.len() as f64 + 16.0;
    let mut out = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" width="{WIDTH}" height="{height:.0}" role="img" font-family="{FONTS}" font-size="14"><title>time per phase</title><rect width="{WIDTH}" height="{height:.0}" fill="white"/>"##
    );
    for (i, name) in ["training", "evaluation", "selection"].iter().enumerate() {
        let x = LEFT + 130.0 * i as f64;
        let _ = write!(
            out,
            r##"<rect x="{x:.0}" y="14" width="14" height="14" fill="{}"/><text x="{:.0}" y="26" fill="#222">{name}</text>"##,
            PALETTE[i],
            x + 20.0
        );
    }
    for (i, (name, seconds)) in rows.iter().enumerate() {
        let y = TOP + ROW * i as f64;
        let _ = write!(
            out,
            r##"<text x="{:.0}" y="{:.1}" text-anchor="end" fill="#222">{}</text>"##,
            LEFT - 10.0,
            y + 15.0,
            escape(name)
        );
        let mut x = LEFT;
        for (phase, value) in seconds.iter().enumerate() {
            let width = (RIGHT - LEFT) * value / most;
            let _ = write!(
                out,
                r##"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{:.1}" fill="{}"/>"##,
                ROW - 7.0,
                PALETTE[phase]
            );
            x += width;
        }
        let _ = write!(
            out,
            r##"<text x="{:.1}" y="{:.1}" fill="#222">{:.0} s</text>"##,
            x + 6.0,
            y + 15.0,
            seconds.iter().sum::<f64>()
        );
    }
    out + "</svg>"
}

/// Seconds of a run in each phase.
fn mean_seconds(series: &Series) -> [f64; 3] {
    let mut total = [0.0; 3];
    for record in series.runs.iter().flat_map(|(_, records)| records) {
        let Seconds { train, evaluate, score } = record.seconds;
        for (total, seconds) in total.iter_mut().zip([train, evaluate, score]) {
            *total += seconds;
        }
    }
    total.map(|seconds| seconds / series.runs.len().max(1) as f64)
}
