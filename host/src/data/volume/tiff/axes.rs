//! What the axes of a file are: those of its pages by its description, then rows and columns, and
//! channels before or behind these.

use super::description::Said;
use super::{Contents, Place};
use crate::data::volume::axes::{Arrangement, Axis};
use crate::data::volume::open::Opening;

/// The axes of a file, slowest first.
#[derive(Clone, Debug)]
pub(super) struct FileAxes {
    pub(super) shape: Vec<u64>,
    said: Option<Vec<Axis>>,
    /// How many of them lead from page to page.
    pub(super) pages: usize,
    /// The image of each page in their order; without it the first comes first.
    order: Option<Vec<usize>>,
    /// Which of them are rows and columns of the pages, and which their channels, if these are
    /// looked at one by one.
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) samples: Option<usize>,
    /// How far apart neighbours along the axes are, in nanometres.
    pub(super) steps: Vec<Option<f64>>,
}

/// The axes that lead from page to page.
#[derive(Clone, Debug, Default)]
struct Pages {
    shape: Vec<u64>,
    said: Option<Vec<Axis>>,
    /// What rows and columns are called.
    tail: Option<[Axis; 2]>,
    order: Option<Vec<usize>>,
}

impl FileAxes {
    /// The axes that fit `opening`.
    ///
    /// Errors: what the description says and the pages do not, without the file's name.
    pub(super) fn of(contents: &Contents, opening: &Opening) -> Result<Self, String> {
        let flat = Pages {
            // The channels of a single page may be meant in place of sections.
            shape: if contents.sections() == 1 && contents.samples > 1 {
                Vec::new()
            } else {
                vec![contents.sections() as u64]
            },
            said: Some(vec![
                Axis::Z;
                usize::from(contents.sections() > 1 || contents.samples == 1)
            ]),
            ..Pages::default()
        };
        let described = Pages::described(contents, opening);
        let Some(letters) = &opening.axes.axes else {
            let pages = described?.unwrap_or(flat);
            let has_channels = pages
                .said
                .iter()
                .flatten()
                .zip(&pages.shape)
                .any(|(axis, &side)| *axis == Axis::Channel && side > 1);
            let by_channel =
                contents.samples > 1 && opening.axes.channel.is_some() && !has_channels;
            return Ok(Self::with(contents, &pages, by_channel));
        };
        let pages: Vec<Pages> = described.ok().flatten().into_iter().chain([flat]).collect();
        let channels: &[bool] = if contents.samples > 1 { &[false, true] } else { &[false] };
        let mut all = pages
            .iter()
            .flat_map(|pages| channels.iter().map(|by| Self::with(contents, pages, *by)));
        let first = Self::with(contents, &pages[0], contents.samples > 1);
        Ok(all.find(|axes| letters.fit(&axes.shape, opening.lenient).is_some()).unwrap_or(first))
    }

    fn with(contents: &Contents, pages: &Pages, by_channel: bool) -> Self {
        let samples = by_channel.then_some(contents.samples as u64);
        let before = samples.filter(|_| contents.planar);
        let behind = samples.filter(|_| !contents.planar);
        let size = [contents.header.height, contents.header.width].map(|side| side as u64);
        let lead = pages.shape.len();
        let rows = lead + usize::from(before.is_some());
        let shape = pages.shape.iter().copied().chain(before).chain(size).chain(behind).collect();
        let said = pages.said.clone().map(|mut said| {
            let tail = pages.tail.clone().unwrap_or([Axis::Y, Axis::X]);
            said.extend(before.map(|_| Axis::Channel));
            said.extend(tail);
            said.extend(behind.map(|_| Axis::Channel));
            said
        });
        // Pages that lead through the sections are as far apart as these.
        let mut steps = vec![None; lead];
        let leads = pages.said.iter().flatten().position(|axis| *axis == Axis::Z);
        let [z, y, x] = contents.text.scale.nm;
        if let Some(leads) = leads.filter(|&leads| leads < lead) {
            steps[leads] = z;
        }
        steps.extend(before.map(|_| None).into_iter().chain([y, x]));
        steps.extend(behind.map(|_| None));
        Self {
            steps,
            shape,
            said,
            pages: lead,
            order: pages.order.clone(),
            rows,
            columns: rows + 1,
            samples: samples.map(|_| if contents.planar { lead } else { rows + 2 }),
        }
    }

    /// Which of the axes are sections, rows and columns.
    pub(super) fn arrange(&self, opening: &Opening) -> Result<Arrangement, String> {
        opening.arrange(&self.shape, self.said.as_deref())
    }

    /// What lies at an index along each axis.
    pub(super) fn place(&self, index: &[u64]) -> Place {
        let number = index[..self.pages].iter().zip(&self.shape);
        let number = number.fold(0, |number, (&at, &side)| number * side + at) as usize;
        Place {
            image: self.order.as_ref().map_or(number, |order| order[number]),
            sample: self.samples.map(|axis| index[axis] as usize),
        }
    }

    /// The sections, if their rows and columns are those of the pages.
    pub(super) fn sections(&self, arrangement: &Arrangement) -> Option<Vec<Place>> {
        let [z, y, x] = arrangement.axes();
        if (y, x) != (Some(self.rows), Some(self.columns)) {
            return None;
        }
        let mut index: Vec<u64> =
            (0..self.shape.len()).map(|axis| arrangement.fixed(axis)).collect();
        let depth = z.map_or(1, |z| self.shape[z]);
        let mut section = |number: u64| {
            if let Some(z) = z {
                index[z] = number;
            }
            self.place(&index)
        };
        Some((0..depth).map(&mut section).collect())
    }
}

impl Pages {
    /// By the file's description, if that says something that fits.
    fn described(contents: &Contents, opening: &Opening) -> Result<Option<Self>, String> {
        let images = contents.sections() as u64;
        let product = |sides: &[u64]| {
            sides.iter().try_fold(1_u64, |product, &side| product.checked_mul(side))
        };
        match &contents.text.said {
            Said::Nothing => Ok(None),
            Said::Unreadable(why) => Err(why.clone()),
            Said::Set(_) => Err("its OME-XML describes a set of files".into()),
            Said::Counts { axes, order, time_is_z } => {
                let mut axes = axes.clone();
                // An RGB page counts as three channels in OME.
                for (axis, count) in &mut axes {
                    let samples = contents.samples as u64;
                    if *axis == Axis::Channel && samples > 1 && count.is_multiple_of(samples) {
                        *count /= samples;
                    }
                }
                let count = |wanted: &Axis| {
                    axes.iter().find(|(axis, _)| axis == wanted).map_or(1, |&(_, count)| count)
                };
                let shape: Vec<u64> = axes.iter().map(|&(_, count)| count).collect();
                if product(&shape) != Some(images) {
                    let (channels, times) = (count(&Axis::Channel), count(&Axis::Time));
                    if images > 1 && (channels > 1 || times > 1 && count(&Axis::Z) > 1) {
                        return Err(format!(
                            "its description speaks of {channels} channels, {} sections and \
                            {times} time points, and it has {images} \
                             pages; if all pages are sections, say so with --axes ZYX",
                            count(&Axis::Z)
                        ));
                    }
                    return Ok(None);
                }
                let only_times = count(&Axis::Z) == 1 && opening.axes.time.is_none() && *time_is_z;
                let said = axes.into_iter().map(|(axis, count)| match axis {
                    // How a stack looks when nobody told ImageJ which axis it is.
                    Axis::Time if only_times && count > 1 => Axis::Z,
                    Axis::Z if only_times => Axis::Other(String::new()),
                    other => other,
                });
                let said = Some(said.collect());
                if let Some(order) = order
                    && (order.len() as u64 != images
                        || order.iter().any(|&image| image as u64 >= images))
                {
                    return Err("its OME-XML names pages that are not there; save it again".into());
                }
                Ok(Some(Self { shape, said, order: order.clone(), tail: None }))
            }
            Said::Shape { shape, axes } => {
                let size = [contents.header.height, contents.header.width].map(|side| side as u64);
                let samples = contents.samples as u64;
                // How the shape ends, and where rows and columns are in it, from the end.
                let ends = match (samples, contents.planar) {
                    (1, _) => vec![(vec![size[0], size[1]], 2), (vec![size[0], size[1], 1], 3)],
                    (_, true) => vec![(vec![samples, size[0], size[1]], 2)],
                    (_, false) => vec![(vec![size[0], size[1], samples], 3)],
                };
                let fit = ends.into_iter().find_map(|(end, rows)| {
                    let lead = shape.strip_suffix(&end[..])?;
                    (product(lead) == Some(images)).then_some((lead, shape.len() - rows))
                });
                let Some((lead, rows)) = fit else { return Ok(None) };
                let axes = axes.as_ref().filter(|axes| axes.len() == shape.len());
                let nameless = || vec![Axis::Other(String::new()); lead.len()];
                let said = axes.map(|axes| axes[..lead.len()].to_vec());
                Ok(Some(Self {
                    shape: lead.to_vec(),
                    // Of an image in colour at least rows, columns and channels are known.
                    said: said.or_else(|| (samples > 1).then(nameless)),
                    tail: axes.map(|axes| [axes[rows].clone(), axes[rows + 1].clone()]),
                    order: None,
                }))
            }
        }
    }
}
