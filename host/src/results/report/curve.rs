//! Learning curves: how good the segmentation is after so many labels.

use super::ticks::Ticks;
use super::{FONTS, PALETTE, escape, write_figure};
use crate::Result;
use std::fmt::Write;
use std::path::Path;

/// One line of the figure.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// What the legend calls it.
    pub label: String,
    /// Labelled patches and Jaccard index, in the order of the labels. Points that are not finite
    /// are left out.
    pub points: Vec<(f64, f64)>,
    /// The lower and the upper end of a band at each point, such as the lowest and the highest seed;
    /// empty for no band.
    pub band: Vec<[f64; 2]>,
}

impl Curve {
    /// A curve of points.
    pub fn new(label: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { label: label.into(), points, band: Vec::new() }
    }
}

/// The figure's size and the plot's frame inside it.
const WIDTH: f64 = 700.0;
/// The same of a figure that needs no legend.
const WIDTH_ALONE: f64 = 576.0;
const RIGHT_ALONE: f64 = 548.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 474.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 396.0;

/// Writes the learning curves as SVG and PNG.
///
/// `full` is the Jaccard index of full supervision, drawn as a dashed line. Curves differ in colour,
/// marker and dashes, so that they are told apart in any colour vision and in black and white print.
///
/// Errors: [`Error::Io`](crate::Error::Io) where a file can't be written.
pub fn learning_curve(
    series: &[Curve],
    title: &str,
    full: Option<f64>,
    svg: &Path,
    png: &Path,
) -> Result<()> {
    write_figure(&learning_curve_svg(series, title, full), svg, png)
}

/// The learning curves as SVG, for a page that shows them.
pub fn learning_curve_svg(series: &[Curve], title: &str, full: Option<f64>) -> String {
    let figure = Figure { title: title.into(), ..Figure::jaccard(series.to_vec(), full) };
    figure.svg()
}

/// The upright axis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) name: &'static str,
    /// No value is larger.
    pub(super) most: f64,
}

/// Curves over the number of labelled patches.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    pub(super) title: String,
    pub(super) curves: Vec<Curve>,
    pub(super) full: Option<f64>,
    pub(super) y: Axis,
}

impl Figure {
    /// Learning curves.
    pub(super) fn jaccard(curves: Vec<Curve>, full: Option<f64>) -> Self {
        let title = "Jaccard index of the test region".into();
        Self { title, curves, full, y: Axis { name: "Jaccard index", most: 1.0 } }
    }

    pub(super) fn svg(&self) -> String {
        let (series, title) = (&self.curves, &self.title);
        let full = self.full.filter(|f| f.is_finite());
        let is_alone = series.len() == 1 && full.is_none();
        let (width, right) = if is_alone { (WIDTH_ALONE, RIGHT_ALONE) } else { (WIDTH, RIGHT) };
        let axes = Axes::new(series, full, self.y, right);
        let mut svg = String::new();
        let mut put = |line: String| {
            svg.push_str(&line);
            svg.push('\n');
        };
        put(format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}" role="img" font-family="{FONTS}" font-size="15">"#
        ));
        put(format!("<title>{}</title>", escape(title)));
        put(format!(r#"<rect width="{width}" height="{HEIGHT}" fill="white"/>"#));
        put(format!(
            r##"<text x="{LEFT}" y="32" font-size="18" fill="#000">{}</text>"##,
            escape(title)
        ));
        put(axes.svg());
        if let Some(full) = full {
            let y = axes.y(full);
            put(format!(
                r##"<line x1="{LEFT}" y1="{y:.2}" x2="{right}" y2="{y:.2}" stroke="#444" stroke-width="1.6" stroke-dasharray="8 5"/>"##
            ));
        }
        for (i, curve) in series.iter().enumerate() {
            put(Style::of(i).band(curve, &axes));
        }
        for (i, curve) in series.iter().enumerate() {
            put(Style::of(i).line(curve, &axes));
        }
        put(if is_alone { last_value(&series[0], &axes) } else { legend(series, full, self.y) });
        put("</svg>".to_owned());
        svg
    }
}

/// Where values lie in the figure.
struct Axes {
    x: Ticks,
    y: Ticks,
    name: &'static str,
    right: f64,
}

impl Axes {
    fn new(series: &[Curve], full: Option<f64>, y: Axis, right: f64) -> Self {
        let points = || series.iter().flat_map(|c| c.points.iter().copied()).filter(finite);
        let most = points().map(|p| p.0).fold(0.0, f64::max);
        let bands = series.iter().flat_map(|c| c.band.iter().map(|band| band[1]));
        let best = points().map(|p| p.1).chain(bands).chain(full).fold(0.0, f64::max);
        // Both start at 0, so that distances can be compared by eye.
        let best = best.clamp(0.05 * y.most, y.most);
        Self {
            x: Ticks::new(most.max(1.0), 8, 1.0),
            y: Ticks::new(best, 6, 0.01 * y.most),
            name: y.name,
            right,
        }
    }

    fn x(&self, labels: f64) -> f64 {
        LEFT + (self.right - LEFT) * labels / self.x.end
    }

    fn y(&self, jaccard: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * jaccard.clamp(0.0, self.y.end) / self.y.end
    }

    /// Grid, numbers and names.
    fn svg(&self) -> String {
        let right = self.right;
        let mut out = String::new();
        for value in self.y.values() {
            let y = self.y(value);
            let _ = writeln!(
                out,
                r##"<line x1="{LEFT}" y1="{y:.2}" x2="{right}" y2="{y:.2}" stroke="#ddd"/><text x="{:.2}" y="{:.2}" text-anchor="end" fill="#222">{}</text>"##,
                LEFT - 9.0,
                y + 5.0,
                self.y.show(value),
            );
        }
        for value in self.x.values() {
            let x = self.x(value);
            let _ = writeln!(
                out,
                r##"<line x1="{x:.2}" y1="{BOTTOM}" x2="{x:.2}" y2="{:.2}" stroke="#222"/><text x="{x:.2}" y="{:.2}" text-anchor="middle" fill="#222">{}</text>"##,
                BOTTOM + 5.0,
                BOTTOM + 22.0,
                self.x.show(value),
            );
        }
        let (middle, centre) = (0.5 * (LEFT + right), 0.5 * (TOP + BOTTOM));
        let _ = write!(
            out,
            r##"<polyline points="{LEFT},{TOP} {LEFT},{BOTTOM} {right},{BOTTOM}" fill="none" stroke="#222"/>
<text x="{middle:.2}" y="{:.2}" text-anchor="middle" font-size="16">labelled patches</text>
<text transform="translate(24 {centre:.2}) rotate(-90)" text-anchor="middle" font-size="16">{}</text>"##,
            BOTTOM + 48.0,
            self.name,
        );
        out
    }
}

/// How a curve is drawn.
struct Style {
    colour: &'static str,
    dashes: &'static str,
    marker: usize,
}

impl Style {
    fn of(i: usize) -> Self {
        let dashes = ["", "7 3", "2 3", "9 3 2 3", "", "5 5", "1 4"];
        Self {
            colour: PALETTE[i % PALETTE.len()],
            // Colours repeat after seven curves; dashes are one off then.
            dashes: dashes[(i + i / PALETTE.len()) % dashes.len()],
            marker: i % 6,
        }
    }

    fn stroke(&self) -> String {
        let dashes = match self.dashes {
            "" => String::new(),
            dashes => format!(r#" stroke-dasharray="{dashes}""#),
        };
        format!(
            r#"fill="none" stroke="{}" stroke-width="2.2" stroke-linejoin="round"{dashes}"#,
            self.colour
        )
    }

    /// The band around the line.
    fn band(&self, curve: &Curve, axes: &Axes) -> String {
        if curve.band.len() != curve.points.len() || curve.points.len() < 2 {
            return String::new();
        }
        let side = |end: usize| {
            let ends = curve.points.iter().zip(&curve.band).map(move |(p, band)| (p.0, band[end]));
            ends.filter(finite)
        };
        let upper: Vec<_> = side(1).collect();
        let lower: Vec<_> = side(0).collect();
        let outline = upper.into_iter().chain(lower.into_iter().rev());
        let outline: Vec<String> = outline.map(|p| point(axes, p)).collect();
        format!(
            r#"<polygon points="{}" fill="{}" fill-opacity="0.13"/>"#,
            outline.join(" "),
            self.colour
        )
    }

    /// The line and its markers.
    fn line(&self, curve: &Curve, axes: &Axes) -> String {
        let mut out = String::new();
        let points: Vec<(f64, f64)> = curve.points.iter().copied().filter(finite).collect();
        let path: Vec<String> = points.iter().map(|&p| point(axes, p)).collect();
        if path.len() > 1 {
            let _ = writeln!(out, r#"<polyline points="{}" {}/>"#, path.join(" "), self.stroke());
        }
        // Many points would run into each other; every so-manyth and the last get a marker.
        let every = points.len().div_ceil(14).max(1);
        for (i, &p) in points.iter().enumerate() {
            if i % every == 0 || i + 1 == points.len() {
                out.push_str(&self.mark(axes.x(p.0), axes.y(p.1)));
            }
        }
        out
    }

    /// A marker with a white rim, which keeps crossing curves apart.
    fn mark(&self, x: f64, y: f64) -> String {
        let polygon = |corners: &[(f64, f64)]| {
            let corners: Vec<String> =
                corners.iter().map(|(dx, dy)| format!("{:.2},{:.2}", x + dx, y + dy)).collect();
            format!(r#"<polygon points="{}""#, corners.join(" "))
        };
        let shape = match self.marker {
            0 => format!(r#"<circle cx="{x:.2}" cy="{y:.2}" r="4.4""#),
            1 => polygon(&[(-3.9, -3.9), (3.9, -3.9), (3.9, 3.9), (-3.9, 3.9)]),
            2 => polygon(&[(0.0, -5.4), (5.0, 3.8), (-5.0, 3.8)]),
            3 => polygon(&[(0.0, -5.6), (5.0, 0.0), (0.0, 5.6), (-5.0, 0.0)]),
            4 => polygon(&[(0.0, 5.4), (5.0, -3.8), (-5.0, -3.8)]),
            _ => polygon(&[
                (-1.7, -5.0),
                (1.7, -5.0),
                (1.7, -1.7),
                (5.0, -1.7),
                (5.0, 1.7),
                (1.7, 1.7),
                (1.7, 5.0),
                (-1.7, 5.0),
                (-1.7, 1.7),
                (-5.0, 1.7),
                (-5.0, -1.7),
                (-1.7, -1.7),
            ]),
        };
        format!("{shape} fill=\"{}\" stroke=\"white\" stroke-width=\"1\"/>\n", self.colour)
    }
}

/// The last point that has a value.
fn last(curve: &Curve) -> Option<(f64, f64)> {
    curve.points.iter().copied().rfind(finite)
}

/// The name of the only curve and its last value, at its last point.
fn last_value(curve: &Curve, axes: &Axes) -> String {
    let Some((labels, value)) = last(curve) else { return String::new() };
    let (x, y) = (axes.x(labels), axes.y(value));
    // Under the point where the title is too near.
    let y = if y < TOP + 16.0 { y + 24.0 } else { y - 12.0 };
    let (x, label) = (x + 16.0, escape(&shortened(&curve.label)));
    format!(
        r##"<text x="{x:.2}" y="{y:.2}" text-anchor="end" fill="#000">{label} {value:.3}</text>"##
    )
}

/// The names beside the plot, the best curve on top as in the plot, with its last value.
fn legend(series: &[Curve], full: Option<f64>, axis: Axis) -> String {
    // A percentage needs fewer digits than a share.
    let digits = if axis.most > 1.0 { 1 } else { 3 };
    let mut order: Vec<usize> = (0..series.len()).collect();
    let height = |i: &usize| last(&series[*i]).map_or(f64::NEG_INFINITY, |p| p.1);
    order.sort_by(|a, b| height(b).total_cmp(&height(a)));
    let (x, mut y) = (RIGHT + 20.0, TOP + 6.0);
    // Many names leave no room for a line of their own for each value.
    let rows = series.len() + usize::from(full.is_some());
    let pitch = ((BOTTOM - TOP) / rows.max(1) as f64).min(44.0);
    let mut out = match rows {
        0 => String::new(),
        _ => format!(
            r##"<text x="{x}" y="{:.1}" fill="#555" font-size="13">in grey: value at the end</text>"##,
            TOP - 22.0
        ),
    };
    let mut row = |sample: &dyn Fn(f64) -> String, label: &str, value: Option<f64>| {
        out.push_str(&sample(y));
        let value = value.map_or("no value".to_owned(), |v| format!("{v:.digits$}"));
        let (label, at) = (escape(&shortened(label)), x + 40.0);
        let _ = if pitch >= 38.0 {
            writeln!(
                out,
                r##"<text x="{at:.2}" y="{:.2}">{label}</text><text x="{at:.2}" y="{:.2}" fill="#555" font-size="13">{value}</text>"##,
                y + 5.0,
                y + 21.0,
            )
        } else {
            writeln!(
                out,
                r##"<text x="{at:.2}" y="{:.2}" font-size="13">{label} <tspan fill="#555">{value}</tspan></text>"##,
                y + 5.0,
            )
        };
        y += pitch;
    };
    if let Some(full) = full {
        let sample = |y: f64| {
            format!(
                r##"<line x1="{x:.2}" y1="{y:.2}" x2="{:.2}" y2="{y:.2}" stroke="#444" stroke-width="1.6" stroke-dasharray="8 5"/>"##,
                x + 32.0
            )
        };
        row(&sample, "full supervision", Some(full));
    }
    for i in order {
        let style = Style::of(i);
        let sample = |y: f64| {
            format!(
                r#"<line x1="{x:.2}" y1="{y:.2}" x2="{:.2}" y2="{y:.2}" {}/>{}"#,
                x + 32.0,
                style.stroke(),
                style.mark(x + 16.0, y)
            )
        };
        row(&sample, &series[i].label, last(&series[i]).map(|p| p.1));
    }
    out
}

/// A label that fits beside the plot.
fn shortened(label: &str) -> String {
    if label.chars().count() <= 20 {
        return label.to_owned();
    }
    label.chars().take(19).chain(['…']).collect()
}

fn point(axes: &Axes, (labels, jaccard): (f64, f64)) -> String {
    format!("{:.2},{:.2}", axes.x(labels), axes.y(jaccard))
}

fn finite(point: &(f64, f64)) -> bool {
    point.0.is_finite() && point.1.is_finite()
}

#[cfg(test)]
mod tests {
    use super::super::rasterize;
    use super::*;

    #[test]
    fn the_figure_holds_all_curves_names_and_axes() {
        let curves = [
            Curve::new("entropy", vec![(20.0, 0.1), (40.0, 0.3), (60.0, f64::NAN)]),
            Curve::new("a < b & \"c\"", vec![(20.0, 0.2)]),
            Curve::new("nothing yet", vec![]),
        ];
        let svg = learning_curve_svg(&curves, "phantom", Some(0.6));
        for part in [
            "labelled patches",
            "Jaccard index",
            "full supervision",
            "entropy",
            "a &lt; b &amp; &quot;c&quot;",
            "no value",
        ] {
            assert!(svg.contains(part), "{part}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        assert!(rasterize(&svg, 1.0).is_ok());
        // A band where there is a spread for each point.
        assert!(!svg.contains("fill-opacity"));
        let curve =
            Curve { band: vec![[0.05, 0.1], [0.2, 0.4], [f64::NAN; 2]], ..curves[0].clone() };
        let svg = learning_curve_svg(&[curve], "phantom", None);
        assert!(svg.contains("fill-opacity") && !svg.contains("NaN"));
    }

    #[test]
    fn the_axis_reaches_over_every_band() {
        let points = vec![(20.0, 0.2), (40.0, 0.3)];
        let curve = Curve { band: vec![[0.0, 0.5], [0.1, 0.9]], ..Curve::new("random", points) };
        let svg = learning_curve_svg(&[curve], "phantom", None);
        let outline = svg.split("<polygon points=\"").nth(1).unwrap().split('"').next().unwrap();
        let heights: Vec<f64> = outline
            .split(' ')
            .map(|point| point.split(',').nth(1).unwrap().parse().unwrap())
            .collect();
        // From 0 at the bottom of the frame to 1 at its top; the lower side comes back.
        let wanted = [0.5, 0.9, 0.1, 0.0].map(|value| 396.0 - 340.0 * value);
        assert!(heights.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 0.01), "{heights:?}");
    }

    #[test]
    fn many_names_stay_inside() {
        let curves: Vec<Curve> = (0..14)
            .map(|i| {
                Curve::new(format!("strategy {i}"), vec![(20.0, 0.1), (40.0, 0.02 * f64::from(i))])
            })
            .collect();
        let svg = learning_curve_svg(&curves, "phantom", Some(0.5));
        let baselines =
            svg.split("y=\"").skip(1).filter_map(|rest| rest.split('"').next()?.parse().ok());
        assert!(baselines.fold(0.0, f64::max) <= HEIGHT);
        assert!((0..14).all(|i| svg.contains(&format!("strategy {i}"))));
    }

    #[test]
    fn no_curves_are_a_figure_too() {
        assert!(rasterize(&learning_curve_svg(&[], "", None), 1.0).is_ok());
    }

    #[test]
    fn the_png_has_text_without_any_font_of_the_machine() {
        let text = |content: &str| {
            let svg = format!(
                r#"<svg xmlns="http://www.w3.org/2000/svg" width="80" height="20" font-family="{FONTS}"><text y="15">{content}</text></svg>"#
            );
            rasterize(&svg, 1.0).unwrap()
        };
        assert_ne!(text("Jaccard"), text(""), "letters leave ink");
        assert_ne!(text("Jaccard"), text("jaccarD"), "and are told apart");
    }

    #[test]
    fn both_files_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let (svg, png) = (folder.path().join("curve.svg"), folder.path().join("curve.png"));
        let curves = [Curve::new("random", vec![(20.0, 0.1), (40.0, 0.2)])];
        learning_curve(&curves, "a title", None, &svg, &png).unwrap();
        let text = std::fs::read_to_string(&svg).unwrap();
        assert!(text.ends_with("</svg>\n") && text.contains("@font-face{"), "with its letters");
        let decoder =
            png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&png).unwrap()));
        let reader = decoder.read_info().unwrap();
        let size = (f64::from(reader.info().width), f64::from(reader.info().height));
        assert_eq!(size, (2.0 * WIDTH_ALONE, 2.0 * HEIGHT));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
