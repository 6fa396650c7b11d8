//! Where in the volume the picks lie.

use std::fmt::Write;

use super::FONTS;
use crate::learning::protocol::{Picked, Record};
use crate::results::run_dir::Extent;

const LEFT: f64 = 74.0;
const TOP: f64 = 44.0;
/// The largest width and height of the view from above.
const ACROSS: f64 = 540.0;
const TALL: f64 = 400.0;
/// Right of the volume.
const MARGIN: f64 = 26.0;
/// Height of the view from the side: sections are few and thick.
const SIDE: f64 = 120.0;
/// A patch of a large volume is drawn larger than it is, so that it is seen.
const LEAST: f64 = 5.0;

/// The picks in one of the volumes from above (rows and columns, on one scale) and from the side
/// (sections and columns). The boxes are the volume, and in it the part that trains; each pick has
/// its patch's size. Where the volume's size is not known the box is that of the picks.
pub(super) fn svg(
    records: &[Record],
    volume: usize,
    patch: usize,
    extent: Option<&Extent>,
) -> String {
    let picks: Vec<(usize, &Picked)> = records
        .iter()
        .flat_map(|record| record.picked.iter().map(move |p| (record.iteration, p)))
        .filter(|(_, pick)| pick.volume == volume)
        .collect();
    let [z, y, x] = match extent {
        Some(extent) => extent.shape.map(|length| [0, length]),
        None => around(&picks, patch),
    };
    let step = (ACROSS / (x[1] - x[0]) as f64).min(TALL / (y[1] - y[0]) as f64);
    let columns = Scale { ends: x, start: LEFT, step };
    let rows = Scale { ends: y, start: TOP, step };
    let start = rows.of(y[1]) + 56.0;
    let sections = Scale { ends: z, start, step: SIDE / (z[1] - z[0]) as f64 };
    let height = sections.of(z[1]) + 58.0;
    // The key needs some width, however narrow the volume is.
    let width = (columns.of(x[1]) + MARGIN).max(500.0);
    let last = picks.iter().map(|(iteration, _)| *iteration).max().unwrap_or(0);
    let mut out = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" role="img" font-family="{FONTS}" font-size="14"><title>where the picks lie</title><rect width="{width:.0}" height="{height:.0}" fill="white"/>"##
    );
    let part = extent.map_or([z, y, x], |extent| extent.part.map(|[from, n]| [from, from + n]));
    out += &frame(&columns, &rows, [part[2], part[1]], ["column", "row"]);
    out += &frame(&columns, &sections, [part[2], part[0]], ["", "section"]);
    for (iteration, pick) in &picks {
        let colour = shade(*iteration, last);
        let across = columns.span(pick.x, patch);
        for upright in [rows.span(pick.y, patch), sections.span(pick.z, 1)] {
            let ([left, width], [top, height]) = (across, upright);
            let _ = write!(
                out,
                r##"<rect class="pick" x="{left:.2}" y="{top:.2}" width="{width:.2}" height="{height:.2}" fill="{colour}" fill-opacity="0.3" stroke="{colour}" stroke-width="1.5"><title>iteration {iteration}, section {}, rows {} to {}, columns {} to {}</title></rect>"##,
                pick.z,
                pick.y,
                pick.y + patch - 1,
                pick.x,
                pick.x + patch - 1
            );
        }
    }
    out + &key(last, height - 20.0) + "</svg>"
}

/// The first and last section, row and column of picked patches.
fn around(picks: &[(usize, &Picked)], patch: usize) -> [[usize; 2]; 3] {
    let of = |value: fn(&Picked) -> usize, length: usize| {
        let values = || picks.iter().map(|(_, pick)| value(pick));
        [values().min().unwrap_or(0), values().max().unwrap_or(0) + length]
    };
    [of(|pick| pick.z, 1), of(|pick| pick.y, patch), of(|pick| pick.x, patch)]
}

/// From a middle to a dark blue, which differ in lightness alone.
fn shade(iteration: usize, last: usize) -> String {
    let progress = iteration as f64 / last.max(1) as f64;
    let [red, green, blue] = [(107.0, 8.0), (174.0, 48.0), (214.0, 107.0)]
        .map(|(from, to): (f64, f64)| (from + (to - from) * progress).round());
    format!("rgb({red},{green},{blue})")
}

/// What the shades mean: some iterations in their colours.
fn key(last: usize, y: f64) -> String {
    let mut out =
        format!(r##"<text x="{LEFT}" y="{y:.1}" fill="#222">chosen after iteration</text>"##);
    let count = last.min(4);
    for i in 0..=count {
        let iteration = last * i / count.max(1);
        let (x, colour) = (LEFT + 170.0 + 58.0 * i as f64, shade(iteration, last));
        let _ = write!(
            out,
            r##"<rect x="{x:.1}" y="{:.1}" width="13" height="13" fill="{colour}" fill-opacity="0.3" stroke="{colour}" stroke-width="1.5"/><text x="{:.1}" y="{y:.1}" fill="#222">{iteration}</text>"##,
            y - 11.0,
            x + 19.0
        );
    }
    out
}

/// Values on a length of the figure.
struct Scale {
    ends: [usize; 2],
    start: f64,
    step: f64,
}

impl Scale {
    fn of(&self, value: usize) -> f64 {
        self.start + (value as f64 - self.ends[0] as f64) * self.step
    }

    /// Where something begins and how long it is; about its centre where it is too small to see.
    fn span(&self, from: usize, length: usize) -> [f64; 2] {
        let exact = length as f64 * self.step;
        let drawn = exact.max(LEAST);
        [self.of(from) - 0.5 * (drawn - exact), drawn]
    }
}

/// A view's box with the ends of both its axes, and in it what is not of the training shaded.
fn frame(columns: &Scale, upright: &Scale, part: [[usize; 2]; 2], names: [&str; 2]) -> String {
    let rect = |[from, to]: [usize; 2], [top, bottom]: [usize; 2], rest: &str| {
        let (x, y) = (columns.of(from), upright.of(top));
        format!(
            r##"<rect x="{x:.2}" y="{y:.2}" width="{:.2}" height="{:.2}" {rest}/>"##,
            columns.of(to) - x,
            upright.of(bottom) - y
        )
    };
    let mut out = rect(columns.ends, upright.ends, r##"class="volume" fill="#e4e4e0""##);
    out += &rect(part[0], part[1], r##"class="trains" fill="white""##);
    out += &rect(columns.ends, upright.ends, r##"fill="none" stroke="#666""##);
    let (left, right) = (columns.start, columns.of(columns.ends[1]));
    let (top, bottom) = (upright.start, upright.of(upright.ends[1]));
    let mut text = |x: f64, y: f64, anchor: &str, text: &str| {
        let _ = write!(
            out,
            r##"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" fill="#222">{text}</text>"##
        );
    };
    let [across, down] = names;
    if !across.is_empty() {
        text(left, top - 10.0, "start", &columns.ends[0].to_string());
        text(0.5 * (left + right), top - 10.0, "middle", across);
        text(right, top - 10.0, "end", &(columns.ends[1] - 1).to_string());
    }
    text(left - 10.0, top + 12.0, "end", &upright.ends[0].to_string());
    text(left - 10.0, 0.5 * (top + bottom) + 5.0, "end", down);
    if upright.ends[1] - upright.ends[0] > 1 {
        text(left - 10.0, bottom - 2.0, "end", &(upright.ends[1] - 1).to_string());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::run_dir::Extent;

    /// x, y, width and height of the rectangles of a class.
    fn rects(svg: &str, class: &str) -> Vec<[f64; 4]> {
        let all = with_class(svg);
        all.into_iter().filter(|(name, _)| name == class).map(|(_, rect)| rect).collect()
    }

    /// Class and place of all rectangles that have a class, read as XML.
    fn with_class(svg: &str) -> Vec<(String, [f64; 4])> {
        let document = roxmltree::Document::parse(svg).unwrap();
        let rect = |node: roxmltree::Node<'_, '_>| {
            let class = node.attribute("class")?;
            let number = |name| node.attribute(name).unwrap().parse().unwrap();
            Some((class.to_owned(), ["x", "y", "width", "height"].map(number)))
        };
        let nodes = document.descendants().filter(|node| node.has_tag_name("rect"));
        nodes.filter_map(rect).collect()
    }

    fn record(picked: Vec<Picked>) -> Record {
        let text = r#"{"iteration":0,"strategy":"entropy","seed":0,"labelled":8,
            "labelled_foreground":0.1,"loss":0.1,"jaccard":0.5,"picked":[],
            "seconds":{"train":1.0,"score":1.0,"evaluate":1.0}}"#;
        Record { picked, ..serde_json::from_str(text).unwrap() }
    }

    fn pick(volume: usize, [z, y, x]: [usize; 3]) -> Picked {
        Picked { index: 0, volume, z, y, x, score: None }
    }

    #[test]
    fn the_box_is_the_volume_and_a_pick_lies_where_its_patch_is() {
        let records = [record(vec![pick(0, [3, 40, 100]), pick(1, [0, 0, 0])])];
        let extent =
            Extent { shape: [12, 200, 400], part: [[0, 12], [0, 100], [0, 400]], voxel_nm: None };
        let svg = svg(&records, 0, 32, Some(&extent));
        let (volumes, trains) = (rects(&svg, "volume"), rects(&svg, "trains"));
        let picks = rects(&svg, "pick");
        assert_eq!(
            (volumes.len(), trains.len(), picks.len()),
            (2, 2, 2),
            "the other is of volume 1"
        );
        let near =
            |found: f64, wanted: f64| assert!((found - wanted).abs() < 2e-4, "{found} {wanted}");
        // From above rows and columns have one scale: twice as wide as tall.
        near(volumes[0][2] / volumes[0][3], 2.0);
        for (view, [top, tall, of]) in
            [[40.0, 32.0, 200.0], [3.0, 1.0, 12.0]].into_iter().enumerate()
        {
            let (all, one) = (volumes[view], picks[view]);
            near((one[0] - all[0]) / all[2], 100.0 / 400.0);
            near(one[2] / all[2], 32.0 / 400.0);
            near((one[1] - all[1]) / all[3], top / of);
            near(one[3] / all[3], tall / of);
        }
        near(trains[0][3] / volumes[0][3], 0.5);
        near(trains[1][3] / volumes[1][3], 1.0);
    }

    #[test]
    fn a_patch_too_small_to_see_is_drawn_about_its_centre() {
        let records = [record(vec![pick(0, [0, 5000, 9000])])];
        let extent = Extent {
            shape: [1, 10000, 10000],
            part: [[0, 1], [0, 10000], [0, 10000]],
            voxel_nm: None,
        };
        let svg = svg(&records, 0, 32, Some(&extent));
        let (all, one) = (rects(&svg, "volume")[0], rects(&svg, "pick")[0]);
        let centre = |side: usize| (one[side] + 0.5 * one[side + 2] - all[side]) / all[side + 2];
        assert!((centre(0) - 9016.0 / 10000.0).abs() < 1e-4 && one[2] >= 5.0);
        assert!((centre(1) - 5016.0 / 10000.0).abs() < 1e-4);
    }

    #[test]
    fn a_volume_of_unknown_size_has_the_box_of_its_picks() {
        let records = [record(vec![pick(0, [1, 10, 20]), pick(0, [5, 50, 60])])];
        let svg = svg(&records, 0, 16, None);
        let (all, picks) = (rects(&svg, "volume")[0], rects(&svg, "pick"));
        assert!((picks[0][0] - all[0]).abs() < 0.01, "the first begins it");
        assert!((picks[2][0] + picks[2][2] - all[0] - all[2]).abs() < 0.02, "the last ends it");
    }
}
