//! Where in the volume the picks lie.

use std::fmt::Write;

use super::FONTS;
use crate::protocol::Record;

const SIDE: f64 = 420.0;
const MARGIN: f64 = 54.0;

/// Rows and columns of all picks, darker the later they were chosen.
pub(super) fn svg(records: &[Record]) -> String {
    let picks = || {
        records.iter().flat_map(|record| record.picked.iter().map(move |p| (record.iteration, p)))
    };
    let extent = |value: &dyn Fn(&crate::protocol::Picked) -> usize| {
        let values = || picks().map(|(_, pick)| value(pick));
        (values().min().unwrap_or(0) as f64, values().max().unwrap_or(0).max(1) as f64)
    };
    let (x, y) = (extent(&|pick| pick.x), extent(&|pick| pick.y));
    // One scale for both axes.
    let range = (x.1 - x.0).max(y.1 - y.0).max(1.0);
    let scale = (SIDE - 2.0 * MARGIN) / range;
    let last = records.iter().map(|record| record.iteration).max().unwrap_or(0).max(1) as f64;
    let height = (2.0 * MARGIN + (y.1 - y.0) * scale).max(160.0) + 26.0;
    let mut out = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {height:.0}" width="{SIDE}" height="{height:.0}" role="img" font-family="{FONTS}" font-size="13"><title>where the picks lie</title><rect width="{SIDE}" height="{height:.0}" fill="white"/>"##
    );
    let place =
        |column: f64, row: f64| (MARGIN + (column - x.0) * scale, MARGIN + (row - y.0) * scale);
    let (right, bottom) = place(x.1, y.1);
    let _ = write!(
        out,
        r##"<rect x="{MARGIN}" y="{MARGIN}" width="{:.1}" height="{:.1}" fill="none" stroke="#bbb"/><text x="{MARGIN}" y="{:.1}" fill="#222">column {:.0}</text><text x="{right:.1}" y="{:.1}" text-anchor="end" fill="#222">{:.0}</text><text x="{:.1}" y="{:.1}" text-anchor="end" fill="#222">row {:.0}</text><text x="{:.1}" y="{bottom:.1}" text-anchor="end" fill="#222">{:.0}</text>"##,
        right - MARGIN,
        bottom - MARGIN,
        MARGIN - 12.0,
        x.0,
        MARGIN - 12.0,
        x.1,
        MARGIN - 6.0,
        MARGIN + 10.0,
        y.0,
        MARGIN - 6.0,
        y.1
    );
    for (iteration, pick) in picks() {
        let (cx, cy) = place(pick.x as f64, pick.y as f64);
        // From a light to a dark blue, which differ in lightness alone.
        let progress = iteration as f64 / last;
        let shade = |from: f64, to: f64| (from + (to - from) * progress).round();
        let _ = write!(
            out,
            r##"<circle cx="{cx:.1}" cy="{cy:.1}" r="5" fill="rgb({},{},{})" fill-opacity="0.85" stroke="white" stroke-width="0.8"><title>iteration {iteration}, section {}</title></circle>"##,
            shade(158.0, 8.0),
            shade(202.0, 48.0),
            shade(225.0, 107.0),
            pick.z
        );
    }
    let _ = write!(
        out,
        r##"<text x="{MARGIN}" y="{:.1}" fill="#555">corners of {} patches; darker: chosen later</text></svg>"##,
        height - 14.0,
        picks().count()
    );
    out
}
