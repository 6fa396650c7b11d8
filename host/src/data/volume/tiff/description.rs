//! What ImageJ, OME and tifffile write into a TIFF's description: the axes of its pages.
//!
//! Pages of several channels or time points lie in one file one after the other. Read as
//! sections they would make a volume that never existed.
//!
//! Sources: [ImageJ](https://imagej.net/ij/developer/source/ij/io/TiffEncoder.java.html),
//! [OME-TIFF](https://ome-model.readthedocs.io/en/stable/ome-tiff/specification.html), and the
//! "shaped" files of [tifffile](https://pypi.org/project/tifffile/).

use crate::data::volume::axes::Axis;
use crate::data::volume::axes::units::in_nm;

/// What a description says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Description {
    /// Images in the file, by ImageJ's count.
    pub(super) images: usize,
    pub(super) said: Said,
    pub(super) scale: Scale,
}

/// What a description says of the size of a pixel, in nanometres.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Scale {
    /// Along z, y and x.
    pub(super) nm: [Option<f64>; 3],
    /// What the resolution of the file's tags counts pixels by.
    pub(super) unit_nm: Option<f64>,
}

/// What a description says of axes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Nothing,
    /// Why it can't be followed.
    Unreadable(String),
    /// Planes lie in several files, by this OME-XML.
    Set(String),
    /// The axes that lead from page to page and their lengths, slowest first.
    Counts {
        axes: Vec<(Axis, u64)>,
        /// The page of each image in this order; without it the first comes first.
        order: Option<Vec<usize>>,
        /// Whether time points without sections are sections.
        time_is_z: bool,
    },
    /// The shape of the whole array, and what its axes are.
    Shape {
        shape: Vec<u64>,
        axes: Option<Vec<Axis>>,
    },
}

/// More images than any file has.
pub(super) const MOST_IMAGES: u64 = 1 << 24;

impl Description {
    /// Reads `key=value` lines of ImageJ, the attributes of OME-XML, or tifffile's JSON.
    pub(super) fn parse(text: &str) -> Self {
        let nothing = |said| Self { images: 1, said, scale: Scale::default() };
        if text.starts_with("ImageJ=") {
            return Self::of_imagej(text);
        }
        if let Some(pixels) = element(text, "Pixels").filter(|_| text.contains("<OME")) {
            return Self { images: 1, said: of_ome(text, pixels), scale: scale_of_ome(pixels) };
        }
        if text.contains("<OME") && element(text, "BinaryOnly").is_some() {
            return nothing(Said::Set(text.to_owned()));
        }
        match text.starts_with('{') {
            true => nothing(of_json(text).unwrap_or(Said::Nothing)),
            false => nothing(Said::Nothing),
        }
    }

    fn of_imagej(text: &str) -> Self {
        let find =
            |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let read = |key: &str| -> u64 {
            find(key).and_then(|number| number.trim().parse().ok()).unwrap_or(1).max(1)
        };
        let unit_nm = find("unit").and_then(in_nm);
        let spacing = find("spacing").and_then(|number| number.trim().parse::<f64>().ok());
        // A negative spacing turns the order of drawing around, not the size.
        let z = spacing.and_then(|spacing| Some(spacing.abs() * unit_nm?));
        let scale = Scale { nm: [z, None, None], unit_nm };
        let axes = vec![
            (Axis::Time, read("frames")),
            (Axis::Z, read("slices")),
            (Axis::Channel, read("channels")),
        ];
        let says = axes.iter().any(|&(_, count)| count > 1);
        let counts = Said::Counts { axes, order: None, time_is_z: true };
        let images = usize::try_from(read("images")).unwrap_or(usize::MAX);
        Self { images, said: if says { counts } else { Said::Nothing }, scale }
    }
}

/// tifffile's `{"shape": [24, 40, 56], "axes": "ZYX"}`.
fn of_json(text: &str) -> Option<Said> {
    let said: serde_json::Value = serde_json::from_str(text).ok()?;
    let sides = said["shape"].as_array()?.iter();
    let shape = sides.map(serde_json::Value::as_u64).collect::<Option<Vec<u64>>>()?;
    let axes = said["axes"].as_str().map(|axes| axes.chars().map(of_letter).collect());
    Some(Said::Shape { shape, axes })
}

/// The letters of tifffile; Q, I and O say nothing.
fn of_letter(letter: char) -> Axis {
    match letter.to_ascii_uppercase() {
        'Q' | 'I' | 'O' => Axis::Other(String::new()),
        other => Axis::named(&other.to_string()),
    }
}

/// The first element of this name, without its content.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    elements(text, name).next()
}

/// All elements of this name, without their content.
fn elements<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let start = format!("<{name}");
    text.match_indices(&start)
        .filter_map(move |(at, found)| {
            let rest = &text[at + found.len()..];
            let rest = rest.starts_with([' ', '\n', '\r', '\t', '/', '>']).then_some(rest)?;
            Some(&rest[..rest.find('>')?])
        })
        .collect::<Vec<_>>()
        .into_iter()
}

/// The text of an attribute.
fn attribute<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let (_, value) = element.match_indices(name).map(|(at, _)| element.split_at(at)).find(
        |(before, rest)| {
            before.ends_with([' ', '\n', '\r', '\t'])
                && rest[name.len()..].trim_start().starts_with('=')
        },
    )?;
    let value = value[name.len()..].trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| ['"', '\''].contains(quote))?;
    value[1..].split(quote).next()
}

/// `PhysicalSizeX` and the like, in micrometres unless they say otherwise.
fn scale_of_ome(pixels: &str) -> Scale {
    let nm = ['Z', 'Y', 'X'].map(|letter| {
        let size =
            attribute(pixels, &format!("PhysicalSize{letter}"))?.trim().parse::<f64>().ok()?;
        let unit = attribute(pixels, &format!("PhysicalSize{letter}Unit")).unwrap_or("µm");
        Some(size * in_nm(unit)?)
    });
    Scale { nm, unit_nm: None }
}

fn number(element: &str, name: &str) -> Option<u64> {
    attribute(element, name)?.trim().parse().ok()
}

/// The axes of the only image of OME-XML, and which page each of its planes is.
fn of_ome(text: &str, pixels: &str) -> Said {
    let unreadable = |why: &str| Said::Unreadable(why.into());
    let mut files: Vec<&str> =
        elements(text, "UUID").filter_map(|uuid| attribute(uuid, "FileName")).collect();
    files.sort_unstable();
    files.dedup();
    if files.len() > 1 {
        return Said::Set(text.to_owned());
    }
    let images = elements(text, "Pixels").count();
    if images > 1 {
        return Said::Unreadable(format!(
            "its OME-XML describes {images} images; save one of them as its own file, such as with \
            `bfconvert -series N IN OUT.ome.tif` of Bio-Formats, or, if all pages are sections, say \
            so with --axes ZYX"
        ));
    }
    let fastest_first = attribute(pixels, "DimensionOrder").unwrap_or("XYZCT");
    let Some(fastest_first) = fastest_first.strip_prefix("XY").filter(|order| {
        let mut letters: Vec<char> = order.chars().collect();
        letters.sort_unstable();
        letters == ['C', 'T', 'Z']
    }) else {
        return unreadable(
            "the DimensionOrder of its OME-XML is none of those of the standard; save it again, \
            or give --axes ZYX",
        );
    };
    let size = |letter: char| number(pixels, &format!("Size{letter}")).unwrap_or(1).max(1);
    let axes: Vec<(Axis, u64)> =
        fastest_first.chars().rev().map(|letter| (of_letter(letter), size(letter))).collect();
    let order = match order_of(text, fastest_first, &size) {
        Ok(order) => order,
        Err(why) => return unreadable(why),
    };
    Said::Counts { axes, order, time_is_z: false }
}

/// The page of each plane, by the `TiffData` elements, the last axis of `DimensionOrder` slowest;
/// none where they are in order.
fn order_of(
    text: &str,
    fastest_first: &str,
    size: &dyn Fn(char) -> u64,
) -> Result<Option<Vec<usize>>, &'static str> {
    const WRONG: &str = "the TiffData elements of its OME-XML don't name a page for each plane; \
    save it again, or give --axes ZYX";
    let samples = element(text, "Channel").and_then(|c| number(c, "SamplesPerPixel")).unwrap_or(1);
    let sides: Vec<(char, u64)> = fastest_first
        .chars()
        .map(|letter| match (letter, size(letter)) {
            ('C', channels) if samples > 1 && channels.is_multiple_of(samples) => {
                ('C', channels / samples)
            }
            (letter, side) => (letter, side),
        })
        .collect();
    let planes = sides.iter().try_fold(1_u64, |all, &(_, side)| all.checked_mul(side));
    let planes = planes.filter(|&planes| planes <= MOST_IMAGES).ok_or(WRONG)? as usize;
    let mut pages: Vec<Option<usize>> = vec![None; planes];
    let mut next = 0;
    for data in elements(text, "TiffData") {
        let mut first = 0;
        let mut step = 1;
        for &(letter, side) in &sides {
            first += number(data, &format!("First{letter}")).unwrap_or(0).min(MOST_IMAGES) * step;
            step *= side;
        }
        let page = number(data, "IFD");
        // Without a count it is one plane from a page, and all planes from nothing.
        let count = match (number(data, "PlaneCount"), page) {
            (Some(count), _) => count,
            (None, Some(_)) => 1,
            (None, None) => planes as u64,
        };
        let page = page.unwrap_or(next);
        for i in 0..count.min(planes as u64) {
            let Some(place) = pages.get_mut((first + i) as usize) else { break };
            *place = Some(usize::try_from(page + i).map_err(|_| WRONG)?);
        }
        next = page.saturating_add(count);
    }
    if pages.iter().all(Option::is_none) {
        return Ok(None);
    }
    let pages: Vec<usize> = pages.into_iter().collect::<Option<_>>().ok_or(WRONG)?;
    Ok(if pages.iter().copied().eq(0..planes) { None } else { Some(pages) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(text: &str) -> (Vec<(Axis, u64)>, Option<Vec<usize>>) {
        match Description::parse(text).said {
            Said::Counts { axes, order, .. } => (axes, order),
            other => panic!("{text}: {other:?}"),
        }
    }

    fn refused(text: &str) -> bool {
        matches!(Description::parse(text).said, Said::Unreadable(_))
    }

    #[test]
    fn imagej_counts_frames_slices_and_channels() {
        let said = counts("ImageJ=1.53t\nimages=40\nchannels=2\nslices=20\nloop=false\n");
        assert_eq!(said.0, [(Axis::Time, 1), (Axis::Z, 20), (Axis::Channel, 2)]);
        assert_eq!(Description::parse("ImageJ=1.53t\nimages=7\n").images, 7);
        assert_eq!(Description::parse("ImageJ=1.53t\nimages=7\n").said, Said::Nothing);
        assert_eq!(Description::parse("ImageJ=x\nimages=\n").images, 1);
        assert_eq!(Description::parse("").said, Said::Nothing);
    }

    #[test]
    fn ome_names_the_order_and_the_page_of_each_plane() {
        let ome = |order: &str, data: &str| {
            format!(
                "<?xml?><OME><Image><Pixels DimensionOrder=\"{order}\" SizeC=\"2\" SizeT=\"1\" \
                 SizeZ=\"2\">{data}</Pixels></Image></OME>"
            )
        };
        let (axes, order) = counts(&ome("XYCZT", "<TiffData IFD=\"0\" PlaneCount=\"4\"/>"));
        assert_eq!(axes, [(Axis::Time, 1), (Axis::Z, 2), (Axis::Channel, 2)]);
        assert_eq!(order, None);
        assert_eq!(counts(&ome("XYZCT", "<TiffData/>")).1, None);
        let each = "<TiffData FirstC=\"1\" IFD=\"0\"/><TiffData FirstC=\"0\" IFD=\"1\"/>\
             <TiffData FirstZ=\"1\" FirstC=\"1\" IFD=\"2\"/><TiffData FirstZ=\"1\" IFD=\"3\"/>";
        let (axes, order) = counts(&ome("XYCZT", each));
        assert_eq!(axes[1], (Axis::Z, 2));
        assert_eq!(order, Some(vec![1, 0, 3, 2]));
        assert!(
            refused(&ome("XYCZT", "<TiffData FirstC=\"1\" IFD=\"0\"/>")),
            "planes without a page"
        );
        assert!(refused(&ome("XZYCT", "")));
        let files = "<TiffData IFD=\"0\"><UUID FileName=\"a.tif\">u</UUID></TiffData>\
             <TiffData IFD=\"0\" FirstZ=\"1\"><UUID FileName=\"b.tif\">v</UUID></TiffData>";
        assert!(matches!(Description::parse(&ome("XYCZT", files)).said, Said::Set(_)));
        let elsewhere = "<OME><BinaryOnly MetadataFile=\"a.companion.ome\"/></OME>";
        assert!(matches!(Description::parse(elsewhere).said, Said::Set(_)));
        let twice =
            ome("XYCZT", "").replace("</Image>", "</Image><Image><Pixels SizeZ=\"1\"/></Image>");
        assert!(refused(&twice));
    }

    #[test]
    fn tifffile_names_the_axes_of_the_whole_array() {
        let said = Description::parse("{\"shape\": [56, 40, 24], \"axes\": \"XYZ\"}").said;
        let axes = Some(vec![Axis::X, Axis::Y, Axis::Z]);
        assert_eq!(said, Said::Shape { shape: vec![56, 40, 24], axes });
        assert_eq!(Description::parse("{\"shape\": \"x\"}").said, Said::Nothing);
        assert_eq!(Description::parse("{").said, Said::Nothing);
    }
}
