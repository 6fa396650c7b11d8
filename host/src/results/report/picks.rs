//! Where in the volume the picks lie.

use std::fmt::Write;

use super::FONTS;
use crate::learning::protocol::{Picked, Record};

const WIDTH: f64 = 420.0;
const MARGIN: f64 = 80.0;
/// Height of the view from the side: sections are few and thick.
const SIDE: f64 = 110.0;

/// The picks in one of the volumes from above (rows and columns, on one scale) and from the side (sections and columns), darker the later they were chosen.
pub(super) fn svg(records: &[Record], volume: usize) -> String {
    let picks: Vec<(usize, &Picked)> = records
        .iter()
        .flat_map(|record| record.picked.iter().map(move |p| (record.iteration, p)))
        .filter(|(_, pick)| pick.volume == volume)
        .collect();
    let extent = |value: fn(&Picked) -> usize| {
        let values = || picks.iter().map(|(_, pick)| value(pick));
        let (least, most) = (values().min().unwrap_or(0), values().max().unwrap_or(0));
        (least as f64, most as f64)
    };
    let [z, y, x] = [extent(|pick| pick.z), extent(|pick| pick.y), extent(|pick| pick.x)];
    let across = WIDTH - 2.0 * MARGIN;
    let range = (x.1 - x.0).max(y.1 - y.0).max(1.0);
    let columns = Scale { from: x.0, to: x.1, start: MARGIN, step: across / range };
    let rows = Scale { from: y.0, to: y.1, start: 40.0, step: across / range };
    let sections =
        Scale { from: z.0, to: z.1, start: rows.of(y.1) + 44.0, step: SIDE / (z.1 - z.0).max(1.0) };
    let height = sections.of(z.1) + 46.0;
    let last = records.iter().map(|record| record.iteration).max().unwrap_or(0).max(1) as f64;
    let dots = |upright: &Scale, value: fn(&Picked) -> usize| -> String {
        let dot = |&(iteration, pick): &(usize, &Picked)| {
            let (cx, cy) = (columns.of(pick.x as f64), upright.of(value(pick) as f64));
            // From a light to a dark blue, which differ in lightness alone.
            let progress = iteration as f64 / last;
            let shade = |from: f64, to: f64| (from + (to - from) * progress).round();
            let colour = [shade(158.0, 8.0), shade(202.0, 48.0), shade(225.0, 107.0)];
            let [red, green, blue] = colour;
            format!(
                r##"<circle cx="{cx:.1}" cy="{cy:.1}" r="5" fill="rgb({red},{green},{blue})" fill-opacity="0.85" stroke="white" stroke-width="0.8"><title>iteration {iteration}, section {}, row {}, column {}</title></circle>"##,
                pick.z, pick.y, pick.x
            )
        };
        picks.iter().map(dot).collect()
    };
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" width="{WIDTH}" height="{height:.0}" role="img" font-family="{FONTS}" font-size="13"><title>where the picks lie</title><rect width="{WIDTH}" height="{height:.0}" fill="white"/>{}{}{}{}<text x="{MARGIN}" y="{:.1}" fill="#555">corners of {} patches; darker: chosen later</text></svg>"##,
        frame(&columns, &rows, "row"),
        dots(&rows, |pick| pick.y),
        frame(&columns, &sections, "section"),
        dots(&sections, |pick| pick.z),
        height - 12.0,
        picks.len()
    )
}

/// Values on a length of the figure.
struct Scale {
    from: f64,
    to: f64,
    start: f64,
    step: f64,
}

impl Scale {
    fn of(&self, value: f64) -> f64 {
        self.start + (value - self.from) * self.step
    }
}

/// A view's frame with the ends of both its axes.
fn frame(columns: &Scale, upright: &Scale, name: &str) -> String {
    let (left, right) = (columns.start, columns.of(columns.to));
    let (top, bottom) = (upright.start, upright.of(upright.to));
    let mut out = format!(
        r##"<rect x="{left}" y="{top:.1}" width="{:.1}" height="{:.1}" fill="none" stroke="#bbb"/>"##,
        right - left,
        bottom - top
    );
    let mut text = |x: f64, y: f64, anchor: &str, text: &str| {
        let _ = write!(
            out,
            r##"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" fill="#222">{text}</text>"##
        );
    };
    text(left, top - 12.0, "start", &format!("column {:.0}", columns.from));
    text(right, top - 12.0, "end", &format!("{:.0}", columns.to));
    text(left - 10.0, top + 5.0, "end", &format!("{name} {:.0}", upright.from));
    if upright.to > upright.from {
        text(left - 10.0, bottom + 5.0, "end", &format!("{:.0}", upright.to));
    }
    out
}
