//! What OME-XML says of an image whose planes lie in several files.

use std::collections::BTreeMap;

use roxmltree::{Document, Node};

use super::super::description::{MOST_IMAGES, Scale};
use crate::data::volume::axes::Axis;
use crate::data::volume::axes::units::in_nm;

/// The file of some planes; without one it is that of the description.
type File = Option<String>;

/// An image.
#[derive(Debug)]
pub(super) struct Image {
    /// The axes from plane to plane and how long they are, the fastest first.
    sides: Vec<(char, u64)>,
    /// Rows and columns.
    pub(super) size: [u64; 2],
    pub(super) scale: Scale,
    runs: Vec<Run>,
    /// The files that are the one with the description, whatever it is called now.
    own: Vec<String>,
}

/// Planes that follow each other in a file.
#[derive(Debug)]
struct Run {
    file: File,
    first: u64,
    page: u64,
    /// Without it all pages of the file.
    count: Option<u64>,
}

/// Where a plane is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plane {
    pub(super) file: File,
    pub(super) page: u64,
}

/// The file that describes the image in place of this XML.
///
/// Errors: why it can't be read.
pub(super) fn metadata_file(xml: &str) -> Result<Option<String>, String> {
    let document = parse(xml)?;
    let binary = document.descendants().find(|node| node.tag_name().name() == "BinaryOnly");
    let Some(binary) = binary else { return Ok(None) };
    match binary.attribute("MetadataFile") {
        Some(name) => Ok(Some(name.to_owned())),
        None => Err("its OME-XML lies in another file that it does not name; save it again".into()),
    }
}

fn parse(xml: &str) -> Result<Document<'_>, String> {
    Document::parse(xml).map_err(|e| format!("its OME-XML can't be read ({e}); save it again"))
}

fn number(node: Node, name: &str) -> Option<u64> {
    node.attribute(name)?.trim().parse().ok()
}

impl Image {
    /// Errors: why it can't be followed.
    pub(super) fn parse(xml: &str) -> Result<Self, String> {
        let document = parse(xml)?;
        let all = |name: &'static str| {
            document.descendants().filter(move |node| node.tag_name().name() == name)
        };
        if all("BinaryOnly").next().is_some() {
            return Err("its OME-XML lies in yet another file; name that file".into());
        }
        let images: Vec<Node> = all("Pixels").collect();
        let [pixels] = images[..] else {
            return Err(format!(
                "its OME-XML describes {} images in several files; save one of them as its own \
                file, such as with `bfconvert -series N IN OUT.ome.tif` of Bio-Formats",
                images.len()
            ));
        };
        let order = pixels.attribute("DimensionOrder").unwrap_or("XYZCT");
        let order: Vec<char> = order.strip_prefix("XY").unwrap_or_default().chars().collect();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        if sorted != ['C', 'T', 'Z'] {
            return Err(
                "the DimensionOrder of its OME-XML is none of those of the standard; save it again"
                    .into(),
            );
        }
        let samples = all("Channel").filter_map(|node| number(node, "SamplesPerPixel")).max();
        if samples.unwrap_or(1) > 1 {
            return Err("it holds pictures in colour, which are not read of a set of files; save \
                it as one file"
                .into());
        }
        let side = |name: String| {
            let side = number(pixels, &name).filter(|side| (1..=MOST_IMAGES).contains(side));
            side.ok_or_else(|| format!("the {name} of its OME-XML can't be right; save it again"))
        };
        let mut sides = Vec::new();
        for letter in order {
            sides.push((letter, side(format!("Size{letter}"))?));
        }
        let planes = sides.iter().try_fold(1_u64, |all, (_, side)| all.checked_mul(*side));
        if planes.is_none_or(|planes| planes > MOST_IMAGES) {
            return Err("its OME-XML speaks of more planes than any file has".into());
        }
        let root = document.root_element().attribute("UUID");
        let (mut runs, mut own) = (Vec::new(), Vec::new());
        for data in pixels.children().filter(|node| node.tag_name().name() == "TiffData") {
            let uuid = data.children().find(|node| node.tag_name().name() == "UUID");
            let file = uuid.and_then(|uuid| uuid.attribute("FileName")).map(str::to_owned);
            if let (Some(file), Some(uuid), Some(root)) = (&file, uuid, root)
                && uuid.text().is_some_and(|text| text.trim() == root.trim())
            {
                own.push(file.clone());
            }
            let (mut first, mut step) = (0, 1);
            for (letter, side) in &sides {
                let at = number(data, &format!("First{letter}")).unwrap_or(0);
                if at >= *side {
                    return Err(format!(
                        "its OME-XML places a plane at {letter} = {at} of {side}, counted from 0; \
                        save it again"
                    ));
                }
                first += at * step;
                step *= side;
            }
            let (page, count) = (number(data, "IFD"), number(data, "PlaneCount"));
            let count = count.or(page.map(|_| 1));
            runs.push(Run { file, first, page: page.unwrap_or(0), count });
        }
        own.sort_unstable();
        own.dedup();
        let size = [side("SizeY".into())?, side("SizeX".into())?];
        Ok(Self { sides, size, scale: scale_of(pixels), runs, own })
    }

    /// Whether a file that it names is the one with the description.
    pub(super) fn is_own(&self, name: &str) -> bool {
        self.own.iter().any(|own| own == name)
    }

    /// Files of which all pages are planes.
    pub(super) fn uncounted(&self) -> impl Iterator<Item = &File> {
        self.runs.iter().filter(|run| run.count.is_none()).map(|run| &run.file)
    }

    /// Where each plane is, the slowest axis first; `pages` has how many of them uncounted files
    /// have.
    ///
    /// Errors: planes that are there twice, or beyond the last.
    pub(super) fn planes(&self, pages: &BTreeMap<File, u64>) -> Result<Vec<Option<Plane>>, String> {
        let count = self.sides.iter().map(|(_, side)| *side).product::<u64>();
        let mut planes: Vec<Option<Plane>> = vec![None; count as usize];
        for run in &self.runs {
            let length = run.count.or(pages.get(&run.file).copied()).unwrap_or(0);
            if run.first.checked_add(length).is_none_or(|end| end > count) {
                return Err(format!(
                    "its OME-XML places {length} planes from plane {} on, of {count}; save it \
                    again",
                    run.first
                ));
            }
            for i in 0..length {
                let place = &mut planes[(run.first + i) as usize];
                let page = run.page.saturating_add(i);
                let plane = Plane { file: run.file.clone(), page };
                if place.as_ref().is_some_and(|other| *other != plane) {
                    return Err(format!(
                        "its OME-XML names two places for plane {}; save it again",
                        run.first + i
                    ));
                }
                *place = Some(plane);
            }
        }
        Ok(planes)
    }

    /// The sides of the whole, the slowest first.
    pub(super) fn shape(&self) -> Vec<u64> {
        self.sides.iter().rev().map(|(_, side)| *side).chain(self.size).collect()
    }

    /// What its axes are.
    pub(super) fn said(&self) -> Vec<Axis> {
        let lead = self.sides.iter().rev().map(|(letter, _)| Axis::named(&letter.to_string()));
        lead.chain([Axis::Y, Axis::X]).collect()
    }

    /// Which axis leads from section to section.
    pub(super) fn z(&self) -> Option<usize> {
        self.sides.iter().rev().position(|(letter, _)| *letter == 'Z')
    }
}

/// `PhysicalSizeX` and the like, in micrometres unless they say otherwise.
fn scale_of(pixels: Node) -> Scale {
    let nm = ['Z', 'Y', 'X'].map(|letter| {
        let name = format!("PhysicalSize{letter}");
        let size: f64 = pixels.attribute(&*name)?.trim().parse().ok()?;
        let unit = pixels.attribute(&*format!("{name}Unit")).unwrap_or("µm");
        Some(size * in_nm(unit)?)
    });
    Scale { nm, unit_nm: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(data: &str) -> Result<Image, String> {
        Image::parse(&format!(
            "<OME UUID=\"urn:uuid:a\"><Image><Pixels DimensionOrder=\"XYCZT\" SizeX=\"5\" \
             SizeY=\"4\" SizeC=\"2\" SizeZ=\"3\" SizeT=\"1\">{data}</Pixels></Image></OME>"
        ))
    }

    fn data(first: &str, file: &str) -> String {
        format!("<TiffData {first}><UUID FileName=\"{file}\">urn:uuid:{file}</UUID></TiffData>")
    }

    #[test]
    fn planes_are_found_by_the_order_of_their_axes() {
        let found = image(&format!(
            "{}{}",
            data("IFD=\"1\" PlaneCount=\"4\"", "a"),
            data("FirstZ=\"2\"", "b")
        ))
        .unwrap();
        assert_eq!(found.shape(), [1, 3, 2, 4, 5]);
        assert_eq!(found.said()[..3], [Axis::Time, Axis::Z, Axis::Channel]);
        assert!(found.is_own("a") && !found.is_own("b"));
        let b = Some("b".to_owned());
        assert_eq!(found.uncounted().collect::<Vec<_>>(), [&b]);
        let planes = found.planes(&BTreeMap::from([(b.clone(), 2)])).unwrap();
        let pages: Vec<_> = planes.iter().flatten().map(|plane| plane.page).collect();
        assert_eq!(pages, [1, 2, 3, 4, 0, 1]);
        assert_eq!(planes[4].as_ref().unwrap().file, b);
        // A file with too many pages, and with too few.
        assert!(found.planes(&BTreeMap::from([(b.clone(), 3)])).unwrap_err().contains("of 6"));
        assert_eq!(found.planes(&BTreeMap::from([(b, 1)])).unwrap()[5], None);
    }

    #[test]
    fn what_can_not_be_followed_is_refused() {
        let twice = format!("{}{}", data("IFD=\"0\"", "a"), data("IFD=\"0\"", "b"));
        assert!(image(&twice).unwrap().planes(&BTreeMap::new()).unwrap_err().contains("two"));
        assert!(image(&data("FirstZ=\"3\"", "a")).unwrap_err().contains("Z = 3 of 3"));
        let huge = data("IFD=\"0\" PlaneCount=\"18446744073709551615\"", "a");
        assert!(image(&huge).unwrap().planes(&BTreeMap::new()).is_err());
        assert!(image("").unwrap().planes(&BTreeMap::new()).unwrap().iter().all(Option::is_none));
        assert!(Image::parse("<OME>").unwrap_err().contains("can't be read"));
        assert!(Image::parse("<OME/>").unwrap_err().contains("0 images"));
        assert!(Image::parse("<OME><BinaryOnly MetadataFile=\"a\"/></OME>").is_err());
    }

    #[test]
    fn companions_are_named() {
        let named =
            "<OME xmlns=\"o\"><BinaryOnly MetadataFile=\"a.companion.ome\" UUID=\"u\"/></OME>";
        assert_eq!(metadata_file(named).unwrap().as_deref(), Some("a.companion.ome"));
        assert_eq!(metadata_file("<OME/>").unwrap(), None);
        assert!(metadata_file("<OME><BinaryOnly/></OME>").is_err());
    }
}
