//! Pictures of what a run found: learning curves and segmentations.
//!
//! A figure is described once, as SVG. The PNG beside it is that SVG drawn in pure Rust. The font is
//! part of the program and of each SVG and page, so all show the same on any machine.

use crate::{Error, Result};

pub mod curve;
mod details;
pub mod overlay;
mod page;
mod picks;
mod scale_bar;
mod spreads;
mod ticks;
mod times;

use crate::data::files::write_atomically;
use crate::results::comparison::{self, Series, Summary, System};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::path::Path;

pub use curve::{Curve, learning_curve, learning_curve_svg};
pub use details::Details;
pub use overlay::{segmentation_overlay, write_overlay};
pub use page::{write_page_of, write_run_page};

/// Writes what the runs of a comparison say together: `curves.svg`, `curves.png`, `iterations.csv`, `summary.csv`,
/// `comparison.json` and `report.html`.
///
/// Errors: [`Error::Io`] where a file can't be written.
pub fn write_comparison(
    out: &Path,
    all: &[Series],
    summaries: &[Summary],
    system: Option<&System>,
) -> Result<()> {
    let svg = page::comparison_figure(all).svg();
    write_figure(&svg, &out.join("curves.svg"), &out.join("curves.png"))?;
    write_atomically(&out.join("iterations.csv"), comparison::iterations_csv(all).as_bytes())?;
    write_atomically(
        &out.join("summary.csv"),
        comparison::summary_csv(summaries, system).as_bytes(),
    )?;
    let curves: Vec<_> = all
        .iter()
        .map(|series| serde_json::json!({"strategy": series.strategy, "curve": series.curve()}))
        .collect();
    let json = serde_json::json!({"summaries": summaries, "curves": curves, "system": system});
    write_atomically(&out.join("comparison.json"), json.to_string().as_bytes())?;
    page::write_comparison_page(out, all, summaries, system)
}

/// Colours that people with any colour vision tell apart: those of Okabe and Ito, darkest contrast
/// first, without the yellow that is lost on white paper.
///
/// Source: M. Okabe and K. Ito, "Color Universal Design", 2008, <https://jfly.uni-koeln.de/color/>.
pub const PALETTE: [&str; 7] =
    ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"];

/// The fonts of a figure: the one below, and for letters that it lacks those of the viewer.
const FONTS: &str = "Inter, Helvetica, Arial, sans-serif";

/// Inter with the letters that figures need (SIL Open Font License, `font/OFL.txt`).
///
/// Source: <https://rsms.me/inter>, as `inter-latin-400-normal` in Fontsource's package, cut down with
/// `pyftsubset --unicodes=U+20-7E,U+A0,U+B0-B3,U+B5,U+B7,U+C4,U+D6,U+D7,U+DC,U+DF,U+E4,U+F6,U+FC,`
/// `U+2013,U+2026,U+2212,U+2264,U+2265 --layout-features= --no-hinting`.
const FONT: &[u8] = include_bytes!("report/font/inter.ttf");

/// The style that brings the font along.
fn font_face() -> String {
    let font = BASE64_STANDARD.encode(FONT);
    format!("@font-face{{font-family:Inter;src:url(data:font/ttf;base64,{font})}}")
}

/// PNG pixels per unit of a figure: fine enough for print at the width of a column.
const SCALE: f32 = 2.0;

/// Writes a figure as SVG, with its font, and as PNG.
fn write_figure(figure: &str, svg: &Path, png: &Path) -> Result<()> {
    let picture = rasterize(figure, SCALE)?;
    let style = format!("><style>{}</style>", font_face());
    write_atomically(svg, figure.replacen('>', &style, 1).as_bytes())?;
    write_atomically(png, &picture)
}

/// Draws an SVG text as PNG, `scale` pixels per unit.
///
/// Errors: [`Error::Input`] where the SVG is not one.
pub fn rasterize(svg: &str, scale: f32) -> Result<Vec<u8>> {
    use resvg::{tiny_skia, usvg};
    let mut options = usvg::Options::default();
    let fonts = options.fontdb_mut();
    fonts.load_font_data(FONT.to_vec());
    let family = fonts.faces().next().and_then(|face| face.families.first().cloned());
    if let Some((family, _)) = family {
        fonts.set_sans_serif_family(family);
    }
    let failed = |what: &str| Error::Input(format!("a figure could not be drawn: {what}"));
    let tree = usvg::Tree::from_str(svg, &options).map_err(|e| failed(&e.to_string()))?;
    let size = tree.size();
    let side = |length: f32| (length * scale).ceil().clamp(1.0, 16384.0) as u32;
    let mut pixels = tiny_skia::Pixmap::new(side(size.width()), side(size.height()))
        .ok_or_else(|| failed("it has no size"))?;
    let transform = tiny_skia::Transform::from_scale(scale, scale);
    resvg::render(&tree, transform, &mut pixels.as_mut());
    pixels.encode_png().map_err(|e| failed(&e.to_string()))
}

/// A text with the characters that mean something in XML replaced, and those that XML forbids left
/// out.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
