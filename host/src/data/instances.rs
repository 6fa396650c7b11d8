//! Objects of a segmentation: connected components of its foreground, cut where they touch,
//! numbered and measured.
//!
//! 1. A [`Mask`] takes the foreground, in blocks of any size and order.
//! 2. [`Instances::find`] labels connected components row by row (`runs.rs`), leaves out the small
//!    ones, and cuts each of the others on its own, in its bounding box (`split.rs`).
//! 3. [`Instances::sections`] gives the objects section by section; [`InstanceFiles`] writes them
//!    with a table.
//!
//! Objects are numbered from 1 in the order of their first voxels (by section, row and column).
//! What comes out depends on the foreground and the options alone.
//!
//! Memory: runs of foreground of a few sections; 4 bytes for each piece of a component that the
//! rows fall into, about 250 for each object; about 22 bytes for each voxel of the largest box that
//! is cut ([`InstanceOptions::split_box`]). On disk, for the time being, one bit for each voxel,
//! and 16 bytes for each run of the objects that were cut.

mod crop;
mod distance;
mod mask;
mod measure;
mod parts;
mod runs;
mod split;
mod write;

use std::path::Path;

use petgraph::unionfind::UnionFind;

use crate::data::volume::Region;
use crate::error::{Error, Result};
use crop::Crop;
use parts::Parts;
use runs::Labeller;

pub use mask::Mask;
pub use measure::Object;
pub use runs::Run;
pub use write::{InstanceFiles, table};

/// Which voxels are neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Connectivity {
    /// Those that share a face: 6.
    #[cfg_attr(feature = "cli", value(name = "6"))]
    Faces,
    /// Those that share a face, an edge or a corner: 26.
    #[cfg_attr(feature = "cli", value(name = "26"))]
    Corners,
}

/// What counts as an object.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceOptions {
    /// Components with fewer voxels are left out, and no component is cut into parts with fewer.
    pub min_size: u64,
    /// Which voxels hang together.
    pub connectivity: Connectivity,
    /// Components are cut at necks where the distance to the outside is less than this share of the
    /// distance in the smaller of the bulges on both sides: from 0 (nothing is cut) to 1 (every
    /// neck is).
    pub split: f64,
    /// Components whose bounding boxes, with one voxel around them, have more voxels stay whole.
    pub split_box: u64,
}

impl Default for InstanceOptions {
    fn default() -> Self {
        Self { min_size: 100, connectivity: Connectivity::Faces, split: 0.5, split_box: 1 << 26 }
    }
}

/// Boxes that are cut are no larger, since their voxels are numbered with 32 bits.
const LARGEST_BOX: u64 = 1 << 31;

/// The most objects: labels pass through 32-bit floats in all readers of this program.
const MOST: usize = 1 << 24;

impl InstanceOptions {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// [`Error::Usage`] that names the option.
    pub fn validate(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.split) {
            return Err(Error::Usage(format!(
                "--split {}: give a share from 0 (nothing is cut) to 1 (at every neck)",
                self.split
            )));
        }
        if self.split_box > LARGEST_BOX {
            return Err(Error::Usage(format!(
                "--split-box {}: give at most {LARGEST_BOX}; a box needs about 22 bytes of memory \
                for each voxel",
                self.split_box
            )));
        }
        Ok(())
    }
}

/// Called with the number of sections that are done, and with 0 in between; an error stops the
/// work.
pub type Advance<'a> = dyn FnMut(usize) -> Result<()> + 'a;

/// How often [`Instances::find`] goes through the sections.
pub const PASSES: usize = 2;

/// A connected component.
struct Component {
    voxels: u64,
    /// Its first voxel.
    first: [usize; 3],
    bounds: Region,
}

/// In place of a component's label: it was left out.
const LEFT_OUT: u32 = 0;
/// In place of a component's label: its parts have labels.
const CUT: u32 = u32::MAX;

/// The objects of a volume.
pub struct Instances {
    mask: Mask,
    connectivity: Connectivity,
    /// Of each provisional label of the [`Labeller`] the object's label, [`LEFT_OUT`] or [`CUT`].
    labels: Vec<u32>,
    parts: Parts,
    /// Of each part of a component that was cut, its label.
    part_labels: Vec<u32>,
    objects: u32,
    left_out: u64,
    cut: u64,
    too_large: Vec<u32>,
}

impl Instances {
    /// Finds the objects of a mask. `voxel` has the sides of a voxel along z, y and x, in any unit;
    /// `output` is a file that is to come, beside which there is room on the disk.
    ///
    /// # Errors
    /// [`Error::Usage`] for options without sense, [`Error::Input`] for more than 16,777,216
    /// objects, [`Error::Io`] where the disk refuses, and what `advance` says.
    pub fn find(
        mask: Mask,
        voxel: [f64; 3],
        options: &InstanceOptions,
        output: &Path,
        advance: &mut Advance<'_>,
    ) -> Result<Self> {
        options.validate()?;
        let [depth, ..] = mask.shape();
        let (component_of, components) = components(&mask, options.connectivity, advance)?;
        let least = voxel.into_iter().fold(f64::INFINITY, f64::min);
        let spacing = voxel.map(|side| side / least);

        /// What becomes an object.
        enum Source {
            Component(usize),
            Part(usize),
        }
        let mut parts = Parts::create(output, depth)?;
        let mut part_count = 0_u32;
        let mut found: Vec<([usize; 3], Source)> = Vec::new();
        let mut label_of_component = vec![LEFT_OUT; components.len()];
        let (mut left_out, mut cut) = (0, 0);
        let mut too_large = Vec::new();
        for (number, component) in components.iter().enumerate() {
            if component.voxels < options.min_size {
                left_out += 1;
                continue;
            }
            // Two parts have at least this many.
            let may_split = options.split > 0.0
                && component.voxels >= options.min_size.saturating_mul(2).max(2);
            let bounds = &component.bounds;
            let sides = [&bounds.z, &bounds.y, &bounds.x].map(|side| side.len() as u64 + 2);
            let fits = sides.iter().map(|&side| u128::from(side)).product::<u128>()
                <= u128::from(options.split_box);
            let split = match may_split && fits {
                true => {
                    advance(0)?;
                    let (first, connectivity) = (component.first, options.connectivity);
                    let crop = Crop::read(&mask, bounds, first, connectivity)?;
                    let found = split::split(&crop, spacing, options, advance)?;
                    found.map(|found| (crop, found))
                }
                false => None,
            };
            if may_split && !fits {
                too_large.push(number);
            }
            let Some((crop, (numbers, count))) = split else {
                found.push((component.first, Source::Component(number)));
                continue;
            };
            label_of_component[number] = CUT;
            cut += 1;
            let firsts = keep(&mut parts, &crop, bounds, &numbers, count, part_count)?;
            found.extend((part_count as usize..).zip(firsts).map(|(i, at)| (at, Source::Part(i))));
            part_count = part_count.checked_add(count).ok_or_else(too_many)?;
        }
        if found.len() > MOST {
            return Err(too_many());
        }
        found.sort_unstable_by_key(|(first, _)| *first);
        let mut part_labels = vec![0; part_count as usize];
        for (label, (_, source)) in (1..).zip(&found) {
            match source {
                Source::Component(number) => label_of_component[*number] = label,
                Source::Part(number) => part_labels[*number] = label,
            }
        }
        let labels = component_of.into_iter().map(|i| label_of_component[i as usize]).collect();
        let too_large = too_large.into_iter().map(|number| label_of_component[number]).collect();
        Ok(Self {
            mask,
            connectivity: options.connectivity,
            labels,
            parts,
            part_labels,
            objects: found.len() as u32,
            left_out,
            cut,
            too_large,
        })
    }

    /// Number of objects; they have the labels from 1 to this.
    pub fn count(&self) -> u32 {
        self.objects
    }

    /// Number of components that were too small.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Number of components that were cut into parts.
    pub fn cut(&self) -> u64 {
        self.cut
    }

    /// The labels of components that may be several objects, and whose boxes were too large for
    /// cutting them.
    pub fn too_large(&self) -> &[u32] {
        &self.too_large
    }

    /// Sections, rows, columns.
    pub fn shape(&self) -> [usize; 3] {
        self.mask.shape()
    }

    /// Gives `each` the objects of each section in turn: its number and its runs, by row and in a
    /// row by column.
    ///
    /// # Errors
    /// Where the disk refuses, and those of `each`.
    pub fn sections(&self, mut each: impl FnMut(usize, Vec<Run>) -> Result<()>) -> Result<()> {
        let mut labeller = Labeller::new(&self.mask, self.connectivity);
        for z in 0..self.shape()[0] {
            let section = labeller.section(None)?;
            let mut runs: Vec<Run> = Vec::new();
            self.parts.section(z, &mut runs)?;
            runs.iter_mut().for_each(|run| run.label = self.part_labels[run.label as usize]);
            let labels = section.all().iter().map(|run| (run, self.labels[run.label as usize]));
            let whole = labels.filter(|&(_, label)| label != LEFT_OUT && label != CUT);
            runs.extend(whole.map(|(run, label)| Run { label, ..*run }));
            runs.sort_unstable_by_key(|run| (run.y, run.start));
            each(z, runs)?;
        }
        Ok(())
    }
}

fn too_many() -> Error {
    Error::Input(format!(
        "the foreground falls into more than {MOST} objects; give a higher --min-size or \
        --threshold"
    ))
}

/// The connected components in the order of their first voxels, and the component of each
/// provisional label.
fn components(
    mask: &Mask,
    connectivity: Connectivity,
    advance: &mut Advance<'_>,
) -> Result<(Vec<u32>, Vec<Component>)> {
    let [depth, ..] = mask.shape();
    let mut sets = UnionFind::<u32>::default();
    let mut labeller = Labeller::new(mask, connectivity);
    for _ in 0..depth {
        labeller.section(Some(&mut sets))?;
        advance(1)?;
    }
    // Labels are given in the order of the file, so the first one of a component is that of its
    // first voxel.
    let mut component_of = sets.into_labeling();
    let mut number_of_set = vec![u32::MAX; component_of.len()];
    let mut count = 0;
    for set in &mut component_of {
        let number = &mut number_of_set[*set as usize];
        if *number == u32::MAX {
            *number = count;
            count += 1;
        }
        *set = *number;
    }
    drop(number_of_set);
    let mut components: Vec<Component> = Vec::with_capacity(count as usize);
    let mut labeller = Labeller::new(mask, connectivity);
    for z in 0..depth {
        for run in labeller.section(None)?.all() {
            let number = component_of[run.label as usize] as usize;
            let [y, start, end] = [run.y, run.start, run.end].map(|side| side as usize);
            if number == components.len() {
                let bounds = Region { z: z..z, y: y..y, x: start..start };
                components.push(Component { voxels: 0, first: [z, y, start], bounds });
            }
            let component = &mut components[number];
            component.voxels += run.voxels();
            let bounds = &mut component.bounds;
            bounds.z.end = z + 1;
            bounds.y = bounds.y.start.min(y)..bounds.y.end.max(y + 1);
            bounds.x = bounds.x.start.min(start)..bounds.x.end.max(end);
        }
        advance(1)?;
    }
    Ok((component_of, components))
}

/// Keeps the parts of a component as runs, numbered from `from`, and says where each part begins.
fn keep(
    parts: &mut Parts,
    crop: &Crop,
    bounds: &Region,
    numbers: &[u32],
    count: u32,
    from: u32,
) -> Result<Vec<[usize; 3]>> {
    let [_, height, width] = crop.shape;
    let mut firsts = Vec::with_capacity(count as usize);
    for z in bounds.z.clone() {
        let mut runs: Vec<Run> = Vec::new();
        for y in bounds.y.clone() {
            let at = ((z - bounds.z.start + 1) * height + y - bounds.y.start + 1) * width + 1;
            let row = &numbers[at..at + bounds.width()];
            let mut x = bounds.x.start;
            for same in row.chunk_by(|a, b| a == b) {
                if same[0] > 0 {
                    // Parts are numbered in the order of their first voxels.
                    if same[0] as usize > firsts.len() {
                        firsts.push([z, y, x]);
                    }
                    let [y, start, end] = [y, x, x + same.len()].map(|side| side as u32);
                    runs.push(Run { y, start, end, label: from + same[0] - 1 });
                }
                x += same.len();
            }
        }
        parts.push(z, &runs)?;
    }
    Ok(firsts)
}
